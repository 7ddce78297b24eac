//! The facts that the journal records about the ledger.

use types::{AccountId, LedgerId, TransferId};

use crate::{
    Account, Address, Book, Import, ImportNumber, ImportProgress, ImportState, IndexedFields, Limits, MetadataOf,
    Scheduled, Transfer, TransferKey, TransferStatus,
};

/// One change of the ledger, as an entry of the journal records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    BookOpened(Book),
    /// An account was opened. Its balances are zero.
    AccountOpened(Account),
    /// A transfer was created and changed its accounts. For a scheduled transfer this is its execution.
    TransferCreated(Transfer),
    /// A client's transfer was refused in a way that makes its id unusable.
    TransferFailed {
        id: TransferId,
        /// [`TransferStatus::sticks`] holds, unless the transfer was scheduled.
        status: TransferStatus,
    },
    /// The time of a pending transfer passed and its amount was released.
    TransferExpired(TransferKey),
    /// An account got new balance limits, which replace earlier ones.
    LimitsSet {
        account: AccountId,
        limits: Limits,
    },
    /// An account got its address, which can never change.
    AddressSet {
        account: AccountId,
        address: Address,
    },
    MetadataSet {
        of: MetadataOf,
        /// Keys with their new values as JSON text. `None` removes the key.
        values: Vec<(String, Option<String>)>,
    },
    /// A client's transfer was accepted and waits for its time.
    TransferScheduled(Scheduled),
    /// A scheduled transfer was cancelled. Its id is spent.
    ScheduledCancelled {
        id: TransferId,
    },
    /// The fields by which transfers of a book are indexed from now on.
    IndexesChosen {
        ledger: LedgerId,
        fields: IndexedFields,
    },
    /// An import started and accepts rows.
    ImportStarted(Import),
    /// An import staged an account, which stays hidden until the import is opened. Its balances are zero.
    AccountStaged {
        import: ImportNumber,
        account: Account,
    },
    /// An import staged a transfer between two of its accounts, which stays hidden until the import is opened.
    TransferStaged {
        import: ImportNumber,
        /// The transfer as the other system had it.
        transfer: Transfer,
    },
    /// How far an import has come. One that this opens or discards accepts no more rows.
    ImportNoted {
        import: ImportNumber,
        /// The state from now on.
        state: ImportState,
        /// Everything that was staged so far.
        progress: Box<ImportProgress>,
    },
}

impl Fact {
    /// The bytes that the address or the metadata in it takes in a frame; 0 for a fact without texts.
    pub fn text_bytes(&self) -> usize {
        /// Around each text.
        const OVERHEAD: usize = 16;
        let value = |(key, value): &(String, Option<String>)| {
            OVERHEAD.saturating_add(key.len()).saturating_add(value.as_ref().map_or(0, String::len))
        };
        match self {
            Self::AddressSet { address, .. } => OVERHEAD.saturating_add(address.as_str().len()),
            Self::MetadataSet { values, .. } => values.iter().map(value).sum(),
            Self::BookOpened(_)
            | Self::AccountOpened(_)
            | Self::TransferCreated(_)
            | Self::TransferFailed { .. }
            | Self::TransferExpired(_)
            | Self::LimitsSet { .. }
            | Self::TransferScheduled(_)
            | Self::ScheduledCancelled { .. }
            | Self::IndexesChosen { .. }
            | Self::ImportStarted(_)
            | Self::AccountStaged { .. }
            | Self::TransferStaged { .. }
            | Self::ImportNoted { .. } => 0,
        }
    }

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
