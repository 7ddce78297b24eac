//! The embedded journal: segment files in one directory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use types::Seq;

use crate::contract::{Fault, Identity, Journal, Part, SegmentStore};
use crate::frame::{self, Binding, Frame, FrameHash};
use crate::mark::Mark;
use crate::places::{Places, Point};
use crate::position::{FrameAt, Position};
use crate::reader::FileReader;
use crate::segment::{self, SegmentHeader};
use disk::{Disk, DiskFile};

mod content;
mod inspect;
mod recover;
mod reopen;

pub use inspect::Inspected;
pub use recover::{Recovered, StartAt, TornTail, Visit};

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

/// A journal in the files of one directory.
#[derive(Debug)]
pub struct FileJournal<D: Disk> {
    layout: Layout,
    identity: Identity,
    lineage: Vec<Part>,
    /// The segment that is written, and those that were left since the last sync.
    open: OpenSegment<D::File>,
    unsynced: Vec<(String, Arc<D::File>)>,
    preparing: Option<(u64, JoinHandle<std::io::Result<()>>)>,
    previous: FrameHash,
    appended: Seq,
    mark: Mark<D::File>,
    places: Arc<Places<D>>,
    /// Frames that are to be noted once they are durable.
    appended_points: Vec<(u64, Point)>,
    /// Written frames, kept to spare allocations.
    written: Vec<u8>,
    poisoned: Option<String>,
}

#[derive(Debug)]
struct OpenSegment<F> {
    number: u64,
    file: Arc<F>,
    bytes: u64,
    offset: u64,
    written: bool,
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
    /// As [`Journal::append`] and [`Journal::sync`].
    ///
    /// # Panics
    /// JRN-7: when the identity cannot follow the present one.
    pub fn continue_as(&mut self, identity: Identity, frame: &Frame) -> Result<(), Fault> {
        assert!(identity.continues(self.identity), "JRN-7: a history is continued as another one, of a higher epoch");
        self.sync()?;
        self.mark()?;
        self.guarded(|journal| {
            journal.identity = identity;
            journal.lineage.push(Part { identity, first: frame.first });
            journal.rotate()?;
            journal.try_append(frame)
        })?;
        self.sync()?;
        self.mark()
    }

    fn rotate(&mut self) -> Result<(), Fault> {
        let number = self.open.number + 1;
        let name = segment::file_name(number);
        let io_fault = |action, cause| Fault::Io { action, file: name.clone(), cause };
        let prepared = match self.preparing.take() {
            Some((prepared, worker)) if prepared == number => match worker.join() {
                Ok(Ok(())) => Ok(()),
                // The disk may have been full then, and have room again.
                Ok(Err(_)) | Err(_) => segment::prepare(&self.places.disk, number, self.layout.segment_bytes),
            },
            Some(_) | None => segment::ensure_prepared(&self.places.disk, number, self.layout.segment_bytes),
        };
        prepared.map_err(|cause| io_fault("prepare", cause))?;
        let file = self.places.disk.open(&name).map_err(|cause| io_fault("open", cause))?;
        let file = Arc::new(file.ok_or_else(|| io_fault("open", std::io::ErrorKind::NotFound.into()))?);
        let bytes = file.len().map_err(|cause| io_fault("measure", cause))?;
        let header = SegmentHeader {
            shard: self.places.shard,
            identity: self.identity,
            number,
            first: self.appended.next(),
            bytes,
            previous: self.previous,
        };
        file.write_at(&segment::encode_header(&header), 0).map_err(|cause| io_fault("write", cause))?;
        let left = std::mem::replace(
            &mut self.open,
            OpenSegment { number, file: Arc::clone(&file), bytes, offset: segment::HEADER_BYTES, written: true },
        );
        if left.written {
            self.unsynced.push((segment::file_name(left.number), left.file));
        }
        self.places.add_segment(number, header.first);
        self.prepare_ahead();
        Ok(())
    }

    /// Starts to prepare the segment after the present one, where the layout says so.
    fn prepare_ahead(&mut self) {
        if self.layout.prepare == Prepare::InPlace || self.preparing.is_some() {
            return;
        }
        let (disk, number, bytes) = (self.places.disk.clone(), self.open.number + 1, self.layout.segment_bytes);
        let work = move || segment::ensure_prepared(&disk, number, bytes);
        let worker = std::thread::Builder::new().name("journal-prepare".to_owned()).spawn(work);
        // Without the thread the writer prepares the segment itself.
        self.preparing = worker.ok().map(|worker| (number, worker));
    }

    fn try_append(&mut self, frame: &Frame) -> Result<FrameAt, Fault> {
        assert_eq!(frame.first, self.appended.next(), "JRN-1: frames follow one another without gaps");
        let binding = Binding { identity: self.identity, durable: self.durable(), previous: self.previous };
        let bytes = (frame::HEADER_BYTES + frame.payload.len()) as u64;
        if self.open.offset + bytes > self.open.bytes {
            self.rotate()?;
        }
        let (number, offset) = (self.open.number, self.open.offset);
        let hash = frame::seal(frame, &binding, &mut self.written);
        self.open.file.write_at(&self.written, offset).map_err(|cause| Fault::Io {
            action: "write",
            file: segment::file_name(number),
            cause,
        })?;
        self.appended_points.push((number, Point { first: frame.first, offset }));
        self.open.offset += bytes;
        self.open.written = true;
        self.previous = hash;
        self.appended = frame.last();
        Ok(FrameAt::of_frame(number, offset))
    }

    fn try_sync(&mut self) -> Result<(), Fault> {
        for (file, left) in self.unsynced.drain(..) {
            left.sync().map_err(|cause| Fault::Io { action: "sync", file, cause })?;
        }
        if self.open.written {
            let synced = self.open.file.sync();
            synced.map_err(|cause| Fault::Io { action: "sync", file: segment::file_name(self.open.number), cause })?;
            self.open.written = false;
        }
        Ok(())
    }

    /// Runs one step of the writer; an error poisons it.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if let Some(why) = &self.poisoned {
            return Err(Fault::Poisoned(why.clone()));
        }
        step(self).inspect_err(|fault| self.poisoned = Some(fault.to_string()))
    }
}

impl<D: Disk> Journal for FileJournal<D> {
    type Reader = FileReader<D>;

    fn append(&mut self, frame: &Frame) -> Result<FrameAt, Fault> {
        self.guarded(|journal| journal.try_append(frame))
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        self.guarded(|journal| {
            journal.try_sync()?;
            journal.places.note(&mut journal.appended_points);
            // Readers that see the position also see where its frames stand.
            journal.places.durable.store(journal.appended.get(), Ordering::Release);
            Ok(journal.appended)
        })
    }

    fn durable(&self) -> Seq {
        Seq::new(self.places.durable.load(Ordering::Acquire))
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.guarded(|journal| journal.mark.write(journal.identity, journal.durable()))
    }

    fn reader(&self) -> FileReader<D> {
        FileReader::new(Arc::clone(&self.places))
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

impl<D: Disk> SegmentStore for FileJournal<D> {
    fn place(&self) -> StartAt {
        let OpenSegment { number, offset, .. } = self.open;
        StartAt { seq: self.appended, segment: number, offset, previous: self.previous }
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
