//! Judges requests for transfers: at once, at a future time, and when that time has come.

use types::{AccountId, Amount, Code, LedgerId, Span, Timestamp, TransferId};

use super::batch::{ImportCheck, Moment};
use super::{BatchEvent, Planned, View, retry};
use crate::refusal::{ensure, refuse};
use crate::{
    Account, AccountFlags, Detail, Fact, Ledger, NewTransfer, Outcome, PastTransfer, PendingState, StatusRefusal,
    Transfer,
};
use crate::{Scheduled, TransferFlags, TransferKey, TransferStatus as S};

/// The flags that a request may set.
const ALLOWED: TransferFlags =
    RESOLVES.with(EXCLUDED_BY_RESOLVING).with(TransferFlags::LINKED).with(TransferFlags::IMPORTED);
const RESOLVES: TransferFlags = TransferFlags::POST_PENDING_TRANSFER.with(TransferFlags::VOID_PENDING_TRANSFER);
const CLOSES: TransferFlags = TransferFlags::CLOSING_DEBIT.with(TransferFlags::CLOSING_CREDIT);
const EXCLUDED_BY_RESOLVING: TransferFlags =
    TransferFlags::PENDING.with(TransferFlags::BALANCING_DEBIT).with(TransferFlags::BALANCING_CREDIT).with(CLOSES);

/// Plans a request on its own, that is, as a batch of one.
pub(super) fn plan_alone(view: &impl View, now: Timestamp, new: &NewTransfer) -> Planned<S> {
    if new.is_linked() {
        return Planned::refused(StatusRefusal { status: S::LinkedEventChainOpen, detail: Detail::None });
    }
    plan(view, Moment::alone(now, is_imported(new)), new)
}

pub(super) fn plan(view: &impl View, moment: Moment, new: &NewTransfer) -> Planned<S> {
    if let Err(refusal) = check_head(moment, new) {
        return Planned::refused(refusal);
    }
    match view.find(new.key) {
        Some(PastTransfer::Created { transfer, .. }) => plan_again(view, new, &transfer),
        Some(PastTransfer::Failed(_)) => {
            Planned::refused(StatusRefusal { status: S::IdAlreadyFailed, detail: Detail::Transfer(new.key) })
        }
        Some(PastTransfer::Staged { .. }) => {
            Planned::refused(StatusRefusal { status: S::IdReservedByImport, detail: Detail::Transfer(new.key) })
        }
        None => match new.key {
            TransferKey::Client(id) if view.scheduled(id).is_some() => {
                Planned::refused(StatusRefusal { status: S::IdAlreadyScheduled, detail: Detail::Transfer(new.key) })
            }
            TransferKey::Client(_) | TransferKey::Leg { .. } => plan_fresh(view, moment, new),
        },
    }
}

/// Plans a client's transfer for a future time. Whether it would be refused now says nothing about that time, so only
/// its id and flags are judged.
pub(super) fn plan_later(view: &impl View, now: Timestamp, scheduled: &Scheduled) -> Planned<S> {
    let refused = |status| Planned::refused(StatusRefusal { status, detail: Detail::Transfer(scheduled.new.key) });
    let (new, moment) = (&scheduled.new, Moment::alone(now, false));
    let TransferKey::Client(id) = new.key else { return refused(S::ScheduledTransferMustStandAlone) };
    if new.flags.intersects(TransferFlags::LINKED | TransferFlags::IMPORTED) {
        return refused(S::ScheduledTransferMustStandAlone);
    }
    if let Err(refusal) = check_head(moment, new) {
        return Planned::refused(refusal);
    }
    match (view.find(new.key), view.scheduled(id)) {
        (Some(PastTransfer::Created { transfer, .. }), _) => plan_again(view, new, &transfer),
        (Some(PastTransfer::Failed(_)), _) => refused(S::IdAlreadyFailed),
        (Some(PastTransfer::Staged { .. }), _) => refused(S::IdReservedByImport),
        (None, Some(waiting)) if waiting == *scheduled => Planned::exists(waiting.at),
        (None, Some(_)) => refused(S::IdAlreadyScheduled),
        (None, None) if scheduled.at <= now => refused(S::ScheduledTimeMustBeLater),
        (None, None) => Planned::created(scheduled.at, Fact::TransferScheduled(*scheduled)),
    }
}

