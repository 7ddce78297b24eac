//! Compares an index with one that is rebuilt from the log. Index files depend on the log alone, so each file must
//! equal, byte for byte, the file of the same name that the rebuild writes. A rebuilt file is compared at once, because
//! a merge may remove it later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use disk::{Directory, Disk, DiskFile};

/// How much is read from both files at once.
const PIECE_BYTES: usize = 1 << 20;

/// A directory in which an index is rebuilt. Each file that gets its final name is compared with the file of that name
/// in another directory.
#[derive(Debug, Clone)]
pub(super) struct Comparing {
    scratch: Directory,
    found: Option<Directory>,
    compared: Arc<Mutex<BTreeMap<String, Compared>>>,
}

/// The result of comparing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// Both files are equal.
    Same {
        /// The length of the file.
        bytes: u64,
    },
    /// The files differ.
    Differs {
        /// The offset of the first byte that differs.
        offset: u64,
    },
}

impl Comparing {
    pub(super) fn new(scratch: Directory, found: Option<Directory>) -> Self {
        Self { scratch, found, compared: Arc::default() }
    }

    /// Returns the result for each existing file, or `None` for a file that the rebuild did not write.
    pub(super) fn outcome(&self) -> io::Result<Vec<(String, Option<Compared>)>> {
        let Some(found) = &self.found else { return Ok(Vec::new()) };
        let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let is_table =
            |name: &String| (name.starts_with("run-") || name.starts_with("field-")) && !name.ends_with(".new");
        let names = found.list()?.into_iter().filter(is_table);
        Ok(names.map(|name| (name.clone(), compared.get(&name).copied())).collect())
    }

    fn compare(&self, name: &str) -> io::Result<()> {
        let Some(found) = &self.found else { return Ok(()) };
        let (Some(found), Some(derived)) = (found.open(name)?, self.scratch.open(name)?) else { return Ok(()) };
        let outcome = compare(&found, &derived)?;
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), outcome);
        Ok(())
    }
}

fn compare(found: &File, derived: &File) -> io::Result<Compared> {
    let (mut one, mut other) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut offset = 0;
    loop {
        let (count, expected) = (found.read_at(&mut one, offset)?, derived.read_at(&mut other, offset)?);
        let (found, derived) = (one.get(..count).unwrap_or_default(), other.get(..expected).unwrap_or_default());
        if found != derived {
            let same = found.iter().zip(derived).take_while(|(found, derived)| found == derived).count();
            return Ok(Compared::Differs { offset: offset + same as u64 });
        }
        offset += count as u64;
        if count < PIECE_BYTES {
            return Ok(Compared::Same { bytes: offset });
        }
    }
}

impl Disk for Comparing {
    type File = File;

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        self.scratch.open(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.scratch.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.scratch.rename(from, to)?;
        self.compare(to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.scratch.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.scratch.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        // The directory is temporary.
        Ok(())
    }
}
