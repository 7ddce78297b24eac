//! Payments by id and in order, and the entries that changed each.

use std::collections::BTreeSet;
use std::sync::Arc;

use disk::Disk;
use engine::{Entry, PastPayment};
use journal::Position;
use types::{PaymentId, Seq};

use crate::block::{BlockFile, Writer};
use crate::event::IndexUpdate;
use crate::fault::Fault;
use crate::fixed::{Row, SIX_END, Six, fixed_struct};
use crate::index::Index;
use crate::keys::{self, KEYS_ARRAYS, KeyRow, Keys, Unresolved};
use crate::log::Log;
use crate::run::{Run, merge_keys};
use crate::table::{Merged, TABLE_ARRAYS, Table, write_table};
use crate::terms::{self, Order, Term, TermRow};
use crate::view::View;
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

/// What a batch of events did to payments. Once it is published, the rows are sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct PaymentUpdates {
    decided: Vec<KeyRow>,
    places: Vec<PlaceRow>,
    changes: Vec<KeyRow>,
    terms: Vec<TermRow>,
    /// The entries that decided the payments that it closes, until the batch is published.
    closed: Vec<u64>,
}

impl PaymentUpdates {
    pub(crate) fn decide(&mut self, id: u128, seq: Seq, position: u64, is_open: bool) {
        self.decided.push(KeyRow::new(id, position, if is_open { OPEN } else { 0 }));
        self.places.push(PlaceRow { seq: Six(seq.get()), position: Six(position) });
    }

    pub(crate) fn change(&mut self, id: u128, decided: Seq, position: u64, closes: bool) {
        if closes {
            self.closed.push(decided.get());
        }
        self.changes.push(KeyRow::new(id, position, if closes { CLOSES } else { 0 }));
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.decided.extend_from_slice(&other.decided);
        self.places.extend_from_slice(&other.places);
        self.changes.extend_from_slice(&other.changes);
        self.terms.extend_from_slice(&other.terms);
        self.sort();
    }

    pub(crate) fn add_term(&mut self, term: Term, decided: Seq) {
        self.terms.push(TermRow::new(term, decided));
    }

    /// Sorts the rows, for searches. A stable sort takes little time if only a few rows follow many sorted ones.
    pub(crate) fn sort(&mut self) {
        self.decided.sort_by_key(|row| row.id);
        self.changes.sort_by_key(|row| (row.id, row.number()));
        self.terms.sort();
    }

    /// The entry that decided a payment, if it did so in this batch.
    fn decision_of(&self, id: u128) -> Option<Position> {
        let found = self.decided.binary_search_by_key(&id, |row| row.id).ok()?;
        self.decided.get(found).copied().map(position)
    }

    /// The entries of this batch that changed a payment, in order.
    fn changes_of(&self, id: u128) -> impl Iterator<Item = Position> {
        let first = self.changes.partition_point(|row| row.id < id);
        self.changes[first..].iter().take_while(move |row| row.id == id).copied().map(position)
    }

    pub(crate) fn has_term(&self, term: u64) -> bool {
        terms::has_term(&self.terms, term)
    }

    /// The first term row in order, from `key` on.
    pub(crate) fn term_row(&self, key: TermRow, order: Order) -> Option<TermRow> {
        terms::seek_in(&self.terms, key, order)
    }

    /// The entries that decided payments that are open, and those of payments that it closes. The rows are not sorted yet.
    pub(crate) fn opened_and_closed(&mut self) -> OpenedAndClosed {
        let is_open = |(row, _): &(&KeyRow, &PlaceRow)| row.tag() == OPEN;
        let opened = self.decided.iter().zip(&self.places).filter(is_open).map(|(_, place)| place.seq.0);
        OpenedAndClosed { opened: opened.collect(), closed: std::mem::take(&mut self.closed) }
    }
}

/// What a batch does to the set of open payments.
#[derive(Debug)]
pub(crate) struct OpenedAndClosed {
    opened: Vec<u64>,
    closed: Vec<u64>,
}

