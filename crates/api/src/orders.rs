//! Orders: bodies that open accounts and make transfers, one or many, read into what the engine takes.

use engine::{
    AccountName, AccountOrder, CreateTransfer, CreateTransferBatch, ORDERS_MAX, OpenAccount, OpenAccountBatch,
    TransferOrder,
};
use ledger::{AccountFlags, Address, NewAccount, NewTransfer, TransferFlags, TransferKey};
use types::{AccountId, Amount, Code, LedgerId, RequestId, Timestamp, TransferId};
use utoipa::ToSchema;

use crate::changes::{LimitsBody, take_address, take_limits, take_metadata};
use crate::errors::ErrorCode;
use crate::identity::IdSource;
use crate::json::{Fields, Json, one_of, shorten};
use crate::problem::Problem;
use crate::requests::{AMOUNT, ASSET, ID, Parsed};
use crate::user_data;

/// An account to open. `id` is given here, or derived from the header `Idempotency-Key`.
#[derive(Debug, ToSchema)]
#[schema(as = NewAccount)]
pub struct AccountBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The ledger it stands in.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: u32,
    /// The client's classification, not 0.
    #[schema(minimum = 1, example = 10)]
    pub code: u16,
    /// What it is allowed to do: `debits_must_not_exceed_credits`, `credits_must_not_exceed_debits`, `history`,
    /// `policy_only`, `closed`; `imported` with its `timestamp`; in a batch `linked` to the next.
    #[schema(example = json!(["debits_must_not_exceed_credits"]))]
    pub flags: Option<Vec<String>>,
    /// Free for the client: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// Free for the client: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// Free for the client.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
    /// The original time, of what is `imported`.
    #[schema(format = "date-time")]
    pub timestamp: Option<String>,
    /// A readable name that can stand wherever the id can; it never changes.
    #[schema(example = "customers:c42:wallet")]
    pub address: Option<String>,
    /// Bounds on its balance.
    pub limits: Option<LimitsBody>,
    /// Any JSON by key: at most 64 keys of 64 bytes, each with a value of 1024 bytes.
    #[schema(value_type = Option<Object>)]
    pub metadata: (),
}

/// A transfer to make. `id` is given here, or derived from the header `Idempotency-Key`. A transfer that posts or voids
/// a pending one names it in `pending_id`, and may leave out what it inherits: accounts, ledger, asset, code; one that
/// voids may leave out the amount too.
#[derive(Debug, ToSchema)]
#[schema(as = NewTransfer)]
pub struct TransferBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The account the amount leaves: its id or its address.
    pub debit_account: Option<String>,
    /// The account the amount reaches: its id or its address.
    pub credit_account: Option<String>,
    /// Minor units; `max` in a post means all that is pending, in a balancing transfer all that there is.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// What the amount counts; it must be the ledger's.
    #[schema(example = "EUR/2")]
    pub asset: Option<String>,
    /// The ledger of both accounts; the debit account's when it is not given.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: Option<u32>,
    /// The client's classification, not 0.
    #[schema(minimum = 1, example = 1)]
    pub code: Option<u16>,
    /// What it does: `pending`, `post_pending_transfer`, `void_pending_transfer`, `balancing_debit`,
    /// `balancing_credit`, `closing_debit`, `closing_credit`; `imported` with its `timestamp`; in a batch `linked` to the
    /// next.
    #[schema(example = json!(["pending"]))]
    pub flags: Option<Vec<String>>,
    /// The pending transfer to post or void.
    pub pending_id: Option<String>,
    /// A pending transfer expires after so many seconds; never when it is not given.
    #[schema(format = Int64, minimum = 1)]
    pub timeout_s: Option<u32>,
    /// Free for the client: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// Free for the client: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// Free for the client.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
    /// The original time, of what is `imported`.
    #[schema(format = "date-time")]
    pub timestamp: Option<String>,
    /// Any JSON by key: at most 64 keys of 64 bytes, each with a value of 1024 bytes.
    #[schema(value_type = Option<Object>)]
    pub metadata: (),
    /// When it is made, if not now: then it is posted or refused. Until then it can be cancelled.
    #[schema(format = "date-time")]
    pub scheduled_at: Option<String>,
}

/// Accounts to open, each as if it came alone. With the header `Idempotency-Key` none has an `id`: each gets its own,
/// derived from the key and its place.
#[derive(Debug, ToSchema)]
#[schema(as = NewAccounts)]
pub struct AccountsBody {
    /// 1 to 1000 accounts.
    pub accounts: Vec<AccountBody>,
}

/// Transfers to make, each as if it came alone. With the header `Idempotency-Key` none has an `id`: each gets its own,
/// derived from the key and its place.
#[derive(Debug, ToSchema)]
#[schema(as = NewTransfers)]
pub struct TransfersBody {
    /// 1 to 1000 transfers.
    pub transfers: Vec<TransferBody>,
    /// True: all of them are made, or none is; each but the last is `linked`.
    pub atomic: Option<bool>,
}

