//! The state that a request is judged against: the ledger alone, or the ledger below the earlier steps of a plan.

use std::collections::BTreeMap;

use types::{AccountId, LedgerId, Timestamp, TransferId};

use super::Plan;
use crate::{
    Account, Address, Book, Fact, IndexedFields, Ledger, Limits, MetadataOf, PastTransfer, Scheduled, TransferKey,
};

/// The state that a request is judged against.
pub(crate) trait View {
    fn book(&self, id: LedgerId) -> Option<&Book>;

    fn account(&self, id: AccountId) -> Option<&Account>;

    /// Whether a staged import reserves the id of this account.
    fn is_account_reserved(&self, id: AccountId) -> bool;

    /// Whether the rows of an import are judged. The flags `closed` and `policy_only` do not bind them, but take effect
    /// once the import is open.
    fn is_import(&self) -> bool {
        false
    }

    /// Whether a second principal approved the request. The flag `policy_only` then does not bind it.
    fn is_approved(&self) -> bool {
        false
    }

    /// What became of the transfer `key`. An unresolved transfer is pending, even after its time.
    fn find(&self, key: TransferKey) -> Option<PastTransfer>;

    fn limits(&self, id: AccountId) -> Limits;

    /// The transfer that is scheduled under this id.
    fn scheduled(&self, id: TransferId) -> Option<Scheduled>;

    fn address(&self, id: AccountId) -> Option<String>;

    fn is_address_taken(&self, address: &Address) -> bool;

    fn metadata(&self, of: MetadataOf) -> BTreeMap<String, String>;

    fn indexed_fields(&self, id: LedgerId) -> IndexedFields;

    /// The timestamp of the latest account.
    fn last_account(&self) -> Timestamp;

    /// The timestamp of the latest transfer.
    fn last_transfer(&self) -> Timestamp;

    /// Whether an account has exactly this timestamp.
    fn is_account_time(&self, at: Timestamp) -> bool;

    /// Whether a transfer has exactly this timestamp.
    fn is_transfer_time(&self, at: Timestamp) -> bool;
}

impl View for Ledger {
    fn book(&self, id: LedgerId) -> Option<&Book> {
        self.book(id)
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.account(id)
    }

    fn is_account_reserved(&self, id: AccountId) -> bool {
        self.is_account_reserved(id)
    }

    fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        self.find(key)
    }

    fn limits(&self, id: AccountId) -> Limits {
        self.limits(id)
    }

    fn scheduled(&self, id: TransferId) -> Option<Scheduled> {
        self.scheduled(id).copied()
    }

    fn address(&self, id: AccountId) -> Option<String> {
        self.address(id).map(str::to_owned)
    }

    fn is_address_taken(&self, address: &Address) -> bool {
        self.account_by_address(address.as_str()).is_some()
    }

    fn metadata(&self, of: MetadataOf) -> BTreeMap<String, String> {
        self.metadata(of).cloned().unwrap_or_default()
    }

    fn indexed_fields(&self, id: LedgerId) -> IndexedFields {
        self.indexed_fields(id)
    }

    fn last_account(&self) -> Timestamp {
        self.last_account
    }

    fn last_transfer(&self) -> Timestamp {
        self.last_transfer
    }

    fn is_account_time(&self, at: Timestamp) -> bool {
        self.has_account_at(at)
    }

    fn is_transfer_time(&self, at: Timestamp) -> bool {
        self.has_transfer_at(at)
    }
}

impl View for Plan<'_> {
    fn is_approved(&self) -> bool {
        self.is_approved
    }

    fn book(&self, id: LedgerId) -> Option<&Book> {
        self.books.get(&id).or_else(|| self.ledger.book(id))
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).or_else(|| self.ledger.account(id))
    }

    fn is_account_reserved(&self, id: AccountId) -> bool {
        self.ledger.is_account_reserved(id)
    }

    fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        self.transfers.get(&key).copied().or_else(|| self.ledger.find(key))
    }

    fn limits(&self, id: AccountId) -> Limits {
        self.limits.get(&id).copied().unwrap_or_else(|| self.ledger.limits(id))
    }

    fn scheduled(&self, id: TransferId) -> Option<Scheduled> {
        self.scheduled.get(&id).copied().unwrap_or_else(|| self.ledger.scheduled(id).copied())
    }

    fn address(&self, id: AccountId) -> Option<String> {
        let planned = self.addresses.get(&id).map(Address::as_str);
        planned.or_else(|| self.ledger.address(id)).map(str::to_owned)
    }

    fn is_address_taken(&self, address: &Address) -> bool {
        self.addressed.get(address).is_some() || self.ledger.is_address_taken(address)
    }

    fn metadata(&self, of: MetadataOf) -> BTreeMap<String, String> {
        self.metadata.get(&of).cloned().unwrap_or_else(|| View::metadata(self.ledger, of))
    }

    fn indexed_fields(&self, id: LedgerId) -> IndexedFields {
        self.indexes.get(&id).copied().unwrap_or_else(|| self.ledger.indexed_fields(id))
    }

    fn last_account(&self) -> Timestamp {
        self.times.last_account
    }

    fn last_transfer(&self) -> Timestamp {
        self.times.last_transfer
    }

    fn is_account_time(&self, at: Timestamp) -> bool {
        let planned = |fact: &Fact| matches!(fact, Fact::AccountOpened(account) if account.timestamp == at);
        // A batch is all accounts or all transfers, so a long import never searches its own facts.
        let opens = self.times.last_account > self.ledger.last_account;
        (opens && self.facts.iter().any(planned)) || self.ledger.is_account_time(at)
    }

    fn is_transfer_time(&self, at: Timestamp) -> bool {
        let planned = |fact: &Fact| matches!(fact, Fact::TransferCreated(transfer) if transfer.timestamp == at);
        let creates = self.times.last_transfer > self.ledger.last_transfer;
        (creates && self.facts.iter().any(planned)) || self.ledger.is_transfer_time(at)
    }
}
