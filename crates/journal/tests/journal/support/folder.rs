//! A journal directory for one test, with helpers to write, reopen and damage it.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use disk::{Directory, DirectoryError};
use engine::Entry;
use journal::{DurableLog, Fault, FileJournal, Frame, Layout, Position, Recovered, SegmentStore, StartAt};
use types::{Origin, ShardId};

pub(crate) const SHARD: ShardId = ShardId::new(3);
pub(crate) const ORIGIN: Origin = Origin::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

/// A journal directory that is deleted when this value is dropped.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

/// An open journal, and what opening it returned.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: FileJournal<Directory>,
    pub(crate) recovered: Recovered,
    pub(crate) entries: Vec<Entry>,
    pub(crate) positions: Vec<Position>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder whose journal contains these frames, each synced. The mark was not written after the start, as after a
    /// crash within 10 ms of the last acknowledgement.
    pub(crate) fn with_unmarked(frames: &[Frame]) -> Self {
        let folder = Self::new();
        let mut opened = folder.open();
        for frame in frames {
            opened.journal.append(frame).expect("append");
            opened.journal.sync().expect("sync");
        }
        folder
    }

    /// A folder whose journal contains these frames and was stopped cleanly.
    pub(crate) fn with_marked(frames: &[Frame]) -> Self {
        let folder = Self::with_unmarked(frames);
        folder.open().journal.mark().expect("mark");
        folder
    }

    pub(crate) fn directory(&self) -> Directory {
        self.try_directory().expect("nobody else uses the folder")
    }

    pub(crate) fn try_directory(&self) -> Result<Directory, DirectoryError> {
        Directory::open(self.0.path())
    }

    pub(crate) fn try_open_as(&self, shard: ShardId, origin: Origin) -> Result<Opened, Fault> {
        self.try_open_with(shard, origin, None)
    }

    pub(crate) fn try_open_at(&self, start: StartAt) -> Result<Opened, Fault> {
        self.try_open_with(SHARD, ORIGIN, Some(start))
    }

    fn try_open_with(&self, shard: ShardId, origin: Origin, start: Option<StartAt>) -> Result<Opened, Fault> {
        let (mut entries, mut positions) = (Vec::new(), Vec::new());
        let mut visit = |entry: &Entry, position: Position, _: Option<StartAt>| {
            entries.push(entry.clone());
            positions.push(position);
            Ok(())
        };
        let layout = Layout::TINY;
        let (journal, recovered) = FileJournal::open(self.directory(), layout, shard, || origin, start, &mut visit)?;
        Ok(Opened { journal, recovered, entries, positions })
    }

    pub(crate) fn try_open(&self) -> Result<Opened, Fault> {
        self.try_open_as(SHARD, ORIGIN)
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Opened {
        self.try_open().expect("the journal opens")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file is there")
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("the file can be written");
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("the file is there");
    }

    /// Overwrites a part of a file.
    pub(crate) fn overwrite(&self, name: &str, at: usize, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(self.path(name)).expect("the file is there");
        file.write_all_at(bytes, at as u64).expect("the file can be written");
    }

    /// Changes the contents of a file.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(name);
        change(&mut bytes);
        self.write(name, &bytes);
    }

    /// The bytes of a file without trailing zeros.
    pub(crate) fn read_trimmed(&self, name: &str) -> Vec<u8> {
        let mut bytes = self.read(name);
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        bytes
    }
}

/// These bytes with one bit flipped.
pub(crate) fn flipped(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut spoilt = bytes.to_vec();
    spoilt[at] ^= 1 << (bit % 8);
    spoilt
}
