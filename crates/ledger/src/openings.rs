//! What accounts and transfers were created with, where a later change replaced it. A repeated request is compared with
//! what the first one asked for, not with what became of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;
use types::AccountId;

use crate::{Fact, Ledger, Limits, MetadataOf};

#[derive(Debug, Default)]
pub(crate) struct Openings {
    /// The first limits of accounts whose limits were set again.
    pub(crate) limits: HashMap<AccountId, Limits, RandomState>,
    /// Accounts that were opened without the address that they have now.
    pub(crate) unaddressed: HashSet<AccountId, RandomState>,
    /// The first metadata of what got other metadata later.
    pub(crate) metadata: BTreeMap<MetadataOf, BTreeMap<String, String>>,
}

impl Ledger {
    /// Keeps what an account or a transfer was created with, before a fact that changes it is applied.
    pub fn keep_opening(&mut self, fact: &Fact) {
        match fact {
            Fact::LimitsSet { account, .. } => {
                let limits = self.limits(*account);
                self.openings.limits.entry(*account).or_insert(limits);
            }
            Fact::AddressSet { account, .. } => {
                self.openings.unaddressed.insert(*account);
            }
            Fact::MetadataSet { of: of @ (MetadataOf::Account(_) | MetadataOf::Transfer(_)), .. } => {
                let metadata = &self.metadata;
                self.openings.metadata.entry(*of).or_insert_with(|| metadata.of(*of).cloned().unwrap_or_default());
            }
            Fact::MetadataSet { of: MetadataOf::Payment(_), .. }
            | Fact::BookOpened(_)
            | Fact::AccountOpened(_)
            | Fact::TransferCreated(_)
            | Fact::TransferFailed { .. }
            | Fact::TransferExpired(_)
            | Fact::TransferScheduled(_)
            | Fact::ScheduledCancelled { .. }
            | Fact::IndexesChosen { .. }
            | Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. }
            | Fact::ImportNoted { .. } => {}
        }
    }
}
