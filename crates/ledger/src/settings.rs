//! State beside the balances: limits, addresses, metadata, the schedule and the chosen indexes. This file applies and
//! reads it; `plan/change.rs` and `plan/transfer.rs` judge the requests that change it.

use std::collections::BTreeMap;

use types::{AccountId, LedgerId, PaymentId, Timestamp, TransferId};

use crate::recents::Record;
use crate::{Account, Address, Fact, IndexedFields, Ledger, Limits, MetadataOf, Scheduled, Touched, TransferKey};
use crate::{TransferStatus, TrialBalance};

impl Ledger {
    pub fn limits(&self, account: AccountId) -> Limits {
        if self.limits.is_empty() { Limits::NONE } else { self.limits.get(&account).copied().unwrap_or_default() }
    }

    pub fn account_by_address(&self, address: &str) -> Option<&Account> {
        self.addresses.place(address).map(|place| self.account_at(place))
    }

    pub fn address(&self, account: AccountId) -> Option<&str> {
        self.addresses.of(self.account_place(account)?)
    }

    /// Up to `limit` accounts whose address is `prefix` or continues it with a colon, in order of address and starting
    /// after `after`. The empty prefix means all addresses.
    pub fn accounts_below(&self, prefix: &str, after: Option<&Address>, limit: usize) -> Vec<&Account> {
        let places = self.addresses.below(prefix, after, limit);
        places.into_iter().map(|place| self.account_at(place)).collect()
    }

    /// The sums over the accounts of a book whose address is `prefix` or continues it with a colon, or `None` if there
    /// is no such account. The sums are kept up to date, so this is cheap.
    pub fn sums_below(&self, ledger: LedgerId, prefix: &str) -> Option<TrialBalance> {
        self.addresses.sums(ledger, prefix)
    }

    /// The metadata as JSON texts by key.
    pub fn metadata(&self, of: MetadataOf) -> Option<&BTreeMap<String, String>> {
        self.metadata.of(of)
    }

    /// Brings metadata back into memory, as JSON texts by key.
    pub fn recall_metadata(&mut self, of: MetadataOf, values: BTreeMap<String, String>) {
        self.metadata.recall(of, values);
    }

    /// Takes out of memory what the ledger has of a payment that is not open: its metadata, and its transfers, which are numbered
    /// from 0 to below `transfers`.
    pub fn forget_payment(&mut self, payment: PaymentId, transfers: u16) {
        self.metadata.forget(payment);
        self.legs.forget(payment, transfers);
    }

    /// Up to `limit` things after `after` whose metadata has exactly this JSON text for `key`.
    pub fn find_by_metadata(&self, key: &str, value: &str, after: Option<MetadataOf>, limit: usize) -> Vec<MetadataOf> {
        self.metadata.find(key, value, after, limit)
    }

    /// The transfer that is scheduled under this id.
    pub fn scheduled(&self, id: TransferId) -> Option<&Scheduled> {
        self.schedule.find(id)
    }

    /// Up to `limit` scheduled transfers that are due at `at`, in the order in which they must be carried out: by time,
    /// then by order of scheduling.
    pub fn due_scheduled(&self, at: Timestamp, limit: usize) -> Vec<TransferId> {
        let due = self.schedule.in_order().take_while(|(time, _)| *time <= at);
        due.take(limit).map(|(_, id)| id).collect()
    }

    /// Up to `limit` scheduled transfers after the place `after`, in the order in which they will be carried out. Each
    /// comes with its place: its time and its number in the order of scheduling.
    pub fn scheduled_after(&self, after: (Timestamp, u64), limit: usize) -> Vec<((Timestamp, u64), &Scheduled)> {
        self.schedule.behind(after).take(limit).collect()
    }

    /// When the next scheduled transfer is due.
    pub fn next_scheduled(&self) -> Option<Timestamp> {
        self.schedule.in_order().next().map(|(time, _)| time)
    }

    /// The fields by which a book's transfers can be found, besides those that are always indexed.
    pub fn indexed_fields(&self, ledger: LedgerId) -> IndexedFields {
        self.indexes.get(&ledger).copied().unwrap_or_default()
    }

    /// Applies a fact about anything other than books, accounts and balances.
    pub(crate) fn apply_setting(&mut self, fact: &Fact) -> Touched {
        match fact {
            Fact::LimitsSet { account, limits } => {
                assert!(self.account(*account).is_some(), "LED-8: limits need an account that exists");
                if *limits == Limits::NONE {
                    self.limits.remove(account);
                } else {
                    self.limits.insert(*account, *limits);
                }
            }
            Fact::AddressSet { account, address } => {
                let place = self.account_place(*account).expect("LED-8: an address needs an account that exists");
                let is_new = self.addresses.set(place, self.accounts.at(place), address);
                assert!(is_new, "LED-4: {address} is taken, or its account already has an address");
            }
            Fact::MetadataSet { of, values } => self.metadata.set(*of, values),
            Fact::TransferScheduled(scheduled) => {
                let TransferKey::Client(id) = scheduled.new.key else {
                    panic!("LED-4: only clients schedule transfers")
                };
                assert!(self.schedule.add(id, *scheduled), "LED-4: transfer {id} is already scheduled");
            }
            Fact::ScheduledCancelled { id } => {
                assert!(self.schedule.remove(*id), "LED-4: transfer {id} is not scheduled");
                let spent = Record::Failed { id: *id, status: TransferStatus::ScheduledTransferCancelled };
                assert!(self.recents.add(spent), "LED-4: transfer {id} was already created or failed");
                return Touched::Failed;
            }
            Fact::IndexesChosen { ledger, fields } => {
                self.indexes.insert(*ledger, *fields);
            }
            Fact::BookOpened(_)
            | Fact::AccountOpened(_)
            | Fact::TransferCreated(_)
            | Fact::TransferFailed { .. }
            | Fact::TransferExpired(_)
            | Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. }
            | Fact::ImportNoted { .. } => unreachable!("`Ledger::apply` applies these itself"),
        }
        Touched::Nothing
    }
}
