//! Bringing the engine to where the journal ends: from the index as far as that reaches, from the entries after it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use disk::Disk;
use engine::{Engine, Entry};
use index::{Index, Restored};
use journal::{DurableLog as _, Fault, FileJournal, FileReader, Layout, Position, Recovered, StartAt};
use ledger::{RestoredFrom, Transfer, TransferKey};
use pipeline::Notes;
use types::{Origin, Seq, ShardId, TenantId, TransferId};

/// Everything that stands once the journal was read.
#[derive(Debug)]
pub struct Started<D: Disk> {
    /// The engine, at the last entry. Its policy is still to be staged.
    pub engine: Engine,
    /// The journal, ready for the next frame.
    pub journal: FileJournal<D>,
    /// What the journal held.
    pub recovered: Recovered,
    /// The index, told of everything.
    pub index: Index,
    /// For [`pipeline::Decider::new`].
    pub notes: Notes,
}

/// What is read and how it goes on. Nothing here changes what is decided.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Segment files of the journal.
    pub layout: Layout,
    /// Whose journal it is.
    pub shard: ShardId,
    /// Whose entries.
    pub tenant: TenantId,
    /// How often what happens rarely happens.
    pub pace: Pace,
    /// How many entries of which history a checkpoint was signed over.
    pub signed: Option<(Origin, Seq)>,
}

/// How often the journal carries a digest and the index ends a generation, and who writes the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As in production, with a thread for the index.
    Standard,
    /// After so many entries; whoever owns the index does its work. For simulations, where everything happens in one order.
    Stepped {
        /// From one digest to the next.
        digest_entries: u64,
        /// From one generation to the next; it ends with a digest.
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

/// Why the journal and its index do not open.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The journal.
    #[error("cannot open the journal: {0}")]
    Journal(#[from] Fault),
    /// The disk refuses the files of the index; what they hold is of no matter.
    #[error("cannot write the index: {0}")]
    Index(#[from] index::Fault),
}

/// Opens journal and index. An index that is damaged or does not fit the journal is thrown away and derived again.
///
/// # Errors
/// When the journal is damaged, or a disk refuses.
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
            // A crash cut a copy off where it went on as another history; opening took that part away.
            recovery.origin = started.journal.identity().origin;
            drop(started);
            recovery.run()
        }
        // It would be derived again in vain.
        Err(RecoverError::Index(fault)) if fault.is_lack_of_room() => Err(fault.into()),
        // Nothing of this comes of the index.
        Err(RecoverError::Journal(
            fault @ (Fault::FormatVersion { .. } | Fault::OtherShard { .. } | Fault::Io { .. }),
        )) => Err(fault.into()),
        Err(error) => {
            tracing::warn!(%error, "the index is derived again from the whole journal");
            index::discard(index)?;
            recovery.run()
        }
    }
}

/// Folds the entries of a journal and tells an index what they do.
#[derive(Debug)]
pub struct Fold {
    pub engine: Engine,
    pub index: Index,
    notes: Notes,
    /// Generations that the index was given.
    pub derived: u64,
    /// Why the index did not take one.
    unsealed: Option<index::Fault>,
}

impl Fold {
    /// A fold from the first entry on. The index is derived in a directory that is empty.
    pub fn new<D: Disk, I: Disk>(
        (shard, tenant): (ShardId, TenantId),
        index: &I,
        origin: Origin,
        reader: FileReader<D>,
    ) -> Result<Self, index::Fault> {
        let (index, _) = Pace::Standard.index(index, origin, reader)?;
        let mut engine = Pace::Standard.engine(shard, tenant);
        engine.set_past(index.past());
        Ok(Self { engine, index, notes: Pace::Standard.notes(Seq::ZERO), derived: 0, unsealed: None })
    }

    /// Takes the next entry, with the place behind its frame when it is the last of one.
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
            engine.forget_through(index.covered());
        }
        Ok(())
    }

    /// Lets the index have the fields that ledgers chose.
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
    /// A look-up that cannot read what it needs unwinds.
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
            tracing::warn!(%damage, "removed a part of the index");
        }
        let mut engine = pace.engine(shard, tenant);
        engine.set_past(index.past());
        if restored.end.is_some() {
            restore(&mut engine, &restored, &reader)?;
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
            tracing::info!(generations = derived, "parts of the index were missing and are derived again");
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
    for position in restored.others() {
        let position = position?;
        while frame.next_if(|(at, _): &(Position, Entry)| *at < position).is_some() {}
        if frame.peek().is_none_or(|(at, _)| *at != position) {
            frame = reader.frame_at(position)?.into_iter().peekable();
            while frame.next_if(|(at, _)| *at < position).is_some() {}
        }
        if let Some((_, entry)) = frame.next_if(|(at, _)| *at == position) {
            if entry.fact.restored_from() == RestoredFrom::Tables {
                let what = "the index lists it for replay, but the tables of this release restore it";
                return Err(Fault::damaged_at(position, entry.header.seq, what).into());
            }
            engine.restore_entry(&entry);
        }
    }
    engine.finish_restore((end.last, end.decided_at, end.digest), end.recorded, end.last_timestamp);
    Ok(())
}

/// The log as the index reads it.
#[derive(Debug)]
struct Log<D: Disk>(FileReader<D>);

impl<D: Disk> index::Log for Log<D> {
    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, Fault> {
        transfer_at(&self.0, position, Some(id))
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

/// The client transfer that the entry at a position made.
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
    Err(Fault::damaged_at(position, entry.header.seq, "no client transfer stands there"))
}
