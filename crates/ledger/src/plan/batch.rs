//! Batches: which events succeed or fail together, and which batches are imports.

use types::{Span, Timestamp};

use super::{Plan, Planned, account, transfer};
use crate::{AccountFlags, AccountStatus, Detail, Fact, Ledger, NewAccount, NewTransfer, Outcome, StatusRefusal};
use crate::{TransferFlags, TransferStatus};

/// The most events in a chain. Their entries fit in one frame of the journal with room to spare.
pub const CHAIN_EVENTS_MAX: usize = 4_000;
/// The most bytes that an entry takes in a frame, texts apart.
const ENTRY_BYTES_MAX: usize = 224;
/// The most bytes that the entries of a chain take in a frame, texts included.
const CHAIN_BYTES_MAX: usize = CHAIN_EVENTS_MAX * ENTRY_BYTES_MAX;

/// What a whole batch determines for each of its events. The first event determines whether the batch is an import.
#[derive(Debug, Clone, Copy)]
pub struct BatchContext {
    is_import: bool,
    last: Timestamp,
}

impl BatchContext {
    /// The batch of these events, the first of which is decided at `at`.
    pub fn of<E: BatchEvent>(events: &[E], at: Timestamp) -> Self {
        let others = Span::from_ns(events.len().saturating_sub(1) as u64);
        Self { is_import: events.first().is_some_and(BatchEvent::is_imported), last: at.saturating_add(others) }
    }

    /// Splits the events into steps, each of which succeeds or fails on its own.
    pub fn steps<E: BatchEvent>(events: &[E]) -> impl Iterator<Item = Step<'_, E>> {
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

/// A request that can be part of a batch, alone or in a chain.
pub trait BatchEvent {
    /// What the sender is told.
    type Answer;

    /// Whether the event succeeds or fails together with the next one.
    fn is_linked(&self) -> bool;

    /// Whether the event has its own timestamp.
    fn is_imported(&self) -> bool;

    /// Judges the event after the steps of the plan so far, whether or not it is linked.
    fn judge(&self, plan: &mut Plan<'_>, batch: BatchContext) -> Self::Answer;

    /// Whether this answer says that the event created something. Any other answer breaks a chain.
    fn is_created(answer: &Self::Answer) -> bool;

    /// The answer to an event that fails because of its chain.
    fn failed(why: ChainFailure) -> Self::Answer;

    /// The answer to the event that broke its chain, now that `plan` is where it was before the chain.
    fn rolled_back(answer: Self::Answer, plan: &Plan<'_>) -> Self::Answer;
}

/// Why an event fails because of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFailure {
    /// Another event broke the chain.
    Broken,
    /// The last event is linked as well, so the chain has no end.
    Open,
    /// The chain does not fit in one frame of the journal.
    TooLong,
}

impl ChainFailure {
    /// How an account of the chain is refused.
    pub const fn of_account(self) -> StatusRefusal<AccountStatus> {
        let status = match self {
            Self::Broken => AccountStatus::LinkedEventFailed,
            Self::Open => AccountStatus::LinkedEventChainOpen,
            Self::TooLong => AccountStatus::LinkedChainTooLong,
        };
        StatusRefusal { status, detail: Detail::None }
    }

    /// How a transfer of the chain is refused.
    pub const fn of_transfer(self) -> StatusRefusal<TransferStatus> {
        let status = match self {
            Self::Broken => TransferStatus::LinkedEventFailed,
            Self::Open => TransferStatus::LinkedEventChainOpen,
            Self::TooLong => TransferStatus::LinkedChainTooLong,
        };
        StatusRefusal { status, detail: Detail::None }
    }
}

impl BatchEvent for NewAccount {
    type Answer = Outcome<AccountStatus>;

