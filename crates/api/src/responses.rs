//! Ledgers, accounts, transfers, labels and policies as clients see them. Amounts are in minor units, as decimal
//! strings next to their asset.

mod transfer;

use std::collections::BTreeMap;
use std::fmt;

use engine::{AccountReply, ActivePolicy, LabelReply};
use ledger::{AccountFlags, IndexedFields, PendingState, UnknownLedger};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use types::{LedgerId, Seq, Span, Timestamp, TransferId};
use utoipa::ToSchema;

use crate::past::Sums;

pub use ledger::Assets;
pub use transfer::Transfer;

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// The decrypted personal data of a payment.
#[derive(Clone, Serialize, ToSchema)]
pub struct PersonalData {
    /// The id of the payment.
    pub payment: String,
    /// The personal attributes and the values of entities, by name. A value is null if its key was erased.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Value>,
    /// The attributes whose key was erased. If the key of the payment's subject was erased, these are all its entities;
    /// the names of its personal attributes were erased with that key.
    pub erased: Vec<String>,
    /// The id of this read. The entry that records who read the data has the same `request`.
    pub request: String,
}

// The values are left out so that they do not get into logs.
impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalData").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// A ledger: a book of accounts in one asset.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ledger {
    /// The number of the ledger.
    #[schema(format = Int64, example = 978)]
    id: u32,
    /// The asset that the ledger counts, with its scale: amounts of `EUR/2` are in euro cents.
    #[schema(example = "EUR/2")]
    asset: String,
    /// When the ledger was opened.
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

/// The sums over all accounts of a ledger. Debits equal credits, both pending and posted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TrialBalance {
    /// The number of the ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The asset of the sums.
    asset: String,
    /// The instant of the sums, if the request gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    at: Option<String>,
    /// The number of accounts, now or at the instant.
    accounts: u64,
    /// The sums. A sum above 2^128 - 1 is shown as 2^128 - 1.
    #[serde(flatten)]
    sums: Balances,
}

impl TrialBalance {
    /// The sums over `accounts` accounts, now or at an instant.
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

/// The client's own data of an account or transfer. A field that is 0 is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct UserData {
    /// A decimal below 2^128.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data_128: Option<String>,
    /// A decimal below 2^64.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data_64: Option<String>,
    /// A number below 2^32.
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
    /// The id of the account.
    id: String,
    /// The number of the account's ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The asset of the balances.
    asset: String,
    /// The client's classification.
    code: u16,
    /// The current flags.
    flags: Vec<&'static str>,
    #[serde(flatten)]
    user_data: UserData,
    /// When the account was opened.
    #[schema(format = "date-time")]
    opened_at: String,
    #[serde(flatten)]
    balances: Balances,
    /// A readable name, which can be used wherever the id can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "customers:c42:wallet")]
    address: Option<String>,
    /// Limits on the balance, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    /// What the client attached: any JSON value for each key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    metadata: BTreeMap<String, Box<RawValue>>,
}

/// Bounds on the balance of an account, in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Limits {
    /// The minimum: posted credits minus all debits, pending ones included, stay at or above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_balance: Option<String>,
    /// The maximum: all credits, pending ones included, minus posted debits stay at or below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_balance: Option<String>,
}

impl Account {
    /// An account with its address, limits and metadata.
    ///
    /// # Errors
    /// If `assets` lacks the account's ledger.
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

    /// An account as its entry records it.
    ///
    /// # Errors
    /// If `assets` lacks the account's ledger.
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

/// A scheduled transfer that an earlier request cancelled.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Cancelled {
    id: String,
    state: &'static str,
}

impl Cancelled {
    pub fn new(id: TransferId) -> Self {
        Self { id: id.to_string(), state: "cancelled" }
    }
}

/// The fields by which transfers of a ledger can be found, besides their ids and accounts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Indexes {
    /// The number of the ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The chosen fields. The server indexes existing transfers in the background.
    #[schema(example = json!(["user_data_128", "code"]))]
    fields: Vec<&'static str>,
}

