//! Batches: which events share a fate, and which are imports.

use types::{Span, Timestamp};

use super::{Plan, Planned, account, transfer};
use crate::{AccountFlags, AccountStatus, Detail, Fact, Ledger, NewAccount, NewTransfer, Outcome, Refusal};
use crate::{TransferFlags, TransferStatus};

/// The longest chain; its facts fit one frame of the journal with room to spare.
pub const CHAIN_EVENTS_MAX: usize = 4_000;

/// What a whole batch decides about each of its events. Its first event says whether it is an import.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    is_import: bool,
    last: Timestamp,
}

impl Batch {
    /// The batch of these events, of which the first is decided at `at`.
    pub fn of<E: Event>(events: &[E], at: Timestamp) -> Self {
        let others = Span::from_ns(events.len().saturating_sub(1) as u64);
        Self { is_import: events.first().is_some_and(Event::is_imported), last: at.saturating_add(others) }
    }

    /// Its events, or runs of them, that succeed or fail each by itself.
    pub fn steps<E: Event>(events: &[E]) -> impl Iterator<Item = Step<'_, E>> {
        let mut rest = events;
        std::iter::from_fn(move || {
            let links = rest.iter().take_while(|event| event.is_linked()).count();
            let (taken, after) = rest.split_at(links.saturating_add(1).min(rest.len()));
            rest = after;
            match taken {
                [] => None,
                [event] if links == 0 => Some(Step::One(event)),
                events => Some(Step::Chain(events)),
            }
        })
    }

    const fn at(self, now: Timestamp) -> Moment {
        Moment { now, batch: self }
    }
}

