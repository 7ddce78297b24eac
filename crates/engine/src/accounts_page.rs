//! Pages of accounts, in the order they were opened, by address, or by metadata.

use ledger::{Account, AccountPlace, Address, Ledger, MetadataOf};
use types::{Code, LedgerId, Timestamp};

use crate::details::AccountReply;
use crate::{Engine, Page};

/// The most accounts that are examined for one page, so that a filter that matches nothing cannot hold the engine for
/// more than some tens of microseconds.
pub const ACCOUNTS_EXAMINED_MAX: usize = 1_000;

/// Which accounts to return: those that meet all the given conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    pub ledger: Option<LedgerId>,
    pub code: Option<Code>,
    pub user_data_128: Option<u128>,
    pub user_data_64: Option<u64>,
    pub user_data_32: Option<u32>,
    pub opened_after: Timestamp,
    pub opened_before: Option<Timestamp>,
    /// From the newest to the oldest. Without effect on the order by address or id.
    pub reversed: bool,
    /// Accounts whose address is this, or begins with this and a colon. They are returned in order of address.
    pub address_prefix: Option<String>,
    /// Accounts that have these metadata values, given as JSON texts by key. They are returned in order of id, unless
    /// there is an address prefix.
    pub metadata: Vec<(String, String)>,
}

impl AccountFilter {
    fn fits(&self, ledger: &Ledger, account: &Account) -> bool {
        self.fits_times(account)
            && self.ledger.is_none_or(|id| account.ledger == id)
            && self.code.is_none_or(|code| account.code == code)
            && self.user_data_128.is_none_or(|data| account.user_data_128 == data)
            && self.user_data_64.is_none_or(|data| account.user_data_64 == data)
            && self.user_data_32.is_none_or(|data| account.user_data_32 == data)
            && (self.metadata.is_empty() || self.fits_metadata(ledger, account))
    }

    fn fits_times(&self, account: &Account) -> bool {
        account.timestamp > self.opened_after && self.opened_before.is_none_or(|before| account.timestamp < before)
    }

    fn fits_metadata(&self, ledger: &Ledger, account: &Account) -> bool {
        let metadata = ledger.metadata(MetadataOf::Account(account.id));
        metadata.is_some_and(|known| self.metadata.iter().all(|(key, value)| known.get(key) == Some(value)))
    }

    /// The accounts to examine: those after `after`, in the order that applies.
    fn candidates<'l>(&self, ledger: &'l Ledger, after: Option<&Account>) -> Vec<&'l Account> {
        if let Some(prefix) = &self.address_prefix {
            let after: Option<Address> = after.and_then(|account| ledger.address(account.id)?.parse().ok());
            return ledger.accounts_below(prefix, after.as_ref(), ACCOUNTS_EXAMINED_MAX);
        }
        if let Some((key, value)) = self.metadata.first() {
            let after = after.map(|account| MetadataOf::Account(account.id));
            // In the order of metadata, accounts come before transfers and payments.
            let found = ledger.find_by_metadata(key, value, after, ACCOUNTS_EXAMINED_MAX);
            let account = |of| if let MetadataOf::Account(id) = of { ledger.account(id) } else { None };
            return found.into_iter().map_while(account).collect();
        }
        let after = after.map(|account| account.timestamp);
        let mut found = if self.reversed {
            let before = after.or(self.opened_before).unwrap_or(Timestamp::from_ns(u64::MAX));
            ledger.accounts_before(self.ledger, before, ACCOUNTS_EXAMINED_MAX)
        } else {
            ledger.accounts_after(self.ledger, after.unwrap_or(self.opened_after), ACCOUNTS_EXAMINED_MAX)
        };
        // The accounts are in order of time, so none after these fits.
        found.truncate(found.iter().take_while(|account| self.fits_times(account)).count());
        found
    }
}

impl Engine {
    /// The accounts after `after` that match. A page that is not full may still have a place to continue from, because
    /// only a bounded number of accounts is examined.
    pub(crate) fn accounts_page(
        &self,
        filter: &AccountFilter,
        after: Option<AccountPlace>,
        limit: usize,
    ) -> Page<AccountReply, AccountPlace> {
        let ledger = &self.state.ledger;
        let after = after.filter(|place| (place.0 as usize) < ledger.accounts_count());
        let candidates = filter.candidates(ledger, after.map(|place| ledger.account_at(place)));
        let is_whole = candidates.len() == ACCOUNTS_EXAMINED_MAX;
        let mut last = candidates.last().filter(|_| is_whole).map(|account| account.id);
        let mut accounts: Vec<AccountReply> = Vec::new();
        for account in candidates.into_iter().filter(|account| filter.fits(ledger, account)) {
            if accounts.len() == limit {
                last = accounts.last().map(|last| last.account.id);
                break;
            }
            accounts.push(AccountReply::present(ledger, *account));
        }
        Page { items: accounts, next: last.and_then(|id| ledger.account_place(id)) }
    }
}
