//! Events that consist of one fact of the ledger and do not belong to a payment.

use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use super::of_import::{AccountStaged, ImportNoted, ImportStarted, TransferStaged};
use crate::responses::{Account, Assets, Transfer, Unknown};

pub(super) fn ledger_data(fact: &ledger::Fact, assets: &Assets) -> Result<(&'static str, EventData), Unknown> {
    Ok(match fact {
        ledger::Fact::BookOpened(book) => ("ledger_opened", EventData::LedgerOpened(book.into())),
        ledger::Fact::AccountOpened(account) => {
            ("account_opened", EventData::AccountOpened(Box::new(Account::new(account, assets)?)))
        }
        ledger::Fact::TransferCreated(transfer) => {
            ("transfer_created", EventData::TransferCreated(Box::new(Transfer::new(transfer, None, assets)?)))
        }
        ledger::Fact::TransferFailed { id, status } => {
            let data = TransferFailed { id: id.to_string(), code: status.name(), number: status.number() };
            ("transfer_failed", EventData::TransferFailed(data))
        }
        ledger::Fact::TransferExpired(key) => {
            ("transfer_expired", EventData::TransferExpired(TransferExpired { transfer: key.to_string() }))
        }
        ledger::Fact::LimitsSet { account, limits } => {
            let text = |limit: Option<i128>| limit.map(|limit| limit.to_string());
            let (min_balance, max_balance) = (text(limits.min_balance), text(limits.max_balance));
            let data = LimitsSet { account: account.to_string(), min_balance, max_balance };
            ("limits_set", EventData::LimitsSet(data))
        }
        ledger::Fact::AddressSet { account, address } => {
            let data = AddressSet { account: account.to_string(), address: address.to_string() };
            ("address_set", EventData::AddressSet(data))
        }
        ledger::Fact::MetadataSet { of, values } => {
            let (kind, id) = match of {
                ledger::MetadataOf::Account(id) => ("account", id.to_string()),
                ledger::MetadataOf::Transfer(key) => ("transfer", key.to_string()),
                ledger::MetadataOf::Payment(id) => ("payment", id.to_string()),
            };
            let keys = values.iter().map(|(key, _)| key.clone()).collect();
            ("metadata_set", EventData::MetadataSet(MetadataSet { kind, id, keys }))
        }
        ledger::Fact::TransferScheduled(scheduled) => {
            let data = TransferScheduled { transfer: scheduled.new.key.to_string(), at: scheduled.at.to_string() };
            ("transfer_scheduled", EventData::TransferScheduled(data))
        }
        ledger::Fact::ScheduledCancelled { id } => {
            let data = ScheduledCancelled { transfer: id.to_string() };
            ("scheduled_cancelled", EventData::ScheduledCancelled(data))
        }
        ledger::Fact::IndexesChosen { ledger, fields } => {
            let chosen = ledger::IndexedFields::ALL.iter().filter(|(_, field)| fields.contains(*field));
            let data = IndexesChosen { ledger: ledger.get(), fields: chosen.map(|(name, _)| *name).collect() };
            ("indexes_chosen", EventData::IndexesChosen(data))
        }
        ledger::Fact::ImportStarted(import) => {
            let (number, ledger) = (import.number.get(), import.ledger.get());
            let data = ImportStarted { import: import.id.to_string(), number, ledger };
            ("import_started", EventData::ImportStarted(data))
        }
        ledger::Fact::AccountStaged { import, account } => {
            let data = AccountStaged { import: import.get(), account: Account::new(account, assets)? };
            ("account_staged", EventData::AccountStaged(Box::new(data)))
        }
        ledger::Fact::TransferStaged { import, transfer } => {
            let data = TransferStaged { import: import.get(), transfer: Transfer::new(transfer, None, assets)? };
            ("transfer_staged", EventData::TransferStaged(Box::new(data)))
        }
        ledger::Fact::ImportNoted { import, state, progress } => {
            let (accounts, transfers) = (progress.accounts, progress.transfers);
            let data = ImportNoted { import: import.get(), state: state.name(), accounts, transfers };
            ("import_noted", EventData::ImportNoted(data))
        }
    })
}

/// A client's transfer was refused, and its id cannot be used again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransferFailed {
    /// The id of the transfer.
    id: String,
    /// The name of the ledger's status.
    code: &'static str,
    /// The permanent number of the status, in the table of transfers.
    number: u16,
}

/// A pending transfer expired, and its amount was released.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransferExpired {
    /// The id that a client gave the transfer, or `<payment>/<number>`.
    transfer: String,
}

/// Limits on the balance of an account were set.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LimitsSet {
    /// The id of the account.
    account: String,
    /// The minimum in minor units; null if there is none.
    min_balance: Option<String>,
    /// The maximum in minor units; null if there is none.
    max_balance: Option<String>,
}

/// An account was given its address.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AddressSet {
    /// The id of the account.
    account: String,
    /// Its address.
    address: String,
}

/// Metadata of an account, transfer or payment changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct MetadataSet {
    /// What the metadata belongs to: `account`, `transfer` or `payment`.
    kind: &'static str,
    /// The id of that account, transfer or payment.
    id: String,
    /// The keys that were set or removed.
    keys: Vec<String>,
}

/// A transfer was scheduled for a future time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransferScheduled {
    /// The id of the transfer.
    transfer: String,
    /// When it is due.
    at: String,
}

/// A scheduled transfer was cancelled.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ScheduledCancelled {
    /// The id of the transfer.
    transfer: String,
}

/// The fields by which transfers of a ledger can be found were chosen.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct IndexesChosen {
    /// The number of the ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The chosen fields, which replace earlier ones.
    fields: Vec<&'static str>,
}
