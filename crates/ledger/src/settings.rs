//! What stands beside balances: limits, addresses, metadata, the schedule and the choice of indexes. Here it is folded and
//! read; `plan/change.rs` and `plan/schedule.rs` judge it.

use std::collections::BTreeMap;

use types::{AccountId, LedgerId, Timestamp, TransferId};

use crate::recents::Record;
use crate::{Account, Address, Fact, IndexedFields, Ledger, Limits, MetadataOf, Scheduled, Touched, TransferKey};
use crate::{TransferStatus, TrialBalance};

impl Ledger {
    /// The bounds on an account's balance.
    pub fn limits(&self, account: AccountId) -> Limits {
        if self.limits.is_empty() { Limits::NONE } else { self.limits.get(&account).copied().unwrap_or_default() }
    }

    /// The account with this address.
    pub fn account_by_address(&self, address: &str) -> Option<&Account> {
        self.addresses.place(address).map(|place| self.account_at(place))
    }

    /// The address of an account.
    pub fn address(&self, account: AccountId) -> Option<&str> {
        self.addresses.of(self.account_place(account)?)
    }

    /// Up to `limit` accounts whose address is `prefix`, or goes on behind it with a colon, in order of address behind
    /// `after`. The empty prefix means all addresses.
    pub fn accounts_below(&self, prefix: &str, after: Option<&Address>, limit: usize) -> Vec<&Account> {
        let places = self.addresses.below(prefix, after, limit);
        places.into_iter().map(|place| self.account_at(place)).collect()
    }

    /// The sums over the accounts of a book whose address is `prefix`, or goes on behind it with a colon. They are kept
    /// up to date. `None` when there is no such account.
    pub fn sums_below(&self, ledger: LedgerId, prefix: &str) -> Option<TrialBalance> {
        self.addresses.sums(ledger, prefix)
    }

    /// The metadata of something: JSON texts by key.
    pub fn metadata(&self, of: MetadataOf) -> Option<&BTreeMap<String, String>> {
        self.metadata.of(of)
    }

    /// Up to `limit` things behind `after` whose metadata has exactly this value, as the JSON text that was set.
    pub fn find_by_metadata(&self, key: &str, value: &str, after: Option<MetadataOf>, limit: usize) -> Vec<MetadataOf> {
        self.metadata.find(key, value, after, limit)
    }

    /// The transfer that waits for its time under this id.
    pub fn scheduled(&self, id: TransferId) -> Option<&Scheduled> {
        self.schedule.find(id)
    }

    /// Up to `limit` scheduled transfers whose time has come at `at`, in the order in which they must be executed: by
    /// time, then in order of scheduling.
    pub fn due_scheduled(&self, at: Timestamp, limit: usize) -> Vec<TransferId> {
        let due = self.schedule.in_order().take_while(|(time, _)| *time <= at);
        due.take(limit).map(|(_, id)| id).collect()
    }

    /// Up to `limit` scheduled transfers behind the place `after`, in the order of their execution, each with its place:
    /// its time and its number in order of scheduling.
    pub fn scheduled_after(&self, after: (Timestamp, u64), limit: usize) -> Vec<((Timestamp, u64), &Scheduled)> {
        self.schedule.behind(after).take(limit).collect()
    }

    /// When the next scheduled transfer is due.
    pub fn next_scheduled(&self) -> Option<Timestamp> {
        self.schedule.in_order().next().map(|(time, _)| time)
    }

    /// The fields by which a book's transfers can be found, besides those that always are.
    pub fn indexed_fields(&self, ledger: LedgerId) -> IndexedFields {
        self.indexes.get(&ledger).copied().unwrap_or_default()
    }

    /// Folds a fact that is about none of books, accounts opened and balances.
    pub(crate) fn apply_setting(&mut self, fact: &Fact) -> Touched {
        match fact {
            Fact::LimitsSet { account, limits } => {
                assert!(self.account(*account).is_some(), "LED-8: limits are those of an account that exists");
                if *limits == Limits::NONE {
                    self.limits.remove(account);
                } else {
                    self.limits.insert(*account, *limits);
                }
            }
            Fact::AddressSet { account, address } => {
                let place = self.account_place(*account).expect("LED-8: an address is that of an account that exists");
                let is_new = self.addresses.set(place, self.accounts.at(place), address);
                assert!(is_new, "LED-4: {address} names one account, which has no other address");
            }
            Fact::MetadataSet { of, values } => self.metadata.set(*of, values),
            Fact::TransferScheduled(scheduled) => {
                let TransferKey::Client(id) = scheduled.new.key else {
                    panic!("LED-4: only clients schedule transfers")
                };
                assert!(self.schedule.add(id, *scheduled), "LED-4: transfer {id} is scheduled once");
            }
            Fact::ScheduledCancelled { id } => {
                assert!(self.schedule.remove(*id), "LED-4: transfer {id} is cancelled while it waits");
                let spent = Record::Failed { id: *id, status: TransferStatus::ScheduledTransferCancelled };
                assert!(self.recents.add(spent), "LED-4: transfer {id} is created or fails, once");
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
            | Fact::ImportNoted { .. } => unreachable!("the ledger's own `apply` folds these"),
        }
        Touched::Nothing
    }
}
