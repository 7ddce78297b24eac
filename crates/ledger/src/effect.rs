//! What a transfer does to the balances of its two accounts, computed once for plans and for `apply`.

use types::Amount;

use crate::{Account, AccountFlags, PendingState, Transfer, TransferFlags};

/// What a transfer or an expiry does to its two accounts. Plans and `apply` share it, so that a plan predicts exactly
/// what `apply` does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effect {
    reserved: Amount,
    released: Amount,
    posted: Amount,
    /// Each closing flag in here sets `closed` on its account.
    closes: TransferFlags,
    /// Each closing flag in here removes `closed` from its account.
    reopens: TransferFlags,
}

impl Effect {
    /// The effect of creating `transfer`. `pending` is the transfer that it posts or voids.
    pub(crate) fn of(transfer: &Transfer, pending: Option<&Transfer>) -> Self {
        match (resolution(transfer), pending) {
            (Some(PendingState::Posted), Some(pending)) => {
                Self { released: pending.amount, posted: transfer.amount, ..Self::default() }
            }
            (Some(_), Some(pending)) => Self::of_release(pending),
            _ if transfer.is_pending() => Self { reserved: transfer.amount, closes: transfer.flags, ..Self::default() },
            _ => Self { posted: transfer.amount, ..Self::default() },
        }
    }

    /// The effect of releasing all of `pending`, by a void or an expiry.
    pub(crate) fn of_release(pending: &Transfer) -> Self {
        Self { released: pending.amount, reopens: pending.flags, ..Self::default() }
    }

    /// The amount that counts against the accounts' limits. It is zero for a post, void or expiry, because the amount
    /// counted when it was reserved.
    pub(crate) fn moves(&self) -> Amount {
        if self.released.is_zero() { self.reserved.max(self.posted) } else { Amount::ZERO }
    }

    pub(crate) fn change(&self, debit: &mut Account, credit: &mut Account) {
        self.change_side(&mut debit.debits_pending, &mut debit.debits_posted);
        self.change_side(&mut credit.credits_pending, &mut credit.credits_posted);
        debit.flags = self.reflag(debit.flags, TransferFlags::CLOSING_DEBIT);
        credit.flags = self.reflag(credit.flags, TransferFlags::CLOSING_CREDIT);
    }

    fn change_side(&self, pending: &mut Amount, posted: &mut Amount) {
        let kept = pending.checked_sub(self.released).expect("LED-6: only a reserved amount is released");
        *pending = kept.checked_add(self.reserved).expect("LED-6: pending balances fit an amount");
        *posted = posted.checked_add(self.posted).expect("LED-6: posted balances fit an amount");
    }

    fn reflag(&self, flags: AccountFlags, closing: TransferFlags) -> AccountFlags {
        if self.closes.contains(closing) {
            flags.with(AccountFlags::CLOSED)
        } else if self.reopens.contains(closing) {
            flags.without(AccountFlags::CLOSED)
        } else {
            flags
        }
    }
}

/// The amounts that a transfer or an expiry moves on both of its accounts: out of the debit and into the credit
/// account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Movement {
    /// Added to the pending balance.
    pub reserved: Amount,
    /// Taken from the pending balance.
    pub released: Amount,
    /// Added to the posted balance.
    pub posted: Amount,
}

impl Movement {
    /// The movement of `transfer`. `resolved` is the pending transfer that it posts or voids.
    pub fn of(transfer: &Transfer, resolved: Option<&Transfer>) -> Self {
        Effect::of(transfer, resolved).into()
    }

    /// The movement of the expiry of `pending`.
    pub fn of_expiry(pending: &Transfer) -> Self {
        Effect::of_release(pending).into()
    }
}

impl From<Effect> for Movement {
    fn from(effect: Effect) -> Self {
        Self { reserved: effect.reserved, released: effect.released, posted: effect.posted }
    }
}

impl Account {
    /// Applies `transfer`, in which this account takes part, to the balances. `resolved` is the pending transfer that
    /// it posts or voids. This reconstructs past balances from transfers and ignores limits and `closed`. Sums saturate,
    /// because an imported transfer can have an earlier time than the expiry that made room for it.
    pub fn follow(&mut self, transfer: &Transfer, resolved: Option<&Transfer>) {
        self.follow_movement(transfer, Movement::of(transfer, resolved));
    }

    /// Applies the expiry of `pending` to the balances.
    pub fn follow_expiry(&mut self, pending: &Transfer) {
        self.follow_movement(pending, Movement::of_expiry(pending));
    }

    fn follow_movement(&mut self, transfer: &Transfer, movement: Movement) {
        let (pending, posted) = if transfer.debit == self.id {
            (&mut self.debits_pending, &mut self.debits_posted)
        } else {
            (&mut self.credits_pending, &mut self.credits_posted)
        };
        let sum = |of: Amount, more: Amount| of.checked_add(more).unwrap_or(Amount::MAX);
        *pending = sum(pending.saturating_sub(movement.released), movement.reserved);
        *posted = sum(*posted, movement.posted);
    }
}

/// The state that `transfer` gives to the pending transfer it names, or `None` if it is not a post or void.
pub fn resolution(transfer: &Transfer) -> Option<PendingState> {
    if transfer.flags.contains(TransferFlags::POST_PENDING_TRANSFER) {
        Some(PendingState::Posted)
    } else if transfer.flags.contains(TransferFlags::VOID_PENDING_TRANSFER) {
        Some(PendingState::Voided)
    } else {
        None
    }
}