    fn is_linked(&self) -> bool {
        self.flags.contains(AccountFlags::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(AccountFlags::IMPORTED)
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: BatchContext) -> Self::Answer {
        let planned = account::plan(plan, batch.at(plan.now()), self);
        plan.take(planned)
    }

    fn is_created(answer: &Self::Answer) -> bool {
        matches!(answer, Outcome::Created { .. })
    }

    fn failed(why: ChainFailure) -> Self::Answer {
        Outcome::Refused(why.of_account())
    }

    fn rolled_back(answer: Self::Answer, _plan: &Plan<'_>) -> Self::Answer {
        answer
    }
}

impl BatchEvent for NewTransfer {
    type Answer = Outcome<TransferStatus>;

    fn is_linked(&self) -> bool {
        self.flags.contains(TransferFlags::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(TransferFlags::IMPORTED)
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: BatchContext) -> Self::Answer {
        let planned = transfer::plan(plan, batch.at(plan.now()), self);
        plan.take(planned)
    }

    fn is_created(answer: &Self::Answer) -> bool {
        matches!(answer, Outcome::Created { .. })
    }

    fn failed(why: ChainFailure) -> Self::Answer {
        Outcome::Refused(why.of_transfer())
    }

    fn rolled_back(answer: Self::Answer, _plan: &Plan<'_>) -> Self::Answer {
        answer
    }
}

impl Ledger {
    /// Like [`Ledger::plan_account`], for an event of a batch that is not in a chain.
    pub fn plan_account_of(&self, batch: BatchContext, at: Timestamp, new: &NewAccount) -> Planned<AccountStatus> {
        self.check_time(at);
        account::plan(self, batch.at(at), new)
    }

    /// Like [`Ledger::plan_transfer`], for an event of a batch that is not in a chain.
    pub fn plan_transfer_of(&self, batch: BatchContext, at: Timestamp, new: &NewTransfer) -> Planned<TransferStatus> {
        self.check_time(at);
        transfer::plan(self, batch.at(at), new)
    }
}

impl Plan<'_> {
    /// Judges the events of a chain, each of which sees those before it. The chain fails at the first event that is not
    /// created, even if that event already exists. A chain that fails leaves the plan as it was before, except that the
    /// event that broke the chain may have spent its id. That event gets its own answer; the others are told that their
    /// chain failed.
    pub fn take_chain<E: BatchEvent>(&mut self, batch: BatchContext, events: &[E]) -> Vec<E::Answer> {
        let is_open = events.last().is_some_and(BatchEvent::is_linked);
        let before = self.mark();
        let mut answers = Vec::with_capacity(events.len());
        let mut broken_by = None;
        if events.len() > CHAIN_EVENTS_MAX {
            broken_by = Some((CHAIN_EVENTS_MAX, E::failed(ChainFailure::TooLong)));
        } else {
            // The last event of an open chain is not judged: that the chain is open takes precedence.
            let judged = events.len().saturating_sub(is_open.into());
            for event in events.iter().take(judged) {
                let answer = event.judge(self, batch);
                if !E::is_created(&answer) {
                    broken_by = Some((answers.len(), answer));
                    break;
                }
                answers.push(answer);
            }
        }
        if broken_by.is_none() && !is_open {
            if frame_bytes(self.facts_since(before)) <= CHAIN_BYTES_MAX {
                return answers;
            }
            broken_by = Some((events.len().saturating_sub(1), E::failed(ChainFailure::TooLong)));
        }
        self.roll_back(before);
        let mut answers: Vec<E::Answer> = events.iter().map(|_| E::failed(ChainFailure::Broken)).collect();
        if let Some((place, answer)) = broken_by
            && let Some(told) = answers.get_mut(place)
        {
            *told = E::rolled_back(answer, self);
        }
        if is_open && let Some(last) = answers.last_mut() {
            *last = E::failed(ChainFailure::Open);
        }
        answers
    }
}

/// The most bytes that the entries of these facts take in a frame.
fn frame_bytes(facts: &[Fact]) -> usize {
    facts.iter().fold(0, |bytes, fact| bytes.saturating_add(ENTRY_BYTES_MAX).saturating_add(fact.text_bytes()))
}

/// When an event is judged, and in which batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The timestamp that the event gets unless it has its own.
    pub(super) now: Timestamp,
    batch: BatchContext,
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
        BatchContext { is_import, last: now }.at(now)
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
