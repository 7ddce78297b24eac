//! Feeds one target from a source.

use std::sync::Arc;
use std::time::Duration;

use engine::Fact;
use journal::{Decoded, EntryInContext, EntryRun};
use ledger::{ImportNumber, ImportState};
use types::Seq;

use crate::batch::{Batch, Opening};
use crate::cursor::Cursor;
use crate::filter::Filter;
use crate::fold::Fold;
use crate::source::{Arrived, Source, SourceError};
use crate::status::Status;
use crate::stop::Stop;
use crate::target::{Fault, Needs, Target};

/// How long a connector waits for entries before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(200);
/// The first pause after a fault. Each further one is twice as long, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a connector works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Entries in a batch, if there are as many.
    pub batch_entries: usize,
    /// Whether to end at the first fault that lasts. Otherwise the connector tries for ever.
    pub once: bool,
    /// The entry with which to end; `None` to go on for ever.
    pub until: Option<Seq>,
    /// The entry with which to begin if the target is empty; `None` for the first one. Only for targets that keep events.
    pub from: Option<Seq>,
    /// What the target is limited to. Only for targets that keep rows.
    pub filter: Arc<Filter>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_entries: 16_384, once: false, until: None, from: None, filter: Arc::default() }
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
        status.reads(&source);
        let filter = Arc::clone(&settings.filter);
        let fold = Fold::new(!target.is_atomic(), target.needs() == Needs::Rows, filter);
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
        // Before the target is taken over from another connector.
        if !matches!(self.target.needs(), Needs::Rows | Needs::Balances) && *self.settings.filter != Filter::default() {
            let what = "`ledgers`, `payment_types` and `without` are only for targets that keep rows which change";
            return Err(Fault::Refused(what.to_owned()).into());
        }
        if self.settings.from.is_some() && self.target.needs() != Needs::Events {
            let what = "`from` is only for targets that keep events; rows need all entries from the first one on";
            return Err(Fault::Refused(what.to_owned()).into());
        }
        let mut cursor = self.target.open()?;
        if let Some(from) = self.settings.from
            && cursor == Cursor::start()
        {
            cursor = self.skip_to(from)?;
        }
        self.check(&cursor)?;
        self.status.opened(cursor.position);
        let mut waited = Duration::ZERO;
        while !self.is_stopped() && self.settings.until != Some(cursor.position) {
            let arrived = self.source.wait_after(cursor.position, WAIT);
            if arrived.last > cursor.position {
                let last = self.settings.until.map_or(arrived.last, |until| until.min(arrived.last));
                if self.is_due(&cursor, arrived, waited)? {
                    cursor = self.step(&cursor, last)?;
                    waited = Duration::ZERO;
                } else {
                    self.stop.pause(WAIT);
                    waited = waited.saturating_add(WAIT);
                }
            } else if arrived.is_over {
                return Ok(());
            } else {
                self.target.idle()?;
            }
        }
        Ok(())
    }

    /// The cursor of an empty target that begins with a later entry.
    fn skip_to(&self, from: Seq) -> Result<Cursor, Ended> {
        let Some(position) = from.get().checked_sub(1).filter(|position| *position > 0).map(Seq::new) else {
            return Ok(Cursor::start());
        };
        // The entry before the first one has to be in the copy.
        let mut arrived = self.source.arrived();
        while arrived.last < position && !arrived.is_over && !self.is_stopped() {
            arrived = self.source.wait_after(arrived.last, WAIT);
        }
        let Some(root) = self.source.root_at(position)? else {
            let what = format!("`from` names the entry {from}, but the journal ends with entry {}", arrived.last);
            return Err(Fault::Refused(what).into());
        };
        Ok(Cursor { origin: self.source.origin_at(position), position, root, opening: None })
    }

    /// Whether to write what has arrived, instead of waiting until the batch is full.
    fn is_due(&self, cursor: &Cursor, arrived: Arrived, waited: Duration) -> Result<bool, Ended> {
        if let Some(agreed) = self.target.agreed() {
            let is_there = agreed.position.max(agreed.opening.unwrap_or_default()) <= arrived.last;
            if !is_there && arrived.is_over {
                let (there, here) = (agreed.position, arrived.last);
                let what = format!("a batch up to entry {there} was begun, but the journal ends with entry {here}");
                return Err(Fault::Contradicts(what).into());
            }
            return Ok(is_there);
        }
        // An import that is being opened is there already, and its batches need no more entries.
        if arrived.is_over || cursor.opening.is_some() || waited >= self.target.wait_max() {
            return Ok(true);
        }
        if self.target.needs() == Needs::Bytes {
            return Ok(self.source.end_of_segment(cursor.position)?.is_some_and(|last| last <= arrived.last));
        }
        Ok(arrived.last.get() - cursor.position.get() >= self.settings.batch_entries as u64)
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
        let agreed = self.target.agreed().filter(|agreed| agreed.opening.is_none()).map(|agreed| agreed.position);
        let last = agreed.map_or(last, |agreed| agreed.min(last));
        if self.target.needs() == Needs::Bytes {
            return self.write_part(cursor, last);
        }
        let enough = agreed.map_or(self.settings.batch_entries, |agreed| entries_between(cursor.position, agreed));
        let read = self.source.read(cursor.position.next(), enough)?;
        let entries = between(&read, cursor.position.next(), last);
        if let Needs::Events = self.target.needs() {
            return self.write_entries(cursor, &entries, &read);
        }
        // An import is opened in batches of its own, which come before the entry that opens it.
        let opening = entries.iter().position(|item| opens(item).is_some());
        match (opening, entries.first().and_then(|item| opens(item))) {
            (Some(0), Some(import)) => {
                let opener = cursor.position.next();
                if let Some(next) = self.open_import(cursor, import, opener)? {
                    return Ok(next);
                }
                self.write_rows_or_entries(cursor, entries.get(..1).unwrap_or_default(), &read)
            }
            (Some(place), _) => self.write_rows_or_entries(cursor, entries.get(..place).unwrap_or_default(), &read),
            (None, _) => self.write_rows_or_entries(cursor, &entries, &read),
        }
    }

    fn write_rows_or_entries(
        &mut self,
        cursor: &Cursor,
        entries: &[&EntryInContext],
        read: &Decoded,
    ) -> Result<Cursor, Ended> {
        if self.target.needs() == Needs::History {
            self.write_entries(cursor, entries, read)
        } else {
            self.write_rows(cursor, entries)
        }
    }

    fn write_entries(&mut self, cursor: &Cursor, entries: &[&EntryInContext], read: &Decoded) -> Result<Cursor, Ended> {
        self.write(cursor, entries, |last| Ok(Batch { last, runs: read.runs.clone(), ..Batch::default() }))
    }

    /// Writes the bytes of the next part of a segment.
    fn write_part(&mut self, cursor: &Cursor, last: Seq) -> Result<Cursor, Ended> {
        let Some(part) = self.source.part(cursor.position, Some(last))? else { return Ok(*cursor) };
        let (last, decided_at) = (part.last, part.decided_at);
        let count = entries_between(cursor.position, last);
        let first = cursor.position.next();
        let batch = Batch { first, last, part: Some(Arc::new(part)), ..Batch::default() };
        let after = self.after(last)?;
        self.target.write(&batch, cursor, &after)?;
        self.status.wrote(last, decided_at, count);
        Ok(after)
    }

    /// The cursor after an entry.
    fn after(&self, last: Seq) -> Result<Cursor, Ended> {
        let root = self.source.root_at(last)?.unwrap_or_else(proof::root_of_nothing);
        Ok(Cursor { origin: self.source.origin_at(last), position: last, root, opening: None })
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
        let after = self.after(last)?;
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
        let agreed = self.target.agreed().and_then(|agreed| agreed.opening);
        let enough = agreed.map_or(self.settings.batch_entries, |agreed| 1 + entries_between(from, agreed));
        let read = self.source.read(from, enough)?;
        let until = Seq::new(opener.get() - 1);
        let entries = between(&read, from, agreed.map_or(until, |agreed| agreed.min(until)));
        let Some(last) = entries.last().map(|item| item.entry.header.seq) else { return Ok(None) };
        let after = Cursor { opening: Some(last), ..*cursor };
        let batch = Batch { first: opener, last: cursor.position, ..Batch::default() };
        if self.target.needs() == Needs::History {
            let opening = Some(Opening { import, first: from, last });
            self.target.write(&Batch { runs: read.runs.clone(), opening, ..batch }, cursor, &after)?;
            self.status.opened_rows(entries.len());
            return Ok(Some(after));
        }
        let rows = {
            let Self { fold, target, .. } = self;
            fold.open(import, &entries, &mut |wanted| target.load(wanted))?
        };
        let batch = Batch { rows, ..batch };
        self.target.write(&batch, cursor, &after)?;
        self.status.opened_rows(batch.rows.len());
        Ok(Some(after))
    }
}

/// How many entries there are after one and up to another.
fn entries_between(after: Seq, last: Seq) -> usize {
    usize::try_from(last.get().saturating_sub(after.get())).unwrap_or(usize::MAX)
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
