//! Places in the log, and how far behind they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use types::Seq;

use super::{EntryInContext, EntryRun};

/// A place in the log, and the run of entries it is in. It keeps that run alive, whoever else forgot it.
#[derive(Debug)]
pub struct Follower {
    /// The last entry that it was given.
    given: Arc<AtomicU64>,
    run: Option<Arc<EntryRun>>,
}

impl Follower {
    /// A follower that goes on after the entry `after`, and that nobody counts.
    pub fn after(after: Seq) -> Self {
        Self { given: Arc::new(AtomicU64::new(after.get())), run: None }
    }

    /// The last entry that it was given.
    pub fn given(&self) -> Seq {
        Seq::new(self.given.load(Ordering::Relaxed))
    }

    /// The entry that comes next.
    pub fn wanted(&self) -> Seq {
        self.given().next()
    }

    /// Whether the next entry is in no run that it has: [`Follower::enter`] is due.
    pub fn wants_run(&self) -> bool {
        self.run.as_ref().is_none_or(|run| run.get(self.wanted()).is_none())
    }

    /// Goes on in this run.
    ///
    /// # Panics
    /// When the run does not hold the entry that comes next (TAL-1).
    pub fn enter(&mut self, run: Arc<EntryRun>) {
        assert!(
            run.get(self.wanted()).is_some(),
            "TAL-1: {} is wanted, {}..={} came",
            self.wanted(),
            run.first(),
            run.last()
        );
        self.run = Some(run);
    }

    /// The next entry of the run; `None` when [another](Follower::enter) is due.
    pub fn take(&mut self) -> Option<&EntryInContext> {
        let wanted = self.wanted();
        let found = self.run.as_deref()?.get(wanted)?;
        self.given.store(wanted.get(), Ordering::Relaxed);
        Some(found)
    }

    /// Goes on after the entry `after`, wherever it was.
    pub fn go_to(&mut self, after: Seq) {
        self.given.store(after.get(), Ordering::Relaxed);
        self.run = None;
    }

    /// How many entries it was not given yet, of a log that is durable up to `durable`.
    pub fn lag_entries(&self, durable: Seq) -> u64 {
        durable.get().saturating_sub(self.given().get())
    }
}

/// Followers of one kind, to say how far they are behind. Dropping a follower takes it out.
#[derive(Debug, Default)]
pub struct Followers(Mutex<Vec<Weak<AtomicU64>>>);

impl Followers {
    /// A new follower that goes on after the entry `after`.
    pub fn join(&self, after: Seq) -> Follower {
        let follower = Follower::after(after);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|given| given.strong_count() > 0);
        all.push(Arc::downgrade(&follower.given));
        follower
    }

    /// How many there are, and how many entries the last of them was not given yet.
    pub fn lag_entries(&self, durable: Seq) -> (usize, u64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let given = all.iter().filter_map(Weak::upgrade).map(|given| given.load(Ordering::Relaxed));
        given.fold((0, 0), |(count, lag), given| (count + 1, lag.max(durable.get().saturating_sub(given))))
    }
}
