//! The few operations that a data directory needs, as a trait, so that the same code runs on a real and on a simulated
//! disk.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A directory to which nobody else writes.
pub trait Disk: Clone + Send + Sync + fmt::Debug + 'static {
    type File: DiskFile;

    /// Opens a file for reading and writing. Returns `None` if it does not exist.
    fn open(&self, name: &str) -> io::Result<Option<Self::File>>;

    /// Creates an empty file, or replaces an existing one. It is durable only after [`Disk::sync_directory`].
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Atomically renames `from` to `to`, replacing `to`. The rename is durable only after [`Disk::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Open handles can still read it. Until [`Disk::sync_directory`], a crash may bring the file back.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns the names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes all earlier creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;

    /// The number of bytes that can still be written. The default is no limit.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file that is read and written at byte offsets.
pub trait DiskFile: Send + Sync + fmt::Debug + 'static {
    /// Reads until `buffer` is full or the file ends. Returns the number of bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`. They are durable only after [`DiskFile::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all earlier writes to this file durable. After an error, none of those writes can be relied on.
    fn sync(&self) -> io::Result<()>;

    /// The length of the file, in bytes.
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the file: {cause}")]
pub struct NotWritten {
    /// The step that failed, as a verb with the file as its object.
    pub action: &'static str,
    /// The error of the operating system.
    pub cause: io::Error,
}

/// Writes a small file durably, and replaces an existing one. After a crash, the file has its old content or all of
/// `bytes`. A crash may also leave the file `<name>.new`, which the next call replaces.
pub fn write_atomically<D: Disk>(directory: &D, name: &str, bytes: &[u8]) -> Result<(), NotWritten> {
    let failed = |action| move |cause| NotWritten { action, cause };
    let unfinished = format!("{name}.new");
    let file = directory.create(&unfinished).map_err(failed("create"))?;
    file.write_at(bytes, 0).map_err(failed("write"))?;
    file.sync().map_err(failed("sync"))?;
    directory.rename(&unfinished, name).map_err(failed("rename"))?;
    directory.sync_directory().map_err(failed("sync the directory of"))
}

/// A directory of the file system. It stays locked against other processes while any clone of this value exists, unless it
/// was opened with [`Directory::beside_others`].
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    /// Whether its files are opened for reading only.
    is_read_only: bool,
    /// Held for its lock, which the operating system releases when the process ends, even if it crashes. `None` if the
    /// directory is not locked.
    _lock: Option<Arc<File>>,
}

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process holds the lock.
    #[error("{0} is in use by another process; stop it or choose another directory")]
    InUse(PathBuf),
    /// The file system reported an error.
    #[error("cannot use {path}: {cause}")]
    Io {
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
}

impl Directory {
    /// Locks a directory, after creating it if it does not exist.
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

    /// Locks a directory that exists. If this process may not write there, for example on a read-only mount, the
    /// directory is opened for reading only. All its files must then be readable, including the lock file.
    ///
    /// # Errors
    /// The errors of [`Directory::open`], and an error if the directory does not exist.
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
                // A copy on a read-only medium may have no lock file. No server can create one there, so lock the
                // directory.
                let lock = if is_read_only && lock.as_ref().is_err_and(is_missing) { File::open(path) } else { lock };
                Self::lock(path, lock.map_err(io_error)?, true)
            }
            opened => opened,
        }
    }

    /// Opens a directory that exists for reading only, and without a lock: another process may write to it at the same
    /// time. What is read is only reliable where that process is known to write no more.
    ///
    /// # Errors
    /// An error if the directory does not exist or its names cannot be read.
    pub fn beside_others(path: &Path) -> Result<Self, DirectoryError> {
        let io_error = |cause| DirectoryError::Io { path: path.to_owned(), cause };
        std::fs::read_dir(path).map_err(io_error)?;
        Ok(Self { path: path.to_owned(), is_read_only: true, _lock: None })
    }

    fn lock(path: &Path, lock: File, is_read_only: bool) -> Result<Self, DirectoryError> {
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), is_read_only, _lock: Some(Arc::new(lock)) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(cause)) => Err(DirectoryError::Io { path: path.to_owned(), cause }),
        }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the directory was opened for reading only.
    fn check_writable(&self) -> io::Result<()> {
        if self.is_read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

/// Creates a directory and its missing parents. It syncs the parent of every directory that it creates, because
/// otherwise a crash could lose a journal together with its directory.
///
/// # Errors
/// Fails if the file system reports an error.
pub fn create_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match (std::fs::create_dir(path), parent) {
        (Ok(()), Some(parent)) => File::open(parent)?.sync_all(),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(parent)?;
            // This reports "not found" again if a part of the path is a dangling link.
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
        let path = self.path.join(name);
        match patiently(|| OpenOptions::new().read(true).write(!self.is_read_only).open(&path)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.check_writable()?;
        // Only the owner may read: the journal has accounts and amounts, and the key store has keys.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let path = self.path.join(name);
        patiently(|| options.open(&path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in patiently(|| std::fs::read_dir(&self.path))? {
            let item = item?;
            if item.file_type()?.is_file() {
                names.push(item.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        patiently(|| File::open(&self.path))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// How often, and after which pause, opening a file is tried again while no file descriptor is free: for 30 s in all.
const OPEN_AGAIN: (u32, Duration) = (1_500, Duration::from_millis(20));

/// Opens a file. While the process or the system has no free file descriptor, it tries again: nothing was opened or written,
/// so this is not a failure of the disk, and other files and connections close all the time.
#[expect(clippy::disallowed_methods, reason = "no event tells that a descriptor became free")]
fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let (attempts, pause) = OPEN_AGAIN;
    for _ in 0..attempts {
        match open() {
            Err(error) if lacks_descriptors(&error) => std::thread::sleep(pause),
            opened => return opened,
        }
    }
    open()
}

/// Whether an error means that the process or the whole system has no free file descriptor.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(rustix::io::Errno::MFILE.raw_os_error()) || code == Some(rustix::io::Errno::NFILE.raw_os_error())
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
