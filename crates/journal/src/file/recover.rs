//! Opening a journal: reads every frame, tells a torn tail from damage, and makes what it accepts durable.
//!
//! A crash may leave the last frames, those above the durable position, incomplete, missing or in any mixture: nobody
//! was told of them, and the tail is cut at the last whole frame. Anything wrong at or below the durable position is
//! damage, and the journal refuses to open. The durable position is known from the mark, written within 10 ms of an
//! acknowledgement, and from every later frame, which states what was durable when it was written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use engine::Entry;
use types::{Epoch, Origin, Seq, ShardId};

use super::{FileJournal, Layout, OpenSegment};
use crate::contract::{Fault, Identity};
use crate::disk::{Disk, DiskFile};
use crate::frame::{self, Frame, FrameHash};
use crate::mark::Mark;
use crate::reader::{Located, Shared};
use crate::segment::{self, HeaderFound, SegmentHeader};

/// What opening a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The last entry.
    pub last: Seq,
    /// What was cut off, if anything.
    pub torn: Option<TornTail>,
}

/// The tail that a crash left unfinished. Nobody was told of anything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Where it starts.
    pub file: String,
    /// Byte in that file.
    pub offset: u64,
    /// The last entry that was kept.
    pub after: Seq,
}

impl<D: Disk> FileJournal<D> {
    /// Opens the journal of a directory, or starts one with the identity that `origin` gives. Every entry is shown to
    /// `visit` in order; an error of its stops the opening.
    pub fn open(
        disk: D,
        layout: Layout,
        shard: ShardId,
        origin: impl FnOnce() -> Origin,
        visit: &mut dyn FnMut(&Entry) -> Result<(), Fault>,
    ) -> Result<(Self, Recovered), Fault> {
        assert!(layout.segment_bytes >= Layout::SEGMENT_BYTES_MIN, "JRN-3: a segment holds at least one full frame");
        let (mark, marked) = Mark::open(&disk)?;
        let mut scan = Scan::new(&disk, shard, marked);
        scan.run(visit)?;
        let scan = scan.into_found();
        match scan.open {
            Some(open) => reopen(disk, layout, shard, mark, scan.rest, open),
            None if marked.is_some_and(|(_, seq)| seq > Seq::ZERO) => Err(Fault::Damaged {
                file: segment::file_name(1),
                offset: 0,
                seq: Seq::new(1),
                what: "the segments are missing, though the mark says that entries were acknowledged".to_owned(),
            }),
            None => start(disk, layout, shard, mark, Identity { origin: origin(), epoch: Epoch::new(1) }),
        }
    }
}

/// Starts a journal in an empty directory.
fn start<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    identity: Identity,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let name = segment::file_name(1);
    let io_fault = |action| {
        let file = name.clone();
        move |cause| Fault::Io { action, file, cause }
    };
    segment::prepare(&disk, 1, layout.segment_bytes).map_err(io_fault("prepare"))?;
    let file = disk.open(&name).map_err(io_fault("open"))?;
    let file = Arc::new(file.ok_or_else(|| io_fault("open")(std::io::ErrorKind::NotFound.into()))?);
    let header = SegmentHeader {
        shard,
        identity,
        number: 1,
        first: Seq::new(1),
        bytes: layout.segment_bytes,
        previous: FrameHash::default(),
    };
    file.write_at(&segment::encode_header(&header), 0).map_err(io_fault("write"))?;
    file.sync().map_err(io_fault("sync"))?;
    mark.write(identity, Seq::ZERO)?;
    let open = Tail { number: 1, file, bytes: layout.segment_bytes, offset: segment::HEADER_BYTES, identity };
    let rest = Rest { previous: FrameHash::default(), last: Seq::ZERO, marked: Seq::ZERO, ..Rest::default() };
    reopen(disk, layout, shard, mark, rest, open)
}

/// Makes the accepted tail durable and continues after it.
fn reopen<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    rest: Rest<D::File>,
    tail: Tail<D::File>,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let Rest { mut segments, frames, previous, last, marked, torn, stale } = rest;
    segments.insert(tail.number, Arc::clone(&tail.file));
    make_durable(&disk, layout, &segments, &frames, marked, &tail, &stale)?;
    mark.write(tail.identity, last)?;
    let mut journal = FileJournal {
        shared: Shared::new(segments, frames),
        disk,
        layout,
        shard,
        identity: tail.identity,
        open: OpenSegment {
            number: tail.number,
            file: tail.file,
            bytes: tail.bytes,
            offset: tail.offset,
            written: false,
        },
        unsynced: Vec::new(),
        preparing: None,
        previous,
        appended: last,
        durable: Arc::new(AtomicU64::new(last.get())),
        mark,
        located: Vec::new(),
        poisoned: None,
    };
    journal.prepare_ahead();
    Ok((journal, Recovered { last, torn }))
}

