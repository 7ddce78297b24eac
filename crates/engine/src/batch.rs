//! Batches of the ledger: every event is judged, recorded and answered separately, and sees the effects of the events
//! before it. The events of a chain succeed or fail together. Each of them still becomes an entry of its own; these
//! entries are in one frame.

use ledger::{AccountStatus, BatchContext, BatchEvent, NewAccount, NewTransfer, Outcome, Step, WARM_EVENTS};
use types::Timestamp;

use crate::command::Execute;
use crate::decide::Recording;
use crate::entry::Fact;
use crate::reply::{EventResult, EventStatus, TransferResults};
use crate::{Answered, Engine, Request, Sink};

/// Open accounts, each with its own result. At most [`crate::EVENTS_MAX`].
#[derive(Debug, Clone)]
pub struct CreateAccounts(pub Vec<NewAccount>);

/// Create transfers, each with its own result and its own entry.
#[derive(Debug, Clone)]
pub struct CreateTransfers {
    /// In order; at most [`crate::EVENTS_MAX`].
    pub events: Vec<NewTransfer>,
    /// Whether each result includes the balances of both accounts after it.
    pub balances: bool,
}

impl Execute for CreateAccounts {
    fn events_count(&self) -> usize {
        self.0.len()
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        Ok(engine.create_accounts(now, request, &self.0, sink))
    }

    /// While writes are refused, a batch is refused as a whole.
    fn without_entry(&self, _: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        None
    }
}

impl Execute for CreateTransfers {
    fn events_count(&self) -> usize {
        self.events.len()
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        Ok(engine.create_transfers(now, request, (&self.events, self.balances), sink))
    }

    /// While writes are refused, a batch is refused as a whole.
    fn without_entry(&self, _: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        None
    }
}

impl Engine {
    fn create_accounts(
        &mut self,
        now: Timestamp,
        request: &Request,
        events: &[NewAccount],
        sink: &mut dyn Sink,
    ) -> Vec<EventResult<AccountStatus>> {
        let batch = BatchContext::of(events, self.next_instant(now));
        let mut results = Vec::with_capacity(events.len());
        let mut ahead = events.chunks(WARM_EVENTS);
        let mut warmed = 0;
        for step in BatchContext::steps(events) {
            if results.len() >= warmed
                && let Some(next) = ahead.next()
            {
                self.state.ledger.warm_accounts(next);
                warmed += next.len();
            }
            let at = self.next_instant(now);
            match step {
                Step::One(new) => {
                    let planned = self.state.ledger.plan_account_of(batch, at, new);
                    if let Some(fact) = planned.fact {
                        self.commit_event(now, request, fact, sink);
                        self.journal_digest(now, sink);
                    }
                    results.push(EventResult::new(planned.outcome, at));
                }
                Step::Chain(chain) => {
                    let outcomes = self.commit_chain(now, request, (batch, chain), sink, |_, _| {});
                    results.extend(outcomes.into_iter().map(|outcome| EventResult::new(outcome, at)));
                }
            }
        }
        results
    }

    fn create_transfers(
        &mut self,
        now: Timestamp,
        request: &Request,
        (events, with_balances): (&[NewTransfer], bool),
        sink: &mut dyn Sink,
    ) -> TransferResults {
        let batch = BatchContext::of(events, self.next_instant(now));
        let mut results = Vec::with_capacity(events.len());
        let mut balances = Vec::with_capacity(if with_balances { events.len() } else { 0 });
        let mut ahead = events.chunks(WARM_EVENTS);
        let mut warmed = 0;
        for step in BatchContext::steps(events) {
            if results.len() >= warmed
                && let Some(next) = ahead.next()
            {
                self.state.ledger.warm(next);
                warmed += next.len();
            }
            let at = self.next_instant(now);
            match step {
                Step::One(new) => {
                    let planned = self.state.ledger.plan_transfer_of(batch, at, new);
                    if let Some(fact) = planned.fact {
                        self.commit_event(now, request, fact, sink);
                        self.journal_digest(now, sink);
                    }
                    let result = EventResult::new(planned.outcome, at);
                    if with_balances {
                        let exists = !matches!(result.status, EventStatus::Refused(_));
                        balances.push(self.balances_after(new).filter(|_| exists));
                    }
                    results.push(result);
                }
                Step::Chain(chain) => {
                    let mut after = Vec::new();
                    let note = |engine: &Self, new: &NewTransfer| {
                        if with_balances {
                            after.push(engine.balances_after(new));
                        }
                    };
                    let outcomes = self.commit_chain(now, request, (batch, chain), sink, note);
                    if with_balances {
                        // A chain that is sent again fails at its first event, which exists; that event is shown with
                        // its balances.
                        let exists = |(new, outcome): (&NewTransfer, &Outcome<_>)| {
                            self.balances_after(new).filter(|_| matches!(outcome, Outcome::Exists { .. }))
                        };
                        if after.is_empty() {
                            after.extend(chain.iter().zip(&outcomes).map(exists));
                        }
                        after.resize(chain.len(), None);
                        balances.append(&mut after);
                    }
                    results.extend(outcomes.into_iter().map(|outcome| EventResult::new(outcome, at)));
                }
            }
        }
        TransferResults { results, balances }
    }

    /// Judges a chain and makes its entries. If the chain succeeds, `created` sees the engine after each of its events.
    fn commit_chain<S, E: BatchEvent<Answer = Outcome<S>>>(
        &mut self,
        now: Timestamp,
        request: &Request,
        (batch, chain): (BatchContext, &[E]),
        sink: &mut dyn Sink,
        mut created: impl FnMut(&Self, &E),
    ) -> Vec<Outcome<S>> {
        let mut plan = self.state.ledger.plan(self.next_instant(now));
        let outcomes = plan.take_chain(batch, chain);
        let succeeds = outcomes.iter().all(E::is_created);
        let facts = plan.into_facts();
        sink.hold_together(facts.len(), 0);
        for (fact, event) in facts.into_iter().zip(chain) {
            self.commit_event(now, request, fact, sink);
            if succeeds {
                created(self, event);
            }
        }
        self.journal_digest(now, sink);
        outcomes
    }

    fn commit_event(&mut self, now: Timestamp, request: &Request, fact: ledger::Fact, sink: &mut dyn Sink) {
        self.commit(now, request.actor, request.id, Recording::of(Fact::Ledger(fact)), sink);
    }

    /// Both accounts of a transfer that exists, the debit account first.
    fn balances_after(&self, new: &NewTransfer) -> Option<[ledger::Account; 2]> {
        let transfer = self.state.ledger.transfer(new.key)?;
        let account = |id| self.state.ledger.account(id).copied();
        Some([account(transfer.debit)?, account(transfer.credit)?])
    }
}
