//! Sorted tables. The rows are in order of key, and the first key of every block (its *fence*) is in memory, so that
//! any row is found with one read.

use disk::Disk;

use crate::array::{Array, Block, Cursor};
use crate::block::{BlockFile, Writer};
use crate::fault::Fault;
use crate::fixed::Row;
use std::sync::Arc;

/// A sorted table of a file. It takes two arrays: the rows, and the fences followed by the last key.
#[derive(Debug)]
pub(crate) struct Table<R: Row> {
    rows: Array<R>,
    fences: Vec<R::Key>,
    last: Option<R::Key>,
}

/// The number of arrays that a table takes.
pub(crate) const TABLE_ARRAYS: usize = 2;

/// Writes a table. The rows must be pushed in order.
pub(crate) struct TableWriter<'a, R: Row, D: Disk> {
    writer: &'a mut Writer<D>,
    fences: Vec<R::Key>,
    last: Option<R::Key>,
}

impl<'a, R: Row, D: Disk> TableWriter<'a, R, D> {
    pub(crate) fn begin(writer: &'a mut Writer<D>) -> Result<Self, Fault> {
        writer.begin::<R>()?;
        Ok(Self { writer, fences: Vec::new(), last: None })
    }

    #[inline]
    pub(crate) fn push(&mut self, row: R) -> Result<(), Fault> {
        let key = row.key();
        debug_assert!(self.last.is_none_or(|last| last <= key), "rows are pushed in order");
        if self.writer.push(row)? {
            self.fences.push(key);
        }
        self.last = Some(key);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), Fault> {
        self.writer.begin::<R::Key>()?;
        for key in self.fences.into_iter().chain(self.last) {
            self.writer.push(key)?;
        }
        Ok(())
    }
}

/// Writes a whole table.
pub(crate) fn write_table<R: Row, D: Disk>(
    writer: &mut Writer<D>,
    rows: impl IntoIterator<Item = Result<R, Fault>>,
) -> Result<(), Fault> {
    let mut table = TableWriter::begin(writer)?;
    for row in rows {
        table.push(row?)?;
    }
    table.finish()
}

impl<R: Row> Table<R> {
    /// Opens the table whose rows are in the array with this number.
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        let rows = file.array::<R>(number)?;
        let mut fences = file.array::<R::Key>(number + 1)?.load()?;
        let last = fences.pop();
        if fences.len() as u64 != rows.blocks() {
            return Err(file.damaged(0, "a table does not have a fence for every block"));
        }
        Ok(Self { rows, fences, last })
    }

    pub(crate) fn len(&self) -> u64 {
        self.rows.len()
    }

    /// The first key of every block.
    pub(crate) fn fences(&self) -> &[R::Key] {
        &self.fences
    }

    pub(crate) fn block(&self, number: u64) -> Result<Block<R>, Fault> {
        self.rows.block(number)
    }

    /// The first and the last key.
    pub(crate) fn range(&self) -> Option<(R::Key, R::Key)> {
        Some((*self.fences.first()?, self.last?))
    }

    /// Returns the number of the first row whose key is at least `key`.
    pub(crate) fn lower_bound(&self, key: R::Key) -> Result<u64, Fault> {
        self.search(key).map(|(number, _)| number)
    }

    /// Returns the first row whose key is at least `key`.
    pub(crate) fn first_from(&self, key: R::Key) -> Result<Option<R>, Fault> {
        match self.search(key)? {
            (_, Some(row)) => Ok(Some(row)),
            (number, None) if number < self.len() => self.rows.row(number).map(Some),
            (_, None) => Ok(None),
        }
    }

    /// Returns the last row whose key is below `key`.
    pub(crate) fn last_before(&self, key: R::Key) -> Result<Option<R>, Fault> {
        match self.lower_bound(key)? {
            0 => Ok(None),
            number => self.rows.row(number - 1).map(Some),
        }
    }

    pub(crate) fn cursor(&self, from: u64, to: u64) -> Cursor<R> {
        self.rows.cursor(from, to)
    }

    pub(crate) fn all(&self) -> Cursor<R> {
        self.rows.all()
    }

    /// Returns the number of the first row whose key is at least `key`, and the row itself if it is in the block that
    /// was read.
    fn search(&self, key: R::Key) -> Result<(u64, Option<R>), Fault> {
        // The row is in the last block whose fence is below the key, or it is the first row of the next block.
        let Some(number) = self.fences.partition_point(|fence| *fence < key).checked_sub(1) else {
            return Ok((0, None));
        };
        let block = self.rows.block(number as u64)?;
        let (mut low, mut high) = (0, block.rows);
        while low < high {
            let middle = low.midpoint(high);
            if block.row(middle).key() < key { low = middle + 1 } else { high = middle }
        }
        let row = (low < block.rows).then(|| block.row(low));
        Ok((Array::<R>::first_of(number as u64) + low as u64, row))
    }
}

/// Reads several sorted cursors as one. Among equal keys, the row of the earlier cursor comes first.
pub(crate) struct Merged<R: Row> {
    /// The next row of every cursor that has one, in order of cursor.
    heads: Vec<Head<R>>,
    /// The head that comes next, and the lowest key of the other heads.
    present: usize,
    others: Option<R::Key>,
    fault: Option<Fault>,
}

struct Head<R: Row> {
    row: R,
    cursor: Cursor<R>,
}

impl<R: Row> Merged<R> {
    pub(crate) fn new(cursors: impl IntoIterator<Item = Cursor<R>>) -> Result<Self, Fault> {
        let mut heads = Vec::new();
        for mut cursor in cursors {
            if let Some(row) = cursor.next().transpose()? {
                heads.push(Head { row, cursor });
            }
        }
        let mut merged = Self { heads, present: 0, others: None, fault: None };
        merged.choose();
        Ok(merged)
    }

    /// The key of the next row.
    pub(crate) fn peek(&self) -> Option<R::Key> {
        self.heads.get(self.present).map(|head| head.row.key())
    }

    /// An upper bound for the number of rows left.
    pub(crate) fn left(&self) -> u64 {
        self.heads.iter().map(|head| head.cursor.left() + 1).sum()
    }

    fn choose(&mut self) {
        let mut least: Option<(R::Key, usize)> = None;
        self.others = None;
        for (number, head) in self.heads.iter().enumerate() {
            let key = head.row.key();
            match least {
                Some((smallest, _)) if smallest <= key => {
                    self.others = Some(self.others.map_or(key, |other| other.min(key)));
                }
                _ => {
                    self.others = least.map(|(key, _)| key);
                    least = Some((key, number));
                }
            }
        }
        self.present = least.map_or(0, |(_, number)| number);
    }
}

impl<R: Row> Iterator for Merged<R> {
    type Item = Result<R, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            self.heads.clear();
            return Some(Err(fault));
        }
        let head = self.heads.get_mut(self.present)?;
        let row = head.row;
        match head.cursor.next() {
            Some(Ok(next)) => {
                head.row = next;
                // If keys rise with time, many consecutive rows come from one cursor.
                if self.others.is_some_and(|other| next.key() >= other) {
                    self.choose();
                }
            }
            Some(Err(fault)) => self.fault = Some(fault),
            None => {
                self.heads.remove(self.present);
                self.choose();
            }
        }
        Some(Ok(row))
    }
}

impl<R: Row> Table<R> {
    /// The file that contains the table.
    pub(crate) fn file(&self) -> &BlockFile {
        self.rows.file()
    }

    /// The memory that the fences take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.fences.len() * size_of::<R::Key>()
    }
}
