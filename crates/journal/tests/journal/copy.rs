//! Copies of a journal: byte for byte the same, whatever interrupts them, and never of anything else.

use std::collections::BTreeMap;

use disk::Directory;
use engine::{DepartedHistory, Entry, Fact};
use journal::{
    CopyFault, DurableLog, Fault, FileCopy, FileJournal, FileReader, Identity, Layout, Reader, SegmentStore,
};
use types::{Amount, Digest, Epoch, Origin, Seq};

use crate::support::{
    Crashing, FRAME_HEADER_BYTES, Folder, Loss, ORIGIN, SEGMENT_HEADER_BYTES, SHARD, bounds, chunk, flipped, frame,
    header, read_all, seqs, small, small_frame, three_frames,
};

/// Three segments: frames of all sizes, so that pieces end within them and at their ends.
fn original() -> Folder {
    let folder = Folder::new();
    let mut opened = folder.open();
    let mut next = 1;
    for bytes in [300_000, 0, 500_000, 0, 0, 700_000, 600_000, 0] {
        let frame = if bytes == 0 { small_frame(next, 3) } else { frame(&[chunk(next, bytes)]) };
        next = frame.last().get() + 1;
        opened.journal.append(&frame).unwrap();
        opened.journal.sync().unwrap();
    }
    opened.journal.mark().unwrap();
    folder
}

/// Copies until all that is durable is there; each piece is synced.
fn follow<D: disk::Disk>(
    reader: &FileReader<Directory>,
    copy: &mut FileCopy<D>,
    piece_bytes: usize,
) -> Result<(), CopyFault> {
    loop {
        let end = reader.durable_end().unwrap();
        let (segment, offset) = copy.wanted();
        if (segment, offset) == (end.segment, end.offset) {
            return Ok(());
        }
        let files = reader.segment_files(segment, 1, &end).unwrap();
        let bytes = reader.durable_bytes(segment, offset, piece_bytes).unwrap().unwrap();
        if bytes.is_empty() {
            copy.finish_segment()?;
        } else {
            copy.take(&bytes, files[0].bytes)?;
            copy.sync()?;
        }
    }
}

fn open_copy(folder: &Folder) -> FileCopy<Directory> {
    FileCopy::open(folder.directory(), SHARD).unwrap()
}

/// The segments of a folder up to number `last`, whole files.
fn segments(folder: &Folder, last: u64) -> BTreeMap<String, Vec<u8>> {
    let name = |number| format!("segment-{number:08}");
    (1..=last).map(|number| (name(number), folder.read(&name(number)))).collect()
}

fn segments_of_copy(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.into_iter().filter(|(name, _)| name.starts_with("segment-")).collect()
}

#[test]
fn a_copy_is_byte_for_byte_the_same_and_opens_as_a_journal() {
    let original = original();
    let opened = original.open();
    for piece_bytes in [101, 4_096, 65_536, 1 << 20, 4 << 20] {
        let folder = Folder::new();
        let mut copy = open_copy(&folder);
        follow(&opened.journal.reader(), &mut copy, piece_bytes).unwrap();
        assert_eq!(copy.last(), opened.recovered.last);
        assert_eq!(copy.identity(), Some(opened.journal.identity()));
        drop(copy);
        assert!(segments(&folder, 3) == segments(&original, 3), "in pieces of {piece_bytes} bytes");
        let copied = folder.open();
        assert_eq!((&copied.entries, &copied.recovered), (&opened.entries, &opened.recovered));
        assert_eq!(copied.journal.identity(), opened.journal.identity());
    }
}

