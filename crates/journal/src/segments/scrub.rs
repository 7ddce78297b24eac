//! Rereads sealed segments from end to end, one piece at a time, and records when each was checked.
//!
//! The record is the file `scrub` beside the segments. The server can rebuild it: without it, every segment counts as
//! sealed just now. It contains: magic `FNSC`, CRC-32C of what follows, then format version (4), origin (16), number of
//! segments (8), for each segment its number (8) and when it was checked or found sealed, in nanoseconds since 1970
//! (8); number of suspects (8), for each suspect its number (8).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use types::{Origin, Seq, Timestamp};

use crate::bytes::{DecodeError, Decoder, Encoder};
use crate::fault::Fault;
use crate::frame::{self, FrameHash};
use crate::log::Reader as _;
use crate::segments::places::{NO_FRAME, Point, damaged};
use crate::segments::reader::FileReader;
use crate::segments::segment::{self, HeaderFound, SegmentHeader};
use disk::{Disk, DiskFile};

/// Bytes per read: at least one whole frame.
const PIECE_BYTES: usize = frame::HEADER_BYTES + frame::PAYLOAD_BYTES_MAX;

impl<D: Disk> FileReader<D> {
    /// The segments that are full and durable to their end, in order. They never change again.
    pub fn sealed_segments(&self) -> Vec<u64> {
        let durable = self.durable();
        self.places.followed(|first_behind| first_behind <= durable.next())
    }

    /// Begins to check a segment: its header, its frames, and the hash chain from each frame to the next and to the
    /// next segment. Of the segment that is being written, only the durable part is checked.
    ///
    /// # Errors
    /// When the segment is damaged or cannot be read.
    pub fn check_segment(&self, number: u64) -> Result<SegmentCheck<D::File>, Fault> {
        let durable = self.durable();
        let (file, header) = self.open_again(number)?;
        let behind = match self.places.first_of(number + 1) {
            Some(_) => Some(self.open_again(number + 1)?.1),
            None => None,
        };
        let end = behind.map_or(durable.next(), |behind| behind.first);
        let at = Point { first: header.first, offset: segment::HEADER_BYTES };
        Ok(SegmentCheck { file, header, behind, end, at, previous: header.previous, buffer: Vec::new() })
    }

    /// Opens the segment's file again: a file that was opened earlier may have been deleted since.
    fn open_again(&self, number: u64) -> Result<(D::File, SegmentHeader), Fault> {
        let name = segment::file_name(number);
        let opened =
            self.places.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        let expected = self.places.first_of(number);
        let damaged = |what| damaged(number, 0, expected.unwrap_or(Seq::ZERO), what);
        let file = opened.ok_or_else(|| damaged("the segment file is missing"))?;
        match segment::read_header(&file, &name, self.places.shard)? {
            HeaderFound::Used(header)
                if header.number == number && expected.is_none_or(|first| first == header.first) =>
            {
                Ok((file, header))
            }
            HeaderFound::Used(_) | HeaderFound::Unused | HeaderFound::Damaged => {
                Err(damaged("the segment's header is damaged or belongs to another segment"))
            }
        }
    }
}

/// A segment that is being checked.
#[derive(Debug)]
pub struct SegmentCheck<F> {
    file: F,
    header: SegmentHeader,
    behind: Option<SegmentHeader>,
    /// The sequence after the last entry to check.
    end: Seq,
    /// The offset of the next frame, and the hash and sequence that it must have.
    at: Point,
    previous: FrameHash,
    buffer: Vec<u8>,
}

impl<F: DiskFile> SegmentCheck<F> {
    /// Checks the next frames, about 900 KiB; returns their size in bytes, 0 once everything is checked.
    ///
    /// # Errors
    /// When a frame is damaged or cannot be read.
    pub fn step(&mut self) -> Result<u64, Fault> {
        let SegmentHeader { number, identity, shard, .. } = self.header;
        let Point { first, offset } = self.at;
        if first >= self.end {
            if self.behind.is_none_or(|behind| behind.previous == self.previous) {
                return Ok(0);
            }
            return Err(damaged(number + 1, 0, first, "it does not continue the previous segment"));
        }
        self.buffer.resize(PIECE_BYTES, 0);
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(number), cause };
        let count = self.file.read_at(&mut self.buffer, offset).map_err(fault)?;
        let read = self.buffer.get(..count).unwrap_or_default();
        let mut checked = 0;
        while let Some((header, written)) = frame::read_whole(read, checked) {
            let follows = header.first == self.at.first && header.previous == self.previous;
            if !follows || header.identity != identity || header.shard != shard || header.last() >= self.end {
                break;
            }
            let entries = header.view(written.get(frame::HEADER_BYTES..).unwrap_or_default());
            for read in entries.iter() {
                read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
            }
            self.previous = frame::hash_of(written);
            self.at = Point { first: header.last().next(), offset: self.at.offset + header.written_bytes() };
            checked += written.len();
        }
        if checked == 0 { Err(damaged(number, offset, first, NO_FRAME)) } else { Ok(checked as u64) }
    }
}

