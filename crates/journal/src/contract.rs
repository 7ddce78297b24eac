//! What every journal promises, whatever it is made of.

use std::fmt;
use std::io;

use engine::Entry;
use types::{Epoch, Origin, Seq};

use crate::bytes::DecodeError;
use crate::file::StartAt;
use crate::frame::Frame;
use crate::position::{FrameAt, Position};
use crate::segment;

/// A durable, ordered log of entries with one writer.
///
/// * **Order.** Frames are appended in sequence order without gaps; what was appended first is durable first.
/// * **Durability.** An entry is durable when [`Journal::sync`] returned a position at or past it. What that means
///   (one disk, several replicas) is the implementation's choice; it survives a crash at any later moment.
/// * **Failure.** After any error nothing is known about what was not yet durable. The journal is poisoned: every later
///   call fails too. The process stops; the next start continues after the last durable entry.
/// * **Readers** see durable entries only, from any thread, at any time.
pub trait Journal: Send + fmt::Debug {
    /// Reads what is durable.
    type Reader: Reader;

    /// Takes a frame and says where it stands. It is not durable yet.
    fn append(&mut self, frame: &Frame) -> Result<FrameAt, Fault>;

    /// Makes everything appended so far durable and returns the last durable sequence.
    fn sync(&mut self) -> Result<Seq, Fault>;

    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Writes down how far the journal was acknowledged, so that a later start can tell damage from a torn tail.
    /// Called within 10 ms of an acknowledgement and at a clean stop.
    fn mark(&mut self) -> Result<(), Fault>;

    /// A reader of this journal.
    fn reader(&self) -> Self::Reader;

    /// Which history this is.
    fn identity(&self) -> Identity;
}

/// A journal whose frames stand in segments of this process, where they can be found by position.
pub trait SegmentStore {
    /// Where the next frame will stand: a later start can begin there, see [`crate::FileJournal::open`]. What it says is of
    /// use once everything appended so far is durable.
    fn place(&self) -> StartAt;
}

/// Which history a journal is, and whose turn it is to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The history.
    pub origin: Origin,
    /// The turn.
    pub epoch: Epoch,
}

impl Identity {
    /// Whether a history of this identity can go on from one of `other`.
    pub(crate) fn continues(self, other: Self) -> bool {
        self.origin != other.origin && self.epoch > other.epoch
    }
}

/// A part of a journal that was written as one history. A journal that was restored has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which history.
    pub identity: Identity,
    /// Its first entry here.
    pub first: Seq,
}

/// Reads durable entries of a journal.
pub trait Reader: Clone + Send + Sync + fmt::Debug + 'static {
    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Durable entries from `from` on, in order: at least one if `from` is durable, about as many as one frame holds,
    /// none past the durable position. A sequence of 0 reads from the first entry.
    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault>;
}

/// The world failed the journal.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An earlier failure left the journal's tail unknown.
    #[error("the journal was poisoned by an earlier failure: {0}")]
    Poisoned(String),
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
            Self::Poisoned(_) | Self::FormatVersion { .. } | Self::OtherShard { .. } | Self::StateDiffers { .. } => {
                false
            }
        }
    }

    /// The number of the segment that it is about.
    pub fn segment(&self) -> Option<u64> {
        match self {
            Self::Io { file, .. } | Self::Damaged { file, .. } => segment::number_of(file),
            Self::Poisoned(_)
            | Self::FormatVersion { .. }
            | Self::OtherShard { .. }
            | Self::StateDiffers { .. }
            | Self::Undecodable { .. } => None,
        }
    }
}
