//! Taking orders: judging them on plans, one or many, for real or as a dry run, so that both answer the same.

use ledger::{Batch, CHAIN_EVENTS_MAX, Event as _, MetadataOf, Plan, TransferKey};
use types::{ActorId, RequestId, Timestamp};

use crate::command::Execute;
use crate::decide::Recording;
use crate::entry::Fact;
use crate::order::{CreateTransfer, CreateTransferBatch, OpenAccount, OpenAccountBatch, Order, Ordered};
use crate::{Answered, Engine, Made, Operation, Refusal, Request, Sink};

/// An operation that is judged on a plan of the ledger.
pub(crate) trait Judge: Operation {
    /// What becomes of it at `at`, the plan's first instant. The answer shows how things are after the plan's steps.
    fn judge(&self, engine: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self>;
}

/// Judges without leaving anything.
pub(crate) fn foresee<J: Judge>(operation: &J, engine: &Engine, at: Timestamp) -> Answered<J> {
    operation.judge(engine, &mut engine.state.ledger.plan(at), at)
}

/// The answer of what would leave no entry.
pub(crate) fn without_entry<J: Judge>(operation: &J, engine: &Engine, at: Timestamp) -> Option<Answered<J>> {
    let mut plan = engine.state.ledger.plan(at);
    let answer = operation.judge(engine, &mut plan, at);
    plan.into_facts().is_empty().then_some(answer)
}

/// Executes operations by judging them and making the entries of what their plan found.
macro_rules! execute_judged {
    ($($operation:ty),*; while closed $without_entry:expr) => {
        $(impl $crate::command::Execute for $operation {
            fn execute(
                &self,
                engine: &mut $crate::Engine,
                now: types::Timestamp,
                request: &$crate::Request,
                sink: &mut dyn $crate::Sink,
            ) -> $crate::Answered<Self> {
                let at = engine.next_instant(now);
                let mut plan = engine.state.ledger.plan(at);
                let answer = self.judge(engine, &mut plan, at);
                let facts = plan.into_facts();
                engine.commit_together(now, request.actor, |_| request.id, facts, sink);
                answer
            }

            fn without_entry(
                &self,
                engine: &$crate::Engine,
                at: types::Timestamp,
                _: &$crate::Request,
            ) -> Option<$crate::Answered<Self>> {
                $without_entry(self, engine, at)
            }
        })*
    };
}
pub(crate) use execute_judged;

execute_judged!(OpenAccount, CreateTransfer; while closed without_entry);

impl Judge for OpenAccount {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self> {
        judge_alone(plan, &*self.0, at)
    }
}

impl Judge for CreateTransfer {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self> {
        judge_alone(plan, &*self.0, at)
    }
}

/// Batches of orders: judged one after another, each after those before it took effect, and answered as if each had come
/// alone. Linked orders succeed or fail together.
macro_rules! batches {
    ($($operation:ty),*) => {
        $(impl Judge for $operation {
            fn judge(&self, _: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self> {
                judge_all(plan, &self.0, at)
            }
        }

        impl Execute for $operation {
            fn events_count(&self) -> usize {
                self.0.len()
            }

            fn execute(
                &self,
                engine: &mut Engine,
                now: Timestamp,
                request: &Request,
                sink: &mut dyn Sink,
            ) -> Answered<Self> {
                Ok(engine.take_all(now, request.actor, &self.0, sink))
            }

            fn without_entry(&self, engine: &Engine, at: Timestamp, _: &Request) -> Option<Answered<Self>> {
                without_entry(self, engine, at)
            }
        })*
    };
}

batches!(OpenAccountBatch, CreateTransferBatch);

impl Engine {
    fn take_all<O: Order>(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &[O],
        sink: &mut dyn Sink,
    ) -> Vec<Ordered<O>> {
        let batch = batch_of(orders, self.next_instant(now));
        let mut answers = Vec::with_capacity(orders.len());
        for run in runs(orders) {
            let mut plan = self.state.ledger.plan(self.next_instant(now));
            answers.extend(judge_run(&mut plan, batch, run));
            let facts = plan.into_facts();
            self.commit_together(now, actor, request_of, facts, sink);
        }
        answers
    }

    /// Makes the entries of what a plan found: all of them become durable, or none does.
    pub(crate) fn commit_together(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        request: impl Fn(&ledger::Fact) -> RequestId,
        facts: Vec<ledger::Fact>,
        sink: &mut dyn Sink,
    ) {
        if facts.len() > 1 {
            sink.hold_together(facts.len(), text_bytes(&facts));
        }
        // What has a timestamp of its own comes first, so that each is that of its entry.
        let (timed, others): (Vec<_>, Vec<_>) = facts.into_iter().partition(is_timed);
        for fact in timed.into_iter().chain(others) {
            self.commit(now, actor, request(&fact), Recording::of(Fact::Ledger(fact)), sink);
        }
        self.journal_digest(now, sink);
    }
}

fn judge_alone<O: Order>(plan: &mut Plan<'_>, order: &O, at: Timestamp) -> Ordered<O> {
    if order.asked().is_linked() {
        return Err(O::CHAIN_OPEN);
    }
    judge_one(plan, batch_of(std::slice::from_ref(order), at), order)
}

fn judge_all<O: Order>(plan: &mut Plan<'_>, orders: &[O], at: Timestamp) -> Result<Vec<Ordered<O>>, Refusal> {
    let batch = batch_of(orders, at);
    Ok(runs(orders).flat_map(|run| judge_run(plan, batch, run)).collect())
}

/// What becomes of an order that is linked to no other.
fn judge_one<O: Order>(plan: &mut Plan<'_>, batch: Batch, order: &O) -> Ordered<O> {
    let before = plan.clone();
    let answer = order.judge(plan, batch);
    if answer.is_err() {
        // An account that opens with an address that is taken does not open.
        plan.roll_back(before);
    }
    answer
}

fn batch_of<O: Order>(orders: &[O], at: Timestamp) -> Batch {
    let news: Vec<O::New> = orders.iter().map(|order| *order.asked()).collect();
    Batch::of(&news, at)
}

/// Orders that succeed or fail together: those that are linked, up to one that is not.
fn runs<O: Order>(orders: &[O]) -> impl Iterator<Item = &[O]> {
    orders.chunk_by(|order, _| order.asked().is_linked())
}

/// What becomes of the orders of one run.
fn judge_run<O: Order>(plan: &mut Plan<'_>, batch: Batch, run: &[O]) -> Vec<Ordered<O>> {
    let is_open = run.last().is_some_and(|order| order.asked().is_linked());
    if let [order] = run
        && !is_open
    {
        return vec![judge_one(plan, batch, order)];
    }
    let before = plan.clone();
    let mut answers: Vec<Ordered<O>> = Vec::with_capacity(run.len());
    // The last order of an open chain is not judged: that the chain is open comes first.
    for order in run.iter().take(run.len() - usize::from(is_open)) {
        let answer = order.judge(plan, batch);
        let breaks = !matches!(&answer, Ok((Made::Now, _)));
        answers.push(answer);
        if breaks {
            return failed_run::<O>(plan, before, run.len(), answers, is_open);
        }
    }
    if is_open {
        return failed_run::<O>(plan, before, run.len(), answers, is_open);
    }
    let facts = plan.facts_since(&before);
    if facts.len().saturating_mul(ENTRY_BYTES_MAX).saturating_add(text_bytes(facts)) > CHAIN_BYTES_MAX {
        answers.pop();
        answers.push(Err(O::CHAIN_TOO_LONG));
        return failed_run::<O>(plan, before, run.len(), answers, is_open);
    }
    answers
}

/// The answers of a run that failed: what broke it has its own, those around it failed with it.
fn failed_run<'p, O: Order>(
    plan: &mut Plan<'p>,
    before: Plan<'p>,
    len: usize,
    mut judged: Vec<Ordered<O>>,
    is_open: bool,
) -> Vec<Ordered<O>> {
    plan.roll_back(before);
    let breaker = judged.pop_if(|answer| !matches!(answer, Ok((Made::Now, _))));
    let mut answers: Vec<Ordered<O>> = judged.iter().map(|_| Err(O::CHAIN_FAILED)).collect();
    answers.extend(breaker);
    answers.resize_with(len, || Err(O::CHAIN_FAILED));
    if is_open {
        answers.pop();
        answers.push(Err(O::CHAIN_OPEN));
    }
    answers
}

/// What an entry takes at most beside its texts.
const ENTRY_BYTES_MAX: usize = 224;
/// The most that the entries of a chain take; it fits a frame.
const CHAIN_BYTES_MAX: usize = CHAIN_EVENTS_MAX * ENTRY_BYTES_MAX;

/// Bytes of addresses and metadata in facts, and what goes with each of them.
fn text_bytes(facts: &[ledger::Fact]) -> usize {
    const OVERHEAD: usize = 16;
    let value = |(key, value): &(String, Option<String>)| OVERHEAD + key.len() + value.as_ref().map_or(0, String::len);
    let text = |fact: &ledger::Fact| match fact {
        ledger::Fact::AddressSet { address, .. } => OVERHEAD + address.as_str().len(),
        ledger::Fact::MetadataSet { values, .. } => values.iter().map(value).sum(),
        ledger::Fact::BookOpened(_)
        | ledger::Fact::AccountOpened(_)
        | ledger::Fact::TransferCreated(_)
        | ledger::Fact::TransferFailed { .. }
        | ledger::Fact::TransferExpired(_)
        | ledger::Fact::LimitsSet { .. }
        | ledger::Fact::TransferScheduled(_)
        | ledger::Fact::ScheduledCancelled { .. }
        | ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::AccountStaged { .. }
        | ledger::Fact::TransferStaged { .. }
        | ledger::Fact::ImportNoted { .. } => 0,
    };
    facts.iter().map(text).sum()
}

/// The request of an order in a batch: the id of what it makes.
fn request_of(fact: &ledger::Fact) -> RequestId {
    let client = |key| match key {
        TransferKey::Client(id) => RequestId::new(id.get()),
        TransferKey::Leg { payment, .. } => RequestId::new(payment.get()),
    };
    match fact {
        ledger::Fact::BookOpened(_) => RequestId::default(),
        ledger::Fact::AccountOpened(account) => RequestId::new(account.id.get()),
        ledger::Fact::TransferCreated(transfer) => client(transfer.key),
        ledger::Fact::TransferFailed { id, .. } => RequestId::new(id.get()),
        ledger::Fact::TransferExpired(key) => client(*key),
        ledger::Fact::TransferScheduled(scheduled) => client(scheduled.new.key),
        ledger::Fact::ScheduledCancelled { id } => RequestId::new(id.get()),
        ledger::Fact::LimitsSet { account, .. } | ledger::Fact::AddressSet { account, .. } => {
            RequestId::new(account.get())
        }
        ledger::Fact::MetadataSet { of, .. } => match of {
            MetadataOf::Account(account) => RequestId::new(account.get()),
            MetadataOf::Transfer(key) => client(*key),
            MetadataOf::Payment(payment) => RequestId::new(payment.get()),
        },
        ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::AccountStaged { .. }
        | ledger::Fact::TransferStaged { .. }
        | ledger::Fact::ImportNoted { .. } => RequestId::default(),
    }
}

/// Whether an account or transfer begins with it, at its own time.
const fn is_timed(fact: &ledger::Fact) -> bool {
    matches!(fact, ledger::Fact::AccountOpened(_) | ledger::Fact::TransferCreated(_))
}
