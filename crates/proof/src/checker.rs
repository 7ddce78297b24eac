//! Compares the files of a tree with all the leaves it should be made of, for `finaira verify`.

use disk::{Disk, DiskFile};

use crate::hash::Hash;
use crate::path::LEVELS;
use crate::store::{StoreError, file_name};
use crate::tiles::{Edge, HASH_BYTES, LEVEL_BITS};

/// Takes every leaf of a journal in order, and checks that the files contain the hashes that follow from the leaves.
#[derive(Debug)]
pub struct Checker<D: Disk> {
    edge: Edge,
    files: Vec<Option<D::File>>,
    /// The number of hashes in each file.
    stored: Vec<u64>,
}

/// A hash in the files is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} of the proofs is damaged at byte {offset}; delete the file, and the server rebuilds it at the next start"
)]
pub struct Mismatch {
    /// The name of the file.
    pub file: String,
    /// The offset of the wrong hash in the file.
    pub offset: u64,
}

impl<D: Disk> Checker<D> {
    /// Opens the files in a directory. If there are none, there is nothing to check.
    ///
    /// # Errors
    /// Fails if the file system reports an error.
    pub fn open(disk: &D) -> Result<Self, StoreError> {
        let (mut files, mut stored) = (Vec::new(), Vec::new());
        for level in 0..LEVELS {
            let file = file_name(level);
            let io = |action| {
                let file = file.clone();
                move |cause| StoreError::Io { action, file, cause }
            };
            let opened = disk.open(&file).map_err(io("open"))?;
            let bytes = opened.as_ref().map_or(Ok(0), DiskFile::len).map_err(io("measure"))?;
            stored.push(bytes / HASH_BYTES);
            files.push(opened);
        }
        Ok(Self { edge: Edge::default(), files, stored })
    }

    /// Takes the hashes of the next leaves. Passing many at once is faster.
    ///
    /// # Errors
    /// Fails if a file cannot be read. The inner result names the first wrong hash. Hashes that the files do not
    /// contain yet are not wrong: the server appends them when it starts.
    pub fn push(&mut self, leaves: &[Hash]) -> Result<Result<(), Mismatch>, StoreError> {
        let Self { edge, files, stored } = self;
        let mut wrong = None;
        edge.grow::<StoreError>(leaves, LEVELS, |level, first, hashes| {
            let of_level = usize::from(level);
            let count = stored.get(of_level).map_or(0, |stored| stored.saturating_sub(first)).min(hashes.len() as u64);
            let Some(Some(file)) = files.get(of_level).filter(|_| count > 0) else { return Ok(()) };
            let mut found = vec![Hash::default(); usize::try_from(count).unwrap_or(hashes.len())];
            let read = file.read_at(found.as_flattened_mut(), first * HASH_BYTES);
            read.map_err(|cause| StoreError::Io { action: "read", file: file_name(level), cause })?;
            if let Some((place, _)) = (first..).zip(found.iter().zip(hashes)).find(|(_, (found, hash))| found != hash) {
                wrong.get_or_insert(Mismatch { file: file_name(level), offset: place * HASH_BYTES });
            }
            Ok(())
        })?;
        Ok(wrong.map_or(Ok(()), Err))
    }

    /// The number of leaves taken so far.
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The root over these leaves.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// The number of leaves for which the files contain all hashes at all levels.
    pub fn stored(&self) -> u64 {
        let covered = |(level, stored): (u32, &u64)| {
            let leaves_each = 1_u64 << (LEVEL_BITS * level);
            // One leaf more would add another hash to this level.
            stored.saturating_add(1).saturating_mul(leaves_each).saturating_sub(1)
        };
        let above = (1..).zip(self.stored.iter().skip(1)).map(covered);
        above.chain(self.stored.first().copied()).min().unwrap_or(0)
    }
}
