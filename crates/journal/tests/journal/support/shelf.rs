//! A directory in memory, for tests that open a journal tens of thousands of times.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use disk::{Disk, DiskFile};

static ZEROS: [u8; 4096] = [0; 4096];

type Files = BTreeMap<String, Arc<Mutex<Vec<u8>>>>;

/// Files by name. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Files>>);

#[derive(Debug)]
pub(crate) struct ShelfFile(Arc<Mutex<Vec<u8>>>);

impl Shelf {
    pub(crate) fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let file = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), Arc::new(Mutex::new(bytes.clone())));
        Self(Arc::new(Mutex::new(files.iter().map(file).collect())))
    }

    /// The current files without trailing zeros, so that a copy of them opens quickly.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let trimmed = |file: &Arc<Mutex<Vec<u8>>>| {
            let bytes = file.lock().unwrap();
            // Compares whole blocks first: most of a segment is zeros.
            let blocks =
                bytes.chunks(ZEROS.len()).rposition(|block| block != &ZEROS[..block.len()]).map_or(0, |last| last + 1);
            let used = bytes[..bytes.len().min(4096 * blocks)].iter().rposition(|&byte| byte != 0);
            bytes[..used.map_or(0, |last| last + 1)].to_vec()
        };
        self.0.lock().unwrap().iter().map(|(name, file)| (name.clone(), trimmed(file))).collect()
    }
}

impl Disk for Shelf {
    type File = ShelfFile;

    fn open(&self, name: &str) -> io::Result<Option<ShelfFile>> {
        Ok(self.0.lock().unwrap().get(name).map(|file| ShelfFile(Arc::clone(file))))
    }

    fn create(&self, name: &str) -> io::Result<ShelfFile> {
        let file = Arc::default();
        self.0.lock().unwrap().insert(name.to_owned(), Arc::clone(&file));
        Ok(ShelfFile(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for ShelfFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, written: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let end = bytes.len().max(from + written.len());
        bytes.resize(end, 0);
        bytes[from..from + written.len()].copy_from_slice(written);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}
