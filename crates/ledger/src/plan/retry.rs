//! Decides whether a request for a transfer whose id is taken repeats the first one or conflicts with it.

use crate::refusal::ensure;
use crate::{Detail, StatusRefusal, Transfer, TransferFlags, TransferStatus as S};

/// Checks whether a request for a taken key repeats what is on record. `asked` is the requested transfer, with
/// everything that it takes from a pending transfer filled in.
pub(super) fn check_same(asked: &Transfer, recorded: &Transfer) -> Result<(), StatusRefusal<S>> {
    let numbers = |recorded: u128, given: u128| Detail::Numbers { recorded, given };
    let flags = Detail::Flags(recorded.flags.bits());
    let timeouts = numbers(recorded.timeout_s.into(), asked.timeout_s.into());
    let debits = Detail::Accounts { recorded: recorded.debit, given: asked.debit };
    let credits = Detail::Accounts { recorded: recorded.credit, given: asked.credit };
    let amounts = numbers(recorded.amount.get(), asked.amount.get());
    let ledgers = numbers(recorded.ledger.get().into(), asked.ledger.get().into());
    let codes = numbers(recorded.code.get().into(), asked.code.get().into());

    ensure(asked.flags == recorded.flags, S::ExistsWithDifferentFlags, flags)?;
    ensure(asked.pending == recorded.pending, S::ExistsWithDifferentPendingId, Detail::None)?;
    ensure(asked.timeout_s == recorded.timeout_s, S::ExistsWithDifferentTimeout, timeouts)?;
    ensure(asked.debit == recorded.debit, S::ExistsWithDifferentDebitAccountId, debits)?;
    ensure(asked.credit == recorded.credit, S::ExistsWithDifferentCreditAccountId, credits)?;
    ensure(is_same_amount(asked, recorded), S::ExistsWithDifferentAmount, amounts)?;
    ensure(asked.user_data_128 == recorded.user_data_128, S::ExistsWithDifferentUserData128, Detail::None)?;
    ensure(asked.user_data_64 == recorded.user_data_64, S::ExistsWithDifferentUserData64, Detail::None)?;
    ensure(asked.user_data_32 == recorded.user_data_32, S::ExistsWithDifferentUserData32, Detail::None)?;
    ensure(asked.ledger == recorded.ledger, S::ExistsWithDifferentLedger, ledgers)?;
    ensure(asked.code == recorded.code, S::ExistsWithDifferentCode, codes)
}

/// A balancing transfer asks for a maximum, whereas the record has the amount that moved.
fn is_same_amount(asked: &Transfer, recorded: &Transfer) -> bool {
    let is_maximum = recorded.flags.intersects(TransferFlags::BALANCING_DEBIT | TransferFlags::BALANCING_CREDIT);
    asked.amount == recorded.amount || (is_maximum && asked.amount > recorded.amount)
}
