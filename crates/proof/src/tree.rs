//! A growing tree that keeps only what its root needs.

use crate::hash::{Hash, node_of, root_of_nothing};

/// An RFC 6962 tree to which leaves are appended. It keeps only the roots of its perfect subtrees, at most 64, so that
/// it gives the root of any number of leaves in constant memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// One root per set bit of `size`, the largest subtree first.
    roots: Vec<Hash>,
}

impl Tree {
    /// Creates an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the tree whose perfect subtrees have these roots, the largest first. Returns `None` unless there is
    /// exactly one root per set bit of `size`.
    pub fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (u32::try_from(roots.len()) == Ok(size.count_ones())).then_some(Self { size, roots })
    }

    /// Appends a leaf, given its hash (see `journal::leaf_hash`).
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing 1 bit of the size is a subtree as large as the one that `node` covers, so join them.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_of(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves, in order.
    pub fn root(&self) -> Hash {
        let mut smaller_first = self.roots.iter().rev();
        let Some(smallest) = smaller_first.next() else { return root_of_nothing() };
        smaller_first.fold(*smallest, |right, left| node_of(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf_of;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The definition in RFC 6962, section 2.1, word for word.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => root_of_nothing(),
            [leaf] => *leaf,
            more => {
                let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
                node_of(&defined_root(left), &defined_root(right))
            }
        }
    }

    /// The test vectors of the reference implementation of RFC 6962.
    #[test]
    fn known_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(hex(&tree.root()), *root, "{size} leaves");
            assert_eq!(tree.size(), size as u64);
            if let Some(leaf) = leaves.get(size) {
                tree.push(leaf_of(leaf));
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_matches_the_definition(count in 0_usize..600) {
            let leaves: Vec<Hash> = (0..count).map(|number| leaf_of(&number.to_le_bytes())).collect();
            let mut tree = Tree::new();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            prop_assert_eq!(tree.root(), defined_root(&leaves));
            let again = Tree::from_roots(tree.size, tree.roots.clone());
            prop_assert_eq!(again.as_ref(), Some(&tree));
            prop_assert_eq!(Tree::from_roots(tree.size * 2 + 1, tree.roots), None);
        }
    }
}
