//! The route table: what the server answers, to whom, and what the OpenAPI document says about it.

use engine::Verb;
use policy::limits;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema as _, ToSchema};

use crate::decisions::{Decision, Payment};
use crate::events::EventPage;
use crate::packed;
use crate::payments::PaymentBody;
use crate::requests::{AccountBody, LabelBody, LedgerBody, TransferBody, VerbBody};
use crate::responses::{Account, Label, Ledger, Page, PersonalData, Policy, Transfer, TrialBalance};
use crate::scope::Scope;

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
    /// Makes a transfer.
    CreateTransfer,
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
    /// Its path, with parameters in braces.
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
    /// True for a whole number, false for a string.
    pub number: bool,
}

/// What the header `Idempotency-Key` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The route does not look at it.
    Unused,
    /// It stands for the `id` in the body.
    Id,
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
    Shape { name: || format!("{}Page", T::name()), schema: Page::<T>::schema, parts: Page::<T>::schemas }
}

const CURSOR: Parameter =
    Parameter { name: "cursor", summary: "Where to go on: the `next_cursor` of the page before.", number: false };
const LIMIT: Parameter =
    Parameter { name: "limit", summary: "Items at most, 1 to 1000; 100 if not given.", number: true };
const LEDGER: Parameter = Parameter { name: "ledger", summary: "Only accounts of this ledger.", number: true };
const STATUS: Parameter = Parameter { name: "status", summary: "Only payments with this status.", number: false };
const TEMPLATE: Parameter = Parameter {
    name: "template",
    summary: "Only the account that the active policy keeps under this template.",
    number: false,
};
const BALANCES: Parameter = Parameter {
    name: "balances",
    summary: "`true`: each result is followed by the balances of both accounts; `false` if not given.",
    number: false,
};
const HOLDER: Parameter = Parameter {
    name: "holder",
    summary: "With `template`: whose account, when the template has one for each.",
    number: false,
};

const fn get(operation: Operation, path: &'static str, scope: Scope, answer: Shape, summary: &'static str) -> Route {
    Route {
        operation,
        method: Method::Get,
        path,
        scope: Some(scope),
        summary,
        parameters: &[],
        key: Key::Unused,
        body: Body::None,
        answer: Answer::Found(answer),
    }
}

const fn list(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    parameters: &'static [Parameter],
    answer: Shape,
    summary: &'static str,
) -> Route {
    Route { parameters, ..get(operation, path, scope, answer, summary) }
}

const fn create(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    key: Key,
    (body, answer): (Shape, Shape),
    summary: &'static str,
) -> Route {
    Route {
        method: Method::Post,
        key,
        body: Body::Json(body),
        answer: Answer::Created(answer),
        ..get(operation, path, scope, answer, summary)
    }
}

const fn packed(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    (body, answer): (Body, &'static str),
    summary: &'static str,
) -> Route {
    let answer = Answer::Packed(answer);
    Route { method: Method::Post, body, answer, ..get(operation, path, scope, shape::<Ledger>(), summary) }
}

const fn events(summary: &'static str) -> Body {
    Body::Packed { record_bytes: packed::EVENT_BYTES, summary }
}

const IDS: Body = Body::Packed { record_bytes: packed::ID_BYTES, summary: "Up to 8,190 ids of 16 bytes." };

const fn verb(verb: Verb, path: &'static str, scope: Scope, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        key: Key::Verb,
        body: Body::Empty(shape::<VerbBody>()),
        ..get(Operation::ChangePayment(verb), path, scope, shape::<Payment>(), summary)
    }
}

const fn open(operation: Operation, path: &'static str, answer: Answer, summary: &'static str) -> Route {
    Route { scope: None, answer, ..get(operation, path, Scope::ALL, shape::<Ledger>(), summary) }
}

const TEXT: Answer = Answer::Text("text/plain; charset=utf-8");

