//! Parses questions about the past, and renders the answers. Nothing here reads the past; the server does.

mod answers;

use types::{Amount, Code, LedgerId, Timestamp, shorten};

use crate::filters;
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;
use crate::requests::ledger_id;
use crate::user_data::UserDataFilter;

pub use answers::{AccountBalance, AddressBalances, BalanceRow, IndexStatus, Statement, StatementLine};

/// Which transfers to return: those that meet all the given conditions. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferFilter {
    /// For the transfers of one account.
    pub side: Side,
    pub ledger: Option<LedgerId>,
    pub code: Option<Code>,
    pub user_data_128: Option<u128>,
    pub user_data_64: Option<u64>,
    pub user_data_32: Option<u32>,
    pub min_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    /// From the newest to the oldest.
    pub reversed: bool,
}

/// On which side of a transfer an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// Transfers out of the account or into it.
    #[default]
    Both,
    /// Transfers out of the account.
    Debits,
    /// Transfers into the account.
    Credits,
}

impl TransferFilter {
    /// True if no ledger, code or user data is given.
    pub fn is_of_all(&self) -> bool {
        let Self { ledger, code, user_data_128, user_data_64, user_data_32, .. } = self;
        let data = user_data_128.is_none() && user_data_64.is_none() && user_data_32.is_none();
        ledger.is_none() && code.is_none() && data
    }

    /// Reads the parameters of `GET /v1/transfers` and of the lists of one account.
    pub fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let user_data = UserDataFilter::read(parameters)?;
        let (min_timestamp, max_timestamp) = period(parameters, "min_timestamp", "max_timestamp")?;
        Ok(Self {
            side: side(parameters)?,
            ledger: parameters.get("ledger").map(|text| ledger_id("ledger", text)).transpose()?,
            code: filters::code(parameters)?,
            user_data_128: user_data.wide,
            user_data_64: user_data.long,
            user_data_32: user_data.short,
            min_timestamp,
            max_timestamp,
            reversed: parameters.flag("reversed")?,
        })
    }
}

fn side(parameters: &Parameters) -> Result<Side, Problem> {
    match parameters.get("side") {
        None => Ok(Side::Both),
        Some("debits") => Ok(Side::Debits),
        Some("credits") => Ok(Side::Credits),
        Some(other) => Err(invalid("side", format!("found `{}`, expected debits or credits", shorten(other)))),
    }
}

/// The bounds of a period, both inclusive. A bound that is not given does not limit the period.
pub(crate) fn period(parameters: &Parameters, from: &str, to: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let first = parameters.parsed(from)?.unwrap_or(Timestamp::ZERO);
    let last = parameters.parsed(to)?.unwrap_or(Timestamp::MAX);
    if first > last {
        return Err(invalid(from, format!("found {first}, which is later than `{to}` ({last})")));
    }
    Ok((first, last))
}

/// Which of the two times of a transfer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// When the ledger recorded it.
    #[default]
    Booked,
    /// When it happened, as the client declared.
    Occurred,
}

impl Clock {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Occurred => "occurred",
        }
    }
}

/// An instant in the past, by one of two clocks. Transfers exactly at the instant count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    pub at: Timestamp,
    pub clock: Clock,
}

impl Instant {
    /// Reads `at` and `clock`; `None` if `at` is not given, which means now.
    pub fn read(parameters: &Parameters) -> Result<Option<Self>, Problem> {
        let clock = match parameters.get("clock") {
            None => Clock::Booked,
            Some("booked") => Clock::Booked,
            Some("occurred") => Clock::Occurred,
            Some(other) => {
                let detail = format!("found `{}`, expected booked or occurred", shorten(other));
                return Err(invalid("clock", detail));
            }
        };
        let at = parameters.parsed("at")?;
        if at.is_none() && parameters.get("clock").is_some() {
            return Err(invalid("clock", "`clock` needs `at`, which is missing"));
        }
        Ok(at.map(|at| Self { at, clock }))
    }
}

/// The period of a statement: `from` is inclusive, `to` is exclusive, so that statements of adjoining periods do not
/// overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

impl Period {
    /// Reads `from` and `to`. Without `to`, the period ends at `now`.
    pub fn read(parameters: &Parameters, now: Timestamp) -> Result<Self, Problem> {
        let from = parameters.parsed("from")?.unwrap_or(Timestamp::ZERO);
        let to = parameters.parsed("to")?.unwrap_or(now);
        if from >= to {
            return Err(invalid("from", format!("found {from}, which is not before `to` ({to})")));
        }
        Ok(Self { from, to })
    }
}

/// Four balances of an account, or their sums over several accounts or a ledger, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub debits_pending: Amount,
    pub debits_posted: Amount,
    pub credits_pending: Amount,
    pub credits_posted: Amount,
}

impl From<&ledger::Account> for Sums {
    fn from(account: &ledger::Account) -> Self {
        Self {
            debits_pending: account.debits_pending,
            debits_posted: account.debits_posted,
            credits_pending: account.credits_pending,
            credits_posted: account.credits_posted,
        }
    }
}

impl From<&ledger::TrialBalance> for Sums {
    fn from(totals: &ledger::TrialBalance) -> Self {
        Self {
            debits_pending: totals.debits_pending,
            debits_posted: totals.debits_posted,
            credits_pending: totals.credits_pending,
            credits_posted: totals.credits_posted,
        }
    }
}

impl Sums {
    /// Posted credits minus posted debits, in minor units.
    pub fn balance(&self) -> String {
        match self.credits_posted.checked_sub(self.debits_posted) {
            Some(balance) => balance.to_string(),
            None => format!("-{}", self.debits_posted.saturating_sub(self.credits_posted)),
        }
    }
}
