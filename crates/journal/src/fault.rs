//! How the world fails a journal.

use std::io;

use types::{Epoch, Seq};

use crate::bytes::DecodeError;
use crate::segments::position::Position;
use crate::segments::segment;

/// The world failed the journal.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An earlier failure left the journal's tail unknown.
    #[error("the journal was poisoned by an earlier failure: {0}")]
    Poisoned(String),
    /// Another writer has claimed the log. What this one appended and did not sync may stand before that claim, or be gone.
    #[error("another writer has claimed the log with epoch {by}; this one writes nothing more")]
    Fenced {
        /// The epoch of the claim.
        by: Epoch,
    },
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
    /// Bytes that were durable are not what was written.
    #[error(
        "{file} is damaged at byte {offset} (sequence {seq}): {what}; restore the file from a copy, or the journal up to the sequence before"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The first sequence that cannot be read.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// The journal was written by a later version.
    #[error("{file} has journal format version {found}; this release reads versions up to {expected}")]
    FormatVersion {
        /// The file.
        file: String,
        /// What it says.
        found: u32,
        /// The last one that this release reads.
        expected: u32,
    },
    /// The journal belongs to another shard.
    #[error("{file} belongs to shard {found}, not {expected}")]
    OtherShard {
        /// The file.
        file: String,
        /// What it says.
        found: u16,
        /// Which one was opened.
        expected: u16,
    },
    /// Folding the entries did not give the state that the journal says they gave.
    #[error(
        "replaying up to sequence {seq} gives another state than when it was written; this release and the one that wrote the journal disagree"
    )]
    StateDiffers {
        /// The digest entry that differs.
        seq: Seq,
    },
    /// An intact frame holds an entry that this release cannot read.
    #[error("cannot read an entry of the frame at sequence {seq}: {cause}")]
    Undecodable {
        /// The frame's first sequence.
        seq: Seq,
        /// Why.
        cause: DecodeError,
    },
}

impl Fault {
    /// Damage at a position.
    pub fn damaged_at(position: Position, seq: Seq, what: impl Into<String>) -> Self {
        let (file, offset) = (segment::file_name(position.segment()), position.offset());
        Self::Damaged { file, offset, seq, what: what.into() }
    }

    /// Whether what was durable cannot be read any more: opening a file again would not help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Undecodable { .. } => true,
            Self::Io { action, .. } => *action == "read",
            Self::Poisoned(_)
            | Self::Fenced { .. }
            | Self::FormatVersion { .. }
            | Self::OtherShard { .. }
            | Self::StateDiffers { .. } => false,
        }
    }

    /// The number of the segment that it is about.
    pub fn segment(&self) -> Option<u64> {
        match self {
            Self::Io { file, .. } | Self::Damaged { file, .. } => segment::number_of(file),
            Self::Poisoned(_)
            | Self::Fenced { .. }
            | Self::FormatVersion { .. }
            | Self::OtherShard { .. }
            | Self::StateDiffers { .. }
            | Self::Undecodable { .. } => None,
        }
    }
}
