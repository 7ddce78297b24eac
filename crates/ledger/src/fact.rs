use types::{AccountId, LedgerId, TransferId};

use crate::{
    Account, Address, Book, Import, ImportNumber, ImportProgress, ImportState, IndexedFields, Limits, MetadataOf,
    Scheduled, Transfer, TransferKey, TransferStatus,
};

/// One thing that happened to the ledger, as an entry of the journal records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A book was opened.
    BookOpened(Book),
    /// An account was opened; its balances are zero.
    AccountOpened(Account),
    /// A transfer was created and changed its accounts. Of a scheduled one this is its execution.
    TransferCreated(Transfer),
    /// A client's transfer was refused in a way that makes its id unusable.
    TransferFailed {
        /// The id that is spent.
        id: TransferId,
        /// Why; [`TransferStatus::sticks`] holds, unless the transfer was scheduled.
        status: TransferStatus,
    },
    /// A pending transfer was released because its time passed.
    TransferExpired(TransferKey),
    /// Bounds were set on an account's balance, in place of those before.
    LimitsSet {
        /// The account.
        account: AccountId,
        /// Its bounds from now on.
        limits: Limits,
    },
    /// An account got its address, which never changes.
    AddressSet {
        /// The account.
        account: AccountId,
        /// Its address.
        address: Address,
    },
    /// Metadata changed.
    MetadataSet {
        /// What it is about.
        of: MetadataOf,
        /// Keys with their new values, JSON text; `None` removes the key.
        values: Vec<(String, Option<String>)>,
    },
    /// A client's transfer waits for its time.
    TransferScheduled(Scheduled),
    /// A scheduled transfer will not happen; its id is spent.
    ScheduledCancelled {
        /// The transfer.
        id: TransferId,
    },
    /// Which fields of transfers are indexed in a book from now on.
    IndexesChosen {
        /// The book.
        ledger: LedgerId,
        /// The fields.
        fields: IndexedFields,
    },
    /// An import began to take rows.
    ImportStarted(Import),
    /// An account of an import, which nobody sees until the import is opened; its balances are zero.
    AccountStaged {
        /// The import.
        import: ImportNumber,
        /// The account.
        account: Account,
    },
    /// A transfer of an import between two of its accounts, which nobody sees until the import is opened.
    TransferStaged {
        /// The import.
        import: ImportNumber,
        /// The transfer, as it was in the other system.
        transfer: Transfer,
    },
    /// How far an import is. One that is opened or discarded with this takes no more rows.
    ImportNoted {
        /// The import.
        import: ImportNumber,
        /// What it is from now on.
        state: ImportState,
        /// All that was staged before.
        progress: Box<ImportProgress>,
    },
}

impl Fact {
    /// The ledger whose asset its amounts are in; `None` when it names none.
    pub fn ledger(&self) -> Option<LedgerId> {
        match self {
            Self::BookOpened(book) => Some(book.id),
            Self::AccountOpened(account) | Self::AccountStaged { account, .. } => Some(account.ledger),
            Self::TransferCreated(transfer) | Self::TransferStaged { transfer, .. } => Some(transfer.ledger),
            Self::TransferScheduled(scheduled) => Some(scheduled.new.ledger),
            Self::IndexesChosen { ledger, .. } => Some(*ledger),
            Self::ImportStarted(import) => Some(import.ledger),
            Self::TransferFailed { .. }
            | Self::TransferExpired(_)
            | Self::LimitsSet { .. }
            | Self::AddressSet { .. }
            | Self::MetadataSet { .. }
            | Self::ScheduledCancelled { .. }
            | Self::ImportNoted { .. } => None,
        }
    }
}
