//! What is done with a data directory that no server runs on.

mod claims;
mod ends;
mod index_files;
mod keys;
mod restore;
mod verify;

pub use restore::{RestoreError, Restored, Until, restore};
pub use verify::{Checked, CheckpointFile, Finding, Place, Verification, VerifyError, verify};

use datadir::SHARD;
use disk::Directory;
use journal::{Fault, FileJournal, Identity};

/// Which history a journal is; what the mark says when no segment says it, for reading on to name the damage. `None`
/// without any of them.
fn identity_of(journal: &Directory) -> Result<Option<Identity>, Fault> {
    match FileJournal::identity_before_opening(journal, SHARD)? {
        Some(identity) => Ok(Some(identity)),
        None => Ok(FileJournal::marked_before_opening(journal)?.map(|(identity, _)| identity)),
    }
}
