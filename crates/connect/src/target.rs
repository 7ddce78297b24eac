//! What every target must do.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Entry;
use ledger::TransferKey;
use types::{AccountId, PaymentId, Seq};

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::verify::Findings;

/// A system that holds a copy of a journal, as rows or as events.
///
/// The contract, which the conformance suite checks for each target:
///
/// * [`Target::open`] takes the target over. From then on, every [`Target::write`] of an earlier connector fails with
///   [`Fault::Fenced`] and changes nothing.
/// * [`Target::write`] changes the rows and the cursor together, or neither of them, and only if the cursor is still `before`.
/// * What [`Target::open`] returns is the cursor of the last successful [`Target::write`], even after either side was killed or the
///   target was restored from an older copy.
///
/// A target that cannot change several rows at once says so with [`Target::is_atomic`]. It writes rows that carry their sequence first and
/// the cursor last, and a repeated write leaves the same rows.
pub trait Target: Send + fmt::Debug {
    /// Connects, creates or updates the schema, takes the target over from other connectors, and returns the cursor.
    ///
    /// # Errors
    /// When the target cannot be reached, or holds something else.
    fn open(&mut self) -> Result<Cursor, Fault>;

    /// What the target needs of each batch.
    fn needs(&self) -> Needs;

    /// Whether rows and cursor change in one atomic unit.
    fn is_atomic(&self) -> bool {
        true
    }

    /// How many entries a batch has if there are as many, unless the configuration says otherwise.
    fn batch_entries(&self) -> usize {
        16_384
    }

    /// How long entries may wait until a batch is full. Targets for which a small batch is as good as a large one do not wait.
    fn wait_max(&self) -> Duration {
        Duration::ZERO
    }

    /// The cursor after the next batch, if the target has already decided where that batch ends, and must not get another one.
    fn agreed(&self) -> Option<Cursor> {
        None
    }

    /// A target that writes nothing, and compares each batch with what is stored instead. `findings` gets the differences. It begins
    /// at the first entry, and says with [`Target::agreed`] how the batches were cut. `None` if this target cannot be compared like this.
    fn comparing(&mut self, _findings: &Arc<Mutex<Findings>>) -> Option<Box<dyn Target>> {
        None
    }

    /// Returns stored rows as documents, in any order. Only targets that need rows are asked.
    ///
    /// # Errors
    /// When the target cannot be read.
    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault>;

    /// Writes a batch, if the cursor in the target is still `before`, and moves the cursor to `after`.
    ///
    /// # Errors
    /// When nothing was written, or it is unknown whether it was.
    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault>;

    /// Checks that the target is still at this cursor, and that no other connector took it over. The connector asks when rows that it read
    /// contradict the journal. A target that cannot tell says that it is.
    ///
    /// # Errors
    /// [`Fault::Fenced`] or [`Fault::Moved`] if it is not; others when it cannot be read.
    fn confirm(&mut self, _cursor: &Cursor) -> Result<(), Fault> {
        Ok(())
    }

    /// Whether the target keeps the event of this entry. Only targets that keep events are asked.
    fn keeps(&self, _entry: &Entry) -> bool {
        true
    }

    /// The lane in which the target keeps the event of this entry. Within a lane, events are in order and none is left out, so a lane that has an
    /// event has all earlier ones. Only asked after [`Target::events`].
    fn lane(&self, _entry: &Entry) -> i32 {
        0
    }

    /// Reads all events in the target, in any order, and passes each with its lane, its sequence and its JSON to `each`. Only targets that keep
    /// events are asked.
    ///
    /// # Errors
    /// When the target cannot be read, or does not keep what it was given, or `each` fails.
    fn events(&mut self, _each: &mut EachEvent<'_>) -> Result<(), Fault> {
        Err(Fault::Refused(
            "the events cannot be read back from it, so they cannot be compared with the journal".to_owned(),
        ))
    }

