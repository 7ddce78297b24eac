//! Reads durable entries from any thread while the journal is being written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::{Entry, Fact};
use ledger::{Transfer, TransferKey};
use types::{Seq, ShardId};

use crate::canonical::CanonicalRun;
use crate::codec;
use crate::fault::Fault;
use crate::log::Reader;
use crate::segments::places::{NO_FRAME, Places, Point, damaged};
use crate::segments::position::{FrameAt, Position};
use crate::segments::segment;
use disk::{Disk, DiskFile};

/// Reads the durable entries of a [`crate::SegmentStore`]. Every read checks the checksums again, because disks can
/// corrupt data at any time.
#[derive(Debug)]
pub struct FileReader<D: Disk> {
    pub(crate) places: Arc<Places<D>>,
}

impl<D: Disk> Clone for FileReader<D> {
    fn clone(&self) -> Self {
        Self { places: Arc::clone(&self.places) }
    }
}

impl<D: Disk> Reader for FileReader<D> {
    fn durable(&self) -> Seq {
        Seq::new(self.places.durable.load(Ordering::Acquire))
    }

    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
        let durable = self.durable();
        let from = from.max(Seq::new(1));
        let Some(number) = self.places.segment_of(from).filter(|_| from <= durable) else { return Ok(Vec::new()) };
        let point = self.places.point(number, |point| point.first <= from)?;
        let mut walk = self.places.walk(number, point)?;
        loop {
            let (offset, header) = walk.expect_next()?;
            if header.last() >= from {
                let frame = walk.frame(offset, &header)?;
                let mut entries = frame.entries().map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
                entries.retain(|entry| entry.header.seq >= from && entry.header.seq <= durable);
                return Ok(entries);
            }
        }
    }
}

impl<D: Disk> FileReader<D> {
    pub(crate) fn new(places: Arc<Places<D>>) -> Self {
        Self { places }
    }

    /// A reader of a journal that is not open yet, for positions that are known to be durable. It still works after the
    /// journal is opened, but it never learns the durable position: [`Reader::read`] finds nothing.
    pub fn before_opening(disk: D, shard: ShardId) -> Self {
        Self::new(Arc::new(Places::new(disk, shard, std::collections::BTreeMap::new(), Seq::ZERO)))
    }

    /// The entries that are durable now, with locks of its own: whoever reads slowly with it keeps no other reader and no writer waiting.
    pub fn apart(&self) -> Self
    where
        D: Clone,
    {
        let places = Places::new(self.places.disk.clone(), self.places.shard, self.places.known(), self.durable());
        Self::new(Arc::new(places))
    }

    /// The place of the frame that contains a durable entry.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged before that frame.
    pub fn frame_position(&self, seq: Seq) -> Result<Position, Fault> {
        let number = self.places.segment_of(seq).unwrap_or(1);
        let point = self.places.point(number, |point| point.first <= seq)?;
        let mut walk = self.places.walk(number, point)?;
        loop {
            let (offset, header) = walk.expect_next()?;
            if header.last() >= seq {
                return Ok(Position::new(number, offset, false));
            }
        }
    }

    /// The canonical encodings of durable entries from `from` on, in order. Returns at least one if `from` is durable,
    /// otherwise none, and reads no more frames once there are `enough` of them. This is faster than decoding the
    /// entries.
    ///
    /// # Errors
    /// When a file cannot be read or a frame is damaged.
    pub fn canonical(&self, from: Seq, enough: usize, into: &mut CanonicalRun) -> Result<(), Fault> {
        into.clear();
        let durable = self.durable();
        let from = from.max(Seq::new(1));
        let Some(number) = self.places.segment_of(from).filter(|_| from <= durable) else { return Ok(()) };
        let point = self.places.point(number, |point| point.first <= from)?;
        let mut walk = self.places.walk(number, point)?;
        while walk.next.first <= durable && into.len() < enough {
            // The first frame must be there; after the last frame of a segment, the next segment begins.
            let next = if into.is_empty() { Some(walk.expect_next()?) } else { walk.next()? };
            let Some((offset, header)) = next else { break };
            if header.last() >= from {
                let frame = walk.frame(offset, &header)?;
                let read = frame.canonical((from, durable), into);
                read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
            }
        }
        Ok(())
    }

