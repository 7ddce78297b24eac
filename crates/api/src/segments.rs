//! The journal's files, for whoever keeps a copy of it: which segments there are, and their bytes.

use std::time::Duration;

use journal::{DurableEnd, Position, SegmentFile};
use serde::Serialize;
use types::{Seq, ShardId};
use utoipa::ToSchema;

use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

/// The longest that a request waits for more of the journal.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// Bytes of a segment in an answer when `bytes` is not given, 1 MiB.
pub const BYTES_DEFAULT: usize = 1 << 20;
/// The largest `bytes`, 4 MiB.
pub const BYTES_MAX: usize = 4 << 20;

/// The segments of the journal, and how far it is durable.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalSegments)]
pub struct Segments {
    /// The segments, in order.
    items: Vec<Segment>,
    /// Where the durable part ends: there is more behind `items` while it ends in a later segment.
    durable: Durable,
    /// The shard that the journal is of.
    shard: u16,
}

/// A segment: a file of the journal. It starts with a header of 4096 bytes, frames of entries follow, then zeros.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalSegment)]
struct Segment {
    /// Its number, from 1.
    number: u64,
    /// The sequence of its first entry.
    first_sequence: u64,
    /// Which history it is of.
    origin: String,
    /// Which writer's turn.
    epoch: u64,
    /// The length of its file.
    bytes: u64,
}

/// The place behind the last durable frame.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JournalEnd)]
struct Durable {
    /// The last durable entry.
    sequence: u64,
    /// The segment in which its frame stands. Those before it get no more frames.
    segment: u64,
    /// The byte in that segment's file at which its frame ends.
    offset: u64,
}

impl Segments {
    /// As the journal has them.
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

/// Which segments are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsWanted {
    /// The number of the first.
    pub from: u64,
    /// How many at most.
    pub limit: usize,
    /// Not before an entry after this one is durable, or that long has passed.
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
            (Some(_), None) => return Err(invalid("after", "`after` goes with `wait_ms`, which is not given")),
            (None, Some(_)) => return Err(invalid("wait_ms", "`wait_ms` goes with `after`, which is not given")),
        };
        let from = parameters.number("from", 1..=Position::SEGMENT_MAX)?.unwrap_or(1);
        Ok(Self { from, limit: parameters.limit()?, wait })
    }
}

/// Which bytes of a segment are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesWanted {
    /// The number of the segment.
    pub segment: u64,
    /// The first byte.
    pub offset: u64,
    /// How many at most.
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
