//! The embedded journal: a durable log in the segment files of one directory.

use std::sync::Arc;
use std::thread::JoinHandle;

use disk::Disk;
use types::Seq;

use crate::fault::Fault;
use crate::frame::{self, Binding, Frame};
use crate::identity::{Identity, Part};
use crate::log::DurableLog;
use crate::segments::SegmentStore;
use crate::segments::position::{Position, StartAt};
use crate::segments::reader::FileReader;
use crate::segments::segment;
use crate::segments::writer::{NewFrame, SegmentWriter};

mod inspect;
mod open;

pub use inspect::Inspected;

/// The size of segment files, and how they are prepared. A journal can be opened with any layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The size of a segment file in bytes, from [`Layout::SEGMENT_BYTES_MIN`] to [`Layout::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// The size of the first segment file, at least [`Layout::SEGMENT_BYTES_MIN`]. Every later one has twice the size of the
    /// one before it, up to `segment_bytes`, so that a journal with few entries needs little disk.
    pub first_segment_bytes: u64,
    /// Who fills the next segment with zeros.
    pub prepare: Prepare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepare {
    /// A separate thread, while the current segment fills up.
    Ahead,
    /// The writer, when it needs the segment. Simulations use this because it keeps the order of operations fixed.
    InPlace,
}

impl Layout {
    /// The header and one frame of the largest size.
    pub const SEGMENT_BYTES_MIN: u64 = segment::HEADER_BYTES + (frame::HEADER_BYTES + frame::PAYLOAD_BYTES_MAX) as u64;
    /// The limit up to which a [`Position`] can name every byte.
    pub const SEGMENT_BYTES_MAX: u64 = Position::SEGMENT_BYTES_MAX;
    /// For production.
    pub const STANDARD: Self =
        Self { segment_bytes: 64 * 1024 * 1024, first_segment_bytes: 64 * 1024 * 1024, prepare: Prepare::Ahead };
    /// For tests: segments fill up quickly.
    pub const TINY: Self = Self {
        segment_bytes: Self::SEGMENT_BYTES_MIN,
        first_segment_bytes: Self::SEGMENT_BYTES_MIN,
        prepare: Prepare::InPlace,
    };

    /// The same sizes, but the first segment is as small as possible.
    #[must_use]
    pub const fn growing(self) -> Self {
        Self { first_segment_bytes: Self::SEGMENT_BYTES_MIN, ..self }
    }

    /// The size of the segment file with this number, from 1.
    pub(crate) fn bytes_of(&self, number: u64) -> u64 {
        let doublings = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let grown = 1_u64.checked_shl(doublings).and_then(|times| self.first_segment_bytes.checked_mul(times));
        grown.map_or(self.segment_bytes, |grown| grown.min(self.segment_bytes))
    }

    /// Whether the segment with this number is filled with zeros before the one before it is full. The second segment of
    /// a growing journal is not, because most journals that stay small never need it.
    fn prepares_ahead(&self, number: u64) -> bool {
        self.prepare == Prepare::Ahead && (number != 2 || self.bytes_of(1) == self.segment_bytes)
    }
}

/// A journal in the files of one directory. The same files are both the durable log and its local segments.
///
/// Opening it claims the log: it locks its directory against every other process as long as it lives.
#[derive(Debug)]
pub struct FileJournal<D: Disk> {
    layout: Layout,
    identity: Identity,
    lineage: Vec<Part>,
    writer: SegmentWriter<D>,
    preparing: Option<(u64, JoinHandle<std::io::Result<()>>)>,
    /// A buffer for written frames, reused to avoid allocations.
    written: Vec<u8>,
}

impl<D: Disk> FileJournal<D> {
    /// The histories in this journal, the current one last.
    pub fn lineage(&self) -> &[Part] {
        &self.lineage
    }

