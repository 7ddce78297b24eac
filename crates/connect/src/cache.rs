//! A bounded cache of rows.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps the values that were used last. It has two halves: a value that is used moves to the young half, and when that is full, it
/// becomes the old half and the values of the old half are dropped.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: HashMap<K, V, foldhash::fast::RandomState>,
    old: HashMap<K, V, foldhash::fast::RandomState>,
    half: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of at most `capacity` values.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), half: capacity.div_ceil(2).max(1) }
    }

    /// Takes a value out. Its user puts it back.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_was_used_last_and_is_bounded() {
        let mut cache = Cache::new(4);
        for number in 0..100 {
            let kept = cache.take(&0).unwrap_or(0);
            cache.put(0, kept);
            cache.put(number + 1, number);
            assert!(cache.len() <= 4, "{} values", cache.len());
        }
        assert_eq!(cache.take(&0), Some(0), "it was used each time");
        assert_eq!(cache.take(&100), Some(99));
        assert_eq!(cache.take(&1), None);
        cache.put(7, 7);
        cache.clear();
        assert_eq!(cache.take(&7), None);
    }
}
