//! A copy of a journal that another process writes: the same segment files, byte for byte, as far as it goes.
//!
//! Bytes come in order, in pieces of any size. Each frame is checked and chained to the one before it as it arrives, and
//! written when it is there in full. What was synced, the copy's own mark says; so a journal opened on the copy tells a
//! torn tail from damage, as it does on the original. An interrupted copy goes on behind what its mark vouches for and
//! fetches the rest again: what it finds there may be in memory only, or lost to a sync that failed.

use std::collections::BTreeMap;

use types::{Seq, ShardId, Timestamp};

use crate::contract::{Fault, Identity};
use crate::frame::{self, FrameHash, ReadHeader};
use crate::mark::Mark;
use crate::places::{NO_FRAME, damaged};
use crate::position::Position;
use crate::segment::{self, HeaderFound, SegmentHeader};
use disk::{Disk, DiskFile};

/// A copy of a journal in the files of one directory. After an error it is of no more use; open it again.
#[derive(Debug)]
pub struct FileCopy<D: Disk> {
    disk: D,
    shard: ShardId,
    mark: Mark<D::File>,
    /// The segment that is copied, or will be.
    number: u64,
    /// Its file, once its header is there.
    filling: Option<Filling<D::File>>,
    /// What arrived of a header or of a frame that is not there in full.
    partial: Vec<u8>,
    /// Which history the last entry is of.
    identity: Option<Identity>,
    last: Seq,
    previous: FrameHash,
    last_frame: Option<FrameRange>,
    last_time: Timestamp,
}

#[derive(Debug)]
struct Filling<F> {
    file: F,
    bytes: u64,
    identity: Identity,
    offset: u64,
    synced: bool,
}

#[derive(Debug, Clone, Copy)]
struct FrameRange {
    segment: u64,
    from: u64,
    to: u64,
}

/// Bytes that the copy holds. An original that holds others at the same place is of another history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// The segment.
    pub segment: u64,
    /// From which byte of its file on.
    pub offset: u64,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// Why a copy does not go on.
#[derive(Debug, thiserror::Error)]
pub enum CopyFault {
    /// The copy's own files.
    #[error(transparent)]
    Own(#[from] Fault),
    /// What arrived is not what a journal holds: it was changed on its way, or where it was read.
    #[error("what arrived for segment {segment} is damaged at byte {offset} (sequence {seq}): {what}")]
    Received {
        /// The segment.
        segment: u64,
        /// The byte in its file.
        offset: u64,
        /// The first sequence that cannot be read.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// What arrived is intact, and belongs to another history than what the copy holds.
    #[error(
        "segment {segment} at byte {offset} does not continue what the copy holds up to sequence {last}: the histories differ"
    )]
    OtherHistory {
        /// The segment.
        segment: u64,
        /// The byte in its file.
        offset: u64,
        /// The last entry of the copy.
        last: Seq,
    },
}

impl<D: Disk> FileCopy<D> {
    /// The shard whose journal a directory holds a copy of; `None` when none was begun there.
    ///
    /// # Errors
    /// When the first segment cannot be read.
    pub fn shard_before_opening(disk: &D) -> Result<Option<ShardId>, Fault> {
        let name = segment::file_name(1);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let Some(file) = disk.open(&name).map_err(fault("open"))? else { return Ok(None) };
        let mut header = [0; segment::HEADER_BYTES_USED];
        let count = file.read_at(&mut header, 0).map_err(fault("read"))?;
        Ok(header.get(..count).and_then(segment::shard_of))
    }

