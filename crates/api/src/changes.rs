//! Parses requests that change an account, transfer, payment or ledger without moving money.

use engine::{
    AccountName, CancelScheduled, ChooseIndexes, MetadataChanges, SetAccountMetadata, SetAddress, SetLimits,
    SetPaymentMetadata, SetTransferMetadata,
};
use ledger::{Address, IndexedFields, Limits, METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX, METADATA_VALUE_BYTES_MAX};
use types::{LedgerId, PaymentId, RequestId, TransferId};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::json::{Fields, Json, one_of, pointer_to, shorten};
use crate::problem::Problem;
use crate::requests::Parsed;

/// An address for an account.
#[derive(Debug, ToSchema)]
#[schema(as = NewAddress)]
pub struct AddressBody {
    /// 1 to 16 segments, separated by colons. Each segment has 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. The
    /// address must not be a hyphenated UUID or consist only of digits, because that is how ids are written.
    #[schema(example = "customers:c42:wallet")]
    pub address: String,
}

/// Limits on the balance of an account, in minor units. They replace earlier limits; one that is null or absent does
/// not limit the balance.
#[derive(Debug, ToSchema)]
#[schema(as = AccountLimits)]
pub struct LimitsBody {
    /// The minimum: posted credits minus all debits, pending ones included, stay at or above it. A negative minimum is
    /// an overdraft.
    #[schema(example = "-50000")]
    pub min_balance: Option<String>,
    /// The maximum: all credits, pending ones included, minus posted debits stay at or below it.
    #[schema(example = "100000")]
    pub max_balance: Option<String>,
}

/// Metadata to set and remove.
#[derive(Debug, ToSchema)]
#[schema(as = NewMetadata)]
pub struct MetadataBody {
    /// Any JSON value for each key; null removes the key. Numbers keep the digits that were sent. At most 64 keys of up to
    /// 64 bytes, each with a value of up to 1024 bytes. U+0000, and an object that has a field twice, are refused.
    #[schema(value_type = Object, example = json!({"tier": "gold", "old": null}))]
    pub metadata: (),
}

/// The fields by which transfers of a ledger can be found. They replace the earlier choice.
#[derive(Debug, ToSchema)]
#[schema(as = NewIndexes)]
pub struct IndexesBody {
    /// Any of `user_data_128`, `user_data_64`, `user_data_32`, `ledger`, `code`.
    #[schema(example = json!(["user_data_128", "code"]))]
    pub fields: Vec<String>,
}

/// Parses the body of `POST /v1/accounts/{id}/address`.
pub fn address(account: AccountName, body: &[u8]) -> Result<Parsed<SetAddress>, Problem> {
    let mut fields = Fields::of_body(body, &["address"])?;
    let address = fields.required("address", |fields, _| take_address(fields))?;
    Ok(unnamed(SetAddress { account, address }))
}

/// Parses the body of `POST /v1/accounts/{id}/limits`.
pub fn limits(account: AccountName, body: &[u8]) -> Result<Parsed<SetLimits>, Problem> {
    let limits = limits_of(Fields::of_body(body, LIMITS)?)?;
    Ok(unnamed(SetLimits { account, limits }))
}

/// Parses the body of `POST /v1/accounts/{id}/metadata`.
pub fn account_metadata(account: AccountName, body: &[u8]) -> Result<Parsed<SetAccountMetadata>, Problem> {
    Ok(unnamed(SetAccountMetadata { account, values: metadata_body(body)? }))
}

/// Parses the body of `POST /v1/transfers/{id}/metadata`.
pub fn transfer_metadata(transfer: TransferId, body: &[u8]) -> Result<Parsed<SetTransferMetadata>, Problem> {
    Ok(unnamed(SetTransferMetadata { transfer, values: metadata_body(body)? }))
}

/// Parses the body of `POST /v1/payments/{id}/metadata`.
pub fn payment_metadata(payment: PaymentId, body: &[u8]) -> Result<Parsed<SetPaymentMetadata>, Problem> {
    Ok(unnamed(SetPaymentMetadata { payment, values: metadata_body(body)? }))
}

