//! Payments by id and in order, and the entries that changed each.

use std::sync::Arc;

use disk::Disk;
use engine::PastPayment;
use journal::Position;
use types::{PaymentId, Seq};

use crate::block::{BlockFile, Writer};
use crate::event::IndexUpdate;
use crate::fault::Fault;
use crate::fixed::{Row, Six, fixed_struct};
use crate::index::Index;
use crate::keys::{self, KEYS_ARRAYS, KeyRow, Keys, Unresolved};
use crate::log::Log;
use crate::run::{Run, merge_keys};
use crate::table::{Merged, TABLE_ARRAYS, Table, write_table};
use crate::yielding::{Yield, Yielding};
/// The tag of a payment that was open when it was decided, and of a change that closes a payment.
const OPEN: u16 = 1;
const CLOSES: u16 = 1;

/// The entries of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFound {
    /// The entry that decided it.
    pub decided: Position,
    /// The entries that changed it, in order.
    pub changes: Vec<Position>,
}

/// The entry that decided a payment, by its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceRow {
    seq: Six,
    position: Six,
}

fixed_struct!(PlaceRow { seq: Six, position: Six, } spare 0);

impl Row for PlaceRow {
    type Key = Six;

    fn key(&self) -> Six {
        self.seq
    }
}

/// What a batch of events did to payments.
#[derive(Debug, Clone, Default)]
pub(crate) struct PaymentUpdates {
    decided: Vec<KeyRow>,
    places: Vec<PlaceRow>,
    changes: Vec<KeyRow>,
}

impl PaymentUpdates {
    pub(crate) fn decide(&mut self, id: u128, seq: Seq, position: u64, is_open: bool) {
        self.decided.push(KeyRow::new(id, position, if is_open { OPEN } else { 0 }));
        self.places.push(PlaceRow { seq: Six(seq.get()), position: Six(position) });
    }

    pub(crate) fn change(&mut self, id: u128, position: u64, closes: bool) {
        self.changes.push(KeyRow::new(id, position, if closes { CLOSES } else { 0 }));
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.decided.extend_from_slice(&other.decided);
        self.places.extend_from_slice(&other.places);
        self.changes.extend_from_slice(&other.changes);
    }
}

/// The payments of a run.
#[derive(Debug)]
pub(crate) struct Payments {
    /// The payments that were decided in the run, with the positions of their entries.
    decided: Keys,
    /// The changes in the run, of payments that may have been decided earlier, with their positions. A payment has one row for
    /// each change, in order.
    changes: Keys,
    /// The payments that were decided in the run and are open at its end.
    open: Table<KeyRow>,
    places: Table<PlaceRow>,
}

/// The number of arrays in the file that the payments take.
pub(crate) const PAYMENTS_ARRAYS: usize = 2 * KEYS_ARRAYS + 2 * TABLE_ARRAYS;

impl Payments {
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        Ok(Self {
            decided: Keys::open(file, number)?,
            changes: Keys::open(file, number + KEYS_ARRAYS)?,
            open: Table::open(file, number + 2 * KEYS_ARRAYS)?,
            places: Table::open(file, number + 2 * KEYS_ARRAYS + TABLE_ARRAYS)?,
        })
    }

    /// Writes the payments of a generation.
    pub(crate) fn write<'a, D: Disk>(
        writer: &mut Writer<D>,
        batches: impl Iterator<Item = &'a PaymentUpdates> + Clone,
    ) -> Result<(), Fault> {
        let mut decided: Vec<KeyRow> = batches.clone().flat_map(|batch| &batch.decided).copied().collect();
        let mut changes: Vec<KeyRow> = batches.clone().flat_map(|batch| &batch.changes).copied().collect();
        keys::sort(&mut decided);
        keys::sort(&mut changes);
        Keys::write(writer, decided.len() as u64, decided.iter().copied().map(Ok))?;
        Keys::write(writer, changes.len() as u64, changes.iter().copied().map(Ok))?;
        let is_closed = |row: &KeyRow| {
            let from = changes.partition_point(|change| change.id < row.id);
            let mut of_it = changes[from..].iter().take_while(|change| change.id == row.id);
            of_it.any(|change| change.tag() == CLOSES)
        };
        let open = decided.iter().filter(|row| row.tag() == OPEN && !is_closed(row));
        write_table(writer, open.copied().map(Ok))?;
        write_table(writer, batches.flat_map(|batch| &batch.places).copied().map(Ok))
    }

    /// Merges the payments of several runs, the earliest run first.
    pub(crate) fn merge<D: Disk>(
        writer: &mut Writer<D>,
        inputs: &[Arc<Run>],
        yielded: &mut Yield<'_>,
    ) -> Result<(), Fault> {
        let inputs = || inputs.iter().map(|run| &run.payments);
        merge_keys(writer, inputs().map(|payments| &payments.decided), yielded)?;
        merge_keys(writer, inputs().map(|payments| &payments.changes), yielded)?;
        write_table(writer, Yielding::new(still_open(inputs())?, yielded))?;
        let places = inputs().flat_map(|payments| payments.places.all());
        write_table(writer, Yielding::new(places, yielded))
    }

    /// Whether no payment was decided in the run.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() == 0
    }

    /// The memory that filters and fences take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = self.open.memory_bytes() + self.places.memory_bytes();
        self.decided.memory_bytes() + self.changes.memory_bytes() + tables
    }
}

