//! What the journal and the ledger are about to offer, until they do.

use std::fmt;

use ledger::{PendingState, Transfer, TransferStatus};
use types::{Seq, TransferId};

/// The address of an entry in the log; positions order as entries do. 48 bits are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// The position with this number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where reading the journal can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartAt {
    /// The first sequence there.
    pub seq: Seq,
    /// The segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
    /// The hash of the frame before.
    pub previous: [u8; 32],
}

/// An account by its order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountPlace(pub u32);

/// What became of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastTransfer {
    /// It failed for good.
    Failed(TransferStatus),
    /// It exists.
    Created {
        /// All of it.
        transfer: Transfer,
        /// What became of it when it was pending.
        state: Option<PendingState>,
    },
}

/// Client transfers that the ledger no longer keeps.
pub trait Past: Send + fmt::Debug {
    /// What became of an id.
    fn find(&self, id: TransferId) -> Option<PastTransfer>;
}
