//! What a start finds after a stop or a crash.

use disk::{Directory, DirectoryError};
use journal::{DurableLog, Fault, FileJournal, Frame, Layout, Position, Prepare, SegmentStore, TornTail};
use types::{Origin, Seq, ShardId};

use crate::support::{
    Folder, ORIGIN, SHARD, bounds, chunk, flipped, frame, read_all, seqs, small, small_frame, three_frames,
};

const FIRST: &str = "segment-00000001";
const SECOND: &str = "segment-00000002";

/// Almost a segment of its own.
fn large_frame(seq: u64) -> Frame {
    frame(&[chunk(seq, 850 * 1024)])
}

/// Opens the journal and checks its entries and the torn tail; then continues to write, and opens it once more.
#[track_caller]
fn check(folder: &Folder, last: u64, torn: Option<(&str, u64)>) {
    let mut opened = folder.open();
    let torn = torn.map(|(file, offset)| TornTail { file: file.to_owned(), offset, after: Seq::new(last) });
    assert_eq!(opened.recovered.torn, torn);
    assert_eq!(opened.recovered.last, Seq::new(last));
    assert_eq!(seqs(&opened.entries), (1..=last).collect::<Vec<_>>());
    assert_eq!(read_all(&opened.journal.reader()), opened.entries);
    opened.journal.append(&small_frame(last + 1, 1)).expect("append");
    opened.journal.sync().expect("sync");
    drop(opened);
    let again = folder.open();
    assert_eq!(again.recovered.torn, None);
    assert_eq!(seqs(&again.entries), (1..=last + 1).collect::<Vec<_>>());
}

