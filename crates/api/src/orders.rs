//! Parses orders, which are requests that open accounts or make transfers, one or many at a time.

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

/// An account to open. The client gives `id` here, or sends the header `Idempotency-Key`, from which the server derives
/// the id.
#[derive(Debug, ToSchema)]
#[schema(as = NewAccount)]
pub struct AccountBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The number of the account's ledger.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: u32,
    /// The client's classification; not 0.
    #[schema(minimum = 1, example = 10)]
    pub code: u16,
    /// What the account may do: `debits_must_not_exceed_credits`, `credits_must_not_exceed_debits`, `history`,
    /// `policy_only` or `closed`. `imported` requires `timestamp`. In a batch, `linked` ties the account to the next
    /// one: both are opened, or neither.
    #[schema(example = json!(["debits_must_not_exceed_credits"]))]
    pub flags: Option<Vec<String>>,
    /// For the client's own use: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// For the client's own use: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// For the client's own use.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
    /// The original time. Only for an account that is `imported`.
    #[schema(format = "date-time")]
    pub timestamp: Option<String>,
    /// A readable name, which can be used wherever the id can. It never changes.
    #[schema(example = "customers:c42:wallet")]
    pub address: Option<String>,
    /// Limits on the balance.
    pub limits: Option<LimitsBody>,
    /// Any JSON value for each key. Numbers keep the digits that were sent. At most 64 keys of up to 64 bytes, each with a
    /// value of up to 1024 bytes. U+0000, and an object that has a field twice, are refused.
    #[schema(value_type = Option<Object>)]
    pub metadata: (),
}

/// A transfer to make. The client gives `id` here, or sends the header `Idempotency-Key`, from which the server derives
/// the id. A transfer that posts or voids a pending one names it in `pending_id`, and inherits what it leaves out:
/// accounts, ledger, asset and code. One that voids may leave out the amount too.
#[derive(Debug, ToSchema)]
#[schema(as = NewTransfer)]
pub struct TransferBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The account that the amount leaves: its id or its address.
    pub debit_account: Option<String>,
    /// The account that the amount reaches: its id or its address.
    pub credit_account: Option<String>,
    /// The amount in minor units, or `max`: everything that is pending if this transfer posts, and everything that is
    /// available if it is a balancing transfer.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// The asset of the amount. It must be the asset of the ledger.
    #[schema(example = "EUR/2")]
    pub asset: Option<String>,
    /// The number of the ledger of both accounts. Without it, the ledger of the debit account applies.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: Option<u32>,
    /// The client's classification; not 0.
    #[schema(minimum = 1, example = 1)]
    pub code: Option<u16>,
    /// What the transfer does: `pending`, `post_pending_transfer`, `void_pending_transfer`, `balancing_debit`,
    /// `balancing_credit`, `closing_debit` or `closing_credit`. `imported` requires `timestamp`. In a batch, `linked`
    /// ties the transfer to the next one: both are made, or neither.
    #[schema(example = json!(["pending"]))]
    pub flags: Option<Vec<String>>,
    /// The pending transfer to post or void.
    pub pending_id: Option<String>,
    /// The seconds after which a pending transfer expires. Without it, the transfer never expires.
    #[schema(format = Int64, minimum = 1)]
    pub timeout_s: Option<u32>,
    /// For the client's own use: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// For the client's own use: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// For the client's own use.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
    /// The original time. Only for a transfer that is `imported`.
    #[schema(format = "date-time")]
    pub timestamp: Option<String>,
    /// Any JSON value for each key. Numbers keep the digits that were sent. At most 64 keys of up to 64 bytes, each with a
    /// value of up to 1024 bytes. U+0000, and an object that has a field twice, are refused.
    #[schema(value_type = Option<Object>)]
    pub metadata: (),
    /// When to make the transfer, if not now. It is then posted or refused; until then it can be cancelled.
    #[schema(format = "date-time")]
    pub scheduled_at: Option<String>,
}

/// Accounts to open, with the same results as if they were sent one after another. If the request has the header
/// `Idempotency-Key`, no account has an `id`; the server derives each id from the key and the account's position. The key
/// belongs to the whole batch: with more, fewer or other accounts it is refused.
#[derive(Debug, ToSchema)]
#[schema(as = NewAccounts)]
pub struct AccountsBody {
    /// 1 to 1000 accounts.
    pub accounts: Vec<AccountBody>,
}

/// Transfers to make, with the same results as if they were sent one after another. If the request has the header
/// `Idempotency-Key`, no transfer has an `id`; the server derives each id from the key and the transfer's position. The key
/// belongs to the whole batch: with more, fewer or other transfers it is refused.
#[derive(Debug, ToSchema)]
#[schema(as = NewTransfers)]
pub struct TransfersBody {
    /// 1 to 1000 transfers.
    pub transfers: Vec<TransferBody>,
    /// If true, all transfers are made or none is: each transfer but the last is `linked`.
    pub atomic: Option<bool>,
}

