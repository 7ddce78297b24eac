//! A directory in memory that loses power: from a chosen operation on, every change fails, and unsynced changes survive
//! completely, partly or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use disk::{Disk, DiskFile};

/// What happens to writes, creations and removals that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All survive: only the process was killed.
    Nothing,
    /// All are lost.
    Everything,
    /// Some blocks of 512 bytes survive and some do not, and the same goes for names; the number selects which.
    Some(u64),
}

/// Files by name. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crashing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a process sees.
    names: BTreeMap<String, usize>,
    /// What survives in any case.
    names_synced: BTreeMap<String, usize>,
    files: Vec<Content>,
    operations_left: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    current: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct CrashingFile {
    state: Arc<Mutex<State>>,
    number: usize,
}

impl Crashing {
    /// Makes every change fail after this number of changes.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.0.lock().unwrap().operations_left = Some(operations);
    }

    /// Makes changes succeed again.
    pub(crate) fn mend(&self) {
        self.0.lock().unwrap().operations_left = None;
    }

    /// The directory as the next start finds it.
    pub(crate) fn restarted(&self, loss: Loss) -> Self {
        let state = self.0.lock().unwrap();
        let mut random = match loss {
            Loss::Some(seed) => seed,
            Loss::Nothing | Loss::Everything => 0,
        };
        let mut keeps = move || match loss {
            Loss::Nothing => true,
            Loss::Everything => false,
            Loss::Some(_) => {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                random >> 63 == 0
            }
        };
        let mut names = state.names_synced.clone();
        for (name, number) in &state.names {
            if names.get(name) != Some(number) && keeps() {
                names.insert(name.clone(), *number);
            }
        }
        let removed: Vec<String> = names.keys().filter(|name| !state.names.contains_key(*name)).cloned().collect();
        for name in removed {
            if keeps() {
                names.remove(&name);
            }
        }
        let mut files = state.files.clone();
        for file in &mut files {
            let mut survived = file.synced.clone();
            survived.resize(survived.len().max(file.current.len()), 0);
            if !keeps() {
                survived.truncate(file.synced.len());
            }
            for (block, written) in survived.chunks_mut(512).zip(file.current.chunks(512)) {
                if block.len() <= written.len() && *block != written[..block.len()] && keeps() {
                    block.copy_from_slice(&written[..block.len()]);
                }
            }
            *file = Content { current: survived.clone(), synced: survived };
        }
        let restarted = State { names_synced: names.clone(), names, files, operations_left: None };
        Self(Arc::new(Mutex::new(restarted)))
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.names.iter().map(|(name, number)| (name.clone(), state.files[*number].current.clone())).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        changing(&self.0, change)
    }
}

fn changing<T>(state: &Mutex<State>, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
    let mut state = state.lock().unwrap();
    if let Some(left) = &mut state.operations_left {
        *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the power is gone"))?;
    }
    change(&mut state)
}

impl Disk for Crashing {
    type File = CrashingFile;

    fn open(&self, name: &str) -> io::Result<Option<CrashingFile>> {
        let number = self.0.lock().unwrap().names.get(name).copied();
        Ok(number.map(|number| CrashingFile { state: Arc::clone(&self.0), number }))
    }

    fn create(&self, name: &str) -> io::Result<CrashingFile> {
        self.change(|state| {
            state.files.push(Content::default());
            let number = state.files.len() - 1;
            state.names.insert(name.to_owned(), number);
            Ok(CrashingFile { state: Arc::clone(&self.0), number })
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state| {
            let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), number);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|state| state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.change(|state| {
            state.names_synced = state.names.clone();
            Ok(())
        })
    }
}

impl DiskFile for CrashingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let content = &state.files[self.number].current;
        let from = usize::try_from(offset).unwrap().min(content.len());
        let count = buffer.len().min(content.len() - from);
        buffer[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        changing(&self.state, |state| {
            let content = &mut state.files[self.number].current;
            let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset).unwrap() + bytes.len());
            content.resize(content.len().max(to), 0);
            content[from..to].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        changing(&self.state, |state| {
            let file = &mut state.files[self.number];
            file.synced = file.current.clone();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().files[self.number].current.len() as u64)
    }
}
