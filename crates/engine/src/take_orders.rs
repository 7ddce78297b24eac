//! Taking orders: judging them on plans, one or many, for real or as a dry run, so that both answer the same.

use ledger::{Batch, CHAIN_EVENTS_MAX, Event as _, MetadataOf, Plan, TransferKey};
use types::{ActorId, RequestId, Timestamp};

use crate::entry::Fact;
use crate::order::{Order, Ordered, Orders};
use crate::{Engine, Made, Recording, Sink};

impl Engine {
    /// Judges a single order and makes its entries.
    pub(crate) fn take_order<O: Order>(
        &mut self,
        now: Timestamp,
        (actor, request): (ActorId, RequestId),
        order: &O,
        sink: &mut dyn Sink,
    ) -> Ordered {
        let at = self.next_instant(now);
        let mut plan = self.state.ledger.plan(at);
        let answer = judge_alone(&mut plan, order, at);
        let facts = plan.into_facts();
        self.commit_together(now, actor, |_| request, facts, sink);
        answer
    }

    /// Judges one order after another, each after those before it took effect, and answers each as if it had come alone.
    /// Linked orders succeed or fail together.
    pub(crate) fn take_orders(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &Orders,
        sink: &mut dyn Sink,
    ) -> Vec<Ordered> {
        match orders {
            Orders::Accounts(orders) => self.take_all(now, actor, orders, sink),
            Orders::Transfers(orders) => self.take_all(now, actor, orders, sink),
        }
    }

    fn take_all<O: Order>(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &[O],
        sink: &mut dyn Sink,
    ) -> Vec<Ordered> {
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

/// What would become of a single order at `at`, the plan's first instant.
pub(crate) fn judge_alone<O: Order>(plan: &mut Plan<'_>, order: &O, at: Timestamp) -> Ordered {
    let order = std::slice::from_ref(order);
    judge_run(plan, batch_of(order, at), order).pop().expect("ENG-18: every order has an answer")
}

/// What would become of orders at `at`, the plan's first instant.
pub(crate) fn judge_all(plan: &mut Plan<'_>, orders: &Orders, at: Timestamp) -> Vec<Ordered> {
    fn all<O: Order>(plan: &mut Plan<'_>, orders: &[O], at: Timestamp) -> Vec<Ordered> {
        let batch = batch_of(orders, at);
        runs(orders).flat_map(|run| judge_run(plan, batch, run)).collect()
    }
    match orders {
        Orders::Accounts(orders) => all(plan, orders, at),
        Orders::Transfers(orders) => all(plan, orders, at),
    }
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
fn judge_run<O: Order>(plan: &mut Plan<'_>, batch: Batch, run: &[O]) -> Vec<Ordered> {
    let is_open = run.last().is_some_and(|order| order.asked().is_linked());
    let before = plan.clone();
    if let [order] = run
        && !is_open
    {
        let answer = order.judge(plan, batch);
        if answer.is_err() {
            // An account that opens with an address that is taken does not open.
            plan.roll_back(before);
        }
        return vec![answer];
    }
    let mut answers: Vec<Ordered> = Vec::with_capacity(run.len());
    // The last order of an open chain is not judged: that the chain is open comes first.
    for order in run.iter().take(run.len() - usize::from(is_open)) {
        let answer = order.judge(plan, batch);
        let breaks = !matches!(&answer, Ok(reply) if reply.made() == Made::Now);
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
    mut judged: Vec<Ordered>,
    is_open: bool,
) -> Vec<Ordered> {
    plan.roll_back(before);
    let breaker = judged.pop_if(|answer| !matches!(answer, Ok(reply) if reply.made() == Made::Now));
    let mut answers: Vec<Ordered> = judged.iter().map(|_| Err(O::CHAIN_FAILED)).collect();
    answers.extend(breaker);
    answers.resize(len, Err(O::CHAIN_FAILED));
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
