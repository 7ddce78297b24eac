//! The values of one list in memory: a slot for each value, and an index from values to slots.
//!
//! A value keeps its slot until it is removed, so that a page of a list continues where the one before it ended, whatever changes
//! in between. The next value that is added takes the slot that became free last. The order of slots depends only on the facts that
//! were applied, so it is the same after a replay.
//!
//! The index is a table of open addressing with linear probing. A bucket has 32 bits of the hash of its value, so a look-up of a
//! value that is not in the list, which nearly every payment is, reads one or two cache lines and no slot.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;
use types::{ActorId, Seq, Timestamp};

/// The number of a slot that is none.
const NONE: u32 = u32::MAX;
/// The buckets of the smallest index.
const BUCKETS_MIN: usize = 16;

/// Why, when and by whom values were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) actor: ActorId,
    pub(super) reason: Arc<str>,
}

/// What values that were added together share, and how many there are.
#[derive(Debug)]
struct Origin {
    added: Added,
    values: u32,
}

/// A slot with its value, or a free one.
#[derive(Debug)]
struct Slot<K> {
    value: K,
    /// The latest time if the value does not expire.
    expires_at: Timestamp,
    /// The place of its origin; [`NONE`] if the slot is free.
    origin: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The lower half of the hash, which also says where the value belongs.
    tag: u32,
    /// [`NONE`] if the bucket is empty.
    slot: u32,
}

const EMPTY: Bucket = Bucket { tag: 0, slot: NONE };

/// The values of a list.
#[derive(Debug)]
pub(super) struct Table<K> {
    slots: Vec<Slot<K>>,
    free: Vec<u32>,
    /// A power of two, or empty. At most three quarters are in use.
    buckets: Vec<Bucket>,
    origins: Vec<Origin>,
    free_origins: Vec<u32>,
    hasher: RandomState,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            buckets: Vec::new(),
            origins: Vec::new(),
            free_origins: Vec::new(),
            hasher: RandomState::default(),
        }
    }
}

/// A value as a table keeps it.
#[derive(Debug)]
pub(super) struct Kept<'a, K> {
    pub(super) value: &'a K,
    /// `None` if it does not expire.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) added: &'a Added,
}

impl<K: Hash + Eq + Default> Table<K> {
    /// The number of values, those that have expired included.
    pub(super) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// The number of slots, free ones included. It only becomes smaller when the last value is removed.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The number of slots after so many new values are added.
    pub(super) fn slots_with(&self, new: usize) -> usize {
        self.slots.len().saturating_add(new.saturating_sub(self.free.len()))
    }

    /// When a value expires, if the table has it. The latest time stands for never.
    pub(super) fn expiry<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<Timestamp>
    where
        K: std::borrow::Borrow<Q>,
    {
        let (_, slot) = self.find(value)?;
        Some(self.slot(slot)?.expires_at)
    }

    /// A value as it is kept.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<Kept<'_, K>>
    where
        K: std::borrow::Borrow<Q>,
    {
        let (_, slot) = self.find(value)?;
        self.kept(self.slot(slot)?)
    }

    /// The values in the slots after `after`, with the numbers of their slots, as far as `slots_max` slots reach; and whether there
    /// are more slots.
    pub(super) fn after(
        &self,
        after: Option<u32>,
        slots_max: usize,
    ) -> (impl Iterator<Item = (u32, Kept<'_, K>)>, Option<u32>) {
        let start = after.map_or(0, |after| (after as usize).saturating_add(1)).min(self.slots.len());
        let end = start.saturating_add(slots_max).min(self.slots.len());
        let slots = self.slots.get(start..end).unwrap_or_default();
        let first = u32::try_from(start).unwrap_or(NONE);
        let found = (first..).zip(slots).filter_map(|(number, slot)| Some((number, self.kept(slot)?)));
        let last = u32::try_from(end.saturating_sub(1)).ok().filter(|_| end < self.slots.len());
        (found, last)
    }

    /// Adds a value, or replaces what is kept of it. `origin` comes from [`Table::begin`].
    pub(super) fn insert(&mut self, value: K, expires_at: Option<Timestamp>, origin: u32) {
        let expires_at = expires_at.unwrap_or(Timestamp::MAX);
        self.count(origin, 1);
        if let Some((_, number)) = self.find(&value) {
            let slot = self.slots.get_mut(number as usize).expect("ENG-42: the index of a list names its slots");
            let before = std::mem::replace(&mut slot.origin, origin);
            slot.expires_at = expires_at;
            self.count(before, -1);
            return;
        }
        self.make_room();
        let tag = self.tag(&value);
        let slot = Slot { value, expires_at, origin };
        let number = match self.free.pop() {
            Some(number) => {
                *self.slots.get_mut(number as usize).expect("ENG-42: a free slot is one of the list") = slot;
                number
            }
            None => {
                let number = u32::try_from(self.slots.len()).ok().filter(|number| *number < NONE);
                self.slots.push(slot);
                number.expect("ENG-42: the number of values is bounded")
            }
        };
        self.place(Bucket { tag, slot: number });
    }

    /// Removes a value. Returns whether there was one.
    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, value: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        let Some((bucket, number)) = self.find(value) else { return false };
        let slot = self.slots.get_mut(number as usize).expect("ENG-42: the index of a list names its slots");
        let origin = std::mem::replace(&mut slot.origin, NONE);
        slot.value = K::default();
        self.free.push(number);
        self.count(origin, -1);
        self.close_gap(bucket);
        if self.len() == 0 {
            // Frees the memory.
            *self = Self::default();
        }
        true
    }

