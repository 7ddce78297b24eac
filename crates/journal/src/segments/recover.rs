//! Opens a journal: reads every frame, tells a torn tail from damage, and makes what it accepts durable.
//!
//! After a crash, the last frames, those above the durable position, may be incomplete, missing or present in any
//! combination. Nobody was told about them, so the tail is cut after the last whole frame. Anything wrong at or below
//! the durable position is damage, and the journal refuses to open. The durable position is known from the mark, which
//! is written within 10 ms of an acknowledgement; from every later frame, which contains the durable position at the
//! time when it was written; and from what was signed.
//!
//! Reading may begin at a place that was noted when it was durable. The part before it is checked later, when it is
//! read, with these exceptions: the headers of all segments, the headers of the frames before the place in its own
//! segment, which must lead to it, and the frame right before it, which must be the noted one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use engine::{Entry, Fact};
use types::{Origin, Seq, ShardId};

use crate::fault::Fault;
use crate::frame::{self, FrameHash};
use crate::identity::{Identity, Part};
use crate::segments::content::{Content, MISSING, open_segment, stated_durable, without_zeros};
use crate::segments::places::{Known, NO_FRAME, Places, Point, damaged};
use crate::segments::position::{FrameAt, Position, StartAt};
use crate::segments::segment::{self, HeaderFound, SegmentHeader};
use disk::Disk;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The sequence of the last entry.
    pub last: Seq,
    /// The tail that was cut off, if any.
    pub torn: Option<TornTail>,
}

/// The tail that a crash left unfinished. Nobody was told about its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment file in which it starts.
    pub file: String,
    /// The byte in that file.
    pub offset: u64,
    /// The sequence of the last entry before it.
    pub after: Seq,
}

/// Called for each entry when a journal is opened, with the entry's position and, for the last entry of a frame, the
/// place after the frame.
pub type Visit<'a> = dyn FnMut(&Entry, Position, Option<StartAt>) -> Result<(), Fault> + 'a;

/// The place where writing continues.
#[derive(Debug)]
pub(crate) struct Tail<F> {
    pub(crate) number: u64,
    pub(crate) file: Arc<F>,
    pub(crate) bytes: u64,
    pub(crate) offset: u64,
    pub(crate) identity: Identity,
}

/// Everything else that the scan found.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) segments: BTreeMap<u64, Known>,
    /// The histories in this journal, in order.
    pub(crate) lineage: Vec<Part>,
    pub(crate) previous: FrameHash,
    pub(crate) last: Seq,
    /// In each segment, the range of frames that the mark does not cover.
    pub(crate) unmarked: BTreeMap<u64, (u64, u64)>,
    pub(crate) torn: Option<TornTail>,
    /// Segments after the tail that were begun and must be prepared again.
    pub(crate) stale: Vec<u64>,
}

const WRONG_HEADER: &str = "the segment's header is damaged or belongs to another segment";
const WRONG_CONTINUATION: &str = "the segment's history differs, and no entry continues the previous history";
const LATER_HISTORY: &str = "the mark belongs to a later history, whose segments are missing";
const NOT_CANONICAL: &str = "the frame does not have the encoding that a journal gives its entries";
const OTHER_START: &str = "the place where reading should begin is not in this journal";

pub(crate) struct Found<F> {
    pub(crate) open: Option<Tail<F>>,
    pub(crate) rest: Rest,
    pub(crate) counts: Option<Counts>,
}