    /// Opens the copy in a directory, or starts one. Whatever its mark does not vouch for is removed: it will be fetched
    /// again.
    ///
    /// # Errors
    /// When what the mark vouches for is damaged or of another shard, or the disk fails.
    pub fn open(disk: D, shard: ShardId) -> Result<Self, Fault> {
        let io_fault = |action| move |cause| Fault::Io { action, file: "the directory".to_owned(), cause };
        let listed = disk.list().map_err(io_fault("list"))?;
        let numbers = segment::numbers(&listed);
        let (mark, marked) = Mark::open(&disk)?;
        if marked.is_none() && has_frames(&disk, &numbers)? {
            let what = "it is missing or empty, so nobody knows how much of the copy was synced; put it back, or begin a new copy elsewhere";
            return Err(Fault::Damaged { file: "mark".to_owned(), offset: 0, seq: Seq::ZERO, what: what.to_owned() });
        }
        let marked = marked.map_or(Seq::ZERO, |(_, seq)| seq);
        let mut copy = Self {
            disk,
            shard,
            mark,
            number: 1,
            filling: None,
            partial: Vec::new(),
            identity: None,
            last: Seq::ZERO,
            previous: FrameHash::default(),
            last_frame: None,
            last_time: Timestamp::ZERO,
        };
        let headers = copy.headers(&numbers, marked)?;
        if let Some((_, header)) = headers.last_key_value() {
            copy.resume(header, marked)?;
        }
        let vouched = headers.len();
        for &number in numbers.iter().skip(vouched) {
            let fault = |cause| Fault::Io { action: "remove", file: segment::file_name(number), cause };
            copy.disk.remove(&segment::file_name(number)).map_err(fault)?;
        }
        copy.disk.sync_directory().map_err(io_fault("sync"))?;
        Ok(copy)
    }

    /// The headers of the segments that hold what the mark vouches for.
    fn headers(&self, numbers: &[u64], marked: Seq) -> Result<BTreeMap<u64, SegmentHeader>, Fault> {
        const MISSING: &str = "the segment is missing or its header is not the one that belongs here";
        let mut headers = BTreeMap::<u64, SegmentHeader>::new();
        for expected in 1.. {
            let before = headers.last_key_value().map(|(_, header)| header);
            let found = numbers.contains(&expected).then(|| self.header(expected)).transpose()?.flatten();
            let follows = |header: &SegmentHeader| match before {
                Some(before) => {
                    header.first >= before.first
                        && (header.identity == before.identity || header.identity.continues(before.identity))
                }
                None => header.first == Seq::new(1),
            };
            match found {
                Some(header) if header.number == expected && follows(&header) && header.first <= marked => {
                    headers.insert(expected, header);
                }
                // There is none for what comes next: the one before must hold the rest, which reading it shows.
                None if before.is_some() || marked == Seq::ZERO => break,
                Some(header) if header.number == expected && header.first > marked => break,
                Some(_) | None => {
                    let seq = before.map_or(Seq::new(1), |header| header.first);
                    return Err(damaged(expected, 0, seq, MISSING));
                }
            }
        }
        Ok(headers)
    }

    fn header(&self, number: u64) -> Result<Option<SegmentHeader>, Fault> {
        let name = segment::file_name(number);
        let opened = self.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        let Some(file) = opened else { return Ok(None) };
        match segment::read_header(&file, &name, self.shard)? {
            HeaderFound::Used(header) => Ok(Some(header)),
            HeaderFound::Unused | HeaderFound::Damaged => Ok(None),
        }
    }

