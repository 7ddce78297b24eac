//! A past that remembers everything.

use std::collections::BTreeMap;

use ledger::{Fact, Past, PastTransfer, PendingState, TransferFlags, TransferKey, TransferStatus};
use types::{Timestamp, TransferId};

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    found: BTreeMap<TransferId, PastTransfer>,
}

impl Remembered {
    pub(crate) fn of(facts: &[Fact]) -> Self {
        let mut past = Self::default();
        facts.iter().for_each(|fact| past.add(fact));
        past
    }

    fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::TransferCreated(created) => {
                let is_void = created.flags.contains(TransferFlags::VOID_PENDING_TRANSFER);
                self.resolve(created.pending, if is_void { PendingState::Voided } else { PendingState::Posted });
                if let TransferKey::Client(id) = created.key {
                    let state = created.is_pending().then_some(PendingState::Pending);
                    self.found.insert(id, PastTransfer::Created { transfer: *created, state });
                }
            }
            Fact::TransferFailed { id, status } => {
                self.found.insert(*id, PastTransfer::Failed(*status));
            }
            Fact::TransferExpired(key) => self.resolve(Some(*key), PendingState::Expired),
            Fact::ScheduledCancelled { id } => {
                self.found.insert(*id, PastTransfer::Failed(TransferStatus::ScheduledTransferCancelled));
            }
            Fact::TransferStaged { import, transfer } => {
                if let TransferKey::Client(id) = transfer.key {
                    self.found.insert(id, PastTransfer::Staged { import: *import, transfer: *transfer });
                }
            }
            Fact::BookOpened(_)
            | Fact::AccountOpened(_)
            | Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::ImportNoted { .. }
            | Fact::LimitsSet { .. }
            | Fact::AddressSet { .. }
            | Fact::MetadataSet { .. }
            | Fact::TransferScheduled(_)
            | Fact::IndexesChosen { .. } => {}
        }
    }

    fn resolve(&mut self, key: Option<TransferKey>, to: PendingState) {
        if let Some(TransferKey::Client(id)) = key
            && let Some(PastTransfer::Created { state, .. }) = self.found.get_mut(&id)
        {
            *state = Some(to);
        }
    }
}

impl Past for Remembered {
    fn find(&self, id: TransferId) -> Option<PastTransfer> {
        self.found.get(&id).copied()
    }

    fn has_timestamp(&self, at: Timestamp) -> bool {
        let is_at =
            |found: &PastTransfer| matches!(found, PastTransfer::Created { transfer, .. } if transfer.timestamp == at);
        self.found.values().any(is_at)
    }
}
