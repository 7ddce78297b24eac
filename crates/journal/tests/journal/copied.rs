//! Journals that are copied from another one, as backups and restores do it.

use engine::{Checkpoint, Entry, Fact};
use journal::{Copied, CopyError, Disk, DiskFile, Fault, FileJournal, Frame, Identity, Journal, Layout};
use ledger::{MetadataOf, TransferFlags, TransferKey};
use types::{Digest, Epoch, Origin, Seq, TransferId};

use crate::support::{
    ORIGIN, SEGMENT_HEADER_BYTES, SHARD, Shelf, chunk, frame, header, read_all, seqs, small, small_frame,
};

const END: Seq = Seq::new(u64::MAX);
const AFTER: Identity = Identity { origin: Origin::new(77), epoch: Epoch::new(2) };

fn segment(number: usize) -> String {
    format!("segment-{number:08}")
}

fn open(shelf: &Shelf) -> FileJournal<Shelf> {
    let opened = FileJournal::open(shelf.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut |_, _, _| Ok(()));
    opened.unwrap().0
}

/// A journal of these frames.
fn journal_of(frames: &[Frame]) -> Shelf {
    let shelf = Shelf::default();
    let mut journal = open(&shelf);
    for frame in frames {
        journal.append(frame).unwrap();
        journal.sync().unwrap();
    }
    journal.mark().unwrap();
    shelf
}

/// Two segments of one history, then one of the history that continues it.
fn three_segments() -> Shelf {
    let shelf = journal_of(&[small_frame(1, 9), frame(&[chunk(10, 850 * 1024)]), frame(&[chunk(11, 850 * 1024)])]);
    let departed = Checkpoint { origin: ORIGIN, size: 11, root: Digest::of(b"root") };
    let fact = Fact::JournalContinued { origin: AFTER.origin, departed };
    let mut journal = open(&shelf);
    journal.continue_as(AFTER, &frame(&[Entry { header: header(12), fact, sealed: None }])).unwrap();
    journal.append(&small_frame(13, 4)).unwrap();
    journal.sync().unwrap();
    journal.mark().unwrap();
    shelf
}

