//! The route table: the operations that the server offers, the scope that each needs, and its description in the
//! OpenAPI document.

mod build;
mod of_api_keys;
mod of_approvals;
mod of_audit;
mod of_backtests;
mod of_identity;
mod of_lists;
mod of_proofs;
mod of_segments;
mod of_tenants;
mod parameters;
mod table;

use engine::{ProposalEnd, Verb};
use policy::limits;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema as _, ToSchema};

use crate::packed;
use crate::responses::Page;
use crate::scope::Scope;

pub(crate) use parameters::ENTITY;
pub use table::{METRICS_MEDIA_TYPES, ROUTES};

/// The largest JSON body: 64 KiB.
pub const JSON_BYTES_MAX: usize = 64 << 10;
/// An upper bound for the entry of a payment: 320 KiB. The journal accepts entries of up to 384 KiB.
const ENTRY_BYTES_MAX: usize = 320 << 10;
// The largest entry is that of a payment. Each of its parts is bounded:
//
// 64 KiB    attributes in the clear, which are not larger than the body
// 128 KiB   the sealed section: the values of the body, of which those with a key of their own grow by a third in
// base64url, and at most 64 times 160 bytes of nonce, tag, key and punctuation
// 66 KiB    256 features of 256 bytes, each with its number, type and length
// 17 KiB    256 tags of 64 bytes, each with its length
// 19 KiB    the reasons of 256 rules and of the system, each with a name of 64 bytes and its effect
// 16 KiB    everything of fixed size: header, 64 records of streams, 16 legs, 16 models
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
/// The largest batch of orders: 1 MiB.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// The largest uploaded policy: 20 MiB, which is the largest bundle and the overhead of its archive.
pub const ARCHIVE_BYTES_MAX: usize = 20 << 20;

/// The operation of a route. The server has one handler for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    OpenLedger,
    ListLedgers,
    GetLedger,
    GetTrialBalance,
    OpenAccount,
    /// A page of accounts, or the account of a template.
    ListAccounts,
    GetAccount,
    /// Opens a batch of accounts, sent as JSON.
    OpenAccountBatch,
    CreateTransfer,
    /// Makes a batch of transfers, sent as JSON.
    CreateTransferBatch,
    ReverseTransfer,
    SetAddress,
    SetLimits,
    SetAccountMetadata,
    SetTransferMetadata,
    SetPaymentMetadata,
    CancelTransfer,
    ListScheduled,
    ChooseIndexes,
    ListAccountTransfers,
    /// A page of an account's balances, one row for each transfer.
    ListAccountBalances,
    /// The balances of an account at an instant.
    GetAccountBalance,
    /// What was posted on an account in a period.
    GetStatement,
    /// A page of the pending transfers that are not resolved.
    ListPending,
    /// The sums over the accounts below an address.
    GetAddressBalances,
    ListTransfers,
    GetTransfer,
    /// Opens a batch of accounts, sent as packed records.
    CreateAccounts,
    /// Makes a batch of transfers, sent as packed records.
    CreateTransfers,
    /// Many accounts by their ids, as packed records.
    LookupAccounts,
    /// Many transfers by their ids, as packed records.
    LookupTransfers,
    StartImport,
    ListImports,
    GetImport,
    /// Adds rows to an import.
    StageRows,
    OpenImport,
    DiscardImport,
    /// An account's transfers, as packed records.
    AccountTransfers,
    /// An account's balances after each of its transfers, as packed records.
    AccountBalances,
    /// Accounts by their fields, as packed records.
    QueryAccounts,
    /// Transfers by their fields, as packed records.
    QueryTransfers,
    /// The progress of the index.
    GetIndex,
    CreatePayment,
    /// Decides a batch of payments, sent as JSON.
    CreatePaymentBatch,
    ListPayments,
    /// What is known about an entity, such as a customer.
    GetEntity,
    /// Sets attributes of an entity.
    SetEntityAttributes,
    ListAudit,
    /// Who administered the installation.
    ListInstallationAudit,
    GetPayment,
    GetDecision,
    /// Why the policy decided so.
    GetExplanation,
    /// The decrypted personal data of a payment.
    GetPersonalData,
    /// Applies a verb to a payment.
    ChangePayment(Verb),
    /// Applies a batch of verbs, sent as JSON.
    ChangePaymentBatch,
    RecordLabel,
    ActivatePolicy,
    GetActivePolicy,
    /// Compares another policy with what was decided.
    StartBacktest,
    ListBacktests,
    GetBacktest,
    /// The payments behind the numbers of a backtest.
    ListBacktestPayments,
    CancelBacktest,
    /// Makes a list.
    CreateList,
    ListLists,
    GetList,
    DeleteList,
    AddListValues,
    RemoveListValues,
    /// A page of the values of a list.
    ListListValues,
    GetListValue,
    CreateApiKey,
    ListApiKeys,
    GetApiKey,
    RevokeApiKey,
    CreateTenant,
    ListTenants,
    GetTenant,
    SuspendTenant,
    ResumeTenant,
    SetTenantQuotas,
    RemoveTenant,
    /// Which operations need an approval.
    GetApprovalRules,
    SetApprovalRules,
    CreateProposal,
    ListProposals,
    GetProposal,
    /// Approves, rejects or withdraws a proposal.
    EndProposal(ProposalEnd),
    CreateClient,
    ListClients,
    GetClient,
    RevokeClient,
    /// Gives a client a second secret, beside its newest one.
    RotateClientSecret,
    /// Adds an issuer of access tokens, or replaces its settings.
    PutIssuer,
    ListIssuers,
    GetIssuer,
    RemoveIssuer,
    /// Adds a role, or replaces it.
    PutRole,
    ListRoles,
    RemoveRole,
    /// The next key of the built-in issuer starts to sign.
    RotateSigningKeys,
    /// Takes a key of the built-in issuer out of use at once.
    WithdrawSigningKey,
    /// The discovery document of the built-in issuer.
    GetIssuerMetadata,
    GetOpenIdConfiguration,
    /// The keys of the built-in issuer.
    GetIssuerKeys,
    /// The token endpoint of the built-in issuer.
    IssueToken,
    IntrospectToken,
    RevokeToken,
    /// Entries of the journal, as a page or as a stream.
    ListEvents,
    /// Confirms that the machine's clock is right.
    ConfirmClock,
    /// A proof that a transfer is in the journal.
    ProveTransfer,
    /// A proof that the decision about a payment is in the journal.
    ProvePayment,
    /// A proof that an entry is in the journal.
    ProveEntry,
    /// A proof that the journal has only grown.
    ProveConsistency,
    GetCheckpoint,
    /// The keys that sign checkpoints.
    GetProofKeys,
    /// A tile of the tree, or of its leaves.
    GetTile,
    ListSegments,
    ReadSegment,
    /// As [`Operation::ListSegments`], of the system journal.
    ListInstallationSegments,
    ReadInstallationSegment,
    /// Whether the process is alive.
    Health,
    /// Whether the server accepts requests.
    Ready,
    Metrics,
    OpenApi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Put,
}

