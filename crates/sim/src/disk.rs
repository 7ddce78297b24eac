use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Disk, DiskFile};

use crate::Rng;

/// What the disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// A directory in memory that tells what was written from what would survive. Clones share it.
///
/// * Written bytes survive a crash once their file is synced, names once the directory is.
/// * What was not synced is lost, kept or torn by sectors of 512 bytes, see [`Crash`].
/// * A sync that fails leaves its pages clean: they read as written, a later sync that succeeds does not write them, and
///   a crash loses them. That is what Linux does, and why a journal must not try again.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    number: usize,
}

/// What a crash does with what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All of it is gone.
    DropsUnsynced,
    /// Of every sector any of its versions since the last sync may be on disk, whatever became of the other sectors;
    /// of the names, some of the first changes.
    TearsUnsynced,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// One write fails half-way.
    Write,
    /// One sync fails; what was written last is on disk, what was written first is not.
    Sync,
    /// No file can grow until [`SimDisk::relieve`].
    NoSpace,
    /// Every operation that changes something fails, until a crash or a restart: the moment in which the power goes.
    PowerLoss,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Inode>,
    names: Names,
    names_durable: Names,
    /// The directories since the last sync of the directory, each after one more change.
    names_unsynced: Vec<Names>,
    /// What goes wrong, and how many operations of its kind go well before.
    trouble: Option<(Trouble, u32)>,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Truncate,
    Write { offset: usize, bytes: Box<[u8]> },
}

impl SimDisk {
    /// Takes the power away and gives it back. Files that are open since before must not be used any more.
    pub fn crash(&self, crash: Crash, rng: &mut Rng) {
        let mut state = self.state();
        let State { files, names, names_durable, names_unsynced, trouble } = &mut *state;
        *trouble = None;
        // Sometimes nearly all is kept, sometimes nearly nothing.
        let stops_percent = *rng.pick(&[3, 30, 70]);
        if crash == Crash::TearsUnsynced && !names_unsynced.is_empty() && rng.percent(70) {
            *names_durable = rng.pick(names_unsynced).clone();
        }
        names_unsynced.clear();
        names.clone_from(names_durable);
        for file in files {
            if crash == Crash::TearsUnsynced {
                file.durable = file.torn(stops_percent, rng);
            }
            file.unsynced.clear();
            file.now.clone_from(&file.durable);
        }
    }

    /// Ends the process that used the disk, but not the machine. What was written is still there, unless a sync failed
    /// to write it and the system `forgets` its clean pages.
    pub fn restart(&self, forgets: bool) {
        let mut state = self.state();
        state.trouble = None;
        for file in state.files.iter_mut().filter(|_| forgets) {
            let mut now = file.durable.clone();
            file.unsynced.iter().for_each(|change| change.apply(&mut now));
            file.now = now;
        }
    }

    /// Lets something go wrong after `well` operations of its kind that go well.
    pub fn trouble(&self, trouble: Trouble, well: u32) {
        self.state().trouble = Some((trouble, well));
    }

    /// Nothing goes wrong any more.
    pub fn relieve(&self) {
        self.state().trouble = None;
    }

    /// How many segment files there are.
    pub(crate) fn segments(&self) -> usize {
        self.state().names.keys().filter(|name| name.starts_with("segment-")).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: usize) -> SimFile {
        SimFile { disk: self.clone(), number }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, name: &str) -> io::Result<Option<SimFile>> {
        Ok(self.state().names.get(name).map(|&number| self.file(number)))
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.powered()?;
        if let Some(&number) = state.names.get(name) {
            state.files[number].change(Change::Truncate);
            return Ok(self.file(number));
        }
        let number = state.files.len();
        state.files.push(Inode::default());
        state.rename(|names| names.insert(name.to_owned(), number));
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        let number = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.rename(|names| {
            names.remove(from);
            names.insert(to.to_owned(), number)
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        state.rename(|names| names.remove(name)).map(|_number| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        state.names_durable = state.names.clone();
        state.names_unsynced.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let now = &state.files[self.number].now;
        let rest = now.get(place(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let offset = place(offset);
        let grows = offset + bytes.len() > state.files[self.number].now.len();
        let full = grows && matches!(state.trouble, Some((Trouble::NoSpace, _)));
        let failed = if full {
            Some(io::ErrorKind::StorageFull.into())
        } else {
            state.strikes(Trouble::Write).then(|| io::Error::other("simulated write error"))
        };
        let written = if failed.is_some() { bytes.len() >> 1 } else { bytes.len() };
        state.files[self.number].change(Change::Write { offset, bytes: bytes[..written].into() });
        failed.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let failed = state.strikes(Trouble::Sync);
        if failed && state.is_off() {
            return Err(io::Error::other("simulated loss of power"));
        }
        let file = &mut state.files[self.number];
        let changes = std::mem::take(&mut file.unsynced);
        let lost = if failed { changes.len().div_ceil(2) } else { 0 };
        changes[lost..].iter().for_each(|change| change.apply(&mut file.durable));
        if failed { Err(io::Error::other("simulated sync error")) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].now.len() as u64)
    }
}

impl State {
    fn rename<T>(&mut self, change: impl FnOnce(&mut Names) -> T) -> T {
        let changed = change(&mut self.names);
        self.names_unsynced.push(self.names.clone());
        changed
    }

    /// Whether the trouble that waits for this kind of operation comes now.
    fn strikes(&mut self, kind: Trouble) -> bool {
        let Some((waiting, well)) = &mut self.trouble else { return false };
        match (*waiting == Trouble::PowerLoss || *waiting == kind, *well) {
            (false, _) => false,
            (true, 0) => {
                if *waiting != Trouble::PowerLoss {
                    self.trouble = None;
                }
                true
            }
            (true, _) => {
                *well -= 1;
                false
            }
        }
    }

    fn is_off(&self) -> bool {
        self.trouble == Some((Trouble::PowerLoss, 0))
    }

    /// For the operations that only a loss of power makes fail.
    fn powered(&mut self) -> io::Result<()> {
        if self.strikes(Trouble::PowerLoss) { Err(io::Error::other("simulated loss of power")) } else { Ok(()) }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    /// What may be on disk: of every sector one of its versions, and one of the lengths that the file had.
    fn torn(&self, stops_percent: u64, rng: &mut Rng) -> Vec<u8> {
        let mut torn = self.durable.clone();
        let mut length = torn.len();
        let mut length_stopped = false;
        let mut stopped: Vec<bool> = Vec::new();
        for change in &self.unsynced {
            length_stopped |= rng.percent(stops_percent);
            let (offset, bytes) = match change {
                Change::Truncate => {
                    if !length_stopped {
                        length = 0;
                        torn.clear();
                    }
                    continue;
                }
                Change::Write { offset, bytes } => (*offset, bytes),
            };
            let end = offset + bytes.len();
            if !length_stopped {
                length = length.max(end);
            }
            if torn.len() < end {
                torn.resize(end, 0);
            }
            stopped.resize(stopped.len().max(end.div_ceil(SECTOR_BYTES)), false);
            let mut from = offset;
            while from < end {
                let sector = from / SECTOR_BYTES;
                let to = end.min((sector + 1) * SECTOR_BYTES);
                stopped[sector] |= rng.percent(stops_percent);
                if !stopped[sector] {
                    torn[from..to].copy_from_slice(&bytes[from - offset..to - offset]);
                }
                from = to;
            }
        }
        torn.truncate(length);
        torn
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate => content.clear(),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated file fits the memory")
}
