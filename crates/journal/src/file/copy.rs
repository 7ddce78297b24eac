//! Copying a journal, frame by frame, as it was written, up to an entry: for restores. A copy that follows a journal while it
//! is written is a [`crate::FileCopy`].
//!
//! A copy is a journal like any other, with a mark of its own. Every frame is checked and must follow the one before;
//! where it was interrupted, a copy opens as after a crash and goes on behind its last whole frame.

use std::borrow::Cow;
use std::sync::Arc;

use engine::{Entry, Fact};
use ledger::{AccountFlags, MetadataOf, TransferFlags, TransferKey};
use types::{AccountId, Origin, Seq, ShardId};

use super::recover::{Recovered, Rest, Tail, is_continuation};
use super::reopen::reopen;
use super::{FileJournal, Layout, OpenSegment, Prepare};
use crate::contract::{Fault, Journal as _, Part};
use crate::disk::{Disk, DiskFile as _};
use crate::frame::{self, Binding, FrameBuilder, ReadHeader};
use crate::mark::Mark;
use crate::places::Point;
use crate::segment::{self, HeaderFound, SegmentHeader};

/// What of the bytes that were given stands in the copy now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Bytes that were taken. The others are a frame that is not complete, or come after the end.
    pub bytes: u64,
    /// Whole frames.
    pub frames: u64,
    /// The entry after which to end was reached.
    pub ended: bool,
}

/// Why bytes of another journal are not taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The copy itself failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What came is not what a journal writes.
    #[error("the source is damaged: {file} at byte {offset} (sequence {seq}): {what}")]
    Damaged {
        /// The segment's file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The first sequence that cannot be copied.
        seq: Seq,
        /// What is wrong.
        what: &'static str,
    },
    /// The copy and its source part.
    #[error("the copy and its source are not one history: they part at {file}, byte {offset} (sequence {seq}): {what}")]
    Diverged {
        /// The segment's file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The first sequence that differs.
        seq: Seq,
        /// How they differ.
        what: &'static str,
    },
    /// To end there would take apart what became durable together.
    #[error("entries {} to {after} became durable together: end after {before} or after {after}, not after {seq}", before.next())]
    Inside {
        /// Where it was to end.
        seq: Seq,
        /// The nearest entry before, after which it can end.
        before: Seq,
        /// The nearest entry behind, after which it can end.
        after: Seq,
    },
}

/// Segments are prepared one by one, as their headers come.
const LAYOUT: Layout = Layout { segment_bytes: Layout::SEGMENT_BYTES_MIN, prepare: Prepare::InPlace };

impl<D: Disk> FileJournal<D> {
    /// Opens a copy to go on with it, `None` where there is none yet.
    ///
    /// # Errors
    /// As [`FileJournal::open`].
    pub fn open_copy(disk: &D, shard: ShardId) -> Result<Option<(Self, Recovered)>, Fault> {
        if Self::identity_before_opening(disk, shard)?.is_none() {
            return Ok(None);
        }
        let unused = Origin::default;
        Self::open(disk.clone(), LAYOUT, shard, unused, None, &mut |_, _, _| Ok(())).map(Some)
    }

    /// Begins a copy with the first bytes of the source's first segment.
    ///
    /// # Errors
    /// When they are not the header of a first segment, or the disk fails.
    pub fn begin_copy(disk: D, shard: ShardId, header: &[u8]) -> Result<Self, CopyError> {
        let found = read_header(header, 1, shard)?;
        let SegmentHeader { identity, number, bytes, .. } = found;
        if number != 1 || found.first != Seq::new(1) {
            return Err(damaged(1, 0, Seq::new(1), "this is not the header of a first segment"));
        }
        let (mut mark, _) = Mark::open(&disk)?;
        let file = Arc::new(prepare_segment(&disk, number, bytes, header)?);
        mark.write(identity, Seq::ZERO)?;
        let rest = Rest { lineage: vec![Part { identity, first: found.first }], ..Rest::default() };
        let tail = Tail { number, file, bytes, offset: segment::HEADER_BYTES, identity };
        Ok(reopen(disk, LAYOUT, shard, mark, rest, tail).map(|(journal, _)| journal)?)
    }

