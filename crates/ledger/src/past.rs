//! The contract for looking up transfers that the ledger no longer keeps in memory.

use std::fmt;

use types::{Timestamp, TransferId};

use crate::{ImportNumber, PendingState, Transfer, TransferStatus};

/// What became of a request for a client's transfer whose id is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastTransfer {
    /// It was refused for good.
    Failed(TransferStatus),
    /// It was created.
    Created {
        /// As it was created.
        transfer: Transfer,
        /// Of a pending transfer, what became of it.
        state: Option<PendingState>,
    },
    /// An import brought it. Unless that import is staged, a ledger that is asked says what this means by now.
    Staged {
        /// The import.
        import: ImportNumber,
        /// As it was in the other system.
        transfer: Transfer,
    },
}

/// The client transfers that a [`Ledger`](crate::Ledger) no longer keeps in memory. Complete for all that it was told to
/// forget; it may know more than that. It is asked by plans
/// only, never by `apply`, and unwinds when it cannot read: a plan reads, so nothing is left half done.
pub trait Past: Send + fmt::Debug {
    /// What became of the transfer `id`. Of one that is pending as far as this past reaches, the state is pending, also
    /// when it was resolved since.
    fn find(&self, id: TransferId) -> Option<PastTransfer>;

    /// Whether a transfer has exactly this timestamp; asked only for imported accounts. Where it cannot be told, true is
    /// the safe answer: the account is then refused.
    fn has_timestamp(&self, _at: Timestamp) -> bool {
        true
    }
}

/// The past of a ledger that forgot nothing.
#[derive(Debug)]
pub(crate) struct NoPast;

impl Past for NoPast {
    fn find(&self, _id: TransferId) -> Option<PastTransfer> {
        None
    }

    fn has_timestamp(&self, _at: Timestamp) -> bool {
        false
    }
}
