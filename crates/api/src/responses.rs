//! What clients get to see of ledgers, accounts, transfers, labels and policies. All money is in minor units, as
//! decimal strings beside their asset.

mod transfer;

use std::collections::BTreeMap;
use std::fmt;

use engine::{AccountReply, ActivePolicy, LabelReply};
use ledger::{AccountFlags, IndexedFields, PendingState, UnknownLedger};
use serde::Serialize;
use serde_json::Value;
use types::{LedgerId, Seq, Timestamp, TransferId};
use utoipa::ToSchema;

use crate::history::Sums;

pub use ledger::Assets;
pub use transfer::Transfer;

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Give it as `cursor` to go on; null at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// What a payment sealed, opened.
#[derive(Clone, Serialize, ToSchema)]
pub struct PersonalData {
    /// The payment.
    pub payment: String,
    /// Its personal attributes and the values of its entities, by name. Null: erased.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Value>,
    /// Attributes whose key was erased. Once the key of the payment's subject is, these are all its entities; what its
    /// personal attributes were called is gone with them.
    pub erased: Vec<String>,
}

// Without the values: logs are no place for them.
impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalData").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// A ledger: a book of accounts in one asset.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ledger {
    /// Its number.
    #[schema(format = Int64, example = 978)]
    id: u32,
    /// What it counts, with its scale.
    #[schema(example = "EUR/2")]
    asset: String,
    /// When it was opened.
    #[schema(format = "date-time")]
    opened_at: String,
}

impl From<&ledger::Book> for Ledger {
    fn from(book: &ledger::Book) -> Self {
        Self { id: book.id.get(), asset: book.asset.to_string(), opened_at: book.opened_at.to_string() }
    }
}

/// Four balances, in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Balances {
    /// Reserved by pending transfers out of the account.
    #[schema(example = "0")]
    debits_pending: String,
    /// Moved out of the account.
    debits_posted: String,
    /// Reserved by pending transfers into the account.
    credits_pending: String,
    /// Moved into the account.
    credits_posted: String,
}

impl From<&Sums> for Balances {
    fn from(sums: &Sums) -> Self {
        Self {
            debits_pending: sums.debits_pending.to_string(),
            debits_posted: sums.debits_posted.to_string(),
            credits_pending: sums.credits_pending.to_string(),
            credits_posted: sums.credits_posted.to_string(),
        }
    }
}

impl From<&ledger::Account> for Balances {
    fn from(account: &ledger::Account) -> Self {
        Self::from(&Sums::from(account))
    }
}

/// What the accounts of a ledger add up to. Debits equal credits, pending and posted alike.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TrialBalance {
    /// The ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// What its amounts count.
    asset: String,
    /// As of when, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    at: Option<String>,
    /// How many accounts it has, or had.
    accounts: u64,
    /// The sums. One above 2^128 - 1 reads as 2^128 - 1.
    #[serde(flatten)]
    sums: Balances,
}

impl TrialBalance {
    /// What `accounts` accounts add up to, now or at an instant.
    pub fn new(book: &ledger::Book, at: Option<Timestamp>, accounts: usize, sums: &Sums) -> Self {
        Self {
            ledger: book.id.get(),
            asset: book.asset.to_string(),
            at: at.map(|at| at.to_string()),
            accounts: accounts as u64,
            sums: sums.into(),
        }
    }
}

/// The client's own data of an account or transfer; what is zero is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct UserData {
    /// A decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data_128: Option<String>,
    /// A decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data_64: Option<String>,
    /// A number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Int64)]
    user_data_32: Option<u32>,
}

impl UserData {
    fn new(data_128: u128, data_64: u64, data_32: u32) -> Self {
        Self {
            user_data_128: Some(data_128).filter(|&data| data > 0).map(|data| data.to_string()),
            user_data_64: Some(data_64).filter(|&data| data > 0).map(|data| data.to_string()),
            user_data_32: Some(data_32).filter(|&data| data > 0),
        }
    }
}

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Account {
    /// Its id.
    id: String,
    /// The ledger it stands in.
    #[schema(format = Int64)]
    ledger: u32,
    /// What its balances count.
    asset: String,
    /// The client's classification.
    code: u16,
    /// What it is allowed to do now.
    flags: Vec<&'static str>,
    #[serde(flatten)]
    user_data: UserData,
    /// When it was opened.
    #[schema(format = "date-time")]
    opened_at: String,
    #[serde(flatten)]
    balances: Balances,
    /// The readable name that can stand wherever the id can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "customers:c42:wallet")]
    address: Option<String>,
    /// Bounds on its balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    /// What the client attached: any JSON by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    metadata: BTreeMap<String, Value>,
}

/// Bounds on the balance of an account, in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Limits {
    /// Posted credits less all debits stay at or above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_balance: Option<String>,
    /// All credits less posted debits stay at or below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_balance: Option<String>,
}

impl Account {
    /// An account with all that stands beside its balances.
    ///
    /// # Errors
    /// When `assets` lacks its ledger.
    pub fn with_details(reply: &AccountReply, assets: &Assets) -> Result<Self, Unknown> {
        let ledger::Limits { min_balance, max_balance } = reply.limits;
        let limits = Limits {
            min_balance: min_balance.map(|bound| bound.to_string()),
            max_balance: max_balance.map(|bound| bound.to_string()),
        };
        Ok(Self {
            address: reply.address.clone(),
            limits: Some(limits).filter(|_| reply.limits != ledger::Limits::NONE),
            metadata: shown_metadata(&reply.metadata),
            ..Self::new(&reply.account, assets)?
        })
    }

