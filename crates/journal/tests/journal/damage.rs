//! Damage to acknowledged entries: opening finds it, reports its place and changes nothing.

use journal::{DurableLog, FORMAT_VERSION, Fault, Frame, Reader};
use types::Seq;

use crate::support::{
    FRAME_HEADER_BYTES, Folder, SEGMENT_HEADER_BYTES, bounds, chunk, flipped, frame, read_all, seqs, small_frame,
    three_frames,
};

const FIRST: &str = "segment-00000001";
const SECOND: &str = "segment-00000002";
const SEGMENT_HEADER_BYTES_USED: usize = 100;

/// Checks that the journal refuses to open, reports this place and leaves every file unchanged.
#[track_caller]
fn check_damaged(folder: &Folder, file: &str, offset: usize, seq: u64, about: &str) {
    let before = folder.read(FIRST);
    match folder.try_open() {
        Err(Fault::Damaged { file: named, offset: at, seq: from, what }) => {
            assert_eq!((named.as_str(), at, from), (file, offset as u64, Seq::new(seq)), "{about}: {what}");
        }
        Err(other) => panic!("{about}: {other}"),
        Ok(opened) => panic!("{about}: opened with {:?}", opened.recovered),
    }
    assert!(folder.read(FIRST) == before, "{about}: the file is unchanged");
}

#[test]
fn every_wrong_bit_of_an_acknowledged_journal_is_found_or_harmless() {
    let frames = three_frames();
    let folder = Folder::with_marked(&frames);
    let intact = folder.read(FIRST);
    let mark = folder.read("mark");
    let bounds = bounds(&frames);
    let (frames_end, firsts) = (bounds[3], [1, 3, 4]);
    let past = frames_end + 4;
    for at in (0..past).filter(|at| *at < 104 || *at >= SEGMENT_HEADER_BYTES - 4) {
        folder.overwrite(FIRST, at, &[intact[at] ^ (1 << (at % 8))]);
        let about = format!("bit at {at}");
        if at < SEGMENT_HEADER_BYTES_USED {
            check_damaged(&folder, FIRST, 0, 1, &about);
        } else if (SEGMENT_HEADER_BYTES..frames_end).contains(&at) {
            let hit = bounds.partition_point(|&bound| bound <= at) - 1;
            check_damaged(&folder, FIRST, bounds[hit], firsts[hit], &about);
        } else {
            // These bytes were never written. A wrong bit after the last frame looks like a torn tail, and is cleared.
            let opened = folder.open();
            assert_eq!(seqs(&opened.entries), [1, 2, 3, 4], "{about}");
            assert_eq!(opened.recovered.torn.is_some(), at >= frames_end, "{about}");
            drop(opened);
            assert_eq!(folder.read(FIRST) == intact, at >= frames_end, "{about}");
        }
        folder.overwrite(FIRST, at, &[intact[at]]);
    }
    assert!(folder.read("mark") == mark);
}

#[test]
fn every_wrong_bit_after_the_start_is_found_by_reads() {
    let frames = three_frames();
    let folder = Folder::with_marked(&frames);
    let intact = folder.read(FIRST);
    let opened = folder.open();
    let reader = opened.journal.reader();
    let bounds = bounds(&frames);
    for (at, byte) in intact.iter().enumerate().take(bounds[2]).skip(bounds[1]) {
        folder.overwrite(FIRST, at, &[byte ^ (1 << (at % 8))]);
        assert_eq!(seqs(&reader.read(Seq::new(1)).unwrap()), [1, 2]);
        match reader.read(Seq::new(3)) {
            Err(Fault::Damaged { file, offset, seq, .. }) => {
                assert_eq!((file.as_str(), offset, seq), (FIRST, bounds[1] as u64, Seq::new(3)), "bit at {at}");
            }
            other => panic!("bit at {at}: {other:?}"),
        }
        folder.overwrite(FIRST, at, &[*byte]);
    }
    folder.write(FIRST, &intact[..bounds[2] - 1]);
    assert!(matches!(reader.read(Seq::new(3)), Err(Fault::Damaged { .. })));
    folder.write(FIRST, &intact);
    assert_eq!(seqs(&read_all(&reader)), [1, 2, 3, 4]);
}

