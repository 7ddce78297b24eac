//! How much disk a tenant uses.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use datadir::{INDEX, JOURNAL, KEYS, PROOFS};

/// The unit of the system's block counts.
const BLOCK_BYTES: u64 = 512;

/// The folders of a shard.
pub(crate) fn parts_of(directory: &Path) -> Vec<PathBuf> {
    [JOURNAL, KEYS, INDEX, PROOFS].map(|name| directory.join(name)).to_vec()
}

/// The bytes that the files below a directory take on the disk. What cannot be read, for example because it was just
/// removed, counts as nothing.
pub(crate) fn of(directory: &Path) -> u64 {
    let Ok(items) = std::fs::read_dir(directory) else { return 0 };
    let sizes = items.filter_map(Result::ok).map(|item| match item.metadata() {
        Ok(metadata) if metadata.is_dir() => of(&item.path()),
        Ok(metadata) => metadata.blocks().saturating_mul(BLOCK_BYTES),
        Err(_gone) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}
