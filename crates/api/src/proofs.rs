//! Proofs: what the server shows about its journal to whoever does not trust it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::Event;

/// That an entry stands in the journal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryProof {
    /// The entry's place in the journal, from 1.
    pub sequence: u64,
    /// The leaf's place in the tree, from 0.
    pub index: u64,
    /// How many leaves the tree of the checkpoint has.
    pub tree_size: u64,
    /// The entry in canonical form, in base64. Its SHA-256 is the leaf.
    pub entry: String,
    /// SHA-256 of a zero byte and the leaf, in base64.
    pub leaf_hash: String,
    /// From the leaf up, in base64.
    pub hashes: Vec<String>,
    /// The signed checkpoint that the hashes lead to: C2SP tlog-checkpoint.
    pub checkpoint: String,
    /// Index, hashes and checkpoint in one text: C2SP tlog-proof.
    pub proof: String,
    /// What checks the checkpoint's signature.
    pub vkey: String,
    /// The same entry, to be read.
    pub event: Event,
}

/// That the journal only grew.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsistencyProof {
    /// How many leaves the older tree has.
    pub from: u64,
    /// How many leaves the newer tree has.
    pub to: u64,
    /// The root of the older tree, in base64.
    pub from_root: String,
    /// The root of the newer tree, in base64.
    pub to_root: String,
    /// RFC 6962, section 2.1.2; in base64.
    pub hashes: Vec<String>,
    /// The newest signed checkpoint; it is of the newer tree unless `to` was given.
    pub checkpoint: String,
    /// What checks the checkpoint's signature.
    pub vkey: String,
}

/// The keys that sign checkpoints.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProofKeys {
    /// The name of this history: the first line of its checkpoints, and of its keys.
    pub origin: String,
    /// The key that signs now.
    pub vkey: String,
    /// Keys that signed before it, the newest last.
    pub retired: Vec<String>,
    /// Notes that a key and its successor both signed, one after the other.
    pub handovers: String,
}
