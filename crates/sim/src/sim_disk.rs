//! A simulated disk that tells what was written from what would survive a crash, with faults on demand.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::{Disk, DiskFile};

use crate::Rng;

/// What the disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// A directory in memory that tells what was written from what would survive. Clones share it, and so do the directories
/// in it: one loss of power hits all of them.
///
/// * Written bytes survive a crash once their file is synced, names once the directory is.
/// * What was not synced is lost, kept or torn by sectors of 512 bytes, see [`Crash`].
/// * A sync that fails leaves its pages clean: they read as written, a later sync that succeeds does not write them, and
///   a crash loses them. That is what Linux does, and why a journal must not try again.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// What the names of this directory begin with on the disk.
    prefix: Arc<str>,
}

/// A byte that went bad, to be put right again.
#[derive(Debug, Clone)]
pub(crate) struct Rot {
    number: usize,
    offset: usize,
    byte: u8,
    /// In which file.
    pub(crate) name: String,
}

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
    /// Files of the journal cannot be read until [`SimDisk::relieve`].
    Read,
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
    /// The directory in which it does; any if there is none.
    trouble_in: Option<Arc<str>>,
    /// The trouble that came last.
    struck: Option<Trouble>,
    /// A bug of the disk that a checker must find: of so many syncs one does nothing and says it did.
    skips_one_sync_of: Option<u32>,
    syncs: u32,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<UnsyncedWrite>,
    /// A failed sync left pages clean that are not on disk.
    is_astray: bool,
}

#[derive(Debug)]
enum UnsyncedWrite {
    Truncate,
    Write { offset: usize, bytes: Box<[u8]> },
}

impl SimDisk {
    /// Takes the power away and gives it back. Files that are open since before must not be used any more.
    pub fn crash(&self, crash: Crash, rng: &mut Rng) {
        let mut state = self.state();
        let State { files, names, names_durable, names_unsynced, trouble, .. } = &mut *state;
        *trouble = None;
        // Sometimes nearly all is kept, sometimes nearly nothing.
        let stops_percent = *rng.pick(&[3, 30, 70]);
        if crash == Crash::TearsUnsynced && !names_unsynced.is_empty() && rng.percent(70) {
            *names_durable = rng.pick(names_unsynced).clone();
        }
        names_unsynced.clear();
        names.clone_from(names_durable);
        let mut is_named = vec![false; files.len()];
        names.values().for_each(|number| is_named[*number] = true);
        for (file, is_named) in files.iter_mut().zip(is_named) {
            if !is_named {
                // Nobody reaches it any more.
                *file = Inode::default();
                continue;
            }
            if file.unsynced.is_empty() && !file.is_astray {
                continue;
            }
            if crash == Crash::TearsUnsynced {
                file.durable = file.torn(stops_percent, rng);
            }
            file.unsynced.clear();
            file.now.clone_from(&file.durable);
            file.is_astray = false;
        }
    }

    /// A directory in this one.
    #[must_use]
    pub fn directory(&self, name: &str) -> Self {
        Self { state: Arc::clone(&self.state), prefix: format!("{}{name}/", self.prefix).into() }
    }

    /// Lets one of so many syncs do nothing and say that it did: a bug that a checker must find.
    pub(crate) fn skip_one_sync_of(&self, syncs: u32) {
        self.state().skips_one_sync_of = Some(syncs);
    }

    /// The trouble that came since this was asked last.
    pub(crate) fn struck(&self) -> Option<Trouble> {
        self.state().struck.take()
    }

    /// Turns one bit of a file of this directory, on the disk and in memory alike.
    pub(crate) fn rot(&self, name: &str, offset: usize, rng: &mut Rng) -> Option<Rot> {
        let mut state = self.state();
        let number = *state.names.get(&self.path(name))?;
        let byte = *state.files[number].now.get(offset)?;
        state.put(number, offset, byte ^ (1 << rng.below(8)));
        Some(Rot { number, offset, byte, name: name.to_owned() })
    }

    /// Turns it back.
    pub(crate) fn mend(&self, rot: &Rot) {
        self.state().put(rot.number, rot.offset, rot.byte);
    }

    /// How much of a file stands before the zeros at its end.
    pub(crate) fn used(&self, name: &str) -> usize {
        let state = self.state();
        let file = state.names.get(&self.path(name)).map(|number| &state.files[*number].now);
        file.and_then(|now| now.iter().rposition(|byte| *byte != 0)).map_or(0, |last| last + 1)
    }

    /// The length of a file of this directory.
    pub(crate) fn length(&self, name: &str) -> Option<usize> {
        let state = self.state();
        let number = *state.names.get(&self.path(name))?;
        Some(state.files[number].now.len())
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
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
        self.trouble_somewhere(None, trouble, well);
    }

    /// The same, in this directory only.
    pub(crate) fn trouble_here(&self, trouble: Trouble, well: u32) {
        self.trouble_somewhere(Some(Arc::clone(&self.prefix)), trouble, well);
    }

    fn trouble_somewhere(&self, directory: Option<Arc<str>>, trouble: Trouble, well: u32) {
        let mut state = self.state();
        state.trouble = Some((trouble, well));
        state.trouble_in = directory;
    }

    /// Nothing goes wrong any more.
    pub fn relieve(&self) {
        self.state().trouble = None;
    }

