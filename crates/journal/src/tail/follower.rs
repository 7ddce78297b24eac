//! Places in the log, and how far they are behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use types::Seq;

use super::{EntryInContext, EntryRun};

/// A place in the log, and the current run of entries. The follower keeps that run in memory, even if the tail has
/// dropped it.
#[derive(Debug)]
pub struct Follower {
    /// The last entry that [`Follower::take`] returned.
    given: Arc<AtomicU64>,
    run: Option<Arc<EntryRun>>,
}

impl Follower {
    /// A follower that starts after the entry `after` and belongs to no group of counted followers.
    pub fn after(after: Seq) -> Self {
        Self { given: Arc::new(AtomicU64::new(after.get())), run: None }
    }

    /// The last entry that it took.
    pub fn given(&self) -> Seq {
        Seq::new(self.given.load(Ordering::Relaxed))
    }

    /// The sequence of the next entry.
    pub fn wanted(&self) -> Seq {
        self.given().next()
    }

    /// Whether the next entry is not in the current run: the caller must call [`Follower::enter`].
    pub fn wants_run(&self) -> bool {
        self.run.as_ref().is_none_or(|run| run.get(self.wanted()).is_none())
    }

    /// Continues in this run.
    ///
    /// # Panics
    /// When the run does not contain the next entry (TAL-1).
    pub fn enter(&mut self, run: Arc<EntryRun>) {
        assert!(
            run.get(self.wanted()).is_some(),
            "TAL-1: expected a run with {}, got {}..={}",
            self.wanted(),
            run.first(),
            run.last()
        );
        self.run = Some(run);
    }

    /// The next entry of the run; `None` when the follower must [enter](Follower::enter) another run.
    pub fn take(&mut self) -> Option<&EntryInContext> {
        let wanted = self.wanted();
        let found = self.run.as_deref()?.get(wanted)?;
        self.given.store(wanted.get(), Ordering::Relaxed);
        Some(found)
    }

    /// Moves to the place after the entry `after`.
    pub fn go_to(&mut self, after: Seq) {
        self.given.store(after.get(), Ordering::Relaxed);
        self.run = None;
    }

    /// The number of entries that it has not taken yet, in a log that is durable up to `durable`.
    pub fn lag_entries(&self, durable: Seq) -> u64 {
        durable.get().saturating_sub(self.given().get())
    }
}

/// Counts followers of one kind and measures how far they are behind. A follower leaves when it is dropped.
#[derive(Debug, Default)]
pub struct Followers(Mutex<Vec<Weak<AtomicU64>>>);

impl Followers {
    /// A new follower that starts after the entry `after`.
    pub fn join(&self, after: Seq) -> Follower {
        let follower = Follower::after(after);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|given| given.strong_count() > 0);
        all.push(Arc::downgrade(&follower.given));
        follower
    }

    /// The number of followers, and the number of entries that the slowest one has not taken yet.
    pub fn lag_entries(&self, durable: Seq) -> (usize, u64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let given = all.iter().filter_map(Weak::upgrade).map(|given| given.load(Ordering::Relaxed));
        given.fold((0, 0), |(count, lag), given| (count + 1, lag.max(durable.get().saturating_sub(given))))
    }
}
