//! What clients ask about the past, and how it is shown: functions of plain data, for whoever reads the past.

mod answers;

use types::{Amount, Code, LedgerId, Timestamp};

use crate::filters;
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;
use crate::requests::ledger_id;
use crate::user_data::UserDataFilter;

pub use answers::{AccountBalance, AddressBalances, BalanceRow, IndexStatus, Statement, StatementLine};

/// Which transfers: those that fit everything that is given. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferFilter {
    /// On which side of the account, for the transfers of one.
    pub side: Side,
    /// In this ledger.
    pub ledger: Option<LedgerId>,
    /// With this code.
    pub code: Option<Code>,
    /// With these user data.
    pub user_data_128: Option<u128>,
    /// With these user data.
    pub user_data_64: Option<u64>,
    /// With these user data.
    pub user_data_32: Option<u32>,
    /// Made then or later.
    pub min_timestamp: Timestamp,
    /// Made then or earlier.
    pub max_timestamp: Timestamp,
    /// From the latest to the earliest.
    pub reversed: bool,
}

/// A side of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// Whatever leaves or reaches it.
    #[default]
    Both,
    /// What leaves it.
    Debits,
    /// What reaches it.
    Credits,
}

impl TransferFilter {
    /// True when nothing but times is asked for.
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
        Some(_) => Err(invalid("side", "found another word, expected debits or credits")),
    }
}

/// From when to when, both included; everything when neither is given.
fn period(parameters: &Parameters, from: &str, to: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let first = parameters.parsed(from)?.unwrap_or(Timestamp::ZERO);
    let last = parameters.parsed(to)?.unwrap_or(Timestamp::MAX);
    if first > last {
        return Err(invalid(from, format!("found {first}, which is later than `{to}`, {last}")));
    }
    Ok((first, last))
}

/// Which of the two times of a movement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// When it was booked.
    #[default]
    Booked,
    /// When it happened, as its client says.
    Occurred,
}

impl Clock {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Occurred => "occurred",
        }
    }
}

/// A past instant, by one of two clocks. What stands exactly at the instant counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// When.
    pub at: Timestamp,
    /// By which clock.
    pub clock: Clock,
}

impl Instant {
    /// Reads `at` and `clock`; `None` when `at` is not given: now.
    pub fn read(parameters: &Parameters) -> Result<Option<Self>, Problem> {
        let clock = match parameters.get("clock") {
            None => Clock::Booked,
            Some("booked") => Clock::Booked,
            Some("occurred") => Clock::Occurred,
            Some(_) => return Err(invalid("clock", "found another word, expected booked or occurred")),
        };
        let at = parameters.parsed("at")?;
        if at.is_none() && parameters.get("clock").is_some() {
            return Err(invalid("clock", "`clock` goes with `at`, which is not given"));
        }
        Ok(at.map(|at| Self { at, clock }))
    }
}

/// From when to when a statement is: `from` included, `to` not, so that statements of adjoining periods share nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

impl Period {
    /// Reads `from` and `to`; `now` stands for a `to` that is not given.
    pub fn read(parameters: &Parameters, now: Timestamp) -> Result<Self, Problem> {
        let from = parameters.parsed("from")?.unwrap_or(Timestamp::ZERO);
        let to = parameters.parsed("to")?.unwrap_or(now);
        if from >= to {
            return Err(invalid("from", format!("found {from}, which is not before `to`, {to}")));
        }
        Ok(Self { from, to })
    }
}

/// Four sums of an account, of several, or of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Reserved out of it.
    pub debits_pending: Amount,
    /// Moved out of it.
    pub debits_posted: Amount,
    /// Reserved into it.
    pub credits_pending: Amount,
    /// Moved into it.
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
    /// Posted credits less posted debits, in minor units.
    pub fn balance(&self) -> String {
        match self.credits_posted.checked_sub(self.debits_posted) {
            Some(balance) => balance.to_string(),
            None => format!("-{}", self.debits_posted.saturating_sub(self.credits_posted)),
        }
    }
}