    /// An account as its entry has it.
    ///
    /// # Errors
    /// When `assets` lacks its ledger.
    pub fn new(account: &ledger::Account, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            address: None,
            limits: None,
            metadata: BTreeMap::new(),
            id: account.id.to_string(),
            ledger: account.ledger.get(),
            asset: assets.of(account.ledger)?.to_string(),
            code: account.code.get(),
            flags: names(AccountFlags::ALL, |flag| account.flags.contains(flag)),
            user_data: UserData::new(account.user_data_128, account.user_data_64, account.user_data_32),
            opened_at: account.timestamp.to_string(),
            balances: account.into(),
        })
    }
}

/// A scheduled transfer that was given up before.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Cancelled {
    id: String,
    state: &'static str,
}

impl Cancelled {
    /// The one with this id.
    pub fn new(id: TransferId) -> Self {
        Self { id: id.to_string(), state: "cancelled" }
    }
}

/// By which fields the transfers of a ledger can be found, besides ids and accounts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Indexes {
    /// The ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The fields. Those that are new are built in the background.
    #[schema(example = json!(["user_data_128", "code"]))]
    fields: Vec<&'static str>,
}

impl Indexes {
    /// For [`engine::ChooseIndexes`].
    pub fn new(ledger: LedgerId, fields: IndexedFields) -> Self {
        Self { ledger: ledger.get(), fields: names(IndexedFields::ALL, |field| fields.contains(field)) }
    }
}

/// What a payment turned out to be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Label {
    /// The payment.
    payment: String,
    #[serde(flatten)]
    known: KnownLabel,
}

/// A label and since when it is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KnownLabel {
    /// What it was.
    #[schema(example = "fraud")]
    label: String,
    /// Whether the policy of that moment counts the label as positive.
    positive: bool,
    /// Since when it is known here.
    #[schema(format = "date-time")]
    recorded_at: String,
}

impl From<&LabelReply> for Label {
    fn from(reply: &LabelReply) -> Self {
        Self { payment: reply.payment.to_string(), known: (&reply.label).into() }
    }
}

impl From<&engine::Label> for KnownLabel {
    fn from(label: &engine::Label) -> Self {
        Self { label: label.name.to_string(), positive: label.positive, recorded_at: label.recorded_at.to_string() }
    }
}

/// The policy that decides.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Policy {
    /// What it calls itself.
    name: String,
    /// The digest of its bundle, BLAKE3 in hexadecimal.
    digest: String,
    /// The entry that activated it.
    sequence: u64,
    /// When.
    #[schema(format = "date-time")]
    activated_at: String,
    /// Its features, in its order.
    features: Vec<String>,
    /// Its models, in its order.
    models: Vec<String>,
}

impl From<&ActivePolicy> for Policy {
    fn from(active: &ActivePolicy) -> Self {
        let activated = &active.activated;
        Self {
            name: activated.name.to_string(),
            digest: activated.artifact.to_string(),
            sequence: active.seq.get(),
            activated_at: active.at.to_string(),
            features: activated.features.iter().map(ToString::to_string).collect(),
            models: activated.models.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What is missing to show something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The asset of a ledger that is younger than the copy of them.
    Ledger(LedgerId),
    /// What the policy that this entry activated calls its features and models.
    Policy(Seq),
}

impl Unknown {
    /// What is wrong, for the log.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Ledger(_) => "an entry or a reply names a ledger that does not exist",
            Self::Policy(_) => "an entry names a policy that was never activated",
        }
    }
}

impl From<UnknownLedger> for Unknown {
    fn from(UnknownLedger(ledger): UnknownLedger) -> Self {
        Self::Ledger(ledger)
    }
}

/// Metadata as JSON; every text of it was JSON when it was set.
pub(crate) fn shown_metadata(metadata: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let shown = |(key, text): (&String, &String)| (key.clone(), serde_json::from_str(text).unwrap_or(Value::Null));
    metadata.iter().map(shown).collect()
}

/// The stable name of what became of a pending transfer.
const fn state_name(state: PendingState) -> &'static str {
    match state {
        PendingState::Pending => "pending",
        PendingState::Posted => "posted",
        PendingState::Voided => "voided",
        PendingState::Expired => "expired",
    }
}

fn names<F: Copy>(all: &[(&'static str, F)], has: impl Fn(F) -> bool) -> Vec<&'static str> {
    all.iter().filter(|(_, flag)| has(*flag)).map(|(name, _)| *name).collect()
}

/// What the server goes by after an operator said that the machine's clock is right.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClockConfirmed {
    /// The time it goes by.
    #[schema(format = DateTime)]
    now: String,
    /// Whether the clock was doubted before; otherwise nothing changed.
    was_doubted: bool,
}

impl ClockConfirmed {
    /// The time that the server goes by, and whether the clock was doubted.
    pub fn new(now: Timestamp, was_doubted: bool) -> Self {
        Self { now: now.to_string(), was_doubted }
    }
}
