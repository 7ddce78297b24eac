//! Every wrong bit and every truncation of small journals of several segments, in each state that a stop or a crash leaves
//! them in. What must come of it is told from the journal before it was spoilt: which frame is hit, and whether a witness
//! (the mark, a later frame, a history that goes on) says that its entries were durable. Then it is damage, named by file,
//! byte and sequence, and nothing is changed; otherwise the tail is cut there, and all before it is kept. What nothing rests
//! on is harmless.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{DepartedHistory, Entry, Fact};
use journal::{DurableLog, Fault, FileJournal, Identity, Layout, Position, Recovered, SegmentStore, StartAt, TornTail};
use ledger::TransferKey;
use types::{Digest, Epoch, Origin, Seq, TransferId};

use crate::support::{
    FRAME_HEADER_BYTES, Narrow, ORIGIN, SEGMENT_HEADER_BYTES, SHARD, Shelf, chunk, frame, header, small,
};

type Files = BTreeMap<String, Vec<u8>>;

/// Two or three frames of these tests.
const SEGMENT_BYTES: u64 = SEGMENT_HEADER_BYTES as u64 + 560;
const SEGMENT_HEADER_BYTES_USED: usize = 100;
const SLOT_BYTES: usize = 48;
const SLOT_AT: [usize; 2] = [0, 4096];

fn segment(number: usize) -> String {
    format!("segment-{number:08}")
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> u128 {
    let mut wide = [0; 16];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u128::from_le_bytes(wide)
}

/// A frame as it stands in an intact journal.
#[derive(Debug, Clone)]
struct Standing {
    segment: usize,
    start: usize,
    end: usize,
    first: u64,
    last: u64,
    durable: u64,
    origin: u128,
}

/// An intact journal, and what its bytes say by their offsets alone.
struct Intact {
    files: Files,
    entries: Vec<Entry>,
    frames: Vec<Standing>,
    segments: usize,
    /// What clients were told of.
    acknowledged: u64,
}

/// A frame may end with zeros, and files are taken without those that they end with. Some more mean nothing.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + 24, 0);
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..used]
}

struct Opened {
    recovered: Recovered,
    entries: Vec<Entry>,
    files: Files,
}

fn open(files: &Files) -> Result<Opened, Fault> {
    let shelf = Shelf::of(files);
    let mut entries = Vec::new();
    let mut visit = |entry: &Entry, _: Position, _: Option<StartAt>| {
        entries.push(entry.clone());
        Ok(())
    };
    let opened = FileJournal::open(shelf.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut visit);
    let opened = opened.map(|(_, recovered)| recovered);
    if opened.is_err() {
        // An empty mark says as much as none.
        let is_as_it_was = |(name, bytes): (String, Vec<u8>)| {
            files.get(&name).map_or(bytes.is_empty(), |was| without_zeros(was) == without_zeros(&bytes))
        };
        assert!(shelf.files().into_iter().all(is_as_it_was), "a journal that does not open is left as it is");
    }
    let recovered = opened?;
    let mut files = shelf.files();
    files.values_mut().for_each(pad);
    Ok(Opened { recovered, entries, files })
}

fn expired(seq: u64) -> Entry {
    let key = TransferKey::Client(TransferId::new(u128::from(seq)));
    Entry { header: header(seq), fact: Fact::Ledger(ledger::Fact::TransferExpired(key)), sealed: None }
}

/// Writes a journal step by step: `e` a frame of one small entry, `E` one of two rows, `o` one of another kind, `s` sync, `m`
/// mark, `c` go on as another history.
fn written(steps: &str) -> Intact {
    let narrow = Narrow { shelf: Shelf::default(), segment_bytes: SEGMENT_BYTES };
    let mut begin = |_: &Entry, _: Position, _: Option<StartAt>| Ok(());
    // The first segment takes the length that it says once it is opened again.
    for _ in 0..2 {
        drop(FileJournal::open(narrow.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut begin).unwrap());
    }
    let (mut journal, _) = FileJournal::open(narrow.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut begin).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    for step in steps.chars() {
        let next = entries.len() as u64 + 1;
        let new = match step {
            'e' => vec![expired(next)],
            'E' => (next..next + 2).map(small).collect(),
            'o' => vec![chunk(next, 9)],
            's' => {
                journal.sync().unwrap();
                continue;
            }
            'm' => {
                journal.mark().unwrap();
                continue;
            }
            _ => {
                let Identity { origin, epoch } = journal.identity();
                let after = Identity { origin: Origin::new(origin.get() + 1), epoch: Epoch::new(epoch.get() + 1) };
                let departed = DepartedHistory { origin, size: next - 1, root: Digest::of(b"root") };
                let fact = Fact::JournalContinued { origin: after.origin, departed };
                let entry = Entry { header: header(next), fact, sealed: None };
                journal.continue_as(after, &frame(std::slice::from_ref(&entry))).unwrap();
                entries.push(entry);
                continue;
            }
        };
        journal.append(&frame(&new)).unwrap();
        entries.extend(new);
    }
    let acknowledged = journal.durable().get();
    Intact::new(narrow.shelf.files(), entries, acknowledged)
}