impl Method {
    /// The method as it is written in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub operation: Operation,
    pub method: Method,
    /// The path, with parameters in braces. A parameter `{tile}` stands for the rest of the path, slashes included.
    pub path: &'static str,
    /// The scope that the client's key needs; `None` if the route needs no key.
    pub scope: Option<Scope>,
    /// The summary in the OpenAPI document.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    /// What the header `Idempotency-Key` is for.
    pub key: Key,
    /// Whether the answer has the header `ETag`, and whether the route honours `If-Match`.
    pub tag: Tag,
    pub body: Body,
    /// The answer to a request that succeeds.
    pub answer: Answer,
}

impl Route {
    /// The largest body that the route accepts, in bytes.
    pub const fn body_bytes_max(&self) -> usize {
        match self.body {
            Body::Archive => ARCHIVE_BYTES_MAX,
            Body::Batch(_) => BATCH_BYTES_MAX,
            Body::Packed { record_bytes, .. } => record_bytes.saturating_mul(packed::EVENTS_MAX),
            Body::Form(_) => issuer::FORM_BYTES_MAX,
            Body::None | Body::Json(_) | Body::Empty(_) => JSON_BYTES_MAX,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    /// The description in the OpenAPI document.
    pub summary: &'static str,
    pub kind: Kind,
}

/// The type of a query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// `true` or `false`.
    Flag,
}

/// What the header `Idempotency-Key` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The route takes none. It rejects a request to change something that has one.
    Unused,
    /// It identifies the request, so that a retry changes nothing.
    Request,
    /// The server derives the id of the new object from it, if the body has no `id`.
    Id,
    /// The server derives the ids of all objects of the batch from it, if the body has no ids.
    Ids,
    /// It is the request id of the verb, and is required.
    Verb,
}

/// What a route does with the version of the limits, the metadata or the label that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    None,
    /// It shows the version in the header `ETag`.
    Shown,
    /// It also changes something, if `If-Match` names its version.
    Matched,
}

/// What a route accepts as the body of a request.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// The body is ignored.
    None,
    /// JSON of this shape.
    Json(Shape),
    /// JSON of this shape, which contains many objects.
    Batch(Shape),
    /// An empty body, or JSON of this shape, none of whose fields is required.
    Empty(Shape),
    /// A form (`application/x-www-form-urlencoded`) of this shape.
    Form(Shape),
    /// A tar archive of a policy folder.
    Archive,
    /// Packed records, at most [`packed::EVENTS_MAX`].
    Packed {
        /// The size of a record.
        record_bytes: usize,
        /// The description of the records in the OpenAPI document.
        summary: &'static str,
    },
}