/// Frames above the mark may be in memory only (a killed process), or lost to a sync that failed: they are written
/// again, what follows them is zeroed, and all of it is synced before anybody is served.
fn make_durable<D: Disk>(
    disk: &D,
    layout: Layout,
    segments: &BTreeMap<u64, Arc<D::File>>,
    frames: &[Located],
    marked: Seq,
    tail: &Tail<D::File>,
    stale: &[u64],
) -> Result<(), Fault> {
    let fault = |action, number| move |cause| Fault::Io { action, file: segment::file_name(number), cause };
    let unmarked = frames.partition_point(|frame| frame.last <= marked);
    let mut touched = vec![tail.number];
    for located in frames.get(unmarked..).unwrap_or_default() {
        let Some(file) = segments.get(&located.segment) else { continue };
        let mut bytes = vec![0; located.bytes];
        file.read_at(&mut bytes, located.offset).map_err(fault("read", located.segment))?;
        file.write_at(&bytes, located.offset).map_err(fault("write", located.segment))?;
        touched.push(located.segment);
    }
    segment::write_zeros(tail.file.as_ref(), tail.offset, tail.bytes).map_err(fault("write", tail.number))?;
    touched.dedup();
    for number in touched {
        if let Some(file) = segments.get(&number) {
            file.sync().map_err(fault("sync", number))?;
        }
    }
    for &number in stale {
        segment::prepare(disk, number, layout.segment_bytes).map_err(fault("prepare", number))?;
    }
    Ok(())
}

/// Where writing goes on.
#[derive(Debug)]
struct Tail<F> {
    number: u64,
    file: Arc<F>,
    bytes: u64,
    offset: u64,
    identity: Identity,
}

/// Everything else that the scan found.
#[derive(Debug)]
struct Rest<F> {
    segments: BTreeMap<u64, Arc<F>>,
    frames: Vec<Located>,
    previous: FrameHash,
    last: Seq,
    marked: Seq,
    torn: Option<TornTail>,
    /// Segments after the tail that were begun and must be prepared again.
    stale: Vec<u64>,
}

impl<F> Default for Rest<F> {
    fn default() -> Self {
        Self {
            segments: BTreeMap::new(),
            frames: Vec::new(),
            previous: FrameHash::default(),
            last: Seq::ZERO,
            marked: Seq::ZERO,
            torn: None,
            stale: Vec::new(),
        }
    }
}

struct Found<F> {
    open: Option<Tail<F>>,
    rest: Rest<F>,
}

/// One pass over all segments.
struct Scan<'a, D: Disk> {
    disk: &'a D,
    shard: ShardId,
    marked: Option<(Identity, Seq)>,
    open: Option<Tail<D::File>>,
    rest: Rest<D::File>,
}

impl<'a, D: Disk> Scan<'a, D> {
    fn new(disk: &'a D, shard: ShardId, marked: Option<(Identity, Seq)>) -> Self {
        Self { disk, shard, marked, open: None, rest: Rest::default() }
    }

    fn into_found(self) -> Found<D::File> {
        Found { open: self.open, rest: self.rest }
    }

    fn run(&mut self, visit: &mut dyn FnMut(&Entry) -> Result<(), Fault>) -> Result<(), Fault> {
        let listed =
            self.disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
        let numbers = segment::numbers(&listed);
        for (position, &number) in numbers.iter().enumerate() {
            let expected = position as u64 + 1;
            if number != expected {
                return Err(self.damaged(expected, 0, "the segment file is missing"));
            }
            let later = numbers.get(position + 1..).unwrap_or_default();
            if !self.scan_segment(number, later, visit)? {
                break;
            }
        }
        self.check_mark()
    }

