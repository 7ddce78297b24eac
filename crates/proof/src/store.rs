//! Keeps the hashes of the tree on disk, and serves proofs and tiles from them.
//!
//! There is one file per level, `level-0` to `level-7`, with 32 bytes per hash and nothing else, so that a tile of 256
//! hashes is a contiguous part of its level's file. That takes 32 bytes per leaf plus 1/255 of that. The files need not
//! be durable, because they can be rebuilt. A hash that is read from them is trusted only if it leads to the right edge
//! of the tree, which is in memory. A start trusts the stored edge only if it gives the root of a signed checkpoint.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use disk::{Disk, DiskFile};
use journal::Fault;

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::path::{LEVELS, TILE_WIDTH};
use crate::proofs::{self, Nodes};
use crate::tiles::{Edge, HASH_BYTES, LEVEL_BITS, WIDTH, root_of_perfect, tile_root, within_tile};

/// The tree's files, and the only writer that appends to them.
#[derive(Debug)]
pub struct Store<D: Disk> {
    edge: Edge,
    tiles: Tiles<D>,
}

/// Reads the tree from any thread while it grows.
#[derive(Debug)]
pub struct Tiles<D: Disk>(Arc<Shared<D>>);

impl<D: Disk> Clone for Tiles<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<D: Disk> {
    disk: D,
    files: [OnceLock<D::File>; LEVELS as usize],
    edge: RwLock<Edge>,
    /// Allows only one repair at a time.
    mending: Mutex<()>,
}

/// Why a hash is not available.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system reported an error.
    #[error("cannot {action} {file} of the proofs: {cause}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        file: String,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The hash of a tile differs from the hash that the level above has for it.
    #[error("tile {index} of {} of the proofs is damaged; it can be rebuilt from the journal", file_name(*level))]
    Damaged {
        /// The tile's level.
        level: u8,
        /// The tile's number in the level.
        index: u64,
    },
    /// The entries of the journal give other hashes than the tree has.
    #[error(
        "entries {first} to {last} of the journal differ from the entries in the proofs: the journal was changed, or the proofs belong to another journal"
    )]
    OtherHistory {
        /// The first sequence of the tile.
        first: u64,
        /// The last sequence of the tile.
        last: u64,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] Fault),
}

pub(crate) fn file_name(level: u8) -> String {
    format!("level-{level}")
}

impl<D: Disk> Store<D> {
    /// Opens the tree whose files are in `disk`, with the size that `claimed` has. If the files do not give the root of
    /// `claimed`, or if `claimed` is `None`, the tree is empty, and the caller must append all leaves again.
    ///
    /// # Errors
    /// Fails if the file system reports an error.
    pub fn open(disk: D, claimed: Option<&Checkpoint>) -> Result<Self, StoreError> {
        let files = Default::default();
        let shared = Shared { disk, files, edge: RwLock::default(), mending: Mutex::default() };
        let mut edge = Edge::default();
        if let Some(claimed) = claimed {
            let found = shared.edge_of(claimed.size)?;
            edge = found.filter(|edge| edge.root() == claimed.root).unwrap_or_default();
        }
        shared.show(&edge);
        Ok(Self { edge, tiles: Tiles(Arc::new(shared)) })
    }

    /// Appends leaves, given their hashes.
    ///
    /// # Errors
    /// Fails if they cannot be written. Nothing is appended then.
    pub fn append(&mut self, leaves: &[Hash]) -> Result<(), StoreError> {
        let shared = &self.tiles.0;
        let mut edge = self.edge.clone();
        edge.grow(leaves, LEVELS, |level, first, hashes| shared.write(level, first, hashes))?;
        shared.show(&edge);
        self.edge = edge;
        Ok(())
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Syncs what was appended, so that it need not be rebuilt after a power failure.
    ///
    /// # Errors
    /// Fails if the file system reports an error.
    pub fn sync(&self) -> Result<(), StoreError> {
        let shared = &self.tiles.0;
        for (level, file) in (0..).zip(&shared.files) {
            if let Some(file) = file.get() {
                file.sync().map_err(|cause| io_error("sync", level, cause))?;
            }
        }
        shared.disk.sync_directory().map_err(|cause| io_error("sync the directory of", 0, cause))
    }

    /// Returns a reader of the tree.
    pub fn tiles(&self) -> Tiles<D> {
        self.tiles.clone()
    }
}

fn io_error(action: &'static str, level: u8, cause: io::Error) -> StoreError {
    StoreError::Io { action, file: file_name(level), cause }
}

impl<D: Disk> Shared<D> {
    fn show(&self, edge: &Edge) {
        self.edge.write().unwrap_or_else(PoisonError::into_inner).clone_from(edge);
    }

    fn file(&self, level: u8) -> Result<&D::File, StoreError> {
        let place = &self.files[usize::from(level)];
        if let Some(file) = place.get() {
            return Ok(file);
        }
        let name = file_name(level);
        let opened = self.disk.open(&name).map_err(|cause| io_error("open", level, cause))?;
        let file = match opened {
            Some(file) => file,
            None => self.disk.create(&name).map_err(|cause| io_error("create", level, cause))?,
        };
        Ok(place.get_or_init(|| file))
    }

    fn write(&self, level: u8, first: u64, hashes: &[Hash]) -> Result<(), StoreError> {
        let written = self.file(level)?.write_at(hashes.as_flattened(), first * HASH_BYTES);
        written.map_err(|cause| io_error("write", level, cause))
    }

