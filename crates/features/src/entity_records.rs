//! The records of one entity in one stream, kept so that any window over them costs two binary searches.

use std::collections::VecDeque;

use types::{Seq, Timestamp};

use crate::window::{Aggregate, after};

/// The records of one entity in one stream. Each carries the sum of those before it, so that a window costs two binary
/// searches however many records it spans. A change in the middle corrects the sums after it.
///
/// The sums start at the entity's first record and wrap on overflow. Their differences are exact, because the true sum
/// of 2^32 records of 64 bits fits in 128 bits many times over.
#[derive(Debug, Clone)]
pub(crate) struct EntityRecords {
    records: VecDeque<Record>,
    /// The keys of the records with a positive label. Each is also in `records`; they are kept apart because labels are
    /// rare.
    positives: VecDeque<Key>,
    /// The sum of all records, including dropped ones.
    total: i128,
    /// Every record from this instant on is held. `records_max` has dropped only earlier ones.
    reach: Timestamp,
}

/// Identifies and orders the records of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) at: Timestamp,
    pub(crate) seq: Seq,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    key: Key,
    /// The sum of all records before this one. The value is the difference from the next record's sum.
    before: i128,
}

// Millions of records are held, so their size determines the memory of an installation.
const _: () = assert!(size_of::<Record>() == 32 && size_of::<EntityRecords>() <= 96);

impl EntityRecords {
    /// An empty history that knows nothing about the time before `reach`.
    pub(crate) fn starting(reach: Timestamp) -> Self {
        // In many streams most entities are seen once, so the first record reserves room for one only.
        Self { records: VecDeque::with_capacity(1), positives: VecDeque::new(), total: 0, reach }
    }

    /// The first instant from which every record is held.
    pub(crate) fn reach(&self) -> Timestamp {
        self.reach
    }

    /// Number of records held.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The last instant that still matters: that of the newest record or, if there is none, of the newest dropped
    /// record.
    pub(crate) fn latest(&self) -> Timestamp {
        let dropped = Timestamp::from_ns(self.reach.ns().saturating_sub(1));
        self.records.back().map_or(dropped, |newest| newest.key.at)
    }

    /// Aggregates the records from `first` to `last`, both included.
    pub(crate) fn aggregate(&self, first: Timestamp, last: Timestamp) -> Aggregate {
        let start = self.records.partition_point(|record| record.key.at < first);
        // Usually `last` is the present, and no record is newer.
        let end = match self.records.back() {
            Some(newest) if newest.key.at > last => {
                self.records.partition_point(|record| record.key.at <= last).max(start)
            }
            _ => self.records.len(),
        };
        let positives_start = self.positives.partition_point(|key| key.at < first);
        let positives_end = self.positives.partition_point(|key| key.at <= last).max(positives_start);
        Aggregate {
            count: end.saturating_sub(start) as u64,
            sum: self.before(end).wrapping_sub(self.before(start)),
            positives: positives_end.saturating_sub(positives_start) as u64,
        }
    }

    /// Records `value`. If the record is already held, this replaces its value.
    pub(crate) fn insert(&mut self, key: Key, value: i64) {
        match self.place(key) {
            Ok(held) => {
                let change = i128::from(value).wrapping_sub(self.value(held));
                self.shift(held.saturating_add(1), change);
            }
            Err(place) => {
                self.records.insert(place, Record { key, before: self.before(place) });
                self.shift(place.saturating_add(1), i128::from(value));
            }
        }
    }

    /// Removes a record and its label. Returns false if the record is not held.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let Ok(held) = self.place(key) else { return false };
        self.label(key, false);
        self.shift(held.saturating_add(1), self.value(held).wrapping_neg());
        self.records.remove(held).is_some()
    }

    /// Sets or withdraws a positive label. Returns false if the record is not held.
    pub(crate) fn label(&mut self, key: Key, positive: bool) -> bool {
        match (self.positives.binary_search(&key), positive) {
            (Err(place), true) if self.place(key).is_ok() => self.positives.insert(place, key),
            (Ok(place), false) => {
                self.positives.remove(place);
            }
            (Ok(_), true) | (Err(_), _) => return self.place(key).is_ok(),
        }
        true
    }

    /// Forgets the records before `horizon` and, of the rest, all but the newest `records_max`. Returns true if that
    /// bound dropped a record; the reach then starts after the newest dropped record.
    pub(crate) fn trim(&mut self, horizon: Timestamp, records_max: usize) -> bool {
        self.forget_before(horizon);
        let excess = self.records.len().saturating_sub(records_max).checked_sub(1);
        let Some(dropped) = excess.and_then(|newest| self.records.get(newest)) else { return false };
        self.reach = after(dropped.key.at);
        self.forget_before(self.reach);
        true
    }

    /// Frees room that a busier time needed.
    pub(crate) fn shrink(&mut self) {
        let room = self.records.len().saturating_mul(2);
        if self.records.capacity() > room.saturating_mul(2) {
            self.records.shrink_to(room);
        }
    }

    fn forget_before(&mut self, instant: Timestamp) {
        while self.records.pop_front_if(|record| record.key.at < instant).is_some() {}
        while self.positives.pop_front_if(|key| key.at < instant).is_some() {}
        let oldest = self.records.front().map(|record| record.key);
        debug_assert!(
            self.positives.front().is_none_or(|labelled| oldest.is_some_and(|oldest| oldest <= *labelled)),
            "FEA-1: only records that are held have a label"
        );
    }

    /// Returns the position of the record or, as the error, where it belongs. Most records are newer than all others.
    fn place(&self, key: Key) -> Result<usize, usize> {
        match self.records.back() {
            Some(newest) if newest.key >= key => self.records.binary_search_by_key(&key, |record| record.key),
            _ => Err(self.records.len()),
        }
    }

    /// The sum of all records before the one at `place`, which may be the end.
    fn before(&self, place: usize) -> i128 {
        self.records.get(place).map_or(self.total, |record| record.before)
    }

    fn value(&self, place: usize) -> i128 {
        self.before(place.saturating_add(1)).wrapping_sub(self.before(place))
    }

    /// Corrects the sums of the records from `place` on, and the total.
    fn shift(&mut self, place: usize, by: i128) {
        for record in self.records.range_mut(place..) {
            record.before = record.before.wrapping_add(by);
        }
        self.total = self.total.wrapping_add(by);
    }
}