/// What a route answers to a request that succeeds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// 200 with JSON of this shape.
    Found(Shape),
    /// 201 with JSON of this shape, or 200 and the header `Idempotent-Replayed` if the same request was answered
    /// before.
    Created(Shape),
    /// 202 with JSON of this shape: what was asked for is done in the background.
    Accepted(Shape),
    /// A page of events, or a stream of server-sent events.
    Events(Shape),
    /// 200 with packed records, and their description.
    Packed(&'static str),
    /// 200 with text of this media type.
    Text(&'static [&'static str]),
    /// 200 with bytes, and their description.
    Bytes(&'static str),
    /// 200 with any JSON.
    Document,
}

/// The name and the schema of a JSON value.
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
    /// The `operationId` in the OpenAPI document, which client generators use as a name.
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
            Self::CreatePaymentBatch => "createPaymentBatch",
            Self::ListPayments => "listPayments",
            Self::GetPayment => "getPayment",
            Self::GetDecision => "getDecision",
            Self::GetExplanation => "getExplanation",
            Self::GetEntity => "getEntity",
            Self::SetEntityAttributes => "setEntityAttributes",
            Self::ListAudit => "listAudit",
            Self::ListInstallationAudit => "listInstallationAudit",
            Self::GetPersonalData => "getPersonalData",
            Self::ChangePayment(Verb::Approve) => "approvePayment",
            Self::ChangePayment(Verb::Decline) => "declinePayment",
            Self::ChangePayment(Verb::Capture) => "capturePayment",
            Self::ChangePayment(Verb::Void) => "voidPayment",
            Self::ChangePayment(Verb::Refund) => "refundPayment",
            Self::ChangePayment(Verb::Increment) => "incrementPayment",
            Self::ChangePaymentBatch => "changePaymentBatch",
            Self::RecordLabel => "recordLabel",
            Self::ActivatePolicy => "activatePolicy",
            Self::GetActivePolicy => "getActivePolicy",
            Self::StartBacktest => "startBacktest",
            Self::ListBacktests => "listBacktests",
            Self::GetBacktest => "getBacktest",
            Self::ListBacktestPayments => "listBacktestPayments",
            Self::CancelBacktest => "cancelBacktest",
            Self::CreateList => "createList",
            Self::ListLists => "listLists",
            Self::GetList => "getList",
            Self::DeleteList => "deleteList",
            Self::AddListValues => "addListValues",
            Self::RemoveListValues => "removeListValues",
            Self::ListListValues => "listListValues",
            Self::GetListValue => "getListValue",
            Self::CreateApiKey => "createApiKey",
            Self::ListApiKeys => "listApiKeys",
            Self::GetApiKey => "getApiKey",
            Self::RevokeApiKey => "revokeApiKey",
            Self::CreateTenant => "createTenant",
            Self::ListTenants => "listTenants",
            Self::GetTenant => "getTenant",
            Self::SuspendTenant => "suspendTenant",
            Self::ResumeTenant => "resumeTenant",
            Self::SetTenantQuotas => "setTenantQuotas",
            Self::RemoveTenant => "removeTenant",
            Self::GetApprovalRules => "getApprovalRules",
            Self::SetApprovalRules => "setApprovalRules",
            Self::CreateProposal => "createProposal",
            Self::ListProposals => "listProposals",
            Self::GetProposal => "getProposal",
            Self::EndProposal(ProposalEnd::Approved) => "approveProposal",
            Self::EndProposal(ProposalEnd::Rejected) => "rejectProposal",
            Self::EndProposal(ProposalEnd::Withdrawn) => "withdrawProposal",
            Self::CreateClient => "createClient",
            Self::ListClients => "listClients",
            Self::GetClient => "getClient",
            Self::RevokeClient => "revokeClient",
            Self::RotateClientSecret => "rotateClientSecret",
            Self::PutIssuer => "putIssuer",
            Self::ListIssuers => "listIssuers",
            Self::GetIssuer => "getIssuer",
            Self::RemoveIssuer => "removeIssuer",
            Self::PutRole => "putRole",
            Self::ListRoles => "listRoles",
            Self::RemoveRole => "removeRole",
            Self::RotateSigningKeys => "rotateSigningKeys",
            Self::WithdrawSigningKey => "withdrawSigningKey",
            Self::GetIssuerMetadata => "getIssuerMetadata",
            Self::GetOpenIdConfiguration => "getOpenIdConfiguration",
            Self::GetIssuerKeys => "getIssuerKeys",
            Self::IssueToken => "issueToken",
            Self::IntrospectToken => "introspectToken",
            Self::RevokeToken => "revokeToken",
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
            Self::ListInstallationSegments => "listInstallationJournalSegments",
            Self::ReadInstallationSegment => "readInstallationJournalSegment",
            Self::Health => "getHealth",
            Self::Ready => "getReadiness",
            Self::Metrics => "getMetrics",
            Self::OpenApi => "getOpenApi",
        }
    }
}
