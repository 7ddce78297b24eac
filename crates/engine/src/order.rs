//! Orders: accounts and transfers as people ask for them, with what the ledger's own requests do not say.

use ledger::{Address, Batch, ChainFailure, ChangeStatus, Event, Limits, MetadataOf, NewAccount, NewTransfer, Outcome};
use ledger::{Plan, Scheduled, TransferFlags};
use types::{AccountId, Asset, LedgerId, Timestamp};

use crate::details::{AccountName, AccountReply, AnyTransfer, MetadataChanges, TransferReply, named};
use crate::{Made, Refusal};

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

/// Open an account.
#[derive(Debug, Clone)]
pub struct OpenAccount(pub Box<AccountOrder>);

/// Open several accounts, each answered as if it had come alone. At most [`ORDERS_MAX`].
#[derive(Debug, Clone)]
pub struct OpenAccountBatch(pub Vec<AccountOrder>);

/// Move money without any policy.
#[derive(Debug, Clone)]
pub struct CreateTransfer(pub Box<TransferOrder>);

/// Make several transfers, each answered as if it had come alone. At most [`ORDERS_MAX`].
#[derive(Debug, Clone)]
pub struct CreateTransferBatch(pub Vec<TransferOrder>);

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

/// The answer to an order. It shows accounts as they are after the steps of the plan so far.
pub(crate) type Ordered<T> = Result<(Made, T), Refusal>;

impl Event for AccountOrder {
    type Answer = Ordered<Box<AccountReply>>;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Self::Answer {
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
        Ok((made, Box::new(AccountReply::planned(plan, account))))
    }

    fn is_created(answer: &Self::Answer) -> bool {
        matches!(answer, Ok((Made::Now, _)))
    }

    fn failed(why: ChainFailure) -> Self::Answer {
        Err(Refusal::Account(why.of_account()))
    }

    fn rolled_back(answer: Self::Answer, plan: &Plan<'_>) -> Self::Answer {
        answer.map(|(made, account)| (made, Box::new(account.in_plan(plan))))
    }
}

impl Event for TransferOrder {
    type Answer = Ordered<AnyTransfer>;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Self::Answer {
        let new = in_its_ledger(plan, self)?;
        if let Some(at) = self.scheduled_at {
            return schedule(plan, Scheduled { new, at });
        }
        let made = made(new.judge(plan, batch), Refusal::Transfer)?;
        if made == Made::Now {
            change(plan.set_metadata(MetadataOf::Transfer(new.key), &self.metadata))?;
        }
        let reply = TransferReply::planned(plan, new.key).expect("LED-4: what was created is there");
        Ok((made, AnyTransfer::Made(Box::new(reply))))
    }

    fn is_created(answer: &Self::Answer) -> bool {
        matches!(answer, Ok((Made::Now, _)))
    }

    fn failed(why: ChainFailure) -> Self::Answer {
        Err(Refusal::Transfer(why.of_transfer()))
    }

    fn rolled_back(answer: Self::Answer, plan: &Plan<'_>) -> Self::Answer {
        answer.map(|(made, transfer)| (made, transfer.in_plan(plan)))
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

fn change(outcome: Outcome<ChangeStatus>) -> Result<(), Refusal> {
    made(outcome, Refusal::Change).map(drop)
}

/// Lets a transfer wait. What it is in must be known now: nobody could say later what was meant.
fn schedule(plan: &mut Plan<'_>, scheduled: Scheduled) -> Ordered<AnyTransfer> {
    if plan.book(scheduled.new.ledger).is_none() {
        return Err(Refusal::LedgerNotFound(scheduled.new.ledger));
    }
    let made = made(plan.schedule(&scheduled), Refusal::Transfer)?;
    // When its time came before, it is a transfer now.
    let shown = match TransferReply::planned(plan, scheduled.new.key) {
        Some(reply) => AnyTransfer::Made(Box::new(reply)),
        None => AnyTransfer::Scheduled(Box::new(scheduled)),
    };
    Ok((made, shown))
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
