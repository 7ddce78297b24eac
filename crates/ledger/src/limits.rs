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
        let Some(floor) = self.min_balance else { return Amount::MAX };
        let margin = if floor < 0 { Margin::Granted } else { Margin::Withheld };
        room(account.credits_posted, account.debits(), margin(floor.unsigned_abs()))
    }

    /// How much may reach the account before its balance rises above the maximum.
    pub fn credit_room(&self, account: &Account) -> Amount {
        let Some(ceiling) = self.max_balance else { return Amount::MAX };
        let margin = if ceiling < 0 { Margin::Withheld } else { Margin::Granted };
        room(account.debits_posted, account.credits(), margin(ceiling.unsigned_abs()))
    }
}

/// What a limit adds to the room in an account. A sign of its own, because −(−2^127) does not fit in an `i128`.
enum Margin {
    Granted(u128),
    Withheld(u128),
}

/// `held` − `used` with the margin, clamped to the range of an amount.
fn room(held: Amount, used: Amount, margin: Margin) -> Amount {
    let (held, used) = (held.get(), used.get());
    Amount::new(match (held.checked_sub(used), margin) {
        (Some(net), Margin::Granted(more)) => net.saturating_add(more),
        (Some(net), Margin::Withheld(less)) => net.saturating_sub(less),
        (None, Margin::Granted(more)) => more.saturating_sub(used.saturating_sub(held)),
        (None, Margin::Withheld(_)) => 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Timestamp;

    use super::*;
    use crate::NewAccount;

    #[test]
    fn the_lowest_ceiling_leaves_no_room_above_it() {
        let opened = Account::open(&NewAccount::default(), Timestamp::ZERO);
        let limits = Limits { max_balance: Some(i128::MIN), ..Limits::NONE };
        for (debits, room) in
            [(0, 0), ((1 << 127) - 1, 0), (1 << 127, 0), ((1 << 127) + 1, 1), (u128::MAX, i128::MAX as u128)]
        {
            let account = Account { debits_posted: Amount::new(debits), ..opened };
            assert_eq!(limits.credit_room(&account), Amount::new(room), "{debits} debited");
        }
    }

    /// Numbers of which half are within 2 of a power of two, of 0 or of the end of the range.
    fn extremes() -> impl Strategy<Value = u128> {
        let near = prop_oneof![Just(0), Just(1 << 127), Just(u128::MAX), (0..128_u32).prop_map(|bit| 1 << bit)];
        prop_oneof![any::<u128>(), (near, -2..=2_i128).prop_map(|(base, off)| base.wrapping_add_signed(off))]
    }

    /// Whether a sum of numbers is at most another sum, computed in 64-bit halves that cannot overflow.
    fn sum_is_at_most(smaller: &[u128], larger: &[u128]) -> bool {
        let sum = |numbers: &[u128]| {
            let low: u128 = numbers.iter().map(|number| number & u128::from(u64::MAX)).sum();
            let high: u128 = numbers.iter().map(|number| number >> 64).sum();
            (high.wrapping_add(low >> 64), low & u128::from(u64::MAX))
        };
        sum(smaller) <= sum(larger)
    }

    proptest! {
        /// The room is the largest amount that keeps the limit, for balances and limits over the whole range.
        #[test]
        fn the_room_ends_exactly_at_the_limit(held in extremes(), used in extremes(), limit in extremes(), more in extremes()) {
            let limit = limit.cast_signed();
            let opened = Account::open(&NewAccount::default(), Timestamp::ZERO);
            let (held, used) = (Amount::new(held), Amount::new(used));
            // The part of the limit that is below 0, and the part above.
            let (below, above) = (limit.min(0).unsigned_abs(), limit.max(0).unsigned_abs());

            let account = Account { credits_posted: held, debits_posted: used, ..opened };
            let room = Limits { min_balance: Some(limit), ..Limits::NONE }.debit_room(&account).get();
            // held − used − amount ≥ limit
            let fits = |amount: u128| sum_is_at_most(&[used.get(), amount, above], &[held.get(), below]);
            for amount in [0, 1, room, room.saturating_add(1), more, u128::MAX] {
                prop_assert_eq!(fits(amount), amount <= room && fits(0));
            }

            let account = Account { debits_posted: held, credits_posted: used, ..opened };
            let room = Limits { max_balance: Some(limit), ..Limits::NONE }.credit_room(&account).get();
            // used + amount − held ≤ limit
            let fits = |amount: u128| sum_is_at_most(&[used.get(), amount, below], &[held.get(), above]);
            for amount in [0, 1, room, room.saturating_add(1), more, u128::MAX] {
                prop_assert_eq!(fits(amount), amount <= room && fits(0));
            }
        }
    }
}
