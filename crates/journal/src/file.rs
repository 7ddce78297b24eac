//! The embedded journal: a durable log in segment files of one directory.

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

/// How the files of a journal are laid out. Journals of different layouts can be opened with any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a segment file; from [`Layout::SEGMENT_BYTES_MIN`] to [`Layout::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// Who writes the next segment full of zeros.
    pub prepare: Prepare,
}

/// Who prepares the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepare {
    /// A thread of its own, while the present segment fills.
    Ahead,
    /// The writer, when it needs it: for simulations, where everything happens in one order.
    InPlace,
}

impl Layout {
    /// One full frame and the header.
    pub const SEGMENT_BYTES_MIN: u64 = segment::HEADER_BYTES + (frame::HEADER_BYTES + frame::PAYLOAD_BYTES_MAX) as u64;
    /// So that a [`Position`] can name every byte.
    pub const SEGMENT_BYTES_MAX: u64 = Position::SEGMENT_BYTES_MAX;
    /// For production.
    pub const STANDARD: Self = Self { segment_bytes: 64 * 1024 * 1024, prepare: Prepare::Ahead };
    /// For tests: segments fill soon.
    pub const TINY: Self = Self { segment_bytes: Self::SEGMENT_BYTES_MIN, prepare: Prepare::InPlace };
}

/// A journal in the files of one directory: the durable log and the segments that are kept of it are the same files.
///
/// To open it is to claim the log: its directory is locked against every other process for as long as it lives.
#[derive(Debug)]
pub struct FileJournal<D: Disk> {
    layout: Layout,
    identity: Identity,
    lineage: Vec<Part>,
    writer: SegmentWriter<D>,
    preparing: Option<(u64, JoinHandle<std::io::Result<()>>)>,
    /// Written frames, kept to spare allocations.
    written: Vec<u8>,
}

impl<D: Disk> FileJournal<D> {
    /// The histories that follow one another here, the present one last.
    pub fn lineage(&self) -> &[Part] {
        &self.lineage
    }

    /// Goes on as another history, in a segment of its own. `frame` begins with the entry that says so. All of it is
    /// durable and marked when this returns.
    ///
    /// # Errors
    /// As [`DurableLog::append`] and [`DurableLog::sync`].
    ///
    /// # Panics
    /// JRN-7: when the identity cannot follow the present one.
    pub fn continue_as(&mut self, identity: Identity, frame: &Frame) -> Result<(), Fault> {
        assert!(identity.continues(self.identity), "JRN-7: a history is continued as another one, of a higher epoch");
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
        let (disk, number, bytes) = (&self.writer.places().disk, self.writer.next_number(), self.layout.segment_bytes);
        let prepared = match self.preparing.take() {
            Some((prepared, worker)) if prepared == number => match worker.join() {
                Ok(Ok(())) => Ok(()),
                // The disk may have been full then, and have room again.
                Ok(Err(_)) | Err(_) => segment::prepare(disk, number, bytes),
            },
            Some(_) | None => segment::ensure_prepared(disk, number, bytes),
        };
        self.writer.begin(self.identity, prepared, None)?;
        self.prepare_ahead();
        Ok(())
    }

    /// Starts to prepare the segment after the present one, where the layout says so.
    fn prepare_ahead(&mut self) {
        if self.layout.prepare == Prepare::InPlace || self.preparing.is_some() {
            return;
        }
        let disk = self.writer.places().disk.clone();
        let (number, bytes) = (self.writer.next_number(), self.layout.segment_bytes);
        let work = move || segment::ensure_prepared(&disk, number, bytes);
        let worker = std::thread::Builder::new().name("journal-prepare".to_owned()).spawn(work);
        // Without the thread the writer prepares the segment itself.
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
