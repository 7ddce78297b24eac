//! Orders: accounts and transfers as people ask for them, with what the ledger's own requests do not say.

use ledger::{Account, AccountStatus, Batch, Detail, NewAccount, NewTransfer, Outcome, Plan};
use ledger::{TransferFlags, TransferKey, TransferStatus};
use types::{Asset, LedgerId};

use crate::{Made, Refusal, Reply, TransferReply};

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

impl OrderReply {
    /// Whether the order made it.
    pub(crate) const fn made(&self) -> Made {
        match self {
            Self::Account(made, _) | Self::Transfer(made, _) => *made,
        }
    }
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

/// What the orders of a batch have in common.
pub(crate) trait Order {
    /// What the ledger is asked.
    type New: ledger::Event + Copy;
    /// Why an order fails that another one of its chain broke.
    const CHAIN_FAILED: Refusal;
    /// Why the last order of a chain without an end fails.
    const CHAIN_OPEN: Refusal;

    fn asked(&self) -> &Self::New;

    /// What becomes of it. The answer shows accounts as they are after the plan's steps so far.
    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Ordered;
}

impl Order for AccountOrder {
    type New = NewAccount;
    const CHAIN_FAILED: Refusal = account_refusal(AccountStatus::LinkedEventFailed);
    const CHAIN_OPEN: Refusal = account_refusal(AccountStatus::LinkedEventChainOpen);

    fn asked(&self) -> &NewAccount {
        &self.new
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Ordered {
        let made = made(plan.take_event(batch, &self.new), Refusal::Account)?;
        let account = plan.account(self.new.id).expect("LED-8: what was created is there");
        Ok(OrderReply::Account(made, *account))
    }
}

impl Order for TransferOrder {
    type New = NewTransfer;
    const CHAIN_FAILED: Refusal = transfer_refusal(TransferStatus::LinkedEventFailed);
    const CHAIN_OPEN: Refusal = transfer_refusal(TransferStatus::LinkedEventChainOpen);

    fn asked(&self) -> &NewTransfer {
        &self.new
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: Batch) -> Ordered {
        let new = in_its_ledger(plan, self)?;
        let made = made(plan.take_event(batch, &new), Refusal::Transfer)?;
        Ok(OrderReply::Transfer(made, Box::new(transfer_reply(plan, new.key))))
    }
}

const fn account_refusal(status: AccountStatus) -> Refusal {
    Refusal::Account(ledger::Refusal { status, detail: Detail::None })
}

const fn transfer_refusal(status: TransferStatus) -> Refusal {
    Refusal::Transfer(ledger::Refusal { status, detail: Detail::None })
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