    /// Reads the client transfer in the row at this position: one small read, which the row's own checksum verifies.
    ///
    /// # Errors
    /// When the file cannot be read or the row is damaged.
    ///
    /// # Panics
    /// When the position is not the position of a row.
    pub fn transfer_at(&self, position: Position) -> Result<Transfer, Fault> {
        assert!(position.is_row(), "JRN-6: {position:?} is not the position of a row");
        let mut bytes = [0; codec::WIDE_ROW_BYTES];
        let file = self.places.file(position.segment())?;
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(position.segment()), cause };
        let count = file.read_at(&mut bytes, position.offset()).map_err(fault)?;
        if let Some(transfer) = codec::read_row(bytes.get(..count).unwrap_or_default()) {
            return Ok(transfer);
        }
        // Reading the whole frame finds what is wrong, and where.
        let entry = self.entry_at(position)?;
        if let Fact::Ledger(ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. }) =
            entry.fact
        {
            return Ok(transfer);
        }
        Err(damaged(position.segment(), position.offset(), entry.header.seq, "no row starts at this position"))
    }

    /// A durable entry; `None` if it is not durable. Reads and checks its whole frame, and decodes it up to this entry.
    ///
    /// # Errors
    /// When a file cannot be read or the frame is damaged.
    pub fn entry(&self, seq: Seq) -> Result<Option<Entry>, Fault> {
        let Some(number) = self.places.segment_of(seq).filter(|_| seq <= self.durable()) else { return Ok(None) };
        let point = self.places.point(number, |point| point.first <= seq)?;
        let mut walk = self.places.walk(number, point)?;
        loop {
            let (offset, header) = walk.expect_next()?;
            if header.last() < seq {
                continue;
            }
            for read in walk.frame(offset, &header)?.iter() {
                let (entry, _) = read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
                if entry.header.seq == seq {
                    return Ok(Some(entry));
                }
            }
            return Ok(None);
        }
    }

    /// The entry at this position. An entry about a payment takes one small read, unless an older release wrote it. For any other,
    /// this reads and checks the whole frame, and decodes it up to the entry.
    ///
    /// # Errors
    /// When the file cannot be read, the frame is damaged, or no entry starts at this position.
    pub fn entry_at(&self, position: Position) -> Result<Entry, Fault> {
        if let Some(entry) = self.alone_at(position)? {
            return Ok(entry);
        }
        let mut found = None;
        self.entries_between(position, Position::from_number(position.get() + 1), &mut |_, entry| {
            found = Some(entry.clone());
            Ok(())
        })?;
        found.ok_or_else(|| Fault::damaged_at(position, Seq::ZERO, "no entry starts at this position"))
    }

    /// The entry at this position, if its record can be read alone and is intact. Its own checksum verifies it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn alone_at(&self, position: Position) -> Result<Option<Entry>, Fault> {
        /// Most records of payments are smaller.
        const FIRST_BYTES: usize = 1024;
        if position.is_row() {
            return Ok(None);
        }
        let file = self.places.file(position.segment())?;
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(position.segment()), cause };
        let read = |bytes: &mut [u8]| file.read_at(bytes, position.offset()).map_err(fault);
        let mut first = [0; FIRST_BYTES];
        let count = read(&mut first)?;
        match codec::decode_alone(first.get(..count).unwrap_or_default(), self.places.shard) {
            Ok(entry) => Ok(entry),
            Err(missing) => {
                let mut whole = vec![0; count + missing];
                let count = read(&mut whole)?;
                Ok(codec::decode_alone(whole.get(..count).unwrap_or_default(), self.places.shard).unwrap_or_default())
            }
        }
    }

    /// All entries of the frame that contains this position, each with its own position. Reads and checks the frame.
    ///
    /// # Errors
    /// When the file cannot be read, the frame is damaged, or there is no frame at this position.
    pub fn frame_at(&self, position: Position) -> Result<Vec<(Position, Entry)>, Fault> {
        let (number, offset) = (position.segment(), position.offset());
        let point = self.places.point(number, |point| point.offset < offset)?;
        let mut walk = self.places.walk(number, point)?;
        loop {
            let (frame_offset, header) = walk.expect_next()?;
            if walk.next.offset <= offset {
                continue;
            }
            let at = FrameAt::of_frame(number, frame_offset);
            let frame = walk.frame(frame_offset, &header)?;
            let read = frame.iter().map(|read| read.map(|(entry, placed)| (at.position(placed), entry)));
            return read.collect::<Result<_, _>>().map_err(|cause| Fault::Undecodable { seq: header.first, cause });
        }
    }

    /// Calls `visit` in order with every transfer that a client made or an import brought, from one position (included)
    /// to another (excluded). Skips transfers inside other entries and legs of payments.
    ///
    /// # Errors
    /// When a file cannot be read or a frame is damaged, or the error that `visit` returned.
    pub fn rows(
        &self,
        from: Position,
        to: Position,
        visit: &mut dyn FnMut(Position, &Transfer) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.entries_between(from, to, &mut |position, entry| {
            let Fact::Ledger(ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. }) =
                &entry.fact
            else {
                return Ok(());
            };
            let TransferKey::Client(_) = transfer.key else { return Ok(()) };
            visit(position, transfer)
        })
    }

    /// Calls `visit` in order with every entry from one position (included) to another (excluded).
    ///
    /// # Errors
    /// The same as [`FileReader::rows`].
    pub fn entries_between(
        &self,
        from: Position,
        to: Position,
        visit: &mut dyn FnMut(Position, &Entry) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let (mut number, end) = (from.segment(), (to.segment(), to.offset()));
        let point = self.places.point(number, |point| point.offset < from.offset())?;
        let mut walk = self.places.walk(number, point)?;
        loop {
            while (number, walk.next.offset) < end
                && let Some((offset, header)) = walk.next()?
            {
                if (number, walk.next.offset) <= (from.segment(), from.offset()) {
                    continue;
                }
                let at = FrameAt::of_frame(number, offset);
                for read in walk.frame(offset, &header)?.iter() {
                    let (entry, placed) = read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
                    let position = at.position(placed);
                    if position >= to {
                        return Ok(());
                    }
                    if position >= from {
                        visit(position, &entry)?;
                    }
                }
            }
            let Point { first, offset } = walk.next;
            if (number, offset) >= end {
                return Ok(());
            }
            // Only the header of the next segment shows whether this one was complete.
            if number == to.segment() || self.places.header(number + 1)?.first != first {
                return Err(damaged(number, offset, first, NO_FRAME));
            }
            number += 1;
            walk = self.places.walk(number, Point { first, offset: segment::HEADER_BYTES })?;
        }
    }
}
