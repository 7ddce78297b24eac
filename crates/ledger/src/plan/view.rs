use types::{AccountId, LedgerId, Timestamp};

use super::Plan;
use crate::{Account, Book, Fact, Ledger, PastTransfer, TransferKey};

/// What a request is judged against.
pub(crate) trait View {
    fn book(&self, id: LedgerId) -> Option<&Book>;

    fn account(&self, id: AccountId) -> Option<&Account>;

    /// What became of the transfer `key`; an unresolved one is pending, also after its time.
    fn find(&self, key: TransferKey) -> Option<PastTransfer>;

    /// The timestamp of the latest account.
    fn last_account(&self) -> Timestamp;

    /// The timestamp of the latest transfer.
    fn last_transfer(&self) -> Timestamp;

    /// True when an account has exactly this timestamp.
    fn is_account_time(&self, at: Timestamp) -> bool;

    /// True when a transfer has exactly this timestamp.
    fn is_transfer_time(&self, at: Timestamp) -> bool;
}

impl View for Ledger {
    fn book(&self, id: LedgerId) -> Option<&Book> {
        self.book(id)
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.account(id)
    }

    fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        self.find(key)
    }

    fn last_account(&self) -> Timestamp {
        self.last_account
    }

    fn last_transfer(&self) -> Timestamp {
        self.last_transfer
    }

    fn is_account_time(&self, at: Timestamp) -> bool {
        let place = self.accounts.partition_point(|account| account.timestamp < at);
        self.accounts.from(place).next().is_some_and(|account| account.timestamp == at)
    }

    fn is_transfer_time(&self, at: Timestamp) -> bool {
        self.has_transfer_at(at)
    }
}

impl View for Plan<'_> {
    fn book(&self, id: LedgerId) -> Option<&Book> {
        self.books.iter().find(|book| book.id == id).or_else(|| self.ledger.book(id))
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).or_else(|| self.ledger.account(id))
    }

    fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        self.transfers.get(&key).copied().or_else(|| self.ledger.find(key))
    }

    fn last_account(&self) -> Timestamp {
        self.last_account
    }

    fn last_transfer(&self) -> Timestamp {
        self.last_transfer
    }

    fn is_account_time(&self, at: Timestamp) -> bool {
        let planned = |fact: &Fact| matches!(fact, Fact::AccountOpened(account) if account.timestamp == at);
        self.facts.iter().any(planned) || self.ledger.is_account_time(at)
    }

    fn is_transfer_time(&self, at: Timestamp) -> bool {
        let planned = |fact: &Fact| matches!(fact, Fact::TransferCreated(transfer) if transfer.timestamp == at);
        self.facts.iter().any(planned) || self.ledger.is_transfer_time(at)
    }
}
