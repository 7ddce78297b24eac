//! Shallow trees as complete binary trees, eight of them side by side.
//!
//! Every walk through a complete tree of one depth takes the same number of steps, and the place of a node's children
//! follows from its own. So a step needs neither a test for a leaf nor a jump that the processor could mispredict, and
//! the steps of eight trees overlap while each waits for memory.

use super::node::{IsNegative, Node};

/// The number of trees in a block.
pub(super) const TOGETHER: usize = 8;

/// The question of one place in a complete tree.
#[derive(Debug, Clone, Copy)]
struct Split {
    threshold: f32,
    /// The column, with [`Split::NEGATIVE`] set if the question is about its negative.
    column: u32,
}

impl Split {
    const NEGATIVE: u32 = 1 << 31;
    /// A question whose answer is always "no". It stands above the copies of a leaf.
    const NO: Self = Self { threshold: f32::NEG_INFINITY, column: 0 };
}

/// Eight trees of at most `log2(PLACES)` branches from root to leaf.
#[derive(Debug)]
pub(super) struct Block<const PLACES: usize> {
    /// The root has place 1, and the children of place `n` have places `2n` for "yes" and `2n + 1` for "no".
    splits: Vec<[Split; PLACES]>,
    leaves: Vec<[f32; PLACES]>,
}

impl<const PLACES: usize> Block<PLACES> {
    /// Lays out flattened trees. `None` if one is too deep or asks a question other than of order.
    pub(super) fn new(trees: &[&[Node]]) -> Option<Self> {
        const { assert!(PLACES.is_power_of_two()) };
        let mut block = Self { splits: Vec::new(), leaves: Vec::new() };
        for nodes in trees {
            let mut splits = [Split::NO; PLACES];
            let mut leaves = [0.0; PLACES];
            // Places are filled in order, so each place's node is known when it is its turn.
            let mut at = vec![0; 2 * PLACES];
            for place in 1..PLACES {
                at[place] = skip_constants(nodes, at[place]);
                let node = nodes[at[place]];
                at[2 * place] = at[place];
                at[2 * place + 1] = at[place];
                if node.value().is_none() {
                    let (threshold, IsNegative(is_negative)) = node.below()?;
                    let sign = if is_negative { Split::NEGATIVE } else { 0 };
                    splits[place] = Split { threshold, column: u32::try_from(node.column()).ok()? | sign };
                    at[2 * place] += 1;
                    at[2 * place + 1] += node.jump();
                }
            }
            for (leaf, at) in leaves.iter_mut().zip(&at[PLACES..]) {
                *leaf = nodes[skip_constants(nodes, *at)].value()?;
            }
            block.splits.push(splits);
            block.leaves.push(leaves);
        }
        Some(block)
    }

    /// The values of the leaves that a row reaches, tree after tree.
    #[inline]
    pub(super) fn values(&self, row: &[f32]) -> [f32; TOGETHER] {
        let (Some(splits), Some(leaves)) =
            (self.splits.first_chunk::<TOGETHER>(), self.leaves.first_chunk::<TOGETHER>())
        else {
            return [0.0; TOGETHER];
        };
        let mut places = [1; TOGETHER];
        for _ in 0..PLACES.trailing_zeros() {
            for (place, splits) in places.iter_mut().zip(splits) {
                let Split { threshold, column } = splits[*place & (PLACES - 1)];
                let value = row[(column & !Split::NEGATIVE) as usize];
                let is_yes = f32::from_bits(value.to_bits() ^ (column & Split::NEGATIVE)) < threshold;
                *place = 2 * *place + usize::from(!is_yes);
            }
        }
        let mut values = [0.0; TOGETHER];
        for ((value, place), leaves) in values.iter_mut().zip(places).zip(leaves) {
            *value = leaves[place & (PLACES - 1)];
        }
        values
    }
}

/// Where a walk goes on from `at` if the node there is a branch that always answers "no".
fn skip_constants(nodes: &[Node], mut at: usize) -> usize {
    while nodes[at].value().is_none() && nodes[at].below() == Some((f32::NEG_INFINITY, IsNegative(false))) {
        at += nodes[at].jump();
    }
    at
}
