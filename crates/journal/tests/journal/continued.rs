//! Histories that continue another one in the same directory, and every single-bit flip and every truncation point of a
//! small journal with two of them: what was acknowledged is there, or the journal does not open and says where.

use std::collections::BTreeMap;

use engine::{DepartedHistory, Entry, Fact};
use journal::{
    DurableLog, Fault, FileJournal, Frame, Identity, Layout, Part, Position, Recovered, SegmentStore, StartAt, TornTail,
};
use types::{Digest, Epoch, Origin, Seq};

use crate::support::{
    FRAME_HEADER_BYTES, ORIGIN, SEGMENT_HEADER_BYTES, SHARD, Shelf, frame, header, read_all, seqs, small, small_frame,
    three_frames,
};

const FIRST: &str = "segment-00000001";
const SECOND: &str = "segment-00000002";
const THIRD: &str = "segment-00000003";
const BEFORE: Identity = Identity { origin: ORIGIN, epoch: Epoch::new(1) };
const AFTER: Identity = Identity { origin: Origin::new(77), epoch: Epoch::new(2) };

type Files = BTreeMap<String, Vec<u8>>;

struct Opened {
    journal: FileJournal<Shelf>,
    recovered: Recovered,
    entries: Vec<Entry>,
}

fn open_at(shelf: &Shelf, start: Option<StartAt>) -> Result<Opened, Fault> {
    let mut entries = Vec::new();
    let mut visit = |entry: &Entry, _: Position, _: Option<StartAt>| {
        entries.push(entry.clone());
        Ok(())
    };
    let origin = || ORIGIN;
    let (journal, recovered) = FileJournal::open(shelf.clone(), Layout::TINY, SHARD, origin, start, &mut visit)?;
    Ok(Opened { journal, recovered, entries })
}

fn open(files: &Files) -> Result<Opened, Fault> {
    open_at(&Shelf::of(files), None)
}

/// The entry that goes on as `identity` after `size` entries.
fn continued(identity: Identity, from: Origin, size: u64) -> Entry {
    let departed = DepartedHistory { origin: from, size, root: Digest::of(b"root") };
    let fact = Fact::JournalContinued { origin: identity.origin, departed };
    Entry { header: header(size + 1), fact, sealed: None }
}

fn append(journal: &mut FileJournal<Shelf>, frame: &Frame) {
    journal.append(frame).unwrap();
    journal.sync().unwrap();
}

/// Entries 1 to 4 in three frames, then another history from 5 on: its first entry, 6 and 7, and 8, which the mark covers
/// or not.
fn two_histories(marked: bool) -> (Files, Vec<Entry>) {
    let shelf = Shelf::default();
    let mut journal = open_at(&shelf, None).unwrap().journal;
    three_frames().iter().for_each(|frame| append(&mut journal, frame));
    journal.continue_as(AFTER, &frame(&[continued(AFTER, ORIGIN, 4)])).unwrap();
    append(&mut journal, &small_frame(6, 2));
    journal.mark().unwrap();
    append(&mut journal, &small_frame(8, 1));
    if marked {
        journal.mark().unwrap();
    }
    let entries = read_all(&journal.reader());
    (shelf.files(), entries)
}

/// Where the frames of a segment begin, and where the last one ends.
fn bounds(segment: &[u8]) -> Vec<usize> {
    let mut bounds = vec![SEGMENT_HEADER_BYTES];
    while let Some(bytes) = segment.get(bounds[bounds.len() - 1] + 8..).and_then(<[u8]>::first_chunk) {
        let payload = usize::try_from(u32::from_le_bytes(*bytes)).unwrap();
        bounds.push(bounds[bounds.len() - 1] + FRAME_HEADER_BYTES + payload);
    }
    assert_eq!(bounds.last(), Some(&segment.len()));
    bounds
}

