//! Secrets of the configuration: a type that cannot be printed, and the files that hold secrets.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most bytes of a file with a secret.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permissions of a file that this program creates for a secret: its owner reads and writes it, and nobody else.
const OWNER_ONLY: u32 = 0o600;
/// Permissions of users who are neither the owner of a file nor in its group.
const OTHERS: u32 = 0o007;

/// A secret text, such as an API key. It is overwritten when dropped, and no format shows it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, to send it or to compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads the first line of a file.
    ///
    /// # Errors
    /// As [`read_secret_file`]; also if the file is empty or not text.
    pub fn read(path: &Path) -> Result<Self, SecretFileError> {
        let text = |_bytes| SecretFileError::NotText(path.to_owned());
        let whole = Self(String::from_utf8(read_secret_file(path)?).map_err(text)?);
        match whole.0.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => Ok(Self(line.to_owned())),
            Some(_) | None => Err(SecretFileError::Empty(path.to_owned())),
        }
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the optimiser from dropping the write.
        std::hint::black_box(&mut bytes);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why a file with a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    /// Every user of the machine may read it, or even write it.
    #[error(
        "{} is open to all users of this machine (mode {mode:04o}); expected a file that only its owner and its group may read: \
         use chmod 600, or in Kubernetes `defaultMode: 0440` for the volume of the secret",
        file.display()
    )]
    OpenToOthers { file: PathBuf, mode: u32 },
    #[error("{} has more than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    #[error("cannot create {}: {cause}; expected a file that does not exist yet", file.display())]
    NotCreated { file: PathBuf, cause: io::Error },
    #[error("cannot write {}: {cause}", file.display())]
    NotWritten { file: PathBuf, cause: io::Error },
}

/// Reads a file with a secret.
///
/// # Errors
/// If it cannot be read, is too large, or if users other than its owner and its group may access it.
pub fn read_secret_file(path: &Path) -> Result<Vec<u8>, SecretFileError> {
    let unreadable = |cause| SecretFileError::Unreadable { file: path.to_owned(), cause };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretFileError::OpenToOthers { file: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(SecretFileError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

/// A new file for a secret, which only its owner may read. It is created before the secret is made, so that a secret that is
/// shown once is not lost because its file cannot be created. If nothing is written, the file is removed.
#[derive(Debug)]
pub struct NewSecretFile {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl NewSecretFile {
    /// # Errors
    /// If the file exists, or cannot be created.
    pub fn create(path: &Path) -> Result<Self, SecretFileError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
        let file = file.map_err(|cause| SecretFileError::NotCreated { file: path.to_owned(), cause })?;
        Ok(Self { file, path: path.to_owned(), is_written: false })
    }

    /// Writes the secret and a line feed, and syncs.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(mut self, secret: &Secret) -> Result<(), SecretFileError> {
        let written = writeln!(self.file, "{}", secret.reveal()).and_then(|()| self.file.sync_all());
        written.map_err(|cause| SecretFileError::NotWritten { file: self.path.clone(), cause })?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for NewSecretFile {
    fn drop(&mut self) {
        if !self.is_written {
            // An empty file that cannot be removed harms nobody.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
