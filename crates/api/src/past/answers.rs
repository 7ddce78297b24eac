//! Responses about an account's past: balances after each transfer, at an instant, and over a period.

use ledger::{Transfer as Moved, TransferKey};
use serde::Serialize;
use types::{AccountId, LedgerId};
use utoipa::ToSchema;

use super::{Instant, Period, Sums};
use crate::responses::{Assets, Balances, Unknown};

/// The balances of an account right after one of its transfers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BalanceRow {
    /// When the transfer was made.
    #[schema(format = "date-time")]
    timestamp: String,
    /// The id that a client gave the transfer, or `<payment>/<number>`.
    transfer: String,
    /// Posted credits minus posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl BalanceRow {
    /// The balances `after` one transfer.
    pub fn new(transfer: &Moved, after: &Sums) -> Self {
        Self {
            timestamp: transfer.timestamp.to_string(),
            transfer: transfer.key.to_string(),
            balance: after.balance(),
            sums: after.into(),
        }
    }
}

/// The balances of an account at an instant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountBalance {
    /// The id of the account.
    account: String,
    /// The number of the account's ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The asset of the balances.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The instant. Transfers exactly at the instant count.
    #[schema(format = "date-time")]
    at: String,
    /// Which time of a transfer counts: `booked`, when the ledger recorded it, or `occurred`, when it happened.
    clock: &'static str,
    /// Posted credits minus posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl AccountBalance {
    /// The balances of an account of `ledger` at `instant`.
    ///
    /// # Errors
    /// If `assets` lacks the ledger.
    pub fn new(
        account: AccountId,
        ledger: LedgerId,
        instant: Instant,
        sums: &Sums,
        assets: &Assets,
    ) -> Result<Self, Unknown> {
        Ok(Self {
            account: account.to_string(),
            ledger: ledger.get(),
            asset: assets.of(ledger)?.to_string(),
            at: instant.at.to_string(),
            clock: instant.clock.name(),
            balance: sums.balance(),
            sums: sums.into(),
        })
    }
}

/// What was posted on an account in a period, with the balance before and after.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Statement {
    /// The id of the account.
    account: String,
    /// The number of the account's ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The asset of the amounts.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The start of the period, inclusive.
    #[schema(format = "date-time")]
    from: String,
    /// The end of the period, exclusive.
    #[schema(format = "date-time")]
    to: String,
    /// The balance before the first line of this page: posted credits minus posted debits, in minor units.
    #[schema(example = "1000")]
    opening_balance: String,
    /// The movements, from the earliest to the latest.
    lines: Vec<StatementLine>,
    /// The balance after the last line of this page: posted credits minus posted debits, in minor units.
    #[schema(example = "-250")]
    closing_balance: String,
    /// Pass it as `cursor` to get the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One movement of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatementLine {
    /// When the ledger recorded the movement.
    #[schema(format = "date-time")]
    timestamp: String,
    /// The id that a client gave the transfer, or `<payment>/<number>`.
    transfer: String,
    /// The payment that made the transfer, if a payment did.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    /// `debit` if the amount left the account, `credit` if the amount reached it.
    side: &'static str,
    /// The other account of the transfer.
    other_account: String,
    /// The amount in minor units.
    #[schema(example = "1250")]
    amount: String,
    /// The code of the transfer.
    code: u16,
    /// The balance right after the movement: posted credits minus posted debits, in minor units.
    #[schema(example = "-250")]
    balance: String,
}

impl StatementLine {
    /// The line of a transfer on the statement of `account`. `after` are the balances of the account after it.
    pub fn new(account: AccountId, transfer: &Moved, after: &Sums) -> Self {
        let (side, other) =
            if transfer.debit == account { ("debit", transfer.credit) } else { ("credit", transfer.debit) };
        let payment = match transfer.key {
            TransferKey::Client(_) => None,
            TransferKey::Leg { payment, .. } => Some(payment.to_string()),
        };
        Self {
            timestamp: transfer.timestamp.to_string(),
            transfer: transfer.key.to_string(),
            payment,
            side,
            other_account: other.to_string(),
            amount: transfer.amount.to_string(),
            code: transfer.code.get(),
            balance: after.balance(),
        }
    }
}

impl Statement {
    /// A page of a statement: the balances before its first line, and each line with the balances after it.
    ///
    /// # Errors
    /// If `assets` lacks the account's ledger.
    pub fn new(
        account: &ledger::Account,
        period: Period,
        opening: &Sums,
        lines: &[(Moved, Sums)],
        next_cursor: Option<String>,
        assets: &Assets,
    ) -> Result<Self, Unknown> {
        let closing = lines.last().map_or(opening, |(_, after)| after);
        Ok(Self {
            account: account.id.to_string(),
            ledger: account.ledger.get(),
            asset: assets.of(account.ledger)?.to_string(),
            from: period.from.to_string(),
            to: period.to.to_string(),
            opening_balance: opening.balance(),
            lines: lines.iter().map(|(moved, after)| StatementLine::new(account.id, moved, after)).collect(),
            closing_balance: closing.balance(),
            next_cursor,
        })
    }
}

/// The sums over the accounts below an address.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AddressBalances {
    /// An address, or the first segments of several addresses.
    #[schema(example = "customers:c42")]
    address_prefix: String,
    /// The number of the ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The asset of the sums.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The number of accounts below the address.
    accounts: u64,
    /// Posted credits minus posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl AddressBalances {
    /// The sums over the accounts of `ledger` below `prefix`; `accounts` is their number.
    ///
    /// # Errors
    /// If `assets` lacks the ledger.
    pub fn new(prefix: &str, ledger: LedgerId, accounts: usize, sums: &Sums, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            address_prefix: prefix.to_owned(),
            ledger: ledger.get(),
            asset: assets.of(ledger)?.to_string(),
            accounts: accounts as u64,
            balance: sums.balance(),
            sums: sums.into(),
        })
    }
}

/// The progress of the index, which answers questions about the past.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct IndexStatus {
    /// True if the index has nothing left to do in the background.
    pub idle: bool,
    /// How many parts of the journal (generations) are not in tables yet.
    pub generations_waiting: usize,
    /// How many sets of tables (runs) there are.
    pub runs: usize,
    /// How many runs lack a field that a ledger chose to index.
    pub runs_incomplete: usize,
    /// The size of all tables on disk, in bytes.
    pub disk_bytes: u64,
    /// The size of the tables of ids, in bytes.
    pub ids_bytes: u64,
    /// The size of the tables of accounts' transfers, in bytes.
    pub postings_bytes: u64,
    /// The size of the tables of past balances, in bytes.
    pub balances_bytes: u64,
    /// The size of the tables of chosen fields, in bytes.
    pub fields_bytes: u64,
    /// The memory that the index uses, in bytes.
    pub memory_bytes: usize,
}
