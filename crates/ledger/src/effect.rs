//! What a transfer does to the balances of its two accounts, computed once for plans and for `apply`.

use types::Amount;

use crate::{Account, AccountFlags, PendingState, Transfer, TransferFlags};

/// What a transfer or an expiry does to its two accounts. Plans and `apply` share it, so a plan cannot foresee anything
/// else than what happens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effect {
    reserved: Amount,
    released: Amount,
    posted: Amount,
    /// Set `closed` on the side that a closing flag names, …
    closes: TransferFlags,
    /// … or take it away.
    reopens: TransferFlags,
}

impl Effect {
    /// Of creating `transfer`, which resolves `pending` if it is a post or void.
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

    /// Of giving all of `pending` back: a void or an expiry.
    pub(crate) fn of_release(pending: &Transfer) -> Self {
        Self { released: pending.amount, reopens: pending.flags, ..Self::default() }
    }

    /// What it takes from the room of the accounts' limits: nothing when it only ends what was reserved.
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
        let kept = pending.checked_sub(self.released).expect("LED-6: what is released was reserved");
        *pending = kept.checked_add(self.reserved).expect("LED-6: pending balances add up");
        *posted = posted.checked_add(self.posted).expect("LED-6: posted balances add up");
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

/// What a transfer or an expiry moves on both its accounts: out of the one, into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Movement {
    /// Added to what is pending.
    pub reserved: Amount,
    /// Taken from what is pending.
    pub released: Amount,
    /// Added to what is posted.
    pub posted: Amount,
}

impl Movement {
    /// Of `transfer`; `resolved` is the pending transfer that it resolves.
    pub fn of(transfer: &Transfer, resolved: Option<&Transfer>) -> Self {
        Effect::of(transfer, resolved).into()
    }

    /// Of the expiry of `pending`.
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
    /// Moves the balances as `transfer` moved them, in which this account took part; `resolved` is the pending transfer
    /// that it resolves. For telling past balances from transfers; limits and `closed` are not looked at.
    pub fn follow(&mut self, transfer: &Transfer, resolved: Option<&Transfer>) {
        self.follow_effect(transfer, &Effect::of(transfer, resolved));
    }

    /// Moves the balances as the expiry of `pending` moved them.
    pub fn follow_expiry(&mut self, pending: &Transfer) {
        self.follow_effect(pending, &Effect::of_release(pending));
    }

    fn follow_effect(&mut self, transfer: &Transfer, effect: &Effect) {
        if transfer.debit == self.id {
            effect.change_side(&mut self.debits_pending, &mut self.debits_posted);
        } else {
            effect.change_side(&mut self.credits_pending, &mut self.credits_posted);
        }
    }
}

/// What `transfer` makes of the pending transfer it names; `None` when it is not a post or void.
pub(crate) fn resolution(transfer: &Transfer) -> Option<PendingState> {
    if transfer.flags.contains(TransferFlags::POST_PENDING_TRANSFER) {
        Some(PendingState::Posted)
    } else if transfer.flags.contains(TransferFlags::VOID_PENDING_TRANSFER) {
        Some(PendingState::Voided)
    } else {
        None
    }
}
