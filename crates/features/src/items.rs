//! What each record of an entity is about besides its value, for distinct counts.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use types::Timestamp;

/// Stands for the value that a record remembers besides its number: of another entity, or of an attribute. Two values have the same
/// item only by chance, with a probability of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item(NonZeroU64);

impl Item {
    /// `None` for 0, which is no item.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// The items of an entity's records, in the order of the records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Items {
    /// The item of each record, or 0 for none.
    items: VecDeque<u64>,
    /// For each record, one more than the instant of the record before it that has the same item, or 0 if there is none. A record is
    /// the first of its item in a window if that record is before the window. [`NO_ITEM`] if it has no item.
    before: VecDeque<u64>,
}

const NO_ITEM: u64 = u64::MAX;

impl Items {
    /// The items of `records` records that have none.
    pub(crate) fn none(records: usize) -> Self {
        let all = |value| std::iter::repeat_n(value, records).collect();
        Self { items: all(0), before: all(NO_ITEM) }
    }

    pub(crate) fn get(&self, place: usize) -> Option<Item> {
        self.items.get(place).copied().and_then(Item::new)
    }

    /// Adds the item of a record that was inserted at `place`, at the instant `at`. `instant_of` tells the instant of each record.
    pub(crate) fn insert(
        &mut self,
        place: usize,
        (item, at): (Option<Item>, Timestamp),
        instant_of: impl Fn(usize) -> Option<Timestamp>,
    ) {
        let number = item.map_or(0, Item::get);
        let before = item.map_or(NO_ITEM, |item| {
            self.newest(0, place, item).and_then(instant_of).map_or(0, |at| at.ns().saturating_add(1))
        });
        self.items.insert(place, number);
        self.before.insert(place, before);
        self.link_next(place, item, at.ns().saturating_add(1));
    }

    /// Removes the item of a record.
    pub(crate) fn remove(&mut self, place: usize) {
        let (item, before) = (self.get(place), self.before.get(place).copied());
        if let Some(before) = before {
            self.link_next(place, item, before);
            self.items.remove(place);
            self.before.remove(place);
        }
    }

    pub(crate) fn pop_front(&mut self) {
        self.items.pop_front();
        self.before.pop_front();
    }

    pub(crate) fn shrink(&mut self) {
        self.items.shrink_to_fit();
        self.before.shrink_to_fit();
    }

    /// Sets what precedes the next record after `place` that has the same item.
    fn link_next(&mut self, place: usize, item: Option<Item>, before: u64) {
        let Some(item) = item else { return };
        let mut after = self.items.range(place.saturating_add(1)..);
        if let Some(distance) = after.position(|known| *known == item.get())
            && let Some(next) = self.before.get_mut(place.saturating_add(1).saturating_add(distance))
        {
            *next = before;
        }
    }

    /// The place of the newest of the records from place `start` to before place `end` that has this item.
    pub(crate) fn newest(&self, start: usize, end: usize, item: Item) -> Option<usize> {
        let distance = self.items.range(start.min(end)..end).rev().position(|known| *known == item.get())?;
        end.checked_sub(distance)?.checked_sub(1)
    }

    /// The number of different items of the records from place `start` to before place `end`, which are all of those from the instant
    /// `first` on, without the record at the place `without`.
    pub(crate) fn distinct(&self, (start, end): (usize, usize), first: Timestamp, without: Option<usize>) -> u64 {
        let is_first = |before: &u64| *before <= first.ns();
        let found = self.before.range(start.min(end)..end).filter(|before| is_first(before)).count() as u64;
        // If the record that is left out is the first of its item, the next one with this item takes its place.
        let lost = without.is_some_and(|place| {
            self.before.get(place).is_some_and(is_first)
                && self.get(place).is_some_and(|item| self.newest(place.saturating_add(1), end, item).is_none())
        });
        found.saturating_sub(lost.into())
    }
}