    /// Goes on in a segment behind what the mark vouches for; what else stands in its file is zeroed.
    fn resume(&mut self, header: &SegmentHeader, marked: Seq) -> Result<(), Fault> {
        let SegmentHeader { number, identity, first, previous, .. } = *header;
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let file = self.disk.open(&name).map_err(fault("open"))?;
        let file = file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?;
        let bytes = file.len().map_err(fault("measure"))?;
        let mut content = vec![0; usize::try_from(bytes.min(Position::SEGMENT_BYTES_MAX)).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut content, 0).map_err(fault("read"))?;
        content.truncate(count);
        (self.number, self.identity, self.previous) = (number, Some(identity), previous);
        self.last = Seq::new(first.get() - 1);
        let mut filling = Filling { file, bytes, identity, offset: segment::HEADER_BYTES, synced: true };
        while self.last < marked {
            let rest = usize::try_from(filling.offset).ok().and_then(|offset| content.get(offset..));
            let whole = rest.and_then(|rest| frame::read_whole(rest, 0)).filter(|(header, _)| {
                let follows = header.first == self.last.next() && header.previous == self.previous;
                follows && header.identity == identity && header.last() <= marked
            });
            let Some((header, written)) = whole else {
                return Err(damaged(number, filling.offset, self.last.next(), NO_FRAME));
            };
            self.follow(&header, frame::hash_of(written), &mut filling);
        }
        let end = usize::try_from(filling.offset).unwrap_or(usize::MAX);
        if content.get(end..).is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
            segment::write_zeros(&filling.file, filling.offset, bytes).map_err(fault("write"))?;
            filling.file.sync().map_err(fault("sync"))?;
        }
        self.filling = Some(filling);
        Ok(())
    }

    /// Takes note of a frame that stands in the file or will.
    fn follow(&mut self, header: &ReadHeader, hash: FrameHash, filling: &mut Filling<D::File>) {
        let (from, to) = (filling.offset, filling.offset + header.written_bytes());
        self.last_frame = Some(FrameRange { segment: self.number, from, to });
        self.last = header.last();
        self.last_time = header.base_time;
        self.previous = hash;
        filling.offset = to;
    }

    /// The last entry that arrived; it is safe once [`FileCopy::sync`] returned.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// When the first entry of the last frame was decided: all that was decided before has arrived.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Which history the last entry is of; `None` while there is none.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// From where on bytes are wanted: a segment's number and a byte in its file.
    pub fn wanted(&self) -> (u64, u64) {
        let offset = self.filling.as_ref().map_or(0, |filling| filling.offset);
        (self.number, offset.saturating_add(self.partial.len() as u64))
    }

    /// What the original must hold as well: the header of the last segment and its last frame. Each is chained to all that
    /// comes before it. Empty while the copy is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn held(&self) -> Result<Vec<HeldBytes>, Fault> {
        let Some(FrameRange { segment, from, to }) = self.last_frame else { return Ok(Vec::new()) };
        let name = segment::file_name(segment);
        let fault = |cause| Fault::Io { action: "read", file: name.clone(), cause };
        let file = self.disk.open(&name).and_then(|file| file.ok_or(std::io::ErrorKind::NotFound.into()));
        let file = file.map_err(fault)?;
        let read = |from: u64, to: u64| {
            let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
            let count = file.read_at(&mut bytes, from).map_err(fault)?;
            bytes.truncate(count);
            Ok(HeldBytes { segment, offset: from, bytes })
        };
        Ok(vec![read(0, segment::HEADER_BYTES_USED as u64)?, read(from, to)?])
    }

    /// Takes the bytes of the original from [`FileCopy::wanted`] on; the original's file is `file_bytes` long. Frames that
    /// are whole now are checked and written, not synced yet.
    ///
    /// # Errors
    /// When they are damaged, do not follow what the copy holds, or cannot be written.
    pub fn take(&mut self, bytes: &[u8], file_bytes: u64) -> Result<(), CopyFault> {
        self.partial.extend_from_slice(bytes);
        let mut filling = match self.filling.take() {
            Some(filling) => filling,
            None => match self.begin(file_bytes)? {
                Some(filling) => filling,
                None => return Ok(()),
            },
        };
        if filling.bytes != file_bytes {
            let what = format!("its file has {} bytes here, {file_bytes} there", filling.bytes);
            return Err(damaged(self.number, filling.bytes.min(file_bytes), self.last.next(), &what).into());
        }
        let start = filling.offset;
        let arrived = std::mem::take(&mut self.partial);
        let mut rest = arrived.as_slice();
        while let Some((header, written)) = self.next_frame(rest, &filling)? {
            let hash = frame::hash_of(written);
            self.follow(&header, hash, &mut filling);
            rest = rest.get(written.len()..).unwrap_or_default();
        }
        let whole = arrived.get(..arrived.len() - rest.len()).unwrap_or_default();
        if !whole.is_empty() {
            let fault = |cause| Fault::Io { action: "write", file: segment::file_name(self.number), cause };
            filling.file.write_at(whole, start).map_err(fault)?;
            filling.synced = false;
        }
        self.partial = rest.to_vec();
        self.filling = Some(filling);
        Ok(())
    }

    /// The frame that these bytes begin with; `None` when it is not there in full.
    fn next_frame<'b>(
        &self,
        bytes: &'b [u8],
        filling: &Filling<D::File>,
    ) -> Result<Option<(ReadHeader, &'b [u8])>, CopyFault> {
        if bytes.len() < frame::HEADER_BYTES {
            return Ok(None);
        }
        let spoilt = |what: &str| self.spoilt(filling.offset, what);
        let header = frame::read_header(bytes).ok_or_else(|| spoilt(NO_FRAME))?;
        if header.format > frame::FORMAT_VERSION {
            let (found, expected) = (u32::from(header.format), u32::from(frame::FORMAT_VERSION));
            return Err(Fault::FormatVersion { file: segment::file_name(self.number), found, expected }.into());
        }
        let follows = header.first == self.last.next() && header.previous == self.previous;
        if !follows || header.identity != filling.identity || header.shard != self.shard {
            return Err(self.other_history(filling.offset));
        }
        if filling.offset.saturating_add(header.written_bytes()) > filling.bytes {
            return Err(spoilt("the frame does not fit into the segment's file"));
        }
        if bytes.len() < frame::HEADER_BYTES + header.payload_bytes {
            return Ok(None);
        }
        let whole = frame::read_whole(bytes, 0);
        whole.map(Some).ok_or_else(|| spoilt("the frame's payload does not match its checksum"))
    }

    /// Begins the segment whose header has arrived; `None` when it has not in full.
    fn begin(&mut self, file_bytes: u64) -> Result<Option<Filling<D::File>>, CopyFault> {
        let header_bytes = usize::try_from(segment::HEADER_BYTES).unwrap_or(usize::MAX);
        let Some(block) = self.partial.get(..header_bytes) else { return Ok(None) };
        let name = segment::file_name(self.number);
        let header = match segment::decode_header(block, &name, self.shard)? {
            HeaderFound::Used(header) => header,
            HeaderFound::Unused | HeaderFound::Damaged => return Err(self.spoilt(0, "the segment's header is damaged")),
        };
        let follows = header.first == self.last.next() && header.previous == self.previous;
        if header.number != self.number
            || !follows
            || !self.identity.is_none_or(|before| header.identity == before || header.identity.continues(before))
        {
            return Err(self.other_history(0));
        }
        if !(segment::HEADER_BYTES..=Position::SEGMENT_BYTES_MAX).contains(&file_bytes) {
            return Err(self.spoilt(0, &format!("a segment's file cannot have {file_bytes} bytes")));
        }
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        segment::prepare(&self.disk, self.number, file_bytes).map_err(fault("prepare"))?;
        let file = self.disk.open(&name).map_err(fault("open"))?;
        let file = file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?;
        let header_used = block.get(..segment::HEADER_BYTES_USED).unwrap_or(block);
        file.write_at(header_used, 0).map_err(fault("write"))?;
        file.sync().map_err(fault("sync"))?;
        if self.last == Seq::ZERO {
            // As when a journal begins: there is no entry without a mark.
            self.mark.write(header.identity, Seq::ZERO)?;
        }
        self.partial.drain(..header_bytes);
        self.identity = Some(header.identity);
        let (identity, offset) = (header.identity, segment::HEADER_BYTES);
        Ok(Some(Filling { file, bytes: file_bytes, identity, offset, synced: true }))
    }

    /// Makes everything that arrived in full survive a crash, and marks it; says the last entry.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<Seq, Fault> {
        let Some(filling) = self.filling.as_mut().filter(|filling| !filling.synced) else { return Ok(self.last) };
        let fault = |cause| Fault::Io { action: "sync", file: segment::file_name(self.number), cause };
        filling.file.sync().map_err(fault)?;
        filling.synced = true;
        self.mark.write(filling.identity, self.last)?;
        Ok(self.last)
    }

    /// The original's segment has no more frames: goes on with the next one.
    ///
    /// # Errors
    /// When a frame is not there in full, or the disk fails.
    pub fn finish_segment(&mut self) -> Result<(), CopyFault> {
        let offset = self.filling.as_ref().map_or(0, |filling| filling.offset);
        if self.filling.is_none() || !self.partial.is_empty() {
            return Err(self.spoilt(offset, "the segment ends within a frame"));
        }
        self.sync()?;
        self.filling = None;
        self.number += 1;
        Ok(())
    }

    /// Forgets what is not there in full, for whoever asks anew.
    pub fn forget_partial(&mut self) {
        self.partial.clear();
    }

    fn spoilt(&self, offset: u64, what: &str) -> CopyFault {
        CopyFault::Received { segment: self.number, offset, seq: self.last.next(), what: what.to_owned() }
    }

    fn other_history(&self, offset: u64) -> CopyFault {
        CopyFault::OtherHistory { segment: self.number, offset, last: self.last }
    }
}

/// Whether anything stands where the first frame of a segment does. The mark is written before any frame.
fn has_frames<D: Disk>(disk: &D, numbers: &[u64]) -> Result<bool, Fault> {
    for &number in numbers {
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let Some(file) = disk.open(&name).map_err(fault("open"))? else { continue };
        let mut bytes = [0_u8; 64];
        let count = file.read_at(&mut bytes, segment::HEADER_BYTES).map_err(fault("read"))?;
        if bytes.iter().take(count).any(|&byte| byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}
