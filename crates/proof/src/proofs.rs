//! Inclusion and consistency proofs (RFC 6962, section 2.1). Creating one needs the nodes of a tree; verifying one
//! needs only hashes.

use crate::hash::{Hash, node_of};

/// The source of a tree's nodes.
pub trait Nodes {
    /// Why a node is not available.
    type Error;

    /// Returns the root of the perfect subtree over the 2^`level` leaves that start at `index` · 2^`level`. It is
    /// called only for leaves that are in the tree.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `count`, which must be at least 2. A tree with `count` leaves splits there.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The root over the leaves `low..high`. There must be at least one, and `low` must be a valid start for a subtree of
/// that size.
fn range<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        return nodes.node(count.ilog2(), low >> count.ilog2());
    }
    let middle = low + split(count);
    Ok(node_of(&range(nodes, low, middle)?, &range(nodes, middle, high)?))
}

/// The root of the first `size` leaves, which must be at least one.
pub(crate) fn root_at<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    range(nodes, 0, size)
}

/// Returns the hashes that lead from the leaf `index` to the root of the first `size` leaves, the lowest first.
///
/// # Errors
/// Fails if a node is not available.
///
/// # Panics
/// If the tree of `size` leaves has no leaf `index`.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    assert!(index < size, "PRF-1: leaf {index} is not in a tree of {size} leaves");
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

/// Returns the hashes that prove that the tree of `new` leaves starts with the tree of `old` leaves.
///
/// # Errors
/// Fails if a node is not available.
///
/// # Panics
/// If `old` is 0 or above `new`.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    assert!(0 < old && old <= new, "PRF-2: consistency cannot be proved from {old} leaves to {new}");
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
    // The root of the old tree itself is left out, because the verifier knows it.
    if low > 0 {
        parts.push((low, high));
    }
    parts.into_iter().rev().map(|(low, high)| range(nodes, low, high)).collect()
}

/// Whether `proof` shows that the leaf with this hash is number `index` of the `size` leaves under this root.
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
            // A node without a right sibling moves up unchanged until it is a right child.
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

/// Whether `proof` shows that the tree of `new` leaves starts with the tree of `old` leaves. Each tree is given as its
/// number of leaves and its root.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    let mut rest = proof.iter();
    // If the old tree is a node of the new one, the proof leaves it out.
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
