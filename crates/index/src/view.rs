//! The state that queries and the background thread share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use types::Seq;

use crate::event::IndexUpdate;
use crate::fault::Fault;
use crate::fields::{Choices, Field, FieldTable};
use crate::run::{Run, Waiting};
use crate::terms::Order;

/// A run with its field tables.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) run: Arc<Run>,
    pub(crate) fields: BTreeMap<Field, Arc<FieldTable>>,
}

/// Everything that was published up to one moment. In order: the runs, the generations that wait, and the batches of
/// the current generation.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) runs: Arc<Vec<Listed>>,
    pub(crate) waiting: Vec<Arc<Waiting>>,
    pub(crate) open: Vec<Arc<IndexUpdate>>,
}

/// A batch with at least this many events is not extended.
const BATCH_EVENTS: usize = 8_192;

impl View {
    /// Adds a batch of events. Small batches are combined, so that the list stays short.
    pub(crate) fn publish(&mut self, batch: IndexUpdate) {
        let room = self.open.last_mut().filter(|last| last.len() + batch.len() <= BATCH_EVENTS);
        // If a query holds the last batch, it must not change.
        match room.and_then(Arc::get_mut) {
            Some(last) => last.append(&batch),
            None => self.open.push(Arc::new(batch)),
        }
    }

    /// The batches that are not in tables yet, in order.
    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Arc<IndexUpdate>> {
        self.waiting.iter().flat_map(|waiting| &waiting.batches).chain(&self.open)
    }

    /// The number of the current generation.
    pub(crate) fn next_generation(&self) -> u32 {
        match (self.waiting.last(), self.runs.last()) {
            (Some(waiting), _) => waiting.number + 1,
            (None, Some(listed)) => listed.run.last() + 1,
            (None, None) => 0,
        }
    }

    /// The number of accounts that were open when the current generation began.
    pub(crate) fn accounts(&self) -> u64 {
        match (self.waiting.last(), self.runs.last()) {
            (Some(waiting), _) => waiting.accounts_after(),
            (None, Some(listed)) => listed.run.end().accounts,
            (None, None) => 0,
        }
    }
}

/// The mutable state. Its lock is never held for long.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) view: View,
    pub(crate) choices: Choices,
    /// The payments that are open after everything that was published, by the entries that decided them.
    pub(crate) open_payments: BTreeSet<u64>,
    /// The owner is being dropped.
    pub(crate) stopping: bool,
    /// The background thread has nothing more to do.
    pub(crate) idle: bool,
    /// Why the background thread stopped.
    pub(crate) failed: Option<Fault>,
    /// Why the background thread lacks disk space. It tries again.
    pub(crate) short: Option<String>,
    /// Damage of the log that the background work found. The work has ended; the index itself is intact.
    pub(crate) log_damage: Option<Arc<journal::Fault>>,
    /// Merges wait for disk space, because their inputs are removed only after the output is written.
    pub(crate) merges_wait: bool,
}

/// The lock, and the condition variable that announces changes.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Incremented when the list of runs changes.
    version: AtomicU64,
    /// The number of records that are in finished tables.
    covered: AtomicU64,
    /// The last entry that is in finished tables.
    sealed: AtomicU64,
    /// How many bytes of the disk merges must leave free.
    pub(crate) kept_free: AtomicU64,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Shared::wait`], with a timeout.
    pub(crate) fn wait_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn view(&self) -> View {
        self.lock().view.clone()
    }

    /// The first open payment in order, from the entry `from` on.
    pub(crate) fn open_payment(&self, from: u64, order: Order) -> Option<u64> {
        let open = &self.lock().open_payments;
        match order {
            Order::OldestFirst => open.range(from..).next().copied(),
            Order::NewestFirst => open.range(..=from).next_back().copied(),
        }
    }

    /// Replaces the list of runs.
    pub(crate) fn set_runs(&self, state: &mut State, runs: Vec<Listed>) {
        let end = runs.last().map(|listed| listed.run.end().end());
        state.view.runs = Arc::new(runs);
        self.version.fetch_add(1, Ordering::Release);
        // These stores come last: an engine that forgets what is covered must find it in the new list.
        self.covered.store(end.map_or(0, |end| end.recorded), Ordering::Release);
        self.sealed.store(end.map_or(0, |end| end.last.get()), Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn sealed(&self) -> Seq {
        Seq::new(self.sealed.load(Ordering::Acquire))
    }

    pub(crate) fn covered(&self) -> u64 {
        self.covered.load(Ordering::Acquire)
    }
}

impl State {
    /// Returns a fault if the background thread has stopped.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(why.as_damage().unwrap_or(Fault::Stopped(why.to_string()))))
    }
}