#[test]
fn only_what_is_durable_is_given() {
    let folder = Folder::new();
    let mut opened = folder.open();
    let reader = opened.journal.reader();
    assert_eq!(reader.durable_end().unwrap().offset, SEGMENT_HEADER_BYTES as u64, "a new journal has no frame");
    opened.journal.append(&frame(&[chunk(1, 800_000)])).unwrap();
    opened.journal.sync().unwrap();
    let end = reader.durable_end().unwrap();
    assert_eq!((end.seq, end.segment), (Seq::new(1), 1));
    opened.journal.append(&small_frame(2, 3)).unwrap();
    assert_eq!(reader.durable_end().unwrap(), end, "it is written, not synced");
    assert_eq!(reader.durable_bytes(1, end.offset, 100).unwrap().unwrap(), b"");
    opened.journal.sync().unwrap();
    let end = reader.durable_end().unwrap();
    assert_eq!((end.seq, end.segment), (Seq::new(4), 1));
    // This one goes into a segment of its own, and a crash may yet undo that.
    opened.journal.append(&frame(&[chunk(5, 800_000)])).unwrap();
    assert_eq!(reader.durable_end().unwrap(), end);
    assert_eq!(reader.durable_bytes(1, end.offset, 100).unwrap().unwrap(), b"");
    assert_eq!(reader.durable_bytes(1, end.offset + 1, 100).unwrap(), None);
    assert_eq!(reader.durable_bytes(2, 0, 100).unwrap(), None);
    assert_eq!(reader.segment_files(1, 9, &end).unwrap().len(), 1);
    opened.journal.sync().unwrap();
    let end = reader.durable_end().unwrap();
    assert_eq!((end.seq, end.segment), (Seq::new(5), 2));
    assert_eq!(reader.durable_bytes(2, 0, 1 << 30).unwrap().unwrap().len() as u64, end.offset);
    let files = reader.segment_files(1, 9, &end).unwrap();
    assert_eq!(files.iter().map(|file| file.first.get()).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(files[1].bytes, Layout::TINY.segment_bytes);
    assert_eq!(reader.durable_bytes(0, 0, 100).unwrap(), None);
}

#[test]
fn a_copy_follows_while_the_original_goes_on_and_restarts() {
    let (original, folder) = (Folder::new(), Folder::new());
    let mut next = 1;
    for restart in 0..4 {
        let mut opened = original.open();
        let reader = opened.journal.reader();
        let mut copy = open_copy(&folder);
        for _ in 0..3 {
            let frame = frame(&[chunk(next, 200_000 + 10_000 * restart)]);
            next += 1;
            opened.journal.append(&frame).unwrap();
            opened.journal.sync().unwrap();
            follow(&reader, &mut copy, 150_000).unwrap();
            assert_eq!(copy.last(), frame.last());
            for held in copy.held().unwrap() {
                let there = reader.durable_bytes(held.segment, held.offset, held.bytes.len()).unwrap();
                assert_eq!(there, Some(held.bytes));
            }
        }
    }
    assert!(segments(&original, 3) == segments(&folder, 3));
    assert_eq!(seqs(&folder.open().entries), (1..next).collect::<Vec<_>>());
}

/// The power fails after any number of changes to the copy's directory; what was not synced survives in whole, not at all
/// or in part. The copy goes on each time, and what was reported as synced is never gone.
#[test]
fn a_copy_goes_on_after_a_crash_at_any_point() {
    let original = original();
    let opened = original.open();
    let reader = opened.journal.reader();
    let expected = segments(&original, 3);
    let piece_bytes = 400_000;
    let mut crashes = 0;
    for operations in 0.. {
        let disk = Crashing::default();
        disk.fail_after(operations);
        let mut synced = Seq::ZERO;
        let interrupted = FileCopy::open(disk.clone(), SHARD).map_err(CopyFault::from).and_then(|mut copy| {
            let followed = follow(&reader, &mut copy, piece_bytes);
            synced = copy.last();
            followed
        });
        if interrupted.is_ok() {
            break;
        }
        crashes += 1;
        for loss in [Loss::Nothing, Loss::Everything, Loss::Some(operations), Loss::Some(!operations)] {
            let disk = disk.restarted(loss);
            if matches!(loss, Loss::Nothing | Loss::Everything) {
                // A server would start on what was left, too. (Frames that survive behind a lost one look like damage: they
                // say what was durable where they come from. That is why the copy is opened first after a power failure.)
                let journal = open_journal(&disk.restarted(Loss::Nothing));
                assert!(journal.is_ok(), "{operations} {loss:?}: {journal:?}");
            }
            let mut copy = FileCopy::open(disk.clone(), SHARD).unwrap();
            let last = copy.last();
            assert!(last <= synced);
            if last > Seq::ZERO {
                // It is a journal that a server would start on.
                let journal = open_journal(&disk.restarted(Loss::Nothing)).unwrap();
                assert_eq!(journal.durable(), last, "{operations} {loss:?}");
                assert_eq!(read_all(&journal.reader()), opened.entries[..usize::try_from(last.get()).unwrap()]);
            }
            follow(&reader, &mut copy, piece_bytes).unwrap();
            assert!(segments_of_copy(disk.files()) == expected, "{operations} {loss:?}");
        }
    }
    assert!(crashes > 60, "{crashes}");
}

/// As in [`a_copy_goes_on_after_a_crash_at_any_point`], for the one promise that counts: what [`FileCopy::sync`] said is
/// safe, is.
#[test]
fn what_a_copy_reported_survives_the_loss_of_everything_unsynced() {
    let original = original();
    let reader = original.open().journal.reader();
    let disk = Crashing::default();
    let mut copy = FileCopy::open(disk.clone(), SHARD).unwrap();
    let end = reader.durable_end().unwrap();
    while copy.wanted() != (end.segment, end.offset) {
        let (segment, offset) = copy.wanted();
        let bytes = reader.durable_bytes(segment, offset, 100_000).unwrap().unwrap();
        if bytes.is_empty() {
            copy.finish_segment().unwrap();
            continue;
        }
        copy.take(&bytes, Layout::TINY.segment_bytes).unwrap();
        let reported = copy.sync().unwrap();
        let survived = FileCopy::open(disk.restarted(Loss::Everything), SHARD).unwrap().last();
        assert_eq!(survived, reported);
    }
}

fn open_journal(disk: &Crashing) -> Result<FileJournal<Crashing>, Fault> {
    FileJournal::open(disk.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut |_, _, _| Ok(()))
        .map(|(journal, _)| journal)
}

#[test]
fn no_changed_bit_gets_into_a_copy() {
    let frames = three_frames();
    let original = Folder::with_marked(&frames);
    let reader = original.open().journal.reader();
    let end = bounds(&frames)[3];
    let intact = reader.durable_bytes(1, 0, 1 << 20).unwrap().unwrap();
    assert_eq!(intact.len(), end);
    let header_used = 100;
    for at in (0..header_used).chain(SEGMENT_HEADER_BYTES..end) {
        for bit in 0..8 {
            let disk = Crashing::default();
            let mut copy = FileCopy::open(disk.clone(), SHARD).unwrap();
            // The header of a segment is found wrong by itself; so are frames, or they do not follow.
            let taken = copy.take(&flipped(&intact, at, bit), 20_000);
            let whole_before = bounds(&frames).iter().rposition(|bound| *bound <= at).map_or(0, |index| index);
            let shown = format!("byte {at} bit {bit}");
            assert!(
                matches!(taken, Err(CopyFault::Received { .. } | CopyFault::Own(Fault::FormatVersion { .. }))),
                "{shown}: {taken:?}"
            );
            assert!(copy.last().get() <= [0, 2, 3, 4][whole_before], "{shown}");
            drop(copy);
            assert_eq!(FileCopy::open(disk, SHARD).unwrap().last(), Seq::ZERO, "{shown}: nothing was synced");
        }
    }
}

#[test]
fn another_history_is_refused() {
    let original = Folder::with_marked(&three_frames());
    let reader = original.open().journal.reader();
    let folder = Folder::new();
    let mut copy = open_copy(&folder);
    follow(&reader, &mut copy, 1 << 20).unwrap();

    // As long, of another origin: what the copy holds is not what stands there.
    let foreign = Folder::new();
    let mut opened = foreign.try_open_as(SHARD, Origin::new(7)).unwrap();
    for frame in three_frames() {
        opened.journal.append(&frame).unwrap();
    }
    opened.journal.append(&small_frame(5, 1)).unwrap();
    opened.journal.sync().unwrap();
    let other = opened.journal.reader();
    let held = copy.held().unwrap();
    let differ = |held: &&journal::HeldBytes| {
        other.durable_bytes(held.segment, held.offset, held.bytes.len()).unwrap().as_ref() != Some(&held.bytes)
    };
    assert_eq!(held.iter().filter(differ).count(), 2, "the header and the last frame");
    // And what comes next does not follow.
    let refused = follow(&other, &mut copy, 1 << 20);
    assert!(
        matches!(refused, Err(CopyFault::OtherHistory { segment: 1, last, .. }) if last == Seq::new(4)),
        "{refused:?}"
    );
    drop(copy);

    // Of the same origin, and another last entry.
    let fork = Folder::with_marked(&[small_frame(1, 2), small_frame(3, 1), frame(&[chunk(4, 500)]), small_frame(5, 1)]);
    let mut copy = open_copy(&folder);
    let fork = fork.open().journal.reader();
    let differ = |held: &journal::HeldBytes| {
        fork.durable_bytes(held.segment, held.offset, held.bytes.len()).unwrap().as_ref() != Some(&held.bytes)
    };
    assert_eq!(copy.held().unwrap().iter().map(differ).collect::<Vec<_>>(), [false, true]);
    assert!(follow(&fork, &mut copy, 1 << 20).is_err());
    drop(copy);

    // Of the same origin, as long, and another amount in the last entry: only the chain tells.
    let mut other = small(4);
    if let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &mut other.fact {
        transfer.amount = Amount::new(101);
    }
    let fork = Folder::with_marked(&[small_frame(1, 2), small_frame(3, 1), frame(&[other]), small_frame(5, 1)]);
    let mut copy = open_copy(&folder);
    let refused = follow(&fork.open().journal.reader(), &mut copy, 1 << 20);
    assert!(matches!(refused, Err(CopyFault::OtherHistory { segment: 1, .. })), "{refused:?}");
    drop(copy);
    assert_eq!(open_copy(&folder).last(), Seq::new(4), "what it held it holds");
}

#[test]
fn a_damaged_copy_is_not_continued() {
    let original = original();
    let reader = original.open().journal.reader();
    let folder = Folder::new();
    follow(&reader, &mut open_copy(&folder), 1 << 20).unwrap();
    let check = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let kept = folder.read(name);
        folder.change(name, change);
        let opened = FileCopy::open(folder.directory(), SHARD).map(|copy| copy.last());
        assert!(matches!(opened, Err(Fault::Damaged { .. })), "{name}: {opened:?}");
        folder.write(name, &kept);
    };
    let last = reader.durable_end().unwrap().offset;
    check("segment-00000003", &|bytes| bytes[usize::try_from(last).unwrap() - 1] ^= 1);
    check("segment-00000003", &|bytes| bytes[SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES] ^= 1);
    check("segment-00000003", &|bytes| bytes.truncate(10_000));
    check("segment-00000003", &|bytes| bytes[20] ^= 1);
    check("segment-00000002", &|bytes| bytes[20] ^= 1);
    check("segment-00000001", &|bytes| bytes.clear());
    check("mark", &|bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    assert_eq!(open_copy(&folder).last(), reader.durable());
}

#[test]
fn a_history_that_another_one_continues_is_copied_as_well() {
    let (original, folder) = (Folder::new(), Folder::new());
    let mut opened = original.open();
    let reader = opened.journal.reader();
    let identity = Identity { origin: Origin::new(77), epoch: Epoch::new(2) };
    let departed = DepartedHistory { origin: ORIGIN, size: 4, root: Digest::of(b"root") };
    let continued = Fact::JournalContinued { origin: identity.origin, departed };
    let continued = Entry { header: header(5), fact: continued, sealed: None };
    let mut copy = open_copy(&folder);
    for frame in three_frames() {
        opened.journal.append(&frame).unwrap();
        opened.journal.sync().unwrap();
    }
    follow(&reader, &mut copy, 1 << 20).unwrap();
    opened.journal.continue_as(identity, &frame(&[continued])).unwrap();
    follow(&reader, &mut copy, 100).unwrap();
    assert_eq!((copy.last(), copy.identity()), (Seq::new(5), Some(identity)));
    // Begun anew in between, it knows whose turn it is.
    drop(copy);
    let mut copy = open_copy(&folder);
    assert_eq!((copy.last(), copy.identity()), (Seq::new(5), Some(identity)));
    opened.journal.append(&small_frame(6, 2)).unwrap();
    opened.journal.sync().unwrap();
    follow(&reader, &mut copy, 1 << 20).unwrap();
    drop(copy);
    assert!(segments(&folder, 2) == segments(&original, 2));
    let copied = folder.open();
    assert_eq!((copied.journal.lineage(), seqs(&copied.entries)), (opened.journal.lineage(), (1..=7).collect()));

    // A history of an earlier turn continues nothing.
    let backwards = Folder::new();
    for (name, bytes) in segments(&original, 2) {
        backwards.write(&name, &bytes);
    }
    backwards.change("segment-00000002", |bytes| {
        bytes[32] = 0;
        let checksum = crc32c::crc32c(&bytes[..96]).to_le_bytes();
        bytes[96..100].copy_from_slice(&checksum);
    });
    let mut copy = FileCopy::open(Crashing::default(), SHARD).unwrap();
    let first = backwards.read_trimmed("segment-00000001");
    copy.take(&first, Layout::TINY.segment_bytes).unwrap();
    copy.finish_segment().unwrap();
    let taken = copy.take(&backwards.read("segment-00000002")[..SEGMENT_HEADER_BYTES], Layout::TINY.segment_bytes);
    assert!(matches!(taken, Err(CopyFault::OtherHistory { segment: 2, offset: 0, .. })), "{taken:?}");
}
