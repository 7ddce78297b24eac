//! Tables that are keyed by id: transfer ids, account ids, resolutions, and unresolved pending transfers.

use std::sync::Arc;

use disk::Disk;

use crate::block::{BlockFile, Writer};
use crate::event::import_of;
use crate::fault::Fault;
use crate::filter::{Filter, Probe};
use crate::fixed::{Row, SIX_END, fixed_struct};
use crate::table::{Merged, TABLE_ARRAYS, Table, TableWriter};

/// An id with a tag and a number below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) id: u128,
    /// The number in the low 48 bits, and the tag in the upper 16.
    value: u64,
}

fixed_struct!(KeyRow { id: u128, value: u64, } spare 0);

impl Row for KeyRow {
    type Key = u128;

    #[inline]
    fn key(&self) -> u128 {
        self.id
    }
}

impl KeyRow {
    #[inline]
    pub(crate) fn new(id: u128, number: u64, tag: u16) -> Self {
        debug_assert!(number < SIX_END, "{number} does not fit in six bytes");
        Self { id, value: number | u64::from(tag) << 48 }
    }

    pub(crate) fn number(self) -> u64 {
        self.value % SIX_END
    }

    pub(crate) fn tag(self) -> u16 {
        u16::try_from(self.value >> 48).unwrap_or_default()
    }
}

/// Sorts rows by id; rows with equal ids keep their order. Ids that rise with time are sorted already.
pub(crate) fn sort(rows: &mut [KeyRow]) {
    if !rows.is_sorted_by_key(|row| row.id) {
        rows.sort_unstable_by_key(|row| (row.id, row.number()));
    }
}

/// A table of ids with a filter in memory.
#[derive(Debug)]
pub(crate) struct Keys {
    table: Table<KeyRow>,
    filter: Filter,
    range: Option<(u128, u128)>,
}

/// The number of arrays in the file that it takes.
pub(crate) const KEYS_ARRAYS: usize = TABLE_ARRAYS + 1;

impl Keys {
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        let table = Table::open(file, number)?;
        let filter = Filter::load(file, number + TABLE_ARRAYS)?;
        Ok(Self { range: table.range(), table, filter })
    }

    /// Writes at most `count` rows, which must be sorted by id.
    pub(crate) fn write<D: Disk>(
        writer: &mut Writer<D>,
        count: u64,
        rows: impl IntoIterator<Item = Result<KeyRow, Fault>>,
    ) -> Result<(), Fault> {
        let mut filter = Filter::for_ids(count);
        let mut table = TableWriter::begin(writer)?;
        for row in rows {
            let row = row?;
            filter.insert(row.id);
            table.push(row)?;
        }
        table.finish()?;
        filter.write(writer)
    }

    /// The first and the last id.
    pub(crate) fn range(&self) -> Option<(u128, u128)> {
        self.range
    }

    /// Returns the newest row of an id.
    pub(crate) fn find(&self, id: u128) -> Result<Option<KeyRow>, Fault> {
        if self.may_hold(id, &Probe::of(id)) { self.read(id) } else { Ok(None) }
    }

    /// Returns false if there is certainly no row for this id. Reads nothing from disk.
    #[inline]
    pub(crate) fn may_hold(&self, id: u128, probe: &Probe) -> bool {
        self.range.is_some_and(|(first, last)| first <= id && id <= last) && self.filter.may_hold(probe)
    }

    /// Reads the newest row of an id that the filter does not exclude.
    pub(crate) fn read(&self, id: u128) -> Result<Option<KeyRow>, Fault> {
        let found = self.table.first_from(id)?.filter(|row| row.id == id);
        match found.filter(|row| import_of(row.tag()).is_some()).and(id.checked_add(1)) {
            Some(behind) => self.table.last_before(behind),
            None => Ok(found),
        }
    }

    /// Reads every row of an id, in order.
    pub(crate) fn find_all(&self, id: u128) -> Result<Vec<KeyRow>, Fault> {
        if !self.may_hold(id, &Probe::of(id)) {
            return Ok(Vec::new());
        }
        let from = self.table.lower_bound(id)?;
        self.table
            .cursor(from, self.table.len())
            .take_while(|row| row.as_ref().map_or(true, |row| row.id == id))
            .collect()
    }

    pub(crate) fn table(&self) -> &Table<KeyRow> {
        &self.table
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.filter.memory_bytes() + self.table.memory_bytes()
    }
}

/// The rows of `pendings` whose ids are not among those `resolutions` that count. Both are in order of id, and the ids of
/// `pendings` differ.
pub(crate) struct Unresolved {
    pendings: Merged<KeyRow>,
    resolutions: Merged<KeyRow>,
    resolves: fn(&KeyRow) -> bool,
}

impl Unresolved {
    pub(crate) fn new(pendings: Merged<KeyRow>, resolutions: Merged<KeyRow>, resolves: fn(&KeyRow) -> bool) -> Self {
        Self { pendings, resolutions, resolves }
    }
}

impl Iterator for Unresolved {
    type Item = Result<KeyRow, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.pendings.next()? {
                Ok(row) => row,
                fault @ Err(_) => return Some(fault),
            };
            let mut is_resolved = false;
            while self.resolutions.peek().is_some_and(|id| id <= row.id) {
                match self.resolutions.next() {
                    Some(Ok(resolution)) => is_resolved |= resolution.id == row.id && (self.resolves)(&resolution),
                    Some(Err(fault)) => return Some(Err(fault)),
                    None => break,
                }
            }
            if !is_resolved {
                return Some(Ok(row));
            }
        }
    }
}
