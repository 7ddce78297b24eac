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
        assert!(layout.segment_bytes <= Layout::SEGMENT_BYTES_MAX, "JRN-6: a position names every byte of a segment");
        let (mark, marked) = Mark::open(&disk)?;
        let mut scan = Scan::new(&disk, shard, marked);
        scan.run(visit)?;
        let Found { open, rest } = scan.into_found();
        match open {
            // A mark is written before the first entry, so no crash explains a journal without one.
            Some(_) if marked.is_none() && rest.last > Seq::ZERO => Err(Fault::Damaged {
                file: "mark".to_owned(),
                offset: 0,
                seq: rest.last,
                what: "it is missing or empty, so nobody knows whether later entries were acknowledged".to_owned(),
            }),
            Some(open) => reopen(disk, layout, shard, mark, rest, open),
            None if marked.is_some_and(|(_, seq)| seq > Seq::ZERO) => Err(Fault::Damaged {
                file: segment::file_name(1),
                offset: 0,
                seq: Seq::new(1),
                what: "the segments are missing, though the mark says that entries were acknowledged".to_owned(),
            }),
            None => start(disk, layout, shard, mark, rest, Identity { origin: origin(), epoch: Epoch::new(1) }),
        }
    }
}

/// Starts a journal in an empty directory.
fn start<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    rest: Rest<D::File>,
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

/// What stands above the mark may be in memory only (a killed process), or lost to a sync that failed: it is written
/// again, what follows it is zeroed, and all of it is synced before anybody is served.
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
    let write_again = |number, file: &D::File, offset, bytes| {
        let mut content = vec![0; bytes];
        file.read_at(&mut content, offset).map_err(fault("read", number))?;
        file.write_at(&content, offset).map_err(fault("write", number))
    };
    let unmarked = frames.get(frames.partition_point(|frame| frame.last <= marked)..).unwrap_or_default();
    let mut touched = BTreeMap::from([(tail.number, tail.file.as_ref())]);
    for located in unmarked {
        let Some(file) = segments.get(&located.segment) else { continue };
        write_again(located.segment, file.as_ref(), located.offset, located.bytes)?;
        touched.insert(located.segment, file.as_ref());
    }
    segment::write_zeros(tail.file.as_ref(), tail.offset, tail.bytes).map_err(fault("write", tail.number))?;
    for (number, file) in touched {
        write_again(number, file, 0, segment::HEADER_BYTES_USED)?;
        file.sync().map_err(fault("sync", number))?;
    }
    for &number in stale {
        segment::prepare(disk, number, layout.segment_bytes).map_err(fault("prepare", number))?;
    }
    // A process that was killed may have created files without getting as far as this.
    disk.sync_directory().map_err(fault("sync the directory of", tail.number))
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

