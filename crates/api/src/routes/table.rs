//! The table of all routes. The server's dispatch, the scopes and the OpenAPI document are derived from it.

use engine::Verb;

use super::build::{batch, change, create, end, events, get, list, open, order, packed, setting, shown, verb};
use super::parameters::{
    ACCOUNT, ADDRESS_PREFIX, AFTER, AT, BALANCES, BYTES, CLOCK, CODE, CURSOR, DECISION, ENTITY, FROM, HOLDER, LABEL,
    LEDGER, LIMIT, MAX_AMOUNT, MAX_TIMESTAMP, METADATA, MIN_AMOUNT, MIN_TIMESTAMP, OFFSET, REASON, REVERSED, SEGMENT,
    SIDE, STATUS, TAG, TEMPLATE, TO, TYPE, USER_DATA_32, USER_DATA_64, USER_DATA_128, WAIT_MS,
};
use super::{
    Answer, Body, Key, Kind, Method, Operation, Parameter, Route, Tag, of_api_keys, of_approvals, of_audit,
    of_identity, of_proofs, of_tenants, page, shape,
};
use crate::changes::{AddressBody, IndexesBody, LimitsBody, MetadataBody};
use crate::decisions::{Decision, Payment};
use crate::entities::Entity;
use crate::events::EventPage;
use crate::imports::{Import, ImportBody};
use crate::orders::{AccountBody, AccountsBody, TransferBody, TransfersBody};
use crate::packed;
use crate::past::{AccountBalance, AddressBalances, BalanceRow, IndexStatus, Statement};
use crate::payments::{PaymentBody, PaymentsBody};
use crate::requests::{LabelBody, LedgerBody, VerbBody, VerbsBody};
use crate::responses::{Account, ClockConfirmed, Indexes, Label, Ledger, PersonalData, Policy, Transfer, TrialBalance};
use crate::scope::Scope;
use crate::segments::Segments;

const FIRST: Parameter = Parameter {
    name: "first",
    summary: "The number of the first row in the body, among the import's rows of this kind, from 0.",
    kind: Kind::Number,
};
const ROWS: Parameter =
    Parameter { name: "kind", summary: "What the rows are: `accounts` or `transfers`.", kind: Kind::Text };
const ACCOUNT_FILTER: Body =
    Body::Packed { record_bytes: packed::AccountFilter::BYTES, summary: "One account filter of 128 bytes." };
const QUERY_FILTER: Body =
    Body::Packed { record_bytes: packed::QueryFilter::BYTES, summary: "One query filter of 64 bytes." };
const IDS: Body = Body::Packed { record_bytes: packed::ID_BYTES, summary: "Up to 8,190 ids of 16 bytes." };

/// The formats of the metrics: the text format of Prometheus, then OpenMetrics.
pub const METRICS_MEDIA_TYPES: [&str; 2] =
    ["text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"];
pub(super) const TEXT: Answer = Answer::Text(&["text/plain; charset=utf-8"]);

