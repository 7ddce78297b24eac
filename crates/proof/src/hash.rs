//! The two hashes of an RFC 6962 tree. They begin with different bytes, so that no leaf passes for a node.

use sha2::{Digest as _, Sha256};

/// The hash of a leaf or of a node.
pub type Hash = [u8; 32];

/// The hash of a leaf that holds `data`.
pub fn leaf_of(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

/// The hash of the node over two others.
pub fn node_of(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of a tree without leaves.
pub fn root_of_nothing() -> Hash {
    Sha256::digest([]).into()
}

/// The leaf of an entry: the SHA-256 of its canonical encoding.
pub fn leaf_data(canonical: &[u8]) -> Hash {
    Sha256::digest(canonical).into()
}

/// The hash of an entry's leaf, from its canonical encoding.
pub fn entry_leaf(canonical: &[u8]) -> Hash {
    leaf_of(&leaf_data(canonical))
}

/// Appends the leaf hashes of many entries, given as their canonical encodings.
pub fn hash_entries<'a>(entries: impl Iterator<Item = &'a [u8]>, into: &mut Vec<Hash>) {
    into.extend(entries.map(entry_leaf));
}

/// The nodes over each two neighbours; an even count of them.
pub(crate) fn parents(nodes: &[Hash], into: &mut Vec<Hash>) {
    let (pairs, _) = nodes.as_chunks::<2>();
    into.extend(pairs.iter().map(|[left, right]| node_of(left, right)));
}
