//! The route table: what the server answers, to whom, and what the OpenAPI document says about it.

mod of_proofs;
mod parameters;
mod table;

use engine::Verb;
use policy::limits;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema as _, ToSchema};

use crate::packed;
use crate::responses::Page;
use crate::scope::Scope;

pub use table::ROUTES;

/// Bytes of a JSON body, 64 KiB.
pub const JSON_BYTES_MAX: usize = 64 << 10;
/// Bytes of a payment's entry at most, 320 KiB; the journal takes one of 384 KiB.
const ENTRY_BYTES_MAX: usize = 320 << 10;
// The largest entry is that of a payment, whose parts are bounded one by one:
//
// 64 KiB    attributes that stand in the clear, no more than the body
// 128 KiB   the sealed section: the body's values, of which those with a key of their own grow by a third in base64url,
//           and at most 64 times 160 bytes of nonce, tag, key and punctuation
// 66 KiB    256 features of 256 bytes, each with its number, type and length
// 17 KiB    256 tags of 64 bytes, each with its length
// 19 KiB    256 rules as reasons and those of the system, each with a name of 64 bytes and its effect
// 16 KiB    all that has a fixed size: header, 64 records of streams, 16 legs, 16 models
const _: () = assert!(
    JSON_BYTES_MAX
        + (128 << 10)
        + limits::FEATURES_MAX * (limits::FEATURE_TEXT_BYTES_MAX + 8)
        + limits::RULES_MAX * (limits::TAG_BYTES_MAX + 2)
        + (limits::RULES_MAX + 8) * (types::Name::BYTES_MAX + 8)
        + (16 << 10)
        < ENTRY_BYTES_MAX
);
const _: () = assert!(JSON_BYTES_MAX.div_ceil(3) * 4 + limits::ATTRIBUTES_MAX * 160 < 128 << 10);
/// Bytes of a batch of orders, 1 MiB.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of an uploaded policy, 20 MiB: the largest bundle and what an archive adds to it.
pub const ARCHIVE_BYTES_MAX: usize = 20 << 20;

/// What a route does. The server has one handler for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opens a ledger.
    OpenLedger,
    /// All ledgers.
    ListLedgers,
    /// One ledger.
    GetLedger,
    /// The sums over a ledger's accounts.
    GetTrialBalance,
    /// Opens an account.
    OpenAccount,
    /// A page of accounts, or the account of a template.
    ListAccounts,
    /// One account.
    GetAccount,
    /// Opens accounts.
    OpenAccountBatch,
    /// Makes a transfer.
    CreateTransfer,
    /// Makes transfers.
    CreateTransferBatch,
    /// Reverses a transfer.
    ReverseTransfer,
    /// Gives an account its address.
    SetAddress,
    /// Bounds the balance of an account.
    SetLimits,
    /// Changes metadata of an account.
    SetAccountMetadata,
    /// Changes metadata of a transfer.
    SetTransferMetadata,
    /// Changes metadata of a payment.
    SetPaymentMetadata,
    /// Gives up a scheduled transfer.
    CancelTransfer,
    /// A page of scheduled transfers.
    ListScheduled,
    /// Chooses the indexes of a ledger.
    ChooseIndexes,
    /// A page of an account's transfers.
    ListAccountTransfers,
    /// A page of an account's balances, one row per transfer.
    ListAccountBalances,
    /// What an account had at an instant.
    GetAccountBalance,
    /// What was posted on an account in a period.
    GetStatement,
    /// A page of transfers that still reserve their amount.
    ListPending,
    /// What the accounts below an address add up to.
    GetAddressBalances,
    /// A page of transfers.
    ListTransfers,
    /// One transfer.
    GetTransfer,
    /// Opens a batch of accounts.
    CreateAccounts,
    /// Makes a batch of transfers.
    CreateTransfers,
    /// Many accounts by their ids.
    LookupAccounts,
    /// Many transfers by their ids.
    LookupTransfers,
    /// Starts an import.
    StartImport,
    /// All imports.
    ListImports,
    /// One import.
    GetImport,
    /// Stages rows of an import.
    StageRows,
    /// Opens an import.
    OpenImport,
    /// Discards an import.
    DiscardImport,
    /// An account's transfers.
    AccountTransfers,
    /// An account's balances after each of its transfers.
    AccountBalances,
    /// Accounts by their fields.
    QueryAccounts,
    /// Transfers by their fields.
    QueryTransfers,
    /// How far the index is.
    GetIndex,
    /// Decides a payment.
    CreatePayment,
    /// A page of payments.
    ListPayments,
    /// One payment.
    GetPayment,
    /// Everything about a decision.
    GetDecision,
    /// What a payment sealed.
    GetPersonalData,
    /// Moves a payment on.
    ChangePayment(Verb),
    /// Records a label.
    RecordLabel,
    /// Activates a policy.
    ActivatePolicy,
    /// The active policy.
    GetActivePolicy,
    /// Entries of the journal, as a page or as a stream.
    ListEvents,
    /// Says that the machine's clock is right.
    ConfirmClock,
    /// That a transfer stands in the journal.
    ProveTransfer,
    /// That the decision about a payment stands in the journal.
    ProvePayment,
    /// That an entry stands in the journal.
    ProveEntry,
    /// That the journal only grew.
    ProveConsistency,
    /// The newest checkpoint.
    GetCheckpoint,
    /// The keys that sign checkpoints.
    GetProofKeys,
    /// A tile of the tree, or of its leaves.
    GetTile,
    /// The segments of the journal.
    ListSegments,
    /// Bytes of a segment.
    ReadSegment,
    /// Whether the process lives.
    Health,
    /// Whether requests are taken.
    Ready,
    /// Metrics.
    Metrics,
    /// The OpenAPI document.
    OpenApi,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// Its path, with parameters in braces. A parameter `{tile}` is all that follows, with its slashes.
    pub path: &'static str,
    /// The scope that a key needs; `None`: no key at all.
    pub scope: Option<Scope>,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The query parameters it takes.
    pub parameters: &'static [Parameter],
    /// What its `Idempotency-Key` is for.
    pub key: Key,
    /// What its body is.
    pub body: Body,
    /// What it answers when all is well.
    pub answer: Answer,
}

