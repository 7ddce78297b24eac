//! Proofs as files (C2SP tlog-proof): the index of a leaf, the hashes up to the root, and the checkpoint with that
//! root.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::hash::Hash;
use crate::key::VerifierKey;
use crate::proofs::verify_inclusion;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Proves to anybody who trusts the log's key that a leaf is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// The number of the leaf, from 0.
    pub index: u64,
    /// The hashes from the leaf to the root, the lowest first.
    pub hashes: Vec<Hash>,
    /// The checkpoint whose root the hashes lead to.
    pub checkpoint: SignedCheckpoint,
}

/// Why a proof is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The text does not have the form of a proof.
    #[error("not a tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint is invalid.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the root.
    #[error(
        "the proof does not show that this entry is number {index} of the {size} entries that the checkpoint covers"
    )]
    NotIncluded {
        /// The number of the leaf.
        index: u64,
        /// The number of leaves that the checkpoint covers.
        size: u64,
    },
}

impl TlogProof {
    /// Checks that the leaf with this hash is in the log of this key.
    ///
    /// # Errors
    /// Fails if the key did not sign the checkpoint, or if the hashes do not lead from the leaf to its root.
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<(), BundleError> {
        let signed = SignedCheckpoint::open(&self.checkpoint.note.to_string(), key)?;
        let (index, size) = (self.index, signed.checkpoint.size);
        if verify_inclusion(leaf, (index, size), &self.hashes, &signed.checkpoint.root) {
            Ok(())
        } else {
            Err(BundleError::NotIncluded { index, size })
        }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint.note)
    }
}

impl FromStr for TlogProof {
    type Err = BundleError;

    fn from_str(text: &str) -> Result<Self, BundleError> {
        let malformed = BundleError::Malformed;
        let (head, note) = text.split_once("\n\n").ok_or(malformed("there is no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next();
        if line.is_some_and(|line| line.starts_with("extra ")) {
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(|index| index.parse().ok());
        let index = index.ok_or(malformed("the index line is missing"))?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
        let hashes = lines.map(|line| hash(line).ok_or(malformed("a line is not a hash of 32 bytes in base64")));
        Ok(Self { index, hashes: hashes.collect::<Result<_, _>>()?, checkpoint: note.parse()? })
    }
}
