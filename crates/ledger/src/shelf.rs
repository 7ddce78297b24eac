use std::hash::Hash;

use foldhash::fast::RandomState;
use types::Timestamp;

/// Records in order of creation, found by key or by time. Nothing is ever taken off.
#[derive(Debug)]
pub(crate) struct Shelf<K, V> {
    records: Vec<V>,
    places: std::collections::HashMap<K, usize, RandomState>,
}

/// What stands on a [`Shelf`]: each record is later than the one before.
pub(crate) trait Timed {
    fn timestamp(&self) -> Timestamp;
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { records: Vec::new(), places: Default::default() }
    }
}

impl<K: Copy + Eq + Hash, V: Timed> Shelf<K, V> {
    /// Adds a record and says where it stands; `None` when the key is taken.
    pub(crate) fn add(&mut self, key: K, record: V) -> Option<usize> {
        let place = self.records.len();
        if self.places.insert(key, place).is_some() {
            return None;
        }
        self.records.push(record);
        Some(place)
    }

    pub(crate) fn place(&self, key: K) -> Option<usize> {
        self.places.get(&key).copied()
    }

    pub(crate) fn find(&self, key: K) -> Option<&V> {
        self.place(key).map(|place| self.at(place))
    }

    pub(crate) fn at(&self, place: usize) -> &V {
        self.records.get(place).expect("places come from this shelf")
    }

    pub(crate) fn at_mut(&mut self, place: usize) -> &mut V {
        self.records.get_mut(place).expect("places come from this shelf")
    }

    /// Two different records at once.
    pub(crate) fn pair_mut(&mut self, places: [usize; 2]) -> [&mut V; 2] {
        self.records.get_disjoint_mut(places).expect("the places are two and come from this shelf")
    }

    /// Up to `limit` records later than `after`, in order of creation.
    pub(crate) fn page(&self, after: Timestamp, limit: usize) -> Vec<&V> {
        let start = self.records.partition_point(|record| record.timestamp() <= after);
        self.records.iter().skip(start).take(limit).collect()
    }

    /// As [`Shelf::page`], of the records at `places` only, which are in order.
    pub(crate) fn page_of(&self, places: &[usize], after: Timestamp, limit: usize) -> Vec<&V> {
        let start = places.partition_point(|&place| self.at(place).timestamp() <= after);
        places.iter().skip(start).take(limit).map(|&place| self.at(place)).collect()
    }
}
