//! The facts that change windows, and what became of each.

use types::{Seq, Timestamp, Token};

use crate::{Missing, StreamId};

/// A fact of a journal entry: what happens to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// Whose history.
    pub stream: StreamId,
    /// The entity that the record is about.
    pub entity: Token,
    /// When the record counts, on the stream's clock.
    pub at: Timestamp,
    /// The entry that made the record: with `at` it names the record, and orders those of one instant.
    pub seq: Seq,
    /// What happens to it.
    pub change: Change,
}

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is recorded; where it already is, its value is replaced and its label stays.
    Insert {
        /// What it adds to a sum.
        value: i64,
    },
    /// It never counts again, its label included. Nothing happens where it is not held.
    Remove,
    /// It is labelled, or a positive label is withdrawn. Nothing happens where it is not held.
    Label {
        /// Whether it turned out to be what the policy counts as positive.
        positive: bool,
    },
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "dropped records are counted in a metric"]
pub enum Applied {
    /// The windows say what the update says.
    Kept,
    /// No window that can be answered changes: the record is older than the retention, or is not held.
    Unchanged,
    /// A bound has dropped a record within the retention, this one or an older one of the entity: until the retention
    /// passes it, windows that need it are missing.
    Dropped(Missing),
}
