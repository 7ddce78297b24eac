//! A filter over ids: for most ids that are absent, it says so with one memory access.
//!
//! It is a Bloom filter of lines of eight 64-bit words, with about 20 bits per id. An id selects one line, and one bit
//! in each word of that line. The hash is part of the file format.

use std::sync::Arc;

use disk::Disk;

use crate::array::Array;
use crate::block::{BlockFile, Writer};
use crate::fault::Fault;
use crate::fixed::{Fixed, to_usize};

const BITS_PER_ID: u64 = 20;
const LINE_BITS: u64 = 512;
/// The number of hash bits that select a bit of a word.
const CHOICE_BITS: u32 = 6;

/// A cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

impl Fixed for Line {
    const BYTES: usize = 64;

    fn put(self, into: &mut [u8]) {
        for (word, into) in self.0.into_iter().zip(into.chunks_exact_mut(8)) {
            word.put(into);
        }
    }

    fn get(from: &[u8]) -> Self {
        let mut line = Self::default();
        for (word, from) in line.0.iter_mut().zip(from.chunks_exact(8)) {
            *word = u64::get(from);
        }
        line
    }
}

/// An id, hashed once so that many filters can be asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    line: u64,
    bits: Line,
}

impl Probe {
    #[inline]
    pub(crate) fn of(id: u128) -> Self {
        let (line, choices) = hash(id);
        let bits = Line([0, 1, 2, 3, 4, 5, 6, 7].map(|word| 1 << (choices >> (word * CHOICE_BITS) & 63)));
        Self { line, bits }
    }
}

#[derive(Debug)]
pub(crate) struct Filter {
    lines: Vec<Line>,
}

impl Filter {
    /// Creates an empty filter with room for `ids` ids.
    pub(crate) fn for_ids(ids: u64) -> Self {
        Self { lines: vec![Line::default(); to_usize((ids * BITS_PER_ID).div_ceil(LINE_BITS))] }
    }

    #[inline]
    pub(crate) fn insert(&mut self, id: u128) {
        let probe = Probe::of(id);
        let place = place(probe.line, self.lines.len());
        for (word, bits) in self.lines[place].0.iter_mut().zip(probe.bits.0) {
            *word |= bits;
        }
    }

    /// Returns false if the id was certainly not inserted.
    #[inline]
    pub(crate) fn may_hold(&self, probe: &Probe) -> bool {
        let Some(line) = self.lines.get(place(probe.line, self.lines.len())) else { return false };
        // This has no branch, so that lookups in several filters wait for memory at the same time.
        let missing = line.0.iter().zip(probe.bits.0).fold(0, |missing, (word, bits)| missing | (bits & !word));
        missing == 0
    }

    /// Writes the filter as one array.
    pub(crate) fn write<D: Disk>(&self, writer: &mut Writer<D>) -> Result<(), Fault> {
        writer.begin::<Line>()?;
        for &line in &self.lines {
            writer.push(line)?;
        }
        Ok(())
    }

    /// Reads the filter from the array that [`Filter::write`] wrote.
    pub(crate) fn load(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        let lines: Array<Line> = file.array(number)?;
        Ok(Self { lines: lines.load()? })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.lines.len() * Line::BYTES
    }
}

/// Maps a hash to a number below `count`, without a division.
#[inline]
fn place(hash: u64, count: usize) -> usize {
    to_usize(u64::try_from((u128::from(hash) * count as u128) >> 64).unwrap_or_default())
}

/// Multiplies and shifts both halves of the id in two rounds. Returns one hash to select the line and one for its bits.
#[inline]
fn hash(id: u128) -> (u64, u64) {
    const FACTORS: [u64; 4] =
        [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xff51_afd7_ed55_8ccd];
    let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default();
    let high = u64::try_from(id >> 64).unwrap_or_default();
    let mut mixed = (low ^ FACTORS[0]).wrapping_mul(FACTORS[1]);
    mixed = (mixed ^ (mixed >> 32) ^ high).wrapping_mul(FACTORS[2]);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(FACTORS[3]);
    let line = mixed ^ (mixed >> 32);
    let choices = line.wrapping_mul(FACTORS[0]);
    (line, choices ^ (choices >> 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files contain the results of this hash, so it must never change.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(0x0123_4567_89ab_cdef_0011_2233_4455_6677), (0x3a6e_82f3_c6d0_e317, 0x80d2_e5f4_8b62_0f08));
    }

    #[test]
    fn inserted_ids_are_found_and_few_others() {
        let id = |number: u64| u128::from(number) << 64 | u128::from(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut filter = Filter::for_ids(10_000);
        (0..10_000).for_each(|number| filter.insert(id(number)));
        assert!((0..10_000).all(|number| filter.may_hold(&Probe::of(id(number)))));
        let wrong = (10_000..110_000).filter(|&number| filter.may_hold(&Probe::of(id(number)))).count();
        assert!(wrong < 200, "{wrong} of 100,000 ids that were not inserted pass");
        assert!(!Filter::for_ids(0).may_hold(&Probe::of(7)));
    }
}
