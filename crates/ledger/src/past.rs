//! The contract for looking up transfers that the ledger no longer keeps in memory.

use std::fmt;

use types::{Timestamp, TransferId};

use crate::{ImportNumber, PendingState, Transfer, TransferStatus};

/// What became of a client's transfer whose id is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastTransfer {
    /// It was refused for good.
    Failed(TransferStatus),
    Created {
        transfer: Transfer,
        /// What became of it, if it is a pending transfer.
        state: Option<PendingState>,
    },
    /// An import staged it. The ledger knows whether that import was opened or discarded since.
    Staged {
        import: ImportNumber,
        /// The transfer as the other system had it.
        transfer: Transfer,
    },
}

/// The client transfers that a [`Ledger`](crate::Ledger) no longer keeps in memory. It must hold everything that the
/// ledger was told to forget, and may hold more. Only plans ask it, never `apply`. It panics if it cannot read, which
/// is safe because a plan changes nothing.
pub trait Past: Send + fmt::Debug {
    /// Looks up the transfer `id`. A transfer that is still pending where this past ends has the state pending, even if
    /// it was resolved since.
    fn find(&self, id: TransferId) -> Option<PastTransfer>;

    /// Whether a transfer has exactly this timestamp. The ledger asks only for imported accounts. If the answer is
    /// unknown, true is safe: the account is then refused.
    fn has_timestamp(&self, _at: Timestamp) -> bool {
        true
    }
}

/// The past of a ledger that has forgotten nothing.
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
