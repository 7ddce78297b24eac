//! The packed interface, for clients that need maximum throughput: batches of little-endian records of fixed size.
//!
//! The body of a request or an answer is a sequence of records and nothing else; the n-th result belongs to the n-th
//! event. The modules `record` and `filter` define the layouts, in the field order of the reference ledger
//! (TigerBeetle), and are the reference encoder. `docs/packed.md` documents the layouts as tables, and
//! `examples/packed.py` implements them in Python.

mod filter;
mod record;

use engine::{EventResult, EventStatus};
use ledger::{Account, AccountStatus, NewAccount, NewTransfer, TransferStatus};
use types::{AccountId, TransferId};

use crate::{ErrorCode, Problem};

pub use filter::{AccountFilter, QueryFilter};
pub use record::{AccountRecord, BalanceRecord, Balances, ResultRecord, TransferRecord};

/// The media type of request bodies and answers.
pub const MEDIA_TYPE: &str = "application/vnd.finaira.packed";
/// The most events of a batch, ids of a lookup, and records of an answer.
pub const EVENTS_MAX: usize = engine::EVENTS_MAX;
/// The size of an account or a transfer.
pub const EVENT_BYTES: usize = 128;
/// The size of an id in a lookup.
pub const ID_BYTES: usize = 16;
/// The size of a result with balances.
pub const RESULT_WITH_BALANCES_BYTES: usize = ResultRecord::BYTES + 2 * Balances::BYTES;

const _: () = assert!(EVENT_BYTES == AccountRecord::BYTES && EVENT_BYTES == TransferRecord::BYTES);

/// Decodes transfers to create, at most [`EVENTS_MAX`].
///
/// # Errors
/// If the body is not a whole number of records, or has too many.
pub fn transfers(body: &[u8]) -> Result<Vec<NewTransfer>, Problem> {
    Ok(records(body)?.iter().map(|record| TransferRecord::decode(record).to_new()).collect())
}

/// Decodes accounts to open, at most [`EVENTS_MAX`].
///
/// # Errors
/// Like [`transfers`].
pub fn accounts(body: &[u8]) -> Result<Vec<NewAccount>, Problem> {
    Ok(records(body)?.iter().map(|record| AccountRecord::decode(record).to_new()).collect())
}

/// Decodes the ids of accounts to look up, at most [`EVENTS_MAX`].
///
/// # Errors
/// Like [`transfers`].
pub fn account_ids(body: &[u8]) -> Result<Vec<AccountId>, Problem> {
    Ok(records(body)?.iter().map(|id| AccountId::new(u128::from_le_bytes(*id))).collect())
}

/// Decodes the ids of transfers to look up, at most [`EVENTS_MAX`].
///
/// # Errors
/// Like [`transfers`].
pub fn transfer_ids(body: &[u8]) -> Result<Vec<TransferId>, Problem> {
    Ok(records(body)?.iter().map(|id| TransferId::new(u128::from_le_bytes(*id))).collect())
}

/// Decodes one filter of an account's transfers or balances.
///
/// # Errors
/// If the body is not exactly one filter.
pub fn account_filter(body: &[u8]) -> Result<AccountFilter, Problem> {
    one(body).map(AccountFilter::decode)
}

/// Decodes one filter of accounts or transfers.
///
/// # Errors
/// If the body is not exactly one filter.
pub fn query_filter(body: &[u8]) -> Result<QueryFilter, Problem> {
    one(body).map(QueryFilter::decode)
}

/// Concatenates the records of an answer.
pub fn answer<const N: usize>(records: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len().saturating_mul(N));
    for record in records {
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// Encodes the results of accounts.
pub fn account_results(results: &[EventResult<AccountStatus>]) -> Vec<u8> {
    answer(results.iter().map(|result| result_record(result, ResultRecord::ACCOUNT_EXISTS, AccountStatus::number)))
}

/// Encodes the results of transfers. `balances` is empty, or has for each result the debit and the credit account after
/// it, or none.
pub fn transfer_results(results: &[EventResult<TransferStatus>], balances: &[Option<[Account; 2]>]) -> Vec<u8> {
    let record = |result| result_record(result, ResultRecord::TRANSFER_EXISTS, TransferStatus::number);
    if balances.is_empty() {
        return answer(results.iter().map(record));
    }
    assert_eq!(balances.len(), results.len(), "API-3: every result has its balances");
    let mut bytes = Vec::with_capacity(results.len().saturating_mul(RESULT_WITH_BALANCES_BYTES));
    for (result, accounts) in results.iter().zip(balances) {
        bytes.extend_from_slice(&record(result));
        match accounts {
            Some(accounts) => accounts.iter().for_each(|account| bytes.extend(Balances::from(account).encode())),
            None => bytes.extend([0; 2 * Balances::BYTES]),
        }
    }
    bytes
}

fn result_record<S: Copy>(result: &EventResult<S>, exists: u32, number: fn(S) -> u16) -> [u8; ResultRecord::BYTES] {
    let status = match &result.status {
        EventStatus::Created => ResultRecord::CREATED,
        EventStatus::Exists => exists,
        EventStatus::Refused(refusal) => number(refusal.status).into(),
    };
    ResultRecord { timestamp: result.timestamp.ns(), status, reserved: 0 }.encode()
}

/// Cuts a body into records, at most [`EVENTS_MAX`].
fn records<const N: usize>(body: &[u8]) -> Result<&[[u8; N]], Problem> {
    let (records, rest) = body.as_chunks();
    if !rest.is_empty() {
        let detail = format!("found {} bytes, expected a multiple of {N}", body.len());
        return Err(Problem::new(ErrorCode::InvalidBatchLength, detail));
    }
    if records.len() > EVENTS_MAX {
        let detail = format!("found {} records of {N} bytes, expected at most {EVENTS_MAX}", records.len());
        return Err(Problem::new(ErrorCode::TooManyEvents, detail));
    }
    Ok(records)
}

fn one<const N: usize>(body: &[u8]) -> Result<&[u8; N], Problem> {
    body.try_into().map_err(|_other_length| {
        let detail = format!("found {} bytes, expected one filter of {N}", body.len());
        Problem::new(ErrorCode::InvalidBatchLength, detail)
    })
}
