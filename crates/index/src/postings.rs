//! The postings of every account: the positions of its transfers, in order.
//!
//! A run stores them in three arrays: a sorted directory (account place, first posting) with its fences, and all
//! postings, grouped by account.

use std::sync::Arc;

use disk::Disk;
use journal::Position;
use ledger::AccountPlace;

use crate::array::{Array, Cursor};
use crate::block::{BlockFile, Writer};
use crate::fault::Fault;
use crate::fixed::{Fixed, Row, Six, fixed_struct, to_u32, to_usize};
use crate::table::{TABLE_ARRAYS, Table, TableWriter};
use crate::yielding::{YIELD_ROWS, Yield};

/// Selects transfers of an account by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sides {
    /// Transfers in either direction.
    #[default]
    Both,
    /// Transfers out of the account.
    Debits,
    /// Transfers into the account.
    Credits,
}

/// The position of a transfer, and the side of the account on which it moved. Together they take 48 bits: a position is
/// below 2^47 because segment numbers are below 2^19, and the highest bit is set for a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting(u64);

/// Positions of transfers are below this bound.
pub(crate) const POSITION_END: u64 = 1 << 47;

impl Posting {
    #[inline]
    pub(crate) fn new(position: u64, is_credit: bool) -> Self {
        debug_assert!(position < POSITION_END, "position {position} does not fit in 47 bits");
        Self(position | if is_credit { POSITION_END } else { 0 })
    }

    pub(crate) fn position(self) -> Position {
        Position::from_number(self.0 % POSITION_END)
    }

    pub(crate) fn is_on(self, sides: Sides) -> bool {
        match sides {
            Sides::Both => true,
            Sides::Debits => self.0 < POSITION_END,
            Sides::Credits => self.0 >= POSITION_END,
        }
    }
}

impl Fixed for Posting {
    const BYTES: usize = Six::BYTES;

    #[inline]
    fn put(self, into: &mut [u8]) {
        Six(self.0).put(into);
    }

    #[inline]
    fn get(from: &[u8]) -> Self {
        Self(Six::get(from).0)
    }
}

/// The first posting of an account. Its postings end where those of the next account begin.
#[derive(Debug, Clone, Copy)]
struct PlaceRow {
    place: u32,
    start: Six,
}

fixed_struct!(PlaceRow { place: u32, start: Six, } spare 0);

impl Row for PlaceRow {
    type Key = u32;

    fn key(&self) -> u32 {
        self.place
    }
}

#[derive(Debug)]
pub(crate) struct Postings {
    directory: Table<PlaceRow>,
    postings: Array<Posting>,
}

/// The number of arrays in the file that the postings take.
pub(crate) const POSTINGS_ARRAYS: usize = TABLE_ARRAYS + 1;

/// Transfers in order, stored by column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) debits: &'a [u32],
    pub(crate) credits: &'a [u32],
    pub(crate) positions: &'a [u64],
}

