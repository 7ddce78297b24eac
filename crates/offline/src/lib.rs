//! Tools for a data directory on which no server runs: `verify`, `restore` and `export`.

mod claims;
mod ends;
mod export;
mod index_files;
mod keys;
mod parts;
mod restore;
mod verify;

pub use export::{ExportError, Exported, export};
pub use parts::{DataPart, parts_of};
pub use restore::{RestoreError, Restored, Until, restore};
pub use verify::{Checked, CheckpointFile, Finding, Place, Verification, VerifyError, verify};

use datadir::ShardPlace;
use disk::Directory;
use journal::{Fault, FileJournal, Identity};

/// Identifies the history of a journal. If no segment identifies it, the mark does, so that reading can continue and
/// name the damage. Returns `None` if there is neither a segment nor a mark.
fn identity_of(journal: &Directory, place: &ShardPlace) -> Result<Option<Identity>, Fault> {
    match FileJournal::identity_before_opening(journal, place.shard)? {
        Some(identity) => Ok(Some(identity)),
        None => Ok(FileJournal::marked_before_opening(journal)?.map(|(identity, _)| identity)),
    }
}
