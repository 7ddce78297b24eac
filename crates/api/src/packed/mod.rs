//! The packed interface: batches of little-endian records of fixed size, for those who need the last factor.
//!
//! A body is nothing but records one after the other, and so is an answer: the n-th result belongs to the n-th event.
//! [`record`] and [`filter`] say what stands where, in the field order of the reference ledger (TigerBeetle), and are
//! the reference encoder; `docs/packed.md` says the same as a table, `examples/packed.py` in Python.

mod filter;
mod record;

use ledger::{NewAccount, NewTransfer};
use types::{AccountId, TransferId};

use crate::{ErrorCode, Problem};

pub use filter::{AccountFilter, QueryFilter};
pub use record::{AccountRecord, BalanceRecord, Balances, ResultRecord, TransferRecord};

/// The media type of bodies and answers.
pub const MEDIA_TYPE: &str = "application/vnd.finaira.packed";
/// Events of a batch, ids of a lookup and records of an answer at most.
pub const EVENTS_MAX: usize = 8_190;
/// Bytes of an account or a transfer.
pub const EVENT_BYTES: usize = 128;
/// Bytes of an id in a lookup.
pub const ID_BYTES: usize = 16;
/// Bytes of a result that brings balances.
pub const RESULT_WITH_BALANCES_BYTES: usize = ResultRecord::BYTES + 2 * Balances::BYTES;

const _: () = assert!(EVENT_BYTES == AccountRecord::BYTES && EVENT_BYTES == TransferRecord::BYTES);

/// Transfers to create: any number of records up to [`EVENTS_MAX`].
///
/// # Errors
/// When the length is not that of so many records.
pub fn transfers(body: &[u8]) -> Result<Vec<NewTransfer>, Problem> {
    Ok(records(body)?.iter().map(|record| TransferRecord::decode(record).to_new()).collect())
}

/// Accounts to open: any number of records up to [`EVENTS_MAX`].
///
/// # Errors
/// As [`transfers`].
pub fn accounts(body: &[u8]) -> Result<Vec<NewAccount>, Problem> {
    Ok(records(body)?.iter().map(|record| AccountRecord::decode(record).to_new()).collect())
}

/// Accounts to look up: any number of ids up to [`EVENTS_MAX`].
///
/// # Errors
/// As [`transfers`].
pub fn account_ids(body: &[u8]) -> Result<Vec<AccountId>, Problem> {
    Ok(records(body)?.iter().map(|id| AccountId::new(u128::from_le_bytes(*id))).collect())
}

/// Transfers to look up: any number of ids up to [`EVENTS_MAX`].
///
/// # Errors
/// As [`transfers`].
pub fn transfer_ids(body: &[u8]) -> Result<Vec<TransferId>, Problem> {
    Ok(records(body)?.iter().map(|id| TransferId::new(u128::from_le_bytes(*id))).collect())
}

/// One filter of an account's transfers or balances.
///
/// # Errors
/// When the length is not that of one.
pub fn account_filter(body: &[u8]) -> Result<AccountFilter, Problem> {
    one(body).map(AccountFilter::decode)
}

/// One filter of accounts or transfers.
///
/// # Errors
/// When the length is not that of one.
pub fn query_filter(body: &[u8]) -> Result<QueryFilter, Problem> {
    one(body).map(QueryFilter::decode)
}

/// The records of an answer, one after the other.
pub fn answer<const N: usize>(records: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len().saturating_mul(N));
    for record in records {
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// A body cut into records, at most [`EVENTS_MAX`] of them.
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
