//! Transfers dated for a future time, by id and by time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use types::{Timestamp, TransferId};

use crate::NewTransfer;

/// A client's transfer that is dated for a future time. It is judged when that time comes, and moves nothing before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// What is asked for then.
    pub new: NewTransfer,
    /// When.
    pub at: Timestamp,
}

/// What is scheduled, by id and by time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    waiting: HashMap<TransferId, (Scheduled, u64), RandomState>,
    /// By time, then in order of scheduling.
    order: BTreeMap<(Timestamp, u64), TransferId>,
    scheduled: u64,
}

impl Schedule {
    /// False when the id is scheduled already.
    pub(crate) fn add(&mut self, id: TransferId, scheduled: Scheduled) -> bool {
        self.scheduled = self.scheduled.saturating_add(1);
        self.order.insert((scheduled.at, self.scheduled), id);
        self.waiting.insert(id, (scheduled, self.scheduled)).is_none()
    }

    /// Takes it off, when its time came or it is cancelled; false when it was not there.
    pub(crate) fn remove(&mut self, id: TransferId) -> bool {
        // A map knows that it is empty without hashing, and mostly it is.
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

    /// In order behind the place `after`, each with its own place.
    pub(crate) fn behind(&self, after: (Timestamp, u64)) -> impl Iterator<Item = ((Timestamp, u64), &Scheduled)> {
        let behind = self.order.range((Bound::Excluded(after), Bound::Unbounded));
        behind.filter_map(|(place, id)| Some((*place, self.find(*id)?)))
    }

    pub(crate) fn in_order(&self) -> impl Iterator<Item = (Timestamp, TransferId)> {
        self.order.iter().map(|((at, _), id)| (*at, *id))
    }
}
