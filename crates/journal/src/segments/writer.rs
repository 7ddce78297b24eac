//! Writes the segments of a directory, for a journal or for a copy of one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use disk::{Disk, DiskFile};
use types::Seq;

use crate::fault::Fault;
use crate::identity::Identity;
use crate::segments::mark::Mark;
use crate::segments::places::{Places, Point};
use crate::segments::position::StartAt;
use crate::segments::recover::Tail;
use crate::segments::segment::{self, SegmentHeader};

/// Writes frames at the end of a directory's segments. The caller seals the frames, or checks those that it receives,
/// and decides where a segment ends.
///
/// After any error it is poisoned: it is unknown which of the frames that were not yet durable survive, and every later
/// call fails.
#[derive(Debug)]
pub(crate) struct SegmentWriter<D: Disk> {
    places: Arc<Places<D>>,
    mark: Mark<D::File>,
    /// The place after the last frame.
    place: StartAt,
    /// The identity of the last segment; `None` before the first.
    identity: Option<Identity>,
    /// The last segment, until [`SegmentWriter::leave`] closes it.
    open: Option<OpenSegment<D::File>>,
    /// Segments that were ended since the last sync.
    unsynced: Vec<(u64, Arc<D::File>)>,
    /// Frames to add to the places once they are durable.
    points: Vec<(u64, Point)>,
    /// The identity of the last durable entry.
    durable_identity: Option<Identity>,
    poisoned: Option<String>,
}

#[derive(Debug)]
struct OpenSegment<F> {
    file: Arc<F>,
    bytes: u64,
    written: bool,
}

/// A frame among those that are written together.
#[derive(Debug)]
pub(crate) struct NewFrame {
    pub(crate) first: Seq,
    pub(crate) behind: StartAt,
}

impl<D: Disk> SegmentWriter<D> {
    /// A writer for a directory without segments.
    pub(crate) fn empty(places: Arc<Places<D>>, mark: Mark<D::File>) -> Self {
        let place = StartAt { seq: Seq::ZERO, segment: 1, offset: segment::HEADER_BYTES, previous: [0; 32] };
        Self {
            places,
            mark,
            place,
            identity: None,
            open: None,
            unsynced: Vec::new(),
            points: Vec::new(),
            durable_identity: None,
            poisoned: None,
        }
    }

    /// A writer for a directory whose last frame ends at `tail`. All frames must be durable and known to `places`.
    /// `previous` is the hash of the last frame.
    pub(crate) fn resumed(
        places: Arc<Places<D>>,
        mark: Mark<D::File>,
        tail: Tail<D::File>,
        previous: [u8; 32],
    ) -> Self {
        let Tail { number, file, bytes, offset, identity } = tail;
        let empty = Self::empty(places, mark);
        let place = StartAt { seq: empty.durable(), segment: number, offset, previous };
        let (open, identity) = (Some(OpenSegment { file, bytes, written: false }), Some(identity));
        Self { place, identity, open, durable_identity: identity, ..empty }
    }

    pub(crate) fn places(&self) -> &Arc<Places<D>> {
        &self.places
    }

    /// The place after the last frame.
    pub(crate) fn place(&self) -> StartAt {
        self.place
    }

    /// The identity of the last segment; `None` before the first.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The last durable entry.
    pub(crate) fn durable(&self) -> Seq {
        Seq::new(self.places.durable.load(Ordering::Acquire))
    }