    /// Called every 200 ms while there is nothing to write, so that a client without threads of its own can answer its server.
    ///
    /// # Errors
    /// When the connection was lost, or another connector took the target over.
    fn idle(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Connects without taking the target over, and returns the cursor and the number of rows; `None` if nothing was copied yet. What
    /// [`Target::load`] returns afterwards belongs to this cursor, if the target can keep reads consistent; otherwise the connector
    /// has to be stopped meanwhile.
    ///
    /// # Errors
    /// When the target cannot be reached, or holds something else.
    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault>;
}

/// Takes an event that was read from a target: its lane, its sequence and its JSON.
pub type EachEvent<'e> = dyn FnMut(i32, Seq, &[u8]) -> Result<(), Fault> + 'e;

impl Target for Box<dyn Target> {
    fn open(&mut self) -> Result<Cursor, Fault> {
        (**self).open()
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn is_atomic(&self) -> bool {
        (**self).is_atomic()
    }

    fn batch_entries(&self) -> usize {
        (**self).batch_entries()
    }

    fn wait_max(&self) -> Duration {
        (**self).wait_max()
    }

    fn agreed(&self) -> Option<Cursor> {
        (**self).agreed()
    }

    fn comparing(&mut self, findings: &Arc<Mutex<Findings>>) -> Option<Box<dyn Target>> {
        (**self).comparing(findings)
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        (**self).load(wanted)
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        (**self).write(batch, before, after)
    }

    fn confirm(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        (**self).confirm(cursor)
    }

    fn keeps(&self, entry: &Entry) -> bool {
        (**self).keeps(entry)
    }

    fn lane(&self, entry: &Entry) -> i32 {
        (**self).lane(entry)
    }

    fn events(&mut self, each: &mut EachEvent<'_>) -> Result<(), Fault> {
        (**self).events(each)
    }

    fn idle(&mut self) -> Result<(), Fault> {
        (**self).idle()
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        (**self).look()
    }
}

/// Compares the fence and the position that were found in a target with those that a connector expects.
///
/// # Errors
/// [`Fault::Fenced`] if another connector raised the fence, [`Fault::Moved`] if the target was replaced by an older copy.
#[cfg(any(
    feature = "cassandra",
    feature = "mongodb",
    feature = "mysql",
    feature = "postgres",
    feature = "rabbitmq",
    feature = "redis"
))]
pub(crate) fn confirmed((fence, position): (u64, u64), own: u64, cursor: &Cursor) -> Result<(), Fault> {
    if fence > own {
        return Err(Fault::Fenced);
    }
    // A lower fence belongs to an older copy of the target.
    if fence < own || position != cursor.position.get() {
        return Err(Fault::Moved { found: Seq::new(position), expected: cursor.position });
    }
    Ok(())
}

/// What a target needs of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Rows: the state after the batch of everything that it changed.
    Rows,
    /// As `Rows`, but the target keeps only accounts, pending transfers and new payments. What changed of payments is left out.
    Balances,
    /// The entries themselves.
    Events,
    /// The entries themselves, and those of an import once more when it is opened.
    History,
    /// The bytes of the journal.
    Bytes,
}

/// Names of rows: those that the fold needs from the target, because an entry changes them, or those that a verification compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub accounts: Vec<AccountId>,
    /// Pending transfers that an entry resolves.
    pub transfers: Vec<TransferKey>,
    /// Payments whose amount an entry depends on.
    pub payments: Vec<PaymentId>,
}

impl Wanted {
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.transfers.is_empty() && self.payments.is_empty()
    }
}

/// How many rows of each kind, or events, a target has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub accounts: u64,
    pub transfers: u64,
    pub payments: u64,
    pub events: u64,
}

/// Why a target could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The target does not answer. The connector opens it again after a pause.
    #[error("the target cannot be reached: {0}")]
    Unreachable(String),
    /// Another connector has taken the target over. This one must stop.
    #[error("another connector has taken over this target; this one stops")]
    Fenced,
    /// The cursor in the target is not the one that was written last, because the target was restored from a copy. The connector opens it
    /// again and continues from the cursor that it finds.
    #[error(
        "the cursor in the target is not the one that was written last (it is at sequence {found}, expected {expected}): the target was restored or changed by others; the connector continues from there"
    )]
    Moved {
        /// The position in the target.
        found: Seq,
        /// The position that this connector wrote last.
        expected: Seq,
    },
    /// The target refuses what was written. Trying again does not help until somebody changes the target or the configuration.
    #[error("the target refused: {0}")]
    Refused(String),
    /// What is in the target contradicts the journal.
    #[error("the target contradicts the journal: {0}; rebuild the copy")]
    Contradicts(String),
}