impl Route {
    /// The largest body it takes, in bytes.
    pub const fn body_bytes_max(&self) -> usize {
        match self.body {
            Body::Archive => ARCHIVE_BYTES_MAX,
            Body::Batch(_) => BATCH_BYTES_MAX,
            Body::Packed { record_bytes, .. } => record_bytes.saturating_mul(packed::EVENTS_MAX),
            Body::None | Body::Json(_) | Body::Empty(_) => JSON_BYTES_MAX,
        }
    }
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What its value is.
    pub kind: Kind,
}

/// What the value of a query parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
}

/// What the header `Idempotency-Key` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The route does not look at it.
    Unused,
    /// It stands for the `id` in the body.
    Id,
    /// It stands for the `id` of everything in a batch.
    Ids,
    /// It is the verb's request id, and required.
    Verb,
}

/// What the body of a request is.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// It is not looked at.
    None,
    /// JSON of this form.
    Json(Shape),
    /// JSON of this form, many things at once.
    Batch(Shape),
    /// Empty, or JSON of this form, which has no fields.
    Empty(Shape),
    /// A tar archive of a policy folder.
    Archive,
    /// Packed records, at most [`packed::EVENTS_MAX`].
    Packed {
        /// Bytes of each.
        record_bytes: usize,
        /// What they are.
        summary: &'static str,
    },
}

/// What an answer is.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// 200 with JSON of this form.
    Found(Shape),
    /// 201 with JSON of this form, or 200 with the header `Idempotent-Replayed` when the same request came before.
    Created(Shape),
    /// A page of events, or a stream of server-sent events.
    Events(Shape),
    /// 200 with packed records; what they are.
    Packed(&'static str),
    /// Text of this media type.
    Text(&'static str),
    /// 200 with bytes; what they are.
    Bytes(&'static str),
    /// Any JSON.
    Document,
}

/// The name and schema of a JSON form.
#[derive(Clone, Copy)]
pub struct Shape {
    pub(crate) name: fn() -> String,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&(self.name)())
    }
}

