//! The errors of the index. None of them loses data, because the journal can rebuild every file.

use std::io;

/// The world failed the index. Nothing is lost by that: all of it can be derived again from the journal.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Reading, writing or syncing failed.
    #[error("cannot {action} {file}: {cause}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Bytes are not what was written. The file was set aside: the next start derives again what it held.
    #[error("{file} is damaged at block {block}: {what}; it is derived again at the next start")]
    Damaged {
        /// The file.
        file: String,
        /// Which block of 4,096 bytes.
        block: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log could not be read.
    #[error("cannot read the journal for the index: {0}")]
    Log(#[from] journal::Fault),
    /// The background work cannot go on, mostly for lack of room on the disk, and no more of it fits in memory.
    #[error("the index falls behind: {0}")]
    NoRoom(String),
    /// The background thread gave up.
    #[error("the index stopped: {0}")]
    Stopped(String),
}

impl Fault {
    /// Whether it goes away once there is room on the disk.
    pub fn is_lack_of_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { cause, .. } => matches!(cause.kind(), StorageFull | QuotaExceeded),
            Self::NoRoom(_) => true,
            Self::Damaged { .. } | Self::Log(_) | Self::Stopped(_) => false,
        }
    }

    /// The same, if it is damage of the index itself.
    pub fn as_damage(&self) -> Option<Self> {
        match self {
            Self::Damaged { file, block, what } => Some(Self::Damaged { file: file.clone(), block: *block, what }),
            Self::Io { .. } | Self::Log(_) | Self::NoRoom(_) | Self::Stopped(_) => None,
        }
    }

    /// Turns what the operating system said into a fault.
    pub(crate) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, file: file.to_owned(), cause }
    }
}
