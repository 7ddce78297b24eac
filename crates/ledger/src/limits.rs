//! Bounds on an account's balance, and how much they leave to move.

use types::Amount;

use crate::Account;

/// Limits on an account's balance, in minor units. They bind every transfer, including those of payments. An account
/// that is beyond a limit when the limit is set stays there until transfers in the other direction bring it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// No transfer may take posted credits less all debits below this. A value below 0 permits an overdraft.
    pub min_balance: Option<i128>,
    /// No transfer may raise all credits less posted debits above this.
    pub max_balance: Option<i128>,
}

impl Limits {
    pub const NONE: Self = Self { min_balance: None, max_balance: None };

    /// How much may leave the account before its balance falls below the minimum.
    pub fn debit_room(&self, account: &Account) -> Amount {
        self.min_balance.map_or(Amount::MAX, |floor| room(account.credits_posted, account.debits(), floor))
    }

    /// How much may reach the account before its balance rises above the maximum.
    pub fn credit_room(&self, account: &Account) -> Amount {
        // max − (credits − debits) = (debits − credits) − (−max). Only −2^127 cannot be negated, and there is no room
        // either way.
        let floor = self.max_balance.map(|ceiling| ceiling.checked_neg().unwrap_or(i128::MAX));
        floor.map_or(Amount::MAX, |floor| room(account.debits_posted, account.credits(), floor))
    }
}

/// `held` − `used` − `floor`, clamped to the range of an amount.
fn room(held: Amount, used: Amount, floor: i128) -> Amount {
    let bound = floor.unsigned_abs();
    let (held, used) = (held.get(), used.get());
    Amount::new(match (held.checked_sub(used), floor < 0) {
        (Some(net), true) => net.saturating_add(bound),
        (Some(net), false) => net.saturating_sub(bound),
        (None, true) => bound.saturating_sub(used.saturating_sub(held)),
        (None, false) => 0,
    })
}
