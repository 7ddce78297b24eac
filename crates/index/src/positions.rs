//! The answer to a query: positions in the log, part by part. Runs and batches do not overlap in time, so the parts
//! follow one another and need no merge.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use journal::Position;
use ledger::AccountPlace;
use types::{LedgerId, Timestamp};

use crate::array::Array;
use crate::event::{Extent, IndexUpdate};
use crate::fault::Fault;
use crate::fields::{Field, FieldTable};
use crate::log::Log;
use crate::postings::{POSITION_END, Posting, Sides};
use crate::view::{Listed, View};

/// The most positions that one chunk contains.
pub const CHUNK_POSITIONS_MAX: u64 = 8_192;

/// Limits the answer of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Return only positions after this one.
    pub after: Option<Position>,
    /// Return only positions before this one.
    pub before: Option<Position>,
    /// Skip parts that end before this time.
    pub earliest: Timestamp,
    /// Skip parts that begin after this time.
    pub latest: Timestamp,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { after: None, before: None, earliest: Timestamp::ZERO, latest: Timestamp::from_ns(u64::MAX) }
    }
}

impl Bounds {
    /// The allowed positions: from the first, inclusive, to the second, exclusive.
    fn positions(&self) -> (u64, u64) {
        let from = self.after.map_or(0, |position| position.get() + 1);
        (from, self.before.map_or(POSITION_END, Position::get))
    }

    fn meet(&self, extent: Extent) -> bool {
        let (from, to) = self.positions();
        extent.first < to
            && from <= extent.last
            && extent.earliest <= self.latest.ns()
            && self.earliest.ns() <= extent.latest
    }
}

/// What the query asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Postings { place: AccountPlace, sides: Sides },
    Field { field: Field, ledger: LedgerId, value: u128 },
}

/// Chunks of positions. The chunks, and the positions in each chunk, are in the requested order.
pub struct Positions {
    what: What,
    bounds: Bounds,
    reversed: bool,
    log: Arc<dyn Log>,
    parts: VecDeque<Part>,
    present: Option<Rows>,
    last: Option<Position>,
}

impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Positions").field("what", &self.what).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Part {
    Run(Listed),
    IndexUpdate(Arc<IndexUpdate>),
}

/// The rest of the current part.
enum Rows {
    Postings { array: Array<Posting>, sides: Sides, from: u64, to: u64 },
    Field { table: Arc<FieldTable>, from: u64, to: u64 },
    Memory(Vec<Position>),
}

impl Positions {
    pub(crate) fn new(view: View, log: &Arc<dyn Log>, what: What, bounds: Bounds, reversed: bool) -> Self {
        let runs = view.runs.iter().filter(|listed| bounds.meet(listed.run.extent)).cloned().map(Part::Run);
        let batches = view.batches().filter(|batch| bounds.meet(batch.extent)).cloned().map(Part::IndexUpdate);
        let parts = runs.chain(batches).collect();
        Self { what, bounds, reversed, log: Arc::clone(log), parts, present: None, last: None }
    }

