//! Reading a journal up to its mark, beside the process that writes it.

use disk::{Directory, Disk as _};
use journal::{DurableLog as _, Fault, FileReader, Reader as _, SegmentStore as _};
use types::Seq;

use crate::support::{Folder, SEGMENT_HEADER_BYTES, SHARD, chunk, frame, read_all, small_frame, three_frames};

/// A reader beside whoever has the folder open.
#[track_caller]
fn beside(folder: &Folder) -> FileReader<Directory> {
    FileReader::up_to_the_mark(Directory::beside_others(&folder.path("")).unwrap(), SHARD).unwrap().unwrap()
}

#[test]
fn a_reader_beside_the_writer_sees_what_the_mark_covers_over_several_segments() {
    let folder = Folder::new();
    let mut opened = folder.open();
    let mut expected = Vec::new();
    let mut next = 1;
    for bytes in [300_000, 0, 500_000, 0, 0, 700_000, 600_000, 0] {
        let frame = if bytes == 0 { small_frame(next, 3) } else { frame(&[chunk(next, bytes)]) };
        next = frame.last().get() + 1;
        opened.journal.append(&frame).unwrap();
        opened.journal.sync().unwrap();
        // Synced, but the mark does not cover it yet.
        let before = beside(&folder);
        assert_eq!(before.durable(), Seq::new(frame.first.get() - 1));
        assert_eq!(read_all(&before), expected);
        opened.journal.mark().unwrap();
        expected.extend(frame.entries().unwrap());
        let after = beside(&folder);
        assert_eq!(after.durable(), frame.last());
        assert_eq!(read_all(&after), expected);
        assert_eq!(read_all(&before).len() + frame.entries().unwrap().len(), expected.len(), "it learns nothing more");
    }
}

#[test]
fn a_torn_tail_is_not_read_and_damage_under_the_mark_is_reported() {
    let folder = Folder::with_marked(&three_frames());
    let expected = read_all(&beside(&folder));
    assert_eq!(expected.len(), 4);
    let end = {
        let opened = folder.open();
        usize::try_from(opened.journal.place().offset).unwrap()
    };
    let whole = folder.read("segment-00000001");
    // A part of a frame, as a crash in the middle of a write leaves it; and a whole frame that nobody was told about.
    let first = whole[SEGMENT_HEADER_BYTES..end].to_vec();
    for torn in [first[..50].to_vec(), first.clone(), vec![0xAB; 300]] {
        folder.change("segment-00000001", |bytes| bytes[end..end + torn.len()].copy_from_slice(&torn));
        assert_eq!(read_all(&beside(&folder)), expected);
        folder.write("segment-00000001", &whole);
    }
    folder.change("segment-00000001", |bytes| bytes[end - 1] ^= 1);
    let reader = beside(&folder);
    let read = (1..=4).map(|seq| reader.read(Seq::new(seq))).collect::<Result<Vec<_>, Fault>>();
    assert!(matches!(read, Err(Fault::Damaged { .. })), "{read:?}");
}

#[test]
fn a_directory_without_a_journal_has_no_reader_and_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Directory::beside_others(&folder.path().join("missing")).is_err());
    let beside = Directory::beside_others(folder.path()).unwrap();
    assert!(FileReader::up_to_the_mark(beside.clone(), SHARD).unwrap().is_none());
    assert_eq!(beside.list().unwrap(), Vec::<String>::new());
    for changed in [beside.create("file").map(drop), beside.remove("file"), beside.rename("file", "other")] {
        assert_eq!(changed.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    }
}

#[test]
fn a_missing_segment_under_the_mark_is_damage() {
    let folder = Folder::with_marked(&three_frames());
    std::fs::remove_file(folder.path("segment-00000001")).unwrap();
    let opened = FileReader::up_to_the_mark(Directory::beside_others(&folder.path("")).unwrap(), SHARD);
    assert!(matches!(opened, Err(Fault::Damaged { .. })), "{opened:?}");
}
