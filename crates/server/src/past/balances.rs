//! Balances at past instants: the balances at the end of a generation, plus what was booked after it.

use std::collections::HashSet;

use api::past::Sums;
use edge::{StatementPage, Wanted};
use engine::{Fact, Page, Portion};
use index::{Bounds, Sides};
use journal::{Fault, Position, Reader as _};
use ledger::{Account, AccountPlace, Movement, Transfer, TransferFlags, TransferKey};
use types::{AccountId, Amount, PaymentId, Seq, Timestamp};

use super::{PastError, PastReader, ROWS_SCANNED_MAX, created, just_before};

/// One change of an account's balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    /// The transfer, or the pending transfer that expired.
    pub transfer: Transfer,
    /// When it was booked. For an expiry, the time of its entry.
    pub booked_at: Timestamp,
    /// When it happened: the declared time, or else the booking time.
    pub occurred_at: Timestamp,
    /// Whether this is the expiry of `transfer`.
    pub is_expiry: bool,
    /// The pending transfer that `transfer` posts or voids.
    pub resolved: Option<Transfer>,
}

impl Line {
    /// The account after the change.
    fn follow(&self, mut account: Account) -> Account {
        if self.is_expiry {
            account.follow_expiry(&self.transfer);
        } else {
            account.follow(&self.transfer, self.resolved.as_ref());
        }
        account
    }

    fn movement(&self) -> Movement {
        if self.is_expiry {
            return Movement::of_expiry(&self.transfer);
        }
        Movement::of(&self.transfer, self.resolved.as_ref())
    }
}

/// An account, and the position up to which its balances include everything.
type Base = (Account, Option<Position>);