    /// Reads hashes from the file, fewer than `count` if the file ends.
    fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
        let mut hashes = vec![Hash::default(); count];
        let read = self.file(level)?.read_at(hashes.as_flattened_mut(), first * HASH_BYTES);
        hashes.truncate(read.map_err(|cause| io_error("read", level, cause))? / size_of::<Hash>());
        Ok(hashes)
    }

    /// Reads the right edge of a tree of this size from the files. Returns `None` if they are too short.
    fn edge_of(&self, size: u64) -> Result<Option<Edge>, StoreError> {
        let mut edge = Edge { size, ..Edge::default() };
        for level in 0..LEVELS {
            let count = edge.count(level);
            let width = within_tile(count);
            if width > 0 {
                let hashes = self.read(level, count - width as u64, width)?;
                if hashes.len() < width {
                    return Ok(None);
                }
                edge.partial[usize::from(level)] = hashes;
            }
        }
        Ok(Some(edge))
    }
}

impl<D: Disk> Tiles<D> {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.with_edge(|edge| edge.size)
    }

    /// The size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.with_edge(|edge| (0..LEVELS).map(|level| edge.count(level) * HASH_BYTES).sum())
    }

    /// Reads and verifies the first `width` hashes of a tile. Returns `None` if the tile has fewer.
    ///
    /// # Errors
    /// Fails if the tile cannot be read or is damaged.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<Hash>>, StoreError> {
        let count = if level < LEVELS { self.with_edge(|edge| edge.count(level)) } else { 0 };
        let first = index.checked_mul(WIDTH as u64);
        let there = first.and_then(|first| count.checked_sub(first)).unwrap_or(0);
        if width == 0 || width > TILE_WIDTH || there < u64::from(width) {
            return Ok(None);
        }
        let mut hashes = self.whole_tile(level, index)?;
        hashes.truncate(usize::from(width));
        Ok(Some(hashes))
    }

    /// Returns the root over the first `size` leaves, or `None` if there are fewer.
    ///
    /// # Errors
    /// Fails if a tile cannot be read or is damaged.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, StoreError> {
        match size {
            0 => Ok(Some(crate::hash::root_of_nothing())),
            size if size <= self.size() => proofs::root_at(self, size).map(Some),
            _ => Ok(None),
        }
    }

    /// Rebuilds a damaged tile and everything below it. `leaves(number)` returns the hashes of at least one leaf,
    /// starting with that number.
    ///
    /// # Errors
    /// Fails if the leaves are not available, if the tile cannot be written, or if the leaves do not give the hash that
    /// the level above has for the tile. In the last case, the journal is not the one that the tree was built from.
    pub fn mend(
        &self,
        level: u8,
        index: u64,
        mut leaves: impl FnMut(u64) -> Result<Vec<Hash>, Fault>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.0.mending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.whole_tile(level, index).is_ok() {
            // The previous holder of the lock has already repaired the tile.
            return Ok(());
        }
        let expected = self.hash_at(level + 1, index)?;
        let leaves_each = 1_u64 << (LEVEL_BITS * (u32::from(level) + 1));
        let (first, end) = (index * leaves_each, (index + 1) * leaves_each);
        let mut edge = Edge { size: first, ..Edge::default() };
        let mut above = Vec::new();
        while edge.size < end {
            let mut some = leaves(edge.size)?;
            some.truncate(usize::try_from(end - edge.size).unwrap_or(usize::MAX));
            if some.is_empty() {
                break;
            }
            above.extend(edge.grow(&some, level + 1, |level, first, hashes| self.0.write(level, first, hashes))?);
        }
        if above == [expected] { Ok(()) } else { Err(StoreError::OtherHistory { first: first + 1, last: end }) }
    }

    fn with_edge<T>(&self, look: impl FnOnce(&Edge) -> T) -> T {
        look(&self.0.edge.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all hashes of a tile: a full tile from its file, verified with the level above, and the last tile of a
    /// level from memory.
    fn whole_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
        let partial = self.with_edge(|edge| {
            let is_last = edge.count(level) / WIDTH as u64 == index;
            is_last.then(|| edge.partial[usize::from(level)].clone())
        });
        if let Some(partial) = partial {
            return Ok(partial);
        }
        let expected = self.hash_at(level + 1, index)?;
        let hashes = self.0.read(level, index * WIDTH as u64, WIDTH)?;
        match hashes.as_slice().try_into() {
            Ok(full) if tile_root(full) == expected => Ok(hashes),
            Ok(_) | Err(_) => Err(StoreError::Damaged { level, index }),
        }
    }

    fn hash_at(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let tile = index / WIDTH as u64;
        let hashes = self.whole_tile(level, tile)?;
        // The tree has this hash, so if the tile is too short, its file is damaged.
        hashes.get(within_tile(index)).copied().ok_or(StoreError::Damaged { level, index: tile })
    }
}

impl<D: Disk> Nodes for Tiles<D> {
    type Error = StoreError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let (tile_level, above) = (level / LEVEL_BITS, level % LEVEL_BITS);
        let tile_level = u8::try_from(tile_level).expect("PRF-4: a tree has at most 64 levels");
        let (first, count) = (index << above, 1_usize << above);
        let tile = first / WIDTH as u64;
        let hashes = self.whole_tile(tile_level, tile)?;
        let place = within_tile(first);
        let nodes = hashes.get(place..place + count);
        nodes.map(root_of_perfect).ok_or(StoreError::Damaged { level: tile_level, index: tile })
    }
}
