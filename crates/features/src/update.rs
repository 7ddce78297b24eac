//! The facts that change windows, and what became of each.

use types::{Seq, Timestamp, Token};

use crate::{Item, Missing, StreamId};

/// A fact of a journal entry: what happens to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    pub stream: StreamId,
    /// The entity that the record is about.
    pub entity: Token,
    /// When the record counts, by the stream's clock.
    pub at: Timestamp,
    /// The entry that made the record. Together with `at` it identifies the record, and it orders the records of one
    /// instant.
    pub seq: Seq,
    pub change: RecordChange,
}

// Queues and tables hold many updates.
const _: () = assert!(size_of::<Update>() == 64);

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordChange {
    /// The record is added. If it is already held, its value and its item are replaced and its label stays.
    Insert {
        /// What the record adds to a sum.
        value: i64,
        /// What the record is about besides that, if the stream remembers it.
        item: Option<Item>,
    },
    /// The record and its label no longer count. Nothing happens if the record is not held.
    Remove,
    /// The record gets a positive label, or loses it. Nothing happens if the record is not held.
    Label {
        /// Whether the payment turned out to be what the policy counts as positive.
        positive: bool,
    },
}

/// An update that changed the windows, as an index stores it for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredUpdate {
    pub update: Update,
    /// Where the records of the entity begin, if they do not reach back to the horizon of the stream and that may be new.
    pub reach: Option<Timestamp>,
}

/// The effect of an update on the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "dropped records are counted in a metric"]
pub enum UpdateOutcome {
    /// The windows reflect the update.
    Kept,
    /// The record is held, and `records_max` dropped an older one of the entity. Windows that need that one are missing until
    /// the retention has passed it.
    Trimmed,
    /// No window that can be answered changes, because the record is older than the retention or is not held.
    Unchanged,
    /// A bound dropped the record, although it is within the retention. Windows that need it are missing until the retention
    /// has passed it.
    Dropped(Missing),
}
