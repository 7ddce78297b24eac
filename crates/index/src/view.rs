//! What queries and the background thread share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::Batch;
use crate::fault::Fault;
use crate::fields::{Choices, Field, FieldTable};
use crate::run::{Run, Waiting};

/// A run with its tables of chosen fields.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) run: Arc<Run>,
    pub(crate) fields: BTreeMap<Field, Arc<FieldTable>>,
}

/// All that was published, as of one moment. In order: the runs, the generations that wait, the batches of the present
/// generation.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) runs: Arc<Vec<Listed>>,
    pub(crate) waiting: Vec<Arc<Waiting>>,
    pub(crate) open: Vec<Arc<Batch>>,
}

/// Events of a batch from which on it is left as it is.
const BATCH_EVENTS: usize = 8_192;

impl View {
    /// Takes over the events of a batch. Small batches are put together, so that there are few.
    pub(crate) fn publish(&mut self, batch: Batch) {
        let room = self.open.last_mut().filter(|last| last.len() + batch.len() <= BATCH_EVENTS);
        // A query may hold the last one. Then it stays as it is.
        match room.and_then(Arc::get_mut) {
            Some(last) => last.append(&batch),
            None => self.open.push(Arc::new(batch)),
        }
    }

    /// What is not in tables yet, in order.
    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        self.waiting.iter().flat_map(|waiting| &waiting.batches).chain(&self.open)
    }

    /// The number of the present generation.
    pub(crate) fn next_generation(&self) -> u32 {
        match (self.waiting.last(), self.runs.last()) {
            (Some(waiting), _) => waiting.number + 1,
            (None, Some(listed)) => listed.run.last() + 1,
            (None, None) => 0,
        }
    }

    /// Accounts that were open when the present generation began.
    pub(crate) fn accounts(&self) -> u64 {
        match (self.waiting.last(), self.runs.last()) {
            (Some(waiting), _) => waiting.accounts_after(),
            (None, Some(listed)) => listed.run.end().accounts,
            (None, None) => 0,
        }
    }
}

/// What changes, under one lock that nobody holds for long.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) view: View,
    pub(crate) choices: Choices,
    /// The owner is going away.
    pub(crate) stopping: bool,
    /// The background thread found nothing more to do.
    pub(crate) idle: bool,
    /// Why the background thread gave up.
    pub(crate) failed: Option<Fault>,
    /// For what there was no room on the disk; the background thread tries again.
    pub(crate) short: Option<String>,
    /// Damage of the log that the background work met: it ended, and nothing is wrong with the index.
    pub(crate) log_damage: Option<Arc<journal::Fault>>,
    /// Merges wait for room on the disk: what they replace is removed only after they are written.
    pub(crate) merges_wait: bool,
}

/// The lock, and the news of a change.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts the changes of the list of runs.
    version: AtomicU64,
    /// Records that stand in finished tables.
    covered: AtomicU64,
    /// Bytes of the disk that merges leave free.
    pub(crate) kept_free: AtomicU64,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Shared::wait`], for so long at most.
    pub(crate) fn wait_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn view(&self) -> View {
        self.lock().view.clone()
    }

    /// Puts a new list of runs in place.
    pub(crate) fn set_runs(&self, state: &mut State, runs: Vec<Listed>) {
        let covered = runs.last().map_or(0, |listed| listed.run.end().end().recorded);
        state.view.runs = Arc::new(runs);
        self.version.fetch_add(1, Ordering::Release);
        // Last: whoever forgets what is covered looks it up in a list that has it.
        self.covered.store(covered, Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn covered(&self) -> u64 {
        self.covered.load(Ordering::Acquire)
    }
}

impl State {
    /// A fault when the background thread gave up.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(why.as_damage().unwrap_or(Fault::Stopped(why.to_string()))))
    }
}
