//! Tracks how far remote copies of the journal have come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use types::{ActorId, CredentialId, Seq};

use crate::clock::Stopwatch;

/// How long a copy counts after its last request. A copy that waits for more asks again within 30 s.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// Who keeps a copy: a principal and its API key, or `None` if it uses access tokens.
pub(crate) type Keeper = (ActorId, Option<CredentialId>);

/// The last entry that each copy contains, by who keeps it. Copies of one keeper count as one.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<BTreeMap<Keeper, (Seq, Stopwatch)>>);

impl Copies {
    /// Records that a copy contains everything up to the entry `held`.
    pub(super) fn note(&self, by: Keeper, held: Seq) {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|_, (_, seen)| seen.elapsed() < COUNTS_FOR);
        copies.insert(by, (held, Stopwatch::start()));
    }

    /// How many copies there are, and how many durable entries the slowest is behind.
    pub(super) fn lag_entries(&self, durable: Seq) -> (usize, u64) {
        let copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = copies.values().filter(|(_, seen)| seen.elapsed() < COUNTS_FOR).map(|(held, _)| held.get());
        held.fold((0, 0), |(count, lag), held| (count + 1, lag.max(durable.get().saturating_sub(held))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_copies_with_keys_of_one_principal_are_two() {
        let copies = Copies::default();
        let keeper = |key| (ActorId::new(1), Some(CredentialId::new(key)));
        copies.note(keeper(1), Seq::new(4));
        copies.note(keeper(2), Seq::new(9));
        copies.note(keeper(2), Seq::new(10));
        assert_eq!(copies.lag_entries(Seq::new(10)), (2, 6));
    }
}
