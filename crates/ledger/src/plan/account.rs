//! Judges requests to open an account.

use types::{AccountId, Timestamp};

use super::batch::{ImportCheck, Moment};
use super::{BatchEvent, Planned, View};
use crate::refusal::{ensure, refuse};
use crate::{Account, AccountFlags, AccountStatus as S, Detail, Fact, NewAccount, StatusRefusal};

/// The flags that a request may set.
const ALLOWED: AccountFlags = AccountFlags::LINKED
    .with(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS)
    .with(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS)
    .with(AccountFlags::HISTORY)
    .with(AccountFlags::IMPORTED)
    .with(AccountFlags::CLOSED)
    .with(AccountFlags::POLICY_ONLY);

/// Plans a request on its own, that is, as a batch of one.
pub(super) fn plan_alone(view: &impl View, now: Timestamp, new: &NewAccount) -> Planned<S> {
    if new.is_linked() {
        return Planned::refused(StatusRefusal { status: S::LinkedEventChainOpen, detail: Detail::None });
    }
    plan(view, Moment::alone(now, is_imported(new)), new)
}

pub(super) fn plan(view: &impl View, moment: Moment, new: &NewAccount) -> Planned<S> {
    if let Err(refusal) = check_head(moment, new) {
        return Planned::refused(refusal);
    }
    if let Some(recorded) = view.account(new.id) {
        let same = check_same(new, recorded);
        return same.map_or_else(Planned::refused, |()| Planned::exists(recorded.timestamp));
    }
    if view.is_account_reserved(new.id) {
        return Planned::refused(StatusRefusal { status: S::IdReservedByImport, detail: Detail::Account(new.id) });
    }
    if let Err(refusal) = check_new(view, moment, new) {
        return Planned::refused(refusal);
    }
    let timestamp = if is_imported(new) { Timestamp::from_ns(new.timestamp_ns) } else { moment.now };
    Planned::created(timestamp, Fact::AccountOpened(Account::open(new, timestamp)))
}

fn is_imported(new: &NewAccount) -> bool {
    new.flags.contains(AccountFlags::IMPORTED)
}

fn check_head(moment: Moment, new: &NewAccount) -> Result<(), StatusRefusal<S>> {
    match moment.check_import(is_imported(new), new.timestamp_ns) {
        ImportCheck::Passes => {}
        ImportCheck::Expected => return refuse(S::ImportedEventExpected),
        ImportCheck::NotExpected => return refuse(S::ImportedEventNotExpected),
        ImportCheck::TimestampMustBeZero => return refuse(S::TimestampMustBeZero),
        ImportCheck::OutOfRange => return refuse(S::ImportedEventTimestampOutOfRange),
        ImportCheck::MustNotAdvance => return refuse(S::ImportedEventTimestampMustNotAdvance),
    }
    ensure(new.reserved == 0, S::ReservedField, Detail::None)?;
    let unknown = new.flags.without(ALLOWED);
    ensure(unknown == AccountFlags::NONE, S::ReservedFlag, Detail::Flags(unknown.bits()))?;
    ensure(new.id != AccountId::new(0), S::IdMustNotBeZero, Detail::None)?;
    ensure(new.id != AccountId::new(u128::MAX), S::IdMustNotBeIntMax, Detail::None)
}

fn check_new(view: &impl View, moment: Moment, new: &NewAccount) -> Result<(), StatusRefusal<S>> {
    let limits = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS;
    let both_limits = new.flags.contains(limits);
    ensure(!both_limits, S::FlagsAreMutuallyExclusive, Detail::Flags(new.flags.bits()))?;
    ensure(new.debits_pending.is_zero(), S::DebitsPendingMustBeZero, Detail::None)?;
    ensure(new.debits_posted.is_zero(), S::DebitsPostedMustBeZero, Detail::None)?;
    ensure(new.credits_pending.is_zero(), S::CreditsPendingMustBeZero, Detail::None)?;
    ensure(new.credits_posted.is_zero(), S::CreditsPostedMustBeZero, Detail::None)?;
    ensure(new.ledger.get() != 0, S::LedgerMustNotBeZero, Detail::None)?;
    ensure(view.book(new.ledger).is_some(), S::LedgerNotFound, Detail::Ledger(new.ledger))?;
    ensure(new.code.get() != 0, S::CodeMustNotBeZero, Detail::None)?;
    if !is_imported(new) {
        return Ok(());
    }
    let (at, last) = (Timestamp::from_ns(new.timestamp_ns), view.last_account());
    ensure(at <= moment.now, S::ImportedEventTimestampMustNotPassEvent, Detail::Since(moment.now))?;
    let regresses = at <= last || view.is_transfer_time(at);
    ensure(!regresses, S::ImportedEventTimestampMustNotRegress, Detail::Since(last))
}

/// Checks whether a request for a taken id repeats the original one. If a transfer closed the account in the meantime,
/// its flags differ from those it was opened with.
fn check_same(new: &NewAccount, recorded: &Account) -> Result<(), StatusRefusal<S>> {
    let numbers = |recorded: u32, given: u32| Detail::Numbers { recorded: recorded.into(), given: given.into() };
    let (ledger, code) = (recorded.ledger.get(), recorded.code.get());

    ensure(new.flags == recorded.flags, S::ExistsWithDifferentFlags, Detail::Flags(recorded.flags.bits()))?;
    ensure(new.user_data_128 == recorded.user_data_128, S::ExistsWithDifferentUserData128, Detail::None)?;
    ensure(new.user_data_64 == recorded.user_data_64, S::ExistsWithDifferentUserData64, Detail::None)?;
    ensure(new.user_data_32 == recorded.user_data_32, S::ExistsWithDifferentUserData32, Detail::None)?;
    ensure(new.ledger.get() == ledger, S::ExistsWithDifferentLedger, numbers(ledger, new.ledger.get()))?;
    ensure(new.code.get() == code, S::ExistsWithDifferentCode, numbers(code.into(), new.code.get().into()))
}
