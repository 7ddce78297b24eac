//! Rebuilds the engine's state: restores what is in the index, then replays the entries after it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use disk::Disk;
use engine::{Engine, Entry};
use index::{Index, Restored, WindowEntity};
use journal::{DurableLog as _, Fault, FileJournal, FileReader, Layout, Position, Recovered, StartAt};
use ledger::{RestoredFrom, Transfer, TransferKey};
use pipeline::Notes;
use types::{Origin, Seq, ShardId, TenantId, Timestamp, TransferId};

/// Everything that exists once the journal has been read.
#[derive(Debug)]
pub struct Started<D: Disk> {
    /// The engine, at the last entry. Its policy has not been staged yet.
    pub engine: Engine,
    /// The journal, ready to append the next frame.
    pub journal: FileJournal<D>,
    /// What the journal contained.
    pub recovered: Recovered,
    /// The index, up to date with the journal.
    pub index: Index,
    /// The notes for [`pipeline::Decider::new`].
    pub notes: Notes,
}

/// Which data directory to read and how to continue it. Nothing here affects decisions.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The layout of the journal's segment files.
    pub layout: Layout,
    /// The shard of the journal.
    pub shard: ShardId,
    /// The tenant of the entries.
    pub tenant: TenantId,
    /// How often digests and generations end.
    pub pace: Pace,
    /// The history and the number of entries that the last signed checkpoint covers.
    pub signed: Option<(Origin, Seq)>,
}

/// How often the journal contains a digest and the index ends a generation, and which thread writes the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The intervals of production, with a background thread for the index.
    Standard,
    /// The given intervals, without a thread: the owner of the index runs its background work. Simulations use this to
    /// control the order of events.
    Stepped {
        /// The number of entries from one digest to the next.
        digest_entries: u64,
        /// The number of entries in a generation, which ends with a digest.
        generation_entries: u64,
    },
}

impl Pace {
    fn engine(self, shard: ShardId, tenant: TenantId) -> Engine {
        let engine = Engine::new(shard, tenant);
        match self {
            Self::Standard => engine,
            Self::Stepped { digest_entries, .. } => engine.with_digest_interval(digest_entries),
        }
    }

    fn notes(self, sealed: Seq) -> Notes {
        let notes = Notes::new(sealed);
        match self {
            Self::Standard => notes,
            Self::Stepped { generation_entries, .. } => notes.with_generations_of(generation_entries),
        }
    }

    fn index<D: Disk, I: Disk>(
        self,
        disk: &I,
        origin: Origin,
        reader: FileReader<D>,
    ) -> Result<(Index, Restored), index::Fault> {
        match self {
            Self::Standard => Index::open(disk, origin, Log(reader)),
            Self::Stepped { .. } => Index::open_in_place(disk, origin, Log(reader)),
        }
    }
}

