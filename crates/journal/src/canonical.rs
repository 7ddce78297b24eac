//! Many entries in their canonical encodings, for whoever hashes a whole journal.

use types::Seq;

use crate::bytes::Encoder;

/// The canonical encodings of entries that follow one another, in one piece of memory.
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
    /// The sequence of the first entry; without meaning when there is none.
    pub fn first(&self) -> Seq {
        self.first
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without any entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The encodings, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| self.bytes.bytes.get(start..end).unwrap_or_default())
    }

    /// Begins anew, in the same memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.bytes.clear();
        self.ends.clear();
    }

    /// Counts what was appended to `bytes` as the next entry.
    pub(crate) fn end_entry(&mut self, seq: Seq) {
        if self.ends.is_empty() {
            self.first = seq;
        }
        self.ends.push(self.bytes.bytes.len());
    }
}