impl PastReader<'_> {
    /// The account right after everything that was booked up to and including `at`. Its balances are zero if it was not open
    /// yet.
    ///
    /// # Errors
    /// If a read fails.
    pub fn account_at(&mut self, account: &Account, at: Timestamp) -> Result<Account, PastError> {
        let Some(place) = self.account_place(account.id)? else { return Ok(account.emptied()) };
        let (mut then, after) = self.base(account, place, at)?;
        self.lines((account.id, place), (after, at), |line| {
            if line.booked_at <= at {
                then = line.follow(then);
            }
            true
        })?;
        Ok(then)
    }

    /// The account after everything that happened up to and including `at`, whenever it was booked. If the end of a reservation
    /// happened before the reservation itself, nothing is reserved.
    ///
    /// # Errors
    /// If a read fails, or the account has more than `ROWS_SCANNED_MAX` transfers.
    pub fn account_at_occurred(&mut self, account: &Account, at: Timestamp) -> Result<Account, PastError> {
        let Some(place) = self.account_place(account.id)? else { return Ok(account.emptied()) };
        let mut positions = Vec::new();
        for chunk in self.index.postings(place, Sides::Both, Bounds::default(), false) {
            positions.extend(chunk?);
            if positions.len() > ROWS_SCANNED_MAX {
                return Err(PastError::TooManyToRead(ROWS_SCANNED_MAX));
            }
        }
        let then = self.account_at(account, at)?;
        let (mut added, mut taken) = (Sums::from(&then), Sums::default());
        // A transfer in a row happened when it was booked.
        for position in positions.into_iter().filter(|position| !position.is_row()) {
            self.go_on()?;
            for line in self.lines_at(position, account.id)? {
                let movement = line.movement();
                let is_debit = line.transfer.debit == account.id;
                match (line.booked_at <= at, line.occurred_at <= at) {
                    (false, true) => shift(&mut added, &mut taken, is_debit, movement),
                    (true, false) => shift(&mut taken, &mut added, is_debit, movement),
                    (true, true) | (false, false) => {}
                }
            }
        }
        Ok(Account {
            debits_pending: added.debits_pending.saturating_sub(taken.debits_pending),
            debits_posted: added.debits_posted.saturating_sub(taken.debits_posted),
            credits_pending: added.credits_pending.saturating_sub(taken.credits_pending),
            credits_posted: added.credits_posted.saturating_sub(taken.credits_posted),
            ..then
        })
    }

    /// A page of an account's transfers, each with the account right after it, and the place to continue from. "After" is in the
    /// order of the journal: an imported transfer comes after the expiries that were booked before it, whatever its own time.
    ///
    /// # Errors
    /// If a read fails.
    pub fn balances(
        &mut self,
        account: &Account,
        wanted: &Wanted,
    ) -> Result<Page<(Transfer, Account), u64>, PastError> {
        let page = self.transfers(wanted)?;
        let times = page.items.iter().map(|transfer| transfer.timestamp);
        let place = self.account_place(account.id)?;
        let (Some(place), Some(first), Some(last)) = (place, times.clone().min(), times.max()) else {
            return Ok(Page { items: Vec::new(), next: page.next });
        };
        let (mut then, after) = self.base(account, place, just_before(first).unwrap_or_default())?;
        let keys: HashSet<TransferKey> = page.items.iter().map(|transfer| transfer.key).collect();
        let mut rows = Vec::with_capacity(page.items.len());
        self.lines((account.id, place), (after, last), |line| {
            then = line.follow(then);
            if !line.is_expiry && keys.contains(&line.transfer.key) {
                rows.push((line.transfer, then));
            }
            true
        })?;
        if wanted.filter.reversed {
            rows.reverse();
        }
        Ok(Page { items: rows, next: page.next })
    }

    /// A page of what was posted to an account between two instants, both included. The opening is the account before the first
    /// instant; each line has the account right after it, as in [`Self::balances`].
    ///
    /// # Errors
    /// If a read fails.
    pub fn statement(
        &mut self,
        account: &Account,
        (from, to): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<StatementPage, PastError> {
        let before = just_before(from).unwrap_or_default();
        let Some(place) = self.account_place(account.id)? else {
            return Ok(StatementPage { opening: Sums::default(), lines: Vec::new(), next: None });
        };
        let (mut then, after) = self.base(account, place, before)?;
        let (mut opening, mut is_ahead) = (then, false);
        let (mut lines, mut next) = (Vec::new(), None);
        let (mut scanned, mut last) = (0_usize, None);
        self.lines((account.id, place), (after, to), |line| {
            let is_within = line.booked_at >= from;
            if is_within {
                scanned = scanned.saturating_add(1);
                if lines.len() >= limit || scanned > ROWS_SCANNED_MAX {
                    next = last;
                    return false;
                }
            }
            then = line.follow(then);
            if is_within {
                is_ahead = true;
            } else {
                // An imported transfer from before the first instant can come after an expiry within the period.
                opening = if is_ahead { line.follow(opening) } else { then };
            }
            if is_within && !line.is_expiry {
                last = Some(line.transfer.timestamp);
                let flags = TransferFlags::PENDING.with(TransferFlags::VOID_PENDING_TRANSFER);
                if !line.transfer.flags.intersects(flags) {
                    lines.push((line.transfer, Sums::from(&then)));
                }
            }
            true
        })?;
        Ok(StatementPage { opening: Sums::from(&opening), lines, next })
    }

    /// The account at the end of the last generation that was booked completely by `at`.
    fn base(&mut self, account: &Account, place: AccountPlace, at: Timestamp) -> Result<Base, PastError> {
        let mut then = account.emptied();
        let Some(generation) = self.generation_booked_by(at)? else { return Ok((then, None)) };
        if let Some(balances) = self.index.balances_at(place, generation)? {
            then.debits_pending = balances.debits_pending;
            then.debits_posted = balances.debits_posted;
            then.credits_pending = balances.credits_pending;
            then.credits_posted = balances.credits_posted;
        }
        Ok((then, self.index.generation(generation).map(|end| end.resume.position())))
    }

    /// The last generation that was booked completely by `at`, including its expiries, which can be later than its last
    /// transfer. Imported transfers have their own booking times, but expiries do not, so the generation must also have been
    /// written by then.
    pub(super) fn generation_booked_by(&self, at: Timestamp) -> Result<Option<u32>, PastError> {
        let mut generation = self.index.generation_at(at);
        while let Some(number) = generation {
            let end = self.index.generation(number);
            let entry = end.map(|end| self.reader.read(end.last)).transpose()?;
            let written = entry.and_then(|entries| Some(entries.first()?.header.decided_at));
            if written.is_some_and(|written| written <= at) {
                break;
            }
            generation = number.checked_sub(1);
        }
        Ok(generation)
    }

    /// Visits the changes of an account after a position, in the order of the journal, until the first transfer that was booked
    /// after `latest` or until `visit` stops it. Transfers are in order of time. An expiry can be later than `latest`, and than
    /// imported transfers after it.
    fn lines(
        &mut self,
        (id, place): (AccountId, AccountPlace),
        (after, latest): (Option<Position>, Timestamp),
        mut visit: impl FnMut(&Line) -> bool,
    ) -> Result<(), PastError> {
        for chunk in self.index.postings(place, Sides::Both, Bounds { after, ..Bounds::default() }, false) {
            for position in chunk? {
                self.go_on()?;
                for line in self.lines_at(position, id)? {
                    let is_over = line.booked_at > latest && !line.is_expiry;
                    if is_over || !visit(&line) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The pending transfer that a transfer resolves. `fact` is what contains the transfer, unless it is a row.
    pub(super) fn resolved_by(
        &mut self,
        transfer: &Transfer,
        fact: Option<&Fact>,
    ) -> Result<Option<Transfer>, PastError> {
        match transfer.pending {
            Some(TransferKey::Client(id)) => self.client_transfer(id),
            // What a void releases is its amount, and so is what a change of all that is held moves.
            Some(TransferKey::Leg { .. })
                if transfer.flags.contains(TransferFlags::VOID_PENDING_TRANSFER) || fact.is_some_and(is_of_all) =>
            {
                Ok(Some(*transfer))
            }
            Some(TransferKey::Leg { payment, number }) => self.leg(payment, number).map(Some),
            None => Ok(None),
        }
    }

    /// A transfer of a payment.
    fn leg(&mut self, payment: PaymentId, number: u16) -> Result<Transfer, PastError> {
        let key = TransferKey::Leg { payment, number };
        let Some(found) = self.index.payment(payment)? else {
            return Err(Fault::damaged_at(Position::from_number(0), Seq::ZERO, "the index lacks a payment").into());
        };
        for position in std::iter::once(found.decided).chain(found.changes) {
            if let Some(transfer) = created(self.entry_at(position)?).find(|transfer| transfer.key == key) {
                return Ok(*transfer);
            }
        }
        Err(Fault::damaged_at(found.decided, Seq::ZERO, "the payment lacks a transfer that it resolves").into())
    }

    fn lines_at(&mut self, position: Position, account: AccountId) -> Result<Vec<Line>, PastError> {
        let on_account = |transfer: &Transfer| transfer.debit == account || transfer.credit == account;
        if position.is_row() {
            let transfer = self.reader.transfer_at(position)?;
            let (at, resolved) = (transfer.timestamp, self.resolved_by(&transfer, None)?);
            return Ok(vec![Line { transfer, booked_at: at, occurred_at: at, is_expiry: false, resolved }]);
        }
        let entry = self.entry_at(position)?.clone();
        let mut lines = Vec::new();
        for fact in entry.fact.ledger_facts() {
            let (transfer, is_expiry) = match fact {
                ledger::Fact::TransferCreated(transfer) => (Some(*transfer), false),
                ledger::Fact::TransferExpired(TransferKey::Client(id)) => (self.client_transfer(*id)?, true),
                // The transfers of payments have no timeout.
                ledger::Fact::TransferExpired(TransferKey::Leg { .. })
                | ledger::Fact::TransferFailed { .. }
                | ledger::Fact::BookOpened(_)
                | ledger::Fact::AccountOpened(_)
                | ledger::Fact::LimitsSet { .. }
                | ledger::Fact::AddressSet { .. }
                | ledger::Fact::MetadataSet { .. }
                | ledger::Fact::TransferScheduled(_)
                | ledger::Fact::ScheduledCancelled { .. }
                | ledger::Fact::IndexesChosen { .. }
                | ledger::Fact::ImportStarted(_)
                | ledger::Fact::AccountStaged { .. }
                // Imported transfers are rows.
                | ledger::Fact::TransferStaged { .. }
                | ledger::Fact::ImportNoted { .. } => (None, false),
            };
            if let Some(transfer) = transfer.filter(on_account) {
                let booked_at = if is_expiry { entry.header.decided_at } else { transfer.timestamp };
                let occurred_at = if entry.header.occurred_at == entry.header.decided_at {
                    booked_at
                } else {
                    entry.header.occurred_at
                };
                let resolved = if is_expiry { None } else { self.resolved_by(&transfer, Some(&entry.fact))? };
                lines.push(Line { transfer, booked_at, occurred_at, is_expiry, resolved });
            }
        }
        Ok(lines)
    }
}

/// Whether a change of a payment was of all that was held.
fn is_of_all(fact: &Fact) -> bool {
    matches!(fact, Fact::PaymentChanged(changed) if changed.portion == Portion::All)
}

/// Adds the increases of a movement to one list of sums, and its decreases to the other.
fn shift(added: &mut Sums, taken: &mut Sums, is_debit: bool, movement: Movement) {
    let [added, taken] = [added, taken].map(|sums| {
        if is_debit {
            (&mut sums.debits_pending, &mut sums.debits_posted)
        } else {
            (&mut sums.credits_pending, &mut sums.credits_posted)
        }
    });
    add(added.0, movement.reserved);
    add(added.1, movement.posted);
    add(taken.0, movement.released);
}

/// Adds, saturating at 2^128 - 1.
pub(super) fn add(sum: &mut Amount, more: Amount) {
    *sum = sum.checked_add(more).unwrap_or(Amount::MAX);
}
