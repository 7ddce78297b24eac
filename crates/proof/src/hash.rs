//! The two hashes of an RFC 6962 tree. Their inputs have different prefixes, so that a leaf cannot be mistaken for a
//! node.

mod lanes;

use sha2::{Digest as _, Sha256};

use self::lanes::digest_two;

pub type Hash = [u8; 32];

/// Returns the hash of a leaf that contains `data`.
pub fn leaf_of(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

/// Returns the hash of the node with these two children.
pub fn node_of(left: &Hash, right: &Hash) -> Hash {
    Sha256::digest(node_data(left, right)).into()
}

fn node_data(left: &Hash, right: &Hash) -> [u8; 65] {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    bytes
}

/// The root of an empty tree.
pub fn root_of_nothing() -> Hash {
    Sha256::digest([]).into()
}

/// Returns the content of an entry's leaf: the SHA-256 of the entry's canonical encoding.
pub fn leaf_data(canonical: &[u8]) -> Hash {
    Sha256::digest(canonical).into()
}

/// Returns the hash of an entry's leaf, given the entry's canonical encoding.
pub fn entry_leaf(canonical: &[u8]) -> Hash {
    leaf_of(&leaf_data(canonical))
}

/// Appends the leaf hashes of many entries, given their canonical encodings. This is faster than hashing one by one.
pub fn hash_entries<'a>(mut entries: impl Iterator<Item = &'a [u8]>, into: &mut Vec<Hash>) {
    let prefixed = |data: Hash| {
        let mut bytes = [0; 33];
        bytes[1..].copy_from_slice(&data);
        bytes
    };
    while let Some(one) = entries.next() {
        let Some(other) = entries.next() else {
            into.push(entry_leaf(one));
            break;
        };
        let (one, other) = digest_two(one, other);
        let (one, other) = digest_two(&prefixed(one), &prefixed(other));
        into.extend([one, other]);
    }
}

/// Replaces the first half of `nodes` with the parents of each pair of neighbours. The count of nodes must be even.
pub(crate) fn halve(nodes: &mut [Hash]) {
    let count = nodes.len() / 2;
    let mut done = 0;
    while done + 1 < count {
        let [a, b, c, d] = [0, 1, 2, 3].map(|place| nodes[2 * done + place]);
        let (one, other) = digest_two(&node_data(&a, &b), &node_data(&c, &d));
        nodes[done] = one;
        nodes[done + 1] = other;
        done += 2;
    }
    if done < count {
        nodes[done] = node_of(&nodes[2 * done], &nodes[2 * done + 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashing_many_entries_gives_the_same_hashes() {
        for count in 0..9_usize {
            let entries: Vec<Vec<u8>> = (0..count).map(|number| vec![7; 150 + 30 * number]).collect();
            let mut together = Vec::new();
            hash_entries(entries.iter().map(Vec::as_slice), &mut together);
            let alone: Vec<Hash> = entries.iter().map(|entry| entry_leaf(entry)).collect();
            assert_eq!(together, alone);
            let mut nodes = [&together[..], &together[..]].concat();
            let expected: Vec<Hash> = nodes.chunks_exact(2).map(|pair| node_of(&pair[0], &pair[1])).collect();
            halve(&mut nodes);
            assert_eq!(nodes[..count], expected);
        }
    }
}
