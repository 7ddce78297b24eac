//! The sums over all accounts of a book, kept up to date as accounts change.

use types::Amount;

use crate::Account;

/// The sums over all accounts of a book, in minor units. A sum above [`Amount::MAX`] reads as [`Amount::MAX`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TrialBalance {
    pub debits_pending: Amount,
    pub debits_posted: Amount,
    pub credits_pending: Amount,
    pub credits_posted: Amount,
    /// Number of accounts in the book.
    pub accounts: usize,
}

/// The running sums of a book's accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    debits_pending: Sum,
    debits_posted: Sum,
    credits_pending: Sum,
    credits_posted: Sum,
}

impl Totals {
    /// Replaces the old balances of an account with its new ones.
    pub(crate) fn replace(&mut self, old: &Account, new: &Account) {
        self.debits_pending.replace(old.debits_pending, new.debits_pending);
        self.debits_posted.replace(old.debits_posted, new.debits_posted);
        self.credits_pending.replace(old.credits_pending, new.credits_pending);
        self.credits_posted.replace(old.credits_posted, new.credits_posted);
    }

    /// Adds the sums of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.debits_pending.add(other.debits_pending);
        self.debits_posted.add(other.debits_posted);
        self.credits_pending.add(other.credits_pending);
        self.credits_posted.add(other.credits_posted);
    }

    /// Whether LED-1 holds: debits equal credits, posted and pending alike.
    pub(crate) fn balance(&self) -> bool {
        self.debits_pending == self.credits_pending && self.debits_posted == self.credits_posted
    }

    pub(crate) fn trial_balance(&self, accounts: usize) -> TrialBalance {
        TrialBalance {
            debits_pending: self.debits_pending.amount(),
            debits_posted: self.debits_posted.amount(),
            credits_pending: self.credits_pending.amount(),
            credits_posted: self.credits_posted.amount(),
            accounts,
        }
    }
}

/// An exact sum of amounts, which may exceed the range of one amount: `carries` × 2^128 + `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    carries: u64,
    low: u128,
}

impl Sum {
    fn replace(&mut self, old: Amount, new: Amount) {
        let (sum, carried) = self.low.overflowing_add(new.get());
        let (low, borrowed) = sum.overflowing_sub(old.get());
        // Add before subtracting: the sum includes `old`, so neither step can leave the range.
        let carries = self.carries.checked_add(carried.into()).and_then(|up| up.checked_sub(borrowed.into()));
        *self = Self { carries: carries.expect("LED-6: a book's sum includes its accounts' balances"), low };
    }

    fn add(&mut self, other: Self) {
        let (low, carried) = self.low.overflowing_add(other.low);
        let carries = self.carries.checked_add(other.carries).and_then(|carries| carries.checked_add(carried.into()));
        *self = Self { carries: carries.expect("LED-6: a book's sum includes its accounts' balances"), low };
    }

    fn amount(&self) -> Amount {
        if self.carries == 0 { Amount::new(self.low) } else { Amount::MAX }
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;
    use crate::NewAccount;

    #[test]
    fn a_change_of_one_side_only_unbalances_a_book() {
        let old = Account::open(&NewAccount::default(), Timestamp::ZERO);
        let debited = Account { debits_posted: Amount::MAX, ..old };
        let credited = Account { credits_posted: Amount::MAX, ..old };
        let reserved = Account { credits_pending: Amount::new(1), ..old };
        let mut totals = Totals::default();
        totals.replace(&old, &debited);
        assert!(!totals.balance());
        totals.replace(&old, &credited);
        assert!(totals.balance());
        totals.replace(&old, &reserved);
        assert!(!totals.balance());
    }

    #[test]
    fn a_sum_larger_than_an_amount_comes_back_exact() {
        let mut sum = Sum::default();
        sum.replace(Amount::ZERO, Amount::MAX);
        sum.replace(Amount::ZERO, Amount::new(7));
        assert_eq!(sum.amount(), Amount::MAX);
        sum.replace(Amount::MAX, Amount::new(1));
        assert_eq!(sum.amount(), Amount::new(8));
    }
}
