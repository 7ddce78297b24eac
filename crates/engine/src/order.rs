//! Orders: accounts and transfers as clients ask for them, with what the ledger's own requests do not contain.

use ledger::{
    Address, BatchContext, BatchEvent, ChainFailure, ChangeStatus, Limits, MetadataOf, NewAccount, NewTransfer, Outcome,
};
use ledger::{Plan, Scheduled, Setting, TransferFlags};
use types::{AccountId, Asset, LedgerId, Timestamp};

use crate::details::{AccountName, AccountReply, AnyTransfer, MetadataChanges, TransferReply, named};
use crate::{Made, Refusal};

/// The most orders of one batch.
pub const ORDERS_MAX: usize = 1_000;

/// An account to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOrder {
    /// The request to the ledger.
    pub new: NewAccount,
    pub address: Option<Address>,
    pub limits: Limits,
    pub metadata: MetadataChanges,
}

/// A transfer to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    /// The request to the ledger. Ledger 0 stands for the ledger of the debit account, or of the pending transfer that
    /// this transfer posts or voids.
    pub new: NewTransfer,
    /// The address of the debit account, if the order names it by address.
    pub debit: Option<Address>,
    /// The address of the credit account, if the order names it by address.
    pub credit: Option<Address>,
    /// The asset of the amount. If it is given, it must be the asset of the ledger.
    pub asset: Option<Asset>,
    /// Empty if the transfer is scheduled.
    pub metadata: MetadataChanges,
    /// When to make the transfer, if not now.
    pub scheduled_at: Option<Timestamp>,
}

/// Open an account.
#[derive(Debug, Clone)]
pub struct OpenAccount(pub Box<AccountOrder>);

/// Open several accounts, with the same answers as if they were sent one after another. At most [`ORDERS_MAX`].
#[derive(Debug, Clone)]
pub struct OpenAccountBatch(pub Vec<AccountOrder>);

/// Make a transfer without a decision of the policy.
#[derive(Debug, Clone)]
pub struct CreateTransfer(pub Box<TransferOrder>);

/// Make several transfers, with the same answers as if they were sent one after another. At most [`ORDERS_MAX`].
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

/// The answer to an order. It shows accounts after the steps that the plan has taken so far.
pub(crate) type Ordered<T> = Result<(Made, T), Refusal>;

impl BatchEvent for AccountOrder {
    type Answer = Ordered<Box<AccountReply>>;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: BatchContext) -> Self::Answer {
        let made = made(self.new.judge(plan, batch), Refusal::Account)?;
        let account = *plan.account(self.new.id).expect("LED-8: an account that was created exists");
        match made {
            Made::Now => {
                if let Some(address) = &self.address {
                    change(plan.set_address(account.id, address))?;
                }
                change(plan.set_limits(account.id, self.limits))?;
                change(plan.set_metadata(MetadataOf::Account(account.id), &self.metadata))?;
            }
            Made::Before => {
                let address = self.address.as_ref();
                same(plan.differs_from_opening(account.id, address, self.limits, &self.metadata))?;
            }
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

impl BatchEvent for TransferOrder {
    type Answer = Ordered<AnyTransfer>;

    fn is_linked(&self) -> bool {
        self.new.is_linked()
    }

    fn is_imported(&self) -> bool {
        self.new.is_imported()
    }

    fn judge(&self, plan: &mut Plan<'_>, batch: BatchContext) -> Self::Answer {
        let new = in_its_ledger(plan, self)?;
        if let Some(at) = self.scheduled_at {
            return schedule(plan, Scheduled { new, at });
        }
        let made = made(new.judge(plan, batch), Refusal::Transfer)?;
        match made {
            Made::Now => change(plan.set_metadata(MetadataOf::Transfer(new.key), &self.metadata))?,
            Made::Before => same(plan.differs_from_first(MetadataOf::Transfer(new.key), &self.metadata))?,
        }
        let reply = TransferReply::planned(plan, new.key).expect("LED-4: a transfer that was created exists");
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
    refuse: impl FnOnce(ledger::StatusRefusal<S>) -> Refusal,
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

/// Refuses a request for something that exists and was created with another setting.
fn same(differs: Option<Setting>) -> Result<(), Refusal> {
    differs.map_or(Ok(()), |setting| Err(Refusal::ExistsWithDifferent(setting)))
}

/// Schedules a transfer. Its ledger must be known now, because it could not be determined later.
fn schedule(plan: &mut Plan<'_>, scheduled: Scheduled) -> Ordered<AnyTransfer> {
    if plan.book(scheduled.new.ledger).is_none() {
        return Err(Refusal::LedgerNotFound(scheduled.new.ledger));
    }
    let made = made(plan.schedule(&scheduled), Refusal::Transfer)?;
    // If the transfer was due in the meantime, it is an ordinary transfer now.
    let shown = match TransferReply::planned(plan, scheduled.new.key) {
        Some(reply) => AnyTransfer::Made(Box::new(reply)),
        None => AnyTransfer::Scheduled(Box::new(scheduled)),
    };
    Ok((made, shown))
}

/// The request to the ledger, with accounts and ledger filled in and the asset checked.
pub(crate) fn in_its_ledger(plan: &Plan<'_>, order: &TransferOrder) -> Result<NewTransfer, Refusal> {
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
        // A post or void inherits its ledger from the pending transfer. A retry is compared with what was asked.
        (_, Some(_)) if order.scheduled_at.is_none() => Ok(new),
        (Some(ledger), _) => Ok(NewTransfer { ledger, ..new }),
        (None, _) if order.scheduled_at.is_some() => Err(Refusal::AccountNotFound(new.debit)),
        // Any number except 0 will do, because the ledger first notices that the account is missing.
        (None, _) => Ok(NewTransfer { ledger: LedgerId::new(1), ..new }),
    }
}
