//! What is done with a data directory that no server runs on.

mod claims;
mod ends;
mod index_files;
mod keys;
mod restore;
mod verify;

pub use restore::{RestoreError, Restored, Until, restore};
pub use verify::{Checked, CheckpointFile, Finding, Place, Verification, VerifyError, verify};

/// The part of a data directory that holds the journal.
const JOURNAL: &str = "journal";
