//! The journal's files, for those who keep a copy of it: the list of segments, and their bytes.

use std::time::Duration;

use journal::{DurableEnd, Position, SegmentFile};
use serde::Serialize;
use types::{Seq, ShardId};
use utoipa::ToSchema;

use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

/// The longest time that a request may wait for new entries.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// The size of a segment's part in an answer if `bytes` is not given: 1 MiB.
pub const BYTES_DEFAULT: usize = 1 << 20;
/// The largest `bytes`: 4 MiB.
pub const BYTES_MAX: usize = 4 << 20;

/// The segments of the journal, and where its durable part ends.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalSegments)]
pub struct Segments {
    /// The segments, in order.
    items: Vec<Segment>,
    /// Where the durable part ends. If it ends in a later segment than the last of `items`, there are more segments.
    durable: Durable,
    /// The shard that the journal belongs to.
    shard: u16,
}

/// A segment: one file of the journal. It has a header of 4096 bytes, then frames of entries, then zeros.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalSegment)]
struct Segment {
    /// The number of the segment, from 1.
    number: u64,
    /// The sequence of its first entry.
    first_sequence: u64,
    /// The origin of the history that the segment belongs to.
    origin: String,
    /// The epoch, which is higher in each continuation of a history.
    epoch: u64,
    /// The size of the file in bytes.
    bytes: u64,
}

/// The position after the last durable frame.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalEnd)]
struct Durable {
    /// The sequence of the last durable entry.
    sequence: u64,
    /// The segment that contains the frame of that entry. Earlier segments get no more frames.
    segment: u64,
    /// The byte of that segment's file at which the frame ends.
    offset: u64,
}

impl Segments {
    pub fn new(files: &[SegmentFile], end: &DurableEnd, shard: ShardId) -> Self {
        let segment = |file: &SegmentFile| Segment {
            number: file.number,
            first_sequence: file.first.get(),
            origin: file.identity.origin.to_string(),
            epoch: file.identity.epoch.get(),
            bytes: file.bytes,
        };
        let durable = Durable { sequence: end.seq.get(), segment: end.segment, offset: end.offset };
        Self { items: files.iter().map(segment).collect(), durable, shard: shard.get() }
    }
}

/// Which segments a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsWanted {
    /// The number of the first segment.
    pub from: u64,
    /// The most segments to return.
    pub limit: usize,
    /// The answer waits until an entry after this one is durable, but not longer than this.
    pub wait: Option<(Seq, Duration)>,
}

impl SegmentsWanted {
    /// Reads the parameters of `GET /v1/journal/segments`.
    pub fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let wait_ms_max = u64::try_from(WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
        let after = parameters.number("after", 0..=u64::MAX)?.map(Seq::new);
        let wait = parameters.number("wait_ms", 0..=wait_ms_max)?.map(Duration::from_millis);
        let wait = match (after, wait) {
            (Some(after), Some(wait)) => Some((after, wait)),
            (None, None) => None,
            (Some(_), None) => return Err(invalid("after", "`after` needs `wait_ms`, which is missing")),
            (None, Some(_)) => return Err(invalid("wait_ms", "`wait_ms` needs `after`, which is missing")),
        };
        let from = parameters.number("from", 1..=Position::SEGMENT_MAX)?.unwrap_or(1);
        Ok(Self { from, limit: parameters.limit()?, wait })
    }
}

/// Which bytes of a segment a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesWanted {
    /// The number of the segment.
    pub segment: u64,
    /// The first byte to return.
    pub offset: u64,
    /// The most bytes to return.
    pub bytes: usize,
}

impl BytesWanted {
    /// Reads the path and the parameters of `GET /v1/journal/segments/{id}`.
    pub fn read(segment: &str, parameters: &Parameters) -> Result<Self, Problem> {
        let bytes = parameters.number("bytes", 1..=BYTES_MAX as u64)?;
        Ok(Self {
            segment: crate::parameters::number("id", segment, 1..=Position::SEGMENT_MAX)?,
            offset: parameters.number("offset", 0..=Position::SEGMENT_BYTES_MAX)?.unwrap_or(0),
            bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BYTES_DEFAULT),
        })
    }
}
