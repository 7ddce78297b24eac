//! Feeds one target from a source.

use std::sync::Arc;
use std::time::Duration;

use engine::Fact;
use journal::{Decoded, EntryInContext, EntryRun};
use ledger::{ImportNumber, ImportState};
use types::Seq;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::fold::Fold;
use crate::source::{Source, SourceError};
use crate::status::Status;
use crate::stop::Stop;
use crate::target::{Fault, Needs, Target};

/// How long a connector waits for entries before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(200);
/// The first pause after a fault. Each further one is twice as long, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a connector works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Entries in a batch, if there are as many.
    pub batch_entries: usize,
    /// Whether to end at the first fault that lasts. Otherwise the connector tries for ever.
    pub once: bool,
    /// The entry with which to end; `None` to go on for ever.
    pub until: Option<Seq>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_entries: 16_384, once: false, until: None }
    }
}

/// Why a connector ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Another connector took the target over.
    #[error(transparent)]
    Target(Fault),
    /// The copy cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target was to be compared with the journal, but it keeps events.
    #[error("the target keeps events, and only rows can be compared with the journal")]
    NotRows,
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Target(fault)
    }
}

/// Feeds one target.
#[derive(Debug)]
pub struct Connector<T> {
    source: Arc<Source>,
    target: T,
    settings: Settings,
    status: Arc<Status>,
    stop: Arc<Stop>,
    fold: Fold,
}

impl<T: Target> Connector<T> {
    pub fn new(source: Arc<Source>, target: T, settings: Settings, status: Arc<Status>, stop: Arc<Stop>) -> Self {
        let fold = Fold::new(!target.is_atomic(), target.needs() == Needs::Rows);
        Self { source, target, settings, status, stop, fold }
    }

