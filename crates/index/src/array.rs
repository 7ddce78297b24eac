//! Arrays of fixed-size rows in a file, read by number or in order.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::block::{BLOCK_BYTES, BLOCKS_AT_ONCE, BlockFile, PAYLOAD_BYTES, Stretch};
use crate::fault::Fault;
use crate::fixed::{Fixed, to_usize};

/// An array of fixed-size rows in a file.
#[derive(Debug)]
pub(crate) struct Array<T> {
    file: Arc<BlockFile>,
    stretch: Stretch,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file), stretch: self.stretch, row: PhantomData }
    }
}

/// The rows of one block.
#[derive(Debug)]
pub(crate) struct Block<T> {
    bytes: [u8; BLOCK_BYTES],
    pub(crate) rows: usize,
    row: PhantomData<fn() -> T>,
}

impl<T: Fixed> Block<T> {
    pub(crate) fn row(&self, number: usize) -> T {
        debug_assert!(number < self.rows);
        T::get(&self.bytes[number * T::BYTES..])
    }
}

impl<T: Fixed> Array<T> {
    const PER_BLOCK: u64 = (PAYLOAD_BYTES / T::BYTES) as u64;

    pub(crate) fn new(file: &Arc<BlockFile>, stretch: Stretch) -> Self {
        Self { file: Arc::clone(file), stretch, row: PhantomData }
    }

    pub(crate) fn len(&self) -> u64 {
        self.stretch.rows
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.stretch.rows.div_ceil(Self::PER_BLOCK)
    }

    pub(crate) fn file(&self) -> &BlockFile {
        &self.file
    }

    /// The number of the first row in a block.
    pub(crate) fn first_of(block: u64) -> u64 {
        block * Self::PER_BLOCK
    }

    pub(crate) fn block(&self, number: u64) -> Result<Block<T>, Fault> {
        let rows = to_usize((self.stretch.rows - Self::first_of(number)).min(Self::PER_BLOCK));
        let mut block = Block { bytes: [0; BLOCK_BYTES], rows, row: PhantomData };
        self.file.read_blocks(self.stretch.first_block + number, &mut block.bytes)?;
        Ok(block)
    }

    pub(crate) fn row(&self, number: u64) -> Result<T, Fault> {
        let block = self.block(number / Self::PER_BLOCK)?;
        Ok(block.row(to_usize(number % Self::PER_BLOCK)))
    }

    /// Reads the rows `from..to` in order, with read-ahead.
    pub(crate) fn cursor(&self, from: u64, to: u64) -> Cursor<T> {
        debug_assert!(from <= to && to <= self.len());
        Cursor { array: self.clone(), next: from, end: to, buffer: Vec::new(), at: 0, in_block: 0 }
    }

    /// Reads every row in order, with read-ahead.
    pub(crate) fn all(&self) -> Cursor<T> {
        self.cursor(0, self.len())
    }

    /// Reads all rows into memory.
    pub(crate) fn load(&self) -> Result<Vec<T>, Fault> {
        let mut rows = Vec::with_capacity(to_usize(self.len()));
        for row in self.all() {
            rows.push(row?);
        }
        Ok(rows)
    }
}

/// Reads rows in order.
#[derive(Debug)]
pub(crate) struct Cursor<T> {
    array: Array<T>,
    /// The next row to read, and the row to stop before.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    /// The offset of the next row in the buffer, and how many rows of its block are left.
    at: usize,
    in_block: u64,
}

impl<T: Fixed> Cursor<T> {
    /// The number of rows left.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.next
    }

    /// Moves to the block of the next row, and reads more blocks when the buffer is used up.
    #[cold]
    fn turn(&mut self) -> Result<(), Fault> {
        let block = self.next / Array::<T>::PER_BLOCK;
        let row = self.next % Array::<T>::PER_BLOCK;
        let start = self.at.next_multiple_of(BLOCK_BYTES);
        if start >= self.buffer.len() {
            let blocks = (self.end - 1) / Array::<T>::PER_BLOCK + 1 - block;
            let count = to_usize(blocks).min(BLOCKS_AT_ONCE);
            self.buffer.resize(count * BLOCK_BYTES, 0);
            self.array.file.read_blocks(self.array.stretch.first_block + block, &mut self.buffer)?;
            self.at = 0;
        } else {
            self.at = start;
        }
        self.at += to_usize(row) * T::BYTES;
        self.in_block = Array::<T>::PER_BLOCK - row;
        Ok(())
    }
}

impl<T: Fixed> Iterator for Cursor<T> {
    type Item = Result<T, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        if self.in_block == 0
            && let Err(fault) = self.turn()
        {
            self.next = self.end;
            return Some(Err(fault));
        }
        let row = T::get(&self.buffer[self.at..]);
        self.at += T::BYTES;
        self.in_block -= 1;
        self.next += 1;
        Some(Ok(row))
    }
}
