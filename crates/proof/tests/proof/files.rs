//! The files of the tree: what a start takes over, and how damage is detected.

use disk::{Directory, Disk as _, DiskFile as _};
use proof::{Checker, Store, StoreError, Tiles, consistency, inclusion};

use super::{checkpoint, directory, leaves, store};

const SIZE: u64 = 65_536 + 3 * 256 + 5;

fn flip(directory: &Directory, file: &str, offset: u64) {
    let file = directory.open(file).unwrap().unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, offset).unwrap();
    file.write_at(&[byte[0] ^ 4], offset).unwrap();
}

#[test]
fn a_start_continues_where_the_files_end() {
    let (_path, directory) = directory();
    for size in [0, 1, 255, 256, 257, 65_535, 65_536, SIZE] {
        let before = store(&directory, size);
        let claimed = checkpoint(&before);
        drop(before);
        let mut after = Store::open(directory.clone(), Some(&claimed)).unwrap();
        assert_eq!((after.size(), after.root()), (size, claimed.root));
        after.append(&leaves(size..size + 300)).unwrap();
        let whole = store(&super::directory().1, size + 300);
        assert_eq!(after.root(), whole.root());
    }
}

#[test]
fn a_start_rejects_files_that_give_another_root() {
    let (_path, directory) = directory();
    let before = store(&directory, SIZE);
    let claimed = checkpoint(&before);
    let size_of = |claimed: Option<&proof::Checkpoint>| Store::open(directory.clone(), claimed).unwrap().size();
    assert_eq!(size_of(None), 0);
    assert_eq!(size_of(Some(&claimed)), SIZE);
    let mut other = claimed.clone();
    other.root[3] ^= 1;
    assert_eq!(size_of(Some(&other)), 0);
    other = claimed.clone();
    other.size += 1;
    assert_eq!(size_of(Some(&other)), 0);
    // The first and the last hash of the right edge at each level.
    for (file, hashes) in [("level-0", SIZE - 5..SIZE), ("level-1", 256..259), ("level-2", 0..1)] {
        for offset in [hashes.start * 32, hashes.end * 32 - 1] {
            flip(&directory, file, offset);
            assert_eq!(size_of(Some(&claimed)), 0, "{file} at {offset}");
            flip(&directory, file, offset);
        }
    }
    directory.remove("level-1").unwrap();
    assert_eq!(size_of(Some(&claimed)), 0);
}

fn damage_of(result: Result<impl Sized, StoreError>) -> Option<(u8, u64)> {
    match result {
        Ok(_) => None,
        Err(StoreError::Damaged { level, index }) => Some((level, index)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn damage_is_detected_on_read_and_repaired_from_the_leaves() {
    let (_path, directory) = directory();
    let store = store(&directory, SIZE);
    let tiles = store.tiles();
    type Read = fn(&Tiles<Directory>) -> Result<(), StoreError>;
    let reads: [(&str, Read); 3] = [
        ("inclusion", |tiles| inclusion(tiles, 1_000, SIZE).map(drop)),
        ("consistency", |tiles| consistency(tiles, 1_001, SIZE).map(drop)),
        ("tile", |tiles| tiles.tile(0, 3, 100).map(drop)),
    ];
    // Leaf 1,000 is in tile 3; tile 0 of the level above has the hash of that tile.
    for (file, offset, damage) in
        [("level-0", 1_000 * 32, (0, 3)), ("level-0", 769 * 32, (0, 3)), ("level-1", 77, (1, 0))]
    {
        for (what, read) in reads {
            assert_eq!(damage_of(read(&tiles)), None, "{what}");
            flip(&directory, file, offset);
            assert_eq!(damage_of(read(&tiles)), Some(damage), "{what}, {file} at {offset}");
            // Other leaves do not repair it.
            let other = tiles.mend(damage.0, damage.1, |first| Ok(leaves(first + 1..first + 500)));
            assert!(matches!(other, Err(StoreError::OtherHistory { .. })), "{other:?}");
            tiles.mend(damage.0, damage.1, |first| Ok(leaves(first..first + 500))).unwrap();
            assert_eq!(damage_of(read(&tiles)), None, "{what}, repaired");
        }
    }
    assert_eq!(tiles.tile(0, 3, 256).unwrap().unwrap(), leaves(768..1_024));
}

#[test]
fn there_are_no_tiles_after_the_end() {
    let (_path, directory) = directory();
    let store = store(&directory, 600);
    let tiles = store.tiles();
    let width = |level, index, width| tiles.tile(level, index, width).unwrap().map(|hashes| hashes.len());
    assert_eq!(width(0, 0, 256), Some(256));
    assert_eq!(width(0, 1, 17), Some(17));
    assert_eq!(width(0, 2, 88), Some(88));
    assert_eq!(width(1, 0, 2), Some(2));
    for (level, index, hashes) in [(0, 2, 89), (0, 2, 0), (0, 3, 1), (1, 0, 3), (2, 0, 1), (8, 0, 1), (0, u64::MAX, 1)]
    {
        assert_eq!(width(level, index, hashes), None, "{level} {index} {hashes}");
    }
    assert_eq!(tiles.root_at(601).unwrap(), None);
    assert_eq!(tiles.bytes(), 602 * 32);
}

#[test]
fn the_checker_finds_every_wrong_byte() {
    let (_path, directory) = directory();
    let store = store(&directory, 700);
    let check = |leaves: &[proof::Hash]| {
        let mut checker = Checker::open(&directory).unwrap();
        let found = leaves.chunks(99).find_map(|some| checker.push(some).unwrap().err());
        (found.map(|mismatch| mismatch.to_string()), checker.root())
    };
    assert_eq!(check(&leaves(0..700)), (None, store.root()));
    // Missing hashes are not damage: the next start appends them. A caller that knows the log's end compares the sizes.
    assert_eq!(check(&leaves(0..900)).0, None);
    for (file, bytes) in [("level-0", 700 * 32), ("level-1", 2 * 32)] {
        for offset in (0..bytes).step_by(7) {
            flip(&directory, file, offset);
            let at = offset / 32 * 32;
            let expected = format!(
                "{file} of the proofs is damaged at byte {at}; delete the file, and the server rebuilds it at the next start"
            );
            assert_eq!(check(&leaves(0..700)).0, Some(expected));
            flip(&directory, file, offset);
        }
    }
    assert_eq!(Checker::open(&directory).unwrap().stored(), 700);
}