#[test]
fn a_history_goes_on_as_another() {
    let (files, entries) = two_histories(true);
    assert_eq!(seqs(&entries), (1..=8).collect::<Vec<_>>());
    let shelf = Shelf::of(&files);
    let mut opened = open_at(&shelf, None).unwrap();
    assert_eq!(opened.recovered, Recovered { last: Seq::new(8), torn: None });
    assert_eq!(opened.entries, entries);
    assert_eq!(opened.journal.identity(), AFTER);
    let lineage = [Part { identity: BEFORE, first: Seq::new(1) }, Part { identity: AFTER, first: Seq::new(5) }];
    assert_eq!(opened.journal.lineage(), lineage);
    assert_eq!(FileJournal::identity_before_opening(&shelf, SHARD).unwrap(), Some(AFTER));
    // And once more, and on.
    let third = Identity { origin: ORIGIN, epoch: Epoch::new(9) };
    opened.journal.continue_as(third, &frame(&[continued(third, AFTER.origin, 8)])).unwrap();
    append(&mut opened.journal, &small_frame(10, 3));
    let place = opened.journal.place();
    append(&mut opened.journal, &small_frame(13, 1));
    drop(opened);
    let again = open_at(&shelf, None).unwrap();
    assert_eq!(seqs(&again.entries), (1..=13).collect::<Vec<_>>());
    assert_eq!(again.journal.lineage()[2], Part { identity: third, first: Seq::new(9) });
    drop(again);
    let from_there = open_at(&shelf, Some(place)).unwrap();
    assert_eq!(seqs(&from_there.entries), [13]);
    assert_eq!(from_there.journal.lineage().len(), 3);
}

#[test]
fn reading_begins_in_an_earlier_history() {
    let shelf = Shelf::default();
    let mut journal = open_at(&shelf, None).unwrap().journal;
    append(&mut journal, &small_frame(1, 2));
    let place = journal.place();
    append(&mut journal, &small_frame(3, 2));
    journal.continue_as(AFTER, &frame(&[continued(AFTER, ORIGIN, 4)])).unwrap();
    drop(journal);
    assert_eq!(seqs(&open_at(&shelf, Some(place)).unwrap().entries), [3, 4, 5]);
}

/// The journal opens with all of these entries, or says that this place is damaged.
#[track_caller]
fn check(files: &Files, entries: &[Entry], expected: Option<(&str, usize)>, about: &str) {
    match (open(files), expected) {
        (Ok(opened), None) => assert!(opened.entries == entries, "{about}: {:?}", seqs(&opened.entries)),
        (Err(Fault::Damaged { file, offset, .. }), Some(expected)) => {
            assert_eq!((file.as_str(), offset), (expected.0, expected.1 as u64), "{about}");
        }
        (Ok(opened), Some(_)) => panic!("{about}: it opens with {:?}", opened.recovered),
        (Err(fault), _) => panic!("{about}: {fault}"),
    }
}

/// Where the damage is that a wrong bit at `at` makes in a segment; `None` where nothing was ever written.
fn damaged_at(segment: &[u8], at: usize) -> Option<usize> {
    match at {
        0..100 => Some(0),
        100..SEGMENT_HEADER_BYTES => None,
        at => bounds(segment).into_iter().rfind(|&bound| bound <= at && bound < segment.len()),
    }
}

#[test]
fn every_wrong_bit_of_a_marked_journal_is_found_or_harmless() {
    let (intact, entries) = two_histories(true);
    let mut files = intact.clone();
    for (name, bytes) in &intact {
        for bit in 0..8 * bytes.len() {
            let at = bit / 8;
            if (104..SEGMENT_HEADER_BYTES - 4).contains(&at) {
                continue;
            }
            files.get_mut(name).unwrap()[at] ^= 1 << (bit % 8);
            // One slot of the mark is enough: what it covers less, the frames themselves hold.
            let damaged = if name == "mark" { None } else { damaged_at(bytes, at) };
            let expected = damaged.map(|offset| (name.as_str(), offset));
            check(&files, &entries, expected, &format!("bit {bit} of {name}"));
            files.get_mut(name).unwrap()[at] = bytes[at];
        }
    }
}

#[test]
fn every_truncation_of_a_marked_journal_is_found() {
    let (intact, entries) = two_histories(true);
    for (name, bytes) in &intact {
        for kept in (0..bytes.len()).filter(|kept| !(104..SEGMENT_HEADER_BYTES - 4).contains(kept)) {
            let mut files = intact.clone();
            files.get_mut(name).unwrap().truncate(kept);
            if name == "mark" {
                // What is left of it says less, or nothing: then nobody knows what is missing.
                match open(&files) {
                    Ok(opened) => assert!(opened.entries == entries, "{kept} bytes of the mark"),
                    Err(Fault::Damaged { file, .. }) => {
                        assert!(file == "mark" && kept < 48, "{kept} bytes of the mark")
                    }
                    Err(fault) => panic!("{kept} bytes of the mark: {fault}"),
                }
                continue;
            }
            let expected = match kept {
                // An empty segment was never begun, so the frame is missing from the one before.
                0 if name == SECOND => (FIRST, intact[FIRST].len()),
                0..100 => (name.as_str(), 0),
                _ => (name.as_str(), damaged_at(bytes, kept).unwrap_or(SEGMENT_HEADER_BYTES)),
            };
            check(&files, &entries, Some(expected), &format!("{kept} bytes of {name}"));
        }
        // The whole file.
        let mut files = intact.clone();
        files.remove(name);
        assert!(matches!(open(&files), Err(Fault::Damaged { .. })), "{name} is missing");
    }
}

