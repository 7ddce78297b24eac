//! Files of checksummed blocks.
//!
//! A file consists of blocks of 4,096 bytes. The last four bytes of a block are the CRC-32C of the other bytes. The
//! checksum is seeded with the file's name, the journal's origin and the block's number, so it also detects a block of
//! another file or from another position. The first block is the header:
//!
//! | offset | bytes | field |
//! | ---: | ---: | --- |
//! | 0 | 8 | magic `FINAIDX` and a zero |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of arrays |
//! | 16 | 16 | origin of the journal |
//! | 32 | 4 | first generation |
//! | 36 | 4 | last generation |
//! | 40 | 8 | blocks in the file |
//! | 48 | 20 each | per array: first block (8), rows (8), bytes of a row (4) |
//!
//! An array is a sequence of fixed-size rows. No row crosses a block boundary; the unused rest of a block is zero. The
//! code that writes a file defines what each of its arrays contains.

use std::fmt;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use types::Origin;

use crate::array::Array;
use crate::fault::Fault;
use crate::fixed::{Fixed, to_u32, to_usize};

/// The size of a block, in bytes.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// The bytes of a block that can hold rows.
pub(crate) const PAYLOAD_BYTES: usize = BLOCK_BYTES - 4;
/// How many blocks one call writes, or reads ahead: 256 KiB.
pub(crate) const BLOCKS_AT_ONCE: usize = 64;
const MAGIC: [u8; 8] = *b"FINAIDX\0";
const FORMAT_VERSION: u32 = 3;
const ARRAYS_OFFSET: usize = 48;
const ARRAY_BYTES: usize = 20;

/// Identifies a file: its name, its journal and its generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// The generations that the file covers, both inclusive.
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Label {
    /// The seed of every block's checksum.
    fn salt(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(self.name.as_bytes()), &self.origin.get().to_le_bytes())
    }
}

fn checksum(salt: u32, number: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, &number.to_le_bytes()), payload)
}

#[derive(Debug, Clone, Copy, Default)]
/// The location of an array in a file.
pub(crate) struct Stretch {
    pub(crate) first_block: u64,
    pub(crate) rows: u64,
    row_bytes: usize,
}

/// Writes a file from front to back, under a temporary name until it is complete.
pub(crate) struct Writer<D: Disk> {
    disk: D,
    unfinished: Unfinished<D>,
    file: D::File,
    label: Label,
    salt: u32,
    buffer: Vec<u8>,
    /// The offset of the current block in the buffer, and how many of its bytes are used.
    block_start: usize,
    block_used: usize,
    /// How many blocks of the file precede the buffer.
    flushed: u64,
    arrays: Vec<Stretch>,
}

/// Removes an incomplete file on drop, to free its disk space.
struct Unfinished<D: Disk> {
    disk: D,
    name: Option<String>,
}

impl<D: Disk> Drop for Unfinished<D> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // If this fails, the next start removes the file.
            drop(self.disk.remove(name));
        }
    }
}

/// The name of a file while it is being written.
pub(crate) fn temporary(name: &str) -> String {
    format!("{name}.new")
}

impl<D: Disk> Writer<D> {
    pub(crate) fn create(disk: &D, label: Label) -> Result<Self, Fault> {
        let file = disk.create(&temporary(&label.name)).map_err(Fault::io("create", &label.name))?;
        let buffer = vec![0; BLOCK_BYTES * BLOCKS_AT_ONCE];
        let salt = label.salt();
        // The header is written last.
        let (block_start, block_used, flushed) = (0, 0, 1);
        let unfinished = Unfinished { disk: disk.clone(), name: Some(temporary(&label.name)) };
        let (disk, arrays) = (disk.clone(), Vec::new());
        Ok(Self { disk, unfinished, file, label, salt, buffer, block_start, block_used, flushed, arrays })
    }

    /// Begins the next array. An array ends where the next one begins.
    pub(crate) fn begin<T: Fixed>(&mut self) -> Result<(), Fault> {
        const { assert!(T::BYTES <= PAYLOAD_BYTES, "a row fits a block") };
        if self.block_used > 0 {
            self.end_block()?;
        }
        self.arrays.push(Stretch { first_block: self.next_block(), rows: 0, row_bytes: T::BYTES });
        Ok(())
    }

