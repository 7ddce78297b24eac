//! The rules of transfers, written straight down in order of precedence, for books that are kept in any way. Nothing
//! here uses the ledger's own code: the ledger's tests and the simulator judge the ledger by these rules.

use ledger::{AccountFlags as A, Limits, NewTransfer, PendingState, TransferFlags as F, TransferKey};
use types::{AccountId, Amount, TransferId};

/// A transfer as it was accepted, with what it inherited filled in, and the time of its acceptance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) new: NewTransfer,
    pub(crate) time: u64,
}

/// When an event is judged: its own time, whether its batch is an import, the time of the batch's last event, and whether a
/// second principal approved it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: u64,
    pub(crate) is_import: bool,
    pub(crate) last: u64,
    pub(crate) is_approved: bool,
}

/// The statuses that make a client's id unusable.
pub(crate) const STICKING: [&str; 9] = [
    "debit_account_not_found",
    "credit_account_not_found",
    "pending_transfer_not_found",
    "exceeds_credits",
    "exceeds_debits",
    "debit_account_already_closed",
    "credit_account_already_closed",
    "exceeds_min_balance",
    "exceeds_max_balance",
];

/// What the rules need to know about the books.
pub(crate) trait Books {
    /// The account as it was opened.
    fn opened(&self, id: AccountId) -> Option<ledger::Account>;
    /// Debits pending and posted, credits pending and posted.
    fn sides(&self, id: AccountId) -> [u128; 4];
    fn closed(&self, account: &ledger::Account) -> bool;
    fn bounds(&self, id: AccountId) -> Limits;
    fn moved(&self, key: TransferKey) -> Option<Moved>;
    /// The state of a pending transfer at `now`.
    fn became(&self, moved: &Moved, now: u64) -> Option<PendingState>;
    fn has_failed(&self, key: TransferKey) -> bool;
    fn is_scheduled(&self, key: TransferKey) -> bool;
    fn is_reserved_by_import(&self, _key: TransferKey) -> bool {
        false
    }
    /// The time of the last transfer.
    fn last_moved(&self) -> u64;
    fn is_time_of_account(&self, at: u64) -> bool;

