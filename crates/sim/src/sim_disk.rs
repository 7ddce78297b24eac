//! A simulated disk that distinguishes written data from data that would survive a crash, with faults on demand.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::{Disk, DiskFile};

use crate::Rng;

/// The unit that the disk writes atomically.
const SECTOR_BYTES: usize = 512;

/// A directory in memory that distinguishes written data from data that would survive a crash. Clones and
/// subdirectories share its state: one power loss affects all of them.
///
/// * Written bytes survive a crash after a sync of their file, names after a sync of their directory.
/// * A crash drops, keeps or tears unsynced data by sectors of 512 bytes, see [`Crash`].
/// * A failed sync marks its pages clean: reads return them as written, a later successful sync does not write them,
///   and a crash loses them. Linux behaves this way, which is why a journal must not retry a failed sync.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The path prefix of this directory on the disk.
    prefix: Arc<str>,
}

/// A damaged byte and its original value, for the repair.
#[derive(Debug, Clone)]
pub(crate) struct Rot {
    number: usize,
    offset: usize,
    byte: u8,
    /// The file that contains the byte.
    pub(crate) name: String,
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    number: usize,
}

/// What a crash does to unsynced data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All unsynced data is lost.
    DropsUnsynced,
    /// Each sector may hold any of its versions since the last sync, independently of the other sectors. Of the changes
    /// of names, a prefix survives.
    TearsUnsynced,
}

/// The kind of a simulated fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// One write fails half-way.
    Write,
    /// One sync fails. The latest writes are on disk, the earliest are not.
    Sync,
    /// No file can grow until [`SimDisk::relieve`].
    NoSpace,
    /// The power fails: every operation that changes something fails until a crash or a restart.
    PowerLoss,
    /// Files of the journal cannot be read until [`SimDisk::relieve`].
    Read,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Inode>,
    names: Names,
    names_durable: Names,
    /// The names after each change since the last sync of the directory.
    names_unsynced: Vec<Names>,
    /// The pending fault, and the number of matching operations that succeed before it.
    trouble: Option<(Trouble, u32)>,
    /// The directory in which the fault occurs, or `None` for any directory.
    trouble_in: Option<Arc<str>>,
    /// The latest fault that occurred.
    struck: Option<Trouble>,
    /// A planted bug that a checker must find: one of this many syncs does nothing and reports success.
    skips_one_sync_of: Option<u32>,
    syncs: u32,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<UnsyncedWrite>,
    /// Whether a failed sync left pages clean that are not on disk.
    is_astray: bool,
}

#[derive(Debug)]
enum UnsyncedWrite {
    Truncate,
    Write { offset: usize, bytes: Box<[u8]> },
}

impl SimDisk {
    /// Turns the power off and on again. Files that were opened before must not be used afterwards.
    pub fn crash(&self, crash: Crash, rng: &mut Rng) {
        let mut state = self.state();
        let State { files, names, names_durable, names_unsynced, trouble, .. } = &mut *state;
        *trouble = None;
        // Sometimes nearly everything survives, sometimes nearly nothing.
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
                // No name refers to this file any more.
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

    /// Returns a subdirectory of this directory.
    #[must_use]
    pub fn directory(&self, name: &str) -> Self {
        Self { state: Arc::clone(&self.state), prefix: format!("{}{name}/", self.prefix).into() }
    }

    /// Makes one of this many syncs do nothing and report success: a planted bug that a checker must find.
    pub(crate) fn skip_one_sync_of(&self, syncs: u32) {
        self.state().skips_one_sync_of = Some(syncs);
    }

    /// Returns the latest fault since the previous call, and clears it.
    pub(crate) fn struck(&self) -> Option<Trouble> {
        self.state().struck.take()
    }

    /// Flips one bit of a file in this directory, both on disk and in memory.
    pub(crate) fn rot(&self, name: &str, offset: usize, rng: &mut Rng) -> Option<Rot> {
        let mut state = self.state();
        let number = *state.names.get(&self.path(name))?;
        let byte = *state.files[number].now.get(offset)?;
        state.put(number, offset, byte ^ (1 << rng.below(8)));
        Some(Rot { number, offset, byte, name: name.to_owned() })
    }

    /// Restores the byte that [`SimDisk::rot`] changed.
    pub(crate) fn mend(&self, rot: &Rot) {
        self.state().put(rot.number, rot.offset, rot.byte);
    }

    /// The length of a file without the zeros at its end.
    pub(crate) fn used(&self, name: &str) -> usize {
        let state = self.state();
        let file = state.names.get(&self.path(name)).map(|number| &state.files[*number].now);
        file.and_then(|now| now.iter().rposition(|byte| *byte != 0)).map_or(0, |last| last + 1)
    }

    pub(crate) fn length(&self, name: &str) -> Option<usize> {
        let state = self.state();
        let number = *state.names.get(&self.path(name))?;
        Some(state.files[number].now.len())
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Ends the process that uses the disk, but not the machine. Written data is still there, except data that a failed
    /// sync did not write, if the system `forgets` its clean pages.
    pub fn restart(&self, forgets: bool) {
        let mut state = self.state();
        state.trouble = None;
        for file in state.files.iter_mut().filter(|_| forgets) {
            let mut now = file.durable.clone();
            file.unsynced.iter().for_each(|change| change.apply(&mut now));
            file.now = now;
        }
    }

    /// Makes an operation fail after `well` successful operations of its kind.
    pub fn trouble(&self, trouble: Trouble, well: u32) {
        self.trouble_somewhere(None, trouble, well);
    }

    /// Like [`SimDisk::trouble`], but only in this directory.
    pub(crate) fn trouble_here(&self, trouble: Trouble, well: u32) {
        self.trouble_somewhere(Some(Arc::clone(&self.prefix)), trouble, well);
    }

    fn trouble_somewhere(&self, directory: Option<Arc<str>>, trouble: Trouble, well: u32) {
        let mut state = self.state();
        state.trouble = Some((trouble, well));
        state.trouble_in = directory;
    }

    /// Removes the pending fault.
    pub fn relieve(&self) {
        self.state().trouble = None;
    }

    /// The number of segment files.
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

    /// Whether the pending fault occurs in this operation.
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

    /// Sets a byte both on disk and in memory.
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

    /// Whether the pending fault applies to this directory. A power loss applies to all directories.
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

    /// Checks the power, for operations that only fail when the power fails.
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

    /// A possible content after a crash: any version of each sector, and any length that the file had.
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
