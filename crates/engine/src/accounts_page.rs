//! Pages of accounts, looked through in the order they were opened.

use ledger::Account;
use types::{Code, LedgerId, Timestamp};

use crate::{Engine, Reply};

/// Accounts looked at for one page, so that a filter that matches nothing cannot hold the engine: a few ten
/// microseconds.
const SCANNED_MAX: usize = 1_000;

/// Which accounts: those that fit everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Of this ledger.
    pub ledger: Option<LedgerId>,
    /// With this code.
    pub code: Option<Code>,
    /// With these user data.
    pub user_data_128: Option<u128>,
    /// With these user data.
    pub user_data_64: Option<u64>,
    /// With these user data.
    pub user_data_32: Option<u32>,
}

impl AccountFilter {
    /// Those of one ledger, or all.
    pub fn of(ledger: Option<LedgerId>) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// True for an account that fits everything but the ledger, which chooses what is looked through.
    fn fits(&self, account: &Account) -> bool {
        self.code.is_none_or(|code| account.code == code)
            && self.user_data_128.is_none_or(|data| account.user_data_128 == data)
            && self.user_data_64.is_none_or(|data| account.user_data_64 == data)
            && self.user_data_32.is_none_or(|data| account.user_data_32 == data)
    }
}

impl Engine {
    /// Accounts later than `after` that fit. A page that is not full may still have a place to go on from: so far it
    /// was looked.
    pub(crate) fn accounts_page(&self, filter: &AccountFilter, after: Timestamp, limit: usize) -> Reply {
        let scanned = self.state.ledger.accounts_after(filter.ledger, after, SCANNED_MAX);
        let is_whole = scanned.len() == SCANNED_MAX;
        let mut next = scanned.last().filter(|_| is_whole).map(|account| account.timestamp);
        let mut accounts: Vec<Account> = Vec::new();
        for account in scanned.into_iter().filter(|account| filter.fits(account)) {
            if accounts.len() == limit {
                next = accounts.last().map(|last| last.timestamp);
                break;
            }
            accounts.push(*account);
        }
        Reply::AccountsPage { accounts, next }
    }
}