/// Every route.
pub const ROUTES: &[Route] = &[
    create(
        Operation::OpenLedger,
        "/v1/ledgers",
        Scope::LEDGER_WRITE,
        Key::Unused,
        (shape::<LedgerBody>(), shape::<Ledger>()),
        "Open a ledger",
    ),
    get(Operation::ListLedgers, "/v1/ledgers", Scope::LEDGER_READ, page::<Ledger>(), "List all ledgers"),
    get(Operation::GetLedger, "/v1/ledgers/{id}", Scope::LEDGER_READ, shape::<Ledger>(), "Look up a ledger"),
    get(
        Operation::GetTrialBalance,
        "/v1/ledgers/{id}/trial-balance",
        Scope::LEDGER_READ,
        shape::<TrialBalance>(),
        "Add up the accounts of a ledger",
    ),
    create(
        Operation::OpenAccount,
        "/v1/accounts",
        Scope::LEDGER_WRITE,
        Key::Id,
        (shape::<AccountBody>(), shape::<Account>()),
        "Open an account",
    ),
    list(
        Operation::ListAccounts,
        "/v1/accounts",
        Scope::LEDGER_READ,
        &[CURSOR, LIMIT, LEDGER, TEMPLATE, HOLDER],
        page::<Account>(),
        "List accounts in the order they were opened, or find the one that the policy keeps for somebody",
    ),
    get(Operation::GetAccount, "/v1/accounts/{id}", Scope::LEDGER_READ, shape::<Account>(), "Look up an account"),
    create(
        Operation::CreateTransfer,
        "/v1/transfers",
        Scope::TRANSFERS_WRITE,
        Key::Id,
        (shape::<TransferBody>(), shape::<Transfer>()),
        "Move money without any policy; reserve it, or post or void what is reserved",
    ),
    list(
        Operation::ListTransfers,
        "/v1/transfers",
        Scope::LEDGER_READ,
        &[CURSOR, LIMIT],
        page::<Transfer>(),
        "List transfers in the order they were made",
    ),
    get(Operation::GetTransfer, "/v1/transfers/{id}", Scope::LEDGER_READ, shape::<Transfer>(), "Look up a transfer"),
    packed(
        Operation::CreateAccounts,
        "/v1/packed/create-accounts",
        Scope::LEDGER_WRITE,
        (events("Up to 8,190 accounts of 128 bytes."), "A result of 16 bytes for each account, in order."),
        "Open a batch of accounts, packed",
    ),
    Route {
        parameters: &[BALANCES],
        ..packed(
            Operation::CreateTransfers,
            "/v1/packed/create-transfers",
            Scope::TRANSFERS_WRITE,
            (
                events("Up to 8,190 transfers of 128 bytes."),
                "A result of 16 bytes for each transfer, in order; of 144 bytes with balances.",
            ),
            "Make a batch of transfers without any policy, packed",
        )
    },
    packed(
        Operation::LookupAccounts,
        "/v1/packed/lookup-accounts",
        Scope::LEDGER_READ,
        (IDS, "The accounts that exist, of 128 bytes, in the order asked."),
        "Look up many accounts, packed",
    ),
    packed(
        Operation::LookupTransfers,
        "/v1/packed/lookup-transfers",
        Scope::LEDGER_READ,
        (IDS, "The transfers that exist, of 128 bytes, in the order asked."),
        "Look up many transfers, packed",
    ),
    create(
        Operation::CreatePayment,
        "/v1/payments",
        Scope::PAYMENTS_WRITE,
        Key::Id,
        (shape::<PaymentBody>(), shape::<Payment>()),
        "Decide a payment and post, hold or refuse it",
    ),
    list(
        Operation::ListPayments,
        "/v1/payments",
        Scope::PAYMENTS_READ,
        &[CURSOR, LIMIT, STATUS],
        page::<Payment>(),
        "List payments in the order they were decided",
    ),
    get(Operation::GetPayment, "/v1/payments/{id}", Scope::PAYMENTS_READ, shape::<Payment>(), "Look up a payment"),
    get(
        Operation::GetDecision,
        "/v1/payments/{id}/decision",
        Scope::PAYMENTS_READ,
        shape::<Decision>(),
        "Explain a decision: reasons, features, models, versions",
    ),
    get(
        Operation::GetPersonalData,
        "/v1/payments/{id}/personal-data",
        Scope::PERSONAL_READ,
        shape::<PersonalData>(),
        "Open what a payment sealed: personal attributes and entity values",
    ),
    verb(Verb::Approve, "/v1/payments/{id}/approve", Scope::REVIEWS_WRITE, "Approve a payment under review"),
    verb(Verb::Decline, "/v1/payments/{id}/decline", Scope::REVIEWS_WRITE, "Decline a payment under review"),
    verb(Verb::Capture, "/v1/payments/{id}/capture", Scope::PAYMENTS_WRITE, "Move what a payment holds"),
    verb(Verb::Void, "/v1/payments/{id}/void", Scope::PAYMENTS_WRITE, "Give up a payment that is held or under review"),
    verb(Verb::Refund, "/v1/payments/{id}/refund", Scope::PAYMENTS_WRITE, "Move back what a payment posted, in full"),
    create(
        Operation::RecordLabel,
        "/v1/labels",
        Scope::LABELS_WRITE,
        Key::Unused,
        (shape::<LabelBody>(), shape::<Label>()),
        "Record what a payment turned out to be",
    ),
    Route {
        body: Body::Archive,
        ..create(
            Operation::ActivatePolicy,
            "/v1/policies",
            Scope::POLICIES_WRITE,
            Key::Unused,
            (shape::<VerbBody>(), shape::<Policy>()),
            "Activate a policy: an uncompressed tar archive of its folder",
        )
    },
    get(
        Operation::GetActivePolicy,
        "/v1/policies/active",
        Scope::POLICIES_READ,
        shape::<Policy>(),
        "Look up the active policy",
    ),
    Route {
        answer: Answer::Events(shape::<EventPage>()),
        ..list(
            Operation::ListEvents,
            "/v1/events",
            Scope::EVENTS_READ,
            &[CURSOR, LIMIT],
            shape::<EventPage>(),
            "Read the journal's entries in order; with `Accept: text/event-stream` without end",
        )
    },
    open(Operation::Health, "/healthz", TEXT, "Whether the process lives"),
    open(Operation::Ready, "/readyz", TEXT, "Whether requests are taken"),
    open(
        Operation::Metrics,
        "/metrics",
        Answer::Text("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "Metrics for Prometheus",
    ),
    open(Operation::OpenApi, "/openapi.json", Answer::Document, "This document"),
];

impl Operation {
    /// The name in the OpenAPI document, for client generators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenLedger => "openLedger",
            Self::ListLedgers => "listLedgers",
            Self::GetLedger => "getLedger",
            Self::GetTrialBalance => "getTrialBalance",
            Self::OpenAccount => "openAccount",
            Self::ListAccounts => "listAccounts",
            Self::GetAccount => "getAccount",
            Self::CreateTransfer => "createTransfer",
            Self::ListTransfers => "listTransfers",
            Self::GetTransfer => "getTransfer",
            Self::CreateAccounts => "createAccounts",
            Self::CreateTransfers => "createTransfers",
            Self::LookupAccounts => "lookupAccounts",
            Self::LookupTransfers => "lookupTransfers",
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
            Self::Health => "getHealth",
            Self::Ready => "getReadiness",
            Self::Metrics => "getMetrics",
            Self::OpenApi => "getOpenApi",
        }
    }
}
