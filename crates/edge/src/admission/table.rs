//! A map with a bound. Beyond it, all further keys share one value, until idle ones are forgotten.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Table<K, V> {
    known: BTreeMap<K, V>,
    others: V,
    max: usize,
}

impl<K: Ord + Copy, V: Default> Table<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { known: BTreeMap::new(), others: V::default(), max }
    }

    /// The value of a key, which is new if the key is.
    pub(super) fn of(&mut self, key: K) -> &mut V {
        if self.known.len() >= self.max && !self.known.contains_key(&key) {
            return &mut self.others;
        }
        self.known.entry(key).or_default()
    }

    /// The value of a key that was used before.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.known.get(&key)
    }

    /// All values in order of their keys, and last the one that the keys beyond the bound share.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (Option<K>, &mut V)> {
        let known = self.known.iter_mut().map(|(key, value)| (Some(*key), value));
        known.chain(std::iter::once((None, &mut self.others)))
    }

    pub(super) fn forget(&mut self, mut is_idle: impl FnMut(&V) -> bool) {
        self.known.retain(|_, value| !is_idle(value));
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