const fn shape<T: ToSchema>() -> Shape {
    Shape { name: || T::name().into_owned(), schema: T::schema, parts: T::schemas }
}

/// A page of `T`, under a name of its own.
const fn page<T: ToSchema>() -> Shape {
    Shape {
        name: || format!("{}Page", T::name()),
        schema: Page::<T>::schema,
        parts: |parts| {
            Page::<T>::schemas(parts);
            T::schemas(parts);
            parts.push((T::name().into_owned(), T::schema()));
        },
    }
}

impl Operation {
    /// The name in the OpenAPI document, for client generators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenLedger => "openLedger",
            Self::ListLedgers => "listLedgers",
            Self::GetLedger => "getLedger",
            Self::GetTrialBalance => "getTrialBalance",
            Self::StartImport => "startImport",
            Self::ListImports => "listImports",
            Self::GetImport => "getImport",
            Self::StageRows => "stageRows",
            Self::OpenImport => "openImport",
            Self::DiscardImport => "discardImport",
            Self::OpenAccount => "openAccount",
            Self::ListAccounts => "listAccounts",
            Self::GetAccount => "getAccount",
            Self::OpenAccountBatch => "openAccountBatch",
            Self::CreateTransfer => "createTransfer",
            Self::CreateTransferBatch => "createTransferBatch",
            Self::ReverseTransfer => "reverseTransfer",
            Self::SetAddress => "setAccountAddress",
            Self::SetLimits => "setAccountLimits",
            Self::SetAccountMetadata => "setAccountMetadata",
            Self::SetTransferMetadata => "setTransferMetadata",
            Self::SetPaymentMetadata => "setPaymentMetadata",
            Self::CancelTransfer => "cancelTransfer",
            Self::ListScheduled => "listScheduledTransfers",
            Self::ChooseIndexes => "chooseIndexes",
            Self::ListAccountTransfers => "listAccountTransfers",
            Self::ListAccountBalances => "listAccountBalances",
            Self::GetAccountBalance => "getAccountBalance",
            Self::GetStatement => "getAccountStatement",
            Self::ListPending => "listPendingTransfers",
            Self::GetAddressBalances => "getAddressBalances",
            Self::ListTransfers => "listTransfers",
            Self::GetTransfer => "getTransfer",
            Self::CreateAccounts => "createAccounts",
            Self::CreateTransfers => "createTransfers",
            Self::LookupAccounts => "lookupAccounts",
            Self::LookupTransfers => "lookupTransfers",
            Self::AccountTransfers => "accountTransfers",
            Self::AccountBalances => "accountBalances",
            Self::QueryAccounts => "queryAccounts",
            Self::QueryTransfers => "queryTransfers",
            Self::GetIndex => "getIndex",
            Self::CreatePayment => "createPayment",
            Self::ListPayments => "listPayments",
            Self::GetPayment => "getPayment",
            Self::GetDecision => "getDecision",
            Self::GetPersonalData => "getPersonalData",
            Self::ChangePayment(Verb::Approve) => "approvePayment",
            Self::ChangePayment(Verb::Decline) => "declinePayment",
            Self::ChangePayment(Verb::Capture) => "capturePayment",
            Self::ChangePayment(Verb::Void) => "voidPayment",
            Self::ChangePayment(Verb::Refund) => "refundPayment",
            Self::RecordLabel => "recordLabel",
            Self::ActivatePolicy => "activatePolicy",
            Self::GetActivePolicy => "getActivePolicy",
            Self::ListEvents => "listEvents",
            Self::ConfirmClock => "confirmClock",
            Self::ProveTransfer => "proveTransfer",
            Self::ProvePayment => "provePayment",
            Self::ProveEntry => "proveEntry",
            Self::ProveConsistency => "proveConsistency",
            Self::GetCheckpoint => "getCheckpoint",
            Self::GetProofKeys => "getProofKeys",
            Self::GetTile => "getTile",
            Self::ListSegments => "listJournalSegments",
            Self::ReadSegment => "readJournalSegment",
            Self::Health => "getHealth",
            Self::Ready => "getReadiness",
            Self::Metrics => "getMetrics",
            Self::OpenApi => "getOpenApi",
        }
    }
}
