//! Reads all tables again in small steps, so that blocks no query reads are checked too.

use std::fmt;
use std::sync::Arc;

use crate::block::{BLOCK_BYTES, BLOCKS_AT_ONCE, BlockFile};
use crate::fault::Fault;
use crate::index::Index;

/// The tables of one moment, while they are read from end to end.
pub struct Check {
    files: Vec<Arc<BlockFile>>,
    /// The next block to read of the last file in `files`.
    next: u64,
    buffer: Vec<u8>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("files", &self.files.len()).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Index {
    /// Starts a check of all tables that exist now.
    pub fn check_tables(&self) -> Check {
        let view = self.shared.view();
        let of_fields =
            view.runs.iter().flat_map(|listed| listed.fields.values().map(|table| Arc::clone(table.file())));
        let files = view.runs.iter().map(|listed| Arc::clone(listed.run.file())).chain(of_fields).collect();
        Check { files, next: 0, buffer: vec![0; BLOCK_BYTES * BLOCKS_AT_ONCE] }
    }
}

impl Check {
    /// Checks the next blocks, at most 256 KiB. Returns how many bytes it checked, or 0 when everything is checked.
    ///
    /// # Errors
    /// Fails if a block cannot be read or is damaged. A damaged file is removed.
    pub fn step(&mut self) -> Result<u64, Fault> {
        while let Some(file) = self.files.last() {
            let left = (file.bytes() / BLOCK_BYTES as u64).saturating_sub(self.next);
            let blocks = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCKS_AT_ONCE);
            if blocks > 0 {
                let buffer = &mut self.buffer[..blocks * BLOCK_BYTES];
                file.read_blocks(self.next, buffer)?;
                self.next += blocks as u64;
                return Ok(buffer.len() as u64);
            }
            self.files.pop();
            self.next = 0;
        }
        Ok(0)
    }
}