#[test]
fn a_stopped_journal_continues_where_it_stopped() {
    let folder = Folder::with_marked(&three_frames());
    check(&folder, 4, None);
    check(&folder, 5, None);
    assert_eq!(folder.open().entries, (1..=6).map(small).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_was_never_written_starts_once() {
    let folder = Folder::new();
    let identity = folder.open().journal.identity();
    let again = folder.try_open_as(SHARD, Origin::new(9)).unwrap();
    assert_eq!(again.journal.identity(), identity);
    drop(again);
    check(&folder, 0, None);
}

#[test]
fn a_start_that_was_interrupted_is_repeated() {
    for (left_over, torn) in [(&[][..], None), (&[0; 4096], None), (&[7; 50], Some((FIRST, 0)))] {
        let folder = Folder::new();
        folder.write(FIRST, left_over);
        folder.write(SECOND, left_over);
        check(&folder, 0, torn);
        check(&folder, 1, None);
    }
}

#[test]
fn an_incomplete_write_is_a_torn_tail() {
    let frames = three_frames();
    let folder = Folder::with_unmarked(&frames[..2]);
    let before = folder.read(FIRST);
    let mut opened = folder.open();
    let mark = folder.read("mark");
    opened.journal.append(&frames[2]).unwrap();
    opened.journal.sync().unwrap();
    drop(opened);
    let whole = folder.read(FIRST);
    let bounds = bounds(&frames);
    let (start, end) = (bounds[2], bounds[3]);
    for cut in start..end {
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        if torn == whole {
            continue;
        }
        let seen = (torn != before).then_some(start as u64);
        folder.overwrite(FIRST, start, &torn[start..end]);
        folder.write("mark", &mark);
        let opened = folder.open();
        assert_eq!(opened.recovered.torn.map(|torn| torn.offset), seen, "cut at {cut}");
        assert_eq!(opened.recovered.last, Seq::new(3), "cut at {cut}");
        assert!(folder.read(FIRST) == before, "the torn tail is zeroed, cut at {cut}");
        if cut % 50 == 0 {
            drop(opened.journal);
            check(&folder, 3, None);
        }
    }
}

#[test]
fn an_unmarked_last_frame_with_a_wrong_bit_is_a_torn_tail() {
    let folder = Folder::with_unmarked(&three_frames());
    let mark = folder.read("mark");
    let whole = folder.read(FIRST);
    let (start, end) = (bounds(&three_frames())[2], bounds(&three_frames())[3]);
    for at in start..end {
        folder.overwrite(FIRST, start, &flipped(&whole[start..end], at - start, at));
        folder.write("mark", &mark);
        let opened = folder.open();
        let torn = TornTail { file: FIRST.to_owned(), offset: start as u64, after: Seq::new(3) };
        assert_eq!(opened.recovered.torn, Some(torn), "bit at {at}");
        assert_eq!(seqs(&opened.entries), [1, 2, 3], "bit at {at}");
    }
    check(&folder, 3, None);
}

#[test]
fn an_unsynced_frame_may_survive() {
    let folder = Folder::with_marked(&three_frames());
    let mut opened = folder.open();
    opened.journal.append(&small_frame(5, 1)).unwrap();
    drop(opened);
    check(&folder, 5, None);
}

#[test]
fn a_journal_fills_many_segments() {
    let folder = Folder::new();
    for seq in 1..=8 {
        let mut opened = folder.open();
        assert_eq!(opened.recovered.last, Seq::new(seq - 1));
        opened.journal.append(&large_frame(seq)).unwrap();
        opened.journal.sync().unwrap();
        assert_eq!(seqs(&read_all(&opened.journal.reader())), (1..=seq).collect::<Vec<_>>());
    }
    let mut opened = folder.open();
    // Three segments with one sync.
    for seq in 9..=11 {
        opened.journal.append(&large_frame(seq)).unwrap();
    }
    opened.journal.sync().unwrap();
    assert_eq!(seqs(&read_all(&opened.journal.reader())), (1..=11).collect::<Vec<_>>());
    drop(opened);
    assert!(folder.path("segment-00000011").is_file());
    check(&folder, 11, None);
}

#[test]
fn a_journal_opens_with_any_layout() {
    let folder = Folder::with_marked(&[large_frame(1), large_frame(2)]);
    let layout = Layout { segment_bytes: 2 * Layout::SEGMENT_BYTES_MIN, prepare: Prepare::Ahead, ..Layout::TINY };
    let mut seen = 0;
    let mut count = |_: &engine::Entry, _: Position, _: Option<journal::StartAt>| {
        seen += 1;
        Ok(())
    };
    let (mut journal, _) = FileJournal::open(folder.directory(), layout, SHARD, || ORIGIN, None, &mut count).unwrap();
    for seq in 3..=6 {
        journal.append(&large_frame(seq)).unwrap();
        journal.sync().unwrap();
    }
    drop(journal);
    assert_eq!(seen, 2);
    check(&folder, 6, None);
}

#[test]
fn a_segment_that_was_prepared_for_later_is_used() {
    for prepared in [0, 100, 4096, usize::try_from(Layout::TINY.segment_bytes).unwrap()] {
        let folder = Folder::with_marked(&[large_frame(1)]);
        folder.write(SECOND, &vec![0; prepared]);
        let mut opened = folder.open();
        assert_eq!(opened.recovered.torn, None, "{prepared} bytes");
        opened.journal.append(&large_frame(2)).unwrap();
        opened.journal.sync().unwrap();
        drop(opened);
        assert_eq!(folder.read(SECOND).len() as u64, Layout::TINY.segment_bytes);
        check(&folder, 2, None);
    }
}

#[test]
fn a_segment_begun_after_the_tail_is_discarded() {
    let folder = Folder::with_marked(&[large_frame(1)]);
    let offset = bounds(&[large_frame(1)])[1] as u64;
    let mut opened = folder.open();
    opened.journal.append(&large_frame(2)).unwrap();
    opened.journal.append(&large_frame(3)).unwrap();
    drop(opened);
    let [second, third] = [SECOND, "segment-00000003"].map(|name| folder.read(name));
    // Of the second segment, the crash kept nothing, only its header, only its frame, or half of the frame. In each
    // case the third segment is complete.
    let frame = &second[4096..];
    let cases = [
        (vec![0; second.len()], FIRST, offset),
        ([&second[..4096], &vec![0; frame.len()]].concat(), SECOND, 4096),
        ([&[0; 4096], frame].concat(), FIRST, offset),
        ([&second[..400_000], &vec![0; second.len() - 400_000]].concat(), SECOND, 4096),
        ([&[1; 4096], frame].concat(), SECOND, 0),
    ];
    for (kept, file, torn_at) in cases {
        folder.write(SECOND, &kept);
        folder.write("segment-00000003", &third);
        let before = folder.read(FIRST);
        let opened = folder.open();
        let torn = TornTail { file: file.to_owned(), offset: torn_at, after: Seq::new(1) };
        assert_eq!(opened.recovered.torn, Some(torn));
        assert_eq!(seqs(&opened.entries), [1]);
        drop(opened);
        assert!(folder.read_trimmed("segment-00000003").is_empty());
        assert!(folder.read(FIRST) == before);
    }
    // The journal continues in the second segment, then in the third.
    check(&folder, 1, None);
    let mut opened = folder.open();
    for seq in 3..=5 {
        opened.journal.append(&large_frame(seq)).unwrap();
        opened.journal.sync().unwrap();
    }
    drop(opened);
    check(&folder, 5, None);
}

#[test]
fn frames_of_another_history_are_refused() {
    let folder = Folder::with_unmarked(&[]);
    let other = Folder::new();
    let mut opened = other.try_open_as(SHARD, Origin::new(77)).unwrap();
    opened.journal.append(&small_frame(1, 3)).unwrap();
    opened.journal.sync().unwrap();
    drop(opened);
    let theirs = other.read(FIRST);
    folder.change(FIRST, |bytes| bytes[4096..].copy_from_slice(&theirs[4096..]));
    check(&folder, 0, Some((FIRST, 4096)));
}

#[test]
fn a_mark_of_another_history_is_replaced() {
    let folder = Folder::with_marked(&three_frames());
    let other = Folder::new();
    let mut opened = other.try_open_as(SHARD, Origin::new(77)).unwrap();
    opened.journal.append(&small_frame(1, 4)).unwrap();
    opened.journal.sync().unwrap();
    opened.journal.mark().unwrap();
    drop(opened);
    folder.write("mark", &other.read("mark"));
    assert_eq!(folder.open().recovered.last, Seq::new(4));
    // The mark now covers what it covered before it was replaced: losing the last frame cannot go unnoticed.
    folder.change(FIRST, |bytes| bytes[bounds(&three_frames())[3] - 1] ^= 1);
    assert!(matches!(folder.try_open(), Err(Fault::Damaged { seq, .. }) if seq == Seq::new(4)));
}

#[test]
fn a_directory_has_one_user() {
    let folder = Folder::new();
    let opened = folder.open();
    let path = folder.path("");
    assert!(matches!(Directory::open(&path), Err(DirectoryError::InUse(_))));
    drop(opened);
    assert!(Directory::open(&path).is_ok());
}

#[test]
fn a_directory_is_created_with_its_parents() {
    let folder = Folder::new();
    for _ in 0..2 {
        let directory = Directory::open(&folder.path("new/and/deeper")).unwrap();
        assert!(directory.path().is_dir());
    }
    folder.write("file", &[]);
    assert!(matches!(Directory::open(&folder.path("file")), Err(DirectoryError::Io { .. })));
    assert!(matches!(Directory::open(&folder.path("file/below")), Err(DirectoryError::Io { .. })));
}

#[test]
fn a_journal_of_another_shard_is_refused() {
    let folder = Folder::with_marked(&three_frames());
    let opened = folder.try_open_as(ShardId::new(4), ORIGIN);
    assert!(matches!(opened, Err(Fault::OtherShard { found: 3, expected: 4, .. })));
}

#[test]
fn an_error_of_the_visitor_stops_the_opening() {
    let folder = Folder::with_unmarked(&three_frames());
    let before = [folder.read(FIRST), folder.read("mark")];
    let mut visit = |entry: &engine::Entry, _: Position, _: Option<journal::StartAt>| match entry.header.seq.get() {
        3 => Err(Fault::StateDiffers { seq: entry.header.seq }),
        _ => Ok(()),
    };
    let opened = FileJournal::open(folder.directory(), Layout::TINY, SHARD, || ORIGIN, None, &mut visit);
    assert!(matches!(opened, Err(Fault::StateDiffers { .. })));
    assert!([folder.read(FIRST), folder.read("mark")] == before);
}