    /// Reads one segment; says whether the next one may follow.
    fn scan_segment(
        &mut self,
        number: u64,
        later: &[u64],
        visit: &mut dyn FnMut(&Entry) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let file = self.disk.open(&name).map_err(fault("open"))?;
        let file = Arc::new(file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?);
        let header = match segment::read_header(file.as_ref(), &name, self.shard)? {
            HeaderFound::Used(header) if self.continues(number, &header) => header,
            HeaderFound::Used(_) | HeaderFound::Damaged => {
                self.cut(number, 0, &[], later, "the segment's header is not the one that belongs here")?;
                self.rest.stale.insert(0, number);
                return Ok(false);
            }
            HeaderFound::Unused => {
                self.cut(number, 0, &[], later, "the segment is empty")?;
                return Ok(false);
            }
        };
        let bytes = file.len().map_err(fault("measure"))?;
        let mut content = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut content, 0).map_err(fault("read"))?;
        content.truncate(count);
        let end = self.scan_frames(number, &content, visit)?;
        self.rest.segments.insert(number, Arc::clone(&file));
        let offset = end as u64;
        self.open = Some(Tail { number, file, bytes, offset, identity: header.identity });
        let next_follows = match later.first() {
            Some(&next) => self.used_and_continues(next)?,
            None => false,
        };
        if next_follows {
            return Ok(true);
        }
        self.cut(number, offset, content.get(end..).unwrap_or_default(), later, "no whole frame stands there")?;
        Ok(false)
    }

    /// Reads frames until one does not hold; says where that is.
    fn scan_frames(
        &mut self,
        number: u64,
        content: &[u8],
        visit: &mut dyn FnMut(&Entry) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut offset = usize::try_from(segment::HEADER_BYTES).unwrap_or(usize::MAX);
        while let Some((header, written)) = whole_frame(content, offset) {
            let identity = Identity { origin: header.origin, epoch: header.epoch };
            let identity_holds = self.open.as_ref().is_none_or(|open| open.identity == identity);
            let follows = header.first == self.rest.last.next() && header.previous == self.rest.previous;
            if !follows || !identity_holds || header.shard != self.shard || header.format != frame::FORMAT_VERSION {
                break;
            }
            let payload = written.get(frame::HEADER_BYTES..).unwrap_or_default().to_vec();
            let frame = Frame {
                first: header.first,
                count: header.count,
                base_time: header.base_time,
                shard: header.shard,
                payload,
            };
            let entries = frame.entries().map_err(|cause| Fault::Undecodable { seq: frame.first, cause })?;
            for entry in &entries {
                visit(entry)?;
            }
            let located = Located {
                first: frame.first,
                last: frame.last(),
                segment: number,
                offset: offset as u64,
                bytes: written.len(),
            };
            self.rest.frames.push(located);
            self.rest.last = frame.last();
            self.rest.previous = frame::hash_of(written);
            offset += written.len();
        }
        Ok(offset)
    }

    /// Ends the journal here, unless what is missing was acknowledged.
    fn cut(&mut self, number: u64, offset: u64, after: &[u8], later: &[u64], what: &str) -> Result<(), Fault> {
        let missing = self.rest.last.next();
        let mut stale = Vec::new();
        let mut torn = after.iter().any(|&byte| byte != 0);
        let mut durable = stated_durable(after);
        for &next in later {
            let name = segment::file_name(next);
            let fault = |action| {
                let file = name.clone();
                move |cause| Fault::Io { action, file, cause }
            };
            let Some(file) = self.disk.open(&name).map_err(fault("open"))? else { continue };
            let length = file.len().map_err(fault("measure"))?;
            let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_at(&mut content, 0).map_err(fault("read"))?;
            durable = durable.max(stated_durable(&content));
            if content.iter().any(|&byte| byte != 0) {
                torn = true;
                stale.push(next);
            }
        }
        if durable >= missing || self.marked_durable() >= missing {
            return Err(self.damaged(number, offset, what));
        }
        if torn {
            let tear = TornTail { file: segment::file_name(number), offset, after: self.rest.last };
            self.rest.torn = Some(tear);
        }
        self.rest.stale = stale;
        Ok(())
    }

    fn continues(&self, number: u64, header: &SegmentHeader) -> bool {
        let identity_holds = self.open.as_ref().is_none_or(|open| open.identity == header.identity);
        header.number == number
            && identity_holds
            && header.first == self.rest.last.next()
            && header.previous == self.rest.previous
    }

    fn used_and_continues(&self, number: u64) -> Result<bool, Fault> {
        let name = segment::file_name(number);
        let opened = self.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        let Some(file) = opened else { return Ok(false) };
        let header = segment::read_header(&file, &name, self.shard)?;
        Ok(matches!(header, HeaderFound::Used(header) if self.continues(number, &header)))
    }

    /// The position that the mark vouches for. A mark of another history vouches for nothing here.
    fn marked_durable(&self) -> Seq {
        match (self.marked, &self.open) {
            (Some((identity, seq)), Some(open)) if identity == open.identity => seq,
            (Some((_, seq)), None) => seq,
            (Some(_) | None, _) => Seq::ZERO,
        }
    }

    fn check_mark(&mut self) -> Result<(), Fault> {
        self.rest.marked = self.marked_durable();
        match &self.open {
            Some(open) if self.rest.marked > self.rest.last => {
                Err(self.damaged(open.number, open.offset, "acknowledged entries are missing"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn damaged(&self, number: u64, offset: u64, what: &str) -> Fault {
        Fault::Damaged { file: segment::file_name(number), offset, seq: self.rest.last.next(), what: what.to_owned() }
    }
}

/// The frame at `offset`, when header and payload match their checksums.
fn whole_frame(content: &[u8], offset: usize) -> Option<(frame::ReadHeader, &[u8])> {
    let rest = content.get(offset..)?;
    let header = frame::read_header(rest)?;
    let written = rest.get(..frame::HEADER_BYTES + header.payload_bytes)?;
    let intact = crc32c::crc32c(written.get(frame::HEADER_BYTES..)?) == header.payload_crc;
    intact.then_some((header, written))
}

/// The highest durable position that any intact frame header in these bytes states. Such a header was written after
/// everything up to that position was durable, wherever the bytes before it have gone.
fn stated_durable(bytes: &[u8]) -> Seq {
    let mut highest = Seq::ZERO;
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..) {
        let Some(found) = find_magic(rest) else { break };
        if let Some(header) = rest.get(found..).and_then(frame::read_header) {
            highest = highest.max(header.durable);
        }
        offset += found + 1;
    }
    highest
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(frame::MAGIC.len()).position(|window| window == frame::MAGIC)
}