    /// The size in bytes of the open segment's file; `None` between segments.
    pub(crate) fn open_bytes(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.bytes)
    }

    /// Whether any write is not synced yet.
    pub(crate) fn is_unsynced(&self) -> bool {
        !self.unsynced.is_empty() || self.open.as_ref().is_some_and(|open| open.written)
    }

    /// The number that [`SegmentWriter::begin`] gives to the next segment.
    pub(crate) fn next_number(&self) -> u64 {
        if self.identity.is_none() { 1 } else { self.place.segment + 1 }
    }

    /// Fails if anything failed before.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.poisoned.as_ref().map_or(Ok(()), |why| Err(Fault::Poisoned(why.clone())))
    }

    /// Begins the next segment, for frames of `identity`. `prepared` is the result of filling its file with zeros;
    /// `header` is the original's header, when this is a copy.
    ///
    /// When this returns, the first segment is durable and the mark is written: no frame exists without a mark.
    pub(crate) fn begin(
        &mut self,
        identity: Identity,
        prepared: io::Result<()>,
        header: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.guarded(|writer| writer.try_begin(identity, prepared, header))
    }

    fn try_begin(&mut self, identity: Identity, prepared: io::Result<()>, header: Option<&[u8]>) -> Result<(), Fault> {
        let number = self.next_number();
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        prepared.map_err(fault("prepare"))?;
        let file = self.places.disk.open(&name).map_err(fault("open"))?;
        let file = Arc::new(file.ok_or_else(|| fault("open")(io::ErrorKind::NotFound.into()))?);
        let bytes = file.len().map_err(fault("measure"))?;
        let StartAt { seq, previous, .. } = self.place;
        let shard = self.places.shard;
        let own =
            || segment::encode_header(&SegmentHeader { shard, identity, number, first: seq.next(), bytes, previous });
        file.write_at(&header.map_or_else(own, <[u8]>::to_vec), 0).map_err(fault("write"))?;
        self.leave();
        self.open = Some(OpenSegment { file, bytes, written: true });
        self.place = StartAt { segment: number, offset: segment::HEADER_BYTES, ..self.place };
        self.identity = Some(identity);
        self.places.add_segment(number, seq.next());
        if number == 1 {
            self.sync_files()?;
            self.mark.write(identity, Seq::ZERO)?;
            self.durable_identity = Some(identity);
        }
        Ok(())
    }

    /// Ends the open segment, which gets no more frames.
    pub(crate) fn leave(&mut self) {
        if let Some(OpenSegment { file, written: true, .. }) = self.open.take() {
            self.unsynced.push((self.place.segment, file));
        }
    }

    /// Writes frames after the last one; they are not durable yet. `written` contains them exactly as they go to the
    /// open segment, which must have room for them.
    pub(crate) fn append(&mut self, written: &[u8], frames: &[NewFrame]) -> Result<(), Fault> {
        self.guarded(|writer| {
            let StartAt { segment: number, mut offset, .. } = writer.place;
            let open = writer.open.as_mut().expect("JRN-3: frames are written to an open segment");
            let fault = |cause| Fault::Io { action: "write", file: segment::file_name(number), cause };
            open.file.write_at(written, offset).map_err(fault)?;
            open.written = true;
            for NewFrame { first, behind } in frames {
                writer.points.push((number, Point { first: *first, offset }));
                offset = behind.offset;
                writer.place = *behind;
            }
            Ok(())
        })
    }

    /// Makes everything written so far durable, and returns the sequence of the last entry.
    pub(crate) fn sync(&mut self) -> Result<Seq, Fault> {
        self.guarded(|writer| {
            writer.sync_files()?;
            writer.places.note(&mut writer.points);
            let last = writer.place.seq;
            if last > writer.durable() {
                writer.durable_identity = writer.identity;
            }
            // Readers that see the new position must also find its frames.
            writer.places.durable.store(last.get(), Ordering::Release);
            Ok(last)
        })
    }

    /// Like [`SegmentWriter::sync`], for a header without frames yet.
    pub(crate) fn sync_header(&mut self) -> Result<(), Fault> {
        self.guarded(Self::sync_files)
    }

    fn sync_files(&mut self) -> Result<(), Fault> {
        let fault = |number| move |cause| Fault::Io { action: "sync", file: segment::file_name(number), cause };
        for (number, left) in self.unsynced.drain(..) {
            left.sync().map_err(fault(number))?;
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.written) {
            open.file.sync().map_err(fault(self.place.segment))?;
            open.written = false;
        }
        Ok(())
    }

    /// Writes and syncs the mark, up to the last durable entry.
    pub(crate) fn mark(&mut self) -> Result<(), Fault> {
        self.guarded(|writer| match writer.durable_identity {
            Some(identity) => writer.mark.write(identity, writer.durable()),
            None => Ok(()),
        })
    }

    /// Runs one step; an error poisons the writer.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.check()?;
        step(self).inspect_err(|fault| self.poisoned = Some(fault.to_string()))
    }
}