    /// Continues the journal as another history, in a new segment. `frame` begins with the entry that records this.
    /// When this returns, the frame is durable and the mark covers it.
    ///
    /// # Errors
    /// The same as [`DurableLog::append`] and [`DurableLog::sync`].
    ///
    /// # Panics
    /// JRN-7: when the identity cannot follow the current one.
    pub fn continue_as(&mut self, identity: Identity, frame: &Frame) -> Result<(), Fault> {
        assert!(identity.continues(self.identity), "JRN-7: the new history needs another origin and a higher epoch");
        self.sync()?;
        self.mark()?;
        self.identity = identity;
        self.lineage.push(Part { identity, first: frame.first });
        self.rotate()?;
        self.append(frame)?;
        self.sync()?;
        self.mark()
    }

    fn rotate(&mut self) -> Result<(), Fault> {
        let (disk, number) = (&self.writer.places().disk, self.writer.next_number());
        let bytes = self.layout.bytes_of(number);
        let prepared = match self.preparing.take() {
            Some((prepared, worker)) if prepared == number => match worker.join() {
                Ok(Ok(())) => Ok(()),
                // Preparing failed earlier, perhaps because the disk was full; there may be room now.
                Ok(Err(_)) | Err(_) => segment::prepare(disk, number, bytes),
            },
            Some(_) | None => segment::ensure_prepared(disk, number, bytes),
        };
        self.writer.begin(self.identity, prepared, None)?;
        self.prepare_ahead();
        Ok(())
    }

    /// Starts to prepare the next segment in the background, if the layout says so.
    fn prepare_ahead(&mut self) {
        let number = self.writer.next_number();
        if !self.layout.prepares_ahead(number) || self.preparing.is_some() {
            return;
        }
        let (disk, bytes) = (self.writer.places().disk.clone(), self.layout.bytes_of(number));
        let work = move || segment::ensure_prepared(&disk, number, bytes);
        let worker = std::thread::Builder::new().name("journal-prepare".to_owned()).spawn(work);
        // If the thread cannot be started, the writer prepares the segment itself.
        self.preparing = worker.ok().map(|worker| (number, worker));
    }
}

impl<D: Disk> DurableLog for FileJournal<D> {
    type Reader = FileReader<D>;

    fn append(&mut self, frame: &Frame) -> Result<(), Fault> {
        self.writer.check()?;
        let place = self.writer.place();
        assert_eq!(frame.first, place.seq.next(), "JRN-1: frames follow one another without gaps");
        let bytes = (frame::HEADER_BYTES + frame.payload.len()) as u64;
        if self.writer.open_bytes().is_none_or(|room| place.offset + bytes > room) {
            self.rotate()?;
        }
        let StartAt { segment, offset, previous, .. } = self.writer.place();
        let binding = Binding { identity: self.identity, durable: self.durable(), previous };
        let hash = frame::seal(frame, &binding, &mut self.written);
        let behind = StartAt { seq: frame.last(), segment, offset: offset + bytes, previous: hash };
        self.writer.append(&self.written, &[NewFrame { first: frame.first, behind }])
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        self.writer.sync()
    }

    fn durable(&self) -> Seq {
        self.writer.durable()
    }

    fn reader(&self) -> FileReader<D> {
        self.segments()
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

impl<D: Disk> SegmentStore for FileJournal<D> {
    type Disk = D;

    fn place(&self) -> StartAt {
        self.writer.place()
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.writer.mark()
    }

    fn segments(&self) -> FileReader<D> {
        FileReader::new(Arc::clone(self.writer.places()))
    }
}

impl<D: Disk> Drop for FileJournal<D> {
    fn drop(&mut self) {
        // The directory's lock must outlive every write to it.
        if let Some((_, worker)) = self.preparing.take() {
            drop(worker.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segments_of_a_growing_journal_double_up_to_the_whole_size() {
        let min = Layout::SEGMENT_BYTES_MIN;
        let growing = Layout::STANDARD.growing();
        for (number, bytes) in
            [(1, min), (2, 2 * min), (3, 4 * min), (7, 64 * min), (8, 64 << 20), (u64::MAX, 64 << 20)]
        {
            assert_eq!(growing.bytes_of(number), bytes.min(64 << 20), "segment {number}");
            assert_eq!(Layout::STANDARD.bytes_of(number), 64 << 20, "segment {number}");
        }
        assert!(!growing.prepares_ahead(2) && growing.prepares_ahead(3) && Layout::STANDARD.prepares_ahead(2));
    }
}