impl Postings {
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        Ok(Self { directory: Table::open(file, number)?, postings: file.array(number + TABLE_ARRAYS)? })
    }

    /// Writes the postings of a generation.
    pub(crate) fn write<'a, D: Disk>(
        writer: &mut Writer<D>,
        batches: impl Iterator<Item = Columns<'a>>,
    ) -> Result<(), Fault> {
        let (places, postings) = sorted(batches);
        let mut directory = TableWriter::begin(writer)?;
        let mut start = 0;
        for group in places.chunk_by(|one, other| one.place == other.place) {
            directory.push(PlaceRow { place: group[0].place, start: Six(start) })?;
            start += group.len() as u64;
        }
        directory.finish()?;
        writer.begin::<Posting>()?;
        for key in &places {
            writer.push(postings[key.posting as usize])?;
        }
        Ok(())
    }

    /// Merges the postings of several runs, the earliest run first: each account's postings are concatenated.
    pub(crate) fn merge<D: Disk>(
        writer: &mut Writer<D>,
        inputs: &[&Self],
        yielded: &mut Yield<'_>,
    ) -> Result<(), Fault> {
        // Read the directories twice, so that neither output array has to be held in memory.
        let mut directory = TableWriter::begin(writer)?;
        let mut start = 0;
        let mut groups = Groups::new(inputs)?;
        while let Some(place) = groups.next_place() {
            directory.push(PlaceRow { place, start: Six(start) })?;
            groups.take(place, |_, count| {
                start += count;
                Ok(())
            })?;
        }
        directory.finish()?;
        yielded()?;
        writer.begin::<Posting>()?;
        let mut cursors: Vec<Cursor<Posting>> = inputs.iter().map(|input| input.postings.all()).collect();
        let mut groups = Groups::new(inputs)?;
        let mut written = 0_u64;
        while let Some(place) = groups.next_place() {
            groups.take(place, |input, count| {
                for posting in cursors[input].by_ref().take(to_usize(count)) {
                    writer.push(posting?)?;
                    written += 1;
                    if written.is_multiple_of(YIELD_ROWS) {
                        yielded()?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Returns the range of rows that belong to an account.
    pub(crate) fn find(&self, place: AccountPlace) -> Result<Option<(u64, u64)>, Fault> {
        let number = self.directory.lower_bound(place.0)?;
        if number >= self.directory.len() {
            return Ok(None);
        }
        let mut rows = self.directory.cursor(number, (number + 2).min(self.directory.len()));
        let Some(row) = rows.next().transpose()?.filter(|row| row.place == place.0) else { return Ok(None) };
        let end = rows.next().transpose()?.map_or(self.postings.len(), |next| next.start.0);
        Ok(Some((row.start.0, end)))
    }

    pub(crate) fn array(&self) -> &Array<Posting> {
        &self.postings
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.directory.memory_bytes()
    }
}

/// Walks the directories of several runs, account by account.
struct Groups {
    inputs: Vec<Group>,
}

/// The current account of one run.
struct Group {
    next: Option<(u32, u64)>,
    directory: Cursor<PlaceRow>,
    following: Option<PlaceRow>,
    end: u64,
}

impl Group {
    fn advance(&mut self) -> Result<(), Fault> {
        let Some(row) = self.following.take() else {
            self.next = None;
            return Ok(());
        };
        self.following = self.directory.next().transpose()?;
        let end = self.following.map_or(self.end, |following| following.start.0);
        self.next = Some((row.place, end - row.start.0));
        Ok(())
    }
}

impl Groups {
    fn new(inputs: &[&Postings]) -> Result<Self, Fault> {
        let mut groups = Vec::new();
        for input in inputs {
            let mut directory = input.directory.all();
            let following = directory.next().transpose()?;
            let mut group = Group { next: None, directory, following, end: input.postings.len() };
            group.advance()?;
            groups.push(group);
        }
        Ok(Self { inputs: groups })
    }

    fn next_place(&self) -> Option<u32> {
        self.inputs.iter().filter_map(|group| group.next).map(|(place, _)| place).min()
    }

    /// Calls `visit` for every run that has postings of this account, with their count.
    fn take(&mut self, place: u32, mut visit: impl FnMut(usize, u64) -> Result<(), Fault>) -> Result<(), Fault> {
        for (number, group) in self.inputs.iter_mut().enumerate() {
            if let Some((_, count)) = group.next.filter(|next| next.0 == place) {
                visit(number, count)?;
                group.advance()?;
            }
        }
        Ok(())
    }
}

/// The sort key of a posting. It is small because sorting moves it several times.
#[derive(Debug, Clone, Copy, Default)]
struct PlaceKey {
    place: u32,
    /// The number of the posting, in order of events.
    posting: u32,
}

/// Both postings of every transfer, and their order by account and then by event.
fn sorted<'a>(batches: impl Iterator<Item = Columns<'a>>) -> (Vec<PlaceKey>, Vec<Posting>) {
    let (mut places, mut postings) = (Vec::new(), Vec::new());
    for batch in batches {
        for ((&debit, &credit), &position) in batch.debits.iter().zip(batch.credits).zip(batch.positions) {
            for (place, is_credit) in [(debit, false), (credit, true)] {
                places.push(PlaceKey { place, posting: to_u32(postings.len()) });
                postings.push(Posting::new(position, is_credit));
            }
        }
    }
    (radix_sorted(places), postings)
}

/// Sorts by place and keeps the order of equal keys: a counting sort of 11 bits at a time, lowest bits first.
fn radix_sorted(mut keys: Vec<PlaceKey>) -> Vec<PlaceKey> {
    const DIGIT_BITS: u32 = 11;
    let largest = keys.iter().map(|key| key.place).max().unwrap_or_default();
    let mut other = vec![PlaceKey::default(); keys.len()];
    let mut shift = 0;
    while shift < u32::BITS && largest >> shift > 0 {
        let digit = |key: &PlaceKey| (key.place >> shift) as usize % (1 << DIGIT_BITS);
        let mut starts = vec![0_u32; 1 << DIGIT_BITS];
        keys.iter().for_each(|key| starts[digit(key)] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for key in &keys {
            let start = &mut starts[digit(key)];
            other[*start as usize] = *key;
            *start += 1;
        }
        std::mem::swap(&mut keys, &mut other);
        shift += DIGIT_BITS;
    }
    keys
}