    /// Goes on in the source's next segment, given by its first bytes.
    ///
    /// # Errors
    /// When they are not the header of a segment that follows here, or the disk fails.
    pub fn copy_header(&mut self, header: &[u8]) -> Result<(), CopyError> {
        let number = self.open.number + 1;
        let found = read_header(header, number, self.places.shard)?;
        let diverged =
            |what| CopyError::Diverged { file: segment::file_name(number), offset: 0, seq: found.first, what };
        if found.number != number || found.first != self.appended.next() {
            return Err(diverged("the segment is another one"));
        }
        if found.previous != self.previous {
            return Err(diverged("the segment does not follow the last frame of the copy"));
        }
        if found.identity != self.identity && !found.identity.continues(self.identity) {
            return Err(diverged("the segment is of another history"));
        }
        if found.identity != self.identity {
            // A history that goes on as another one is durable in full.
            self.sync()?;
            self.mark()?;
            self.lineage.push(Part { identity: found.identity, first: found.first });
        }
        Ok(self.guarded(|journal| {
            let file = Arc::new(prepare_segment(&journal.places.disk, number, found.bytes, header)?);
            let bytes = found.bytes;
            let begun = OpenSegment { number, file, bytes, offset: segment::HEADER_BYTES, written: true };
            let left = std::mem::replace(&mut journal.open, begun);
            if left.written {
                journal.unsynced.push((segment::file_name(left.number), left.file));
            }
            journal.identity = found.identity;
            journal.places.add_segment(number, found.first);
            Ok(())
        })?)
    }

    /// Takes whole frames from bytes of the source's segment that stand there where the copy ends, none behind the entry
    /// `until`; a frame that holds it and more is written again without what comes after it. They are durable after
    /// [`crate::Journal::sync`].
    ///
    /// # Errors
    /// When they are damaged or do not follow, `until` cannot be an end, or the disk fails.
    pub fn copy_frames(&mut self, bytes: &[u8], until: Seq) -> Result<Copied, CopyError> {
        let mut copied = Copied { ended: self.appended >= until, ..Copied::default() };
        let mut written = Vec::new();
        let mut rest = bytes;
        let mut points = Vec::new();
        while !copied.ended {
            let (number, offset) = (self.open.number, self.open.offset + written.len() as u64);
            let (frame, behind) = match self.next_frame(rest, (number, offset), until) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                // What came before it is taken first; the next call comes back to it.
                Err(_) if !written.is_empty() => break,
                Err(error) => return Err(error),
            };
            rest = behind;
            copied.frames += 1;
            points.push((number, Point { first: self.appended.next(), offset }));
            written.extend_from_slice(&frame.written);
            self.previous = frame::hash_of(&frame.written);
            self.appended = frame.last;
            copied.ended = self.appended >= until;
        }
        copied.bytes = (bytes.len() - rest.len()) as u64;
        if written.is_empty() {
            return Ok(copied);
        }
        self.guarded(|journal| {
            let OpenSegment { number, file, offset, .. } = &journal.open;
            file.write_at(&written, *offset).map_err(|cause| Fault::Io {
                action: "write",
                file: segment::file_name(*number),
                cause,
            })?;
            journal.open.offset += written.len() as u64;
            journal.open.written = true;
            journal.appended_points.append(&mut points);
            Ok(())
        })?;
        Ok(copied)
    }

    /// The frame at the front of these bytes as it is to be written, and what is behind it; `None` when it is not complete.
    fn next_frame<'b>(
        &self,
        bytes: &'b [u8],
        (number, offset): (u64, u64),
        until: Seq,
    ) -> Result<Option<(Checked<'b>, &'b [u8])>, CopyError> {
        let seq = self.appended.next();
        let damaged = |what| damaged(number, offset, seq, what);
        let diverged = |what| CopyError::Diverged { file: segment::file_name(number), offset, seq, what };
        let Some(front) = bytes.get(..frame::HEADER_BYTES) else { return Ok(None) };
        let header = frame::read_header(front).ok_or_else(|| damaged("no frame stands there"))?;
        let Some((whole, behind)) = bytes.split_at_checked(frame::HEADER_BYTES + header.payload_bytes) else {
            return Ok(None);
        };
        if frame::read_whole(whole, 0).is_none() {
            return Err(damaged("the frame does not match its checksum"));
        }
        if header.identity != self.identity || header.shard != self.places.shard {
            return Err(diverged("the frame is of another history"));
        }
        if header.first != seq || header.previous != self.previous {
            return Err(diverged("the frame does not follow the one before it"));
        }
        if header.format > frame::FORMAT_VERSION {
            let (found, expected) = (u32::from(header.format), u32::from(frame::FORMAT_VERSION));
            return Err(Fault::FormatVersion { file: segment::file_name(number), found, expected }.into());
        }
        if offset + whole.len() as u64 > self.open.bytes {
            return Err(damaged("the frame reaches past the end of the segment"));
        }
        if let [.., before, part] = self.lineage.as_slice()
            && part.first == header.first
        {
            let first = entries_of(&header, whole)?.into_iter().next();
            if !first.is_some_and(|entry| is_continuation(&entry, before.identity, part.identity)) {
                return Err(damaged("the entry is not there with which the history continues the one before"));
            }
        }
        let frame = if header.last() <= until {
            Checked { written: Cow::Borrowed(whole), last: header.last() }
        } else {
            Checked { written: Cow::Owned(part_of(&header, whole, until)?), last: until }
        };
        Ok(Some((frame, behind)))
    }
}

