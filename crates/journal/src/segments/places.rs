//! Where frames are stored, as far as it is known; shared by the writer and all readers.
//!
//! Only one frame per [`POINT_STRIDE_BYTES`] is noted: the headers lead from there to any other frame. Segments that
//! this process neither wrote nor scanned are scanned when they are first read.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use types::{Seq, ShardId};

use crate::fault::Fault;
use crate::frame::{self, FrameHash, FrameView, ReadHeader};
use crate::segments::segment::{self, HeaderFound, SegmentHeader};
use disk::{Disk, DiskFile};

/// The least number of bytes between two points.
pub(crate) const POINT_STRIDE_BYTES: u64 = 64 * 1024;
/// The most segment files that stay open for readers, in addition to the one that is being written.
const FILES_MAX: usize = 64;
/// Bytes per read when walking from header to header: many small frames, or one header.
const WALK_BYTES: usize = 16 * 1024;

/// A frame whose place is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) first: Seq,
    pub(crate) offset: u64,
}

/// What is known about one segment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The sequence of the first entry, from the header.
    pub(crate) first: Seq,
    /// In ascending order; always includes the first frame. `None` until the segment is scanned.
    pub(crate) points: Option<Vec<Point>>,
}

impl Known {
    /// A segment whose frames are noted from the first one on.
    pub(crate) fn from_the_first_frame(first: Seq) -> Self {
        Self { first, points: Some(vec![Point { first, offset: segment::HEADER_BYTES }]) }
    }

    /// Notes a frame, unless the last point is near.
    pub(crate) fn note(&mut self, point: Point) {
        let points = self.points.get_or_insert_default();
        if points.last().is_none_or(|last| point.offset >= last.offset + POINT_STRIDE_BYTES) {
            points.push(point);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Places<D: Disk> {
    pub(crate) disk: D,
    pub(crate) shard: ShardId,
    /// The last durable sequence.
    pub(crate) durable: AtomicU64,
    segments: RwLock<BTreeMap<u64, Known>>,
    /// In order of use, the most recently used file last.
    files: Mutex<Vec<(u64, Arc<D::File>)>>,
}

impl<D: Disk> Places<D> {
    pub(crate) fn new(disk: D, shard: ShardId, segments: BTreeMap<u64, Known>, durable: Seq) -> Self {
        let durable = AtomicU64::new(durable.get());
        Self { disk, shard, durable, segments: RwLock::new(segments), files: Mutex::new(Vec::new()) }
    }

    pub(crate) fn add_segment(&self, number: u64, first: Seq) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(number, Known::from_the_first_frame(first));
    }

    /// Adds the frames that became durable.
    pub(crate) fn note(&self, frames: &mut Vec<(u64, Point)>) {
        if frames.is_empty() {
            return;
        }
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        for (number, point) in frames.drain(..) {
            if let Some(known) = segments.get_mut(&number) {
                known.note(point);
            }
        }
    }

    /// All segments.
    pub(crate) fn known(&self) -> BTreeMap<u64, Known> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The segment that contains a sequence.
    pub(crate) fn segment_of(&self, seq: Seq) -> Option<u64> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let (mut low, mut high) = (*segments.keys().next()?, *segments.keys().next_back()?);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if segments.get(&middle).is_some_and(|known| known.first <= seq) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Some(low)
    }

    /// The sequence of the first entry of a known segment.
    pub(crate) fn first_of(&self, number: u64) -> Option<Seq> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(&number).map(|known| known.first)
    }

