//! What is done with a data directory that no server runs on.

mod restore;

pub use restore::{RestoreError, Restored, Until, restore};

/// The part of a data directory that holds the journal.
const JOURNAL: &str = "journal";
