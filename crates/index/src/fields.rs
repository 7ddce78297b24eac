//! Tables of the fields that a ledger chose to index: for every value, the positions of the transfers that have it.
//!
//! There is one file per run and field, for all ledgers that chose the field. Its arrays are the ledgers, and a table
//! with its fences. The table's rows (ledger: 4 bytes, value: the width of the field, position: 6 bytes) are sorted in
//! that order. Transfers whose value is zero are left out, because a zero in a filter means "any value".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use disk::Disk;
use journal::Position;
use ledger::Transfer;
use types::{LedgerId, Origin};

use crate::block::{BlockFile, Label, Writer};
use crate::event::Extent;
use crate::fault::Fault;
use crate::fixed::{Fixed, Row, Six, to_u32, to_usize};
use crate::log::Log;
use crate::table::{Merged, Table, write_table};
use crate::yielding::{Yield, Yielding};

/// A transfer field that a ledger may choose to index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The client's reference of 128 bits.
    UserData128,
    /// The client's reference of 64 bits.
    UserData64,
    /// The client's reference of 32 bits.
    UserData32,
    /// The ledger. The tables store no value for it, since every query names its ledger.
    Ledger,
    /// The client's code for the kind of transfer.
    Code,
}

impl Field {
    pub const ALL: [Self; 5] = [Self::UserData128, Self::UserData64, Self::UserData32, Self::Ledger, Self::Code];

    /// The bit of this field in a set of chosen fields.
    pub const fn bit(self) -> u8 {
        match self {
            Self::UserData128 => 1,
            Self::UserData64 => 2,
            Self::UserData32 => 4,
            Self::Ledger => 8,
            Self::Code => 16,
        }
    }

    /// The name of this field in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserData128 => "user_data_128",
            Self::UserData64 => "user_data_64",
            Self::UserData32 => "user_data_32",
            Self::Ledger => "ledger",
            Self::Code => "code",
        }
    }

    /// The field's value in a transfer, or `None` if no query can ask for it.
    pub(crate) fn of(self, transfer: &Transfer) -> Option<u128> {
        let value = match self {
            Self::UserData128 => transfer.user_data_128,
            Self::UserData64 => transfer.user_data_64.into(),
            Self::UserData32 => transfer.user_data_32.into(),
            Self::Ledger => return Some(0),
            Self::Code => transfer.code.get().into(),
        };
        (value != 0).then_some(value)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The fields that each ledger chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choices(BTreeMap<LedgerId, u8>);

impl Choices {
    pub(crate) fn choose(&mut self, ledger: LedgerId, fields: u8) {
        self.0.insert(ledger, fields);
    }

    pub(crate) fn has(&self, ledger: LedgerId, field: Field) -> bool {
        self.0.get(&ledger).is_some_and(|fields| fields & field.bit() != 0)
    }

    /// The ledgers that chose a field.
    fn ledgers(&self, field: Field) -> BTreeSet<LedgerId> {
        self.0.iter().filter(|(_, fields)| *fields & field.bit() != 0).map(|(&ledger, _)| ledger).collect()
    }

    /// Which of these choices the tables of a run do not cover yet.
    pub(crate) fn lacking(&self, tables: &BTreeMap<Field, Arc<FieldTable>>) -> Wanted {
        let complete = |field, ledgers: &BTreeSet<_>| {
            tables.get(&field).map_or(ledgers.is_empty(), |table| table.ledgers.is_superset(ledgers))
        };
        let wanted = Field::ALL.map(|field| (field, self.ledgers(field)));
        wanted.into_iter().filter(|(field, ledgers)| !complete(*field, ledgers)).collect()
    }
}

/// Fields to index, each with the ledgers that chose it.
pub(crate) type Wanted = BTreeMap<Field, BTreeSet<LedgerId>>;

/// A row of a table whose values are `WIDTH` bytes wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FieldRow<const WIDTH: usize> {
    ledger: u32,
    value: u128,
    position: u64,
}

impl<const WIDTH: usize> Fixed for FieldRow<WIDTH> {
    const BYTES: usize = 4 + WIDTH + Six::BYTES;

    #[inline]
    fn put(self, into: &mut [u8]) {
        self.ledger.put(into);
        into[4..4 + WIDTH].copy_from_slice(&self.value.to_le_bytes()[..WIDTH]);
        Six(self.position).put(&mut into[4 + WIDTH..]);
    }

    #[inline]
    fn get(from: &[u8]) -> Self {
        let mut value = [0; 16];
        value[..WIDTH].copy_from_slice(&from[4..4 + WIDTH]);
        let position = Six::get(&from[4 + WIDTH..]).0;
        Self { ledger: u32::get(from), value: u128::from_le_bytes(value), position }
    }
}

impl<const WIDTH: usize> Row for FieldRow<WIDTH> {
    type Key = Self;

    #[inline]
    fn key(&self) -> Self {
        *self
    }
}

/// Reads a table, whatever the width of its values.
trait Sorted: Send + Sync + fmt::Debug {
    fn lower_bound(&self, ledger: LedgerId, value: u128, position: u64) -> Result<u64, Fault>;
    fn positions(&self, from: u64, to: u64) -> Result<Vec<Position>, Fault>;
}

