//! The errors of the index. None of them loses data, because the journal can rebuild every file.

use std::io;

/// Why the index failed. No fault loses data, because the journal can rebuild the index.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file could not be read, written or synced.
    #[error("cannot {action} {file}: {cause}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        file: String,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// A file does not contain what was written. It was removed, and the next start rebuilds its content.
    #[error("{file} is damaged at block {block}: {what}; the next start rebuilds it")]
    Damaged {
        file: String,
        /// The number of the damaged block of 4,096 bytes.
        block: u64,
        /// A description of the damage.
        what: &'static str,
    },
    /// The log could not be read.
    #[error("cannot read the journal for the index: {0}")]
    Log(#[from] journal::Fault),
    /// The background thread cannot continue, usually because the disk is full, and too many generations wait in
    /// memory.
    #[error("the index is falling behind: {0}")]
    NoRoom(String),
    /// The background thread has stopped.
    #[error("the index has stopped: {0}")]
    Stopped(String),
}

impl Fault {
    /// Whether the fault clears once the disk has free space.
    pub fn is_lack_of_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { cause, .. } => matches!(cause.kind(), StorageFull | QuotaExceeded),
            Self::NoRoom(_) => true,
            Self::Damaged { .. } | Self::Log(_) | Self::Stopped(_) => false,
        }
    }

    /// A copy of this fault, if it reports damage of the index itself.
    pub fn as_damage(&self) -> Option<Self> {
        match self {
            Self::Damaged { file, block, what } => Some(Self::Damaged { file: file.clone(), block: *block, what }),
            Self::Io { .. } | Self::Log(_) | Self::NoRoom(_) | Self::Stopped(_) => None,
        }
    }

    /// Converts an I/O error into a fault.
    pub(crate) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, file: file.to_owned(), cause }
    }
}