    /// Appends a row to the current array. Returns true if the row is the first of a block.
    #[inline]
    pub(crate) fn push<T: Fixed>(&mut self, row: T) -> Result<bool, Fault> {
        if self.block_used + T::BYTES > PAYLOAD_BYTES {
            self.end_block()?;
        }
        let start = self.block_start + self.block_used;
        row.put(&mut self.buffer[start..start + T::BYTES]);
        let is_first = self.block_used == 0;
        self.block_used += T::BYTES;
        let array = self.arrays.last_mut().expect("rows are written to an array");
        debug_assert_eq!(array.row_bytes, T::BYTES, "an array has rows of one kind");
        array.rows += 1;
        Ok(is_first)
    }

    /// Writes the rest and the header, syncs the file, and renames it to its final name. The new name is durable only
    /// after the directory is synced.
    pub(crate) fn finish(mut self) -> Result<BlockFile, Fault> {
        if self.block_used > 0 {
            self.end_block()?;
        }
        self.flush()?;
        let header = self.header();
        let Self { disk, mut unfinished, file, label, salt, flushed: blocks, arrays, .. } = self;
        file.write_at(&header, 0).map_err(Fault::io("write", &label.name))?;
        file.sync().map_err(Fault::io("sync", &label.name))?;
        disk.rename(&temporary(&label.name), &label.name).map_err(Fault::io("rename", &label.name))?;
        unfinished.name = None;
        Ok(BlockFile::new(&disk, file, label, salt, blocks, arrays))
    }

    fn next_block(&self) -> u64 {
        self.flushed + (self.block_start / BLOCK_BYTES) as u64
    }

    fn end_block(&mut self) -> Result<(), Fault> {
        let number = self.next_block();
        let block = &mut self.buffer[self.block_start..self.block_start + BLOCK_BYTES];
        seal_block(block, self.block_used, self.salt, number);
        self.block_start += BLOCK_BYTES;
        self.block_used = 0;
        if self.block_start == self.buffer.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let bytes = &self.buffer[..self.block_start];
        let offset = self.flushed * BLOCK_BYTES as u64;
        self.file.write_at(bytes, offset).map_err(Fault::io("write", &self.label.name))?;
        self.flushed += (self.block_start / BLOCK_BYTES) as u64;
        self.block_start = 0;
        Ok(())
    }

    fn header(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK_BYTES];
        block[..8].copy_from_slice(&MAGIC);
        FORMAT_VERSION.put(&mut block[8..]);
        to_u32(self.arrays.len()).put(&mut block[12..]);
        self.label.origin.get().put(&mut block[16..]);
        self.label.first.put(&mut block[32..]);
        self.label.last.put(&mut block[36..]);
        self.flushed.put(&mut block[40..]);
        let mut at = ARRAYS_OFFSET;
        for array in &self.arrays {
            array.first_block.put(&mut block[at..]);
            array.rows.put(&mut block[at + 8..]);
            to_u32(array.row_bytes).put(&mut block[at + 16..]);
            at += ARRAY_BYTES;
        }
        seal_block(&mut block, at, self.salt, 0);
        block
    }
}

/// Zeroes the unused part of a block and writes its checksum.
fn seal_block(block: &mut [u8], used: usize, salt: u32, number: u64) {
    block[used..PAYLOAD_BYTES].fill(0);
    let checksum = checksum(salt, number, &block[..PAYLOAD_BYTES]);
    checksum.put(&mut block[PAYLOAD_BYTES..]);
}