    /// The segments, in order, that have a successor for whose first entry `fits` returns true.
    pub(crate) fn followed(&self, fits: impl Fn(Seq) -> bool) -> Vec<u64> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let behind = segments.iter().skip(1);
        segments.keys().zip(behind).filter(|(_, (_, behind))| fits(behind.first)).map(|(number, _)| *number).collect()
    }

    /// The last noted frame of a segment for which `before` returns true; it must return true for the first.
    pub(crate) fn point(&self, number: u64, before: impl Fn(&Point) -> bool) -> Result<Point, Fault> {
        let last = |points: &[Point]| points.get(points.partition_point(&before).saturating_sub(1)).copied();
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = segments.get(&number).and_then(|known| known.points.as_deref()).and_then(last) {
            return Ok(found);
        }
        drop(segments);
        let known = self.look_through(number)?;
        let found = known.points.as_deref().and_then(last);
        let found = found.unwrap_or(Point { first: known.first, offset: segment::HEADER_BYTES });
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.entry(number).or_insert_with(|| known.clone()).points.get_or_insert(known.points.unwrap_or_default());
        Ok(found)
    }

    /// Notes the frames of a segment, up to the last one.
    fn look_through(&self, number: u64) -> Result<Known, Fault> {
        let header = self.header(number)?;
        let mut known = Known::from_the_first_frame(header.first);
        let mut walk = self.walk(number, Point { first: header.first, offset: segment::HEADER_BYTES })?;
        while let Some((offset, header)) = walk.next()? {
            known.note(Point { first: header.first, offset });
        }
        Ok(known)
    }

    /// The header of a segment that must exist.
    pub(crate) fn header(&self, number: u64) -> Result<SegmentHeader, Fault> {
        let file = self.file(number)?;
        match segment::read_header(file.as_ref(), &segment::file_name(number), self.shard)? {
            HeaderFound::Used(header) if header.number == number => Ok(header),
            HeaderFound::Used(_) | HeaderFound::Unused | HeaderFound::Damaged => {
                Err(damaged(number, 0, Seq::ZERO, "the segment's header is damaged or belongs to another segment"))
            }
        }
    }

    /// The file of a segment; opens it if it is not open yet.
    pub(crate) fn file(&self, number: u64) -> Result<Arc<D::File>, Fault> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match files.iter().rposition(|(open, _)| *open == number) {
            Some(place) => files.remove(place).1,
            None => {
                let name = segment::file_name(number);
                let opened =
                    self.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
                if files.len() == FILES_MAX {
                    files.remove(0);
                }
                Arc::new(opened.ok_or_else(|| damaged(number, 0, Seq::ZERO, "the segment file is missing"))?)
            }
        };
        files.push((number, Arc::clone(&found)));
        Ok(found)
    }

    /// Walks through a segment from header to header.
    pub(crate) fn walk(&self, number: u64, from: Point) -> Result<Walk<D::File>, Fault> {
        let file = self.file(number)?;
        Ok(Walk { file, number, next: from, buffer: Vec::new(), buffer_at: 0, payload: Vec::new() })
    }
}

pub(crate) fn damaged(number: u64, offset: u64, seq: Seq, what: &str) -> Fault {
    Fault::Damaged { file: segment::file_name(number), offset, seq, what: what.to_owned() }
}

/// The message for a missing frame.
pub(crate) const NO_FRAME: &str = "there is no whole frame at this place";

/// Walks through the frames of a segment by their headers, and reads the wanted ones.
#[derive(Debug)]
pub(crate) struct Walk<F> {
    file: Arc<F>,
    number: u64,
    pub(crate) next: Point,
    /// The bytes from `buffer_at` on.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// The payload that was requested last, unless the buffer contains it.
    payload: Vec<u8>,
}

impl<F: DiskFile> Walk<F> {
    /// The next header and its offset; `None` if no frame follows.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, ReadHeader)>, Fault> {
        let Point { first, offset } = self.next;
        let header = match self.held(offset, frame::HEADER_BYTES) {
            Some(bytes) => frame::read_header(bytes),
            None => {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.resize(WALK_BYTES, 0);
                let count = self.read(&mut buffer, offset)?;
                buffer.truncate(count);
                (self.buffer, self.buffer_at) = (buffer, offset);
                frame::read_header(&self.buffer)
            }
        };
        let Some(header) = header.filter(|header| header.first == first) else { return Ok(None) };
        self.next = Point { first: header.last().next(), offset: offset + header.written_bytes() };
        Ok(Some((offset, header)))
    }

    /// Like [`Walk::next`], but fails if no frame follows.
    pub(crate) fn expect_next(&mut self) -> Result<(u64, ReadHeader), Fault> {
        let Point { first, offset } = self.next;
        self.next()?.ok_or_else(|| damaged(self.number, offset, first, NO_FRAME))
    }

    pub(crate) fn frame(&mut self, offset: u64, header: &ReadHeader) -> Result<FrameView<'_>, Fault> {
        let payload_at = offset + frame::HEADER_BYTES as u64;
        if self.held(payload_at, header.payload_bytes).is_none() {
            let mut payload = std::mem::take(&mut self.payload);
            payload.resize(header.payload_bytes, 0);
            let count = self.read(&mut payload, payload_at)?;
            payload.truncate(count);
            self.payload = payload;
        }
        let payload = self.held(payload_at, header.payload_bytes).unwrap_or(&self.payload);
        if payload.len() != header.payload_bytes || crc32c::crc32c(payload) != header.payload_crc {
            let what = "the frame's payload does not match its checksum";
            return Err(damaged(self.number, offset, header.first, what));
        }
        Ok(header.view(payload))
    }

    /// The hash of a frame, which the next frame's header contains.
    pub(crate) fn hash(&self, offset: u64, header: &ReadHeader) -> Result<FrameHash, Fault> {
        let mut written = vec![0; frame::HEADER_BYTES + header.payload_bytes];
        let count = self.read(&mut written, offset)?;
        Ok(frame::hash_of(written.get(..count).unwrap_or_default()))
    }

    fn held(&self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.buffer_at)?).ok()?;
        self.buffer.get(from..from.checked_add(bytes)?)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Fault> {
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(self.number), cause };
        self.file.read_at(buffer, offset).map_err(fault)
    }
}
