//! Comparing an index with one that is derived anew. Its files depend on the log alone, so each must be the same byte for
//! byte as the one that is written under its name on the way; what is compared may go again at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use disk::{Directory, Disk, DiskFile};

/// Read from both files at once.
const PIECE_BYTES: usize = 1 << 20;

/// A directory in which an index is derived. Each file that gets its name is compared with the one of that name in
/// another directory.
#[derive(Debug, Clone)]
pub(super) struct Comparing {
    scratch: Directory,
    found: Option<Directory>,
    compared: Arc<Mutex<BTreeMap<String, Compared>>>,
}

/// What became of a file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is the same.
    Same {
        /// How long it is.
        bytes: u64,
    },
    /// It is another one from this byte on.
    Differs {
        /// The first byte that differs.
        offset: u64,
    },
}

impl Comparing {
    pub(super) fn new(scratch: Directory, found: Option<Directory>) -> Self {
        Self { scratch, found, compared: Arc::default() }
    }

    /// What was found, file by file; `None` for one that the log does not lead to.
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
        // It is thrown away.
        Ok(())
    }
}
