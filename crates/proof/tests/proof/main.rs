//! Proofs, tiles, notes and checkpoints, checked against independent implementations (`foreign.rs`), by properties
//! (`properties.rs`), and on a disk with damaged bytes (`files.rs`).
#![expect(clippy::unwrap_used, reason = "an error that a test does not expect fails it, helpers included")]

mod files;
mod foreign;
mod notes;
mod properties;

use disk::Directory;
use proof::{Checkpoint, Hash, Store, leaf_of};

/// Hashes of leaves that all differ.
fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
    range.map(|number| leaf_of(&number.to_le_bytes())).collect()
}

/// A store of `size` leaves, appended in parts of different sizes.
fn store(directory: &Directory, size: u64) -> Store<Directory> {
    let mut store = Store::open(directory.clone(), None).unwrap();
    let mut step = 1;
    while store.size() < size {
        let end = (store.size() + step).min(size);
        store.append(&leaves(store.size()..end)).unwrap();
        step = step * 7 % 1_000 + 1;
    }
    store
}

fn checkpoint(store: &Store<Directory>) -> Checkpoint {
    let extensions = Vec::new();
    Checkpoint { origin: "finaira/test".to_owned(), size: store.size(), root: store.root(), extensions }
}

fn directory() -> (tempfile::TempDir, Directory) {
    let path = tempfile::tempdir().unwrap();
    let directory = Directory::open(path.path()).unwrap();
    (path, directory)
}