/// A frame that may be written.
struct Checked<'b> {
    written: Cow<'b, [u8]>,
    last: Seq,
}

/// A frame with its entries up to one, as its own history would have written it.
fn part_of(header: &ReadHeader, whole: &[u8], until: Seq) -> Result<Vec<u8>, CopyError> {
    let entries = entries_of(header, whole)?;
    let kept = usize::try_from(until.get() - header.first.get() + 1).unwrap_or(usize::MAX).min(entries.len());
    if is_inside(&entries, kept) {
        let is_end = |place: &usize| !is_inside(&entries, *place);
        let at = |place: usize| Seq::new(header.first.get() + place as u64 - 1);
        let before = (0..kept).rev().find(is_end).map_or(Seq::ZERO, at);
        let after = (kept..=entries.len()).find(is_end).map_or(header.last(), at);
        return Err(CopyError::Inside { seq: until, before, after });
    }
    let mut builder = FrameBuilder::default();
    for entry in entries.iter().take(kept) {
        builder.push(entry);
    }
    let mut written = Vec::new();
    if let Some(part) = builder.finish() {
        let binding = Binding { identity: header.identity, durable: header.durable, previous: header.previous };
        frame::seal(&part, &binding, &mut written);
    }
    Ok(written)
}

fn read_header(bytes: &[u8], number: u64, shard: ShardId) -> Result<SegmentHeader, CopyError> {
    let name = segment::file_name(number);
    match segment::decode_header(bytes, &name, shard)? {
        HeaderFound::Used(header) if header.bytes <= Layout::SEGMENT_BYTES_MAX => Ok(header),
        HeaderFound::Used(_) | HeaderFound::Unused | HeaderFound::Damaged => {
            Err(damaged(number, 0, Seq::ZERO, "the segment's header is not one"))
        }
    }
}

