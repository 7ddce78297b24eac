//! Proofs about the journal, for clients that do not trust the server.

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::Event;

/// A proof that an entry is in the journal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryProof {
    /// The sequence of the entry in the journal, from 1.
    pub sequence: u64,
    /// The position of the entry's leaf in the tree, from 0.
    pub index: u64,
    /// The number of leaves in the tree of the checkpoint.
    pub tree_size: u64,
    /// The entry in canonical form, in base64. Its leaf is the SHA-256 of this form.
    pub entry: String,
    /// The SHA-256 of a zero byte followed by the leaf, in base64.
    pub leaf_hash: String,
    /// The hashes of the inclusion proof, from the leaf upwards, in base64.
    pub hashes: Vec<String>,
    /// The signed checkpoint whose root the hashes lead to, as a C2SP tlog-checkpoint.
    pub checkpoint: String,
    /// Index, hashes and checkpoint in one text, as a C2SP tlog-proof.
    pub proof: String,
    /// The public key that verifies the signature of the checkpoint.
    pub vkey: String,
    /// The same entry in readable form.
    pub event: Event,
}

/// A proof that the journal has only grown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsistencyProof {
    /// The number of leaves in the older tree.
    pub from: u64,
    /// The number of leaves in the newer tree.
    pub to: u64,
    /// The root of the older tree, in base64.
    pub from_root: String,
    /// The root of the newer tree, in base64.
    pub to_root: String,
    /// The hashes of the consistency proof (RFC 6962, section 2.1.2), in base64.
    pub hashes: Vec<String>,
    /// The newest signed checkpoint. It is the checkpoint of the newer tree, unless `to` was given.
    pub checkpoint: String,
    /// The public key that verifies the signature of the checkpoint.
    pub vkey: String,
}

/// The public keys of the keys that sign checkpoints.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProofKeys {
    /// The name of this history, which its checkpoints and its keys begin with.
    pub origin: String,
    /// The public key that verifies new checkpoints.
    pub vkey: String,
    /// Earlier public keys, from the oldest to the newest.
    pub retired: Vec<String>,
    /// Notes that an old key and its successor both signed, from the oldest to the newest.
    pub handovers: String,
}
