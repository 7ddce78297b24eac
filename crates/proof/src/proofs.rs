//! Inclusion and consistency proofs, RFC 6962 section 2.1: made from the nodes of a tree, checked from hashes alone.

use crate::hash::{Hash, node_of};

/// Where proofs take the nodes of a tree from.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The root of the perfect subtree over the 2^`level` leaves from `index` · 2^`level` on. It is only asked for leaves
    /// that the tree has.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `count`, which is at least 2: where a tree of so many leaves splits.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The root over the leaves from `low` to before `high`, at least one. They begin where a subtree of that size may.
fn range<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        return nodes.node(count.ilog2(), low >> count.ilog2());
    }
    let middle = low + split(count);
    Ok(node_of(&range(nodes, low, middle)?, &range(nodes, middle, high)?))
}

/// The root of the first `size` leaves; at least one.
pub(crate) fn root_at<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    range(nodes, 0, size)
}

/// The hashes that lead from the leaf `index` to the root of the first `size` leaves, the lowest first.
///
/// # Errors
/// When a node cannot be had.
///
/// # Panics
/// When there is no such leaf.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    assert!(index < size, "PRF-1: leaf {index} is not among {size}");
    let (mut low, mut high) = (0, size);
    let mut siblings = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            siblings.push((middle, high));
            high = middle;
        } else {
            siblings.push((low, middle));
            low = middle;
        }
    }
    siblings.into_iter().rev().map(|(low, high)| range(nodes, low, high)).collect()
}

/// The hashes that show that the tree of `new` leaves begins with the tree of `old` leaves.
///
/// # Errors
/// When a node cannot be had.
///
/// # Panics
/// When `old` is 0 or above `new`.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    assert!(0 < old && old <= new, "PRF-2: no proof leads from {old} leaves to {new}");
    let (mut low, mut high) = (0, new);
    let mut parts = Vec::new();
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            parts.push((middle, high));
            high = middle;
        } else {
            parts.push((low, middle));
            low = middle;
        }
    }
    // What is the old tree itself is known to whoever asks.
    if low > 0 {
        parts.push((low, high));
    }
    parts.into_iter().rev().map(|(low, high)| range(nodes, low, high)).collect()
}

/// Whether `proof` shows that the leaf with this hash is number `index` of the `size` leaves with this root.
pub fn verify_inclusion(leaf: &Hash, (index, size): (u64, u64), proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut node = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            node = node_of(sibling, &node);
            // A node without a right neighbour is taken up unchanged until it is one.
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            node = node_of(&node, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves; each is given as how many
/// leaves it has, and its root.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    let mut rest = proof.iter();
    // The old tree is a node of the new one: then the proof leaves it out.
    let first = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    let up = place.trailing_ones();
    place >>= up;
    last >>= up;
    let (mut old_node, mut new_node) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_node = node_of(sibling, &old_node);
            new_node = node_of(sibling, &new_node);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_node = node_of(&new_node, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_node == *old_root && new_node == *new_root
}
