//! Queries that no index answers, by reading the journal in order.

use api::past::Sums;
use edge::Wanted;
use engine::{Entry, Page};
use journal::Reader as _;
use ledger::{Movement, Transfer, TransferKey};
use types::{LedgerId, Seq, Timestamp};

use super::balances::add;
use super::{Found, PastError, PastReader, Place, ROWS_SCANNED_MAX, created, is_behind, just_before};

/// Entries per read when reading backward.
const STRIDE_ENTRIES: u64 = 1_024;

/// Most entries that are added up for the sums at an instant: a few generations, which takes some seconds. More would be
/// needed only if the index has no sums, or if an import brought old transfers.
const ADDED_UP_MAX: u64 = 2_000_000;

impl PastReader<'_> {
    /// A page of all transfers, including those of payments, within the times of the filter, which has no other condition.
    pub(super) fn all_transfers(&mut self, wanted: &Wanted) -> Result<Page<Transfer, u64>, PastError> {
        let mut page = Found::default();
        let mut scanned = 0_usize;
        let after = wanted.after.map(Place::from_number);
        let (earliest, latest) = (wanted.filter.min_timestamp, wanted.filter.max_timestamp);
        let mut visit = |entry: &Entry| {
            if page.transfers.len() >= wanted.limit || scanned >= ROWS_SCANNED_MAX {
                return false;
            }
            scanned = scanned.saturating_add(1);
            let is_wanted = |transfer: &&Transfer| earliest <= transfer.timestamp && transfer.timestamp <= latest;
            let fitting: Vec<Transfer> = created(entry).filter(is_wanted).copied().collect();
            // Transfers are in order of time, so no later one can match.
            let is_over = created(entry).any(|transfer| is_behind(&wanted.filter, transfer.timestamp));
            if is_over && fitting.is_empty() {
                page.next = None;
                scanned = usize::MAX;
                return false;
            }
            let seq = entry.header.seq.get();
            page.add(seq, fitting, Place::told_of(after, seq), wanted)
        };
        let place = after.map(|place| Seq::new(place.entry));
        let is_over = if wanted.filter.reversed {
            let last = place.or_else(|| self.last_of(latest)).unwrap_or_else(|| self.reader.durable());
            self.entries_backward(last, &mut visit)?
        } else {
            let first = place.or_else(|| self.last_before(earliest).map(Seq::next)).unwrap_or(Seq::new(1));
            self.entries_forward(first, &mut visit)?
        };
        if is_over {
            page.next = None;
        }
        Ok(page.into())
    }

    /// The sums over all accounts of a ledger, right after everything that was booked up to and including `at`.
    ///
    /// # Errors
    /// If a read fails, or too many entries would have to be added up.
    pub fn totals_at(&mut self, ledger: LedgerId, at: Timestamp) -> Result<Sums, PastError> {
        let generation = self.generation_booked_by(at)?;
        let (mut sums, mut first) = (Sums::default(), Seq::new(1));
        if let Some((number, end)) = generation.and_then(|number| Some((number, self.index.generation(number)?))) {
            let totals = self.index.totals_at(number)?;
            sums = totals.iter().find(|(id, _)| *id == ledger).map_or(sums, |(_, totals)| Sums::from(totals));
            first = end.last.next();
        }
        let mut scanned = 0_u64;
        let mut moved: Vec<Movement> = Vec::new();
        loop {
            self.go_on()?;
            let entries = self.reader.read(first)?;
            let Some(last) = entries.last().map(|entry| entry.header.seq) else { return Ok(sums) };
            let mut is_over = false;
            for entry in &entries {
                let booked_at = entry.header.decided_at;
                for fact in entry.fact.ledger_facts() {
                    if let ledger::Fact::TransferCreated(transfer) = fact {
                        if transfer.timestamp <= at && transfer.ledger == ledger {
                            let resolved = self.resolved_by(transfer, Some(&entry.fact))?;
                            moved.push(Movement::of(transfer, resolved.as_ref()));
                        }
                        // Imported transfers can still follow others that are later than `at`, but not this one.
                        is_over |= transfer.timestamp > at && booked_at > at;
                    } else if let ledger::Fact::TransferExpired(TransferKey::Client(id)) = fact
                        && booked_at <= at
                    {
                        let pending = self.client_transfer(*id)?;
                        let pending = pending.filter(|pending| pending.ledger == ledger);
                        moved.extend(pending.as_ref().map(Movement::of_expiry));
                    }
                }
            }
            for movement in moved.drain(..) {
                for pending in [&mut sums.debits_pending, &mut sums.credits_pending] {
                    add(pending, movement.reserved);
                    *pending = pending.saturating_sub(movement.released);
                }
                add(&mut sums.debits_posted, movement.posted);
                add(&mut sums.credits_posted, movement.posted);
            }
            if is_over {
                return Ok(sums);
            }
            scanned = scanned.saturating_add(entries.len() as u64);
            if scanned > ADDED_UP_MAX {
                return Err(PastError::TooMuchToAddUp(ADDED_UP_MAX));
            }
            first = last.next();
        }
    }

    /// The last entry of the latest generation whose transfers were all made before `at`.
    fn last_before(&self, at: Timestamp) -> Option<Seq> {
        Some(self.index.generation(self.index.generation_at(just_before(at)?)?)?.last)
    }

    /// The last entry of the earliest generation after which every transfer was made after `at`.
    fn last_of(&self, at: Timestamp) -> Option<Seq> {
        let next = self.index.generation_at(at).map_or(0, |generation| generation.saturating_add(1));
        Some(self.index.generation(next)?.last)
    }

    /// Visits durable entries in order from a sequence. Returns true if `visit` accepted all of them.
    pub(super) fn entries_forward(
        &self,
        first: Seq,
        visit: &mut impl FnMut(&Entry) -> bool,
    ) -> Result<bool, PastError> {
        let mut first = first;
        loop {
            self.go_on()?;
            let entries = self.reader.read(first)?;
            let Some(last) = entries.last() else { return Ok(true) };
            if !entries.iter().all(&mut *visit) {
                return Ok(false);
            }
            first = last.header.seq.next();
        }
    }

    /// Visits durable entries from `last` back to the first. Returns true if `visit` accepted all of them.
    pub(super) fn entries_backward(
        &self,
        last: Seq,
        visit: &mut impl FnMut(&Entry) -> bool,
    ) -> Result<bool, PastError> {
        let mut last = last.min(self.reader.durable());
        while last > Seq::ZERO {
            let first = Seq::new(last.get().saturating_sub(STRIDE_ENTRIES - 1).max(1));
            let mut entries: Vec<Entry> = Vec::new();
            let mut next = first;
            while next <= last {
                self.go_on()?;
                let mut read = self.reader.read(next)?;
                read.retain(|entry| entry.header.seq <= last);
                let Some(end) = read.last().map(|entry| entry.header.seq) else { break };
                entries.append(&mut read);
                next = end.next();
            }
            if !entries.iter().rev().all(&mut *visit) {
                return Ok(false);
            }
            last = Seq::new(first.get().saturating_sub(1));
        }
        Ok(true)
    }
}
