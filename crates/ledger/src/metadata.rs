//! What clients attach to accounts, transfers and payments, with the limits on its size.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use types::{AccountId, PaymentId};

use crate::TransferKey;

/// What metadata belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetadataOf {
    Account(AccountId),
    Transfer(TransferKey),
    /// The engine, not the ledger, checks that the payment exists.
    Payment(PaymentId),
}

/// Most keys that one account, transfer or payment can have.
pub const METADATA_KEYS_MAX: usize = 64;
/// Length of the longest key, in bytes.
pub const METADATA_KEY_BYTES_MAX: usize = 64;
/// Length of the longest value, in bytes of JSON text.
pub const METADATA_VALUE_BYTES_MAX: usize = 1_024;

/// All metadata, by what it belongs to, and by key and value. The metadata of a payment is in memory only as long as the payment
/// is, and cannot be found by value.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    values: BTreeMap<MetadataOf, BTreeMap<String, String>>,
    index: BTreeMap<String, BTreeSet<(String, MetadataOf)>>,
}

impl Metadata {
    pub(crate) fn of(&self, of: MetadataOf) -> Option<&BTreeMap<String, String>> {
        self.values.get(&of)
    }

    /// Takes everything about a payment out of memory.
    pub(crate) fn forget(&mut self, payment: PaymentId) {
        self.values.remove(&MetadataOf::Payment(payment));
    }

    /// Brings the metadata of something back that was taken out of memory.
    pub(crate) fn recall(&mut self, of: MetadataOf, values: BTreeMap<String, String>) {
        if !values.is_empty() {
            self.values.insert(of, values);
        }
    }

    /// Sets each key to its value, or removes the key if the value is `None`.
    pub(crate) fn set(&mut self, of: MetadataOf, changes: &[(String, Option<String>)]) {
        let values = self.values.entry(of).or_default();
        for (key, value) in changes {
            let old = match value {
                Some(value) => values.insert(key.clone(), value.clone()),
                None => values.remove(key),
            };
            if let MetadataOf::Payment(_) = of {
                continue;
            }
            let index = self.index.entry(key.clone()).or_default();
            if let Some(old) = old {
                index.remove(&(old, of));
            }
            index.extend(value.iter().map(|value| (value.clone(), of)));
            if index.is_empty() {
                self.index.remove(key);
            }
        }
        if values.is_empty() {
            self.values.remove(&of);
        }
    }

    /// Up to `limit` things after `after` whose metadata has exactly this value for `key`, in order.
    pub(crate) fn find(&self, key: &str, value: &str, after: Option<MetadataOf>, limit: usize) -> Vec<MetadataOf> {
        let Some(index) = self.index.get(key) else { return vec![] };
        let first = MetadataOf::Account(AccountId::new(0));
        let start = match after {
            Some(after) => Bound::Excluded((value.to_owned(), after)),
            None => Bound::Included((value.to_owned(), first)),
        };
        let found = index.range((start, Bound::Unbounded)).take_while(|(candidate, _)| candidate == value);
        found.take(limit).map(|(_, of)| *of).collect()
    }
}

/// Sets each key to its value, or removes the key if the value is `None`.
pub fn change_metadata(metadata: &mut BTreeMap<String, String>, values: &[(String, Option<String>)]) {
    for (key, value) in values {
        match value {
            Some(value) => metadata.insert(key.clone(), value.clone()),
            None => metadata.remove(key),
        };
    }
}