/// Plans carrying out a scheduled transfer that is due. A refusal is final, whatever its status.
pub(super) fn plan_due(ledger: &Ledger, now: Timestamp, id: TransferId) -> Planned<S> {
    let scheduled = ledger.scheduled(id).expect("LED-4: only a scheduled transfer becomes due");
    let planned = plan_fresh(ledger, Moment::alone(now, false), &scheduled.new);
    match planned.outcome {
        Outcome::Refused(StatusRefusal { status, .. }) => {
            Planned { fact: Some(Fact::TransferFailed { id, status }), ..planned }
        }
        Outcome::Created { .. } | Outcome::Exists { .. } => planned,
    }
}

pub(super) fn plan_cancel(view: &impl View, now: Timestamp, id: TransferId) -> Planned<S> {
    match (view.scheduled(id), view.find(TransferKey::Client(id))) {
        (Some(_), _) => Planned::created(now, Fact::ScheduledCancelled { id }),
        (None, Some(PastTransfer::Failed(S::ScheduledTransferCancelled))) => Planned::exists(now),
        (None, _) => Planned::refused(StatusRefusal {
            status: S::ScheduledTransferNotFound,
            detail: Detail::Transfer(TransferKey::Client(id)),
        }),
    }
}

/// Plans a request for a taken key.
fn plan_again(view: &impl View, new: &NewTransfer, recorded: &Transfer) -> Planned<S> {
    let pending = recorded.pending.and_then(|key| created(view, key)).map(|(pending, _)| pending);
    let same = retry::check_same(&asked(new, pending.as_ref(), recorded.timestamp), recorded);
    same.map_or_else(Planned::refused, |()| Planned::exists(recorded.timestamp))
}

fn plan_fresh(view: &impl View, moment: Moment, new: &NewTransfer) -> Planned<S> {
    let is_resolution = new.flags.intersects(RESOLVES);
    let judged = if is_resolution { judge_resolution(view, moment, new) } else { judge_movement(view, moment, new) };
    match judged {
        Ok(transfer) => Planned::created(transfer.timestamp, Fact::TransferCreated(transfer)),
        Err(refusal) => {
            let spent = match new.key {
                TransferKey::Client(id) if refusal.status.sticks() => Some(id),
                TransferKey::Client(_) | TransferKey::Leg { .. } => None,
            };
            let fact = spent.map(|id| Fact::TransferFailed { id, status: refusal.status });
            Planned { fact, ..Planned::refused(refusal) }
        }
    }
}

