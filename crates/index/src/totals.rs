//! The trial balances of every ledger at the ends of generations.

use ledger::TrialBalance;
use types::{Amount, LedgerId};

use crate::fixed::{Row, fixed_struct, to_usize};

/// The trial balance of one ledger at the end of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TotalsRow {
    generation: u32,
    ledger: u32,
    accounts: u64,
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
}

fixed_struct!(TotalsRow {
    generation: u32,
    ledger: u32,
    accounts: u64,
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
} spare 0);

impl Row for TotalsRow {
    type Key = u64;

    fn key(&self) -> u64 {
        totals_of(self.generation) + u64::from(self.ledger)
    }
}

/// The lowest key of the rows for the end of a generation.
pub(crate) fn totals_of(generation: u32) -> u64 {
    u64::from(generation) << 32
}

impl TotalsRow {
    pub(crate) fn of(generation: u32, ledger: LedgerId, totals: &TrialBalance) -> Self {
        Self {
            generation,
            ledger: ledger.get(),
            accounts: totals.accounts as u64,
            debits_pending: totals.debits_pending.get(),
            debits_posted: totals.debits_posted.get(),
            credits_pending: totals.credits_pending.get(),
            credits_posted: totals.credits_posted.get(),
        }
    }

    pub(crate) fn totals(&self) -> (LedgerId, TrialBalance) {
        let totals = TrialBalance {
            debits_pending: Amount::new(self.debits_pending),
            debits_posted: Amount::new(self.debits_posted),
            credits_pending: Amount::new(self.credits_pending),
            credits_posted: Amount::new(self.credits_posted),
            accounts: to_usize(self.accounts),
        };
        (LedgerId::new(self.ledger), totals)
    }
}
