//! The records of feature windows, from which a restart restores the windows.
//!
//! A run has, for every record that its generations changed, one row with what is left of those changes. A restart reads the rows of
//! all runs, sorted by stream, entity, time and entry, and combines those of the same record, the oldest first. Merging
//! runs does the same, and drops what no window can reach any more.

use disk::Disk;
use features::{Item, Key, RecordChange, RestoredRecord, StreamBounds, StreamId, Update};
use types::{Seq, Timestamp, Token};

use crate::array::Cursor;
use crate::block::Writer;
use crate::fault::Fault;
use crate::fixed::{Row, Six, fixed_struct};
use crate::run::Run;
use crate::table::Merged;
use crate::yielding::{Yield, Yielding};

/// The record was inserted, or its value replaced.
const VALUE: u8 = 1;
/// The record was removed before that, so earlier rows do not count.
const REMOVED: u8 = 2;
/// The label was set or withdrawn.
const LABELLED: u8 = 4;
/// The label is positive.
const POSITIVE: u8 = 8;
/// The row is no record: every record of the entity from its instant on is held.
const REACH: u8 = 16;
/// The row has the item of the record in the row before it, which has the same key. A record without an item has no such row.
const ITEM: u8 = 32;

/// What changed about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowRow {
    key: WindowKey,
    tag: u8,
    value: u64,
}

/// Identifies and orders records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WindowKey {
    stream: u32,
    entity: u128,
    at: u64,
    seq: Six,
}

fixed_struct!(WindowKey { stream: u32, entity: u128, at: u64, seq: Six, } spare 0);
fixed_struct!(WindowRow { key: WindowKey, tag: u8, value: u64, } spare 0);

impl Row for WindowRow {
    type Key = WindowKey;

    #[inline]
    fn key(&self) -> WindowKey {
        self.key
    }
}

impl WindowRow {
    /// The row of an update, and one with its item if it has one.
    pub(crate) fn of(update: &Update) -> impl Iterator<Item = Self> {
        let Update { stream, entity, at, seq, change } = *update;
        let (tag, value, item) = match change {
            RecordChange::Insert { value, item } => (VALUE, value.cast_unsigned(), item),
            RecordChange::Remove => (REMOVED, 0, None),
            RecordChange::Label { positive: true } => (LABELLED | POSITIVE, 0, None),
            RecordChange::Label { positive: false } => (LABELLED, 0, None),
        };
        let key = WindowKey { stream: stream.get(), entity: entity.get(), at: at.ns(), seq: Six(seq.get()) };
        let item = item.map(|item| Self { key, tag: ITEM, value: item.get() });
        [Self { key, tag, value }].into_iter().chain(item)
    }

    pub(crate) fn reach(stream: StreamId, entity: Token, reach: Timestamp) -> Self {
        let key = WindowKey { stream: stream.get(), entity: entity.get(), at: reach.ns(), seq: Six(0) };
        Self { key, tag: REACH, value: 0 }
    }

    /// This row, followed by a later one of the same record.
    fn then(self, later: Self) -> Self {
        if later.tag & REMOVED != 0 {
            return later;
        }
        let (tag, value) = match later.tag & VALUE {
            0 => (self.tag, self.value),
            // A record that was removed comes back without a label.
            _ if self.tag & (VALUE | REMOVED) == REMOVED => (REMOVED | VALUE, later.value),
            _ => (self.tag | VALUE, later.value),
        };
        let tag = if later.tag & LABELLED == 0 { tag } else { tag & !POSITIVE | later.tag & (LABELLED | POSITIVE) };
        Self { tag, value, ..self }
    }

    fn record(&self) -> Option<RestoredRecord> {
        let key = Key { at: Timestamp::from_ns(self.key.at), seq: Seq::new(self.key.seq.0) };
        let (value, positive) = (self.value.cast_signed(), self.tag & POSITIVE != 0);
        (self.tag & VALUE != 0).then_some(RestoredRecord { key, value, item: None, positive })
    }

    fn is_item(&self) -> bool {
        self.tag & ITEM != 0
    }
}

/// What a stream covered at the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundsRow {
    stream: u32,
    horizon: u64,
    refused: u64,
}

fixed_struct!(BoundsRow { stream: u32, horizon: u64, refused: u64, } spare 0);

impl BoundsRow {
    pub(crate) fn of(bounds: &StreamBounds) -> Self {
        Self { stream: bounds.stream.get(), horizon: bounds.horizon.ns(), refused: bounds.refused.ns() }
    }

    pub(crate) fn bounds(&self) -> StreamBounds {
        StreamBounds {
            stream: StreamId::new(self.stream),
            horizon: Timestamp::from_ns(self.horizon),
            refused: Timestamp::from_ns(self.refused),
        }
    }
}