/// Judges a single-phase or pending transfer.
fn judge_movement(view: &impl View, moment: Moment, new: &NewTransfer) -> Result<Transfer, StatusRefusal<S>> {
    let is_pending = new.flags.contains(TransferFlags::PENDING);
    let (zero, int_max) = (AccountId::new(0), AccountId::new(u128::MAX));
    ensure(new.debit != zero, S::DebitAccountIdMustNotBeZero, Detail::None)?;
    ensure(new.debit != int_max, S::DebitAccountIdMustNotBeIntMax, Detail::None)?;
    ensure(new.credit != zero, S::CreditAccountIdMustNotBeZero, Detail::None)?;
    ensure(new.credit != int_max, S::CreditAccountIdMustNotBeIntMax, Detail::None)?;
    ensure(new.debit != new.credit, S::AccountsMustBeDifferent, Detail::Account(new.debit))?;
    ensure(new.pending_key().is_none(), S::PendingIdMustBeZero, Detail::None)?;
    ensure(is_pending || new.timeout_s == 0, S::TimeoutReservedForPendingTransfer, Detail::None)?;
    ensure(is_pending || !new.flags.intersects(CLOSES), S::ClosingTransferMustBePending, Detail::None)?;
    ensure(new.ledger != LedgerId::new(0), S::LedgerMustNotBeZero, Detail::None)?;
    ensure(new.code != Code::new(0), S::CodeMustNotBeZero, Detail::None)?;

    let debit = find_account(view, new.debit, S::DebitAccountNotFound)?;
    let credit = find_account(view, new.credit, S::CreditAccountNotFound)?;
    let ledgers = Detail::Ledgers { debit: debit.ledger, credit: credit.ledger };
    ensure(debit.ledger == credit.ledger, S::AccountsMustHaveTheSameLedger, ledgers)?;
    ensure(new.ledger == debit.ledger, S::TransferMustHaveTheSameLedgerAsAccounts, ledgers)?;
    for account in [debit, credit] {
        check_policy_only(view, new.key, account)?;
    }
    if is_imported(new) {
        let at = timestamp_of(moment, new);
        check_imported_time(view, moment, at)?;
        let since = |account: &Account| Detail::Since(account.timestamp);
        ensure(at > debit.timestamp, S::ImportedEventTimestampMustPostdateDebitAccount, since(debit))?;
        ensure(at > credit.timestamp, S::ImportedEventTimestampMustPostdateCreditAccount, since(credit))?;
        ensure(new.timeout_s == 0, S::ImportedEventTimeoutMustBeZero, Detail::None)?;
    }
    ensure(view.is_import() || !debit.is_closed(), S::DebitAccountAlreadyClosed, Detail::Account(debit.id))?;
    ensure(view.is_import() || !credit.is_closed(), S::CreditAccountAlreadyClosed, Detail::Account(credit.id))?;

    let amount = balanced_amount(new, debit, credit);
    let transfer = Transfer { amount, ..asked(new, None, timestamp_of(moment, new)) };
    check_room(&transfer, debit, credit)?;
    check_limits(view, &transfer, debit, credit)?;
    Ok(transfer)
}

/// Judges the post or void of a pending transfer.
fn judge_resolution(view: &impl View, moment: Moment, new: &NewTransfer) -> Result<Transfer, StatusRefusal<S>> {
    let is_post = new.flags.contains(TransferFlags::POST_PENDING_TRANSFER);
    let exclusive = !new.flags.contains(RESOLVES) && !new.flags.intersects(EXCLUDED_BY_RESOLVING);
    ensure(exclusive, S::FlagsAreMutuallyExclusive, Detail::Flags(new.flags.bits()))?;
    let Some(key) = new.pending_key() else {
        return Err(StatusRefusal { status: S::PendingIdMustNotBeZero, detail: Detail::None });
    };
    let about = Detail::Transfer(key);
    ensure(key != client(u128::MAX), S::PendingIdMustNotBeIntMax, Detail::None)?;
    ensure(key != new.key, S::PendingIdMustBeDifferent, about)?;
    ensure(new.timeout_s == 0, S::TimeoutReservedForPendingTransfer, Detail::None)?;

    // A client cannot resolve a transfer that the policy made. To the client, that transfer does not exist.
    let found = created(view, key).filter(|_| !by_client(new.key) || by_client(key));
    let (pending, state) = found.ok_or(StatusRefusal { status: S::PendingTransferNotFound, detail: about })?;
    ensure(pending.is_pending(), S::PendingTransferNotPending, about)?;
    let asked = asked(new, Some(&pending), timestamp_of(moment, new));
    let numbers = |recorded: u128, given: u128| Detail::Numbers { recorded, given };
    let debits = Detail::Accounts { recorded: pending.debit, given: asked.debit };
    let credits = Detail::Accounts { recorded: pending.credit, given: asked.credit };
    let ledgers = numbers(pending.ledger.get().into(), asked.ledger.get().into());
    let codes = numbers(pending.code.get().into(), asked.code.get().into());
    let amounts = numbers(pending.amount.get(), asked.amount.get());
    ensure(asked.debit == pending.debit, S::PendingTransferHasDifferentDebitAccountId, debits)?;
    ensure(asked.credit == pending.credit, S::PendingTransferHasDifferentCreditAccountId, credits)?;
    ensure(asked.ledger == pending.ledger, S::PendingTransferHasDifferentLedger, ledgers)?;
    ensure(asked.code == pending.code, S::PendingTransferHasDifferentCode, codes)?;
    ensure(asked.amount <= pending.amount, S::ExceedsPendingTransferAmount, amounts)?;
    ensure(is_post || asked.amount == pending.amount, S::PendingTransferHasDifferentAmount, amounts)?;

    let state = state.map(|state| state.as_of(&pending, moment.now));
    ensure(state != Some(PendingState::Posted), S::PendingTransferAlreadyPosted, about)?;
    ensure(state != Some(PendingState::Voided), S::PendingTransferAlreadyVoided, about)?;
    let since = pending.expires_at().map_or(about, Detail::Since);
    ensure(state != Some(PendingState::Expired), S::PendingTransferExpired, since)?;
    if is_imported(new) {
        ensure(pending.timeout_s == 0, S::ImportedEventMustNotResolveTimedTransfer, about)?;
        check_imported_time(view, moment, asked.timestamp)?;
    }
    for id in [asked.debit, asked.credit] {
        view.account(id).map_or(Ok(()), |account| check_policy_only(view, new.key, account))?;
    }
    let is_barred = |id| is_post && view.account(id).is_some_and(Account::is_closed);
    ensure(!is_barred(asked.debit), S::DebitAccountAlreadyClosed, Detail::Account(asked.debit))?;
    ensure(!is_barred(asked.credit), S::CreditAccountAlreadyClosed, Detail::Account(asked.credit))?;
    Ok(asked)
}

