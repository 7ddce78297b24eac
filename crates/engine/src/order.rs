//! Orders: accounts and transfers as people ask for them, with what the ledger's own requests do not say.

use ledger::{Address, Batch, ChainFailure, ChangeStatus, Event, Limits, MetadataOf, NewAccount, NewTransfer, Outcome};
use ledger::{Plan, Scheduled, TransferFlags};
use types::{AccountId, Asset, LedgerId, Timestamp};

use crate::details::{AccountName, AccountReply, MetadataChanges, TransferReply, named};
use crate::{Made, Refusal, Reply};

/// The most orders of one batch.
pub const ORDERS_MAX: usize = 1_000;

/// An account to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOrder {
    /// What the ledger is asked.
    pub new: NewAccount,
    /// The address it gets.
    pub address: Option<Address>,
    /// The bounds on its balance.
    pub limits: Limits,
    /// What is attached to it.
    pub metadata: MetadataChanges,
}

/// A transfer to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    /// What the ledger is asked. Ledger 0 stands for that of the debit account, or of the pending transfer that this one
    /// posts or voids.
    pub new: NewTransfer,
    /// The debit account, when it is named by its address.
    pub debit: Option<Address>,
    /// The credit account, when it is named by its address.
    pub credit: Option<Address>,
    /// What the amount counts; when it is given, it must be what the ledger counts.
    pub asset: Option<Asset>,
    /// What is attached to it; nothing to one that is made later.
    pub metadata: MetadataChanges,
    /// When it is made, if not now.
    pub scheduled_at: Option<Timestamp>,
}

/// Orders that arrive together, of one kind. At most [`ORDERS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orders {
    /// Accounts to open.
    Accounts(Vec<AccountOrder>),
    /// Transfers to make.
    Transfers(Vec<TransferOrder>),
}

impl From<NewAccount> for AccountOrder {
    fn from(new: NewAccount) -> Self {
        Self { new, address: None, limits: Limits::NONE, metadata: Vec::new() }
    }
}

impl From<NewTransfer> for TransferOrder {
    fn from(new: NewTransfer) -> Self {
        Self { new, debit: None, credit: None, asset: None, metadata: Vec::new(), scheduled_at: None }
    }
}

/// The answer to an order.
pub type Ordered = Result<OrderReply, Refusal>;

/// What an order brought.
#[derive(Debug, Clone)]
pub enum OrderReply {
    /// An account, as it is now.
    Account(Made, Box<AccountReply>),
    /// A transfer, with both accounts as they are after it.
    Transfer(Made, Box<TransferReply>),
    /// A transfer that waits for its time.
    Scheduled(Made, Box<Scheduled>),
}

impl OrderReply {
    /// Whether the order made it.
    const fn made(&self) -> Made {
        match self {
            Self::Account(made, _) | Self::Transfer(made, _) | Self::Scheduled(made, _) => *made,
        }
    }

    /// The same as it stands in `plan`, from which the steps were taken back that the reply was made after. What those
    /// steps made themselves is shown as they made it.
    fn in_plan(self, plan: &Plan<'_>) -> Self {
        match self {
            Self::Account(made, reply) => Self::Account(
                made,
                match plan.account(reply.account.id) {
                    Some(account) => Box::new(AccountReply::planned(plan, *account)),
                    None => reply,
                },
            ),
            Self::Transfer(made, reply) => Self::Transfer(made, Box::new(reply.in_plan(plan))),
            Self::Scheduled(made, scheduled) => Self::Scheduled(made, scheduled),
        }
    }
}

