//! The records of one entity in one stream, kept so that any window over them costs two binary searches and two short
//! sums.

use std::collections::VecDeque;

use types::{Seq, Timestamp};

use crate::blocks::{Block, Spread};
use crate::items::{Item, Items};
use crate::window::{Aggregate, after};
use crate::windows::RestoredRecord;

/// The number of records from one kept sum to the next.
const BLOCK_RECORDS: usize = 32;

/// The records of one entity in one stream, in order. Every 32 records the sum of all records so far is kept, so that a window
/// costs two binary searches and at most 64 additions, however many records it spans.
///
/// The sums start at the entity's first record and wrap on overflow. Their differences are exact, because the true sum
/// of 2^32 records of 64 bits fits in 128 bits many times over.
#[derive(Debug, Clone)]
pub(crate) struct EntityRecords {
    records: VecDeque<Record>,
    /// How many records before the first one belong to its block. They are gone.
    gone: u8,
    /// The sums of everything up to the end of every full block, in order.
    ends: VecDeque<i128>,
    /// The sum of all records, including those that are gone.
    total: i128,
    /// What most entities have nothing of. A box takes less room in each of them.
    rest: Option<Box<Rest>>,
    /// Every record from this instant on is held. `records_max` has dropped only earlier ones.
    reach: Timestamp,
    /// When the stream will check whether the entity is idle; see `StreamState`.
    pub(crate) checked_at: Timestamp,
}

/// What is kept of some entities only.
#[derive(Debug, Clone, Default)]
struct Rest {
    /// The keys of the records with a positive label. Each is also in the records; they are kept apart because labels are
    /// rare.
    positives: VecDeque<Key>,
    /// The spread of every full block, in order, as `ends` has their sums. `None` if the stream does not keep spreads, or did not
    /// when the entity had its last record. The first block may have lost records that are gone, and then nobody reads its spread.
    blocks: Option<Box<Blocks>>,
    /// The items of all records. `None` if no record has had one.
    items: Option<Box<Items>>,
}

/// The spreads of full blocks, in order.
#[derive(Debug, Clone, Default)]
struct Blocks(VecDeque<Block>);

/// Identifies and orders the records of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When the record counts, by the stream's clock.
    pub at: Timestamp,
    /// The entry that made the record, below 2^48.
    pub seq: Seq,
}

/// A record: its instant (8 bytes), its sequence (6) and its value (8), each little-endian.
#[derive(Debug, Clone, Copy)]
struct Record([u8; 22]);

// Millions of records are held, so their size determines the memory of an installation.
const _: () = assert!(size_of::<Record>() == 22 && size_of::<EntityRecords>() <= 112);

