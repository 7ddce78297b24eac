//! A directory in memory that reports short segment files, so that a journal of a few hundred bytes has several
//! segments. Such a journal opens over any disk, because segments may have any length.

use std::io;

use disk::{Disk, DiskFile};

use super::Shelf;

/// Segment files report at most this length in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Narrow {
    pub(crate) shelf: Shelf,
    pub(crate) segment_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct NarrowFile {
    file: <Shelf as Disk>::File,
    bytes_max: u64,
}

impl Narrow {
    fn file(&self, name: &str, file: <Shelf as Disk>::File) -> NarrowFile {
        let bytes_max = if name.starts_with("segment-") { self.segment_bytes } else { u64::MAX };
        NarrowFile { file, bytes_max }
    }
}

impl Disk for Narrow {
    type File = NarrowFile;

    fn open(&self, name: &str) -> io::Result<Option<NarrowFile>> {
        Ok(self.shelf.open(name)?.map(|file| self.file(name, file)))
    }

    fn create(&self, name: &str) -> io::Result<NarrowFile> {
        Ok(self.file(name, self.shelf.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shelf.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.shelf.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.shelf.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for NarrowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.min(self.bytes_max))
    }
}