    /// Begins to add values that share this, and returns its place. [`Table::end`] must follow.
    pub(super) fn begin(&mut self, added: Added) -> u32 {
        // It counts as used until the end, so that nothing takes its place while values are replaced.
        let origin = Origin { added, values: 1 };
        match self.free_origins.pop() {
            Some(place) => {
                *self.origins.get_mut(place as usize).expect("ENG-42: a free origin is one of the list") = origin;
                place
            }
            None => {
                let place = u32::try_from(self.origins.len()).ok().filter(|place| *place < NONE);
                self.origins.push(origin);
                place.expect("ENG-42: the number of values is bounded")
            }
        }
    }

    /// Ends what [`Table::begin`] began.
    pub(super) fn end(&mut self, origin: u32) {
        self.count(origin, -1);
    }

    /// Changes how many values have an origin. Without any, its place is free.
    fn count(&mut self, place: u32, change: i32) {
        let origin = self.origins.get_mut(place as usize).expect("ENG-42: a value of a list has an origin");
        origin.values = origin.values.checked_add_signed(change).expect("ENG-42: the values of an origin are counted");
        if origin.values == 0 {
            origin.added.reason = Arc::from("");
            self.free_origins.push(place);
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot<K>> {
        self.slots.get(number as usize)
    }

    fn kept<'a>(&'a self, slot: &'a Slot<K>) -> Option<Kept<'a, K>> {
        let origin = self.origins.get(slot.origin as usize)?;
        let expires_at = Some(slot.expires_at).filter(|at| *at != Timestamp::MAX);
        Some(Kept { value: &slot.value, expires_at, added: &origin.added })
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn tag<Q: Hash + ?Sized>(&self, value: &Q) -> u32 {
        self.hasher.hash_one(value) as u32
    }

    fn mask(&self) -> usize {
        self.buckets.len().wrapping_sub(1)
    }

    fn bucket(&self, at: usize) -> Bucket {
        self.buckets.get(at).copied().unwrap_or(EMPTY)
    }

    /// The bucket and the slot of a value.
    fn find<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<(usize, u32)>
    where
        K: std::borrow::Borrow<Q>,
    {
        if self.buckets.is_empty() {
            return None;
        }
        let (tag, mask) = (self.tag(value), self.mask());
        let mut at = tag as usize & mask;
        loop {
            let bucket = self.bucket(at);
            if bucket.slot == NONE {
                return None;
            }
            if bucket.tag == tag && self.slot(bucket.slot).is_some_and(|slot| slot.value.borrow() == value) {
                return Some((at, bucket.slot));
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Puts a bucket into the first empty place from where it belongs. There is one.
    fn place(&mut self, bucket: Bucket) {
        let mask = self.mask();
        let mut at = bucket.tag as usize & mask;
        while self.bucket(at).slot != NONE {
            at = at.wrapping_add(1) & mask;
        }
        if let Some(empty) = self.buckets.get_mut(at) {
            *empty = bucket;
        }
    }

    /// Makes the index larger if another value would fill more than three quarters of it.
    fn make_room(&mut self) {
        let needed = self.len().saturating_add(1).saturating_mul(4);
        if needed <= self.buckets.len().saturating_mul(3) {
            return;
        }
        let size = self.buckets.len().saturating_mul(2).max(BUCKETS_MIN);
        let before = std::mem::replace(&mut self.buckets, vec![EMPTY; size]);
        for bucket in before.into_iter().filter(|bucket| bucket.slot != NONE) {
            self.place(bucket);
        }
    }

    /// Empties a bucket, and moves those after it so that no search ends too early.
    fn close_gap(&mut self, gap: usize) {
        let mask = self.mask();
        let (mut gap, mut at) = (gap, gap);
        loop {
            at = at.wrapping_add(1) & mask;
            let bucket = self.bucket(at);
            if bucket.slot == NONE {
                break;
            }
            // How far the bucket is from where it belongs, and how far the gap is from the bucket.
            let from_home = at.wrapping_sub(bucket.tag as usize) & mask;
            let from_gap = at.wrapping_sub(gap) & mask;
            if from_home >= from_gap {
                if let Some(place) = self.buckets.get_mut(gap) {
                    *place = bucket;
                }
                gap = at;
            }
        }
        if let Some(place) = self.buckets.get_mut(gap) {
            *place = EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(table: &mut Table<Box<str>>, values: std::ops::Range<u32>) {
        let added = Added { seq: Seq::new(1), at: Timestamp::ZERO, actor: ActorId::SYSTEM, reason: "a file".into() };
        let origin = table.begin(added);
        for value in values {
            table.insert(value.to_string().into(), None, origin);
        }
        table.end(origin);
    }

    #[test]
    fn places_are_used_again_and_given_back_with_the_last_value() {
        let mut table = Table::default();
        add(&mut table, 0..1_000);
        for value in 0..600 {
            assert!(table.remove(value.to_string().as_str()));
        }
        assert_eq!((table.len(), table.slots()), (400, 1_000));
        assert_eq!([0, 600, 601, 1_000].map(|new| table.slots_with(new)), [1_000, 1_000, 1_001, 1_400]);
        add(&mut table, 2_000..2_700);
        assert_eq!((table.len(), table.slots()), (1_100, 1_100));
        for value in (600..1_000).chain(2_000..2_700) {
            assert!(table.remove(value.to_string().as_str()), "{value}");
        }
        assert_eq!((table.len(), table.slots(), table.buckets.len(), table.origins.len()), (0, 0, 0, 0));
        add(&mut table, 0..3);
        assert_eq!((table.len(), table.expiry("2"), table.expiry("3")), (3, Some(Timestamp::MAX), None));
    }
}