    /// Works until it is stopped, until the target has everything and no more entries will arrive, or until another connector takes the
    /// target over.
    ///
    /// # Errors
    /// When the target was taken over or the copy cannot be read, and with `once` also when the target fails for longer than a minute.
    pub fn run(mut self) -> Result<(), Ended> {
        let mut pause = PAUSE_MIN;
        while !self.is_stopped() {
            let batches = self.status.shown().batches;
            let fault = match self.connected() {
                Ok(()) => return Ok(()),
                Err(Ended::Target(fault)) => fault,
                Err(ended) => {
                    self.status.fault(&ended.to_string());
                    return Err(ended);
                }
            };
            self.fold.forget();
            self.status.fault(&fault.to_string());
            if self.status.shown().batches != batches {
                pause = PAUSE_MIN;
            }
            match fault {
                Fault::Fenced => return Err(fault.into()),
                Fault::Moved { .. } | Fault::Unreachable(_) | Fault::Refused(_) | Fault::Contradicts(_) => {
                    let lasts = pause >= PAUSE_MAX || matches!(fault, Fault::Contradicts(_));
                    if self.settings.once && lasts {
                        return Err(fault.into());
                    }
                    tracing::warn!(target = self.status.name(), %fault, pause_s = pause.as_secs_f64(), "trying again");
                    self.stop.pause(pause);
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Works with the target until it fails or everything is done.
    fn connected(&mut self) -> Result<(), Ended> {
        let mut cursor = self.target.open()?;
        self.check(&cursor)?;
        self.status.opened(cursor.position);
        while !self.is_stopped() && self.settings.until != Some(cursor.position) {
            let arrived = self.source.wait_after(cursor.position, WAIT);
            self.status.arrived(arrived);
            if arrived.last > cursor.position {
                let last = self.settings.until.map_or(arrived.last, |until| until.min(arrived.last));
                cursor = self.step(&cursor, last)?;
            } else if arrived.is_over {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Refuses a target whose entries are not those of the source.
    fn check(&self, cursor: &Cursor) -> Result<(), Ended> {
        // A copy that was begun anew has to catch up first.
        let mut arrived = self.source.arrived();
        while arrived.last < cursor.position {
            if self.is_stopped() {
                return Ok(());
            }
            let ends = arrived.is_over || arrived.original.is_some_and(|original| arrived.last >= original);
            if ends {
                let (there, here) = (cursor.position, arrived.last);
                let what = format!("it holds the entries up to {there}, but the journal ends with entry {here}");
                return Err(Fault::Contradicts(what).into());
            }
            arrived = self.source.wait_after(arrived.last, WAIT);
        }
        if self.source.root_at(cursor.position)? != Some(cursor.root) {
            let what = format!("its first {} entries are those of another history", cursor.position);
            return Err(Fault::Contradicts(what).into());
        }
        Ok(())
    }

    /// Writes one batch and returns the new cursor.
    fn step(&mut self, cursor: &Cursor, last: Seq) -> Result<Cursor, Ended> {
        let read = self.source.read(cursor.position.next(), self.settings.batch_entries)?;
        let entries = between(&read, cursor.position.next(), last);
        if let Needs::Events = self.target.needs() {
            let runs = read.runs.clone();
            return self.write(cursor, &entries, |last| Ok(Batch { last, runs, ..Batch::default() }));
        }
        // An import is opened in batches of its own, which come before the entry that opens it.
        let opening = entries.iter().position(|item| opens(item).is_some());
        match (opening, entries.first().and_then(|item| opens(item))) {
            (Some(0), Some(import)) => {
                let opener = cursor.position.next();
                if let Some(next) = self.open_import(cursor, import, opener)? {
                    return Ok(next);
                }
                self.write_rows(cursor, entries.get(..1).unwrap_or_default())
            }
            (Some(place), _) => self.write_rows(cursor, entries.get(..place).unwrap_or_default()),
            (None, _) => self.write_rows(cursor, &entries),
        }
    }

    fn write_rows(&mut self, cursor: &Cursor, entries: &[&EntryInContext]) -> Result<Cursor, Ended> {
        let rows = {
            let Self { fold, target, .. } = self;
            match fold.fold(entries, &mut |wanted| target.load(wanted)) {
                // Rows that another connector wrote meanwhile, or that were restored, contradict what this one knows.
                Err(Fault::Contradicts(what)) => {
                    target.confirm(cursor)?;
                    return Err(Fault::Contradicts(what).into());
                }
                folded => folded?,
            }
        };
        self.write(cursor, entries, |last| Ok(Batch { last, rows, ..Batch::default() }))
    }

    fn write(
        &mut self,
        cursor: &Cursor,
        entries: &[&EntryInContext],
        batch: impl FnOnce(Seq) -> Result<Batch, Ended>,
    ) -> Result<Cursor, Ended> {
        let Some(newest) = entries.last() else { return Ok(*cursor) };
        let last = newest.entry.header.seq;
        let batch = Batch { first: cursor.position.next(), ..batch(last)? };
        let root = self.source.root_at(last)?.unwrap_or_else(proof::root_of_nothing);
        let after = Cursor { origin: self.source.origin_at(last), position: last, root, opening: None };
        self.target.write(&batch, cursor, &after)?;
        self.status.wrote(last, newest.entry.header.decided_at, batch.rows.len().max(entries.len()));
        Ok(after)
    }

    /// Writes some rows of an import that the entry `opener` opens; `None` if all are there.
    fn open_import(&mut self, cursor: &Cursor, import: ImportNumber, opener: Seq) -> Result<Option<Cursor>, Ended> {
        let started = self.source.import_started(import).unwrap_or(Seq::new(1));
        let from = cursor.opening.map_or(started, Seq::next).max(started);
        if from >= opener {
            return Ok(None);
        }
        let read = self.source.read(from, self.settings.batch_entries)?;
        let entries = between(&read, from, Seq::new(opener.get() - 1));
        let Some(last) = entries.last().map(|item| item.entry.header.seq) else { return Ok(None) };
        let rows = {
            let Self { fold, target, .. } = self;
            fold.open(import, &entries, &mut |wanted| target.load(wanted))?
        };
        let after = Cursor { opening: Some(last), ..*cursor };
        let batch = Batch { first: cursor.position.next(), last: cursor.position, rows, ..Batch::default() };
        self.target.write(&batch, cursor, &after)?;
        self.status.opened_rows(batch.rows.len());
        Ok(Some(after))
    }
}

/// The entries from one sequence to another, both included.
fn between(read: &Decoded, from: Seq, to: Seq) -> Vec<&EntryInContext> {
    let of_run = |run: &'_ Arc<EntryRun>| (run.first().max(from).get(), run.last().min(to).get());
    let runs = read.runs.iter().map(|run| (run, of_run(run)));
    runs.flat_map(|(run, (first, last))| (first..=last).filter_map(|seq| run.get(Seq::new(seq)))).collect()
}

/// The import that an entry opens.
fn opens(item: &EntryInContext) -> Option<ImportNumber> {
    if let Fact::Ledger(ledger::Fact::ImportNoted { import, state: ImportState::Opened, .. }) = &item.entry.fact {
        Some(*import)
    } else {
        None
    }
}
