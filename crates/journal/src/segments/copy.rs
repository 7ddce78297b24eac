//! A copy of a journal that another process writes: the same segment files, byte for byte, up to some point.
//!
//! Bytes arrive in order, in pieces of any size. Each frame is checked, including its link to the frame before it, and
//! is written once all of it has arrived. The copy's own mark records what was synced, so a journal opened on the copy
//! can tell a torn tail from damage, as it can on the original. An interrupted copy continues after what its mark
//! covers and fetches the rest again: anything else that it finds may be only in memory, or lost because a sync failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use types::{Seq, ShardId, Timestamp};

use crate::fault::Fault;
use crate::frame::{self, ReadHeader};
use crate::identity::Identity;
use crate::segments::SegmentStore;
use crate::segments::mark::Mark;
use crate::segments::places::{Known, NO_FRAME, Places, Point, damaged};
use crate::segments::position::{Position, StartAt};
use crate::segments::reader::FileReader;
use crate::segments::recover::Tail;
use crate::segments::segment::{self, HeaderFound, SegmentHeader};
use crate::segments::writer::{NewFrame, SegmentWriter};

/// A copy of a journal in the files of one directory. After an error it cannot be used again; open a new one.
#[derive(Debug)]
pub struct FileCopy<D: Disk> {
    writer: SegmentWriter<D>,
    /// The bytes of a header or frame that has not arrived completely.
    partial: Vec<u8>,
    last_frame: Option<FrameRange>,
    last_time: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct FrameRange {
    segment: u64,
    from: u64,
    to: u64,
}

impl FrameRange {
    /// The frame between two places.
    const fn between(place: StartAt, behind: StartAt) -> Self {
        Self { segment: place.segment, from: place.offset, to: behind.offset }
    }
}

/// Bytes that the copy contains. An original with other bytes at the same place has another history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    pub segment: u64,
    /// The byte in its file where they start.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// Why a copy cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum CopyFault {
    /// The copy's own files failed.
    #[error(transparent)]
    Own(#[from] Fault),
    /// The received bytes are not part of a valid journal: they were changed on the way, or where they were read.
    #[error("the received part of segment {segment} is damaged at byte {offset} (sequence {seq}): {what}")]
    Received {
        segment: u64,
        /// The byte in its file.
        offset: u64,
        /// The first sequence that cannot be read.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// The received bytes are intact, but belong to another history than the copy.
    #[error(
        "segment {segment} at byte {offset} does not continue the copy, which ends at sequence {last}: the histories differ"
    )]
    OtherHistory {
        segment: u64,
        /// The byte in its file.
        offset: u64,
        /// The last entry of the copy.
        last: Seq,
    },
}

impl<D: Disk> FileCopy<D> {
    /// The shard of the journal whose copy is in a directory; `None` if no copy was begun there.
    ///
    /// # Errors
    /// When the first segment cannot be read.
    pub fn shard_before_opening(disk: &D) -> Result<Option<ShardId>, Fault> {
        segment::first_shard(disk)
    }

    /// Opens the copy in a directory, or starts one. Removes everything that its mark does not cover; it will be
    /// fetched again.
    ///
    /// # Errors
    /// When anything that the mark covers is damaged or belongs to another shard, or the disk fails.
    pub fn open(disk: D, shard: ShardId) -> Result<Self, Fault> {
        let io_fault = |action| move |cause| Fault::Io { action, file: "the directory".to_owned(), cause };
        let listed = disk.list().map_err(io_fault("list"))?;
        let numbers = segment::numbers(&listed);
        let (mark, marked) = Mark::open(&disk)?;
        if marked.is_none() && has_frames(&disk, &numbers)? {
            let what = "it is missing or empty, so it is unknown how much of the copy was synced; restore it, or start a new copy in another directory";
            return Err(Fault::Damaged { file: "mark".to_owned(), offset: 0, seq: Seq::ZERO, what: what.to_owned() });
        }
        let marked = marked.map_or(Seq::ZERO, |(_, seq)| seq);
        let headers = headers(&disk, shard, &numbers, marked)?;
        let vouched = headers.len();
        let copy = Self::resume(disk.clone(), shard, mark, &headers, marked)?;
        for &number in numbers.iter().skip(vouched) {
            let fault = |cause| Fault::Io { action: "remove", file: segment::file_name(number), cause };
            disk.remove(&segment::file_name(number)).map_err(fault)?;
        }
        disk.sync_directory().map_err(io_fault("sync"))?;
        Ok(copy)
    }