pub const ROUTES: &[Route] = &[
    create(
        Operation::OpenLedger,
        "/v1/ledgers",
        Scope::LEDGER_WRITE,
        Key::Request,
        (shape::<LedgerBody>(), shape::<Ledger>()),
        "Open a ledger",
    ),
    get(Operation::ListLedgers, "/v1/ledgers", Scope::LEDGER_READ, page::<Ledger>(), "List all ledgers"),
    get(Operation::GetLedger, "/v1/ledgers/{id}", Scope::LEDGER_READ, shape::<Ledger>(), "Look up a ledger"),
    list(
        Operation::GetTrialBalance,
        "/v1/ledgers/{id}/trial-balance",
        Scope::LEDGER_READ,
        &[AT],
        shape::<TrialBalance>(),
        "Get the sums over all accounts of a ledger, now or at an instant",
    ),
    change(
        Operation::ChooseIndexes,
        "/v1/ledgers/{id}/indexes",
        Scope::LEDGER_WRITE,
        (Body::Json(shape::<IndexesBody>()), shape::<Indexes>()),
        "Choose the fields by which transfers of a ledger can be found",
    ),
    list(
        Operation::GetAddressBalances,
        "/v1/balances",
        Scope::LEDGER_READ,
        &[ADDRESS_PREFIX, LEDGER],
        shape::<AddressBalances>(),
        "Get the sums over the accounts of a ledger below an address",
    ),
    order(
        Operation::OpenAccount,
        "/v1/accounts",
        Scope::LEDGER_WRITE,
        (shape::<AccountBody>(), shape::<Account>()),
        "Open an account",
    ),
    batch(
        Operation::OpenAccountBatch,
        "/v1/accounts/batch",
        Scope::LEDGER_WRITE,
        shape::<AccountsBody>(),
        "Open up to 1000 accounts, each with its own result",
    ),
    list(
        Operation::ListAccounts,
        "/v1/accounts",
        Scope::LEDGER_READ,
        &[
            CURSOR,
            LIMIT,
            LEDGER,
            CODE,
            USER_DATA_128,
            USER_DATA_64,
            USER_DATA_32,
            ADDRESS_PREFIX,
            METADATA,
            TEMPLATE,
            HOLDER,
        ],
        page::<Account>(),
        "List accounts in the order they were opened, or find the account that the policy opens for a holder",
    ),
    shown(Operation::GetAccount, "/v1/accounts/{id}", Scope::LEDGER_READ, shape::<Account>(), "Look up an account"),
    list(
        Operation::ListAccountTransfers,
        "/v1/accounts/{id}/transfers",
        Scope::LEDGER_READ,
        &[
            CURSOR,
            LIMIT,
            SIDE,
            LEDGER,
            CODE,
            USER_DATA_128,
            USER_DATA_64,
            USER_DATA_32,
            MIN_TIMESTAMP,
            MAX_TIMESTAMP,
            REVERSED,
            METADATA,
        ],
        page::<Transfer>(),
        "List the transfers of an account in the order they were made",
    ),
    list(
        Operation::ListAccountBalances,
        "/v1/accounts/{id}/balances",
        Scope::LEDGER_READ,
        &[CURSOR, LIMIT, SIDE, CODE, USER_DATA_128, USER_DATA_64, USER_DATA_32, MIN_TIMESTAMP, MAX_TIMESTAMP, REVERSED],
        page::<BalanceRow>(),
        "List the balances of an account right after each of its transfers",
    ),
    list(
        Operation::GetAccountBalance,
        "/v1/accounts/{id}/balance",
        Scope::LEDGER_READ,
        &[AT, CLOCK],
        shape::<AccountBalance>(),
        "Get the balances of an account, now or at an instant",
    ),
    list(
        Operation::GetStatement,
        "/v1/accounts/{id}/statement",
        Scope::LEDGER_READ,
        &[FROM, TO, CURSOR, LIMIT],
        shape::<Statement>(),
        "List what was posted on an account in a period, with the balances before and after",
    ),
    change(
        Operation::SetAddress,
        "/v1/accounts/{id}/address",
        Scope::LEDGER_WRITE,
        (Body::Json(shape::<AddressBody>()), shape::<Account>()),
        "Give an account its address; this is possible once",
    ),
    setting(
        Operation::SetLimits,
        "/v1/accounts/{id}/limits",
        Scope::LEDGER_WRITE,
        (Body::Json(shape::<LimitsBody>()), shape::<Account>()),
        "Set limits on the balance of an account, replacing earlier limits",
    ),
    setting(
        Operation::SetAccountMetadata,
        "/v1/accounts/{id}/metadata",
        Scope::LEDGER_WRITE,
        (Body::Json(shape::<MetadataBody>()), shape::<Account>()),
        "Set and remove metadata of an account",
    ),
    order(
        Operation::CreateTransfer,
        "/v1/transfers",
        Scope::TRANSFERS_WRITE,
        (shape::<TransferBody>(), shape::<Transfer>()),
        "Move or reserve money without a decision of the policy, or post or void what is reserved",
    ),
    batch(
        Operation::CreateTransferBatch,
        "/v1/transfers/batch",
        Scope::TRANSFERS_WRITE,
        shape::<TransfersBody>(),
        "Make up to 1000 transfers, each with its own result",
    ),
    list(
        Operation::ListTransfers,
        "/v1/transfers",
        Scope::LEDGER_READ,
        &[
            CURSOR,
            LIMIT,
            ACCOUNT,
            SIDE,
            LEDGER,
            CODE,
            USER_DATA_128,
            USER_DATA_64,
            USER_DATA_32,
            MIN_TIMESTAMP,
            MAX_TIMESTAMP,
            REVERSED,
            METADATA,
        ],
        page::<Transfer>(),
        "List transfers in the order they were made; if filtered by metadata, in order of id",
    ),
    shown(Operation::GetTransfer, "/v1/transfers/{id}", Scope::LEDGER_READ, shape::<Transfer>(), "Look up a transfer"),
    Route {
        key: Key::Request,
        body: Body::Empty(shape::<VerbBody>()),
        ..order(
            Operation::ReverseTransfer,
            "/v1/transfers/{id}/reverse",
            Scope::TRANSFERS_WRITE,
            (shape::<VerbBody>(), shape::<Transfer>()),
            "Reverse a transfer by a new transfer; a repeated request returns the same new transfer",
        )
    },
    setting(
        Operation::SetTransferMetadata,
        "/v1/transfers/{id}/metadata",
        Scope::TRANSFERS_WRITE,
        (Body::Json(shape::<MetadataBody>()), shape::<Transfer>()),
        "Set and remove metadata of a transfer",
    ),
    change(
        Operation::CancelTransfer,
        "/v1/transfers/{id}/cancel",
        Scope::TRANSFERS_WRITE,
        (Body::Empty(shape::<VerbBody>()), shape::<Transfer>()),
        "Cancel a scheduled transfer; its id cannot be used again",
    ),
    list(
        Operation::ListScheduled,
        "/v1/transfers/scheduled",
        Scope::LEDGER_READ,
        &[CURSOR, LIMIT],
        page::<Transfer>(),
        "List scheduled transfers in order of their time",
    ),
    list(
        Operation::ListPending,
        "/v1/transfers/pending",
        Scope::LEDGER_READ,
        &[CURSOR, LIMIT, ACCOUNT, LEDGER],
        page::<Transfer>(),
        "List pending transfers that are not resolved, in the order they were made",
    ),
    packed(
        Operation::CreateAccounts,
        "/v1/packed/create-accounts",
        Scope::LEDGER_WRITE,
        (events("Up to 8,190 accounts of 128 bytes."), "One result of 16 bytes for each account, in order."),
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
                "One result of 16 bytes for each transfer, in order; 144 bytes if balances are requested.",
            ),
            "Make a batch of transfers without a decision of the policy, packed",
        )
    },
    packed(
        Operation::LookupAccounts,
        "/v1/packed/lookup-accounts",
        Scope::LEDGER_READ,
        (IDS, "The accounts that exist, 128 bytes each, in the order of the request."),
        "Look up many accounts, packed",
    ),
    packed(
        Operation::LookupTransfers,
        "/v1/packed/lookup-transfers",
        Scope::LEDGER_READ,
        (IDS, "The transfers that exist, 128 bytes each, in the order of the request."),
        "Look up many transfers, packed",
    ),
    create(
        Operation::StartImport,
        "/v1/imports",
        Scope::IMPORTS_WRITE,
        Key::Unused,
        (shape::<ImportBody>(), shape::<Import>()),
        "Start the import of an existing book",
    ),
    get(Operation::ListImports, "/v1/imports", Scope::LEDGER_READ, page::<Import>(), "List all imports"),
    get(Operation::GetImport, "/v1/imports/{id}", Scope::LEDGER_READ, shape::<Import>(), "Look up an import"),
    Route {
        method: Method::Post,
        parameters: &[FIRST, ROWS],
        body: events("Up to 8,190 accounts or transfers of 128 bytes, with their original timestamps."),
        ..get(
            Operation::StageRows,
            "/v1/imports/{id}/rows",
            Scope::IMPORTS_WRITE,
            shape::<Import>(),
            "Add rows to an import; nobody sees them until it is opened, and rows that it already has are skipped",
        )
    },
    end(Operation::OpenImport, "/v1/imports/{id}/open", "Open an import: all its rows take effect at once"),
    end(Operation::DiscardImport, "/v1/imports/{id}/discard", "Discard an import: none of its rows takes effect"),
    packed(
        Operation::AccountTransfers,
        "/v1/packed/account-transfers",
        Scope::LEDGER_READ,
        (ACCOUNT_FILTER, "The account's transfers that match, 128 bytes each, in order."),
        "List the transfers of an account, packed",
    ),
    packed(
        Operation::AccountBalances,
        "/v1/packed/account-balances",
        Scope::LEDGER_READ,
        (ACCOUNT_FILTER, "The account's balances after each transfer that matches, 128 bytes each, in order."),
        "List the balances of an account after each of its transfers, packed",
    ),
    packed(
        Operation::QueryAccounts,
        "/v1/packed/query-accounts",
        Scope::LEDGER_READ,
        (QUERY_FILTER, "The accounts that match, 128 bytes each, in order."),
        "Find accounts by their fields, packed",
    ),
    packed(
        Operation::QueryTransfers,
        "/v1/packed/query-transfers",
        Scope::LEDGER_READ,
        (QUERY_FILTER, "The transfers that match, 128 bytes each, in order."),
        "Find transfers by their fields, packed",
    ),
    get(Operation::GetIndex, "/v1/index", Scope::LEDGER_READ, shape::<IndexStatus>(), "Get the progress of the index"),
    order(
        Operation::CreatePayment,
        "/v1/payments",
        Scope::PAYMENTS_WRITE,
        (shape::<PaymentBody>(), shape::<Payment>()),
        "Decide a payment and post, hold or refuse it",
    ),
    Route {
        parameters: &[],
        ..batch(
            Operation::CreatePaymentBatch,
            "/v1/payments/batch",
            Scope::PAYMENTS_WRITE,
            shape::<PaymentsBody>(),
            "Decide up to 1000 payments, each with its own result",
        )
    },
    list(
        Operation::ListPayments,
        "/v1/payments",
        Scope::PAYMENTS_READ,
        &[
            CURSOR,
            LIMIT,
            STATUS,
            TYPE,
            DECISION,
            REASON,
            TAG,
            LABEL,
            LEDGER,
            MIN_AMOUNT,
            MAX_AMOUNT,
            MIN_TIMESTAMP,
            MAX_TIMESTAMP,
            METADATA,
            REVERSED,
            ENTITY,
        ],
        page::<Payment>(),
        "List payments that meet all given conditions, in the order they were decided",
    ),
    list(
        Operation::GetEntity,
        "/v1/entities/{entity}/{key}",
        Scope::PAYMENTS_READ,
        &[LIMIT],
        shape::<Entity>(),
        "Show an entity of the active policy, such as a customer: its payments, their decisions and labels, and its features now",
    ),
    shown(Operation::GetPayment, "/v1/payments/{id}", Scope::PAYMENTS_READ, shape::<Payment>(), "Look up a payment"),
    get(
        Operation::GetDecision,
        "/v1/payments/{id}/decision",
        Scope::PAYMENTS_READ,
        shape::<Decision>(),
        "Explain a decision: reasons, features, models and versions",
    ),
    get(
        Operation::GetPersonalData,
        "/v1/payments/{id}/personal-data",
        Scope::PERSONAL_READ,
        shape::<PersonalData>(),
        "Decrypt the personal attributes and entity values of a payment; the journal records who read them",
    ),
    setting(
        Operation::SetPaymentMetadata,
        "/v1/payments/{id}/metadata",
        Scope::PAYMENTS_WRITE,
        (Body::Json(shape::<MetadataBody>()), shape::<Payment>()),
        "Set and remove metadata of a payment",
    ),
    verb(Verb::Approve, "/v1/payments/{id}/approve", Scope::REVIEWS_WRITE, "Approve a payment under review"),
    verb(Verb::Decline, "/v1/payments/{id}/decline", Scope::REVIEWS_WRITE, "Decline a payment under review"),
    verb(
        Verb::Capture,
        "/v1/payments/{id}/capture",
        Scope::PAYMENTS_WRITE,
        "Capture a payment: move what it holds, or a part of it",
    ),
    verb(
        Verb::Void,
        "/v1/payments/{id}/void",
        Scope::PAYMENTS_WRITE,
        "Void a payment that is held or under review, or a part of it",
    ),
    verb(
        Verb::Refund,
        "/v1/payments/{id}/refund",
        Scope::PAYMENTS_WRITE,
        "Refund what was captured of a posted payment, or a part of it",
    ),
    verb(
        Verb::Increment,
        "/v1/payments/{id}/increment",
        Scope::PAYMENTS_WRITE,
        "Raise what a payment holds, if the policy approves the raised amount",
    ),
    Route {
        parameters: &[],
        key: Key::Unused,
        ..batch(
            Operation::ChangePaymentBatch,
            "/v1/payments/verbs/batch",
            Scope::PAYMENTS_WRITE,
            shape::<VerbsBody>(),
            "Apply up to 1000 verbs to payments, each with its own result",
        )
    },
    Route {
        tag: Tag::Matched,
        ..create(
            Operation::RecordLabel,
            "/v1/labels",
            Scope::LABELS_WRITE,
            Key::Request,
            (shape::<LabelBody>(), shape::<Label>()),
            "Record what a payment turned out to be",
        )
    },
    Route {
        body: Body::Archive,
        ..create(
            Operation::ActivatePolicy,
            "/v1/policies",
            Scope::POLICIES_WRITE,
            Key::Request,
            (shape::<VerbBody>(), shape::<Policy>()),
            "Activate a policy, sent as a tar archive of its folder, which may be compressed with gzip",
        )
    },
    get(
        Operation::GetActivePolicy,
        "/v1/policies/active",
        Scope::POLICIES_READ,
        shape::<Policy>(),
        "Look up the active policy",
    ),
    of_api_keys::CREATE,
    of_api_keys::LIST,
    of_api_keys::GET,
    of_api_keys::REVOKE,
    of_tenants::CREATE_TENANT,
    of_tenants::LIST_TENANTS,
    of_tenants::GET_TENANT,
    of_tenants::SUSPEND_TENANT,
    of_tenants::RESUME_TENANT,
    of_tenants::REMOVE_TENANT,
    of_tenants::SET_TENANT_QUOTAS,
    of_audit::LIST,
    of_audit::LIST_OF_INSTALLATION,
    of_approvals::GET_RULES,
    of_approvals::SET_RULES,
    of_approvals::CREATE_PROPOSAL,
    of_approvals::LIST_PROPOSALS,
    of_approvals::GET_PROPOSAL,
    of_approvals::APPROVE,
    of_approvals::REJECT,
    of_approvals::WITHDRAW,
    of_identity::CREATE_CLIENT,
    of_identity::LIST_CLIENTS,
    of_identity::GET_CLIENT,
    of_identity::REVOKE_CLIENT,
    of_identity::ROTATE_CLIENT_SECRET,
    of_identity::PUT_ISSUER,
    of_identity::LIST_ISSUERS,
    of_identity::GET_ISSUER,
    of_identity::REMOVE_ISSUER,
    of_identity::PUT_ROLE,
    of_identity::LIST_ROLES,
    of_identity::REMOVE_ROLE,
    of_identity::ROTATE_SIGNING_KEYS,
    of_identity::WITHDRAW_SIGNING_KEY,
    of_identity::GET_ISSUER_METADATA,
    of_identity::GET_OPENID_CONFIGURATION,
    of_identity::GET_ISSUER_KEYS,
    of_identity::ISSUE_TOKEN,
    of_identity::INTROSPECT_TOKEN,
    of_identity::REVOKE_TOKEN,
    Route {
        answer: Answer::Events(shape::<EventPage>()),
        ..list(
            Operation::ListEvents,
            "/v1/events",
            Scope::EVENTS_READ,
            &[CURSOR, LIMIT],
            shape::<EventPage>(),
            "Read the journal's entries in order; with `Accept: text/event-stream`, as an endless stream",
        )
    },
    Route {
        method: Method::Post,
        body: Body::Empty(shape::<VerbBody>()),
        ..get(
            Operation::ConfirmClock,
            "/v1/clock/confirm",
            Scope::SERVER_OPERATE,
            shape::<ClockConfirmed>(),
            "Confirm that the machine's clock is right although it jumped ahead",
        )
    },
    of_proofs::PROVE_TRANSFER,
    of_proofs::PROVE_PAYMENT,
    of_proofs::PROVE_ENTRY,
    of_proofs::PROVE_CONSISTENCY,
    of_proofs::GET_CHECKPOINT,
    of_proofs::GET_PROOF_KEYS,
    of_proofs::GET_TILE,
    list(
        Operation::ListSegments,
        "/v1/journal/segments",
        Scope::JOURNAL_READ,
        &[SEGMENT, LIMIT, AFTER, WAIT_MS],
        shape::<Segments>(),
        "List the segments of the journal and its durable end, at once or when there are new entries",
    ),
    Route {
        answer: Answer::Bytes("The bytes of the file as they are on disk, up to the durable end; empty at that end."),
        ..list(
            Operation::ReadSegment,
            "/v1/journal/segments/{id}",
            Scope::JOURNAL_READ,
            &[OFFSET, BYTES],
            shape::<Segments>(),
            "Read the bytes of a segment, for a copy of the journal",
        )
    },
    open(Operation::Health, "/healthz", TEXT, "Check whether the process is alive"),
    open(Operation::Ready, "/readyz", TEXT, "Check whether the server accepts requests"),
    open(Operation::Metrics, "/metrics", Answer::Text(&METRICS_MEDIA_TYPES), "Get metrics for Prometheus"),
    open(Operation::OpenApi, "/openapi.json", Answer::Document, "Get this document"),
];