pub(crate) const ACCOUNT_NAME: &str = "a string with the id or the address of an account";

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

/// Parses the body of `POST /v1/accounts`.
pub fn account(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<OpenAccount>, Problem> {
    let mut fields = Fields::of_body(body, ACCOUNT)?;
    let id: AccountId = source.id("/v1/accounts", &mut fields)?;
    let order = account_order(id, &mut fields)?;
    Ok(Parsed { request: RequestId::new(id.get()), operation: OpenAccount(Box::new(order)) })
}

/// Parses the body of `POST /v1/transfers`.
pub fn transfer(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<CreateTransfer>, Problem> {
    let mut fields = Fields::of_body(body, TRANSFER)?;
    let id: TransferId = source.id("/v1/transfers", &mut fields)?;
    let order = transfer_order(id, &mut fields)?;
    Ok(Parsed { request: RequestId::new(id.get()), operation: CreateTransfer(Box::new(order)) })
}

/// Parses a transfer that is to be made when another principal approves it. Without an id of its own, it gets `id`.
pub(crate) fn proposed(fields: Fields, id: TransferId) -> Result<TransferOrder, Problem> {
    /// It is made when it is approved, so it has no time of its own; metadata is set afterwards.
    const ELSEWHERE: &[&str] = &["timestamp", "metadata", "scheduled_at"];
    let known: Vec<&str> = TRANSFER.iter().copied().filter(|name| !ELSEWHERE.contains(name)).collect();
    let mut fields = fields.among(&known)?;
    let id = fields.parsed("id", ID)?.unwrap_or(id);
    let order = transfer_order(id, &mut fields)?;
    if order.new.flags.intersects(TransferFlags::LINKED | TransferFlags::IMPORTED) {
        return Err(fields.invalid("flags", "a proposed transfer is neither `linked` nor `imported`"));
    }
    Ok(order)
}

/// Parses the body of `POST /v1/accounts/batch`.
pub fn accounts(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<OpenAccountBatch>, Problem> {
    let mut batch = Fields::of_body(body, &["accounts"])?;
    let orders = each(&mut batch, "accounts", ACCOUNT, |place, fields| {
        account_order(source.nth_id("/v1/accounts/batch", place, fields)?, fields)
    })?;
    Ok(Parsed { request: RequestId::default(), operation: OpenAccountBatch(orders) })
}

/// Parses the body of `POST /v1/transfers/batch`.
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

/// Parses the orders of a batch; `known` are the fields that each may have.
fn each<T>(
    batch: &mut Fields,
    name: &str,
    known: &[&str],
    read: impl Fn(usize, &mut Fields) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let list = batch.list(name, ORDERS_MAX)?;
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
        let detail = "a transfer with `scheduled_at` cannot have metadata; set it after the transfer was made";
        return Err(fields.invalid("metadata", detail));
    }
    Ok(TransferOrder { new, debit, credit, asset, metadata, scheduled_at })
}

/// An id; or 0, and the address by which to find the account.
fn named(name: Option<AccountName>) -> (AccountId, Option<Address>) {
    match name {
        None => (AccountId::default(), None),
        Some(AccountName::Id(id)) => (id, None),
        Some(AccountName::Address(address)) => (AccountId::default(), Some(address)),
    }
}

/// The original time of what is imported; 0 if it is not given.
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
    let detail = "`max` requires the flag post_pending_transfer, balancing_debit or balancing_credit";
    Err(fields.invalid("amount", detail))
}

fn code(fields: &mut Fields, name: &str) -> Result<Option<Code>, Problem> {
    let number = fields.number(name, 1, u32::from(u16::MAX))?;
    Ok(number.and_then(|number| u16::try_from(number).ok()).map(Code::new))
}

/// Reads the field `flags`, a list of names without duplicates.
fn flags<F: Copy + PartialEq>(fields: &mut Fields, known: &[(&str, F)]) -> Result<Vec<F>, Problem> {
    let expected = || {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        one_of(&names)
    };
    let list = match fields.take("flags") {
        None => return Ok(Vec::new()),
        Some(Json::List(list)) => list,
        Some(other) => return Err(fields.invalid("flags", format!("found {}, expected an array", other.found()))),
    };
    let mut found: Vec<F> = Vec::new();
    for (position, item) in list.iter().enumerate() {
        let complain = |detail| {
            Problem::new(ErrorCode::InvalidField, detail).at(format!("{}/{position}", fields.pointer_of("flags")))
        };
        let Json::Text(text) = item else {
            return Err(complain(format!("found {}, expected {}", item.found(), expected())));
        };
        match known.iter().find(|(name, _)| name == text) {
            None => return Err(complain(format!("found `{}`, expected {}", shorten(text), expected()))),
            Some((_, flag)) if found.contains(flag) => return Err(complain(format!("`{text}` is given twice"))),
            Some((_, flag)) => found.push(*flag),
        }
    }
    Ok(found)
}
