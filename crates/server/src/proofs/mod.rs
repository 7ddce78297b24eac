//! The Merkle tree over the journal, and the signed checkpoints. The proofs thread maintains both.
//!
//! The thread follows the log, not the engine. It appends durable entries to the tree in `DIR/proofs` and then signs a
//! checkpoint. No write waits for it; if it falls behind, it catches up by reading. Everything that it stores can be rebuilt,
//! with one exception: a signed checkpoint states what the journal contained, and a journal that contains less or something
//! else is refused.

mod prover;

use std::sync::Arc;
use std::time::Duration;

use datadir::ProofKeys;
use disk::Directory;
use journal::{CanonicalRun, Fault, FileReader, Reader as _};
use proof::{Hash, SignedCheckpoint, StoreError, Tiles};
use tokio::sync::watch;
use types::Seq;

pub use prover::ProofError;
pub(crate) use prover::{Place, Prover, check, open, signed_before_opening};

/// Entries that are hashed and appended together: about as many as a full frame contains.
const ENTRIES_AT_ONCE: usize = 8_192;
/// Most damaged tiles that are rebuilt for one query.
const MENDED_MAX: usize = 16;
/// How long a query waits for the tree to cover an entry.
const COVERED_WITHIN: Duration = Duration::from_secs(5);

/// A handle on the proofs: the tree, the keys and the newest checkpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proofs {
    pub(crate) tiles: Tiles<Directory>,
    pub(crate) keys: Arc<ProofKeys>,
    checkpoint: watch::Receiver<Latest>,
    reader: FileReader<Directory>,
}

/// The newest checkpoint; `None` before the first one.
pub(crate) type Latest = Option<Arc<SignedCheckpoint>>;

impl Proofs {
    /// A checkpoint of at least `size` entries; `None` if the tree is too far behind.
    pub(crate) async fn covering(&self, size: u64) -> Option<Arc<SignedCheckpoint>> {
        let mut checkpoint = self.checkpoint.clone();
        let covers = |latest: &Latest| latest.as_ref().is_some_and(|signed| signed.checkpoint.size >= size);
        let waited = tokio::time::timeout(COVERED_WITHIN, checkpoint.wait_for(covers)).await;
        waited.ok()?.ok()?.clone()
    }

    /// Queries the tree. Damaged tiles are rebuilt from the journal.
    pub(crate) fn ask<T>(&self, ask: impl Fn(&Tiles<Directory>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        for _ in 0..MENDED_MAX {
            match ask(&self.tiles) {
                Err(StoreError::Damaged { level, index }) => {
                    tracing::warn!(
                        level,
                        index,
                        "a tile of the Merkle tree is damaged; rebuilding it from the journal"
                    );
                    self.tiles.mend(level, index, |first| leaves(&self.reader, first))?;
                }
                answered => return answered,
            }
        }
        ask(&self.tiles)
    }

    /// How many durable entries the newest checkpoint does not cover.
    pub(crate) fn lag(&self) -> u64 {
        let covered = self.checkpoint.borrow().as_ref().map_or(0, |signed| signed.checkpoint.size);
        self.reader.durable().get().saturating_sub(covered)
    }
}

/// The leaf hashes of durable entries, starting at leaf `first`, about as many as a frame contains.
fn leaves(reader: &FileReader<Directory>, first: u64) -> Result<Vec<Hash>, Fault> {
    let mut run = CanonicalRun::default();
    reader.canonical(Seq::new(first + 1), ENTRIES_AT_ONCE, &mut run)?;
    let mut leaves = Vec::with_capacity(run.len());
    proof::hash_entries(run.iter(), &mut leaves);
    Ok(leaves)
}

/// The leaves of `count` entries, starting at `from`. All of them must be durable.
pub(crate) fn leaf_data(reader: &FileReader<Directory>, from: Seq, count: usize) -> Result<Vec<Hash>, Fault> {
    let mut run = CanonicalRun::default();
    let mut leaves = Vec::with_capacity(count);
    while leaves.len() < count {
        let next = Seq::new(from.get() + leaves.len() as u64);
        reader.canonical(next, count - leaves.len(), &mut run)?;
        if run.is_empty() {
            break;
        }
        leaves.extend(run.iter().take(count - leaves.len()).map(proof::leaf_data));
    }
    Ok(leaves)
}
