use types::{AccountId, LedgerId};

use super::Plan;
use crate::{Account, Book, Ledger, PastTransfer, TransferKey};

/// What a request is judged against.
pub(crate) trait View {
    fn book(&self, id: LedgerId) -> Option<&Book>;

    fn account(&self, id: AccountId) -> Option<&Account>;

    /// What became of the transfer `key`; an unresolved one is pending, also after its time.
    fn find(&self, key: TransferKey) -> Option<PastTransfer>;
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
}