impl Indexes {
    /// The answer to [`engine::ChooseIndexes`].
    pub fn new(ledger: LedgerId, fields: IndexedFields) -> Self {
        Self { ledger: ledger.get(), fields: names(IndexedFields::ALL, |field| fields.contains(field)) }
    }
}

/// What a payment turned out to be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Label {
    /// The id of the payment.
    payment: String,
    #[serde(flatten)]
    known: KnownLabel,
}

/// A label, and since when it is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KnownLabel {
    /// What the payment turned out to be.
    #[schema(example = "fraud")]
    label: String,
    /// Whether the policy that was active counts the label as positive.
    positive: bool,
    /// When the label was recorded.
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

/// The active policy.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Policy {
    /// The name of the policy.
    name: String,
    /// The BLAKE3 digest of the policy's bundle, in hexadecimal.
    digest: String,
    /// The sequence of the entry that activated the policy.
    sequence: u64,
    /// When the policy was activated.
    #[schema(format = "date-time")]
    activated_at: String,
    /// The names of its features, in the order of the policy.
    features: Vec<String>,
    /// The names of its models, in the order of the policy.
    models: Vec<String>,
    /// What works, but perhaps not as its author expects. Only in the response to an upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning>>,
}

/// Something about an uploaded policy that its author should know. The policy is active nevertheless.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Warning {
    /// The stable name of the warning, for programs.
    #[schema(example = "window_not_full")]
    code: &'static str,
    /// What the warning is about, for people.
    detail: String,
    /// The path of the file in the policy folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Int64)]
    line: Option<u32>,
    /// The column in characters, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Int64)]
    column: Option<u32>,
}

impl From<&policy::Warning> for Warning {
    fn from(warning: &policy::Warning) -> Self {
        let policy::Problem { file, line, column, message } = &warning.problem;
        let (file, line, column) = (Some(file.clone()), Some(*line), Some(*column));
        Self { code: warning.code, detail: message.clone(), file, line, column }
    }
}

/// The code of the warning about a window that reaches back to before its stream was recorded.
pub const WINDOW_NOT_FULL: &str = "window_not_full";

impl Policy {
    /// Adds the warnings about a policy: those of its document, and the windows that are not full yet.
    #[must_use]
    pub fn with_warnings(self, active: &ActivePolicy, policy: &policy::Policy) -> Self {
        let filling = policy.reaches().filter_map(|(feature, stream, reach)| {
            let full_at = active.covered_since.get(stream.get())?.saturating_add(reach);
            (full_at > active.as_of && reach > Span::ZERO).then(|| Warning {
                code: WINDOW_NOT_FULL,
                detail: format!(
                    "features.{feature} is missing until {full_at}: it looks back {reach}, which is further than its \
                     stream has records"
                ),
                file: None,
                line: None,
                column: None,
            })
        });
        Self { warnings: Some(policy.warnings().iter().map(Warning::from).chain(filling).collect()), ..self }
    }
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
            warnings: None,
        }
    }
}

/// What a caller must look up before something can be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The asset of a ledger that is newer than the copy of the assets.
    Ledger(LedgerId),
    /// The names of features and models in the policy that this entry activated.
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

/// Metadata as JSON, each value with the characters that it was set with.
pub(crate) fn shown_metadata(metadata: &BTreeMap<String, String>) -> BTreeMap<String, Box<RawValue>> {
    let raw = |text: &String| RawValue::from_string(text.clone()).expect("metadata was parsed as JSON when it was set");
    metadata.iter().map(|(key, text)| (key.clone(), raw(text))).collect()
}

/// The stable name of a pending transfer's state.
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

/// The answer to an operator who confirmed that the machine's clock is right.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClockConfirmed {
    /// The current time of the server.
    #[schema(format = DateTime)]
    now: String,
    /// True if the clock was doubted before. Otherwise nothing changed.
    was_doubted: bool,
}

impl ClockConfirmed {
    pub fn new(now: Timestamp, was_doubted: bool) -> Self {
        Self { now: now.to_string(), was_doubted }
    }
}
