//! What the steps of a plan changed, and how to take the latest changes back.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// Values that the steps of a plan lay over those of the ledger. Going back takes as long as the steps that it undoes,
/// however many steps come before them.
#[derive(Debug)]
pub(super) struct Overlay<K, V> {
    values: HashMap<K, V, RandomState>,
    /// What each change replaced, in order, with the number of the fact that made the change.
    replaced: Vec<(usize, K, Option<V>)>,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Self { values: HashMap::default(), replaced: Vec::new() }
    }
}

impl<K: Hash + Eq + Clone, V> Overlay<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// Lays a value over the ledger because of the fact with this number. The numbers do not decrease.
    pub(super) fn lay(&mut self, fact: usize, key: K, value: V) {
        let before = self.values.insert(key.clone(), value);
        self.replaced.push((fact, key, before));
    }

    /// Undoes the changes of the fact with this number and of all facts after it.
    pub(super) fn undo_from(&mut self, fact: usize) {
        while let Some((_, key, before)) = self.replaced.pop_if(|(number, ..)| *number >= fact) {
            match before {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Going back gives what was there before, and undoes no more than the changes since then.
        #[test]
        fn going_back_gives_what_was_there(changes: Vec<(u8, u32)>, back in any::<prop::sample::Index>()) {
            let mut overlay = Overlay::default();
            let mut before = vec![HashMap::new()];
            for (fact, (key, value)) in changes.iter().enumerate() {
                overlay.lay(fact, key % 8, *value);
                before.push(overlay.values.iter().map(|(key, value)| (*key, *value)).collect());
            }
            let fact = back.index(before.len());
            overlay.undo_from(fact);
            let now: HashMap<u8, u32> = overlay.values.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(Some(&now), before.get(fact));
            prop_assert_eq!(overlay.replaced.len(), fact);
        }
    }
}