const MISSING: &str = "the segment file is missing";
const WRONG_HEADER: &str = "the segment's header is not the one that belongs here";
const NO_FRAME: &str = "no whole frame stands there";

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
        let mut later = numbers.as_slice();
        while let Some((&number, rest)) = later.split_first() {
            later = rest;
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
        let expected = self.open.as_ref().map_or(1, |open| open.number + 1);
        if number != expected {
            return Err(self.damaged(expected, 0, MISSING));
        }
        let (file, content) = self.read_segment(number)?;
        let header = match segment::read_header(&file, &segment::file_name(number), self.shard)? {
            HeaderFound::Used(header) if self.continues(number, &header) => header,
            HeaderFound::Used(_) | HeaderFound::Damaged | HeaderFound::Unused => {
                self.cut((number, 0), &content, later, WRONG_HEADER)?;
                return Ok(false);
            }
        };
        let end = self.scan_frames(number, header.identity, &content, visit)?;
        let (file, offset) = (Arc::new(file), end as u64);
        self.rest.segments.insert(number, Arc::clone(&file));
        self.open = Some(Tail { number, file, bytes: content.len() as u64, offset, identity: header.identity });
        let after = content.get(end..).unwrap_or_default();
        let next = number + 1;
        match later.first() {
            Some(&found) if found != next => return Err(self.damaged(next, 0, MISSING)),
            Some(_) => match self.next_header(next)? {
                HeaderFound::Used(header) if self.continues(next, &header) => return Ok(true),
                // Nothing is missing here, so the header there is what fails.
                HeaderFound::Damaged if without_zeros(after).is_empty() => {
                    self.cut((next, 0), after, later, WRONG_HEADER)?;
                }
                HeaderFound::Used(_) | HeaderFound::Damaged | HeaderFound::Unused => {
                    self.cut((number, offset), after, later, NO_FRAME)?;
                }
            },
            None => self.cut((number, offset), after, later, NO_FRAME)?,
        }
        Ok(false)
    }

    /// A segment's file and all that is in it.
    fn read_segment(&self, number: u64) -> Result<(D::File, Vec<u8>), Fault> {
        let name = segment::file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let file = self.disk.open(&name).map_err(fault("open"))?;
        let file = file.ok_or_else(|| fault("open")(std::io::ErrorKind::NotFound.into()))?;
        let bytes = file.len().map_err(fault("measure"))?;
        let mut content = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut content, 0).map_err(fault("read"))?;
        content.truncate(count);
        Ok((file, content))
    }

    /// Reads frames until one does not hold; says where that is.
    fn scan_frames(
        &mut self,
        number: u64,
        identity: Identity,
        content: &[u8],
        visit: &mut dyn FnMut(&Entry) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut offset = usize::try_from(segment::HEADER_BYTES).unwrap_or(usize::MAX);
        while let Some((header, written)) = frame::read_whole(content, offset) {
            let follows = header.first == self.rest.last.next() && header.previous == self.rest.previous;
            if !follows || header.identity != identity || header.shard != self.shard {
                break;
            }
            if header.format > frame::FORMAT_VERSION {
                let (found, expected) = (u32::from(header.format), u32::from(frame::FORMAT_VERSION));
                return Err(Fault::FormatVersion { file: segment::file_name(number), found, expected });
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

    /// Ends the journal at a place (segment and offset), unless what is missing was acknowledged. `after` is what else
    /// stands in the last segment that was read.
    fn cut(&mut self, place: (u64, u64), after: &[u8], later: &[u64], what: &str) -> Result<(), Fault> {
        let missing = self.rest.last.next();
        let identity = self.open.as_ref().map(|open| open.identity);
        let mut stale = Vec::new();
        let mut torn = !without_zeros(after).is_empty();
        let mut durable = stated_durable(after, identity);
        for &next in later {
            let (_, content) = self.read_segment(next)?;
            durable = durable.max(stated_durable(&content, identity));
            if !without_zeros(&content).is_empty() {
                torn = true;
                stale.push(next);
            }
        }
        let (number, offset) = place;
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

    fn next_header(&self, number: u64) -> Result<HeaderFound, Fault> {
        let name = segment::file_name(number);
        let opened = self.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        opened.map_or(Ok(HeaderFound::Unused), |file| segment::read_header(&file, &name, self.shard))
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

/// The highest durable position that any intact frame header in these bytes states. Such a header was written after
/// everything up to that position was durable, wherever the bytes before it have gone. The payload behind an intact
/// header is passed over, for what clients store there may look like one.
fn stated_durable(bytes: &[u8], identity: Option<Identity>) -> Seq {
    let bytes = without_zeros(bytes);
    let mut highest = Seq::ZERO;
    let mut offset = 0;
    while let Some(found) = bytes.get(offset..).and_then(find_magic) {
        offset += found;
        let header = bytes.get(offset..).and_then(frame::read_header);
        let ours = header.filter(|header| identity.is_none_or(|ours| ours == header.identity));
        offset += match ours.filter(|header| header.durable < header.first) {
            Some(header) => {
                highest = highest.max(header.durable);
                frame::HEADER_BYTES + header.payload_bytes
            }
            None => 1,
        };
    }
    highest
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(frame::MAGIC.len()).position(|window| window == frame::MAGIC)
}

/// These bytes without the zeros they end with. Most of a segment can be that, so it goes by blocks first.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let mut used = bytes;
    while let Some((front, block)) = used.split_last_chunk()
        && *block == [0; 4096]
    {
        used = front;
    }
    let end = used.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    used.get(..end).unwrap_or_default()
}
