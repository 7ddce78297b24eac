//! Transfers dated for a future time, by id and by time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use types::{Timestamp, TransferId};

use crate::NewTransfer;

/// A client's transfer for a future time. It is judged when that time comes and moves nothing before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// The transfer to create at that time.
    pub new: NewTransfer,
    pub at: Timestamp,
}

/// All scheduled transfers, by id and by time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    waiting: HashMap<TransferId, (Scheduled, u64), RandomState>,
    /// By time, then by order of scheduling.
    order: BTreeMap<(Timestamp, u64), TransferId>,
    scheduled: u64,
}

impl Schedule {
    /// Returns false if the id is already scheduled.
    pub(crate) fn add(&mut self, id: TransferId, scheduled: Scheduled) -> bool {
        self.scheduled = self.scheduled.saturating_add(1);
        self.order.insert((scheduled.at, self.scheduled), id);
        self.waiting.insert(id, (scheduled, self.scheduled)).is_none()
    }

    /// Removes a transfer that is due or cancelled. Returns false if it was not scheduled.
    pub(crate) fn remove(&mut self, id: TransferId) -> bool {
        // The schedule is usually empty, and this check saves hashing the id.
        if self.waiting.is_empty() {
            return false;
        }
        let Some((scheduled, number)) = self.waiting.remove(&id) else { return false };
        self.order.remove(&(scheduled.at, number)).is_some()
    }

    pub(crate) fn find(&self, id: TransferId) -> Option<&Scheduled> {
        if self.waiting.is_empty() {
            return None;
        }
        self.waiting.get(&id).map(|(scheduled, _)| scheduled)
    }

    /// The scheduled transfers after the place `after`, in order, each with its place.
    pub(crate) fn behind(&self, after: (Timestamp, u64)) -> impl Iterator<Item = ((Timestamp, u64), &Scheduled)> {
        let behind = self.order.range((Bound::Excluded(after), Bound::Unbounded));
        behind.filter_map(|(place, id)| Some((*place, self.find(*id)?)))
    }

    pub(crate) fn in_order(&self) -> impl Iterator<Item = (Timestamp, TransferId)> {
        self.order.iter().map(|((at, _), id)| (*at, *id))
    }
}