    /// Returns the status, following the order of precedence. Fills in what the transfer inherits and the amount that
    /// moves.
    fn judge(&self, new: &mut NewTransfer, moment: Moment) -> &'static str {
        if let Some(status) = Self::judge_head(new, moment) {
            return status;
        }
        if let Some(recorded) = self.moved(new.key) {
            return self.compare(new, &recorded);
        }
        if self.is_reserved_by_import(new.key) {
            return "id_reserved_by_import";
        }
        if self.has_failed(new.key) {
            return "id_already_failed";
        }
        if self.is_scheduled(new.key) {
            return "id_already_scheduled";
        }
        self.judge_fresh(new, moment)
    }

    fn judge_fresh(&self, new: &mut NewTransfer, moment: Moment) -> &'static str {
        let is = |flag| new.flags.contains(flag);
        if is(F::POST_PENDING_TRANSFER) || is(F::VOID_PENDING_TRANSFER) {
            self.judge_resolution(new, moment)
        } else {
            self.judge_movement(new, moment)
        }
    }

    fn judge_head(new: &mut NewTransfer, moment: Moment) -> Option<&'static str> {
        let is_imported = new.flags.contains(F::IMPORTED);
        let out_of_range = new.timestamp_ns == 0 || i64::try_from(new.timestamp_ns).is_err();
        let head = [
            (moment.is_import && !is_imported, "imported_event_expected"),
            (!moment.is_import && is_imported, "imported_event_not_expected"),
            (!is_imported && new.timestamp_ns != 0, "timestamp_must_be_zero"),
            (is_imported && out_of_range, "imported_event_timestamp_out_of_range"),
            (is_imported && new.timestamp_ns >= moment.last, "imported_event_timestamp_must_not_advance"),
            (new.flags.bits() & !0b1_1111_1111 != 0, "reserved_flag"),
        ];
        if let Some((_, status)) = head.iter().find(|(wrong, _)| *wrong) {
            return Some(status);
        }
        if let TransferKey::Client(id) = new.key {
            match id.get() {
                0 => return Some("id_must_not_be_zero"),
                u128::MAX => return Some("id_must_not_be_int_max"),
                _ => {}
            }
        }
        if new.pending == Some(client(0)) {
            new.pending = None;
        }
        None
    }

    /// Checks the timestamp of an imported transfer.
    fn judge_time(&self, new: &NewTransfer, now: u64) -> Option<&'static str> {
        let is_taken = self.is_time_of_account(new.timestamp_ns);
        if new.timestamp_ns > now {
            Some("imported_event_timestamp_must_not_pass_event")
        } else if new.timestamp_ns <= self.last_moved() || is_taken {
            Some("imported_event_timestamp_must_not_regress")
        } else {
            None
        }
    }

    fn compare(&self, new: &NewTransfer, recorded: &Moved) -> &'static str {
        let on_record = &recorded.new;
        let pending = on_record.pending.and_then(|key| self.moved(key)).map(|moved| moved.new);
        let open = pending.is_some();
        let is = |flag| on_record.flags.contains(flag);
        let is_void = is(F::VOID_PENDING_TRANSFER);
        let has_amount = match pending {
            Some(_) if is_void && new.amount.is_zero() => true,
            Some(pending) if !is_void && new.amount == Amount::MAX => on_record.amount == pending.amount,
            None if is(F::BALANCING_DEBIT) || is(F::BALANCING_CREDIT) => on_record.amount <= new.amount,
            _ => on_record.amount == new.amount,
        };
        let has_data = |data: fn(&NewTransfer) -> u128| match &pending {
            Some(pending) if data(new) == 0 => data(on_record) == data(pending),
            _ => data(on_record) == data(new),
        };
        let comparisons = [
            (new.flags == on_record.flags, "exists_with_different_flags"),
            (new.pending == on_record.pending, "exists_with_different_pending_id"),
            (new.timeout_s == on_record.timeout_s, "exists_with_different_timeout"),
            (new.debit == on_record.debit || (open && new.debit.get() == 0), "exists_with_different_debit_account_id"),
            (
                new.credit == on_record.credit || (open && new.credit.get() == 0),
                "exists_with_different_credit_account_id",
            ),
            (has_amount, "exists_with_different_amount"),
            (has_data(|transfer| transfer.user_data_128), "exists_with_different_user_data_128"),
            (has_data(|transfer| transfer.user_data_64.into()), "exists_with_different_user_data_64"),
            (has_data(|transfer| transfer.user_data_32.into()), "exists_with_different_user_data_32"),
            (new.ledger == on_record.ledger || (open && new.ledger.get() == 0), "exists_with_different_ledger"),
            (new.code == on_record.code || (open && new.code.get() == 0), "exists_with_different_code"),
        ];
        comparisons.iter().find(|(same, _)| !same).map_or("exists", |(_, status)| status)
    }

    fn judge_movement(&self, new: &mut NewTransfer, moment: Moment) -> &'static str {
        let is_imported = new.flags.contains(F::IMPORTED);
        let is_pending = new.flags.contains(F::PENDING);
        let shape = [
            (new.debit.get() == 0, "debit_account_id_must_not_be_zero"),
            (new.debit.get() == u128::MAX, "debit_account_id_must_not_be_int_max"),
            (new.credit.get() == 0, "credit_account_id_must_not_be_zero"),
            (new.credit.get() == u128::MAX, "credit_account_id_must_not_be_int_max"),
            (new.debit == new.credit, "accounts_must_be_different"),
            (new.pending.is_some(), "pending_id_must_be_zero"),
            (new.timeout_s != 0 && !is_pending, "timeout_reserved_for_pending_transfer"),
            (
                new.flags.intersects(F::CLOSING_DEBIT | F::CLOSING_CREDIT) && !is_pending,
                "closing_transfer_must_be_pending",
            ),
            (new.ledger.get() == 0, "ledger_must_not_be_zero"),
            (new.code.get() == 0, "code_must_not_be_zero"),
        ];
        if let Some((_, status)) = shape.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        let Some(debit) = self.opened(new.debit) else { return "debit_account_not_found" };
        let Some(credit) = self.opened(new.credit) else { return "credit_account_not_found" };
        let [debit_pending, debit_posted, _, debit_gained] = self.sides(debit.id);
        let [_, credit_lost, credit_pending, credit_posted] = self.sides(credit.id);
        let by_client = matches!(new.key, TransferKey::Client(_));
        let policy_only = debit.flags.contains(A::POLICY_ONLY) || credit.flags.contains(A::POLICY_ONLY);
        let standing = [
            (debit.ledger != credit.ledger, "accounts_must_have_the_same_ledger"),
            (debit.ledger != new.ledger, "transfer_must_have_the_same_ledger_as_accounts"),
            (by_client && policy_only && !moment.is_approved, "account_is_policy_only"),
        ];
        if let Some((_, status)) = standing.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        let at = new.timestamp_ns;
        if is_imported && let Some(status) = self.judge_time(new, moment.now) {
            return status;
        }
        let standing = [
            (is_imported && at <= debit.timestamp.ns(), "imported_event_timestamp_must_postdate_debit_account"),
            (is_imported && at <= credit.timestamp.ns(), "imported_event_timestamp_must_postdate_credit_account"),
            (is_imported && new.timeout_s != 0, "imported_event_timeout_must_be_zero"),
            (self.closed(&debit), "debit_account_already_closed"),
            (self.closed(&credit), "credit_account_already_closed"),
        ];
        if let Some((_, status)) = standing.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        let mut amount = new.amount.get();
        if new.flags.contains(F::BALANCING_DEBIT) {
            amount = amount.min(debit_gained.saturating_sub(debit_pending + debit_posted));
        }
        if new.flags.contains(F::BALANCING_CREDIT) {
            amount = amount.min(credit_lost.saturating_sub(credit_pending + credit_posted));
        }
        new.amount = Amount::new(amount);
        let over = |balance: u128| balance.checked_add(amount).is_none();
        let end = i128::from(moment.now) + i128::from(new.timeout_s) * 1_000_000_000;
        let limited = |account: &ledger::Account, flag| account.flags.contains(flag);
        let room = [
            (is_pending && over(debit_pending), "overflows_debits_pending"),
            (is_pending && over(credit_pending), "overflows_credits_pending"),
            (over(debit_posted), "overflows_debits_posted"),
            (over(credit_posted), "overflows_credits_posted"),
            (over(debit_pending + debit_posted), "overflows_debits"),
            (over(credit_pending + credit_posted), "overflows_credits"),
            (end > i128::from(i64::MAX), "overflows_timeout"),
        ];
        if let Some((_, status)) = room.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        if limited(&debit, A::DEBITS_MUST_NOT_EXCEED_CREDITS) && debit_pending + debit_posted + amount > debit_gained {
            return "exceeds_credits";
        }
        if limited(&credit, A::CREDITS_MUST_NOT_EXCEED_DEBITS) && credit_pending + credit_posted + amount > credit_lost
        {
            return "exceeds_debits";
        }
        // A transfer of nothing crosses no limit, even if the balance is already beyond it.
        let limits = |account: &ledger::Account| self.bounds(account.id);
        let is_below = |gained: u128, lost: u128, floor: i128| {
            let bound = floor.unsigned_abs();
            if floor < 0 {
                gained.checked_add(bound).is_some_and(|most| lost > most)
            } else {
                lost.checked_add(bound).is_none_or(|least| least > gained)
            }
        };
        let floor = limits(&debit).min_balance;
        if amount > 0 && floor.is_some_and(|floor| is_below(debit_gained, debit_pending + debit_posted + amount, floor))
        {
            return "exceeds_min_balance";
        }
        // For the credit account the roles of debits and credits are exchanged.
        let floor = limits(&credit).max_balance.map(|ceiling| ceiling.checked_neg().unwrap_or(i128::MAX));
        if amount > 0
            && floor.is_some_and(|floor| is_below(credit_lost, credit_pending + credit_posted + amount, floor))
        {
            return "exceeds_max_balance";
        }
        "created"
    }

    fn judge_resolution(&self, new: &mut NewTransfer, moment: Moment) -> &'static str {
        let is_void = new.flags.contains(F::VOID_PENDING_TRANSFER);
        let does = new.flags.without(F::LINKED).without(F::IMPORTED);
        if ![F::POST_PENDING_TRANSFER, F::VOID_PENDING_TRANSFER].contains(&does) {
            return "flags_are_mutually_exclusive";
        }
        let Some(key) = new.pending else { return "pending_id_must_not_be_zero" };
        if key == client(u128::MAX) {
            return "pending_id_must_not_be_int_max";
        }
        if key == new.key {
            return "pending_id_must_be_different";
        }
        if new.timeout_s != 0 {
            return "timeout_reserved_for_pending_transfer";
        }
        let foreign = matches!((new.key, key), (TransferKey::Client(_), TransferKey::Leg { .. }));
        let Some(pending) = self.moved(key).filter(|_| !foreign) else { return "pending_transfer_not_found" };
        let from = pending.new;
        if !from.flags.contains(F::PENDING) {
            return "pending_transfer_not_pending";
        }
        let differs = |given: u128, expected: u128| given != 0 && given != expected;
        let all = if is_void { Amount::ZERO } else { Amount::MAX };
        let amount = if new.amount == all { from.amount } else { new.amount };
        let state = self.became(&pending, moment.now);
        let is_closed = |id| self.opened(id).is_some_and(|account| self.closed(&account));
        let checks = [
            (differs(new.debit.get(), from.debit.get()), "pending_transfer_has_different_debit_account_id"),
            (differs(new.credit.get(), from.credit.get()), "pending_transfer_has_different_credit_account_id"),
            (differs(new.ledger.get().into(), from.ledger.get().into()), "pending_transfer_has_different_ledger"),
            (differs(new.code.get().into(), from.code.get().into()), "pending_transfer_has_different_code"),
            (amount > from.amount, "exceeds_pending_transfer_amount"),
            (is_void && amount < from.amount, "pending_transfer_has_different_amount"),
            (state == Some(PendingState::Posted), "pending_transfer_already_posted"),
            (state == Some(PendingState::Voided), "pending_transfer_already_voided"),
            (state == Some(PendingState::Expired), "pending_transfer_expired"),
        ];
        if let Some((_, status)) = checks.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        if new.flags.contains(F::IMPORTED) {
            if from.timeout_s != 0 {
                return "imported_event_must_not_resolve_timed_transfer";
            }
            if let Some(status) = self.judge_time(new, moment.now) {
                return status;
            }
        }
        let by_client = matches!(new.key, TransferKey::Client(_));
        let policy_only = |id| self.opened(id).is_some_and(|account| account.flags.contains(A::POLICY_ONLY));
        let is_barred = by_client && (policy_only(from.debit) || policy_only(from.credit));
        let checks = [
            (is_barred && !moment.is_approved, "account_is_policy_only"),
            (!is_void && is_closed(from.debit), "debit_account_already_closed"),
            (!is_void && is_closed(from.credit), "credit_account_already_closed"),
        ];
        if let Some((_, status)) = checks.iter().find(|(wrong, _)| *wrong) {
            return status;
        }
        let or = |given: u128, inherited: u128| if given == 0 { inherited } else { given };
        *new = NewTransfer {
            debit: from.debit,
            credit: from.credit,
            ledger: from.ledger,
            code: from.code,
            amount,
            user_data_128: or(new.user_data_128, from.user_data_128),
            user_data_64: if new.user_data_64 == 0 { from.user_data_64 } else { new.user_data_64 },
            user_data_32: if new.user_data_32 == 0 { from.user_data_32 } else { new.user_data_32 },
            ..*new
        };
        "created"
    }
}

pub(crate) fn client(id: u128) -> TransferKey {
    TransferKey::Client(TransferId::new(id))
}