#[test]
fn every_wrong_bit_of_an_unmarked_last_frame_is_a_torn_tail() {
    let (intact, entries) = two_histories(false);
    let second = &intact[SECOND];
    let bounds = bounds(second);
    let last = bounds[bounds.len() - 2];
    let torn = TornTail { file: SECOND.to_owned(), offset: last as u64, after: Seq::new(7) };
    let mut files = intact.clone();
    for bit in 8 * last..8 * second.len() {
        files.get_mut(SECOND).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let opened = open(&files).unwrap();
        assert_eq!(opened.recovered.torn.as_ref(), Some(&torn), "bit {bit}");
        assert!(opened.entries == entries[..7], "bit {bit}");
        files.get_mut(SECOND).unwrap()[bit / 8] = second[bit / 8];
    }
    for kept in last..second.len() {
        files.insert(SECOND.to_owned(), second[..kept].to_vec());
        let opened = open(&files).unwrap();
        let is_clean = second[last..kept].iter().all(|&byte| byte == 0);
        assert_eq!(opened.recovered.torn.is_none(), is_clean, "{kept} bytes");
        assert!(opened.entries == entries[..7], "{kept} bytes");
    }
    // All before it is vouched for: by the mark, by the frames behind, and by the history that goes on.
    for (name, at) in [(FIRST, 8), (FIRST, 4096 + 20), (SECOND, 8), (SECOND, 4096 + 20), (SECOND, bounds[1] + 150)] {
        files.clone_from(&intact);
        files.get_mut(name).unwrap()[at] ^= 4;
        check(&files, &entries, damaged_at(&intact[name], at).map(|offset| (name, offset)), &format!("{name} {at}"));
    }
}

#[test]
fn a_mark_of_the_history_before_vouches_for_its_part() {
    let (intact, entries) = two_histories(true);
    let old_mark = {
        let shelf = Shelf::default();
        let mut journal = open_at(&shelf, None).unwrap().journal;
        three_frames().iter().for_each(|frame| append(&mut journal, frame));
        journal.mark().unwrap();
        shelf.files()["mark"].clone()
    };
    let mut files = intact.clone();
    files.insert("mark".to_owned(), old_mark);
    check(&files, &entries, None, "an older mark");
    // Of the later part only the last frame is on its own then.
    for (name, at) in [(FIRST, 8), (FIRST, 4096 + 20), (SECOND, 8), (SECOND, 4096 + 20)] {
        let mut spoilt = files.clone();
        spoilt.get_mut(name).unwrap()[at] ^= 4;
        check(&spoilt, &entries, damaged_at(&intact[name], at).map(|offset| (name, offset)), &format!("{name} {at}"));
    }
    // A copy that ended right after it began the later part: nobody was told of that.
    files.insert(SECOND.to_owned(), intact[SECOND][..SEGMENT_HEADER_BYTES + 40].to_vec());
    let shelf = Shelf::of(&files);
    let opened = open_at(&shelf, None).unwrap();
    let offset = SEGMENT_HEADER_BYTES as u64;
    let torn = TornTail { file: SECOND.to_owned(), offset, after: Seq::new(4) };
    assert_eq!((opened.recovered.torn, opened.journal.identity()), (Some(torn), BEFORE));
    assert_eq!(opened.entries, entries[..4]);
    drop(opened.journal);
    assert!(shelf.files()[SECOND].is_empty());
}

#[test]
fn a_mark_of_a_later_history_is_missed() {
    let (intact, _) = two_histories(true);
    let mut files = intact;
    files.remove(SECOND);
    let Err(Fault::Damaged { what, seq, .. }) = open(&files).map(|opened| opened.recovered) else {
        panic!("the later history is missing")
    };
    assert_eq!((what.as_str(), seq), ("the mark is of a later history, whose segments are missing", Seq::new(5)));
}