impl From<OrderReply> for Reply {
    fn from(reply: OrderReply) -> Self {
        match reply {
            OrderReply::Account(made, account) => Self::Account(made, account),
            OrderReply::Transfer(made, transfer) => Self::Transfer(made, transfer),
            OrderReply::Scheduled(made, scheduled) => Self::Scheduled(made, scheduled),
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

/// Every answer shows accounts as they are after the plan's steps so far.
impl Event for AccountOrder {
    type Answer = Ordered;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Ordered {
        let made = made(self.new.judge(plan, batch), Refusal::Account)?;
        let account = *plan.account(self.new.id).expect("LED-8: what was created is there");
        if let Some(address) = &self.address {
            // Of an account that exists this finds out whether it is the same that was opened.
            change(plan.set_address(account.id, address))?;
        }
        if made == Made::Now {
            change(plan.set_limits(account.id, self.limits))?;
            change(plan.set_metadata(MetadataOf::Account(account.id), &self.metadata))?;
        }
        Ok(OrderReply::Account(made, Box::new(AccountReply::planned(plan, account))))
    }

    fn is_created(answer: &Ordered) -> bool {
        is_created(answer)
    }

    fn failed(why: ChainFailure) -> Ordered {
        Err(Refusal::Account(why.of_account()))
    }

    fn rolled_back(answer: Ordered, plan: &Plan<'_>) -> Ordered {
        answer.map(|reply| reply.in_plan(plan))
    }
}

/// Every answer shows accounts as they are after the plan's steps so far.
impl Event for TransferOrder {
    type Answer = Ordered;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Ordered {
        let new = in_its_ledger(plan, self)?;
        if let Some(at) = self.scheduled_at {
            return schedule(plan, Scheduled { new, at });
        }
        let made = made(new.judge(plan, batch), Refusal::Transfer)?;
        if made == Made::Now {
            change(plan.set_metadata(MetadataOf::Transfer(new.key), &self.metadata))?;
        }
        let reply = TransferReply::planned(plan, new.key).expect("LED-4: what was created is there");
        Ok(OrderReply::Transfer(made, Box::new(reply)))
    }

    fn is_created(answer: &Ordered) -> bool {
        is_created(answer)
    }

    fn failed(why: ChainFailure) -> Ordered {
        Err(Refusal::Transfer(why.of_transfer()))
    }

    fn rolled_back(answer: Ordered, plan: &Plan<'_>) -> Ordered {
        answer.map(|reply| reply.in_plan(plan))
    }
}

fn is_created(answer: &Ordered) -> bool {
    matches!(answer, Ok(reply) if reply.made() == Made::Now)
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

fn change(outcome: Outcome<ChangeStatus>) -> Result<(), Refusal> {
    made(outcome, Refusal::Change).map(drop)
}

/// Lets a transfer wait. What it is in must be known now: nobody could say later what was meant.
fn schedule(plan: &mut Plan<'_>, scheduled: Scheduled) -> Ordered {
    if plan.book(scheduled.new.ledger).is_none() {
        return Err(Refusal::LedgerNotFound(scheduled.new.ledger));
    }
    let made = made(plan.schedule(&scheduled), Refusal::Transfer)?;
    // When its time came before, it is a transfer now.
    Ok(match TransferReply::planned(plan, scheduled.new.key) {
        Some(reply) => OrderReply::Transfer(made, Box::new(reply)),
        None => OrderReply::Scheduled(made, Box::new(scheduled)),
    })
}

/// The ledger's request, with accounts and ledger filled in and the asset checked.
fn in_its_ledger(plan: &Plan<'_>, order: &TransferOrder) -> Result<NewTransfer, Refusal> {
    const UNKNOWN: LedgerId = LedgerId::new(0);
    let at_address = |address: &Option<Address>, id: AccountId| match address {
        Some(address) => named(plan, &AccountName::Address(address.clone())).map(|account| account.id),
        None => Ok(id),
    };
    let (debit, credit) = (at_address(&order.debit, order.new.debit)?, at_address(&order.credit, order.new.credit)?);
    let new = NewTransfer { debit, credit, ..order.new };
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
    match (found, pending) {
        // A zero inherits it, and a retry compares what was asked.
        (_, Some(_)) if order.scheduled_at.is_none() => Ok(new),
        (Some(ledger), _) => Ok(NewTransfer { ledger, ..new }),
        (None, _) if order.scheduled_at.is_some() => Err(Refusal::AccountNotFound(new.debit)),
        // Any number but 0 will do: the ledger misses the account first.
        (None, _) => Ok(NewTransfer { ledger: LedgerId::new(1), ..new }),
    }
}