/// On an account with the flag `policy_only`, a client moves money only with the approval of a second principal.
fn check_policy_only(view: &impl View, key: TransferKey, account: &Account) -> Result<(), StatusRefusal<S>> {
    let is_exempt = !by_client(key) || view.is_import() || view.is_approved();
    let barred = account.flags.contains(AccountFlags::POLICY_ONLY) && !is_exempt;
    ensure(!barred, S::AccountIsPolicyOnly, Detail::Account(account.id))
}

fn find_account(view: &impl View, id: AccountId, missing: S) -> Result<&Account, StatusRefusal<S>> {
    view.account(id).ok_or(StatusRefusal { status: missing, detail: Detail::Account(id) })
}

fn created(view: &impl View, key: TransferKey) -> Option<(Transfer, Option<PendingState>)> {
    match view.find(key)? {
        PastTransfer::Created { transfer, state } => Some((transfer, state)),
        PastTransfer::Failed(_) | PastTransfer::Staged { .. } => None,
    }
}

fn is_imported(new: &NewTransfer) -> bool {
    new.flags.contains(TransferFlags::IMPORTED)
}

fn timestamp_of(moment: Moment, new: &NewTransfer) -> Timestamp {
    if is_imported(new) { Timestamp::from_ns(new.timestamp_ns) } else { moment.now }
}

/// Checks that an imported timestamp is in order with what is on record.
fn check_imported_time(view: &impl View, moment: Moment, at: Timestamp) -> Result<(), StatusRefusal<S>> {
    ensure(at <= moment.now, S::ImportedEventTimestampMustNotPassEvent, Detail::Since(moment.now))?;
    let last = view.last_transfer();
    let regresses = at <= last || view.is_account_time(at);
    ensure(!regresses, S::ImportedEventTimestampMustNotRegress, Detail::Since(last))
}

fn check_head(moment: Moment, new: &NewTransfer) -> Result<(), StatusRefusal<S>> {
    match moment.check_import(is_imported(new), new.timestamp_ns) {
        ImportCheck::Passes => {}
        ImportCheck::Expected => return refuse(S::ImportedEventExpected),
        ImportCheck::NotExpected => return refuse(S::ImportedEventNotExpected),
        ImportCheck::TimestampMustBeZero => return refuse(S::TimestampMustBeZero),
        ImportCheck::OutOfRange => return refuse(S::ImportedEventTimestampOutOfRange),
        ImportCheck::MustNotAdvance => return refuse(S::ImportedEventTimestampMustNotAdvance),
    }
    let unknown = new.flags.without(ALLOWED);
    ensure(unknown == TransferFlags::NONE, S::ReservedFlag, Detail::Flags(unknown.bits()))?;
    ensure(new.key != client(0), S::IdMustNotBeZero, Detail::None)?;
    ensure(new.key != client(u128::MAX), S::IdMustNotBeIntMax, Detail::None)
}

