use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use types::{Timestamp, TransferId};

use crate::chunks::Chunks;
use crate::{Transfer, TransferKey, TransferStatus};

/// What lately happened to client transfers, in order, found by id, until it is forgotten.
///
/// Ids that keep increasing, as ids that carry a time do, are kept in a sorted list and need no hashing; all others are
/// in a hash map.
#[derive(Debug, Default)]
pub(crate) struct Recents {
    records: Chunks<Record>,
    /// Happened before the records here began.
    earlier: u64,
    /// The number of the first record that is not forgotten.
    first: usize,
    ascending: VecDeque<(TransferId, usize)>,
    others: HashMap<TransferId, usize, RandomState>,
}

#[derive(Debug)]
pub(crate) enum Record {
    Created(Transfer),
    Failed {
        id: TransferId,
        status: TransferStatus,
    },
    /// The pending transfer expired.
    Expired(TransferId),
}

impl Record {
    /// The id that this record spends.
    fn spends(&self) -> Option<TransferId> {
        match self {
            Self::Created(Transfer { key: TransferKey::Client(id), .. }) | Self::Failed { id, .. } => Some(*id),
            Self::Created(_) | Self::Expired(_) => None,
        }
    }
}

impl Recents {
    /// How many records there ever were.
    pub(crate) fn recorded(&self) -> u64 {
        self.earlier.saturating_add(self.records.len() as u64)
    }

    /// Begins behind `recorded` records that are forgotten already.
    pub(crate) fn start(&mut self, recorded: u64) {
        assert_eq!(self.records.len(), 0, "only an empty ledger is restored");
        self.earlier = recorded;
    }

    /// Whether anything is not here any more.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.earlier > 0 || self.first > 0
    }

    /// Adds a record; false when the id that it spends is here already.
    pub(crate) fn add(&mut self, record: Record) -> bool {
        let number = self.records.len();
        if let Some(id) = record.spends() {
            if self.ascending.back().is_none_or(|(last, _)| *last < id) && !self.is_other(id) {
                self.ascending.push_back((id, number));
            } else if self.number_of(id).is_some() || self.others.insert(id, number).is_some() {
                return false;
            }
        }
        self.records.push(record);
        true
    }

    pub(crate) fn find(&self, id: TransferId) -> Option<&Record> {
        self.number_of(id).and_then(|number| self.records.get(number))
    }

    fn is_other(&self, id: TransferId) -> bool {
        !self.others.is_empty() && self.others.contains_key(&id)
    }

    fn number_of(&self, id: TransferId) -> Option<usize> {
        if self.ascending.back().is_some_and(|(last, _)| id <= *last) {
            let found = self.ascending.binary_search_by_key(&id, |(id, _)| *id);
            if let Some((_, number)) = found.ok().and_then(|at| self.ascending.get(at)) {
                return Some(*number);
            }
        }
        // The map remembers how many it holds, so that it costs nothing while all ids ascend.
        if self.others.is_empty() { None } else { self.others.get(&id).copied() }
    }

    /// Forgets the records up to number `through`, counted from 1, and tells each to `forgotten` in order.
    pub(crate) fn forget_through(&mut self, through: u64, mut forgotten: impl FnMut(&Record)) {
        let end = usize::try_from(through.saturating_sub(self.earlier)).unwrap_or(usize::MAX).min(self.records.len());
        for number in self.first..end {
            let Some(record) = self.records.get(number) else { continue };
            if let Some(id) = record.spends() {
                if self.ascending.front() == Some(&(id, number)) {
                    self.ascending.pop_front();
                } else {
                    self.others.remove(&id);
                }
            }
            forgotten(record);
        }
        self.first = self.first.max(end);
        self.records.drop_before(self.first);
    }

    /// The transfers later than `after`, in order.
    pub(crate) fn transfers_after(&self, after: Timestamp) -> impl Iterator<Item = &Transfer> {
        let transfers = self.records.from(self.first).filter_map(|record| match record {
            Record::Created(transfer) => Some(transfer),
            Record::Failed { .. } | Record::Expired(_) => None,
        });
        transfers.skip_while(move |transfer| transfer.timestamp <= after)
    }
}
