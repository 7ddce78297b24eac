//! Canonical encodings of many entries, for hashing a whole journal.

use types::Seq;

use crate::bytes::Encoder;

/// The canonical encodings of consecutive entries, in one buffer.
#[derive(Debug)]
pub struct CanonicalRun {
    first: Seq,
    pub(crate) bytes: Encoder,
    ends: Vec<usize>,
}

impl Default for CanonicalRun {
    fn default() -> Self {
        Self { first: Seq::ZERO, bytes: Encoder::default(), ends: Vec::new() }
    }
}

impl CanonicalRun {
    /// The sequence of the first entry; meaningless if there is none.
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The encodings, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| self.bytes.bytes.get(start..end).unwrap_or_default())
    }

    /// Clears the run and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.bytes.clear();
        self.ends.clear();
    }

    /// Counts the bytes appended since the last call as the next entry.
    pub(crate) fn end_entry(&mut self, seq: Seq) {
        if self.ends.is_empty() {
            self.first = seq;
        }
        self.ends.push(self.bytes.bytes.len());
    }
}