impl Intact {
    fn new(mut files: Files, entries: Vec<Entry>, acknowledged: u64) -> Self {
        let segments = files.keys().filter(|name| name.starts_with("segment-")).count();
        let mut frames: Vec<Standing> = Vec::new();
        for number in 1..=segments {
            let bytes = files.get_mut(&segment(number)).unwrap();
            pad(bytes);
            let mut start = SEGMENT_HEADER_BYTES;
            while bytes.get(start..start + 4) == Some(b"FNF1") {
                let end = start + FRAME_HEADER_BYTES + usize::try_from(number_at::<4>(bytes, start + 8)).unwrap();
                let first = u64::try_from(number_at::<8>(bytes, start + 24)).unwrap();
                let count = u64::try_from(number_at::<4>(bytes, start + 20)).unwrap();
                let durable = u64::try_from(number_at::<8>(bytes, start + 32)).unwrap();
                let (last, origin) = (first + count - 1, number_at::<16>(bytes, start + 48));
                frames.push(Standing { segment: number, start, end, first, last, durable, origin });
                start = end;
            }
            bytes.truncate(start);
            pad(bytes);
        }
        let mark = files.get_mut("mark").unwrap();
        mark.resize(SLOT_AT[1] + SLOT_BYTES, 0);
        assert_eq!(frames.last().map_or(0, |frame| frame.last), entries.len() as u64);
        Self { files, entries, frames, segments, acknowledged }
    }

    /// What the newer slot of the mark says: origin, sequence.
    fn marked(&self) -> (u128, u64) {
        let mark = &self.files["mark"];
        let newer = SLOT_AT.into_iter().max_by_key(|&at| number_at::<8>(mark, at + 8)).unwrap();
        (number_at::<16>(mark, newer + 16), u64::try_from(number_at::<8>(mark, newer + 40)).unwrap())
    }

    fn first_of(&self, number: usize) -> u64 {
        let bytes = &self.files[&segment(number)];
        u64::try_from(number_at::<8>(bytes, 48)).unwrap()
    }

    fn end_of(&self, number: usize) -> usize {
        self.frames.iter().rfind(|frame| frame.segment == number).map_or(SEGMENT_HEADER_BYTES, |frame| frame.end)
    }

    /// The last sequence that somebody vouches for, when the journal is spoilt in a frame or header, and frames `behind` it
    /// are whole. Histories of these tests have origins that count up.
    fn vouched(&self, first_missing: u64, behind: impl Iterator<Item = Standing>) -> u64 {
        let own = self.frames.iter().rfind(|frame| frame.last < first_missing).map(|frame| frame.origin);
        let (marked_origin, marked) = self.marked();
        let by_mark = match own {
            Some(own) if marked_origin > own => u64::MAX,
            Some(own) if marked_origin < own => 0,
            Some(_) | None => marked,
        };
        let by_frame = |frame: Standing| match own {
            // A history is continued only once it is durable to its end.
            Some(own) if frame.origin > own => u64::MAX,
            Some(_) | None => frame.durable,
        };
        behind.map(by_frame).fold(by_mark, u64::max)
    }
}

/// What must come of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Refused.
    Damaged { file: String, offset: usize, seq: u64 },
    /// Cut here, with entries up to `last` kept; whether it is reported depends on whether anything stands behind.
    Cut { file: String, offset: usize, last: u64 },
    /// All entries are there.
    Whole,
}

/// How a journal is spoilt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// This bit is turned.
    Bit(String, usize),
    /// Only so many bytes are left.
    Kept(String, usize),
    /// The file is gone.
    Gone(String),
}

impl Fate {
    fn spoil(&self, files: &mut Files) {
        match self {
            Self::Bit(name, bit) => files.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8),
            Self::Kept(name, kept) => files.get_mut(name).unwrap().truncate(*kept),
            Self::Gone(name) => drop(files.remove(name)),
        }
    }

    fn file(&self) -> &str {
        match self {
            Self::Bit(name, _) | Self::Kept(name, _) | Self::Gone(name) => name,
        }
    }
}

