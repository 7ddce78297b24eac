//! Artifacts: large objects that are stored in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::ArtifactChunk;

/// An artifact, of which some or all parts are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Artifact {
    count: u32,
    chunks: BTreeMap<u32, Arc<[u8]>>,
}

impl Artifact {
    pub(crate) fn store(&mut self, chunk: &ArtifactChunk) {
        self.count = chunk.count;
        self.chunks.insert(chunk.index, Arc::clone(&chunk.bytes));
    }

    pub(crate) fn has(&self, chunk: &ArtifactChunk) -> bool {
        self.chunks.contains_key(&chunk.index)
    }

    /// True if every part is stored.
    pub(crate) fn is_whole(&self) -> bool {
        self.count > 0 && self.chunks.len() as u64 == u64::from(self.count)
    }

    /// The whole artifact, if every part is stored.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        self.is_whole().then(|| self.chunks.values().flat_map(|chunk| chunk.iter().copied()).collect())
    }
}