/// The transfer that a request asks for. A post or void takes what it left zero from `pending`, and "all" means the
/// pending amount. A balancing flag can reduce the amount afterwards.
fn asked(new: &NewTransfer, pending: Option<&Transfer>, timestamp: Timestamp) -> Transfer {
    let mut asked = new.as_asked(timestamp);
    if let Some(pending) = pending {
        inherit(&mut asked.debit, pending.debit);
        inherit(&mut asked.credit, pending.credit);
        inherit(&mut asked.ledger, pending.ledger);
        inherit(&mut asked.code, pending.code);
        inherit(&mut asked.user_data_128, pending.user_data_128);
        inherit(&mut asked.user_data_64, pending.user_data_64);
        inherit(&mut asked.user_data_32, pending.user_data_32);
        let is_void = new.flags.contains(TransferFlags::VOID_PENDING_TRANSFER);
        if new.amount == if is_void { Amount::ZERO } else { Amount::MAX } {
            asked.amount = pending.amount;
        }
    }
    asked
}

fn inherit<T: Default + PartialEq>(given: &mut T, pending: T) {
    if *given == T::default() {
        *given = pending;
    }
}

/// The amount that moves: the requested amount, reduced to what the account has if a balancing flag says so.
fn balanced_amount(new: &NewTransfer, debit: &Account, credit: &Account) -> Amount {
    let bound = |flag, room| if new.flags.contains(flag) { room } else { Amount::MAX };
    let debit_bound = bound(TransferFlags::BALANCING_DEBIT, debit.debit_room());
    let credit_bound = bound(TransferFlags::BALANCING_CREDIT, credit.credit_room());
    new.amount.min(debit_bound).min(credit_bound)
}

/// Checks overflows first, then the limits that flags set, all with the amount that moves.
fn check_room(transfer: &Transfer, debit: &Account, credit: &Account) -> Result<(), StatusRefusal<S>> {
    let amount = transfer.amount;
    let fits = |balance: Amount| balance.checked_add(amount).is_some();
    let room = |account: &Account, available| Detail::Room { account: account.id, available, requested: amount };
    let (of_debit, of_credit) = (Detail::Account(debit.id), Detail::Account(credit.id));
    if transfer.is_pending() {
        ensure(fits(debit.debits_pending), S::OverflowsDebitsPending, of_debit)?;
        ensure(fits(credit.credits_pending), S::OverflowsCreditsPending, of_credit)?;
    }
    ensure(fits(debit.debits_posted), S::OverflowsDebitsPosted, of_debit)?;
    ensure(fits(credit.credits_posted), S::OverflowsCreditsPosted, of_credit)?;
    ensure(fits(debit.debits()), S::OverflowsDebits, of_debit)?;
    ensure(fits(credit.credits()), S::OverflowsCredits, of_credit)?;
    let timeout = Span::from_secs(transfer.timeout_s.into());
    ensure(transfer.timestamp.checked_add(timeout).is_some(), S::OverflowsTimeout, Detail::None)?;

    let limited = |account: &Account, flag| account.flags.contains(flag);
    let (debit_room, credit_room) = (debit.debit_room(), credit.credit_room());
    let short = limited(debit, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS) && amount > debit_room;
    ensure(!short, S::ExceedsCredits, room(debit, debit_room))?;
    let short = limited(credit, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) && amount > credit_room;
    ensure(!short, S::ExceedsDebits, room(credit, credit_room))
}

/// Checks the numeric limits on the balances.
fn check_limits(
    view: &impl View,
    transfer: &Transfer,
    debit: &Account,
    credit: &Account,
) -> Result<(), StatusRefusal<S>> {
    let requested = transfer.amount;
    let about = |account: &Account, available| Detail::Room { account: account.id, available, requested };
    let room = view.limits(debit.id).debit_room(debit);
    ensure(requested <= room, S::ExceedsMinBalance, about(debit, room))?;
    let room = view.limits(credit.id).credit_room(credit);
    ensure(requested <= room, S::ExceedsMaxBalance, about(credit, room))
}

/// Whether this is the key of a client's transfer.
const fn by_client(key: TransferKey) -> bool {
    matches!(key, TransferKey::Client(_))
}

const fn client(id: u128) -> TransferKey {
    TransferKey::Client(TransferId::new(id))
}
