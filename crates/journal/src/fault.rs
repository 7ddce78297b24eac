//! Failures of a journal's files, disk and writer.

use std::io;

use types::{Epoch, Seq};

use crate::bytes::DecodeError;
use crate::segments::position::Position;
use crate::segments::segment;

/// Why the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An earlier failure: memory may no longer match the disk.
    #[error("the journal was poisoned by an earlier failure: {0}")]
    Poisoned(String),
    /// Another writer has claimed the log. Entries that this writer appended but did not sync may be lost, or may be
    /// part of the log before that claim.
    #[error("another writer has claimed the log with epoch {by}; this writer cannot write any more")]
    Fenced {
        /// The epoch of the other writer's claim.
        by: Epoch,
    },
    /// Reading, writing or syncing failed.
    #[error("cannot {action} {file}: {cause}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        file: String,
        /// The operating system's error.
        cause: io::Error,
    },
    /// Durable bytes are no longer what was written.
    #[error(
        "{file} is damaged at byte {offset} (sequence {seq}): {what}; restore the file from a copy, or the journal up to the sequence before"
    )]
    Damaged {
        file: String,
        /// The byte in the file.
        offset: u64,
        /// The first sequence that cannot be read.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
    /// The journal was written by a later version.
    #[error("{file} has journal format version {found}; this release reads versions up to {expected}")]
    FormatVersion {
        file: String,
        /// The version in the file.
        found: u32,
        /// The latest version that this release reads.
        expected: u32,
    },
    /// The journal belongs to another shard.
    #[error("{file} belongs to shard {found}, not {expected}")]
    OtherShard {
        file: String,
        /// The shard in the file.
        found: u16,
        /// The shard that was expected.
        expected: u16,
    },
    /// Replaying the entries gave a state whose digest differs from the one in the journal.
    #[error("replaying up to sequence {seq} gives another state than the release that wrote the journal computed")]
    StateDiffers {
        /// The digest entry that differs.
        seq: Seq,
    },
    /// An intact frame contains an entry that this release cannot decode.
    #[error("cannot read an entry of the frame at sequence {seq}: {cause}")]
    Undecodable {
        /// The frame's first sequence.
        seq: Seq,
        cause: DecodeError,
    },
}

impl Fault {
    /// Damage at a position.
    pub fn damaged_at(position: Position, seq: Seq, what: impl Into<String>) -> Self {
        let (file, offset) = (segment::file_name(position.segment()), position.offset());
        Self::Damaged { file, offset, seq, what: what.into() }
    }

    /// Whether durable data can no longer be read, so that opening a file again would not help.
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

    /// The number of the segment that the fault is about.
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
