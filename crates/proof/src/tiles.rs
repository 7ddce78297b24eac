//! The tree in tiles: at each level the hashes since the last full tile of 256, and what a full tile becomes one level up.

use crate::hash::{Hash, halve};
use crate::path::{LEVELS, TILE_WIDTH};
use crate::tree::Tree;

/// Bytes of a hash.
pub(crate) const HASH_BYTES: u64 = 32;
/// Hashes of a full tile.
pub(crate) const WIDTH: usize = TILE_WIDTH as usize;
/// Leaves below a hash of a level are a power of two, this many times its level.
pub(crate) const LEVEL_BITS: u32 = 8;
const _: () = assert!(1 << LEVEL_BITS == WIDTH);

/// The place within its tile of a hash that is number `place` of its level.
pub(crate) fn within_tile(place: u64) -> usize {
    usize::try_from(place % WIDTH as u64).unwrap_or_default()
}

/// The right edge of a tree: all that has no full tile to stand in yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    /// By level, fewer than 256 hashes each.
    pub(crate) partial: [Vec<Hash>; LEVELS as usize],
}

impl Edge {
    /// How many hashes a level has.
    pub(crate) fn count(&self, level: u8) -> u64 {
        self.size >> (LEVEL_BITS * u32::from(level))
    }

    /// Appends leaves. `write` is told what comes new into each level, from the lowest up, and which place of the level
    /// the first of it has. Levels from `levels` on are left alone: what would come into the first of them is returned.
    pub(crate) fn grow<E>(
        &mut self,
        leaves: &[Hash],
        levels: u8,
        mut write: impl FnMut(u8, u64, &[Hash]) -> Result<(), E>,
    ) -> Result<Vec<Hash>, E> {
        let mut new = leaves.to_vec();
        for level in 0..levels {
            if new.is_empty() {
                break;
            }
            write(level, self.count(level), &new)?;
            let Some(partial) = self.partial.get_mut(usize::from(level)) else { break };
            let mut above = Vec::with_capacity(new.len() / WIDTH + 1);
            let (first, rest) = match partial.len() {
                0 => new.split_at(0),
                before => new.split_at(new.len().min(WIDTH - before)),
            };
            partial.extend(first);
            if let Ok(full) = partial.as_slice().try_into() {
                above.push(tile_root(full));
                partial.clear();
            }
            let (tiles, left) = rest.as_chunks::<WIDTH>();
            above.extend(tiles.iter().map(tile_root));
            partial.extend(left);
            new = above;
        }
        self.size += leaves.len() as u64;
        Ok(new)
    }

    /// The root over all leaves.
    pub(crate) fn root(&self) -> Hash {
        let mut below = None;
        for partial in &self.partial {
            // What is left over below is the last part of the tree over this level's hashes, only smaller.
            if !partial.is_empty() || below.is_some() {
                let mut tree = Tree::new();
                partial.iter().copied().chain(below).for_each(|hash| tree.push(hash));
                below = Some(tree.root());
            }
        }
        below.unwrap_or_else(|| Tree::new().root())
    }
}

/// The hash that stands for a full tile one level up.
pub(crate) fn tile_root(tile: &[Hash; WIDTH]) -> Hash {
    root_of_perfect(tile)
}

/// The root over a power of two of hashes, from one to a full tile of them.
pub(crate) fn root_of_perfect(hashes: &[Hash]) -> Hash {
    let mut nodes = [Hash::default(); WIDTH];
    nodes[..hashes.len()].copy_from_slice(hashes);
    let mut count = hashes.len();
    while count > 1 {
        halve(&mut nodes[..count]);
        count /= 2;
    }
    nodes[0]
}