impl Record {
    fn new(key: Key, value: i64) -> Self {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, over @ ..]) =
            (key.at.ns().to_le_bytes(), key.seq.get().to_le_bytes());
        assert_eq!(over, [0; 2], "FEA-2: sequences are below 2^48");
        let [o, p, q, r, s, t, u, v] = value.to_le_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v])
    }

    fn at(self) -> Timestamp {
        let Self([a, b, c, d, e, f, g, h, ..]) = self;
        Timestamp::from_ns(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    fn key(self) -> Key {
        let Self([_, _, _, _, _, _, _, _, i, j, k, l, m, n, ..]) = self;
        Key { at: self.at(), seq: Seq::new(u64::from_le_bytes([i, j, k, l, m, n, 0, 0])) }
    }

    fn value(self) -> i64 {
        let Self([.., o, p, q, r, s, t, u, v]) = self;
        i64::from_le_bytes([o, p, q, r, s, t, u, v])
    }
}

impl EntityRecords {
    /// An empty history that knows nothing about the time before `reach`.
    pub(crate) fn starting(reach: Timestamp) -> Self {
        Self {
            records: VecDeque::new(),
            gone: 0,
            ends: VecDeque::new(),
            total: 0,
            rest: None,
            reach,
            checked_at: Timestamp::MAX,
        }
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
    /// record. `None` if nothing was ever dropped either.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let dropped = || self.reach.ns().checked_sub(1).map(Timestamp::from_ns);
        self.records.back().map(|newest| newest.at()).or_else(dropped)
    }

    /// Whether anything about the entity matters at `horizon` or later.
    pub(crate) fn matters_from(&self, horizon: Timestamp) -> bool {
        self.latest().is_some_and(|latest| latest >= horizon)
    }

    /// Aggregates the records from `first` to `last`, both included.
    pub(crate) fn aggregate(&self, first: Timestamp, last: Timestamp) -> Aggregate {
        let (start, end) = self.places(first, last);
        self.aggregate_at(start, end)
    }

    /// Where the records from `first` to `last`, both included, are: the place of the first one, and the place after the last one.
    pub(crate) fn places(&self, first: Timestamp, last: Timestamp) -> (usize, usize) {
        let start = self.count_before(first);
        (start, self.count_before(after(last)).max(start))
    }

    /// Aggregates the records from place `start` to before place `end`.
    pub(crate) fn aggregate_at(&self, start: usize, end: usize) -> Aggregate {
        let key = |place: usize| self.records.get(place).map(|record| record.key());
        let positives = match (self.positives(), key(start), end.checked_sub(1).and_then(key)) {
            (Some(positives), Some(first), Some(last)) => {
                let start = positives.partition_point(|key| *key < first);
                positives.partition_point(|key| *key <= last).saturating_sub(start)
            }
            (_, _, _) => 0,
        };
        Aggregate { count: end.saturating_sub(start) as u64, sum: self.sum(start, end), positives: positives as u64 }
    }

    /// The instant and the value of the record at a place.
    pub(crate) fn record(&self, place: usize) -> Option<(Timestamp, i64)> {
        self.records.get(place).map(|record| (record.at(), record.value()))
    }

    /// The values of the records from place `start` to before place `end`.
    pub(crate) fn values(&self, start: usize, end: usize) -> impl Iterator<Item = i64> {
        self.records.range(start.min(end)..end).map(|record| record.value())
    }

    /// The spread of the records from place `start` to before place `end`: of full blocks as it is kept, of others record by record.
    pub(crate) fn spread(&self, start: usize, end: usize) -> Spread {
        let each = |start, end| self.values(start, end).fold(Spread::NONE, Spread::with);
        let Some(Blocks(blocks)) = self.rest.as_deref().and_then(|rest| rest.blocks.as_deref()) else {
            return each(start, end);
        };
        let first = start.saturating_add(self.gone.into()).div_ceil(BLOCK_RECORDS);
        let last = self.block_of(end).min(blocks.len());
        if first >= last {
            return each(start, end);
        }
        let whole = blocks.range(first..last).fold(Spread::NONE, |spread, block| spread.and(block.spread()));
        whole.and(each(start, self.start_of(first))).and(each(self.start_of(last), end))
    }

    /// Keeps the spread of full blocks from now on.
    pub(crate) fn keep_spreads(&mut self) {
        let rest = self.rest.get_or_insert_default();
        if rest.blocks.is_none() {
            rest.blocks = Some(Box::default());
            self.refresh_blocks(0);
        }
    }

    /// Computes the spreads of all full blocks from number `first` on again, if they are kept: the records in these blocks changed.
    fn refresh_blocks(&mut self, first: usize) {
        let Some(mut blocks) = self.rest.as_deref_mut().and_then(|rest| rest.blocks.take()) else { return };
        blocks.0.truncate(first);
        for block in blocks.0.len()..self.ends.len() {
            let (start, end) = (self.start_of(block), self.start_of(block.saturating_add(1)));
            blocks.0.push_back(Block::new(self.values(start, end).fold(Spread::NONE, Spread::with)));
        }
        if let Some(rest) = &mut self.rest {
            rest.blocks = Some(blocks);
        }
    }

    fn positives(&self) -> Option<&VecDeque<Key>> {
        self.rest.as_deref().map(|rest| &rest.positives).filter(|positives| !positives.is_empty())
    }

    fn is_positive(&self, key: Key) -> bool {
        self.positives().is_some_and(|positives| positives.binary_search(&key).is_ok())
    }

    /// The place of a record, if it is held.
    pub(crate) fn held_at(&self, key: Key) -> Option<usize> {
        self.place(key).ok()
    }

    /// The items of the records, if any record has had one.
    pub(crate) fn items(&self) -> Option<&Items> {
        self.rest.as_deref().and_then(|rest| rest.items.as_deref())
    }

    /// Sets the item of the record at a place, which `is_new` if the record was just inserted.
    fn set_item(&mut self, place: usize, is_new: bool, key: Key, item: Option<Item>) {
        if item.is_none() && self.items().is_none() {
            return;
        }
        let known = self.records.len().saturating_sub(is_new.into());
        let rest = self.rest.get_or_insert_default();
        let items = rest.items.get_or_insert_with(|| Box::new(Items::none(known)));
        if !is_new {
            items.remove(place);
        }
        // The new record is already there, so an earlier place is the same in both.
        items.insert(place, (item, key.at), |earlier| self.records.get(earlier).map(|record| record.at()));
    }

    /// Records `value`. If the record is already held, this replaces its value and its item.
    pub(crate) fn insert(&mut self, key: Key, value: i64, item: Option<Item>) {
        let known = self.records.len();
        let place = match self.place(key) {
            Ok(held) => {
                let Some(record) = self.records.get_mut(held) else { return };
                let change = i128::from(value).wrapping_sub(record.value().into());
                *record = Record::new(key, value);
                let block = self.block_of(held);
                for end in self.ends.range_mut(block..) {
                    *end = end.wrapping_add(change);
                }
                self.total = self.total.wrapping_add(change);
                held
            }
            Err(place) => {
                self.make_room();
                self.records.insert(place, Record::new(key, value));
                self.total = self.total.wrapping_add(value.into());
                // The last record of every full block after the new one moves into the next block.
                for block in self.block_of(place)..self.ends.len() {
                    let moved = self.value(self.start_of(block.saturating_add(1)));
                    if let Some(end) = self.ends.get_mut(block) {
                        *end = end.wrapping_add(value.into()).wrapping_sub(moved);
                    }
                }
                if self.start_of(self.ends.len().saturating_add(1)) == self.records.len() {
                    self.ends.push_back(self.total);
                }
                place
            }
        };
        self.refresh_blocks(self.block_of(place));
        self.set_item(place, self.records.len() > known, key, item);
    }

    /// Removes a record and its label. Returns false if the record is not held.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let Ok(held) = self.place(key) else { return false };
        self.label(key, false);
        let Some(removed) = self.records.remove(held) else { return false };
        if let Some(items) = self.rest.as_deref_mut().and_then(|rest| rest.items.as_mut()) {
            items.remove(held);
        }
        let value = i128::from(removed.value());
        self.total = self.total.wrapping_sub(value);
        if self.start_of(self.ends.len()) > self.records.len() {
            self.ends.pop_back();
        }
        // The first record of every block after the removed one moves into the block before.
        for block in self.block_of(held)..self.ends.len() {
            let moved = self.start_of(block.saturating_add(1)).checked_sub(1).map_or(0, |last| self.value(last));
            if let Some(end) = self.ends.get_mut(block) {
                *end = end.wrapping_sub(value).wrapping_add(moved);
            }
        }
        self.refresh_blocks(self.block_of(held));
        true
    }

    /// Sets or withdraws a positive label. Returns false if the record is not held.
    pub(crate) fn label(&mut self, key: Key, positive: bool) -> bool {
        let found = self.positives().map_or(Err(0), |positives| positives.binary_search(&key));
        match (found, positive) {
            (Err(place), true) if self.place(key).is_ok() => {
                self.rest.get_or_insert_default().positives.insert(place, key);
            }
            (Ok(place), false) => {
                if let Some(rest) = &mut self.rest {
                    rest.positives.remove(place);
                }
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
        self.reach = after(dropped.at());
        self.forget_before(self.reach);
        true
    }

    /// Frees room that a busier time needed.
    pub(crate) fn shrink(&mut self) {
        if self.records.capacity() > self.records.len().saturating_mul(2) {
            self.records.shrink_to_fit();
            self.ends.shrink_to_fit();
        }
        if let Some(Rest { blocks, items, .. }) = self.rest.as_deref_mut() {
            blocks.iter_mut().for_each(|blocks| blocks.0.shrink_to_fit());
            items.iter_mut().for_each(|items| items.shrink());
        }
        self.rest.take_if(|rest| rest.positives.is_empty() && rest.blocks.is_none() && rest.items.is_none());
    }

    /// The records in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = RestoredRecord> {
        self.records.iter().enumerate().map(|(place, record)| RestoredRecord {
            key: record.key(),
            value: record.value(),
            item: self.items().and_then(|items| items.get(place)),
            positive: self.is_positive(record.key()),
        })
    }

    fn forget_before(&mut self, instant: Timestamp) {
        while self.records.pop_front_if(|record| record.at() < instant).is_some() {
            self.gone = self.gone.saturating_add(1);
            let block_is_gone = usize::from(self.gone) == BLOCK_RECORDS;
            if block_is_gone {
                self.gone = 0;
                self.ends.pop_front();
            }
            if let Some(Rest { blocks, items, .. }) = self.rest.as_deref_mut() {
                items.iter_mut().for_each(|items| items.pop_front());
                if let Some(Blocks(blocks)) = blocks.as_deref_mut().filter(|_| block_is_gone) {
                    blocks.pop_front();
                }
            }
        }
        if let Some(Rest { positives, .. }) = self.rest.as_deref_mut() {
            while positives.pop_front_if(|key| key.at < instant).is_some() {}
            let (oldest, labelled) = (self.records.front().map(|record| record.key()), positives.front());
            debug_assert!(
                labelled.is_none_or(|labelled| oldest.is_some_and(|oldest| oldest <= *labelled)),
                "FEA-1: only records that are held have a label"
            );
        }
    }

    /// The number of records before `instant`. Records come at a fairly even pace, so the search begins where the instant is between the
    /// oldest and the newest; it takes time logarithmic in how far off that is.
    fn count_before(&self, instant: Timestamp) -> usize {
        let (Some(oldest), Some(newest)) = (self.records.front(), self.records.back()) else { return 0 };
        let (oldest, newest) = (oldest.at().ns(), newest.at().ns());
        // Usually the instant is the present, and no record is newer.
        if newest < instant.ns() {
            return self.records.len();
        }
        let Some(elapsed) = instant.ns().checked_sub(oldest).filter(|elapsed| *elapsed > 0) else { return 0 };
        let is_before = |place: usize| self.records.get(place).is_some_and(|record| record.at() < instant);
        // From here on there is a record before the instant, and one that is not: the last.
        let spacing = newest.saturating_sub(oldest).checked_div(self.records.len() as u64).unwrap_or_default().max(1);
        let guess = usize::try_from(elapsed.checked_div(spacing).unwrap_or_default()).unwrap_or_default();
        let guess = guess.min(self.records.len().saturating_sub(1));
        // The record at `low` is before the instant, or `low` is 0; the one at `high` is not.
        let (mut low, mut high, mut step) = (guess, guess, 1_usize);
        if is_before(guess) {
            high = high.saturating_add(step);
            while is_before(high) {
                low = high;
                step = step.saturating_mul(2);
                high = high.saturating_add(step);
            }
            high = high.min(self.records.len());
        } else {
            while low > 0 && !is_before(low) {
                high = low;
                low = low.saturating_sub(step);
                step = step.saturating_mul(2);
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            if is_before(middle) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// Makes room for this many records, and for as many more as the next step of growth.
    pub(crate) fn reserve(&mut self, records: usize) {
        self.records.reserve_exact(records.saturating_add(records >> 3));
        self.ends.reserve_exact(records >> BLOCK_RECORDS.trailing_zeros());
    }

    /// Grows in small steps once there are many records, so that little room is left unused.
    fn make_room(&mut self) {
        let held = self.records.len();
        if held == self.records.capacity() {
            self.records.reserve_exact(1_usize.max(held >> 3));
        }
    }

    /// Returns the position of the record or, as the error, where it belongs. Most records are newer than all others.
    fn place(&self, key: Key) -> Result<usize, usize> {
        match self.records.back() {
            Some(newest) if newest.key() >= key => self.records.binary_search_by_key(&key, |record| record.key()),
            _ => Err(self.records.len()),
        }
    }

    /// The number of the block of the record at `place`; the first block that is held has number 0.
    fn block_of(&self, place: usize) -> usize {
        place.saturating_add(self.gone.into()) >> BLOCK_RECORDS.trailing_zeros()
    }

    /// The place of the first record of a block, or 0 if that record is gone.
    fn start_of(&self, block: usize) -> usize {
        block.saturating_mul(BLOCK_RECORDS).saturating_sub(self.gone.into())
    }

    fn value(&self, place: usize) -> i128 {
        self.records.get(place).map_or(0, |record| record.value().into())
    }

    /// The sum of the records from place `start` to before place `end`.
    fn sum(&self, start: usize, end: usize) -> i128 {
        self.before(end).wrapping_sub(self.before(start))
    }

    /// The sum of all records before the one at `place`, which may be the end.
    fn before(&self, place: usize) -> i128 {
        let block = self.block_of(place);
        let (end, sum) = match self.ends.get(block) {
            Some(sum) => (self.start_of(block.saturating_add(1)), *sum),
            None => (self.records.len(), self.total),
        };
        let rest = self.records.range(place.min(end)..end).map(|record| i128::from(record.value()));
        sum.wrapping_sub(rest.sum())
    }
}
