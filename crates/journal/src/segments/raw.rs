//! The journal as bytes, for a process that keeps a copy of it.

use types::Seq;

use crate::fault::Fault;
use crate::identity::Identity;
use crate::log::Reader as _;
use crate::segments::places::{NO_FRAME, Point, damaged};
use crate::segments::reader::FileReader;
use crate::segments::segment;
use disk::{Disk, DiskFile};

/// The end of the durable part of a journal. The bytes after it may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableEnd {
    /// The sequence of the last durable entry.
    pub seq: Seq,
    /// The segment that contains the end of that entry's frame.
    pub segment: u64,
    /// The byte in that segment's file where the frame ends.
    pub offset: u64,
}

/// What a copy needs to know about a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number, from 1.
    pub number: u64,
    /// The sequence of its first entry.
    pub first: Seq,
    /// Its history and epoch.
    pub identity: Identity,
    /// The size of its file in bytes. Zeros follow the last frame.
    pub bytes: u64,
}

impl<D: Disk> FileReader<D> {
    /// The end of the durable part.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn durable_end(&self) -> Result<DurableEnd, Fault> {
        let seq = self.durable();
        let segment = self.places.segment_of(seq).unwrap_or(1);
        let first = Point { first: seq.next(), offset: segment::HEADER_BYTES };
        let point = if seq == Seq::ZERO { first } else { self.places.point(segment, |point| point.first <= seq)? };
        let mut walk = self.places.walk(segment, point)?;
        while walk.next.first <= seq {
            walk.expect_next()?;
        }
        Ok(DurableEnd { seq, segment, offset: walk.next.offset })
    }

    /// The segments from number `from` to the one that contains the end of the durable part, at most `count_max` of
    /// them.
    ///
    /// # Errors
    /// When a file cannot be read or its header is damaged.
    pub fn segment_files(&self, from: u64, count_max: usize, end: &DurableEnd) -> Result<Vec<SegmentFile>, Fault> {
        let file = |number| {
            let header = self.places.header(number)?;
            let fault = |cause| Fault::Io { action: "measure", file: segment::file_name(number), cause };
            let bytes = self.places.file(number)?.len().map_err(fault)?;
            Ok(SegmentFile { number, first: header.first, identity: header.identity, bytes })
        };
        (from.max(1)..=end.segment).take(count_max).map(file).collect()
    }

    /// The bytes of a segment's file from `offset` to the end of its last durable frame, at most `bytes_max` of them.
    /// Empty at that end; `None` after it, and for segments without a durable entry. The bytes are not checked here:
    /// [`crate::FileCopy`] checks them.
    ///
    /// A segment gets no more frames once the durable part ends in a later one.
    ///
    /// # Errors
    /// When a file cannot be read, or the frames do not lead to the segment's end.
    pub fn durable_bytes(&self, number: u64, offset: u64, bytes_max: usize) -> Result<Option<Vec<u8>>, Fault> {
        let end = self.durable_end()?;
        let end_offset = match number {
            0 => return Ok(None),
            number if number > end.segment => return Ok(None),
            number if number == end.segment => end.offset,
            number => self.sealed_end(number)?,
        };
        let Some(left) = end_offset.checked_sub(offset) else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max)];
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(number), cause };
        let count = self.places.file(number)?.read_at(&mut bytes, offset).map_err(fault)?;
        if count < bytes.len() {
            let at = offset.saturating_add(count as u64);
            return Err(damaged(number, at, Seq::ZERO, "the file ends before its frames do"));
        }
        Ok(Some(bytes))
    }

    /// The last entry that a copy contains once it has the bytes before `offset` of a segment, and all earlier
    /// segments.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn last_before(&self, number: u64, offset: u64) -> Result<Seq, Fault> {
        let mut walk = self.places.walk(number, self.places.point(number, |point| point.offset <= offset)?)?;
        let mut behind = walk.next.first;
        while walk.next.offset <= offset {
            behind = walk.next.first;
            if walk.next()?.is_none() {
                break;
            }
        }
        Ok(Seq::new(behind.get() - 1))
    }

    /// The end of the frames of a segment that gets no more frames.
    fn sealed_end(&self, number: u64) -> Result<u64, Fault> {
        let mut walk = self.places.walk(number, self.places.point(number, |_| true)?)?;
        while walk.next()?.is_some() {}
        let Point { first, offset } = walk.next;
        if self.places.header(number + 1)?.first != first {
            return Err(damaged(number, offset, first, NO_FRAME));
        }
        Ok(offset)
    }
}
