//! What a connector reports about itself.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use types::{Seq, Timestamp};

use crate::source::Source;

/// The state of a connector, which other threads read.
#[derive(Debug)]
pub struct Status {
    name: String,
    /// What the connector reads. It says how long the journal is, also while the target cannot be reached.
    source: OnceLock<Arc<Source>>,
    shown: Mutex<Shown>,
}

/// A snapshot of the state of a connector.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Shown {
    /// The last entry in the target.
    pub position: u64,
    /// The last entry of the journal, as far as is known.
    pub journal: u64,
    /// Until when the copy has all entries, in nanoseconds since 1970: when the server last said that there are no more, or when the last entry was
    /// decided; 0 if nothing was copied yet.
    pub copied_until_ns: u64,
    /// When the last entry in the target was decided, in nanoseconds since 1970.
    pub decided_at_ns: u64,
    /// Batches that were written since the start.
    pub batches: u64,
    /// Rows or events that were written since the start.
    pub rows: u64,
    /// Rows or events of the last batch.
    pub batch_rows: u64,
    /// How often the target was opened since the start.
    pub opened: u64,
    /// Faults since the start.
    pub faults: u64,
    /// The last fault, until the target is opened again.
    pub fault: Option<String>,
}

impl Shown {
    /// Counts a batch that was written.
    fn count(&mut self, rows: usize) {
        self.batches += 1;
        self.rows += rows as u64;
        self.batch_rows = rows as u64;
        self.fault = None;
    }
}

impl Status {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), source: OnceLock::new(), shown: Mutex::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn shown(&self) -> Shown {
        let mut shown = self.lock().clone();
        if let Some(source) = self.source.get() {
            let arrived = source.arrived();
            shown.journal = arrived.original.unwrap_or(arrived.last).get();
            shown.copied_until_ns = arrived.copied_until.ns();
        }
        shown
    }

    /// Says what the connector reads, once.
    pub(crate) fn reads(&self, source: &Arc<Source>) {
        // A connector is made once.
        let _is_first = self.source.set(Arc::clone(source)).is_ok();
    }

    pub(crate) fn opened(&self, position: Seq) {
        let mut shown = self.lock();
        shown.opened += 1;
        shown.position = position.get();
        shown.fault = None;
    }

    pub(crate) fn wrote(&self, position: Seq, decided_at: Timestamp, rows: usize) {
        let mut shown = self.lock();
        shown.position = position.get();
        shown.decided_at_ns = decided_at.ns();
        shown.count(rows);
    }

    /// Rows of an import were written, which come before the entry that opens it.
    pub(crate) fn opened_rows(&self, rows: usize) {
        self.lock().count(rows);
    }

    /// Notes what is wrong, until something is written.
    pub fn fault(&self, what: &str) {
        let mut shown = self.lock();
        shown.faults += 1;
        shown.fault = Some(what.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