impl<const WIDTH: usize> Sorted for Table<FieldRow<WIDTH>> {
    fn lower_bound(&self, ledger: LedgerId, value: u128, position: u64) -> Result<u64, Fault> {
        self.lower_bound(FieldRow { ledger: ledger.get(), value, position })
    }

    fn positions(&self, from: u64, to: u64) -> Result<Vec<Position>, Fault> {
        self.cursor(from, to).map(|row| Ok(Position::from_number(row?.position))).collect()
    }
}

/// The table of one field for the generations of a run.
#[derive(Debug)]
pub(crate) struct FieldTable {
    pub(crate) ledgers: BTreeSet<LedgerId>,
    file: Arc<BlockFile>,
    rows: Box<dyn Sorted>,
}

const LEDGERS: usize = 0;
const ROWS: usize = 1;
const PREFIX: &str = "field-";

fn label(origin: Origin, field: Field, first: u32, last: u32) -> Label {
    Label { name: format!("{PREFIX}{field}-{first:08x}-{last:08x}"), origin, first, last }
}

/// Whether a file name is that of a field table.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Calls a function with the width of a field's values as its const argument.
macro_rules! by_width {
    ($field:expr, $function:ident($($argument:expr),*)) => {
        match $field {
            Field::UserData128 => $function::<16>($($argument),*),
            Field::UserData64 => $function::<8>($($argument),*),
            Field::UserData32 => $function::<4>($($argument),*),
            Field::Ledger => $function::<0>($($argument),*),
            Field::Code => $function::<2>($($argument),*),
        }
    };
}

impl FieldTable {
    /// Opens a table. Returns `None` if the file does not exist.
    pub(crate) fn open<D: Disk>(
        disk: &D,
        origin: Origin,
        field: Field,
        first: u32,
        last: u32,
    ) -> Result<Option<Self>, Fault> {
        let file = BlockFile::open(disk, label(origin, field, first, last))?;
        file.map(|file| Self::of(field, file)).transpose()
    }

    fn of(field: Field, file: BlockFile) -> Result<Self, Fault> {
        let file = Arc::new(file);
        let ledgers = file.array::<u32>(LEDGERS)?.load()?.into_iter().map(LedgerId::new).collect();
        let rows = by_width!(field, open_rows(&file))?;
        Ok(Self { ledgers, file, rows })
    }

    /// Writes one table with the rows of several.
    pub(crate) fn merge<D: Disk>(
        disk: &D,
        origin: Origin,
        field: Field,
        inputs: &[Arc<Self>],
        yielded: &mut Yield<'_>,
    ) -> Result<Self, Fault> {
        // A ledger is complete in the output only if it is complete in every input.
        let mut ledgers = inputs[0].ledgers.clone();
        inputs.iter().for_each(|input| ledgers.retain(|ledger| input.ledgers.contains(ledger)));
        let (first, last) = (inputs[0].file.label().first, inputs[inputs.len() - 1].file.label().last);
        let mut writer = create(disk, label(origin, field, first, last), &ledgers)?;
        by_width!(field, merge_rows(&mut writer, inputs, yielded))?;
        Self::of(field, writer.finish()?)
    }

    /// Returns the range of rows with this value at positions in `from..to`.
    pub(crate) fn find(&self, ledger: LedgerId, value: u128, from: u64, to: u64) -> Result<(u64, u64), Fault> {
        let start = self.rows.lower_bound(ledger, value, from)?;
        Ok((start, self.rows.lower_bound(ledger, value, to)?.max(start)))
    }

    pub(crate) fn positions(&self, from: u64, to: u64) -> Result<Vec<Position>, Fault> {
        self.rows.positions(from, to)
    }