/// All bytes of a file.
fn whole(shelf: &Shelf, name: &str) -> Vec<u8> {
    let file = shelf.open(name).unwrap().unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Copies what the source has behind the end of the copy, at most `piece` bytes at a time; `pieces` of them.
fn go_on(source: &Shelf, target: &Shelf, piece: usize, pieces: usize) -> Result<FileJournal<Shelf>, CopyError> {
    let first = whole(source, &segment(1));
    let mut copy = match FileJournal::open_copy(target, SHARD)? {
        Some((copy, _)) => copy,
        None => FileJournal::begin_copy(target.clone(), SHARD, &first[..200])?,
    };
    for _ in 0..pieces {
        let place = copy.place();
        let number = usize::try_from(place.segment).unwrap();
        let bytes = whole(source, &segment(number));
        let at = usize::try_from(place.offset).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        if at < used {
            copy.copy_frames(&bytes[at..used.min(at + piece)], END)?;
        } else if source.open(&segment(number + 1)).unwrap().is_some() {
            copy.copy_header(&whole(source, &segment(number + 1)))?;
        } else {
            break;
        }
    }
    copy.sync()?;
    Ok(copy)
}

#[test]
fn a_copy_is_the_same_byte_for_byte() {
    let source = three_segments();
    for piece in [1_200_000, 900_000] {
        let target = Shelf::default();
        let mut copy = go_on(&source, &target, piece, usize::MAX).unwrap();
        copy.mark().unwrap();
        for number in 1..=3 {
            assert!(whole(&target, &segment(number)) == whole(&source, &segment(number)), "segment {number}");
        }
        assert_eq!((copy.identity(), copy.place()), (AFTER, open(&source).place()));
        assert_eq!(copy.lineage(), open(&source).lineage());
        assert_eq!(seqs(&read_all(&copy.reader())), (1..=16).collect::<Vec<_>>());
        drop(copy);
        // It is a journal like any other.
        let mut again = open(&target);
        again.append(&small_frame(17, 1)).unwrap();
        again.sync().unwrap();
    }
}

#[test]
fn a_copy_goes_on_wherever_it_was_interrupted() {
    let source = three_segments();
    for pieces in 0..8 {
        let target = Shelf::default();
        let copy = go_on(&source, &target, 1_000_000, pieces).unwrap();
        let (reached, number) = (copy.place().seq, copy.place().segment);
        drop(copy);
        // The last write tore, and what came with it is not there.
        let name = segment(usize::try_from(number).unwrap());
        let file = target.open(&name).unwrap().unwrap();
        let end = whole(&target, &name).iter().rposition(|&byte| byte != 0).unwrap() as u64;
        if end > SEGMENT_HEADER_BYTES as u64 {
            file.write_at(&[0; 40], end - 39).unwrap();
        }
        let copy = go_on(&source, &target, 1_000_000, usize::MAX).unwrap();
        assert_eq!(copy.place(), open(&source).place(), "interrupted at {reached}");
        for number in 1..=3 {
            assert!(whole(&target, &segment(number)) == whole(&source, &segment(number)), "segment {number}");
        }
    }
}

#[test]
fn a_copy_takes_only_what_follows() {
    let source = journal_of(&[small_frame(1, 3), small_frame(4, 3), small_frame(7, 3)]);
    let bytes = whole(&source, &segment(1));
    let begin = || FileJournal::begin_copy(Shelf::default(), SHARD, &bytes).unwrap();
    let frames = &bytes[SEGMENT_HEADER_BYTES..];
    let bound = 128 + small_frame(1, 3).payload.len();
    // Frames that are not complete wait for the rest.
    for (kept, taken) in [(0, 0), (100, 0), (bound - 1, 0), (bound, bound), (2 * bound - 1, bound)] {
        let expected = Copied { bytes: taken as u64, frames: u64::from(taken > 0), ended: false };
        assert_eq!(begin().copy_frames(&frames[..kept], END).unwrap(), expected, "{kept} bytes");
    }
    // The first frame that is wrong stops it, and those before are taken.
    for (spoilt, what) in [(30, "no frame stands there"), (200, "the frame does not match its checksum")] {
        let mut spoilt_frames = frames.to_vec();
        spoilt_frames[bound + spoilt] ^= 1;
        let mut copy = begin();
        assert_eq!(copy.copy_frames(&spoilt_frames, END).unwrap().bytes, bound as u64);
        let Err(CopyError::Damaged { seq, what: said, offset, .. }) = copy.copy_frames(&spoilt_frames[bound..], END)
        else {
            panic!("it is damaged")
        };
        assert_eq!((seq, said, offset), (Seq::new(4), what, (SEGMENT_HEADER_BYTES + bound) as u64));
        // What was taken stands, and goes on with the right bytes.
        copy.copy_frames(&frames[bound..3 * bound], END).unwrap();
        copy.sync().unwrap();
        assert_eq!(seqs(&read_all(&copy.reader())), (1..=9).collect::<Vec<_>>());
    }
    // A frame that was passed over, or of a journal that parted.
    let skipped = begin().copy_frames(&frames[bound..], END);
    assert!(matches!(skipped, Err(CopyError::Diverged { .. })), "{skipped:?}");
    let other = journal_of(&[small_frame(1, 3), frame(&[small(4), small(5)])]);
    let mut copy = begin();
    copy.copy_frames(&frames[..2 * bound], END).unwrap();
    let theirs = &whole(&other, &segment(1))[SEGMENT_HEADER_BYTES + bound..];
    assert!(matches!(copy.copy_frames(theirs, END), Err(CopyError::Diverged { .. })));
    // One that has the right sequences, and only by the chain is seen to be of another.
    let changed = frame(&[chunk(4, 10), small(5), small(6)]);
    let other = journal_of(&[small_frame(1, 3), changed.clone(), small_frame(7, 3)]);
    let theirs = &whole(&other, &segment(1))[SEGMENT_HEADER_BYTES + bound + 128 + changed.payload.len()..];
    let parted = copy.copy_frames(theirs, END);
    assert!(matches!(parted, Err(CopyError::Diverged { seq, .. }) if seq == Seq::new(7)), "{parted:?}");
    // Headers of anything else.
    let later = three_segments();
    let no_start = FileJournal::begin_copy(Shelf::default(), SHARD, &whole(&later, &segment(2)));
    assert!(matches!(no_start, Err(CopyError::Damaged { .. })));
    assert!(matches!(begin().copy_header(&whole(&later, &segment(2))), Err(CopyError::Diverged { .. })));
    assert!(matches!(begin().copy_header(&[0; 4096]), Err(CopyError::Damaged { .. })));
    let other_shard = FileJournal::begin_copy(Shelf::default(), types::ShardId::new(9), &bytes);
    assert!(matches!(other_shard, Err(CopyError::Fault(Fault::OtherShard { .. }))));
}

#[test]
fn a_copy_may_end_within_a_frame() {
    let source = journal_of(&[small_frame(1, 5), small_frame(6, 5)]);
    let bytes = whole(&source, &segment(1));
    for until in 1..=9 {
        let target = Shelf::default();
        let mut copy = FileJournal::begin_copy(target.clone(), SHARD, &bytes).unwrap();
        let copied = copy.copy_frames(&bytes[SEGMENT_HEADER_BYTES..], Seq::new(until)).unwrap();
        assert_eq!((copied.ended, copy.place().seq), (true, Seq::new(until)));
        copy.sync().unwrap();
        copy.mark().unwrap();
        assert_eq!(read_all(&copy.reader()), (1..=until).map(small).collect::<Vec<_>>());
        drop(copy);
        let whole_frames = SEGMENT_HEADER_BYTES + if until < 5 { 0 } else { 128 + small_frame(1, 5).payload.len() };
        assert!(whole(&target, &segment(1))[..whole_frames] == bytes[..whole_frames]);
        assert_eq!(seqs(&read_all(&open(&target).reader())).len() as u64, until);
    }
}

#[test]
fn a_copy_ends_where_a_crash_could_have_ended_it() {
    let linked = |seq: u64| {
        let mut entry = small(seq);
        if let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &mut entry.fact {
            transfer.flags = TransferFlags::LINKED;
        }
        entry
    };
    let detail = |seq: u64, of: u128| {
        let of = MetadataOf::Transfer(TransferKey::Client(TransferId::new(of)));
        Entry { fact: Fact::Ledger(ledger::Fact::MetadataSet { of, values: Vec::new() }), ..small(seq) }
    };
    // 1; a chain of 2 to 4 with a detail of 2; 6; a change of what is older than the frame.
    let entries = [small(1), linked(2), linked(3), small(4), detail(5, 2), small(6), detail(7, 999)];
    let source = journal_of(&[frame(&entries)]);
    let bytes = whole(&source, &segment(1));
    let ends: Vec<Option<(u64, u64)>> = (1..=7)
        .map(|until| {
            let mut copy = FileJournal::begin_copy(Shelf::default(), SHARD, &bytes).unwrap();
            match copy.copy_frames(&bytes[SEGMENT_HEADER_BYTES..], Seq::new(until)) {
                Ok(copied) => {
                    assert!(copied.ended);
                    None
                }
                Err(CopyError::Inside { seq, before, after }) => {
                    assert_eq!(seq, Seq::new(until));
                    Some((before.get(), after.get()))
                }
                Err(error) => panic!("{error}"),
            }
        })
        .collect();
    let inside = Some((1, 5));
    assert_eq!(ends, [None, inside, inside, inside, None, None, None]);
}
