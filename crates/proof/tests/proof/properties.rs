//! Valid proofs of all leaves and sizes are accepted, and all others are rejected.

use proof::{Hash, Nodes, consistency, inclusion, node_of, verify_consistency, verify_inclusion};
use proptest::prelude::*;

use super::leaves;

/// A tree in memory that follows the definition.
struct Plain(Vec<Hash>);

impl Nodes for Plain {
    type Error = std::convert::Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let (first, count) = (usize::try_from(index << level).unwrap(), 1 << level);
        Ok(root(&self.0[first..first + count]))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    node_of(&root(left), &root(right))
}

/// Copies of `proof` with one bit changed, or with one hash too many or too few.
fn spoilt(proof: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let mut spoilt = vec![[proof, &[Hash::default()]].concat()];
    if let Some((_, rest)) = proof.split_last() {
        let mut flipped = proof.to_vec();
        flipped.as_flattened_mut()[bit / 8 % (proof.len() * 32)] ^= 1 << (bit % 8);
        spoilt.extend([flipped, rest.to_vec()]);
    }
    spoilt
}

#[test]
fn all_proofs_of_small_trees_are_accepted() {
    let tree = Plain(leaves(0..40));
    for size in 1..=40_u64 {
        let new = root(&tree.0[..usize::try_from(size).unwrap()]);
        for index in 0..size {
            let Ok(proof) = inclusion(&tree, index, size);
            let leaf = &tree.0[usize::try_from(index).unwrap()];
            assert!(verify_inclusion(leaf, (index, size), &proof, &new), "leaf {index} of {size}");
            for other in (0..=size).filter(|other| *other != index) {
                assert!(!verify_inclusion(leaf, (other, size), &proof, &new), "leaf {index} of {size} as {other}");
            }
        }
        for old_size in 1..=size {
            let Ok(proof) = consistency(&tree, old_size, size);
            let old = root(&tree.0[..usize::try_from(old_size).unwrap()]);
            assert!(verify_consistency((old_size, &old), (size, &new), &proof), "{old_size} to {size}");
            for other in (0..=size + 1).filter(|other| *other != old_size) {
                assert!(!verify_consistency((other, &old), (size, &new), &proof), "{old_size} to {size} as {other}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_changed_proof_is_rejected(size in 1_u64..600, a: u64, bit: usize) {
        let tree = Plain(leaves(0..size));
        let (index, old_size) = (a % size, a % size + 1);
        let (leaf, new) = (tree.0[usize::try_from(index).unwrap()], root(&tree.0));
        let old = root(&tree.0[..usize::try_from(old_size).unwrap()]);
        let mut other = leaf;
        other[bit / 8 % 32] ^= 1 << (bit % 8);

        let Ok(proof) = inclusion(&tree, index, size);
        prop_assert!(verify_inclusion(&leaf, (index, size), &proof, &new));
        prop_assert!(!verify_inclusion(&other, (index, size), &proof, &new));
        for spoilt in spoilt(&proof, bit) {
            prop_assert!(!verify_inclusion(&leaf, (index, size), &spoilt, &new));
        }

        let Ok(proof) = consistency(&tree, old_size, size);
        prop_assert!(verify_consistency((old_size, &old), (size, &new), &proof));
        prop_assert!(!verify_consistency((old_size, &other), (size, &new), &proof));
        prop_assert!(!verify_consistency((old_size, &old), (size, &other), &proof));
        for spoilt in spoilt(&proof, bit) {
            prop_assert!(!verify_consistency((old_size, &old), (size, &new), &spoilt));
        }
    }
}
