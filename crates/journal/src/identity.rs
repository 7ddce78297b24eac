//! The identity of a journal: its history and its epoch.

use types::{Epoch, Origin, Seq};

/// The history that a journal contains, and the epoch of its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub origin: Origin,
    pub epoch: Epoch,
}

impl Identity {
    /// Whether a history with this identity can continue one with the identity `other`.
    pub(crate) fn continues(self, other: Self) -> bool {
        self.origin != other.origin && self.epoch > other.epoch
    }
}

/// A part of a journal that was written as one history. A journal that was restored has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub identity: Identity,
    /// The sequence of its first entry in this journal.
    pub first: Seq,
}