    fn open(&self, part: Part) -> Result<Option<Rows>, Fault> {
        let (first, end) = self.bounds.positions();
        match (part, self.what) {
            (Part::Run(listed), What::Postings { place, sides }) => {
                let Some((from, to)) = listed.run.postings.find(place)? else { return Ok(None) };
                let array = listed.run.postings.array().clone();
                // Most queries want the whole run, which needs no search.
                let extent = listed.run.extent;
                let from = if first <= extent.first { from } else { lower_bound(&array, from, to, first)? };
                let to = if extent.last < end { to } else { lower_bound(&array, from, to, end)? };
                Ok(Some(Rows::Postings { array, sides, from, to }))
            }
            (Part::Run(listed), What::Field { field, ledger, value }) => {
                let Some(table) = listed.fields.get(&field) else { return Ok(None) };
                let (from, to) = table.find(ledger, value, first, end)?;
                Ok(Some(Rows::Field { table: Arc::clone(table), from, to }))
            }
            (Part::IndexUpdate(batch), What::Postings { place, sides }) => {
                let columns = batch.columns();
                let (debits, credits) = (sides != Sides::Credits, sides != Sides::Debits);
                let accounts = columns.debits.iter().zip(columns.credits);
                let rows = accounts.zip(columns.positions).filter(|&((&debit, &credit), &position)| {
                    ((debits & (debit == place.0)) | (credits & (credit == place.0)))
                        && first <= position
                        && position < end
                });
                Ok(Some(Rows::Memory(rows.map(|(_, &position)| Position::from_number(position)).collect())))
            }
            (Part::IndexUpdate(batch), What::Field { field, ledger, value }) => {
                let first = Position::from_number(first.max(batch.extent.first));
                let last = Position::from_number((end - 1).min(batch.extent.last));
                let mut positions = Vec::new();
                self.log.transfers(first, last, &mut |position, transfer| {
                    if transfer.ledger == ledger && field.of(transfer) == Some(value) {
                        positions.push(position);
                    }
                })?;
                Ok(Some(Rows::Memory(positions)))
            }
        }
    }

    /// Returns the next chunk, or `None` at the end.
    fn advance(&mut self) -> Result<Option<Vec<Position>>, Fault> {
        loop {
            if let Some(rows) = &mut self.present {
                if let Some(mut chunk) = rows.next_chunk(self.reversed)? {
                    // The legs of a payment are in one entry, so their positions are equal.
                    chunk.dedup();
                    if self.last.is_some() && chunk.first() == self.last.as_ref() {
                        chunk.remove(0);
                    }
                    self.last = chunk.last().copied().or(self.last);
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                    continue;
                }
                self.present = None;
            }
            let part = if self.reversed { self.parts.pop_back() } else { self.parts.pop_front() };
            let Some(part) = part else { return Ok(None) };
            self.present = self.open(part)?;
        }
    }
}

impl Iterator for Positions {
    type Item = Result<Vec<Position>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.advance();
        if chunk.is_err() {
            // After a fault, the iterator ends.
            self.parts.clear();
            self.present = None;
        }
        chunk.transpose()
    }
}

impl Rows {
    /// Returns the next chunk of this part, or `None` at its end.
    fn next_chunk(&mut self, reversed: bool) -> Result<Option<Vec<Position>>, Fault> {
        let mut chunk: Vec<Position> = match self {
            Self::Memory(positions) => std::mem::take(positions),
            Self::Postings { array, sides, from, to } => {
                let (start, end) = take(from, to, reversed);
                let mut chunk = Vec::with_capacity(crate::fixed::to_usize(end - start));
                for posting in array.cursor(start, end) {
                    let posting = posting?;
                    if posting.is_on(*sides) {
                        chunk.push(posting.position());
                    }
                }
                if start < end && chunk.is_empty() {
                    return Ok(Some(chunk));
                }
                chunk
            }
            Self::Field { table, from, to } => {
                let (start, end) = take(from, to, reversed);
                table.positions(start, end)?
            }
        };
        if reversed {
            chunk.reverse();
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// Takes up to a chunk of rows from the front of a range, or from its back if `reversed`.
fn take(from: &mut u64, to: &mut u64, reversed: bool) -> (u64, u64) {
    if reversed {
        let start = to.saturating_sub(CHUNK_POSITIONS_MAX).max(*from);
        (start, std::mem::replace(to, start))
    } else {
        let end = (*from + CHUNK_POSITIONS_MAX).min(*to);
        (std::mem::replace(from, end), end)
    }
}

/// Returns the first row in `from..to` whose position is at least `position`.
fn lower_bound(array: &Array<Posting>, mut from: u64, mut to: u64, position: u64) -> Result<u64, Fault> {
    while from < to {
        let middle = from.midpoint(to);
        if array.row(middle)?.position().get() < position { from = middle + 1 } else { to = middle }
    }
    Ok(from)
}
