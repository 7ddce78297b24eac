//! Test doubles: a directory in memory, and a log that is a list.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use disk::{Disk, DiskFile};
use journal::Position;
use ledger::{Transfer, TransferKey};
use types::{Seq, Timestamp, TransferId};

use crate::Log;

/// A directory in memory. Clones share its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<BTreeMap<String, MemoryFile>>>, Room);

#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryFile(Arc<Mutex<Vec<u8>>>, Room);

/// The number of bytes that can still be written.
#[derive(Debug, Clone)]
struct Room(Arc<AtomicU64>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1 << 40)))
    }
}

impl Room {
    /// Takes `bytes` of the room, or fails if there is not enough.
    fn take(&self, bytes: usize) -> io::Result<()> {
        let taken = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(bytes as u64));
        taken.map(drop).map_err(|_room| io::ErrorKind::StorageFull.into())
    }
}

impl MemoryDisk {
    /// Limits what can still be written to `bytes`.
    pub(crate) fn leave(&self, bytes: u64) {
        self.1.0.store(bytes, Ordering::SeqCst);
    }

    /// Returns an independent copy.
    pub(crate) fn fork(&self) -> Self {
        let files = self.0.lock().unwrap();
        let room = Room::default();
        let fork = |file: &MemoryFile| MemoryFile(Arc::new(Mutex::new(file.0.lock().unwrap().clone())), room.clone());
        let forks = files.iter().map(|(name, file)| (name.clone(), fork(file))).collect();
        Self(Arc::new(Mutex::new(forks)), room)
    }

    /// Returns an independent directory with a copy of one file.
    pub(crate) fn fork_of(&self, name: &str) -> Self {
        let bytes = self.0.lock().unwrap()[name].0.lock().unwrap().clone();
        let disk = Self::default();
        let file = MemoryFile(Arc::new(Mutex::new(bytes)), disk.1.clone());
        disk.0.lock().unwrap().insert(name.to_owned(), file);
        disk
    }

    /// Edits the bytes of a file.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.0.lock().unwrap()[name].0.lock().unwrap());
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(&self, name: &str) -> io::Result<Option<MemoryFile>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let file = MemoryFile(Arc::default(), self.1.clone());
        self.0.lock().unwrap().insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(|_file| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.1.0.load(Ordering::SeqCst))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, written: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + written.len();
        if bytes.len() < end {
            self.1.take(end - bytes.len())?;
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(written);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}

/// Transfers by position, in order, with the legs of payments. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryLog(Arc<Mutex<Vec<(Position, Transfer)>>>);

impl MemoryLog {
    pub(crate) fn push(&self, position: Position, transfer: Transfer) {
        self.0.lock().unwrap().push((position, transfer));
    }
}

impl Log for MemoryLog {
    fn entry_at(&self, position: Position) -> Result<engine::Entry, journal::Fault> {
        Err(journal::Fault::damaged_at(position, Seq::ZERO, "only transfers are here"))
    }

    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, journal::Fault> {
        let rows = self.0.lock().unwrap();
        let found = rows.iter().find(|(at, row)| *at == position && row.key == TransferKey::Client(id));
        Ok(found.expect("the index returns only published positions").1)
    }

    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), journal::Fault> {
        let rows = self.0.lock().unwrap();
        let is_asked = |(at, row): &&(Position, Transfer)| {
            first <= *at && *at <= last && matches!(row.key, TransferKey::Client(_))
        };
        rows.iter().filter(is_asked).for_each(|(at, row)| visit(*at, row));
        Ok(())
    }

    fn timestamps(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Timestamp),
    ) -> Result<(), journal::Fault> {
        let rows = self.0.lock().unwrap();
        rows.iter().filter(|(at, _)| first <= *at && *at <= last).for_each(|(_, row)| visit(row.timestamp));
        Ok(())
    }
}