impl<F> Found<F> {
    /// Checks that mark and segments either both exist or are both missing.
    pub(crate) fn check(&self, marked: Option<(Identity, Seq)>) -> Result<(), Fault> {
        match &self.open {
            // A mark is written before the first entry, so no crash explains a journal without one.
            Some(_) if marked.is_none() && self.rest.last > Seq::ZERO => Err(Fault::Damaged {
                file: "mark".to_owned(),
                offset: 0,
                seq: self.rest.last,
                what: "it is missing or empty, so it is unknown whether later entries were acknowledged".to_owned(),
            }),
            // The first mark is written only after the first segment exists.
            None if marked.is_some() => Err(Fault::Damaged {
                file: segment::file_name(1),
                offset: 0,
                seq: Seq::new(1),
                what: "the segment is missing or has no header, but the mark shows that the journal was started"
                    .to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

pub(crate) struct Scan<'a, D: Disk> {
    disk: &'a D,
    /// The segment that is being read ahead.
    ahead: Option<Ahead<D::File>>,
    shard: ShardId,
    marked: Option<(Identity, Seq)>,
    /// The durable position of a history, as the caller knows it from another source.
    pub(crate) signed: Option<(Origin, Seq)>,
    open: Option<Tail<D::File>>,
    rest: Rest,
    /// True to also encode the entries again, and to count frames and bytes.
    counts: Option<Counts>,
}

/// What a scan has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl<'a, D: Disk> Scan<'a, D> {
    pub(crate) fn new(disk: &'a D, shard: ShardId, marked: Option<(Identity, Seq)>, counts: Option<Counts>) -> Self {
        Self { disk, ahead: None, shard, marked, signed: None, open: None, rest: Rest::default(), counts }
    }

    pub(crate) fn into_found(self) -> Found<D::File> {
        Found { open: self.open, rest: self.rest, counts: self.counts }
    }

    pub(crate) fn run(&mut self, start: Option<StartAt>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let found = self.scan(start, visit);
        // The directory must be free for the next process that opens it.
        if let Some((_, worker)) = self.ahead.take() {
            drop(worker.join());
        }
        found
    }

    fn scan(&mut self, start: Option<StartAt>, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let listed =
            self.disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
        let numbers = segment::numbers(&listed);
        let mut later = numbers.as_slice();
        let mut from = None;
        if let Some(start) = start {
            self.go_to(start, later)?;
            later = later.get(usize::try_from(start.segment - 1).unwrap_or(usize::MAX)..).unwrap_or_default();
            from = Some(start.offset);
        }
        while let Some((&number, rest)) = later.split_first() {
            later = rest;
            if !self.scan_segment(number, from.take(), later, visit)? {
                break;
            }
        }
        self.check_mark()
    }

    /// Skips everything before a place.
    fn go_to(&mut self, start: StartAt, numbers: &[u64]) -> Result<(), Fault> {
        for (expected, number) in
            (1..=start.segment).zip(numbers.iter().copied().map(Some).chain(std::iter::repeat(None)))
        {
            if number != Some(expected) {
                return Err(self.damaged(expected, 0, MISSING));
            }
            let HeaderFound::Used(header) = self.next_header(expected)? else {
                return Err(self.damaged(expected, 0, WRONG_HEADER));
            };
            let before = self.rest.segments.last_key_value().map_or(Seq::new(1), |(_, known)| known.first);
            let in_order = header.first >= before && header.first <= start.seq.next();
            if header.number != expected || !self.may_follow(header.identity) || !in_order {
                return Err(self.damaged(expected, 0, WRONG_HEADER));
            }
            if !self.is_continued_by(&header)? {
                return Err(self.damaged(expected, segment::HEADER_BYTES, WRONG_CONTINUATION));
            }
            self.note_part(&header);
            self.rest.segments.insert(expected, Known { first: header.first, points: None });
            self.rest.previous = header.previous;
            self.rest.last = Seq::new(header.first.get() - 1);
            self.open = Some(self.tail(expected, header.identity)?);
        }
        let places = Places::new(self.disk.clone(), self.shard, BTreeMap::new(), Seq::ZERO);
        let first = self.rest.last.next();
        let mut known = Known::from_the_first_frame(first);
        let mut walk = places.walk(start.segment, Point { first, offset: segment::HEADER_BYTES })?;
        let mut last = None;
        while walk.next.offset < start.offset {
            let (offset, header) = walk.expect_next()?;
            known.note(Point { first: header.first, offset });
            last = Some((offset, header));
        }
        if let Some((offset, header)) = last {
            self.rest.previous = walk.hash(offset, &header)?;
        }
        self.rest.last = start.seq;
        self.rest.segments.insert(start.segment, known);
        let there = Point { first: start.seq.next(), offset: start.offset };
        if walk.next != there || self.rest.previous != start.previous {
            return Err(self.damaged(start.segment, start.offset, OTHER_START));
        }
        Ok(())
    }

    /// Reads one segment, from its header on or, if the header was checked before, from a byte on; returns whether the
    /// next segment may follow.
    fn scan_segment(
        &mut self,
        number: u64,
        from: Option<u64>,
        later: &[u64],
        visit: &mut Visit<'_>,
    ) -> Result<bool, Fault> {
        let expected = self.open.as_ref().map_or(1, |open| open.number + 1);
        if number != expected && from.is_none() {
            return Err(self.damaged(expected, 0, MISSING));
        }
        let content = self.content(number, from.unwrap_or(0))?;
        if let Some(&next) = later.first() {
            self.read_ahead(next);
        }
        let header = match segment::read_header(content.file.as_ref(), &segment::file_name(number), self.shard)? {
            HeaderFound::Used(header) if from.is_some() || self.continues(number, &header) => header,
            HeaderFound::Used(_) | HeaderFound::Damaged | HeaderFound::Unused => {
                self.cut((number, 0), &content.bytes, later, WRONG_HEADER)?;
                return Ok(false);
            }
        };
        self.note_part(&header);
        let offset = self.scan_frames(&header, &content, from.unwrap_or(segment::HEADER_BYTES), visit)?;
        let after = content.after(offset);
        let (bytes, file) = (content.end(), Arc::clone(&content.file));
        self.open = Some(Tail { number, file, bytes, offset, identity: header.identity });
        let next = number + 1;
        match later.first() {
            Some(&found) if found != next => return Err(self.damaged(next, 0, MISSING)),
            Some(_) => match self.next_header(next)? {
                HeaderFound::Used(header) if self.continues(next, &header) => {
                    if self.is_continued_by(&header)? {
                        return Ok(true);
                    }
                    self.cut((next, segment::HEADER_BYTES), after, later, WRONG_CONTINUATION)?;
                }
                // Nothing is missing before it, so the header at this place is what fails.
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

    /// The bytes of a segment from an offset on, from the read-ahead thread if it read them.
    fn content(&mut self, number: u64, from: u64) -> Result<Content<D::File>, Fault> {
        match self.ahead.take() {
            Some((ahead, worker)) if ahead == number && from == 0 => {
                worker.join().unwrap_or_else(|_panic| Content::read(self.disk, number, from))
            }
            other => {
                self.ahead = other;
                Content::read(self.disk, number, from)
            }
        }
    }

    /// Starts to read a segment while the one before it is scanned.
    fn read_ahead(&mut self, number: u64) {
        let disk = self.disk.clone();
        let work = move || Content::read(&disk, number, 0);
        // If the thread cannot be started, the segment is read when it is needed.
        let worker = std::thread::Builder::new().name("journal-read".to_owned()).spawn(work).ok();
        self.ahead = worker.map(|worker| (number, worker));
    }

    fn tail(&self, number: u64, identity: Identity) -> Result<Tail<D::File>, Fault> {
        let (file, bytes) = open_segment(self.disk, number)?;
        Ok(Tail { number, file: Arc::new(file), bytes, offset: segment::HEADER_BYTES, identity })
    }

    /// Reads frames until one is not valid; returns the place of that one.
    fn scan_frames(
        &mut self,
        segment: &SegmentHeader,
        content: &Content<D::File>,
        from: u64,
        visit: &mut Visit<'_>,
    ) -> Result<u64, Fault> {
        let SegmentHeader { number, identity, .. } = *segment;
        let marked = self.marked_of(identity);
        let next = self.rest.last.next();
        self.rest.segments.entry(number).or_insert_with(|| Known::from_the_first_frame(next));
        let mut offset = from;
        while let Some((header, written)) = frame::read_whole(content.after(offset), 0) {
            let follows = header.first == self.rest.last.next() && header.previous == self.rest.previous;
            if !follows || header.identity != identity || header.shard != self.shard {
                break;
            }
            if header.format > frame::FORMAT_VERSION {
                let (found, expected) = (u32::from(header.format), u32::from(frame::FORMAT_VERSION));
                return Err(Fault::FormatVersion { file: segment::file_name(number), found, expected });
            }
            let at = FrameAt::of_frame(number, offset);
            let end = offset + header.written_bytes();
            let previous = frame::hash_of(written);
            let behind = StartAt { seq: header.last(), segment: number, offset: end, previous };
            let view = header.view(written.get(frame::HEADER_BYTES..).unwrap_or_default());
            if let Some(counts) = &mut self.counts {
                counts.frames += 1;
                counts.bytes += header.written_bytes();
                if header.format >= frame::ENCODED_THE_SAME_SINCE && !view.is_canonical() {
                    return Err(self.damaged(number, offset, NOT_CANONICAL));
                }
            }
            for read in view.iter() {
                let (entry, placed) = read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
                let is_last = entry.header.seq == header.last();
                visit(&entry, at.position(placed), is_last.then_some(behind))?;
            }
            if header.last() > marked {
                self.rest.unmarked.entry(number).or_insert((offset, end)).1 = end;
            }
            if let Some(known) = self.rest.segments.get_mut(&number) {
                known.note(Point { first: header.first, offset });
            }
            self.rest.last = header.last();
            self.rest.previous = previous;
            offset = end;
        }
        Ok(offset)
    }

    /// Ends the journal at a place (segment and offset), unless acknowledged entries are missing. `after` is the rest
    /// of the last segment that was read.
    fn cut(&mut self, place: (u64, u64), after: &[u8], later: &[u64], what: &str) -> Result<(), Fault> {
        let missing = self.rest.last.next();
        let identity = self.open.as_ref().map(|open| open.identity);
        let mut stale = Vec::new();
        let mut torn = !without_zeros(after).is_empty();
        let mut durable = stated_durable(after, identity);
        for &next in later {
            // The header is zeroed too.
            let content = self.content(next, 0)?.bytes;
            durable = durable.max(stated_durable(&content, identity));
            if let (HeaderFound::Used(header), Some(identity)) = (self.next_header(next)?, identity)
                && header.identity.continues(identity)
            {
                // A history is continued only after all of it is durable.
                durable = durable.max(Seq::new(header.first.get().saturating_sub(1)));
            }
            if !without_zeros(&content).is_empty() {
                torn = true;
                stale.push(next);
            }
        }
        let (number, offset) = place;
        let signed =
            self.signed.filter(|(origin, _)| torn && identity.is_some_and(|identity| identity.origin == *origin));
        let known = durable.max(self.marked_durable()).max(signed.map_or(Seq::ZERO, |(_, seq)| seq));
        if known >= missing {
            if later.is_empty() && self.is_of_a_later_history() {
                return Err(self.damaged(number, offset, LATER_HISTORY));
            }
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
        header.number == number
            && self.may_follow(header.identity)
            && header.first == self.rest.last.next()
            && header.previous == self.rest.previous
    }

    fn next_header(&self, number: u64) -> Result<HeaderFound, Fault> {
        let name = segment::file_name(number);
        let opened = self.disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        opened.map_or(Ok(HeaderFound::Unused), |file| segment::read_header(&file, &name, self.shard))
    }

    /// Whether a segment with this identity may follow the previous one.
    fn may_follow(&self, identity: Identity) -> bool {
        self.open.as_ref().is_none_or(|open| identity == open.identity || identity.continues(open.identity))
    }

    /// Whether a segment that may follow has the same history, or begins with the entry by which its history continues
    /// this one.
    fn is_continued_by(&self, header: &SegmentHeader) -> Result<bool, Fault> {
        let Some(before) = self.open.as_ref().filter(|open| open.identity != header.identity) else { return Ok(true) };
        let places = Places::new(self.disk.clone(), self.shard, BTreeMap::new(), Seq::ZERO);
        let first = Point { first: header.first, offset: segment::HEADER_BYTES };
        let mut walk = places.walk(header.number, first)?;
        let Some((offset, frame)) = walk.next()?.filter(|(_, frame)| frame.identity == header.identity) else {
            return Ok(false);
        };
        let read = match walk.frame(offset, &frame) {
            Ok(view) => view.iter().next(),
            Err(Fault::Damaged { .. }) => None,
            Err(fault) => return Err(fault),
        };
        let entry = read.transpose().map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
        Ok(entry.is_some_and(|(entry, _)| is_continuation(&entry, before.identity, header.identity)))
    }

    fn note_part(&mut self, header: &SegmentHeader) {
        let lineage = &mut self.rest.lineage;
        if lineage.last().is_none_or(|part| part.identity != header.identity) {
            lineage.push(Part { identity: header.identity, first: header.first });
        }
    }

    /// The position in a history up to which the mark covers it: all of the history if a later one continued it. A mark
    /// of any other history covers nothing here.
    fn marked_of(&self, history: Identity) -> Seq {
        match self.marked {
            Some((identity, seq)) if identity == history => seq,
            Some((identity, _)) if identity.continues(history) => Seq::new(u64::MAX),
            Some(_) | None => Seq::ZERO,
        }
    }

    fn marked_durable(&self) -> Seq {
        match &self.open {
            Some(open) => self.marked_of(open.identity),
            None => self.marked.map_or(Seq::ZERO, |(_, seq)| seq),
        }
    }

    /// Whether the mark was written after the current history was continued.
    fn is_of_a_later_history(&self) -> bool {
        matches!((self.marked, &self.open), (Some((marked, _)), Some(open)) if marked.continues(open.identity))
    }

    fn check_mark(&self) -> Result<(), Fault> {
        match &self.open {
            Some(open) if self.marked_durable() > self.rest.last => {
                let is_later = self.is_of_a_later_history();
                let what = if is_later { LATER_HISTORY } else { "acknowledged entries are missing" };
                Err(self.damaged(open.number, open.offset, what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn damaged(&self, number: u64, offset: u64, what: &str) -> Fault {
        damaged(number, offset, self.rest.last.next(), what)
    }
}

/// Whether this entry continues a history as another one.
pub(crate) fn is_continuation(entry: &Entry, from: Identity, to: Identity) -> bool {
    let Fact::JournalContinued { origin, departed } = &entry.fact else { return false };
    let before = entry.header.seq.get().checked_sub(1);
    departed.origin == from.origin && Some(departed.size) == before && *origin == to.origin
}

/// A segment's number and the thread that reads it.
type Ahead<F> = (u64, JoinHandle<Result<Content<F>, Fault>>);