#[test]
fn a_later_frame_proves_that_earlier_ones_were_durable() {
    let frames = three_frames();
    let folder = Folder::with_unmarked(&frames);
    let intact = folder.read(FIRST);
    let bounds = bounds(&frames);
    for (hit, seq) in [(0, 1), (1, 3)] {
        for at in [bounds[hit], bounds[hit] + 60, bounds[hit] + FRAME_HEADER_BYTES + 5] {
            folder.write(FIRST, &flipped(&intact, at, 3));
            check_damaged(&folder, FIRST, bounds[hit], seq, &format!("bit at {at}"));
        }
    }
    // The later frame also counts if the segment's header is gone, or if the frame is in the next segment.
    folder.write(FIRST, &[&[0; SEGMENT_HEADER_BYTES], &intact[SEGMENT_HEADER_BYTES..]].concat());
    check_damaged(&folder, FIRST, 0, 1, "no header");
    folder.write(FIRST, &intact);
    let mut opened = folder.open();
    let mark = folder.read("mark");
    opened.journal.append(&frame(&[chunk(5, 850 * 1024)])).unwrap();
    opened.journal.sync().unwrap();
    opened.journal.append(&frame(&[chunk(6, 850 * 1024)])).unwrap();
    opened.journal.sync().unwrap();
    drop(opened);
    folder.write("mark", &mark);
    folder.change(FIRST, |bytes| bytes[bounds[3] + 1_000] ^= 1);
    check_damaged(&folder, FIRST, bounds[3], 5, "the frame before the rotation");
}

#[test]
fn bytes_that_look_like_a_frame_prove_nothing() {
    // A client stores bytes that are a frame header with a very high durable position.
    let forged = {
        let folder = Folder::with_unmarked(&[]);
        let mut opened = folder.open();
        for first in [1, 1_001, 2_001] {
            opened.journal.append(&small_frame(first, 1_000)).unwrap();
            opened.journal.sync().unwrap();
        }
        drop(opened);
        let end = folder.read_trimmed(FIRST).len() + 1;
        let start = end - FRAME_HEADER_BYTES - small_frame(2_001, 1_000).payload.len();
        folder.read(FIRST)[start..start + FRAME_HEADER_BYTES].to_vec()
    };
    let mut entry = chunk(1, 0);
    if let engine::Fact::ArtifactStored(chunk) = &mut entry.fact {
        chunk.bytes = [&forged[..], &[1; 1_000]].concat().into();
    }
    let folder = Folder::with_unmarked(&[frame(&[entry])]);
    let end = folder.read_trimmed(FIRST).len();
    folder.change(FIRST, |bytes| bytes[end - 500..].fill(0));
    assert!(folder.open().recovered.torn.is_some());
}

#[test]
fn a_wrong_bit_in_a_later_header_names_the_later_segment() {
    let folder = Folder::with_marked(&[frame(&[chunk(1, 850 * 1024)]), frame(&[chunk(2, 850 * 1024)])]);
    let intact = folder.read(SECOND);
    for (at, byte) in intact.iter().enumerate().take(SEGMENT_HEADER_BYTES_USED) {
        folder.overwrite(SECOND, at, &[byte ^ (1 << (at % 8))]);
        check_damaged(&folder, SECOND, 0, 2, &format!("bit at {at}"));
        folder.overwrite(SECOND, at, &[*byte]);
    }
    folder.write(SECOND, &flipped(&intact, SEGMENT_HEADER_BYTES + 70, 0));
    check_damaged(&folder, SECOND, SEGMENT_HEADER_BYTES, 2, "its frame");
    folder.write(SECOND, &intact);
    assert_eq!(seqs(&folder.open().entries), [1, 2]);
}