/// What succeeds or fails by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a, E> {
    /// One event.
    One(&'a E),
    /// Events that are linked. When the last one is linked too, the chain has no end and fails.
    Chain(&'a [E]),
}

/// A request that can be part of a batch.
pub trait Event {
    /// Why it is refused.
    type Status: Copy;

    /// Shares the fate of the next.
    fn is_linked(&self) -> bool;

    /// Comes with its own timestamp.
    fn is_imported(&self) -> bool;

    #[doc(hidden)]
    fn take(&self, plan: &mut Plan<'_>, batch: Batch) -> Outcome<Self::Status>;

    #[doc(hidden)]
    fn chain_status(fate: Fate) -> Self::Status;
}

/// Why an event of a chain fails for the chain's sake.
#[derive(Debug, Clone, Copy)]
#[doc(hidden)]
pub enum Fate {
    Open,
    Failed,
    TooLong,
}

impl Event for NewAccount {
    type Status = AccountStatus;

    fn is_linked(&self) -> bool {
        self.flags.contains(AccountFlags::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(AccountFlags::IMPORTED)
    }

    fn take(&self, plan: &mut Plan<'_>, batch: Batch) -> Outcome<AccountStatus> {
        let planned = account::plan(plan, batch.at(plan.now()), self);
        plan.take(planned)
    }

    fn chain_status(fate: Fate) -> AccountStatus {
        match fate {
            Fate::Open => AccountStatus::LinkedEventChainOpen,
            Fate::Failed => AccountStatus::LinkedEventFailed,
            Fate::TooLong => AccountStatus::LinkedChainTooLong,
        }
    }
}

impl Event for NewTransfer {
    type Status = TransferStatus;

    fn is_linked(&self) -> bool {
        self.flags.contains(TransferFlags::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(TransferFlags::IMPORTED)
    }

    fn take(&self, plan: &mut Plan<'_>, batch: Batch) -> Outcome<TransferStatus> {
        let planned = transfer::plan(plan, batch.at(plan.now()), self);
        plan.take(planned)
    }

    fn chain_status(fate: Fate) -> TransferStatus {
        match fate {
            Fate::Open => TransferStatus::LinkedEventChainOpen,
            Fate::Failed => TransferStatus::LinkedEventFailed,
            Fate::TooLong => TransferStatus::LinkedChainTooLong,
        }
    }
}

/// What the events of a chain get, and what is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChain<S> {
    /// One for each event.
    pub outcomes: Vec<Outcome<S>>,
    /// Of a chain that succeeds one for each event; of one that fails at most one: the event that broke it can have
    /// spent its id.
    pub facts: Vec<Fact>,
}

impl Ledger {
    /// As [`Ledger::plan_account`], for an event of a batch that is in no chain.
    pub fn plan_account_of(&self, batch: Batch, at: Timestamp, new: &NewAccount) -> Planned<AccountStatus> {
        self.check_time(at);
        account::plan(self, batch.at(at), new)
    }

    /// As [`Ledger::plan_transfer`], for an event of a batch that is in no chain.
    pub fn plan_transfer_of(&self, batch: Batch, at: Timestamp, new: &NewTransfer) -> Planned<TransferStatus> {
        self.check_time(at);
        transfer::plan(self, batch.at(at), new)
    }

    /// What a chain of accounts or transfers would do, each event seeing those before it; the first is decided at `at`.
    /// The chain fails at its first event that is not created, and also at one that exists.
    ///
    /// # Panics
    /// LED-3: when `at` is not later than every account and transfer.
    pub fn plan_chain<E: Event>(&self, batch: Batch, at: Timestamp, events: &[E]) -> PlannedChain<E::Status> {
        let refused = |fate| Outcome::Refused(Refusal { status: E::chain_status(fate), detail: Detail::None });
        let is_open = events.last().is_some_and(Event::is_linked);
        let mut plan = self.plan(at);
        let mut outcomes = Vec::with_capacity(events.len());
        let mut broken_by = None;
        if events.len() > CHAIN_EVENTS_MAX {
            broken_by = Some((CHAIN_EVENTS_MAX, refused(Fate::TooLong)));
        } else {
            // The end of an open chain is not judged: that it is open comes first.
            let judged = events.len().saturating_sub(is_open.into());
            for event in events.iter().take(judged) {
                let outcome = event.take(&mut plan, batch);
                if !matches!(outcome, Outcome::Created { .. }) {
                    broken_by = Some((outcomes.len(), outcome));
                    break;
                }
                outcomes.push(outcome);
            }
        }
        if broken_by.is_none() && !is_open {
            return PlannedChain { outcomes, facts: plan.into_facts() };
        }
        outcomes.clear();
        outcomes.resize(events.len(), refused(Fate::Failed));
        let mut facts = vec![];
        if let Some((place, outcome)) = broken_by {
            outcomes.splice(place..=place, [outcome]);
            let spent = plan.into_facts().pop();
            facts.extend(spent.filter(|fact| matches!(fact, Fact::TransferFailed { .. })));
        }
        if is_open && let Some(last) = outcomes.last_mut() {
            *last = refused(Fate::Open);
        }
        PlannedChain { outcomes, facts }
    }
}

impl<'a> Plan<'a> {
    /// Opens an account or creates a transfer as an event of a batch, whatever it is linked to.
    pub fn take_event<E: Event>(&mut self, batch: Batch, event: &E) -> Outcome<E::Status> {
        event.take(self, batch)
    }

    /// Goes back to `before`, because the steps since are a chain that failed. What stays is the id that the last step
    /// spent, if it did.
    pub fn roll_back(&mut self, before: Self) {
        let since = self.facts.split_off(before.facts.len());
        *self = before;
        if let Some(spent @ Fact::TransferFailed { .. }) = since.last() {
            self.foresee(spent);
            self.facts.push(spent.clone());
        }
    }
}

/// When an event is judged, and in which batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The timestamp that the event gets unless it brings its own.
    pub(super) now: Timestamp,
    batch: Batch,
}

/// What [`Moment::check_import`] finds, in order of precedence.
pub(super) enum ImportCheck {
    Passes,
    Expected,
    NotExpected,
    TimestampMustBeZero,
    OutOfRange,
    MustNotAdvance,
}

impl Moment {
    /// An event alone.
    pub(super) const fn alone(now: Timestamp, is_import: bool) -> Self {
        Batch { is_import, last: now }.at(now)
    }

    pub(super) fn check_import(self, is_imported: bool, timestamp_ns: u64) -> ImportCheck {
        match (self.batch.is_import, is_imported) {
            (true, false) => ImportCheck::Expected,
            (false, true) => ImportCheck::NotExpected,
            (false, false) if timestamp_ns == 0 => ImportCheck::Passes,
            (false, false) => ImportCheck::TimestampMustBeZero,
            (true, true) if timestamp_ns == 0 || timestamp_ns > Timestamp::MAX.ns() => ImportCheck::OutOfRange,
            (true, true) if timestamp_ns >= self.batch.last.ns() => ImportCheck::MustNotAdvance,
            (true, true) => ImportCheck::Passes,
        }
    }
}
