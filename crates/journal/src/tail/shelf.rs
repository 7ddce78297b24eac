//! Keeps the newest runs, within bounds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use types::Seq;

use super::{EntryRun, RunBounds};

/// Runs by their first entry. The oldest arrival is removed first.
#[derive(Debug)]
pub(super) struct Shelf {
    bounds: RunBounds,
    runs: BTreeMap<Seq, Arc<EntryRun>>,
    order: VecDeque<Seq>,
    entries: usize,
    bytes: usize,
}

impl Shelf {
    pub(super) fn new(bounds: RunBounds) -> Self {
        Self { bounds, runs: BTreeMap::new(), order: VecDeque::new(), entries: 0, bytes: 0 }
    }

    /// The run that contains an entry.
    pub(super) fn get(&self, seq: Seq) -> Option<Arc<EntryRun>> {
        let (_, run) = self.runs.range(..=seq).next_back()?;
        (run.last() >= seq).then(|| Arc::clone(run))
    }

    /// The sequence of the newest run's last entry.
    pub(super) fn last(&self) -> Option<Seq> {
        self.runs.last_key_value().map(|(_, run)| run.last())
    }

    /// Adds a run, unless there is already one that begins with the same entry.
    pub(super) fn put(&mut self, run: Arc<EntryRun>) {
        let first = run.first();
        if self.runs.contains_key(&first) {
            return;
        }
        self.entries += run.len();
        self.bytes += run.bytes();
        self.runs.insert(first, run);
        self.order.push_back(first);
        while self.entries > self.bounds.entries || self.bytes > self.bounds.bytes {
            let Some(gone) = self.order.pop_front().and_then(|first| self.runs.remove(&first)) else { return };
            self.entries -= gone.len();
            self.bytes -= gone.bytes();
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
