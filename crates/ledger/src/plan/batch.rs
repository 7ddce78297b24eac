//! Batches: which events succeed or fail together, and which batches are imports.

use types::{Span, Timestamp};

use super::{Plan, Planned, account, transfer};
use crate::{AccountFlags, AccountStatus, Detail, Fact, Ledger, NewAccount, NewTransfer, Outcome, Refusal};
use crate::{TransferFlags, TransferStatus};

/// The longest chain. Its facts fit in one frame of the journal with room to spare.
pub const CHAIN_EVENTS_MAX: usize = 4_000;

/// What a whole batch determines for each of its events. The first event determines whether the batch is an import.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    is_import: bool,
    last: Timestamp,
}

impl Batch {
    /// The batch of these events, the first of which is decided at `at`.
    pub fn of<E: Event>(events: &[E], at: Timestamp) -> Self {
        let others = Span::from_ns(events.len().saturating_sub(1) as u64);
        Self { is_import: events.first().is_some_and(Event::is_imported), last: at.saturating_add(others) }
    }

    /// Splits the events into steps, each of which succeeds or fails on its own.
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

/// A part of a batch that succeeds or fails on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a, E> {
    One(&'a E),
    /// Linked events. If the last one is linked as well, the chain has no end and fails.
    Chain(&'a [E]),
}

/// A request that can be part of a batch.
pub trait Event {
    /// Why such a request is refused.
    type Status: Copy;

    /// Whether the event succeeds or fails together with the next one.
    fn is_linked(&self) -> bool;

    /// Whether the event has its own timestamp.
    fn is_imported(&self) -> bool;

    #[doc(hidden)]
    fn take(&self, plan: &mut Plan<'_>, batch: Batch) -> Outcome<Self::Status>;

    #[doc(hidden)]
    fn chain_status(fate: Fate) -> Self::Status;
}

/// Why an event fails because of its chain.
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

/// The answers to the events of a chain, and the facts that it produces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChain<S> {
    /// One per event.
    pub outcomes: Vec<Outcome<S>>,
    /// One per event if the chain succeeds. At most one if it fails, because the event that broke the chain may have
    /// spent its id.
    pub facts: Vec<Fact>,
}

impl Ledger {
    /// Like [`Ledger::plan_account`], for an event of a batch that is not in a chain.
    pub fn plan_account_of(&self, batch: Batch, at: Timestamp, new: &NewAccount) -> Planned<AccountStatus> {
        self.check_time(at);
        account::plan(self, batch.at(at), new)
    }

    /// Like [`Ledger::plan_transfer`], for an event of a batch that is not in a chain.
    pub fn plan_transfer_of(&self, batch: Batch, at: Timestamp, new: &NewTransfer) -> Planned<TransferStatus> {
        self.check_time(at);
        transfer::plan(self, batch.at(at), new)
    }

    /// Plans a chain of accounts or transfers in which each event sees those before it. The first event is decided at
    /// `at`. The chain fails at the first event that is not created, even if that event already exists.
    ///
    /// # Panics
    /// LED-3: if `at` is not later than every account and transfer.
    pub fn plan_chain<E: Event>(&self, batch: Batch, at: Timestamp, events: &[E]) -> PlannedChain<E::Status> {
        let refused = |fate| Outcome::Refused(Refusal { status: E::chain_status(fate), detail: Detail::None });
        let is_open = events.last().is_some_and(Event::is_linked);
        let mut plan = self.plan(at);
        let mut outcomes = Vec::with_capacity(events.len());
        let mut broken_by = None;
        if events.len() > CHAIN_EVENTS_MAX {
            broken_by = Some((CHAIN_EVENTS_MAX, refused(Fate::TooLong)));
        } else {
            // The last event of an open chain is not judged: that the chain is open takes precedence.
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
    /// Opens an account or creates a transfer as an event of a batch, whether or not it is linked.
    pub fn take_event<E: Event>(&mut self, batch: Batch, event: &E) -> Outcome<E::Status> {
        event.take(self, batch)
    }

    /// Goes back to `before`, because the steps since then are a chain that failed. If the last step spent an id, that
    /// id stays spent.
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
    /// The timestamp that the event gets unless it has its own.
    pub(super) now: Timestamp,
    batch: Batch,
}

/// The result of [`Moment::check_import`], in order of precedence.
pub(super) enum ImportCheck {
    Passes,
    Expected,
    NotExpected,
    TimestampMustBeZero,
    OutOfRange,
    MustNotAdvance,
}

impl Moment {
    /// The moment of an event on its own.
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