impl OpenedAndClosed {
    /// Keeps the set up to date. A payment may be opened and closed in one batch, and is never opened again.
    pub(crate) fn keep(self, open: &mut BTreeSet<u64>) {
        open.extend(self.opened);
        for seq in self.closed {
            open.remove(&seq);
        }
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
    /// The terms of payments. A payment that was decided earlier has those that it got in the run.
    pub(crate) terms: Table<TermRow>,
}

/// The number of arrays in the file that the payments take.
pub(crate) const PAYMENTS_ARRAYS: usize = 2 * KEYS_ARRAYS + 3 * TABLE_ARRAYS;

impl Payments {
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        Ok(Self {
            decided: Keys::open(file, number)?,
            changes: Keys::open(file, number + KEYS_ARRAYS)?,
            open: Table::open(file, number + 2 * KEYS_ARRAYS)?,
            places: Table::open(file, number + 2 * KEYS_ARRAYS + TABLE_ARRAYS)?,
            terms: Table::open(file, number + 2 * KEYS_ARRAYS + 2 * TABLE_ARRAYS)?,
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
        write_table(writer, batches.clone().flat_map(|batch| &batch.places).copied().map(Ok))?;
        let mut terms: Vec<TermRow> = batches.flat_map(|batch| &batch.terms).copied().collect();
        terms.sort();
        write_table(writer, terms::distinct(terms.into_iter().map(Ok)))
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
        write_table(writer, Yielding::new(places, yielded))?;
        let terms = Merged::new(inputs().map(|payments| payments.terms.all()))?;
        write_table(writer, terms::distinct(Yielding::new(terms, yielded)))
    }

    /// Whether no payment was decided in the run.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() == 0
    }

    /// The memory that filters and fences take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = self.open.memory_bytes() + self.places.memory_bytes() + self.terms.memory_bytes();
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
    let mut payment = PastPayment::new(&log.entry_at(found.decided)?).ok_or_else(|| other(found.decided))?;
    follow(log, &mut payment, &found.changes)?;
    Ok(payment)
}

/// Follows the entries that changed a payment.
pub(crate) fn follow(log: &dyn Log, payment: &mut PastPayment, changes: &[Position]) -> Result<(), Fault> {
    for position in changes {
        if !payment.follow(&log.entry_at(*position)?) {
            return Err(other(*position).into());
        }
    }
    Ok(())
}

fn other(position: Position) -> journal::Fault {
    journal::Fault::damaged_at(position, Seq::ZERO, "the entry is not about the payment")
}

/// The entries that changed the payment with this id, which the entry `seq` at `decided` decided, in order.
pub(crate) fn changes_of(view: &View, id: PaymentId, seq: Seq, decided: Position) -> Result<Vec<Position>, Fault> {
    let mut changes = Vec::new();
    let ended = view.runs.partition_point(|listed| listed.run.end().end().last < seq);
    for listed in &view.runs[ended..] {
        changes.extend(listed.run.payments.changes.find_all(id.get())?.into_iter().map(position));
    }
    for batch in view.batches().filter(|batch| batch.extent.last >= decided.get()) {
        changes.extend(batch.payments.changes_of(id.get()));
    }
    Ok(changes)
}

/// The first payment in order, from the entry `from` on: the entry that decided it, and its position.
pub(crate) fn place_from(view: &View, from: u64, order: Order) -> Result<Option<(u64, Position)>, Fault> {
    let of_batch = |batch: &Arc<IndexUpdate>| {
        let places = &batch.payments.places;
        match order {
            Order::OldestFirst => places.get(places.partition_point(|row| row.seq.0 < from)).copied(),
            Order::NewestFirst => places[..places.partition_point(|row| row.seq.0 <= from)].last().copied(),
        }
    };
    let ended = view.runs.partition_point(|listed| listed.run.end().end().last.get() < from);
    let place = match order {
        Order::OldestFirst => {
            let mut place = None;
            for listed in &view.runs[ended..] {
                place = listed.run.payments.places.first_from(Six(from))?;
                if place.is_some() {
                    break;
                }
            }
            place.or_else(|| view.batches().find_map(of_batch))
        }
        Order::NewestFirst => match view.batches().rev().find_map(of_batch) {
            Some(place) => Some(place),
            None => {
                let mut place = None;
                for listed in view.runs[..(ended + 1).min(view.runs.len())].iter().rev() {
                    place = listed.run.payments.places.last_before(Six(from.saturating_add(1).min(SIX_END - 1)))?;
                    if place.is_some() {
                        break;
                    }
                }
                place
            }
        },
    };
    Ok(place.map(|row| (row.seq.0, Position::from_number(row.position.0))))
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
            decided = decided.or_else(|| batch.decision_of(id.get()));
            changes.extend(batch.changes_of(id.get()));
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

    /// Reads the entry that decided a payment.
    ///
    /// # Errors
    /// Fails if the index or the log cannot be read.
    pub fn read_decision(&self, id: PaymentId) -> Result<Option<Entry>, Fault> {
        let Some(found) = self.payment(id)? else { return Ok(None) };
        Ok(Some(self.log.entry_at(found.decided)?))
    }

    /// Reads a payment as the entries that were published left it.
    ///
    /// # Errors
    /// Fails if the index or the log cannot be read.
    pub fn read_payment(&self, id: PaymentId) -> Result<Option<PastPayment>, Fault> {
        let Some(found) = self.payment(id)? else { return Ok(None) };
        read(&*self.log, &found).map(Some)
    }
}