/// A complete file. Every read checks the checksum.
pub(crate) struct BlockFile {
    file: Box<dyn DiskFile>,
    label: Label,
    salt: u32,
    blocks: u64,
    arrays: Vec<Stretch>,
    /// Removes the file, so that the next start does not find it again.
    set_aside: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for BlockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockFile").field("label", &self.label).field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl BlockFile {
    fn new<D: Disk>(disk: &D, file: D::File, label: Label, salt: u32, blocks: u64, arrays: Vec<Stretch>) -> Self {
        let (disk, name) = (disk.clone(), label.name.clone());
        let set_aside = Box::new(move || {
            // The caller reports the fault that led here, even if this fails. If the file stays, it is found damaged
            // again.
            drop(disk.remove(&name));
        });
        Self { file: Box::new(file), label, salt, blocks, arrays, set_aside }
    }

    /// Opens a file and checks its header and length. Returns `None` if the file does not exist.
    pub(crate) fn open<D: Disk>(disk: &D, label: Label) -> Result<Option<Self>, Fault> {
        let Some(file) = disk.open(&label.name).map_err(Fault::io("open", &label.name))? else { return Ok(None) };
        let bytes = file.len().map_err(Fault::io("read", &label.name))?;
        let salt = label.salt();
        let mut opened = Self::new(disk, file, label, salt, 1, Vec::new());
        let mut header = [0; BLOCK_BYTES];
        opened.read_blocks(0, &mut header)?;
        let about = (u128::get(&header[16..]), u32::get(&header[32..]), u32::get(&header[36..]));
        if header[..8] != MAGIC || u32::get(&header[8..]) != FORMAT_VERSION {
            return Err(opened.damaged(0, "its header has another format version"));
        }
        if about != (opened.label.origin.get(), opened.label.first, opened.label.last) {
            return Err(opened.damaged(0, "its header belongs to another file"));
        }
        opened.blocks = u64::get(&header[40..]);
        if bytes != opened.blocks * BLOCK_BYTES as u64 {
            return Err(opened.damaged(0, "the file's length differs from the length in its header"));
        }
        let count = to_usize(u32::get(&header[12..]).into());
        let arrays = header[ARRAYS_OFFSET..PAYLOAD_BYTES].chunks_exact(ARRAY_BYTES).take(count);
        opened.arrays = arrays
            .map(|bytes| Stretch {
                first_block: u64::get(bytes),
                rows: u64::get(&bytes[8..]),
                row_bytes: to_usize(u32::get(&bytes[16..]).into()),
            })
            .collect();
        Ok(Some(opened))
    }

    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blocks * BLOCK_BYTES as u64
    }

    /// The size on disk of the arrays `from..to`, in bytes.
    pub(crate) fn bytes_of(&self, from: usize, to: usize) -> u64 {
        let start = |number: usize| self.arrays.get(number).map_or(self.blocks, |array| array.first_block);
        (start(to) - start(from)) * BLOCK_BYTES as u64
    }

    /// Removes the file. Open handles can still read it.
    pub(crate) fn remove(&self) {
        (self.set_aside)();
    }

    /// Returns the array with this number.
    pub(crate) fn array<T: Fixed>(self: &Arc<Self>, number: usize) -> Result<Array<T>, Fault> {
        let stretch = self.arrays.get(number).filter(|stretch| stretch.row_bytes == T::BYTES).copied();
        let stretch = stretch.ok_or_else(|| self.damaged(0, "an array is missing"))?;
        Ok(Array::new(self, stretch))
    }

    /// Fills `buffer` with whole blocks, starting at block `first`.
    pub(crate) fn read_blocks(&self, first: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let count = self.file.read_at(buffer, first * BLOCK_BYTES as u64);
        let count = count.map_err(Fault::io("read", &self.label.name))?;
        if count != buffer.len() {
            return Err(self.damaged(first, "the file ends before this block"));
        }
        for (number, block) in (first..).zip(buffer.chunks_exact(BLOCK_BYTES)) {
            if checksum(self.salt, number, &block[..PAYLOAD_BYTES]) != u32::get(&block[PAYLOAD_BYTES..]) {
                return Err(self.damaged(number, "it does not match its checksum"));
            }
        }
        Ok(())
    }

    pub(crate) fn damaged(&self, block: u64, what: &'static str) -> Fault {
        (self.set_aside)();
        Fault::Damaged { file: self.label.name.clone(), block, what }
    }
}