#[test]
fn only_the_right_entry_continues_a_history() {
    let wrong = [
        small(5),
        continued(Identity { origin: Origin::new(78), ..AFTER }, ORIGIN, 4),
        continued(AFTER, Origin::new(5), 4),
        Entry { header: header(5), ..continued(AFTER, ORIGIN, 3) },
    ];
    for entry in wrong {
        let shelf = Shelf::default();
        let mut journal = open_at(&shelf, None).unwrap().journal;
        three_frames().iter().for_each(|frame| append(&mut journal, frame));
        journal.continue_as(AFTER, &frame(std::slice::from_ref(&entry))).unwrap();
        drop(journal);
        let expected = Some((SECOND, SEGMENT_HEADER_BYTES));
        check(&shelf.files(), &[], expected, &format!("{:?}", entry.fact));
    }
    // Nor does a segment that is put behind: the chain tells.
    let (mut files, _) = two_histories(true);
    let (others, _) = two_histories(true);
    files.insert(THIRD.to_owned(), others[SECOND].clone());
    assert_eq!(open(&files).unwrap().recovered.last, Seq::new(8));
}

#[test]
#[should_panic(expected = "JRN-7")]
fn a_history_does_not_go_on_as_an_earlier_one() {
    let mut journal = open_at(&Shelf::default(), None).unwrap().journal;
    let same_epoch = Identity { epoch: BEFORE.epoch, ..AFTER };
    drop(journal.continue_as(same_epoch, &small_frame(1, 1)));
}

#[test]
fn looking_at_a_journal_finds_what_opening_finds_and_changes_nothing() {
    for marked in [true, false] {
        let (mut files, entries) = two_histories(marked);
        for spoilt in [false, true] {
            if spoilt {
                *files.get_mut(SECOND).unwrap().last_mut().unwrap() ^= 1;
            }
            let shelf = Shelf::of(&files);
            let mut seen = Vec::new();
            let mut visit = |entry: &Entry, _: Position, _: Option<StartAt>| {
                seen.push(entry.clone());
                Ok(())
            };
            let inspected = FileJournal::inspect(&shelf, SHARD, &mut visit);
            assert!(shelf.files() == files, "marked {marked}, spoilt {spoilt}");
            match (inspected, open(&files)) {
                (Ok(inspected), Ok(opened)) => {
                    assert_eq!(inspected.recovered, opened.recovered);
                    assert_eq!(inspected.lineage, opened.journal.lineage());
                    assert_eq!(inspected.marked, Some((AFTER, Seq::new(if marked { 8 } else { 7 }))));
                    assert_eq!((inspected.segments, inspected.frames), (2, if spoilt { 5 } else { 6 }));
                    assert_eq!(seen, opened.entries);
                    assert!(seen == entries || spoilt);
                }
                (Err(inspected), Err(opened)) => assert_eq!(inspected.to_string(), opened.to_string()),
                (inspected, opened) => panic!("{inspected:?}, {:?}", opened.map(|opened| opened.recovered)),
            }
        }
    }
    let empty = Shelf::default();
    let inspected = FileJournal::inspect(&empty, SHARD, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!((inspected.segments, inspected.lineage.len(), inspected.marked), (0, 0, None));
    assert!(empty.files().is_empty());
}

#[test]
fn another_encoding_of_the_same_entries_is_noticed() {
    let shelf = Shelf::default();
    let mut journal = open_at(&shelf, None).unwrap().journal;
    // Two runs of rows where one would do.
    let (one, other) = (small_frame(1, 1), small_frame(2, 1));
    let payload = [&one.payload[..], &other.payload].concat();
    let odd = Frame { count: 2, payload, ..one };
    assert_eq!(seqs(&odd.entries().unwrap()), [1, 2]);
    append(&mut journal, &odd);
    drop(journal);
    assert!(open_at(&shelf, None).is_ok());
    let Err(Fault::Damaged { what, offset, .. }) = FileJournal::inspect(&shelf, SHARD, &mut |_, _, _| Ok(())) else {
        panic!("it is not what a journal writes")
    };
    assert_eq!((what.as_str(), offset), ("the entries of the frame are not encoded as a journal encodes them", 4096));
}
