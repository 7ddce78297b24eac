//! Finds payments by their terms, in the order in which they were decided.

use std::sync::Arc;

use engine::PastPayment;
use journal::Position;
use types::{Seq, Timestamp};

use crate::fault::Fault;
use crate::index::Index;
use crate::log::Log;
use crate::payments;
use crate::terms::{Order, Term, TermList};
use crate::view::{Shared, View};

/// Which payments to find.
#[derive(Debug, Clone)]
pub struct PaymentsWanted {
    /// Of each condition's terms, a payment has at least one. The conditions that fewest payments meet should come first.
    pub conditions: Vec<Vec<Term>>,
    /// Only payments that are open.
    pub open: bool,
    /// The first entry that may have decided a payment, and the last one.
    pub within: (Seq, Seq),
    /// From the newest to the oldest.
    pub reversed: bool,
}

impl Default for PaymentsWanted {
    /// All payments, the oldest first.
    fn default() -> Self {
        Self { conditions: Vec::new(), open: false, within: (Seq::ZERO, Seq::new(u64::MAX)), reversed: false }
    }
}

/// Candidates among everything that was published when the search began, in order. See [`Term`] for what may be wrong with them.
#[derive(Debug)]
pub struct PaymentsFound {
    view: View,
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    lists: Vec<TermList>,
    open: bool,
    order: Order,
    /// Where to go on; `None` after the end.
    next: Option<u64>,
    end: u64,
}

/// A step of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// The payment that this entry decided, and the entry's position.
    At(Seq, Position),
    /// The search used up its steps; no payment before this entry, in order, is left out.
    Tired(Seq),
    /// There are no more.
    End,
}

impl PaymentsFound {
    /// The next candidate. Each look into a list takes one of `steps`, which costs a read of one block at most for each run.
    ///
    /// # Errors
    /// Fails if the index cannot be read.
    pub fn next(&mut self, steps: &mut usize) -> Result<Candidate, Fault> {
        while let Some(at) = self.next.filter(|at| !self.order.is_before(self.end, *at)) {
            if *steps == 0 {
                return Ok(Candidate::Tired(Seq::new(at)));
            }
            *steps -= 1;
            let agreed = self.agreed(at, steps)?;
            let Some(seq) = agreed else { break };
            if seq != at {
                self.next = Some(seq);
                continue;
            }
            let Some((seq, position)) = payments::place_from(&self.view, at, self.order)? else { break };
            if self.order.is_before(self.end, seq) {
                break;
            }
            // A payment that was opened after the search began is not in its view.
            let is_found = seq == at || (self.lists.is_empty() && !self.open);
            let behind = if is_found { seq } else { at };
            self.next = match self.order {
                Order::OldestFirst => behind.checked_add(1),
                Order::NewestFirst => behind.checked_sub(1),
            };
            if is_found {
                return Ok(Candidate::At(Seq::new(seq), position));
            }
        }
        self.next = None;
        Ok(Candidate::End)
    }

    /// Reads a candidate, as the entries left it that were published when the search began.
    ///
    /// # Errors
    /// Fails if the index or the log cannot be read.
    pub fn read(&self, position: Position) -> Result<PastPayment, Fault> {
        let decided = self.log.entry_at(position)?;
        let other = || journal::Fault::damaged_at(position, decided.header.seq, "the entry decided no payment");
        let mut payment = PastPayment::new(&decided).ok_or_else(other)?;
        let changes = payments::changes_of(&self.view, payment.payment.id, decided.header.seq, position)?;
        payments::follow(&*self.log, &mut payment, &changes)?;
        Ok(payment)
    }

    /// `at`, if all lists contain it; otherwise an entry behind it before which no payment is in all lists, or `None` if there is
    /// none.
    fn agreed(&mut self, at: u64, steps: &mut usize) -> Result<Option<u64>, Fault> {
        if self.open {
            let found = self.shared.open_payment(at, self.order);
            if found != Some(at) {
                return Ok(found);
            }
        }
        for list in &mut self.lists {
            let found = list.seek(&self.view, at)?;
            *steps = steps.saturating_sub(1);
            if found != Some(at) {
                return Ok(found);
            }
        }
        Ok(Some(at))
    }
}

impl Index {
    /// Starts a search for payments.
    pub fn find_payments(&self, wanted: &PaymentsWanted) -> PaymentsFound {
        let view = self.shared.view();
        let order = Order::of(wanted.reversed);
        let lists = wanted.conditions.iter().map(|terms| TermList::new(&view, terms, order)).collect();
        let (first, last) = (wanted.within.0.get(), wanted.within.1.get().min(MOST));
        let (next, end) = if wanted.reversed { (last, first) } else { (first, last) };
        let next = Some(next).filter(|_| first <= last);
        let (shared, log) = (Arc::clone(&self.shared), Arc::clone(&self.log));
        PaymentsFound { view, shared, log, lists, open: wanted.open, order, next, end }
    }

    /// An entry such that exactly the payments that it or a later entry decided were decided at `at` or later. Reads about twenty
    /// entries.
    ///
    /// # Errors
    /// Fails if the index or the log cannot be read.
    pub fn first_decided_from(&self, at: Timestamp) -> Result<Seq, Fault> {
        let view = self.shared.view();
        let runs = view.runs.iter().flat_map(|listed| listed.run.generations.iter().map(|row| row.end()));
        let (mut low, mut high) = (0, None);
        for end in runs.chain(view.waiting.iter().map(|waiting| waiting.generation.end)) {
            if end.decided_at >= at {
                high = Some(end.last.get());
                break;
            }
            low = end.last.get();
        }
        let newest = payments::place_from(&view, MOST, Order::NewestFirst)?.map_or(0, |(seq, _)| seq);
        // Everything up to `low` was decided before, and everything from `high` on was not.
        let mut high = high.unwrap_or(newest).max(low) + 1;
        low += 1;
        while low < high {
            let middle = low.midpoint(high);
            let Some((seq, position)) = payments::place_from(&view, middle, Order::OldestFirst)? else {
                high = middle;
                continue;
            };
            if seq < high && self.log.entry_at(position)?.header.decided_at < at {
                low = seq + 1;
            } else {
                high = middle;
            }
        }
        Ok(Seq::new(low))
    }
}

/// The highest sequence that the index stores.
const MOST: u64 = crate::fixed::SIX_END - 1;
