//! The accounts that changed in a generation, as the engine hands them over.

use ledger::{Account, AccountPlace};

/// Changed accounts in their state at the end of the generation. There are several lists, each in order of place. If an
/// account is in more than one, the last list wins. The lists are merged only when they are read, so that handing them
/// over costs nothing.
#[derive(Debug, Clone, Default)]
pub struct AccountChanges(Vec<Vec<(AccountPlace, Account)>>);

impl AccountChanges {
    /// Appends a list of changes that are later than all previous ones, sorted by place, each account once.
    pub fn push(&mut self, later: Vec<(AccountPlace, Account)>) {
        debug_assert!(later.is_sorted_by(|one, other| one.0 < other.0), "changes are in order of place");
        self.0.push(later);
    }

    /// Returns the account at a place, if it changed.
    pub fn at(&self, place: AccountPlace) -> Option<&Account> {
        self.0.iter().rev().find_map(|list| {
            let found = list.binary_search_by_key(&place, |change| change.0).ok()?;
            list.get(found).map(|(_, account)| account)
        })
    }

    /// The highest place that changed.
    pub(crate) fn last_place(&self) -> Option<AccountPlace> {
        self.0.iter().filter_map(|list| list.last()).map(|(place, _)| *place).max()
    }

    /// Iterates over the changed accounts, each once, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (AccountPlace, &Account)> {
        self.from(0)
    }

    /// As [`AccountChanges::iter`], for accounts at `place` or higher.
    pub(crate) fn from(&self, place: u64) -> impl Iterator<Item = (AccountPlace, &Account)> {
        let start = |list: &[(AccountPlace, Account)]| list.partition_point(|(at, _)| u64::from(at.0) < place);
        let mut heads: Vec<&[(AccountPlace, Account)]> = self.0.iter().map(|list| &list[start(list)..]).collect();
        std::iter::from_fn(move || {
            let next = heads.iter().filter_map(|list| list.first()).map(|(place, _)| *place).min()?;
            let mut latest = None;
            for list in &mut heads {
                if let Some(((place, account), left)) = list.split_first()
                    && *place == next
                {
                    latest = Some(account);
                    *list = left;
                }
            }
            latest.map(|account| (next, account))
        })
    }
}

impl From<Vec<(AccountPlace, Account)>> for AccountChanges {
    fn from(list: Vec<(AccountPlace, Account)>) -> Self {
        Self(vec![list])
    }
}

#[cfg(test)]
mod tests {
    use ledger::NewAccount;
    use types::{AccountId, Timestamp};

    use super::*;

    #[test]
    fn the_latest_change_of_an_account_wins() {
        let account =
            |id: u128| Account::open(&NewAccount { id: AccountId::new(id), ..NewAccount::default() }, Timestamp::ZERO);
        let list = |items: &[(u32, u128)]| items.iter().map(|&(at, id)| (AccountPlace(at), account(id))).collect();
        let mut changes = AccountChanges::default();
        assert_eq!((changes.last_place(), changes.iter().count()), (None, 0));
        changes.push(list(&[(1, 10), (3, 11), (9, 12)]));
        changes.push(list(&[(0, 20), (3, 21), (4, 22)]));
        let ids = |from| changes.from(from).map(|(place, account)| (place.0, account.id.get())).collect::<Vec<_>>();
        assert_eq!(ids(0), [(0, 20), (1, 10), (3, 21), (4, 22), (9, 12)]);
        assert_eq!(ids(3), [(3, 21), (4, 22), (9, 12)]);
        assert_eq!(changes.at(AccountPlace(3)), Some(&account(21)));
        assert_eq!(changes.at(AccountPlace(5)), None);
        assert_eq!(changes.last_place(), Some(AccountPlace(9)));
    }
}
