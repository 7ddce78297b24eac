//! The transfers that payments made, which stay in memory.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use types::Timestamp;

use crate::chunks::Chunks;
use crate::{PendingState, Transfer, TransferKey};

/// All transfers of payments, in order of creation and by key.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    rows: Chunks<Leg>,
    places: HashMap<TransferKey, usize, RandomState>,
}

/// A transfer and, if it is a pending one, what became of it.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) transfer: Transfer,
    pub(crate) state: Option<PendingState>,
}

impl Legs {
    /// Adds a transfer. Returns false if its key is taken.
    pub(crate) fn add(&mut self, transfer: Transfer) -> bool {
        let state = transfer.is_pending().then_some(PendingState::Pending);
        if self.places.insert(transfer.key, self.rows.len()).is_some() {
            return false;
        }
        self.rows.push(Leg { transfer, state });
        true
    }

    pub(crate) fn find(&self, key: TransferKey) -> Option<&Leg> {
        self.places.get(&key).and_then(|&place| self.rows.get(place))
    }

    pub(crate) fn find_mut(&mut self, key: TransferKey) -> Option<&mut Leg> {
        self.places.get(&key).and_then(|&place| self.rows.get_mut(place))
    }

    /// The transfers created after `after`, in order of creation.
    pub(crate) fn transfers_after(&self, after: Timestamp) -> impl Iterator<Item = &Transfer> {
        let start = self.rows.partition_point(0, |leg| leg.transfer.timestamp <= after);
        self.rows.from(start).map(|leg| &leg.transfer)
    }
}