impl Intact {
    fn outcome(&self, fate: &Fate) -> Outcome {
        if fate.file() == "mark" {
            return self.outcome_of_mark(fate);
        }
        let number: usize = fate.file()[8..].parse().unwrap();
        let (at, is_cut) = match fate {
            Fate::Bit(_, bit) => (bit / 8, false),
            Fate::Kept(_, kept) => (*kept, true),
            Fate::Gone(_) => (0, true),
        };
        let in_header = at < SEGMENT_HEADER_BYTES_USED;
        let unused = SEGMENT_HEADER_BYTES_USED..SEGMENT_HEADER_BYTES;
        if (unused.contains(&at) && !is_cut) || at >= self.end_of(number) {
            return Outcome::Whole;
        }
        let hit = self.frames.iter().find(|frame| frame.segment == number && at < frame.end);
        let (missing, mut place) = match hit {
            _ if in_header => (self.first_of(number), (number, 0)),
            Some(frame) => (frame.first, (number, frame.start)),
            None => return Outcome::Whole,
        };
        // Nothing says that a segment without any header was begun: the one before ends the journal.
        if is_cut && number > 1 && self.files[&segment(number)][..at].iter().all(|&byte| byte == 0) {
            place = (number - 1, self.end_of(number - 1));
        }
        if matches!(fate, Fate::Gone(_)) && number < self.segments {
            return Outcome::Damaged { file: segment(number), offset: 0, seq: missing };
        }
        let behind = self.frames.iter().filter(|frame| {
            let same = frame.segment == number && !is_cut && (in_header || frame.start > at);
            frame.segment > number || same
        });
        let (file, offset) = (segment(place.0), place.1);
        match self.vouched(missing, behind.cloned()) {
            // The first mark is written once the first segment is there.
            _ if place == (1, 0) => Outcome::Damaged { file, offset, seq: missing },
            vouched if vouched >= missing => Outcome::Damaged { file, offset, seq: missing },
            _ => Outcome::Cut { file, offset, last: missing - 1 },
        }
    }

    /// A bit behind the last frame looks like the beginning of another.
    fn is_behind_the_end(&self, fate: &Fate) -> bool {
        let last = segment(self.segments);
        matches!(fate, Fate::Bit(name, bit) if *name == last && bit / 8 >= self.end_of(self.segments))
    }

    /// One whole slot is enough while nothing else is wrong.
    fn outcome_of_mark(&self, fate: &Fate) -> Outcome {
        let mut files = self.files.clone();
        fate.spoil(&mut files);
        let kept = files.get("mark").cloned().unwrap_or_default();
        let mut padded = kept;
        let was = &self.files["mark"];
        padded.resize(was.len(), 0);
        let is_whole = |at: usize| {
            let slot = at..at + SLOT_BYTES;
            padded[slot.clone()] == was[slot.clone()] && was[slot].iter().any(|&byte| byte != 0)
        };
        let is_written = SLOT_AT.iter().any(|&at| padded[at..at + SLOT_BYTES].iter().any(|&byte| byte != 0));
        match () {
            () if SLOT_AT.into_iter().any(is_whole) => Outcome::Whole,
            () if is_written => Outcome::Damaged { file: "mark".to_owned(), offset: 0, seq: 0 },
            () if self.entries.is_empty() => Outcome::Whole,
            () => Outcome::Damaged { file: "mark".to_owned(), offset: 0, seq: self.entries.len() as u64 },
        }
    }

    /// Spoils the journal, opens it, and compares; what was cut once is not cut again.
    fn check(&self, fate: &Fate, files: &mut Files) {
        let was = files.get(fate.file()).cloned();
        fate.spoil(files);
        let opened = open(files);
        let expected = self.outcome(fate);
        match (opened, &expected) {
            (Err(Fault::Damaged { file, offset, seq, .. }), Outcome::Damaged { .. }) => {
                let found = Outcome::Damaged { file, offset: usize::try_from(offset).unwrap(), seq: seq.get() };
                assert_eq!(found, expected, "{fate:?}");
            }
            (Ok(opened), Outcome::Cut { file, offset, last }) => {
                let kept = usize::try_from(*last).unwrap();
                assert!(opened.entries == self.entries[..kept], "{fate:?}: {:?} instead of {last}", opened.recovered);
                let torn = TornTail { file: file.clone(), offset: *offset as u64, after: Seq::new(*last) };
                let said = opened.recovered.torn.clone();
                let is_clean = matches!(fate, Fate::Kept(..) | Fate::Gone(_));
                assert!(said == Some(torn) || (said.is_none() && is_clean), "{fate:?}: {said:?}");
                check_again(&opened, fate);
            }
            (Ok(opened), Outcome::Whole) => {
                assert!(opened.entries == self.entries, "{fate:?}: {:?}", opened.recovered);
                let is_behind = self.is_behind_the_end(fate);
                assert_eq!(opened.recovered.torn.is_some(), is_behind, "{fate:?}");
                if is_behind || fate.file() == "mark" {
                    check_again(&opened, fate);
                }
            }
            (Ok(opened), _) => panic!("{fate:?}: {:?} instead of {expected:?}", opened.recovered),
            (Err(fault), _) => panic!("{fate:?}: {fault} instead of {expected:?}"),
        }
        files.insert(fate.file().to_owned(), was.unwrap());
    }