/// Why the journal and its index cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The journal cannot be read or continued.
    #[error("cannot open the journal: {0}")]
    Journal(#[from] Fault),
    /// The index cannot be written. Its previous content does not matter.
    #[error("cannot write the index: {0}")]
    Index(#[from] index::Fault),
}

/// Opens the journal and the index. An index that is damaged or does not match the journal is removed and rebuilt.
///
/// # Errors
/// Fails if the journal is damaged, or if a disk reports an error.
pub fn recover<D: Disk, I: Disk>(
    directory: &D,
    index: &I,
    terms: Terms,
    new_origin: impl FnOnce() -> Origin,
) -> Result<Started<D>, RecoverError> {
    let identity = FileJournal::identity_before_opening(directory, terms.shard)?;
    let origin = identity.map_or_else(new_origin, |identity| identity.origin);
    let mut recovery = Recovery { directory, index, terms, origin };
    match recovery.run() {
        Ok(started) if started.journal.identity().origin == recovery.origin => Ok(started),
        Ok(started) => {
            // A crash interrupted a copy while it began to continue as another history. Opening removed that part, so
            // retry.
            recovery.origin = started.journal.identity().origin;
            drop(started);
            recovery.run()
        }
        // Rebuilding would not help.
        Err(RecoverError::Index(fault)) if fault.is_lack_of_room() => Err(fault.into()),
        // The index cannot be the cause of these faults.
        Err(RecoverError::Journal(
            fault @ (Fault::FormatVersion { .. } | Fault::OtherShard { .. } | Fault::Io { .. }),
        )) => Err(fault.into()),
        Err(error) => {
            tracing::warn!(%error, "the index will be rebuilt from the whole journal");
            index::discard(index)?;
            recovery.run()
        }
    }
}

/// Folds the entries of a journal into an engine, and publishes what they do to an index.
#[derive(Debug)]
pub struct Fold {
    pub engine: Engine,
    pub index: Index,
    notes: Notes,
    /// The number of generations that the index was given.
    pub derived: u64,
    /// Why the index rejected a generation.
    unsealed: Option<index::Fault>,
}

impl Fold {
    /// Creates a fold that starts at the first entry. It builds the index in an empty directory.
    pub fn new<D: Disk, I: Disk>(
        (shard, tenant): (ShardId, TenantId),
        index: &I,
        origin: Origin,
        reader: FileReader<D>,
    ) -> Result<Self, index::Fault> {
        let (index, _) = Pace::Standard.index(index, origin, reader)?;
        let mut engine = Pace::Standard.engine(shard, tenant);
        engine.set_past(index.past());
        engine.set_past_payments(index.past_payments());
        Ok(Self { engine, index, notes: Pace::Standard.notes(Seq::ZERO), derived: 0, unsealed: None })
    }

    /// Takes the next entry. `behind` is the position after its frame if the entry is the last one of the frame.
    pub fn take(&mut self, entry: &Entry, position: Position, behind: Option<StartAt>) -> Result<(), Fault> {
        let Self { engine, index, notes, derived, unsealed } = self;
        if !engine.agrees_with(entry) {
            return Err(Fault::StateDiffers { seq: entry.header.seq });
        }
        notes.note_replayed(position, engine.apply(entry));
        if let Some(behind) = behind {
            let (batch, generation) = notes.take(behind.seq).replayed(position, behind);
            index.publish(batch);
            if let Some(generation) = generation {
                *derived += 1;
                index.seal(generation).map_err(|error| {
                    let why = error.to_string();
                    *unsealed = Some(error);
                    Fault::Poisoned(why)
                })?;
            }
            engine.forget_through(index.covered(), index.sealed());
        }
        Ok(())
    }

    /// Tells the index which fields the ledgers chose to index.
    pub fn choose(&self) {
        for (ledger, fields) in self.engine.indexed_fields() {
            self.index.choose(ledger, fields);
        }
    }
}

struct Recovery<'a, D, I> {
    directory: &'a D,
    index: &'a I,
    terms: Terms,
    origin: Origin,
}

impl<D: Disk, I: Disk> Recovery<'_, D, I> {
    /// Runs the recovery, and returns the fault if a lookup unwinds because it cannot read what it needs.
    fn run(&self) -> Result<Started<D>, RecoverError> {
        catch_unwind(AssertUnwindSafe(|| self.try_run())).unwrap_or_else(|panic| {
            match panic.downcast::<index::Unread>() {
                Ok(unread) => Err(unread.0.into()),
                Err(panic) => resume_unwind(panic),
            }
        })
    }

    fn try_run(&self) -> Result<Started<D>, RecoverError> {
        let Terms { layout, shard, tenant, pace, signed } = self.terms;
        let reader = FileReader::before_opening(self.directory.clone(), shard);
        let (index, restored) = pace.index(self.index, self.origin, reader.clone())?;
        for damage in &restored.damaged {
            tracing::warn!(%damage, "removed a damaged part of the index");
        }
        let mut engine = pace.engine(shard, tenant);
        engine.set_past(index.past());
        engine.set_past_payments(index.past_payments());
        engine.set_past_payments(index.past_payments());
        if restored.end.is_some() {
            restore(&mut engine, &restored, &reader)?;
            index.restore_open(engine.open_payments());
        }
        let notes = pace.notes(engine.applied());
        let mut fold = Fold { engine, index, notes, derived: 0, unsealed: None };
        let mut visit = |entry: &Entry, position: Position, behind: Option<StartAt>| fold.take(entry, position, behind);
        let start = restored.end.map(|end| end.resume);
        let known = (start, signed);
        let opened = FileJournal::open_signed(self.directory.clone(), layout, shard, || self.origin, known, &mut visit);
        let (journal, recovered) = match (opened, fold.unsealed.take()) {
            (Err(_), Some(fault)) => return Err(fault.into()),
            (opened, _) => opened?,
        };
        if let Some(torn) = &recovered.torn {
            tracing::warn!(file = torn.file, offset = torn.offset, after = torn.after.get(), "cut off a torn tail");
        }
        fold.choose();
        let Fold { engine, index, notes, derived, .. } = fold;
        if derived > 0 {
            tracing::info!(generations = derived, "missing parts of the index were rebuilt");
        }
        Ok(Started { engine, journal, recovered, index, notes })
    }
}

