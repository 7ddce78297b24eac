//! A list stored in chunks of equal size, so that it grows without copying and can drop its front.

use std::collections::VecDeque;

/// A list stored in chunks of equal size. Growing it never copies existing items, and its front can be dropped. An item
/// keeps its number, counted from 0, forever.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: VecDeque<Vec<T>>,
    /// Number of chunks that were dropped from the front.
    dropped: usize,
    len: usize,
}

const CHUNK_BITS: u32 = 12;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), dropped: 0, len: 0 }
    }
}

impl<T> Chunks<T> {
    /// Number of items ever added, which is also the number of the next one.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item and returns its number.
    pub(crate) fn push(&mut self, item: T) -> usize {
        match self.chunks.back_mut().filter(|chunk| chunk.len() < CHUNK_LEN) {
            Some(chunk) => chunk.push(item),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK_LEN);
                chunk.push(item);
                self.chunks.push_back(chunk);
            }
        }
        let number = self.len;
        self.len = self.len.saturating_add(1);
        number
    }

    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        let chunk = (number >> CHUNK_BITS).checked_sub(self.dropped)?;
        self.chunks.get(chunk)?.get(number & (CHUNK_LEN - 1))
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let chunk = (number >> CHUNK_BITS).checked_sub(self.dropped)?;
        self.chunks.get_mut(chunk)?.get_mut(number & (CHUNK_LEN - 1))
    }

    /// Iterates over the items from `number` on, in order.
    pub(crate) fn from(&self, number: usize) -> impl Iterator<Item = &T> {
        (number..self.len).map_while(|number| self.get(number))
    }

    /// Returns the first number from `start` on whose item is not `before`. Items that are `before` must come first.
    pub(crate) fn partition_point(&self, start: usize, before: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (start, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&before) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// Frees the memory of whole chunks before `number`. Items that share a chunk with `number` stay.
    pub(crate) fn drop_before(&mut self, number: usize) {
        while self.dropped < number >> CHUNK_BITS && self.chunks.pop_front().is_some() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
