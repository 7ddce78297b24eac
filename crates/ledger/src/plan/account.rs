use types::{AccountId, Timestamp};

use super::{Planned, View};
use crate::refusal::ensure;
use crate::{Account, AccountFlags, AccountStatus as S, Detail, Fact, NewAccount, Refusal};

/// What a request may set today; `linked` and `imported` are not among it.
const ALLOWED: AccountFlags = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS
    .with(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS)
    .with(AccountFlags::HISTORY)
    .with(AccountFlags::CLOSED)
    .with(AccountFlags::POLICY_ONLY);

pub(super) fn plan(view: &impl View, now: Timestamp, new: &NewAccount) -> Planned<S> {
    if let Err(refusal) = check_head(new) {
        return Planned::refused(refusal);
    }
    match view.account(new.id) {
        Some(recorded) => {
            check_same(new, recorded).map_or_else(Planned::refused, |()| Planned::exists(recorded.timestamp))
        }
        None => check_new(view, new)
            .map_or_else(Planned::refused, |()| Planned::created(now, Fact::AccountOpened(Account::open(new, now)))),
    }
}

fn check_head(new: &NewAccount) -> Result<(), Refusal<S>> {
    let unknown = new.flags.without(ALLOWED);
    ensure(unknown == AccountFlags::NONE, S::ReservedFlag, Detail::Flags(unknown.bits()))?;
    ensure(new.id != AccountId::new(0), S::IdMustNotBeZero, Detail::None)?;
    ensure(new.id != AccountId::new(u128::MAX), S::IdMustNotBeIntMax, Detail::None)
}

fn check_new(view: &impl View, new: &NewAccount) -> Result<(), Refusal<S>> {
    let limits = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS;
    let both_limits = new.flags.contains(limits);
    ensure(!both_limits, S::FlagsAreMutuallyExclusive, Detail::Flags(new.flags.bits()))?;
    ensure(new.ledger.get() != 0, S::LedgerMustNotBeZero, Detail::None)?;
    ensure(view.book(new.ledger).is_some(), S::LedgerNotFound, Detail::Ledger(new.ledger))?;
    ensure(new.code.get() != 0, S::CodeMustNotBeZero, Detail::None)
}

/// Whether a request for an id that is taken repeats what was asked before. An account that a transfer closed since has
/// other flags than it was opened with.
fn check_same(new: &NewAccount, recorded: &Account) -> Result<(), Refusal<S>> {
    let numbers = |recorded: u32, given: u32| Detail::Numbers { recorded: recorded.into(), given: given.into() };
    let (ledger, code) = (recorded.ledger.get(), recorded.code.get());

    ensure(new.flags == recorded.flags, S::ExistsWithDifferentFlags, Detail::Flags(recorded.flags.bits()))?;
    ensure(new.user_data_128 == recorded.user_data_128, S::ExistsWithDifferentUserData128, Detail::None)?;
    ensure(new.user_data_64 == recorded.user_data_64, S::ExistsWithDifferentUserData64, Detail::None)?;
    ensure(new.user_data_32 == recorded.user_data_32, S::ExistsWithDifferentUserData32, Detail::None)?;
    ensure(new.ledger.get() == ledger, S::ExistsWithDifferentLedger, numbers(ledger, new.ledger.get()))?;
    ensure(new.code.get() == code, S::ExistsWithDifferentCode, numbers(code.into(), new.code.get().into()))
}
