//! The scrub of sealed segments finds every error, and reports none in an intact segment.

use journal::{DurableLog, Fault, FileReader};
use types::Seq;

use crate::support::{Folder, SEGMENT_HEADER_BYTES, chunk, frame};

const NAMES: [&str; 2] = ["segment-00000001", "segment-00000002"];

/// Checks a segment; returns the size of its frames in bytes.
fn check(reader: &FileReader<disk::Directory>, number: u64) -> Result<u64, Fault> {
    let mut check = reader.check_segment(number)?;
    let mut bytes = 0;
    loop {
        match check.step()? {
            0 => return Ok(bytes),
            step => bytes += step,
        }
    }
}

/// A journal of three segments, two of them full, with three frames each.
fn three_segments(folder: &Folder) -> FileReader<disk::Directory> {
    let mut journal = folder.open().journal;
    for seq in 1..=8 {
        journal.append(&frame(&[chunk(seq, 250_000)])).unwrap();
        journal.sync().unwrap();
    }
    journal.reader()
}

#[test]
fn every_wrong_byte_of_a_sealed_segment_is_found() {
    let folder = Folder::new();
    let reader = three_segments(&folder);
    assert_eq!(reader.sealed_segments(), [1, 2]);
    for number in 1..=3 {
        assert!(check(&reader, number).unwrap() > 200_000, "segment {number} is whole");
    }
    let intact = folder.read(NAMES[0]);
    let frames_end = SEGMENT_HEADER_BYTES + usize::try_from(check(&reader, 1).unwrap()).unwrap();
    let places = (0..100)
        .chain(SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + 300)
        .chain((SEGMENT_HEADER_BYTES..frames_end).step_by(9_973));
    for at in places {
        folder.overwrite(NAMES[0], at, &[intact[at] ^ (1 << (at % 8))]);
        match check(&reader, 1) {
            Err(Fault::Damaged { file, seq, .. }) => {
                assert_eq!(file, NAMES[0], "byte {at}");
                assert!(seq >= Seq::new(1), "byte {at}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        folder.overwrite(NAMES[0], at, &[intact[at]]);
    }
    assert!(check(&reader, 1).is_ok());
}

#[test]
fn a_missing_truncated_or_foreign_segment_is_found() {
    let folder = Folder::new();
    let reader = three_segments(&folder);
    let (first, second) = (folder.read(NAMES[0]), folder.read(NAMES[1]));
    folder.write(NAMES[0], &second);
    assert!(matches!(check(&reader, 1), Err(fault) if fault.is_damage() && fault.segment() == Some(1)));
    folder.write(NAMES[0], &first[..first.len() / 4]);
    assert!(matches!(check(&reader, 1), Err(fault) if fault.is_damage() && fault.segment() == Some(1)));
    folder.remove(NAMES[0]);
    assert!(matches!(check(&reader, 1), Err(fault) if fault.to_string().contains("missing")));
    folder.write(NAMES[0], &first);
    assert!(check(&reader, 1).is_ok());
    // The next segment must be the original one.
    folder.change(NAMES[1], |bytes| bytes[..100].copy_from_slice(&first[..100]));
    assert!(matches!(check(&reader, 1), Err(fault) if fault.is_damage() && fault.segment() == Some(2)));
}
