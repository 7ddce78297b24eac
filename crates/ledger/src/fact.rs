use types::TransferId;

use crate::{Account, Book, Transfer, TransferKey, TransferStatus};

/// One thing that happened to the ledger, as an entry of the journal records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A book was opened.
    BookOpened(Book),
    /// An account was opened; its balances are zero.
    AccountOpened(Account),
    /// A transfer was created and changed its accounts.
    TransferCreated(Transfer),
    /// A client's transfer was refused in a way that makes its id unusable.
    TransferFailed {
        /// The id that is spent.
        id: TransferId,
        /// Why; [`TransferStatus::sticks`] holds.
        status: TransferStatus,
    },
    /// A pending transfer was released because its time passed.
    TransferExpired(TransferKey),
}