    /// Everything that can happen to these files, but for what nobody looks at in headers of segments: of that as many
    /// bits as wanted of each byte.
    fn fates(&self, unused: usize) -> Vec<Fate> {
        let mut fates = Vec::new();
        for (name, bytes) in &self.files {
            for at in 0..bytes.len() {
                let is_looked_at = !(104..SEGMENT_HEADER_BYTES - 4).contains(&at);
                let bits = if is_looked_at { 0..8 } else { 0..unused };
                fates.extend(bits.map(|bit| Fate::Bit(name.clone(), 8 * at + (at + bit) % 8)));
                if is_looked_at || at % 64 == 0 {
                    fates.push(Fate::Kept(name.clone(), at));
                }
            }
            fates.push(Fate::Gone(name.clone()));
        }
        fates
    }
}

/// A start leaves a journal that the next one takes as it is.
fn check_again(opened: &Opened, fate: &Fate) {
    let again = open(&opened.files).unwrap_or_else(|fault| panic!("{fate:?}, opened again: {fault}"));
    assert_eq!(again.recovered, Recovered { last: opened.recovered.last, torn: None }, "{fate:?}, opened again");
    assert!(again.entries == opened.entries, "{fate:?}, opened again");
}

/// Two threads take fates in turn.
fn check_all(steps: &str, unused: usize) {
    let intact = written(steps);
    let opened = open(&intact.files).unwrap();
    assert_eq!(opened.recovered.torn, None, "{steps}");
    assert!(opened.entries == intact.entries, "{steps}");
    let fates = intact.fates(unused);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut files = intact.files.clone();
        while let Some(fate) = fates.get(next.fetch_add(1, Ordering::Relaxed)) {
            intact.check(fate, &mut files);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    // What clients were told of is lost only where nobody else knows of it: above the mark and every later frame that is left.
    let stated = intact.frames.iter().map(|frame| frame.durable).max().unwrap_or(0);
    for fate in &fates {
        let known = if matches!(fate, Fate::Bit(..)) { intact.marked().1.max(stated) } else { intact.marked().1 };
        if let Outcome::Cut { last, .. } = intact.outcome(fate) {
            assert!(last >= known.min(intact.acknowledged), "{steps}: {fate:?} loses what was known");
        }
    }
}

#[test]
fn a_journal_that_was_stopped() {
    check_all("Esesosesesm", 1);
}

#[test]
fn a_journal_whose_process_died_behind_its_mark() {
    check_all("Esesmosesoses", 0);
}

#[test]
fn a_journal_that_lost_power_while_one_sync_took_several_frames() {
    check_all("Esmeeoes", 0);
    // Nobody was told of these, and they are there all the same.
    check_all("Esee", 0);
}

#[test]
fn a_journal_that_has_just_begun() {
    for steps in ["", "E", "es", "eses", "Esm"] {
        check_all(steps, 0);
    }
}

#[test]
fn a_journal_that_continues_another() {
    check_all("Esesmcesesm", 0);
    check_all("Escesees", 0);
    check_all("escescs", 0);
}

#[test]
fn a_prepared_segment_holds_nothing() {
    let intact = written("Esesosm");
    let mut files = intact.files.clone();
    let name = segment(intact.segments + 1);
    files.insert(name.clone(), vec![0; SEGMENT_HEADER_BYTES + 64]);
    for at in 0..SEGMENT_HEADER_BYTES + 64 {
        files.get_mut(&name).unwrap()[at] = 1 << (at % 8);
        let opened = open(&files).unwrap();
        assert!(opened.entries == intact.entries, "byte {at}");
        check_again(&opened, &Fate::Bit(name.clone(), 8 * at));
        files.get_mut(&name).unwrap()[at] = 0;
    }
}
