//! Tamper evidence: an RFC 6962 Merkle tree over the entries of a journal, in standard formats.
//!
//! The leaf of an entry is the SHA-256 of its canonical encoding; [`entry_leaf`] returns the hash of that leaf, as
//! `journal::leaf_hash` does. Entry 1 is leaf 0. [`Tree`] computes the root of any number of leaves in constant memory.
//! [`Store`] keeps all hashes in files and creates proofs from them. [`SigningKey`] signs a [`Checkpoint`], to whose
//! root every proof leads. The formats are those of C2SP: signed note, tlog-checkpoint, tlog-tiles and tlog-proof.
//! `docs/proofs.md` explains how to use them.

mod bundle;
mod checker;
mod checkpoint;
mod hash;
mod key;
mod note;
mod path;
mod proofs;
mod store;
mod tiles;
mod tree;

pub use bundle::{BundleError, TlogProof};
pub use checker::{Checker, Mismatch};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use hash::{Hash, entry_leaf, hash_entries, leaf_data, leaf_of, node_of, root_of_nothing};
pub use key::{KeyError, SigningKey, VerifierKey};
pub use note::{Note, NoteError, Signature, notes_of};
pub use path::{PathError, TileOf, TilePath};
pub use proofs::{Nodes, consistency, inclusion, verify_consistency, verify_inclusion};
pub use store::{Store, StoreError, Tiles};
pub use tree::Tree;