    /// How many segment files there are.
    pub(crate) fn segments(&self) -> usize {
        self.state().names.keys().filter(|name| name.contains("segment-")).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: usize) -> SimFile {
        SimFile { disk: self.clone(), number }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, name: &str) -> io::Result<Option<SimFile>> {
        let mut state = self.state();
        if state.is_unreadable(&self.path(name)) {
            return Err(io::Error::other("simulated read error"));
        }
        Ok(state.names.get(&self.path(name)).map(|&number| self.file(number)))
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.powered(&self.prefix)?;
        let path = self.path(name);
        if let Some(&number) = state.names.get(&path) {
            state.files[number].change(UnsyncedWrite::Truncate);
            return Ok(self.file(number));
        }
        let number = state.files.len();
        state.files.push(Inode::default());
        state.rename(|names| names.insert(path, number));
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered(&self.prefix)?;
        let (from, to) = (self.path(from), self.path(to));
        let number = state.names.get(&from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.rename(|names| {
            names.remove(&from);
            names.insert(to, number)
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered(&self.prefix)?;
        let path = self.path(name);
        state.rename(|names| names.remove(&path)).map(|_number| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        let own = state.names.keys().filter_map(|name| name.strip_prefix(&*self.prefix));
        Ok(own.map(str::to_owned).collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.powered(&self.prefix)?;
        let State { names, names_durable, names_unsynced, .. } = &mut *state;
        let of_this = |name: &String| name.starts_with(&*self.prefix);
        for known in names_unsynced.iter_mut().chain([names_durable]) {
            known.retain(|name, _| !of_this(name));
            known.extend(names.iter().filter(|(name, _)| of_this(name)).map(|(name, number)| (name.clone(), *number)));
        }
        names_unsynced.retain(|known| known != names);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        if matches!(state.trouble, Some((Trouble::Read, _))) && self.disk.prefix.ends_with("journal/") {
            return Err(io::Error::other("simulated read error"));
        }
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
        let full = grows && state.is_here(&self.disk.prefix) && matches!(state.trouble, Some((Trouble::NoSpace, _)));
        let failed = if full {
            Some(io::ErrorKind::StorageFull.into())
        } else {
            state.strikes(Trouble::Write, &self.disk.prefix).then(|| io::Error::other("simulated write error"))
        };
        if full {
            state.struck = Some(Trouble::NoSpace);
        }
        let written = if failed.is_some() { bytes.len() >> 1 } else { bytes.len() };
        state.files[self.number].change(UnsyncedWrite::Write { offset, bytes: bytes[..written].into() });
        failed.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let failed = state.strikes(Trouble::Sync, &self.disk.prefix);
        if failed && state.is_off() {
            return Err(io::Error::other("simulated loss of power"));
        }
        if state.is_skipped(&self.disk.prefix) {
            return Ok(());
        }
        let file = &mut state.files[self.number];
        let changes = std::mem::take(&mut file.unsynced);
        let lost = if failed { changes.len().div_ceil(2) } else { 0 };
        file.is_astray |= lost > 0;
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
    fn strikes(&mut self, kind: Trouble, directory: &str) -> bool {
        if !self.is_here(directory) {
            return false;
        }
        let Some((waiting, well)) = &mut self.trouble else { return false };
        match (*waiting == Trouble::PowerLoss || *waiting == kind, *well) {
            (false, _) => false,
            (true, 0) => {
                self.struck = Some(*waiting);
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

    /// Puts a byte in its place, on the disk and in memory alike.
    fn put(&mut self, number: usize, offset: usize, byte: u8) {
        let file = &mut self.files[number];
        for content in [&mut file.now, &mut file.durable] {
            if let Some(place) = content.get_mut(offset) {
                *place = byte;
            }
        }
    }

    fn is_unreadable(&mut self, path: &str) -> bool {
        let fails = matches!(self.trouble, Some((Trouble::Read, _))) && path.starts_with("journal/");
        if fails {
            self.struck = Some(Trouble::Read);
        }
        fails
    }

    /// Whether the trouble that waits is one of this directory. A loss of power is everybody's.
    fn is_here(&self, directory: &str) -> bool {
        self.is_off() || self.trouble_in.as_deref().is_none_or(|only| only == directory)
    }

    fn is_skipped(&mut self, directory: &str) -> bool {
        if directory != "journal/" {
            return false;
        }
        self.syncs += 1;
        self.skips_one_sync_of.is_some_and(|of| self.syncs.is_multiple_of(of))
    }

    fn is_off(&self) -> bool {
        self.trouble == Some((Trouble::PowerLoss, 0))
    }

    /// For the operations that only a loss of power makes fail.
    fn powered(&mut self, directory: &str) -> io::Result<()> {
        if self.strikes(Trouble::PowerLoss, directory) {
            Err(io::Error::other("simulated loss of power"))
        } else {
            Ok(())
        }
    }
}

impl Inode {
    fn change(&mut self, change: UnsyncedWrite) {
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
                UnsyncedWrite::Truncate => {
                    if !length_stopped {
                        length = 0;
                        torn.clear();
                    }
                    continue;
                }
                UnsyncedWrite::Write { offset, bytes } => (*offset, bytes),
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

impl UnsyncedWrite {
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