const ACCOUNT_NAME: &str = "a string with the id or the address of an account";

/// The fields of an account.
const ACCOUNT: &[&str] = &[
    "id",
    "ledger",
    "code",
    "flags",
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "timestamp",
    "address",
    "limits",
    "metadata",
];

/// The fields of a transfer.
const TRANSFER: &[&str] = &[
    "id",
    "debit_account",
    "credit_account",
    "amount",
    "asset",
    "ledger",
    "code",
    "flags",
    "pending_id",
    "timeout_s",
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "timestamp",
    "metadata",
    "scheduled_at",
];

/// Reads `POST /v1/accounts`.
pub fn account(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<OpenAccount>, Problem> {
    let mut fields = Fields::of_body(body, ACCOUNT)?;
    let id: AccountId = source.id("/v1/accounts", &mut fields)?;
    let order = account_order(id, &mut fields)?;
    Ok(Parsed { request: RequestId::new(id.get()), operation: OpenAccount(Box::new(order)) })
}

/// Reads `POST /v1/transfers`.
pub fn transfer(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<CreateTransfer>, Problem> {
    let mut fields = Fields::of_body(body, TRANSFER)?;
    let id: TransferId = source.id("/v1/transfers", &mut fields)?;
    let order = transfer_order(id, &mut fields)?;
    Ok(Parsed { request: RequestId::new(id.get()), operation: CreateTransfer(Box::new(order)) })
}

/// Reads `POST /v1/accounts/batch`.
pub fn accounts(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<OpenAccountBatch>, Problem> {
    let mut batch = Fields::of_body(body, &["accounts"])?;
    let orders = each(&mut batch, "accounts", ACCOUNT, |place, fields| {
        account_order(source.nth_id("/v1/accounts/batch", place, fields)?, fields)
    })?;
    Ok(Parsed { request: RequestId::default(), operation: OpenAccountBatch(orders) })
}

/// Reads `POST /v1/transfers/batch`.
pub fn transfers(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<CreateTransferBatch>, Problem> {
    let mut batch = Fields::of_body(body, &["transfers", "atomic"])?;
    let is_atomic = batch.flag("atomic")?;
    let mut orders = each(&mut batch, "transfers", TRANSFER, |place, fields| {
        transfer_order(source.nth_id("/v1/transfers/batch", place, fields)?, fields)
    })?;
    if is_atomic && let [linked @ .., _] = orders.as_mut_slice() {
        linked.iter_mut().for_each(|order| order.new.flags = order.new.flags | TransferFlags::LINKED);
    }
    Ok(Parsed { request: RequestId::default(), operation: CreateTransferBatch(orders) })
}

/// Reads the orders of a batch, given the fields that each may have.
fn each<T>(
    batch: &mut Fields,
    name: &str,
    known: &[&str],
    read: impl Fn(usize, &mut Fields) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let expected = format!("expected an array of 1 to {ORDERS_MAX} {name}");
    let list = batch.required(name, |fields, name| match fields.take(name) {
        None => Ok(None),
        Some(Json::List(list)) => Ok(Some(list)),
        Some(other) => Err(fields.invalid(name, format!("found {}, {expected}", other.kind()))),
    })?;
    if !(1..=ORDERS_MAX).contains(&list.len()) {
        return Err(batch.invalid(name, format!("found {} of them, {expected}", list.len())));
    }
    let pointer = batch.pointer_of(name);
    let order = |(place, value)| read(place, &mut Fields::of(value, format!("{pointer}/{place}"))?.among(known)?);
    list.into_iter().enumerate().map(order).collect()
}

fn account_order(id: AccountId, fields: &mut Fields) -> Result<AccountOrder, Problem> {
    let flags = flags(fields, AccountFlags::ALL)?;
    let new = NewAccount {
        id,
        ledger: LedgerId::new(fields.required("ledger", |fields, name| fields.number(name, 1, u32::MAX))?),
        code: fields.required("code", code)?,
        user_data_128: user_data::wide(fields)?,
        user_data_64: user_data::long(fields)?,
        user_data_32: fields.number("user_data_32", 0, u32::MAX)?.unwrap_or_default(),
        flags: flags.into_iter().fold(AccountFlags::NONE, AccountFlags::with),
        timestamp_ns: timestamp_ns(fields)?,
        ..NewAccount::default()
    };
    Ok(AccountOrder {
        new,
        address: take_address(fields)?,
        limits: take_limits(fields)?,
        metadata: take_metadata(fields)?.unwrap_or_default(),
    })
}

fn transfer_order(id: TransferId, fields: &mut Fields) -> Result<TransferOrder, Problem> {
    let flags = flags(fields, TransferFlags::ALL)?.into_iter().fold(TransferFlags::NONE, TransferFlags::with);
    let voids = flags.contains(TransferFlags::VOID_PENDING_TRANSFER);
    let resolves = voids || flags.contains(TransferFlags::POST_PENDING_TRANSFER);
    let amount = transfer_amount(fields, flags)?;
    let asset = fields.parsed("asset", ASSET)?;
    let debit: Option<AccountName> = fields.parsed("debit_account", ACCOUNT_NAME)?;
    let credit: Option<AccountName> = fields.parsed("credit_account", ACCOUNT_NAME)?;
    let code = code(fields, "code")?;
    let needed = [
        ("amount", amount.is_none() && !voids),
        ("asset", asset.is_none() && !resolves),
        ("debit_account", debit.is_none() && !resolves),
        ("credit_account", credit.is_none() && !resolves),
        ("code", code.is_none() && !resolves),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, missing)| *missing) {
        return fields.required(name, |_, _| Ok(None));
    }
    let ((debit_id, debit), (credit_id, credit)) = (named(debit), named(credit));
    let new = NewTransfer {
        debit: debit_id,
        credit: credit_id,
        amount: amount.unwrap_or_default(),
        pending: fields.parsed("pending_id", ID)?.map(TransferKey::Client),
        user_data_128: user_data::wide(fields)?,
        user_data_64: user_data::long(fields)?,
        user_data_32: fields.number("user_data_32", 0, u32::MAX)?.unwrap_or_default(),
        timeout_s: fields.number("timeout_s", 1, u32::MAX)?.unwrap_or_default(),
        ledger: fields.number("ledger", 1, u32::MAX)?.map(LedgerId::new).unwrap_or_default(),
        code: code.unwrap_or_default(),
        flags,
        timestamp_ns: timestamp_ns(fields)?,
        ..NewTransfer::named(TransferKey::Client(id))
    };
    let scheduled_at: Option<Timestamp> = fields.parsed("scheduled_at", "a string with an RFC 3339 time")?;
    let metadata = take_metadata(fields)?.unwrap_or_default();
    if scheduled_at.is_some() && !metadata.is_empty() {
        let detail = "a transfer gets metadata when it is made or later, so one with `scheduled_at` has none yet";
        return Err(fields.invalid("metadata", detail));
    }
    Ok(TransferOrder { new, debit, credit, asset, metadata, scheduled_at })
}

/// An id, or 0 and the address to find it by.
fn named(name: Option<AccountName>) -> (AccountId, Option<Address>) {
    match name {
        None => (AccountId::default(), None),
        Some(AccountName::Id(id)) => (id, None),
        Some(AccountName::Address(address)) => (AccountId::default(), Some(address)),
    }
}

/// The original time of what is imported; 0 when it is not given.
fn timestamp_ns(fields: &mut Fields) -> Result<u64, Problem> {
    let timestamp: Option<Timestamp> = fields.parsed("timestamp", "a string with an RFC 3339 time")?;
    Ok(timestamp.map_or(0, Timestamp::ns))
}

fn transfer_amount(fields: &mut Fields, flags: TransferFlags) -> Result<Option<Amount>, Problem> {
    let Some(text) = fields.text("amount", AMOUNT, 64)? else { return Ok(None) };
    if text != "max" {
        return text
            .parse()
            .map(Some)
            .map_err(|error: types::AmountParseError| fields.invalid("amount", error.to_string()));
    }
    let open_ended =
        TransferFlags::POST_PENDING_TRANSFER | TransferFlags::BALANCING_DEBIT | TransferFlags::BALANCING_CREDIT;
    if flags.intersects(open_ended) {
        return Ok(Some(Amount::MAX));
    }
    let detail = "`max` is for transfers with the flag post_pending_transfer, balancing_debit or balancing_credit";
    Err(fields.invalid("amount", detail))
}

fn code(fields: &mut Fields, name: &str) -> Result<Option<Code>, Problem> {
    let number = fields.number(name, 1, u32::from(u16::MAX))?;
    Ok(number.and_then(|number| u16::try_from(number).ok()).map(Code::new))
}

/// The flags of a list of names, each given once.
fn flags<F: Copy + PartialEq>(fields: &mut Fields, known: &[(&str, F)]) -> Result<Vec<F>, Problem> {
    let expected = || {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        one_of(&names)
    };
    let list = match fields.take("flags") {
        None => return Ok(Vec::new()),
        Some(Json::List(list)) => list,
        Some(other) => return Err(fields.invalid("flags", format!("found {}, expected an array", other.kind()))),
    };
    let mut found: Vec<F> = Vec::new();
    for (position, item) in list.iter().enumerate() {
        let complain = |detail| {
            Problem::new(ErrorCode::InvalidField, detail).at(format!("{}/{position}", fields.pointer_of("flags")))
        };
        let Json::Text(text) = item else {
            return Err(complain(format!("found {}, expected {}", item.kind(), expected())));
        };
        match known.iter().find(|(name, _)| name == text) {
            None => return Err(complain(format!("found `{}`, expected {}", shorten(text), expected()))),
            Some((_, flag)) if found.contains(flag) => return Err(complain(format!("`{text}` is given twice"))),
            Some((_, flag)) => found.push(*flag),
        }
    }
    Ok(found)
}