fn restore<D: Disk>(engine: &mut Engine, restored: &Restored, reader: &FileReader<D>) -> Result<(), RecoverError> {
    let Some(end) = restored.end else { return Ok(()) };
    let mut failed = None;
    let accounts = restored.accounts()?.map_while(|account| account.map_err(|error| failed = Some(error)).ok());
    engine.restore_accounts(accounts);
    if let Some(error) = failed {
        return Err(error.into());
    }
    for position in restored.pendings()? {
        engine.restore_pending(transfer_at(reader, position, None)?);
    }
    let mut frame = Vec::new().into_iter().peekable();
    for position in restored.entries()? {
        let position = position?;
        while frame.next_if(|(at, _): &(Position, Entry)| *at < position).is_some() {}
        if frame.peek().is_none_or(|(at, _)| *at != position) {
            // An entry about a payment is read alone, unless an older release wrote it.
            let found = match reader.alone_at(position)? {
                Some(entry) => vec![(position, entry)],
                None => reader.frame_at(position)?,
            };
            frame = found.into_iter().peekable();
            while frame.next_if(|(at, _)| *at < position).is_some() {}
        }
        if let Some((_, entry)) = frame.next_if(|(at, _)| *at == position) {
            if matches!(entry.fact.restored_from(), RestoredFrom::Tables | RestoredFrom::Nothing) {
                let what = "the index lists it for replay, but a restart of this release needs no replay of it";
                return Err(Fault::damaged_at(position, entry.header.seq, what).into());
            }
            engine.restore_entry(&entry);
        }
    }
    if restored.has_payments() {
        engine.restore_has_payments();
    }
    for bounds in restored.streams() {
        engine.restore_stream(&bounds);
    }
    for found in restored.window_entities()? {
        let WindowEntity { stream, entity, reach, records } = found?;
        engine.restore_window(stream, entity, reach, &records);
    }
    engine.finish_restore((end.last, end.decided_at, end.digest), end.recorded, end.last_timestamp);
    Ok(())
}

/// The journal, as the index reads it.
#[derive(Debug)]
struct Log<D: Disk>(FileReader<D>);

impl<D: Disk> index::Log for Log<D> {
    fn entry_at(&self, position: Position) -> Result<Entry, Fault> {
        index::Log::entry_at(&self.0, position)
    }

    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, Fault> {
        transfer_at(&self.0, position, Some(id))
    }

    fn timestamps(&self, first: Position, last: Position, visit: &mut dyn FnMut(Timestamp)) -> Result<(), Fault> {
        index::Log::timestamps(&self.0, first, last, visit)
    }

    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), Fault> {
        let behind = Position::from_number(last.get() + 1);
        self.0.rows(first, behind, &mut |position, transfer| {
            visit(position, transfer);
            Ok(())
        })
    }
}

/// Returns the client transfer that the entry at this position created.
fn transfer_at<D: Disk>(reader: &FileReader<D>, position: Position, id: Option<TransferId>) -> Result<Transfer, Fault> {
    if position.is_row() {
        return reader.transfer_at(position);
    }
    let entry = reader.entry_at(position)?;
    if let engine::Fact::Ledger(ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. }) =
        entry.fact
        && id.is_none_or(|id| transfer.key == TransferKey::Client(id))
    {
        return Ok(transfer);
    }
    Err(Fault::damaged_at(position, entry.header.seq, "this entry did not create the client transfer"))
}