#[test]
fn a_missing_segment_is_damage() {
    let frames: Vec<Frame> = (1..=4).map(|seq| frame(&[chunk(seq, 850 * 1024)])).collect();
    let name = |number: u64| format!("segment-{number:08}");
    for missing in 1..=3 {
        let folder = Folder::with_marked(&frames);
        folder.remove(&name(missing));
        let opened = folder.try_open().map(|opened| opened.recovered);
        let Err(Fault::Damaged { file, offset: 0, seq, .. }) = opened else { panic!("{missing}: {opened:?}") };
        assert_eq!((file, seq), (name(missing), Seq::new(missing)));
    }
    // Only the mark shows that the last segment is missing: the entries end where the previous segment ends.
    let folder = Folder::with_marked(&frames);
    folder.remove(&name(4));
    assert!(
        matches!(folder.try_open(), Err(Fault::Damaged { file, seq, .. }) if file == name(3) && seq == Seq::new(4))
    );
    let folder = Folder::with_marked(&frames);
    (1..=4).for_each(|number| folder.remove(&name(number)));
    assert!(matches!(folder.try_open(), Err(Fault::Damaged { seq, .. }) if seq == Seq::new(1)));
}

#[test]
fn a_truncated_segment_is_damage() {
    let frames = three_frames();
    let folder = Folder::with_marked(&frames);
    let intact = folder.read(FIRST);
    let bounds = bounds(&frames);
    for (kept, offset, seq) in [(0, 0, 1), (50, 0, 1), (bounds[0], bounds[0], 1), (bounds[2] + 9, bounds[2], 4)] {
        folder.write(FIRST, &intact[..kept]);
        check_damaged(&folder, FIRST, offset, seq, &format!("{kept} bytes kept"));
    }
    // The zeros after the last frame may be missing: the journal continues in the next segment.
    folder.write(FIRST, &intact[..bounds[3]]);
    let mut opened = folder.open();
    opened.journal.append(&small_frame(5, 1)).unwrap();
    opened.journal.sync().unwrap();
    drop(opened);
    assert_eq!(seqs(&folder.open().entries), (1..=5).collect::<Vec<_>>());
}

#[test]
fn one_slot_of_the_mark_may_be_damaged() {
    const SLOTS: [usize; 2] = [0, 4096];
    let folder = Folder::with_marked(&three_frames());
    let intact = folder.read("mark");
    for slot in SLOTS {
        for at in (slot..slot + 48).step_by(3) {
            folder.write("mark", &flipped(&intact, at, at));
            assert_eq!(folder.open().recovered.last, Seq::new(4), "bit at {at}");
        }
    }
    folder.write("mark", &flipped(&flipped(&intact, SLOTS[0], 0), SLOTS[1], 0));
    check_damaged(&folder, "mark", 0, 0, "both slots");
    // Without a mark it is unknown whether entries after the last frame were acknowledged.
    folder.remove("mark");
    check_damaged(&folder, "mark", 0, 4, "missing or empty");
}

#[test]
fn a_later_format_version_is_not_damage() {
    let next = FORMAT_VERSION + 1;
    let frames = three_frames();
    let folder = Folder::with_marked(&frames);
    let intact = folder.read(FIRST);
    // A later segment, and a later frame in a segment of the current version.
    let mut segment = intact.clone();
    segment[8..10].copy_from_slice(&next.to_le_bytes());
    let checksum = crc32c::crc32c(&segment[..96]).to_le_bytes();
    segment[96..100].copy_from_slice(&checksum);
    let mut later = intact;
    let start = bounds(&frames)[2];
    later[start + 16..start + 18].copy_from_slice(&next.to_le_bytes());
    let checksum = crc32c::crc32c(&later[start + 8..start + FRAME_HEADER_BYTES]).to_le_bytes();
    later[start + 4..start + 8].copy_from_slice(&checksum);
    for changed in [segment, later] {
        folder.write(FIRST, &changed);
        let opened = folder.try_open().map(|opened| opened.recovered);
        let Err(Fault::FormatVersion { found, expected, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!((found, expected), (u32::from(next), u32::from(FORMAT_VERSION)));
        assert!(folder.read(FIRST) == changed);
    }
}
