//! The tree in tiles of 256 hashes. The hash of each full tile is a hash of the level above.

use crate::hash::{Hash, halve};
use crate::path::{LEVELS, TILE_WIDTH};
use crate::tree::Tree;

/// The size of a hash, in bytes.
pub(crate) const HASH_BYTES: u64 = 32;
/// The number of hashes in a full tile.
pub(crate) const WIDTH: usize = TILE_WIDTH as usize;
/// A hash of level n covers 2^(n · `LEVEL_BITS`) leaves.
pub(crate) const LEVEL_BITS: u32 = 8;
const _: () = assert!(1 << LEVEL_BITS == WIDTH);

/// The index within its tile of hash number `place` of a level.
pub(crate) fn within_tile(place: u64) -> usize {
    usize::try_from(place % WIDTH as u64).unwrap_or_default()
}

/// The right edge of a tree: the hashes that are not in a full tile yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    /// The partial tile of each level, with fewer than 256 hashes.
    pub(crate) partial: [Vec<Hash>; LEVELS as usize],
}

impl Edge {
    /// The number of hashes at a level.
    pub(crate) fn count(&self, level: u8) -> u64 {
        self.size >> (LEVEL_BITS * u32::from(level))
    }

    /// Appends leaves. It calls `write` with the new hashes of each level, from the lowest level up, and the number of
    /// the first of them in its level. It stops below level `levels` and returns the hashes that would be added to that
    /// level.
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
            // The incomplete part below this level is the last, smaller subtree after this level's hashes.
            if !partial.is_empty() || below.is_some() {
                let mut tree = Tree::new();
                partial.iter().copied().chain(below).for_each(|hash| tree.push(hash));
                below = Some(tree.root());
            }
        }
        below.unwrap_or_else(|| Tree::new().root())
    }
}

/// The hash of a full tile at the level above.
pub(crate) fn tile_root(tile: &[Hash; WIDTH]) -> Hash {
    root_of_perfect(tile)
}

/// The root over a power of two of hashes, at most a full tile.
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