/// A segment full of zeros behind these first bytes.
fn prepare_segment<D: Disk>(disk: &D, number: u64, bytes: u64, header: &[u8]) -> Result<D::File, Fault> {
    let name = segment::file_name(number);
    let fault = |action| {
        let file = name.clone();
        move |cause| Fault::Io { action, file, cause }
    };
    segment::prepare(disk, number, bytes).map_err(fault("prepare"))?;
    let file = disk.open(&name).map_err(fault("open"))?;
    let file = file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?;
    let used = header.get(..segment::HEADER_BYTES_USED).unwrap_or(header);
    file.write_at(used, 0).map_err(fault("write"))?;
    file.sync().map_err(fault("sync"))?;
    Ok(file)
}

fn damaged(number: u64, offset: u64, seq: Seq, what: &'static str) -> CopyError {
    CopyError::Damaged { file: segment::file_name(number), offset, seq, what }
}

fn entries_of(header: &ReadHeader, whole: &[u8]) -> Result<Vec<Entry>, Fault> {
    let payload = whole.get(frame::HEADER_BYTES..).unwrap_or_default();
    header.view(payload).entries().map_err(|cause| Fault::Undecodable { seq: header.first, cause })
}

/// Whether an end after the first `kept` entries of a frame would take apart what became durable together: the events
/// of a chain, or an order and its details. No crash leaves that, since both stand in one frame.
fn is_inside(entries: &[Entry], kept: usize) -> bool {
    let (Some(last), Some(next)) = (kept.checked_sub(1).and_then(|place| entries.get(place)), entries.get(kept)) else {
        return false;
    };
    is_linked(last) || is_detail_of(entries.get(..kept).unwrap_or_default(), next)
}

fn is_linked(entry: &Entry) -> bool {
    let Fact::Ledger(fact) = &entry.fact else { return false };
    match fact {
        ledger::Fact::TransferCreated(transfer) => transfer.flags.contains(TransferFlags::LINKED),
        ledger::Fact::TransferScheduled(scheduled) => scheduled.new.flags.contains(TransferFlags::LINKED),
        ledger::Fact::AccountOpened(account) => account.flags.contains(AccountFlags::LINKED),
        ledger::Fact::BookOpened(_)
        | ledger::Fact::TransferFailed { .. }
        | ledger::Fact::TransferExpired(_)
        | ledger::Fact::LimitsSet { .. }
        | ledger::Fact::AddressSet { .. }
        | ledger::Fact::MetadataSet { .. }
        | ledger::Fact::ScheduledCancelled { .. }
        | ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::AccountStaged { .. }
        | ledger::Fact::TransferStaged { .. }
        | ledger::Fact::ImportNoted { .. } => false,
    }
}

/// What an order names.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Subject {
    Account(AccountId),
    Transfer(TransferKey),
}

/// Whether an entry is a detail of what one of those before it in the frame made. A change of its own that came so soon
/// looks the same, and is taken for one.
fn is_detail_of(before: &[Entry], entry: &Entry) -> bool {
    let Fact::Ledger(fact) = &entry.fact else { return false };
    let subject = if let ledger::Fact::LimitsSet { account, .. } | ledger::Fact::AddressSet { account, .. } = fact {
        Subject::Account(*account)
    } else if let ledger::Fact::MetadataSet { of: MetadataOf::Account(account), .. } = fact {
        Subject::Account(*account)
    } else if let ledger::Fact::MetadataSet { of: MetadataOf::Transfer(key), .. } = fact {
        Subject::Transfer(*key)
    } else {
        return false;
    };
    let made = |entry: &Entry| {
        let Fact::Ledger(fact) = &entry.fact else { return None };
        if let ledger::Fact::AccountOpened(account) = fact {
            Some(Subject::Account(account.id))
        } else if let ledger::Fact::TransferCreated(transfer) = fact {
            Some(Subject::Transfer(transfer.key))
        } else if let ledger::Fact::TransferScheduled(scheduled) = fact {
            Some(Subject::Transfer(scheduled.new.key))
        } else {
            None
        }
    };
    before.iter().any(|entry| made(entry) == Some(subject))
}
