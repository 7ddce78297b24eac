//! Tamper evidence: an RFC 6962 Merkle tree over the entries of a journal.
//!
//! A leaf is the hash that `journal::leaf_hash` gives for an entry; entry 1 is leaf 0.

mod hash;
mod tree;

pub use hash::{Hash, leaf_of, node_of, root_of_nothing};
pub use tree::Tree;