/// Parses the body of `POST /v1/ledgers/{id}/indexes`.
pub fn indexes(ledger: LedgerId, body: &[u8]) -> Result<Parsed<ChooseIndexes>, Problem> {
    let mut fields = Fields::of_body(body, &["fields"])?;
    let names: Vec<&str> = IndexedFields::ALL.iter().map(|(name, _)| *name).collect();
    let expected = format!("expected an array of any of {}", names.join(", "));
    let list = fields.required("fields", |fields, name| match fields.take(name) {
        None => Ok(None),
        Some(Json::List(list)) => Ok(Some(list)),
        Some(other) => Err(fields.invalid(name, format!("found {}, {expected}", other.found()))),
    })?;
    let mut chosen = IndexedFields::NONE;
    for (place, item) in list.iter().enumerate() {
        let found = IndexedFields::ALL.iter().find(|(name, _)| item.as_text() == Some(name));
        let Some((_, field)) = found else {
            let found = item.as_text().map_or_else(|| item.found(), |text| format!("`{}`", shorten(text)));
            let detail = format!("found {found}, expected {}", one_of(&names));
            return Err(Problem::new(ErrorCode::InvalidField, detail).at(format!("/fields/{place}")));
        };
        chosen = chosen.with(*field);
    }
    Ok(unnamed(ChooseIndexes { ledger, fields: chosen }))
}

/// The operation that cancels a scheduled transfer.
pub fn cancel(transfer: TransferId) -> Parsed<CancelScheduled> {
    Parsed { request: RequestId::new(transfer.get()), operation: CancelScheduled(transfer) }
}

fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}

/// The field `address`. It must not be readable as an id, because a path could then mean either, and it must not look like
/// the decimal of one.
pub(crate) fn take_address(fields: &mut Fields) -> Result<Option<Address>, Problem> {
    let Some(address) = fields.parsed::<Address>("address", "a string with an address")? else { return Ok(None) };
    let text = address.as_str();
    if text.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(text.parse(), Ok(AccountName::Address(_))) {
        let detail = format!("found `{}`, which can be read as an id, expected an address", shorten(text));
        return Err(fields.invalid("address", detail));
    }
    Ok(Some(address))
}

const LIMITS: &[&str] = &["min_balance", "max_balance"];

/// The field `limits`; without it there are none.
pub(crate) fn take_limits(fields: &mut Fields) -> Result<Limits, Problem> {
    match fields.take("limits") {
        None => Ok(Limits::NONE),
        Some(value) => limits_of(Fields::of(value, fields.pointer_of("limits"))?.among(LIMITS)?),
    }
}

/// The fields of limits, once all others were taken.
pub(crate) fn limits_of(mut fields: Fields) -> Result<Limits, Problem> {
    Ok(Limits { min_balance: bound(&mut fields, "min_balance")?, max_balance: bound(&mut fields, "max_balance")? })
}

fn bound(fields: &mut Fields, name: &str) -> Result<Option<i128>, Problem> {
    const EXPECTED: &str = "a string with a whole number of minor units, such as \"-50000\"";
    let Some(text) = fields.text(name, EXPECTED, 64)? else { return Ok(None) };
    let plain = !text.starts_with('+');
    text.parse()
        .ok()
        .filter(|_| plain)
        .map(Some)
        .ok_or_else(|| fields.invalid(name, format!("found `{}`, expected {EXPECTED}", shorten(&text))))
}

fn metadata_body(body: &[u8]) -> Result<MetadataChanges, Problem> {
    let mut fields = Fields::of_body(body, &["metadata"])?;
    fields.required("metadata", |fields, _| take_metadata(fields))
}

/// The field `metadata`: canonical JSON texts by key, `None` for null.
pub(crate) fn take_metadata(fields: &mut Fields) -> Result<Option<MetadataChanges>, Problem> {
    let Some(value) = fields.take("metadata") else { return Ok(None) };
    let values = Fields::of(value, fields.pointer_of("metadata"))?;
    let pointer = fields.pointer_of("metadata");
    let mut changes = Vec::new();
    for (key, value) in values.rest() {
        let at = pointer_to(&pointer, &key);
        let complain = |detail: String| Err(Problem::new(ErrorCode::InvalidField, detail).at(at.clone()));
        if key.is_empty() || key.len() > METADATA_KEY_BYTES_MAX {
            return complain(format!("found a key of {} bytes, expected 1 to {METADATA_KEY_BYTES_MAX}", key.len()));
        }
        if key.contains('\0') {
            return complain("found a key with the character U+0000, which cannot be kept".to_owned());
        }
        let text = if value == Json::Null { None } else { Some(value.canonical(&at)?) };
        if let Some(bytes) = text.as_ref().map(String::len).filter(|bytes| *bytes > METADATA_VALUE_BYTES_MAX) {
            let expected = METADATA_VALUE_BYTES_MAX;
            return complain(format!("found a value of {bytes} bytes as JSON, expected at most {expected}"));
        }
        changes.push((key, text));
    }
    if changes.len() > METADATA_KEYS_MAX {
        let detail = format!("found {} keys, expected at most {METADATA_KEYS_MAX}", changes.len());
        return Err(fields.invalid("metadata", detail));
    }
    changes.sort();
    Ok(Some(changes))
}