/// Writes the rows of a generation.
pub(crate) fn write<D: Disk>(writer: &mut Writer<D>, mut rows: Vec<WindowRow>) -> Result<(), Fault> {
    // The sort keeps the order of the changes of one record.
    rows.sort_by_key(|row| row.key);
    write_combined(writer, rows.into_iter().map(Ok), |_| true)
}

/// Merges the rows of several adjacent runs, the earliest first. `bounds` are those at the end of the last one.
pub(crate) fn merge<D: Disk>(
    writer: &mut Writer<D>,
    inputs: &[std::sync::Arc<Run>],
    bounds: &[BoundsRow],
    yielded: &mut Yield<'_>,
) -> Result<(), Fault> {
    let is_first = inputs.first().is_some_and(|run| run.first() == 0);
    let rows = Merged::new(inputs.iter().map(|run| run.windows.all()))?;
    write_combined(writer, Yielding::new(rows, yielded), |row| {
        let bounds = bounds.iter().find(|bounds| bounds.stream == row.key.stream);
        // A stream without bounds is closed. Before the first run, there is nothing to remove.
        bounds.is_some_and(|bounds| row.key.at >= bounds.horizon) && !(is_first && row.tag == REMOVED)
    })
}

fn write_combined<D: Disk>(
    writer: &mut Writer<D>,
    rows: impl Iterator<Item = Result<WindowRow, Fault>>,
    is_kept: impl Fn(&WindowRow) -> bool,
) -> Result<(), Fault> {
    writer.begin::<WindowRow>()?;
    for row in (Combined { rows, next: None, item: None }) {
        let row = row?;
        if is_kept(&row) {
            writer.push(row)?;
        }
    }
    Ok(())
}

/// Joins consecutive rows of the same record into one, followed by one with its item if it has one.
struct Combined<I> {
    rows: I,
    next: Option<WindowRow>,
    item: Option<WindowRow>,
}

impl<I: Iterator<Item = Result<WindowRow, Fault>>> Iterator for Combined<I> {
    type Item = Result<WindowRow, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.item.take() {
            return Some(Ok(item));
        }
        let mut row = match self.next.take() {
            Some(row) => row,
            None => match self.rows.next()? {
                Ok(row) => row,
                fault @ Err(_) => return Some(fault),
            },
        };
        for following in self.rows.by_ref() {
            match following {
                Ok(following) if following.key != row.key => {
                    self.next = Some(following);
                    break;
                }
                Ok(following) if following.is_item() => self.item = Some(following),
                Ok(following) => {
                    // A record that is inserted again has the item that it has then, and one that is removed has none.
                    if following.tag & (VALUE | REMOVED) != 0 {
                        self.item = None;
                    }
                    row = row.then(following);
                }
                fault @ Err(_) => return Some(fault),
            }
        }
        Some(Ok(row))
    }
}

/// An entity of a stream, with everything that is held of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowEntity {
    pub stream: StreamId,
    pub entity: Token,
    /// Every record from this instant on is held.
    pub reach: Timestamp,
    /// In order.
    pub records: Vec<RestoredRecord>,
}

/// Reads every entity of several runs, the earliest run first, in order of stream and entity.
pub(crate) fn entities(
    cursors: Vec<Cursor<WindowRow>>,
) -> Result<impl Iterator<Item = Result<WindowEntity, Fault>>, Fault> {
    Ok(Entities { rows: Combined { rows: Merged::new(cursors)?, next: None, item: None }, next: None })
}

struct Entities {
    rows: Combined<Merged<WindowRow>>,
    next: Option<WindowRow>,
}

impl Iterator for Entities {
    type Item = Result<WindowEntity, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.next.take() {
            Some(row) => row,
            None => match self.rows.next()? {
                Ok(row) => row,
                Err(fault) => return Some(Err(fault)),
            },
        };
        let WindowKey { stream, entity, .. } = first.key;
        let mut found = WindowEntity {
            stream: StreamId::new(stream),
            entity: Token::new(entity),
            reach: Timestamp::ZERO,
            records: Vec::new(),
        };
        let mut add = |row: WindowRow| {
            if row.tag & REACH != 0 {
                found.reach = found.reach.max(Timestamp::from_ns(row.key.at));
            }
            match found.records.last_mut().filter(|_| row.is_item()) {
                Some(record) => record.item = Item::new(row.value),
                None => found.records.extend(row.record()),
            }
        };
        add(first);
        for row in self.rows.by_ref() {
            match row {
                Ok(row) if (row.key.stream, row.key.entity) == (stream, entity) => add(row),
                Ok(row) => {
                    self.next = Some(row);
                    break;
                }
                Err(fault) => return Some(Err(fault)),
            }
        }
        Some(Ok(found))
    }
}
