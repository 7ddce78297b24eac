//! Runs of decoded entries, and how they are read.

use std::sync::Arc;

use engine::Entry;
use types::Seq;

use super::{ContextSource, EntryInContext};
use crate::fault::Fault;
use crate::log::Reader as _;
use crate::segments::reader::FileReader;
use disk::Disk;

/// Runs are short, because a slow follower keeps a whole run in memory.
const ENTRIES_MAX: usize = 128;
/// A run ends with the entry that reaches this number of encoded bytes.
const ENCODED_BYTES: usize = 64 * 1024;

/// Consecutive entries, decoded once.
#[derive(Debug)]
pub struct EntryRun {
    first: Seq,
    entries: Vec<EntryInContext>,
    bytes: usize,
}

impl EntryRun {
    /// Looks up what these entries refer to. `encoded_bytes` is their size in the log.
    ///
    /// # Errors
    /// When `source` cannot read it.
    ///
    /// # Panics
    /// When there are no entries, or their sequences are not consecutive (TAL-1).
    pub fn new(entries: Vec<Entry>, encoded_bytes: usize, source: &impl ContextSource) -> Result<Self, Fault> {
        let first = entries.first().map(|entry| entry.header.seq).expect("TAL-1: a run has at least one entry");
        let in_order = (first.get()..).zip(&entries).all(|(seq, entry)| entry.header.seq.get() == seq);
        assert!(in_order, "TAL-1: the entries from {first} on are not consecutive");
        // Texts, lists and sealed data take about as much memory as bytes in the log.
        let bytes = entries.len() * size_of::<EntryInContext>() + encoded_bytes;
        Ok(Self { first, entries: EntryInContext::of_all(entries, source)?, bytes })
    }

    pub fn first(&self) -> Seq {
        self.first
    }

    pub fn last(&self) -> Seq {
        Seq::new(self.first.get() + self.entries.len() as u64 - 1)
    }

    /// The number of entries, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Approximate bytes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry with this sequence.
    pub fn get(&self, seq: Seq) -> Option<&EntryInContext> {
        let place = seq.get().checked_sub(self.first.get())?;
        self.entries.get(usize::try_from(place).ok()?)
    }
}

/// The result of one read of the log.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In order, without gaps.
    pub runs: Vec<Arc<EntryRun>>,
    /// The number of frames that were decoded.
    pub frames: u64,
}

impl<D: Disk> FileReader<D> {
    /// Decodes durable entries: the frame that contains `from` and the frames after it, until there are `enough`
    /// entries from `from` on or the segment ends. Returns no entries if `from` is not durable.
    ///
    /// # Errors
    /// When a file cannot be read or a frame is damaged.
    pub fn runs(&self, from: Seq, enough: usize, source: &impl ContextSource) -> Result<Decoded, Fault> {
        let durable = self.durable();
        let from = from.max(Seq::new(1));
        let mut decoder = RunDecoder { source, decoded: Decoded::default(), entries: Vec::new(), start: 0 };
        let Some(number) = self.places.segment_of(from).filter(|_| from <= durable) else { return Ok(decoder.decoded) };
        let point = self.places.point(number, |point| point.first <= from)?;
        let mut walk = self.places.walk(number, point)?;
        let (mut offset, mut found) = (0, 0);
        while walk.next.first <= durable && found < enough {
            // The first frame must be there; after the last frame of a segment, the next segment begins.
            let next = if found == 0 { Some(walk.expect_next()?) } else { walk.next()? };
            let Some((frame_at, header)) = next else { break };
            if header.last() < from {
                continue;
            }
            for read in walk.frame(frame_at, &header)?.iter() {
                let (entry, placed) = read.map_err(|cause| Fault::Undecodable { seq: header.first, cause })?;
                let seq = entry.header.seq;
                if seq <= durable {
                    found += usize::from(seq >= from);
                    decoder.push(entry, offset + placed.offset as usize)?;
                }
            }
            decoder.decoded.frames += 1;
            offset += header.payload_bytes;
        }
        decoder.finish(offset)
    }
}

/// Splits entries into runs.
struct RunDecoder<'s, S> {
    source: &'s S,
    decoded: Decoded,
    /// The current run.
    entries: Vec<Entry>,
    /// The encoded byte where it begins, counted from the first frame that was read.
    start: usize,
}

impl<S: ContextSource> RunDecoder<'_, S> {
    /// Adds an entry that begins at the encoded byte `at`.
    fn push(&mut self, entry: Entry, at: usize) -> Result<(), Fault> {
        if self.entries.len() >= ENTRIES_MAX || at - self.start >= ENCODED_BYTES {
            self.cut(at)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn cut(&mut self, at: usize) -> Result<(), Fault> {
        let entries = std::mem::take(&mut self.entries);
        if !entries.is_empty() {
            self.decoded.runs.push(Arc::new(EntryRun::new(entries, at - self.start, self.source)?));
        }
        self.start = at;
        Ok(())
    }

    fn finish(mut self, at: usize) -> Result<Decoded, Fault> {
        self.cut(at)?;
        Ok(self.decoded)
    }
}
