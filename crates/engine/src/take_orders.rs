//! Taking orders: judging them on plans, one or many, for real or as a dry run, so that both answer the same.

use ledger::{Batch, Event, MetadataOf, Plan, Step, TransferKey};
use types::{ActorId, RequestId, Timestamp};

use crate::entry::Fact;
use crate::order::{Ordered, Orders};
use crate::{Engine, Recording, Sink};

impl Engine {
    /// Judges a single order and makes its entries.
    pub(crate) fn take_order<O: Event<Answer = Ordered>>(
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

    fn take_all<O: Event<Answer = Ordered>>(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &[O],
        sink: &mut dyn Sink,
    ) -> Vec<Ordered> {
        let batch = Batch::of(orders, self.next_instant(now));
        let mut answers = Vec::with_capacity(orders.len());
        for step in Batch::steps(orders) {
            let mut plan = self.state.ledger.plan(self.next_instant(now));
            answers.extend(judge_step(&mut plan, batch, step));
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
            sink.hold_together(facts.len(), facts.iter().map(ledger::Fact::text_bytes).sum());
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
pub(crate) fn judge_alone<O: Event<Answer = Ordered>>(plan: &mut Plan<'_>, order: &O, at: Timestamp) -> Ordered {
    judge_each(plan, std::slice::from_ref(order), at).pop().expect("ENG-18: every order has an answer")
}

/// What would become of orders at `at`, the plan's first instant.
pub(crate) fn judge_all(plan: &mut Plan<'_>, orders: &Orders, at: Timestamp) -> Vec<Ordered> {
    match orders {
        Orders::Accounts(orders) => judge_each(plan, orders, at),
        Orders::Transfers(orders) => judge_each(plan, orders, at),
    }
}

fn judge_each<O: Event<Answer = Ordered>>(plan: &mut Plan<'_>, orders: &[O], at: Timestamp) -> Vec<Ordered> {
    let batch = Batch::of(orders, at);
    Batch::steps(orders).flat_map(|step| judge_step(plan, batch, step)).collect()
}

/// What becomes of an order by itself, or of a chain of them.
fn judge_step<O: Event<Answer = Ordered>>(plan: &mut Plan<'_>, batch: Batch, step: Step<'_, O>) -> Vec<Ordered> {
    match step {
        Step::One(order) => {
            let before = plan.clone();
            let answer = order.judge(plan, batch);
            if answer.is_err() {
                // An account that opens with an address that is taken does not open.
                plan.roll_back(before);
            }
            vec![answer]
        }
        Step::Chain(orders) => plan.take_chain(batch, orders),
    }
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