    /// Continues after what the mark covers, and zeroes the rest of the last segment's file.
    fn resume(
        disk: D,
        shard: ShardId,
        mark: Mark<D::File>,
        headers: &BTreeMap<u64, SegmentHeader>,
        marked: Seq,
    ) -> Result<Self, Fault> {
        let before = |header: &SegmentHeader| Known { first: header.first, points: None };
        let mut segments: BTreeMap<u64, Known> =
            headers.iter().map(|(number, header)| (*number, before(header))).collect();
        let (partial, mut last_frame, mut last_time) = (Vec::new(), None, Timestamp::ZERO);
        let Some((_, header)) = headers.last_key_value() else {
            let places = Arc::new(Places::new(disk, shard, segments, marked));
            return Ok(Self { writer: SegmentWriter::empty(places, mark), partial, last_frame, last_time });
        };
        let SegmentHeader { number, identity, first, previous, .. } = *header;
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let file = disk.open(&name).map_err(fault("open"))?;
        let file = file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?;
        let bytes = file.len().map_err(fault("measure"))?;
        let mut content = vec![0; usize::try_from(bytes.min(Position::SEGMENT_BYTES_MAX)).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut content, 0).map_err(fault("read"))?;
        content.truncate(count);
        let mut known = Known::from_the_first_frame(first);
        let offset = segment::HEADER_BYTES;
        let mut place = StartAt { seq: Seq::new(first.get() - 1), segment: number, offset, previous };
        while place.seq < marked {
            let rest = usize::try_from(place.offset).ok().and_then(|offset| content.get(offset..));
            let whole = rest.and_then(|rest| frame::read_whole(rest, 0)).filter(|(header, _)| {
                let follows = header.first == place.seq.next() && header.previous == place.previous;
                follows && header.identity == identity && header.last() <= marked
            });
            let Some((header, written)) = whole else {
                return Err(damaged(number, place.offset, place.seq.next(), NO_FRAME));
            };
            known.note(Point { first: header.first, offset: place.offset });
            let behind = behind(place, &header, written);
            last_frame = Some(FrameRange::between(place, behind));
            (place, last_time) = (behind, header.base_time);
        }
        let end = usize::try_from(place.offset).unwrap_or(usize::MAX);
        if content.get(end..).is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
            segment::write_zeros(&file, place.offset, bytes).map_err(fault("write"))?;
            file.sync().map_err(fault("sync"))?;
        }
        segments.insert(number, known);
        let places = Arc::new(Places::new(disk, shard, segments, marked));
        let tail = Tail { number, file: Arc::new(file), bytes, offset: place.offset, identity };
        let writer = SegmentWriter::resumed(places, mark, tail, place.previous);
        Ok(Self { writer, partial, last_frame, last_time })
    }

    /// The last entry that has arrived; it is safe once [`FileCopy::sync`] has returned.
    pub fn last(&self) -> Seq {
        self.writer.place().seq
    }

    /// When the first entry of the last frame was decided: everything that was decided earlier has arrived.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// The identity of the last entry; `None` if there is none.
    pub fn identity(&self) -> Option<Identity> {
        self.writer.identity()
    }

    /// The next bytes that the copy needs: a segment's number and a byte in its file.
    pub fn wanted(&self) -> (u64, u64) {
        let (number, offset) = self.open_place();
        (number, offset.saturating_add(self.partial.len() as u64))
    }

    /// Where the open segment continues, or the next one begins.
    fn open_place(&self) -> (u64, u64) {
        let StartAt { segment, offset, .. } = self.writer.place();
        if self.writer.open_bytes().is_some() { (segment, offset) } else { (self.writer.next_number(), 0) }
    }

    /// The bytes that the original must contain too: the header of the last segment and its last frame. The hash chain
    /// links both to everything before them. Empty if the copy is empty.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn held(&self) -> Result<Vec<HeldBytes>, Fault> {
        let Some(FrameRange { segment, from, to }) = self.last_frame else { return Ok(Vec::new()) };
        let name = segment::file_name(segment);
        let fault = |cause| Fault::Io { action: "read", file: name.clone(), cause };
        let file = self.disk().open(&name).and_then(|file| file.ok_or(std::io::ErrorKind::NotFound.into()));
        let file = file.map_err(fault)?;
        let read = |from: u64, to: u64| {
            let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
            let count = file.read_at(&mut bytes, from).map_err(fault)?;
            bytes.truncate(count);
            Ok(HeldBytes { segment, offset: from, bytes })
        };
        Ok(vec![read(0, segment::HEADER_BYTES_USED as u64)?, read(from, to)?])
    }

    /// Takes the original's bytes from [`FileCopy::wanted`] on; the original's file has `file_bytes` bytes. Frames that
    /// are complete now are checked and written, but not synced yet.
    ///
    /// # Errors
    /// When they are damaged, do not continue what the copy contains, or cannot be written.
    pub fn take(&mut self, bytes: &[u8], file_bytes: u64) -> Result<(), CopyFault> {
        self.partial.extend_from_slice(bytes);
        let open_bytes = match self.writer.open_bytes() {
            Some(open_bytes) => open_bytes,
            None if self.begin(file_bytes)? => file_bytes,
            None => return Ok(()),
        };
        let mut place = self.writer.place();
        if open_bytes != file_bytes {
            let what = format!("its file has {open_bytes} bytes in the copy and {file_bytes} bytes in the original");
            return Err(damaged(place.segment, open_bytes.min(file_bytes), place.seq.next(), &what).into());
        }
        let arrived = std::mem::take(&mut self.partial);
        let (mut rest, mut frames) = (arrived.as_slice(), Vec::new());
        let (mut last_frame, mut last_time) = (self.last_frame, self.last_time);
        while let Some((header, written)) = self.next_frame(rest, &place, file_bytes)? {
            let behind = behind(place, &header, written);
            frames.push(NewFrame { first: header.first, behind });
            last_frame = Some(FrameRange::between(place, behind));
            (place, last_time) = (behind, header.base_time);
            rest = rest.get(written.len()..).unwrap_or_default();
        }
        if !frames.is_empty() {
            let whole = arrived.get(..arrived.len() - rest.len()).unwrap_or_default();
            self.writer.append(whole, &frames)?;
            (self.last_frame, self.last_time) = (last_frame, last_time);
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    /// The frame at `place`, at the front of these bytes; `None` if it is not complete.
    fn next_frame<'b>(
        &self,
        bytes: &'b [u8],
        place: &StartAt,
        file_bytes: u64,
    ) -> Result<Option<(ReadHeader, &'b [u8])>, CopyFault> {
        if bytes.len() < frame::HEADER_BYTES {
            return Ok(None);
        }
        let spoilt = |what: &str| spoilt(place, what);
        let header = frame::read_header(bytes).ok_or_else(|| spoilt(NO_FRAME))?;
        if header.format > frame::FORMAT_VERSION {
            let (found, expected) = (u32::from(header.format), u32::from(frame::FORMAT_VERSION));
            return Err(Fault::FormatVersion { file: segment::file_name(place.segment), found, expected }.into());
        }
        let follows = header.first == place.seq.next() && header.previous == place.previous;
        let is_of_segment = Some(header.identity) == self.writer.identity() && header.shard == self.shard();
        if !follows || !is_of_segment {
            return Err(other_history(place));
        }
        if place.offset.saturating_add(header.written_bytes()) > file_bytes {
            return Err(spoilt("the frame does not fit in the segment's file"));
        }
        if bytes.len() < frame::HEADER_BYTES + header.payload_bytes {
            return Ok(None);
        }
        let whole = frame::read_whole(bytes, 0);
        whole.map(Some).ok_or_else(|| spoilt("the frame's payload does not match its checksum"))
    }

    /// Begins the segment once its header has arrived; false if the header is not complete.
    fn begin(&mut self, file_bytes: u64) -> Result<bool, CopyFault> {
        let header_bytes = usize::try_from(segment::HEADER_BYTES).unwrap_or(usize::MAX);
        let Some(block) = self.partial.get(..header_bytes) else { return Ok(false) };
        let (number, offset) = self.open_place();
        let place = StartAt { segment: number, offset, ..self.writer.place() };
        let header = match segment::decode_header(block, &segment::file_name(number), self.shard())? {
            HeaderFound::Used(header) => header,
            HeaderFound::Unused | HeaderFound::Damaged => {
                return Err(spoilt(&place, "the segment's header is damaged"));
            }
        };
        let follows = header.number == number && header.first == place.seq.next() && header.previous == place.previous;
        let identity = header.identity;
        if !follows || !self.writer.identity().is_none_or(|before| identity == before || identity.continues(before)) {
            return Err(other_history(&place));
        }
        if !(segment::HEADER_BYTES..=Position::SEGMENT_BYTES_MAX).contains(&file_bytes) {
            return Err(spoilt(&place, &format!("a segment's file cannot have {file_bytes} bytes")));
        }
        let used = block.get(..segment::HEADER_BYTES_USED);
        self.writer.begin(identity, segment::prepare(self.disk(), number, file_bytes), used)?;
        self.writer.sync_header()?;
        self.partial.drain(..header_bytes);
        Ok(true)
    }

    /// Makes every complete frame survive a crash, and marks it; returns the last entry.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<Seq, Fault> {
        if self.writer.is_unsynced() {
            self.writer.sync()?;
            self.writer.mark()?;
        }
        Ok(self.last())
    }

    /// The original's segment gets no more frames: continues with the next one.
    ///
    /// # Errors
    /// When a frame is not complete, or the disk fails.
    pub fn finish_segment(&mut self) -> Result<(), CopyFault> {
        if self.writer.open_bytes().is_none() || !self.partial.is_empty() {
            let (segment, offset) = self.open_place();
            let place = StartAt { segment, offset, ..self.writer.place() };
            return Err(spoilt(&place, "the segment ends within a frame"));
        }
        self.sync()?;
        self.writer.leave();
        Ok(())
    }

    /// Discards the bytes of an incomplete frame, so that the caller can ask for them again.
    pub fn forget_partial(&mut self) {
        self.partial.clear();
    }

    fn disk(&self) -> &D {
        &self.writer.places().disk
    }

    fn shard(&self) -> ShardId {
        self.writer.places().shard
    }
}

