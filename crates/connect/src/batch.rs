//! What is written at once.

use std::sync::Arc;

use journal::EntryRun;
use ledger::ImportNumber;
use types::Seq;

use crate::rows::Rows;
use crate::source::Part;

/// Consecutive entries, and what they changed.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The first entry.
    pub first: Seq,
    /// The last entry.
    pub last: Seq,
    /// The entries, for targets that keep events. They may begin before `first` and end after `last`.
    pub runs: Vec<Arc<EntryRun>>,
    /// The changed rows, for targets that keep rows.
    pub rows: Rows,
    /// The staged entries of an import that the batch opens; `first` is then the entry that opens the import, and `last` the one before it.
    /// Only targets that keep the history get it.
    pub opening: Option<Opening>,
    /// The bytes of the journal that hold the entries, for targets that keep bytes.
    pub part: Option<Arc<Part>>,
}

/// Staged entries of an import, which count from the moment at which the import is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    pub import: ImportNumber,
    /// The first entry of this batch that may be one of the import.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
}
