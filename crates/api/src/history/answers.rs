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
    /// The transfer: a client's id, or `<payment>/<number>`.
    transfer: String,
    /// Posted credits less posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl BalanceRow {
    /// What `transfer` left of an account.
    pub fn new(transfer: &Moved, after: &Sums) -> Self {
        Self {
            timestamp: transfer.timestamp.to_string(),
            transfer: transfer.key.to_string(),
            balance: after.balance(),
            sums: after.into(),
        }
    }
}

/// What an account had at an instant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountBalance {
    /// The account.
    account: String,
    /// The ledger it stands in.
    #[schema(format = Int64)]
    ledger: u32,
    /// What its balances count.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The instant; what stands exactly there counts.
    #[schema(format = "date-time")]
    at: String,
    /// The clock: `booked` or `occurred`.
    clock: &'static str,
    /// Posted credits less posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl AccountBalance {
    /// What an account of `ledger` had.
    ///
    /// # Errors
    /// When `assets` lacks the ledger.
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

/// The movements of an account in a period, between what it had before and after.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Statement {
    /// The account.
    account: String,
    /// The ledger it stands in.
    #[schema(format = Int64)]
    ledger: u32,
    /// What its balances count.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The first instant.
    #[schema(format = "date-time")]
    from: String,
    /// The first instant after it.
    #[schema(format = "date-time")]
    to: String,
    /// Posted credits less posted debits before the first line of this page, in minor units.
    #[schema(example = "1000")]
    opening_balance: String,
    /// Each movement, from the earliest on.
    lines: Vec<StatementLine>,
    /// Posted credits less posted debits after the last line of this page, in minor units.
    #[schema(example = "-250")]
    closing_balance: String,
    /// Give it as `cursor` to go on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One movement of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatementLine {
    /// When it was booked.
    #[schema(format = "date-time")]
    timestamp: String,
    /// The transfer: a client's id, or `<payment>/<number>`.
    transfer: String,
    /// The payment that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    /// `debit` when it left the account, `credit` when it reached it.
    side: &'static str,
    /// The account on the other side.
    other_account: String,
    /// What moved, in minor units.
    #[schema(example = "1250")]
    amount: String,
    /// The client's classification.
    code: u16,
    /// Posted credits less posted debits right after it, in minor units.
    #[schema(example = "-250")]
    balance: String,
}

impl StatementLine {
    /// A transfer that posted an amount, as `account` sees it, with what it left there.
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
    /// A page of a statement: what the account had before its lines, each line with what it left, and where to go on.
    ///
    /// # Errors
    /// When `assets` lacks the account's ledger.
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

/// What the accounts below an address add up to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AddressBalances {
    /// The address, or the segments in front of a colon that several share.
    #[schema(example = "customers:c42")]
    address_prefix: String,
    /// The ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// What its amounts count.
    #[schema(example = "EUR/2")]
    asset: String,
    /// How many accounts there are.
    accounts: u64,
    /// Posted credits less posted debits, in minor units.
    #[schema(example = "-1250")]
    balance: String,
    #[serde(flatten)]
    sums: Balances,
}

impl AddressBalances {
    /// What `accounts` accounts of `ledger` below `prefix` add up to.
    ///
    /// # Errors
    /// When `assets` lacks the ledger.
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

/// How far the index is, from which questions about the past are answered.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct IndexStatus {
    /// Nothing is left to do in the background.
    pub idle: bool,
    /// Parts of the journal that wait for their tables.
    pub generations_waiting: usize,
    /// Sets of tables.
    pub runs: usize,
    /// Sets of tables that lack a field which a ledger chose.
    pub runs_incomplete: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Of them for ids.
    pub ids_bytes: u64,
    /// Of them for the transfers of accounts.
    pub postings_bytes: u64,
    /// Of them for balances at earlier times.
    pub balances_bytes: u64,
    /// Of them for chosen fields.
    pub fields_bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: usize,
}
