//! Proofs as files, C2SP tlog-proof: the place of a leaf, the hashes up to the root, and the checkpoint they end in.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::hash::Hash;
use crate::key::VerifierKey;
use crate::proofs::verify_inclusion;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// That a leaf is in a log, for whoever trusts the log's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Which leaf.
    pub index: u64,
    /// From the leaf up.
    pub hashes: Vec<Hash>,
    /// What the hashes lead to.
    pub checkpoint: SignedCheckpoint,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Its form.
    #[error("this is no tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from this leaf to the root.
    #[error("the entry is not number {index} of the {size} that the checkpoint stands for")]
    NotIncluded {
        /// The leaf's number.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
}

impl TlogProof {
    /// Checks that the leaf with this hash is in the log of this key.
    ///
    /// # Errors
    /// When the checkpoint is not the key's, or the hashes do not lead from the leaf to its root.
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
        let (head, note) = text.split_once("\n\n").ok_or(malformed("no empty line stands before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next();
        if line.is_some_and(|line| line.starts_with("extra ")) {
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(|index| index.parse().ok());
        let index = index.ok_or(malformed("no line says the index"))?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
        let hashes = lines.map(|line| hash(line).ok_or(malformed("a line is no hash of 32 bytes in base64")));
        Ok(Self { index, hashes: hashes.collect::<Result<_, _>>()?, checkpoint: note.parse()? })
    }
}
