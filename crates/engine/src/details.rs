//! Accounts and transfers with their address, limits and metadata, and how requests name accounts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ledger::{Account, Address, Limits, MetadataOf, PendingState, Plan, Scheduled, Transfer, TransferKey};
use types::{AccountId, DigestBuilder, IdParseError, TransferId, shorten};

use crate::Refusal;

/// Changes of metadata: JSON texts by key; `None` removes the key.
pub type MetadataChanges = Vec<(String, Option<String>)>;

/// How a request names an account: by its id or by its address. Text that can be read as an id is an id, even if the id
/// is reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountName {
    Id(AccountId),
    Address(Address),
}

impl FromStr for AccountName {
    type Err = AccountNameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(IdParseError::Reserved) => Err(AccountNameParseError::ReservedId(shorten(text))),
            Err(IdParseError::Malformed(_)) => {
                let address = text.parse().map(Self::Address);
                address.map_err(|_no_address| AccountNameParseError::Malformed(shorten(text)))
            }
        }
    }
}

/// The text cannot name an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountNameParseError {
    #[error(
        "`{0}` is neither an account id (a hyphenated UUID or a decimal) nor an address such as customers:c42:wallet"
    )]
    Malformed(String),
    #[error("found `{0}`, but an account id must be neither 0 nor 2^128 - 1")]
    ReservedId(String),
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl From<AccountId> for AccountName {
    fn from(id: AccountId) -> Self {
        Self::Id(id)
    }
}

/// An account with its address, limits and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReply {
    pub account: Account,
    pub address: Option<String>,
    pub limits: Limits,
    /// JSON texts by key.
    pub metadata: BTreeMap<String, String>,
}

impl AccountReply {
    /// The version of what can be set: it changes with the address, the limits and the metadata, but not with balances.
    pub fn version(&self) -> u64 {
        let Limits { min_balance, max_balance } = self.limits;
        let mut builder = version_of(&self.metadata);
        builder.bytes(self.address.as_deref().unwrap_or_default().as_bytes());
        for bound in [min_balance, max_balance] {
            builder.u64(u64::from(bound.is_some())).i128(bound.unwrap_or_default());
        }
        head(&builder)
    }

    /// The account after the steps that the plan has taken so far.
    pub(crate) fn planned(plan: &Plan<'_>, account: Account) -> Self {
        Self {
            account,
            address: plan.address(account.id),
            limits: plan.limits(account.id),
            metadata: plan.metadata(MetadataOf::Account(account.id)),
        }
    }

    /// The same account after steps of `plan` were rolled back. An account that those steps opened is shown as they opened
    /// it.
    pub(crate) fn in_plan(self, plan: &Plan<'_>) -> Self {
        match plan.account(self.account.id) {
            Some(account) => Self::planned(plan, *account),
            None => self,
        }
    }

    /// The account as it is now.
    pub(crate) fn present(ledger: &ledger::Ledger, account: Account) -> Self {
        Self {
            account,
            address: ledger.address(account.id).map(str::to_owned),
            limits: ledger.limits(account.id),
            metadata: ledger.metadata(MetadataOf::Account(account.id)).cloned().unwrap_or_default(),
        }
    }
}

/// A transfer with its accounts and metadata.
#[derive(Debug, Clone)]
pub struct TransferReply {
    pub transfer: Transfer,
    /// What became of the transfer, if it is pending.
    pub state: Option<PendingState>,
    /// The current state of the account.
    pub debit: Account,
    /// The current state of the account.
    pub credit: Account,
    /// JSON texts by key.
    pub metadata: BTreeMap<String, String>,
}

/// A transfer that was made, or one that is scheduled.
#[derive(Debug, Clone)]
pub enum AnyTransfer {
    Made(Box<TransferReply>),
    Scheduled(Box<Scheduled>),
}

impl AnyTransfer {
    /// The same transfer after steps of `plan` were rolled back. A transfer that those steps made is shown as the step that
    /// made it left it, with the current state of its accounts.
    pub(crate) fn in_plan(self, plan: &Plan<'_>) -> Self {
        match self {
            Self::Made(reply) => Self::Made(Box::new(reply.in_plan(plan))),
            Self::Scheduled(scheduled) => Self::Scheduled(scheduled),
        }
    }
}

impl TransferReply {
    /// The version of its metadata.
    pub fn version(&self) -> u64 {
        head(&version_of(&self.metadata))
    }

    /// The transfer and both its accounts, after the steps that the plan has taken so far.
    pub(crate) fn planned(plan: &Plan<'_>, key: TransferKey) -> Option<Self> {
        let transfer = plan.transfer(key)?;
        let account = |id| *plan.account(id).expect("LED-8: a transfer's accounts are open");
        Some(Self {
            transfer,
            state: plan.pending_state(key),
            debit: account(transfer.debit),
            credit: account(transfer.credit),
            metadata: plan.metadata(MetadataOf::Transfer(key)),
        })
    }

    fn in_plan(self, plan: &Plan<'_>) -> Self {
        let account = |id| *plan.account(id).expect("LED-8: a transfer's accounts are open");
        Self::planned(plan, self.transfer.key).unwrap_or_else(|| Self {
            // A step after it may have posted or voided it.
            state: self.transfer.is_pending().then_some(PendingState::Pending),
            debit: account(self.transfer.debit),
            credit: account(self.transfer.credit),
            ..self
        })
    }
}

/// A builder for a version that starts with the metadata.
pub(crate) fn version_of(metadata: &BTreeMap<String, String>) -> DigestBuilder {
    let mut builder = DigestBuilder::new("finaira 2026-11 version of a setting");
    builder.u64(metadata.len() as u64);
    for (key, value) in metadata {
        builder.bytes(key.as_bytes()).bytes(value.as_bytes());
    }
    builder
}

/// The first 64 bits of a digest.
pub(crate) fn head(builder: &DigestBuilder) -> u64 {
    u64::try_from(builder.digest().head_u128() >> 64_u32).unwrap_or_default()
}

pub(crate) fn named(plan: &Plan<'_>, name: &AccountName) -> Result<Account, Refusal> {
    let found = match name {
        AccountName::Id(id) => plan.account(*id),
        AccountName::Address(address) => plan.account_by_address(address),
    };
    found.copied().ok_or_else(|| match name {
        AccountName::Id(id) => Refusal::AccountNotFound(*id),
        AccountName::Address(address) => Refusal::AddressNotFound(address.clone()),
    })
}

/// The transfer with this id, which a client chose.
pub(crate) fn client_transfer(plan: &Plan<'_>, id: TransferId) -> Result<TransferReply, Refusal> {
    TransferReply::planned(plan, TransferKey::Client(id)).ok_or(Refusal::TransferNotFound(id))
}
