//! Bounds on an account's balance, and how much they leave to move.

use types::Amount;

use crate::Account;

/// Bounds on an account's balance, in minor units; they bind every writer, payments included. An account that is beyond
/// a bound when it is set stays there until transfers the other way bring it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Posted credits less all debits never fall below this by a transfer; below 0 it is an overdraft.
    pub min_balance: Option<i128>,
    /// All credits less posted debits never rise above this by a transfer.
    pub max_balance: Option<i128>,
}

impl Limits {
    /// No bounds at all.
    pub const NONE: Self = Self { min_balance: None, max_balance: None };

    /// How much can leave the account before it falls below its floor.
    pub fn debit_room(&self, account: &Account) -> Amount {
        self.min_balance.map_or(Amount::MAX, |floor| room(account.credits_posted, account.debits(), floor))
    }

    /// How much can reach the account before it rises above its ceiling.
    pub fn credit_room(&self, account: &Account) -> Amount {
        // max - (credits - debits) = (debits - credits) - (-max); only -2^127 has no negative, and no room either way.
        let floor = self.max_balance.map(|ceiling| ceiling.checked_neg().unwrap_or(i128::MAX));
        floor.map_or(Amount::MAX, |floor| room(account.debits_posted, account.credits(), floor))
    }
}

/// `held` − `used` − `floor`, between nothing and everything.
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
