//! What is written at once.

use std::sync::Arc;

use journal::EntryRun;
use types::Seq;

use crate::rows::Rows;

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
}
