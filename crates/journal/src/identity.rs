//! Which history a journal is, and which histories follow one another in it.

use types::{Epoch, Origin, Seq};

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
