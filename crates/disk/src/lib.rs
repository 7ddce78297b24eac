//! The few operations that a data directory needs, as a trait: the same code runs over a real disk and a simulated one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that nobody else writes to.
pub trait Disk: Clone + Send + Sync + fmt::Debug + 'static {
    /// An open file of this directory.
    type File: DiskFile;

    /// Opens a file for reading and writing, `None` when there is none of that name.
    fn open(&self, name: &str) -> io::Result<Option<Self::File>>;

    /// Creates an empty file, replacing one of that name. It survives a crash only after [`Disk::sync_directory`].
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Puts `from` in the place of `to` in one step. It survives a crash only after [`Disk::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; files that are open stay readable. It may be back after a crash before [`Disk::sync_directory`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals so far survive a crash.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes that can still be written; without end unless the disk says otherwise.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file that is read and written at offsets.
pub trait DiskFile: Send + Sync + fmt::Debug + 'static {
    /// Reads until `buffer` is full or the file ends; says how many bytes were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`. Nothing of it is certain to survive a crash before [`DiskFile::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all earlier writes to this file survive a crash. After an error nothing is known about them.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True for an empty file.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A directory of the file system, locked against other processes for as long as any clone of this value lives.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    /// Its files are opened for reading alone.
    is_read_only: bool,
    /// Held, never read: the operating system lets go of the lock when the process ends, however it ends.
    _lock: Arc<File>,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process holds the lock.
    #[error("{0} is in use by another process; stop it or choose another directory")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot use {path}: {cause}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl Directory {
    /// Creates the directory where there is none, and locks it.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let io_error = |cause| DirectoryError::Io { path: path.to_owned(), cause };
        create_directory(path).map_err(io_error)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io_error)?;
        Self::lock(path, lock, false)
    }

    /// Locks a directory that must be there. Where this process may not write, as on a medium that is mounted read-only, its
    /// files can be read: all of them must be readable then, the lock too.
    ///
    /// # Errors
    /// As [`Directory::open`], and when there is no such directory.
    pub fn open_existing(path: &Path) -> Result<Self, DirectoryError> {
        let io_error = |cause| DirectoryError::Io { path: path.to_owned(), cause };
        if !std::fs::metadata(path).map_err(io_error)?.is_dir() {
            return Err(io_error(io::ErrorKind::NotADirectory.into()));
        }
        match Self::open(path) {
            Err(DirectoryError::Io { cause, .. })
                if matches!(cause.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) =>
            {
                let is_read_only = cause.kind() == io::ErrorKind::ReadOnlyFilesystem;
                let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                let lock = File::open(path.join("lock"));
                // A copy on such a medium may lack the file, and no server can make it there.
                let lock = if is_read_only && lock.as_ref().is_err_and(is_missing) { File::open(path) } else { lock };
                Self::lock(path, lock.map_err(io_error)?, true)
            }
            opened => opened,
        }
    }

    fn lock(path: &Path, lock: File, is_read_only: bool) -> Result<Self, DirectoryError> {
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), is_read_only, _lock: Arc::new(lock) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(cause)) => Err(DirectoryError::Io { path: path.to_owned(), cause }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates a directory and those it stands in, as far as they are missing. Each survives a crash once the one that
/// holds it is synced, which is done here: without that a journal could be lost with its whole directory.
///
/// # Errors
/// When the file system refuses.
pub fn create_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match (std::fs::create_dir(path), parent) {
        (Ok(()), Some(parent)) => File::open(parent)?.sync_all(),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(parent)?;
            // Not found again where a part of the path is a link to nothing.
            std::fs::create_dir(path)?;
            File::open(parent)?.sync_all()
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        (created, _) => created,
    }
}

impl Disk for Directory {
    type File = File;

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        match OpenOptions::new().read(true).write(!self.is_read_only).open(self.path.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<File> {
        // Readable by the owner only: the journal names accounts and amounts, the key store holds keys.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in std::fs::read_dir(&self.path)? {
            let item = item?;
            if item.file_type()?.is_file() {
                names.push(item.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