impl<D: Disk> SegmentStore for FileCopy<D> {
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

fn spoilt(place: &StartAt, what: &str) -> CopyFault {
    let StartAt { seq, segment, offset, .. } = *place;
    CopyFault::Received { segment, offset, seq: seq.next(), what: what.to_owned() }
}

fn other_history(place: &StartAt) -> CopyFault {
    CopyFault::OtherHistory { segment: place.segment, offset: place.offset, last: place.seq }
}

/// The place after a frame that starts at `place`.
fn behind(place: StartAt, header: &ReadHeader, written: &[u8]) -> StartAt {
    let (seq, previous) = (header.last(), frame::hash_of(written));
    StartAt { seq, offset: place.offset + header.written_bytes(), previous, ..place }
}

/// The headers of the segments that the mark covers.
pub(super) fn headers<D: Disk>(
    disk: &D,
    shard: ShardId,
    numbers: &[u64],
    marked: Seq,
) -> Result<BTreeMap<u64, SegmentHeader>, Fault> {
    const MISSING: &str = "the segment is missing, or its header is damaged or belongs to another segment";
    let mut headers = BTreeMap::<u64, SegmentHeader>::new();
    for expected in 1.. {
        let before = headers.last_key_value().map(|(_, header)| header);
        let found = numbers.contains(&expected).then(|| header(disk, shard, expected)).transpose()?.flatten();
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
            // This segment has no header yet, so the one before must contain the rest; reading it will show whether it
            // does.
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

fn header<D: Disk>(disk: &D, shard: ShardId, number: u64) -> Result<Option<SegmentHeader>, Fault> {
    let name = segment::file_name(number);
    let opened = disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
    let Some(file) = opened else { return Ok(None) };
    match segment::read_header(&file, &name, shard)? {
        HeaderFound::Used(header) => Ok(Some(header)),
        HeaderFound::Unused | HeaderFound::Damaged => Ok(None),
    }
}

/// Whether there are any bytes at the place of a segment's first frame. The mark is written before any frame.
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
