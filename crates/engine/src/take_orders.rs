//! Taking orders: judging them on plans, one or many, for real or as a dry run. Because both use the same code, both
//! answer the same.

use ledger::{BatchContext, BatchEvent, ChainFailure, MetadataOf, Plan, Step, TransferKey};
use types::{ActorId, PaymentId, RequestId, Timestamp};

use crate::command::Execute;
use crate::decide::Recording;
use crate::entry::Fact;
use crate::order::{CreateTransfer, CreateTransferBatch, OpenAccount, OpenAccountBatch, Ordered};
use crate::{Answered, Engine, Operation, Request, Sink};

/// An operation that is judged on a plan of the ledger.
pub(crate) trait Judge: Operation {
    /// The payment that it is about, which may have to be brought back into memory.
    fn payment(&self) -> Option<PaymentId> {
        None
    }

    /// Judges the operation at `at`, the first instant of the plan. The answer shows the state after the steps of the
    /// plan.
    fn judge(&self, engine: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self>;
}

/// Judges an operation without making an entry.
pub(crate) fn foresee<J: Judge>(operation: &J, engine: &Engine, at: Timestamp) -> Answered<J> {
    operation.judge(engine, &mut engine.state.ledger.plan(at), at)
}

/// The answer to an operation that would make no entry; `None` if it would make one.
pub(crate) fn without_entry<J: Judge>(operation: &J, engine: &Engine, at: Timestamp) -> Option<Answered<J>> {
    let mut plan = engine.state.ledger.plan(at);
    let answer = operation.judge(engine, &mut plan, at);
    plan.into_facts().is_empty().then_some(answer)
}

/// Executes operations by judging them and making entries from the facts of their plan.
macro_rules! execute_judged {
    ($($operation:ty),*) => {
        $(impl $crate::command::Execute for $operation {
            fn payment(&self) -> Option<types::PaymentId> {
                $crate::take_orders::Judge::payment(self)
            }

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
                $crate::take_orders::without_entry(self, engine, at)
            }
        })*
    };
}
pub(crate) use execute_judged;

execute_judged!(OpenAccount, CreateTransfer);

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

/// Batches of orders. The answers are the same as if the orders were sent one after another. Linked orders succeed or fail
/// together.
macro_rules! batches {
    ($($operation:ty),*) => {
        $(impl Judge for $operation {
            fn judge(&self, _: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self> {
                Ok(judge_all(plan, &self.0, at))
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
    fn take_all<T, O: BatchEvent<Answer = Ordered<T>>>(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &[O],
        sink: &mut dyn Sink,
    ) -> Vec<Ordered<T>> {
        let batch = BatchContext::of(orders, self.next_instant(now));
        let mut answers = Vec::with_capacity(orders.len());
        for step in BatchContext::steps(orders) {
            let mut plan = self.state.ledger.plan(self.next_instant(now));
            answers.extend(judge_step(&mut plan, batch, step));
            let facts = plan.into_facts();
            self.commit_together(now, actor, request_of, facts, sink);
        }
        answers
    }

    /// Makes entries from the facts of a plan. All of them become durable, or none does.
    pub(crate) fn commit_together(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        request: impl Fn(&ledger::Fact) -> RequestId,
        facts: Vec<ledger::Fact>,
        sink: &mut dyn Sink,
    ) {
        if facts.len() > 1 {
            sink.hold_together(facts.len(), facts.iter().map(ledger::Fact::text_bytes).sum());
        }
        // Facts with a timestamp of their own come first, so that this timestamp is also the time of their entry.
        let (timed, others): (Vec<_>, Vec<_>) = facts.into_iter().partition(is_timed);
        for fact in timed.into_iter().chain(others) {
            self.commit(now, actor, request(&fact), Recording::of(Fact::Ledger(fact)), sink);
        }
        self.journal_digest(now, sink);
    }
}

fn judge_alone<T, O: BatchEvent<Answer = Ordered<T>>>(plan: &mut Plan<'_>, order: &O, at: Timestamp) -> Ordered<T> {
    if order.is_linked() {
        return O::failed(ChainFailure::Open);
    }
    judge_one(plan, BatchContext::of(std::slice::from_ref(order), at), order)
}

fn judge_all<T, O: BatchEvent<Answer = Ordered<T>>>(
    plan: &mut Plan<'_>,
    orders: &[O],
    at: Timestamp,
) -> Vec<Ordered<T>> {
    let batch = BatchContext::of(orders, at);
    BatchContext::steps(orders).flat_map(|step| judge_step(plan, batch, step)).collect()
}

fn judge_step<T, O: BatchEvent<Answer = Ordered<T>>>(
    plan: &mut Plan<'_>,
    batch: BatchContext,
    step: Step<'_, O>,
) -> Vec<Ordered<T>> {
    match step {
        Step::One(order) => vec![judge_one(plan, batch, order)],
        Step::Chain(orders) => plan.take_chain(batch, orders),
    }
}

/// Judges an order that is not linked to another.
fn judge_one<T, O: BatchEvent<Answer = Ordered<T>>>(plan: &mut Plan<'_>, batch: BatchContext, order: &O) -> Ordered<T> {
    let before = plan.mark();
    let answer = order.judge(plan, batch);
    if answer.is_err() {
        // An account whose address is already taken must not be opened.
        plan.roll_back(before);
    }
    answer
}

/// The request id of an order: the id of the object that it makes. A request that changes the object later has another
/// id, by which a replay tells its facts from those of the order.
pub(crate) fn request_of(fact: &ledger::Fact) -> RequestId {
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

/// Whether the fact starts an account or a transfer, and so has its own timestamp.
const fn is_timed(fact: &ledger::Fact) -> bool {
    matches!(fact, ledger::Fact::AccountOpened(_) | ledger::Fact::TransferCreated(_))
}
