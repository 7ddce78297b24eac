//! Orders: accounts and transfers as people ask for them, with what the ledger's own requests do not say. Judged on a
//! plan, so that a dry run answers as the real one would.

use ledger::{Account, NewAccount, NewTransfer, Outcome, Plan, TransferFlags, TransferKey};
use types::{ActorId, Asset, LedgerId, RequestId, Timestamp};

use crate::entry::Fact;
use crate::{Answer, Engine, Made, Recording, Refusal, Reply, Sink, TransferReply};

/// The most orders of one batch.
pub const ORDERS_MAX: usize = 1_000;

/// An account to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOrder {
    /// What the ledger is asked.
    pub new: NewAccount,
}

/// A transfer to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    /// What the ledger is asked. Ledger 0 stands for that of the debit account, or of the pending transfer that this one
    /// posts or voids.
    pub new: NewTransfer,
    /// What the amount counts; when it is given, it must be what the ledger counts.
    pub asset: Option<Asset>,
}

/// Orders that arrive together, of one kind. At most [`ORDERS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orders {
    /// Accounts to open.
    Accounts(Vec<AccountOrder>),
    /// Transfers to make.
    Transfers(Vec<TransferOrder>),
}

impl AccountOrder {
    /// What makes a retry recognisable: the account's own id.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(self.new.id.get())
    }
}

impl TransferOrder {
    /// What makes a retry recognisable: the transfer's own id.
    pub fn request_id(&self) -> RequestId {
        match self.new.key {
            TransferKey::Client(id) => RequestId::new(id.get()),
            TransferKey::Leg { payment, .. } => RequestId::new(payment.get()),
        }
    }
}

impl From<NewAccount> for AccountOrder {
    fn from(new: NewAccount) -> Self {
        Self { new }
    }
}

impl From<NewTransfer> for TransferOrder {
    fn from(new: NewTransfer) -> Self {
        Self { new, asset: None }
    }
}

/// The answer to an order.
pub type Ordered = Result<OrderReply, Refusal>;

/// What an order brought.
#[derive(Debug, Clone)]
pub enum OrderReply {
    /// An account, as it is now.
    Account(Made, Account),
    /// A transfer, with both accounts as they are after it.
    Transfer(Made, Box<TransferReply>),
}

impl From<OrderReply> for Reply {
    fn from(reply: OrderReply) -> Self {
        match reply {
            OrderReply::Account(made, account) => Self::Account(made, account),
            OrderReply::Transfer(made, transfer) => Self::Transfer(made, transfer),
        }
    }
}

impl Orders {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Accounts(orders) => orders.len(),
            Self::Transfers(orders) => orders.len(),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Engine {
    /// Judges one order after another, each after those before it took effect, and answers each as if it had come alone.
    pub(crate) fn execute_orders(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        orders: &Orders,
        sink: &mut dyn Sink,
    ) -> Answer {
        let answers = match orders {
            Orders::Accounts(orders) => {
                let judge = |order: &AccountOrder| {
                    self.execute_order(now, (actor, order.request_id()), sink, |plan| judge_account(plan, order))
                };
                orders.iter().map(judge).collect()
            }
            Orders::Transfers(orders) => {
                let judge = |order: &TransferOrder| {
                    self.execute_order(now, (actor, order.request_id()), sink, |plan| judge_transfer(plan, order))
                };
                orders.iter().map(judge).collect()
            }
        };
        Ok(Reply::Batch(answers))
    }

    /// Judges an order on a plan of its own and makes the entries of what the plan found.
    pub(crate) fn execute_order(
        &mut self,
        now: Timestamp,
        (actor, request): (ActorId, RequestId),
        sink: &mut dyn Sink,
        judge: impl FnOnce(&mut Plan<'_>) -> Ordered,
    ) -> Ordered {
        let mut plan = self.state.ledger.plan(self.next_instant(now));
        let answer = judge(&mut plan);
        let facts = plan.into_facts();
        self.commit_order(now, (actor, request), facts, sink);
        answer
    }

    /// Makes the entries of what a plan found: all of them become durable, or none does.
    pub(crate) fn commit_order(
        &mut self,
        now: Timestamp,
        (actor, request): (ActorId, RequestId),
        facts: Vec<ledger::Fact>,
        sink: &mut dyn Sink,
    ) {
        if facts.len() > 1 {
            sink.hold_together(facts.len());
        }
        for fact in facts {
            self.commit(now, actor, request, Recording::of(Fact::Ledger(fact)), sink);
        }
        self.journal_digest(now, sink);
    }
}

/// What becomes of an account. The answer shows it as it is after the plan's steps so far.
pub(crate) fn judge_account(plan: &mut Plan<'_>, order: &AccountOrder) -> Ordered {
    let made = made(plan.open_account(&order.new), Refusal::Account)?;
    let account = plan.account(order.new.id).expect("LED-8: what was created is there");
    Ok(OrderReply::Account(made, *account))
}

/// What becomes of a transfer. The answer shows both accounts as they are after the plan's steps so far.
pub(crate) fn judge_transfer(plan: &mut Plan<'_>, order: &TransferOrder) -> Ordered {
    let new = in_its_ledger(plan, order)?;
    let made = made(plan.create_transfer(&new), Refusal::Transfer)?;
    Ok(OrderReply::Transfer(made, Box::new(transfer_reply(plan, new.key))))
}

/// A transfer as it is after the plan's steps so far, with both its accounts.
pub(crate) fn transfer_reply(plan: &Plan<'_>, key: TransferKey) -> TransferReply {
    let transfer = plan.transfer(key).expect("LED-8: what was created is there");
    let account = |id| *plan.account(id).expect("LED-8: a transfer's accounts are open");
    TransferReply {
        transfer,
        state: plan.pending_state(key),
        debit: account(transfer.debit),
        credit: account(transfer.credit),
    }
}

pub(crate) fn made<S>(
    outcome: Outcome<S>,
    refuse: impl FnOnce(ledger::Refusal<S>) -> Refusal,
) -> Result<Made, Refusal> {
    match outcome {
        Outcome::Created { .. } => Ok(Made::Now),
        Outcome::Exists { .. } => Ok(Made::Before),
        Outcome::Refused(refusal) => Err(refuse(refusal)),
    }
}

/// The ledger's request, with its ledger filled in and its asset checked.
fn in_its_ledger(plan: &Plan<'_>, order: &TransferOrder) -> Result<NewTransfer, Refusal> {
    const UNKNOWN: LedgerId = LedgerId::new(0);
    let new = order.new;
    let resolves = new.flags.intersects(TransferFlags::POST_PENDING_TRANSFER | TransferFlags::VOID_PENDING_TRANSFER);
    let pending = new.pending.filter(|_| resolves);
    let found = match pending {
        _ if new.ledger != UNKNOWN => Some(new.ledger),
        Some(pending) => plan.transfer(pending).map(|transfer| transfer.ledger),
        None => plan.account(new.debit).map(|account| account.ledger),
    };
    if let (Some(given), Some(book)) = (order.asset, found.and_then(|ledger| plan.book(ledger)))
        && given != book.asset
    {
        return Err(Refusal::AssetMismatch { given, ledger: book.id, actual: book.asset });
    }
    if pending.is_some() {
        // A zero inherits it, and a retry compares what was asked.
        return Ok(new);
    }
    // Any number but 0 will do when the account is not there: the ledger misses the account first.
    Ok(NewTransfer { ledger: found.unwrap_or(LedgerId::new(1)), ..new })
}