/// When each segment was checked, and which segments are suspected of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubLog {
    origin: Origin,
    /// When each segment was checked or, if it never was, when it was found sealed.
    since: BTreeMap<u64, Timestamp>,
    suspects: BTreeSet<u64>,
}

const NAME: &str = "scrub";
const NAME_NEW: &str = "scrub.new";
const MAGIC: [u8; 4] = *b"FNSC";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 8;

impl ScrubLog {
    pub const fn new(origin: Origin) -> Self {
        Self { origin, since: BTreeMap::new(), suspects: BTreeSet::new() }
    }

    /// Reads what an earlier process saved for this journal; returns an empty log if there is none or it is damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn load<D: Disk>(disk: &D, origin: Origin) -> io::Result<Self> {
        let Some(file) = disk.open(NAME)? else { return Ok(Self::new(origin)) };
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        let found = Self::decode(&bytes).ok().flatten().filter(|log| log.origin == origin);
        Ok(found.unwrap_or(Self::new(origin)))
    }

    /// Saves the log so that it survives a crash of the machine: a segment that was found damaged is not forgotten.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn save<D: Disk>(&self, disk: &D) -> io::Result<()> {
        let file = disk.create(NAME_NEW)?;
        file.write_at(&self.encode(), 0)?;
        file.sync()?;
        disk.rename(NAME_NEW, NAME)?;
        disk.sync_directory()
    }

    /// Adds the segments that have been sealed since the last call.
    pub fn note_sealed(&mut self, sealed: &[u64], at: Timestamp) {
        for number in sealed {
            self.since.entry(*number).or_insert(at);
        }
    }

    /// Records that the segment was checked and is intact.
    pub fn note_checked(&mut self, number: u64, at: Timestamp) {
        self.since.insert(number, at);
        self.suspects.remove(&number);
    }

    /// Records damage in the segment: the next start checks it before it serves requests.
    pub fn suspect(&mut self, number: u64) {
        self.suspects.insert(number);
    }

    /// Segments in which damage was found and that have not been found intact since.
    pub const fn suspects(&self) -> &BTreeSet<u64> {
        &self.suspects
    }

    /// The sealed segment, not a suspect, that was not checked for the longest time, and since when.
    pub fn next(&self) -> Option<(u64, Timestamp)> {
        let waiting = self.since.iter().filter(|(number, _)| !self.suspects.contains(number));
        waiting.map(|(number, at)| (*number, *at)).min_by_key(|(number, at)| (*at, *number))
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u32(VERSION);
        body.u128(self.origin.get());
        body.u64(self.since.len() as u64);
        for (number, at) in &self.since {
            body.u64(*number);
            body.u64(at.ns());
        }
        body.u64(self.suspects.len() as u64);
        for number in &self.suspects {
            body.u64(*number);
        }
        let mut whole = Encoder::default();
        whole.raw(&MAGIC);
        whole.u32(crc32c::crc32c(&body.bytes));
        whole.raw(&body.bytes);
        whole.bytes
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let magic: [u8; 4] = decoder.array()?;
        let checksum = decoder.u32()?;
        let body = bytes.get(HEAD_BYTES..).unwrap_or_default();
        if magic != MAGIC || checksum != crc32c::crc32c(body) || decoder.u32()? != VERSION {
            return Ok(None);
        }
        let mut log = Self::new(Origin::new(decoder.u128()?));
        for _ in 0..decoder.u64()? {
            log.since.insert(decoder.u64()?, Timestamp::from_ns(decoder.u64()?));
        }
        for _ in 0..decoder.u64()? {
            log.suspects.insert(decoder.u64()?);
        }
        Ok(Some(log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_reads_as_it_was_written_and_damaged_as_none() {
        let mut log = ScrubLog::new(Origin::new(7));
        log.note_checked(1, Timestamp::from_ns(50));
        log.note_checked(2, Timestamp::from_ns(40));
        log.suspect(4);
        let bytes = log.encode();
        assert_eq!(ScrubLog::decode(&bytes).ok().flatten().as_ref(), Some(&log));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(ScrubLog::decode(&damaged).ok().flatten(), None, "byte {place}");
            assert_eq!(ScrubLog::decode(&bytes[..place]).ok().flatten(), None, "{place} bytes");
        }
    }

    #[test]
    fn the_segment_that_waited_longest_is_next() {
        let at = Timestamp::from_ns;
        let mut log = ScrubLog::new(Origin::new(7));
        assert_eq!(log.next(), None);
        log.note_sealed(&[1, 2], at(10));
        assert_eq!(log.next(), Some((1, at(10))));
        log.note_checked(1, at(50));
        log.note_sealed(&[1, 2, 3], at(60));
        assert_eq!(log.next(), Some((2, at(10))));
        log.suspect(2);
        assert_eq!(log.next(), Some((1, at(50))));
        log.note_checked(2, at(70));
        log.note_checked(1, at(80));
        assert_eq!((log.next(), log.suspects().len()), (Some((3, at(60))), 0));
    }
}