    pub(crate) fn name(&self) -> &str {
        &self.file.label().name
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    pub(crate) const fn file(&self) -> &Arc<BlockFile> {
        &self.file
    }

    /// Removes the file. Open handles can still read it.
    pub(crate) fn remove(&self) {
        self.file.remove();
    }
}

/// Writes the tables of some fields for adjacent generations, from the log. If there are several generations, it splits
/// them into at most eight parts, writes tables for each part and merges them, so that it never sorts more than one
/// generation in memory.
pub(crate) fn build<D: Disk>(
    disk: &D,
    origin: Origin,
    log: &dyn Log,
    wanted: &Wanted,
    (first, extents): (u32, &[Extent]),
    yielded: &mut Yield<'_>,
) -> Result<BTreeMap<Field, Arc<FieldTable>>, Fault> {
    yielded()?;
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    if let [extent] = extents {
        return build_one(disk, origin, log, wanted, first, *extent);
    }
    let mut parts = Vec::new();
    let mut start = first;
    for extents in extents.chunks(extents.len().div_ceil(crate::worker::FAN_IN)) {
        parts.push(build(disk, origin, log, wanted, (start, extents), yielded)?);
        start += to_u32(extents.len());
    }
    let merged = merge_all(disk, origin, &parts, yielded)?;
    parts.iter().flat_map(BTreeMap::values).for_each(|part| part.remove());
    Ok(merged)
}

/// Merges the tables of those fields that every run has.
pub(crate) fn merge_all<D: Disk>(
    disk: &D,
    origin: Origin,
    parts: &[BTreeMap<Field, Arc<FieldTable>>],
    yielded: &mut Yield<'_>,
) -> Result<BTreeMap<Field, Arc<FieldTable>>, Fault> {
    let mut merged = BTreeMap::new();
    for field in Field::ALL {
        let tables: Option<Vec<_>> = parts.iter().map(|part| part.get(&field).cloned()).collect();
        if let Some(tables) = tables {
            merged.insert(field, Arc::new(FieldTable::merge(disk, origin, field, &tables, yielded)?));
        }
    }
    Ok(merged)
}

fn build_one<D: Disk>(
    disk: &D,
    origin: Origin,
    log: &dyn Log,
    wanted: &Wanted,
    generation: u32,
    extent: Extent,
) -> Result<BTreeMap<Field, Arc<FieldTable>>, Fault> {
    let mut positions = Vec::new();
    let mut keys: BTreeMap<Field, Vec<SortKey>> = wanted.keys().map(|&field| (field, Vec::new())).collect();
    if extent.first <= extent.last {
        let mut visit = |position: Position, transfer: &Transfer| {
            let number = to_u32(positions.len());
            positions.push(position.get());
            for ((&field, keys), ledgers) in keys.iter_mut().zip(wanted.values()) {
                if ledgers.contains(&transfer.ledger)
                    && let Some(value) = field.of(transfer)
                {
                    keys.push(SortKey::new(transfer.ledger.get(), value, number));
                }
            }
        };
        log.transfers(Position::from_number(extent.first), Position::from_number(extent.last), &mut visit)?;
    }
    let mut built = BTreeMap::new();
    for (field, mut keys) in keys {
        keys.sort_unstable();
        let mut writer = create(disk, label(origin, field, generation, generation), &wanted[&field])?;
        by_width!(field, write_rows(&mut writer, &keys, &positions))?;
        built.insert(field, Arc::new(FieldTable::of(field, writer.finish()?)?));
    }
    Ok(built)
}

/// The ledger, value and number of a transfer, packed so that sorting moves and compares few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    /// The ledger and the upper 96 bits of the value.
    high: [u64; 2],
    /// The lower 32 bits of the value, and the number.
    low: u64,
}

impl SortKey {
    fn new(ledger: u32, value: u128, number: u32) -> Self {
        let words = [96, 32].map(|shift| low_word(value >> shift));
        Self {
            high: [u64::from(ledger) << 32 | words[0], words[1]],
            low: low_word(value % (1 << 32)) << 32 | u64::from(number),
        }
    }

    fn ledger(self) -> u32 {
        u32::try_from(self.high[0] >> 32).unwrap_or_default()
    }

    fn value(self) -> u128 {
        u128::from(self.high[0] % (1 << 32)) << 96 | u128::from(self.high[1]) << 32 | u128::from(self.low >> 32)
    }

    /// The number of the transfer, in order of position.
    fn number(self) -> usize {
        to_usize(self.low % (1 << 32))
    }
}

fn low_word(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default()
}

fn create<D: Disk>(disk: &D, label: Label, ledgers: &BTreeSet<LedgerId>) -> Result<Writer<D>, Fault> {
    let mut writer = Writer::create(disk, label)?;
    writer.begin::<u32>()?;
    for ledger in ledgers {
        writer.push(ledger.get())?;
    }
    Ok(writer)
}

fn open_rows<const WIDTH: usize>(file: &Arc<BlockFile>) -> Result<Box<dyn Sorted>, Fault> {
    Ok(Box::new(Table::<FieldRow<WIDTH>>::open(file, ROWS)?))
}

fn write_rows<const WIDTH: usize>(
    writer: &mut Writer<impl Disk>,
    keys: &[SortKey],
    positions: &[u64],
) -> Result<(), Fault> {
    let row = |key: &SortKey| FieldRow::<WIDTH> {
        ledger: key.ledger(),
        value: key.value(),
        position: positions[key.number()],
    };
    write_table(writer, keys.iter().map(|key| Ok(row(key))))
}

fn merge_rows<const WIDTH: usize>(
    writer: &mut Writer<impl Disk>,
    inputs: &[Arc<FieldTable>],
    yielded: &mut Yield<'_>,
) -> Result<(), Fault> {
    let mut cursors = Vec::new();
    for input in inputs {
        cursors.push(input.file.array::<FieldRow<WIDTH>>(ROWS)?.all());
    }
    write_table(writer, Yielding::new(Merged::new(cursors)?, yielded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_keys_sort_like_their_parts(
            one in (0_u32..3, prop_oneof![any::<u128>(), 0_u128..3], any::<u32>()),
            other in (0_u32..3, prop_oneof![any::<u128>(), 0_u128..3], any::<u32>()),
        ) {
            let [first, second] = [one, other].map(|(ledger, value, number)| SortKey::new(ledger, value, number));
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
            prop_assert_eq!((first.ledger(), first.value(), first.number()), (one.0, one.1, one.2 as usize));
        }
    }
}