/// The payments that are open at the end of the last of these runs, in order of id.
fn still_open<'a>(runs: impl Iterator<Item = &'a Payments> + Clone) -> Result<Unresolved, Fault> {
    let open = Merged::new(runs.clone().map(|payments| payments.open.all()))?;
    let changes = Merged::new(runs.map(|payments| payments.changes.table().all()))?;
    Ok(Unresolved::new(open, changes, |change| change.tag() == CLOSES))
}

/// The positions of all entries of the payments that are open at the end of the last of these runs, in order.
pub(crate) fn open_entries(runs: &[Arc<Run>]) -> Result<Vec<Position>, Fault> {
    let mut positions = Vec::new();
    for row in still_open(runs.iter().map(|run| &run.payments))? {
        let row = row?;
        positions.push(Position::from_number(row.number()));
        for run in runs {
            positions.extend(run.payments.changes.find_all(row.id)?.into_iter().map(position));
        }
    }
    positions.sort_unstable();
    Ok(positions)
}

/// The entries of a payment in these runs, the earliest run first.
pub(crate) fn find<'a>(
    runs: impl DoubleEndedIterator<Item = &'a Payments> + Clone,
    id: PaymentId,
) -> Result<Option<PaymentFound>, Fault> {
    let mut changes = Vec::new();
    for payments in runs.rev() {
        let later = payments.changes.find_all(id.get())?;
        changes.extend(later.into_iter().rev().map(position));
        if let Some(decided) = payments.decided.find(id.get())? {
            changes.reverse();
            return Ok(Some(PaymentFound { decided: position(decided), changes }));
        }
    }
    Ok(None)
}

/// Reads a payment from its entries.
pub(crate) fn read(log: &dyn Log, found: &PaymentFound) -> Result<PastPayment, Fault> {
    let other = |position| journal::Fault::damaged_at(position, Seq::ZERO, "the entry is not about the payment");
    let mut payment = PastPayment::new(&log.entry_at(found.decided)?).ok_or_else(|| other(found.decided))?;
    for position in &found.changes {
        if !payment.follow(&log.entry_at(*position)?) {
            return Err(other(*position).into());
        }
    }
    Ok(payment)
}

fn position(row: KeyRow) -> Position {
    Position::from_number(row.number())
}

impl Index {
    /// The entries of a payment.
    ///
    /// # Errors
    /// Fails if the index cannot be read.
    pub fn payment(&self, id: PaymentId) -> Result<Option<PaymentFound>, Fault> {
        let view = self.shared.view();
        let mut changes = Vec::new();
        let mut decided = None;
        for batch in view.batches().map(|batch| &batch.payments) {
            decided = decided.or(batch.decided.iter().find(|row| row.id == id.get()).copied().map(position));
            changes.extend(batch.changes.iter().filter(|row| row.id == id.get()).copied().map(position));
        }
        if let Some(decided) = decided {
            return Ok(Some(PaymentFound { decided, changes }));
        }
        let found = find(view.runs.iter().map(|listed| &listed.run.payments), id)?;
        Ok(found.map(|mut found| {
            found.changes.append(&mut changes);
            found
        }))
    }

    /// Reads a payment as the entries that were published left it.
    ///
    /// # Errors
    /// Fails if the index or the log cannot be read.
    pub fn read_payment(&self, id: PaymentId) -> Result<Option<PastPayment>, Fault> {
        let Some(found) = self.payment(id)? else { return Ok(None) };
        read(&*self.log, &found).map(Some)
    }

    /// Up to `limit` payments in the order in which they were decided, or reversed: the sequence and the position of the entry of
    /// each. They come after the entry `after`, or before it if reversed.
    ///
    /// # Errors
    /// Fails if the index cannot be read.
    pub fn payments(&self, after: Option<Seq>, reversed: bool, limit: usize) -> Result<Vec<(Seq, Position)>, Fault> {
        let view = self.shared.view();
        let after = after.map(Seq::get);
        let mut found = Vec::new();
        let mut take = |row: PlaceRow| {
            found.push((Seq::new(row.seq.0), Position::from_number(row.position.0)));
            found.len() >= limit
        };
        let of_batch = |batch: &IndexUpdate| {
            let places = &batch.payments.places;
            match after {
                Some(after) if reversed => places[..places.partition_point(|row| row.seq.0 < after)].to_vec(),
                Some(after) => places[places.partition_point(|row| row.seq.0 <= after)..].to_vec(),
                None => places.clone(),
            }
        };
        if limit == 0 {
            return Ok(found);
        }
        if reversed {
            for batch in view.batches().rev() {
                if of_batch(batch).into_iter().rev().any(&mut take) {
                    return Ok(found);
                }
            }
            for listed in view.runs.iter().rev() {
                let places = &listed.run.payments.places;
                let mut end = after.map_or(Ok(places.len()), |after| places.lower_bound(Six(after)))?;
                while end > 0 {
                    let start = end.saturating_sub(limit as u64);
                    let rows: Vec<PlaceRow> = places.cursor(start, end).collect::<Result<_, _>>()?;
                    if rows.into_iter().rev().any(&mut take) {
                        return Ok(found);
                    }
                    end = start;
                }
            }
            return Ok(found);
        }
        for listed in view.runs.iter() {
            let places = &listed.run.payments.places;
            let from = after.map_or(Ok(0), |after| places.lower_bound(Six(after.saturating_add(1))))?;
            for row in places.cursor(from, places.len()) {
                if take(row?) {
                    return Ok(found);
                }
            }
        }
        for batch in view.batches() {
            if of_batch(batch).into_iter().any(&mut take) {
                return Ok(found);
            }
        }
        Ok(found)
    }
}
