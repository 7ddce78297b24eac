//! The transfers of payments, until the engine forgets the payment.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use types::{PaymentId, Timestamp};

use crate::{PendingState, Transfer, TransferKey};

/// The transfers of the payments in memory, by key and in order of creation.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    legs: HashMap<TransferKey, Leg, RandomState>,
    in_order: BTreeSet<(Timestamp, TransferKey)>,
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
        self.in_order.insert((transfer.timestamp, transfer.key));
        self.legs.insert(transfer.key, Leg { transfer, state }).is_none()
    }

    /// Forgets the transfers of a payment, which are numbered from 0 to below `count`.
    pub(crate) fn forget(&mut self, payment: PaymentId, count: u16) {
        for number in 0..count {
            if let Some(leg) = self.legs.remove(&TransferKey::Leg { payment, number }) {
                self.in_order.remove(&(leg.transfer.timestamp, leg.transfer.key));
            }
        }
    }

    pub(crate) fn find(&self, key: TransferKey) -> Option<&Leg> {
        self.legs.get(&key)
    }

    pub(crate) fn find_mut(&mut self, key: TransferKey) -> Option<&mut Leg> {
        self.legs.get_mut(&key)
    }

    /// The transfers created after `after`, in order of creation.
    pub(crate) fn transfers_after(&self, after: Timestamp) -> impl Iterator<Item = &Transfer> {
        let last = TransferKey::Leg { payment: PaymentId::new(u128::MAX), number: u16::MAX };
        let later = self.in_order.range((Bound::Excluded((after, last)), Bound::Unbounded));
        later.filter_map(|(_, key)| self.legs.get(key)).map(|leg| &leg.transfer)
    }
}
