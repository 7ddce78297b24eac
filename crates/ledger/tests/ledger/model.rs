//! Random commands, answered by the ledger and by a naive model that keeps nothing but the list of accepted transfers
//! and works everything out from there, each time anew.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    AccountFlags as A, Batch, Fact, Limits, NewAccount, NewTransfer, Outcome, PendingState, TransferFlags as F,
    TransferKey, TransferStatus,
};
use proptest::prelude::*;
use types::{AccountId, Amount, Code, LedgerId, Timestamp, TransferId};

use crate::commands::{Command, Step, command};
use crate::story::{World, run};

const ACCOUNTS: &str = "
    book 2 USD/2                                created
    open A1                                     created
    open A2                                     created
    open A3 debits_must_not_exceed_credits      created
    open A4 credits_must_not_exceed_debits      created
    open A5 ledger=2                            created
    open A6 closed                              created
    open A7 policy_only                         created
";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn the_ledger_answers_as_the_naive_model_does(commands in prop::collection::vec(command(), 1..80)) {
        let mut world = run(ACCOUNTS);
        let mut model = Model { accounts: opened(&world), ..Model::default() };
        let mut asked = vec![];
        let mut now = world.ledger.last_timestamp().ns();
        for command in commands {
            now += 1;
            match command {
                Command::Wait(ns) => now += ns,
                Command::OpenA8 => {
                    let new = NewAccount {
                        id: AccountId::new(8), ledger: LedgerId::new(1), code: Code::new(1), ..NewAccount::default()
                    };
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    plan.open_account(&new);
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                    model.accounts = opened(&world);
                }
                Command::Expire(limit) => {
                    let due = world.ledger.due(Timestamp::from_ns(now), limit);
                    prop_assert_eq!(&due, &model.due(now, limit));
                    due.iter().for_each(|&key| world.apply(Fact::TransferExpired(key)));
                    model.expired.extend(due);
                }
                Command::Forget => world.forget(),
                Command::Limits { account, limits } => {
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    plan.set_limits(account, limits);
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                    model.limits.insert(account, limits);
                }
                Command::Chain(steps) => {
                    let count = steps.len();
                    let request = |(place, step): (usize, Step)| {
                        let new = step.request(&asked, &model.moves);
                        let (chained, alone) = (F::LINKED, F::from_bits(new.flags.bits() & 0xfefe));
                        NewTransfer { flags: if place + 1 < count { alone | chained } else { alone }, ..new }
                    };
                    let events: Vec<_> = steps.into_iter().enumerate().map(request).collect();
                    let at = Timestamp::from_ns(now);
                    let planned = world.ledger.plan_chain(Batch::of(&events, at), at, &events);
                    let statuses: Vec<_> = planned.outcomes.iter().map(status_of).collect();
                    prop_assert_eq!(statuses, model.create_chain(&events, now), "{:?}", events);
                    planned.facts.into_iter().for_each(|fact| world.apply(fact));
                    now += count as u64;
                    asked.extend(events);
                }
                Command::Transfers(steps) => {
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    for step in steps {
                        let new = step.request(&asked, &model.moves);
                        let expected = model.create(&new, now + plan.timestamps_used());
                        let outcome = plan.create_transfer(&new);
                        prop_assert_eq!(status_of(&outcome), expected, "{:?}", new);
                        asked.push(new);
                    }
                    now += plan.timestamps_used();
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                }
            }
            check_same(&world, &model, now)?;
        }
        world.check_replay();
    }
}

fn status_of(outcome: &Outcome<TransferStatus>) -> &'static str {
    match outcome {
        Outcome::Created { .. } => "created",
        Outcome::Exists { .. } => "exists",
        Outcome::Refused(refusal) => refusal.status.name(),
    }
}

fn opened(world: &World) -> Vec<ledger::Account> {
    world
        .facts
        .iter()
        .filter_map(|fact| if let Fact::AccountOpened(account) = fact { Some(*account) } else { None })
        .collect()
}

/// Balances, flags, states and sums agree, and the books balance.
fn check_same(world: &World, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let mut sums = [[0_u128; 4]; 3];
    for opened in &model.accounts {
        let account = world.ledger.account(opened.id).expect("it was opened");
        let [debits_pending, debits_posted, credits_pending, credits_posted] = model.balances(opened.id);
        let shown = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted];
        let expected = [debits_pending, debits_posted, credits_pending, credits_posted];
        prop_assert_eq!(shown.map(Amount::get), expected, "balances of {}", account.id);
        prop_assert_eq!(account.is_closed(), model.is_closed(opened), "{} closed", account.id);
        if account.flags.contains(A::DEBITS_MUST_NOT_EXCEED_CREDITS) {
            prop_assert!(debits_pending + debits_posted <= credits_posted);
        }
        if account.flags.contains(A::CREDITS_MUST_NOT_EXCEED_DEBITS) {
            prop_assert!(credits_pending + credits_posted <= debits_posted);
        }
        let sums = &mut sums[account.ledger.get() as usize];
        sums.iter_mut().zip(expected).for_each(|(sum, balance)| *sum = sum.saturating_add(balance));
    }
    for book in [1, 2] {
        let shown = world.ledger.trial_balance(LedgerId::new(book)).expect("it was opened");
        let shown = [shown.debits_pending, shown.debits_posted, shown.credits_pending, shown.credits_posted];
        prop_assert_eq!(shown.map(Amount::get), sums[book as usize]);
        prop_assert_eq!(
            [sums[book as usize][0], sums[book as usize][1]],
            [sums[book as usize][2], sums[book as usize][3]]
        );
    }
    for moved in &model.moves {
        let shown = world.ledger.transfer(moved.new.key).expect("it was created");
        let model_says = (moved.new.debit, moved.new.credit, moved.new.amount, moved.time);
        prop_assert_eq!((shown.debit, shown.credit, shown.amount, shown.timestamp.ns()), model_says);
        prop_assert_eq!(world.ledger.pending_state(moved.new.key, Timestamp::from_ns(now)), model.state(moved, now));
    }
    Ok(())
}

/// What a client may have meant by its request, filled in, and when it was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) new: NewTransfer,
    time: u64,
}

#[derive(Debug, Clone, Default)]
struct Model {
    accounts: Vec<ledger::Account>,
    moves: Vec<Moved>,
    failed: BTreeSet<TransferKey>,
    expired: BTreeSet<TransferKey>,
    limits: BTreeMap<AccountId, Limits>,
}

impl Model {
    fn find(&self, key: TransferKey) -> Option<&Moved> {
        self.moves.iter().find(|moved| moved.new.key == key)
    }

    /// The post or void of a pending transfer.
    fn resolution(&self, key: TransferKey) -> Option<&Moved> {
        self.moves.iter().find(|moved| moved.new.pending == Some(key))
    }

    fn is_reserved(&self, moved: &Moved) -> bool {
        let key = moved.new.key;
        moved.new.flags.contains(F::PENDING) && self.resolution(key).is_none() && !self.expired.contains(&key)
    }

    /// Debits pending and posted, credits pending and posted.
    fn balances(&self, id: AccountId) -> [u128; 4] {
        let mut balances = [0; 4];
        for moved in &self.moves {
            let flags = moved.new.flags;
            let [pending, posted] = if self.is_reserved(moved) {
                [moved.new.amount.get(), 0]
            } else if flags.intersects(F::PENDING | F::VOID_PENDING_TRANSFER) {
                [0, 0]
            } else {
                [0, moved.new.amount.get()]
            };
            if moved.new.debit == id {
                balances = [balances[0] + pending, balances[1] + posted, balances[2], balances[3]];
            }
            if moved.new.credit == id {
                balances = [balances[0], balances[1], balances[2] + pending, balances[3] + posted];
            }
        }
        balances
    }

    fn is_closed(&self, account: &ledger::Account) -> bool {
        let closes = |moved: &Moved| {
            (moved.new.debit == account.id && moved.new.flags.contains(F::CLOSING_DEBIT))
                || (moved.new.credit == account.id && moved.new.flags.contains(F::CLOSING_CREDIT))
        };
        account.flags.contains(A::CLOSED) || self.moves.iter().any(|moved| closes(moved) && self.is_reserved(moved))
    }

    fn expiry(moved: &Moved) -> Option<u64> {
        (moved.new.timeout_s > 0).then(|| moved.time + u64::from(moved.new.timeout_s) * 1_000_000_000)
    }

    fn state(&self, moved: &Moved, now: u64) -> Option<PendingState> {
        if !moved.new.flags.contains(F::PENDING) {
            return None;
        }
        Some(match self.resolution(moved.new.key) {
            Some(by) if by.new.flags.contains(F::POST_PENDING_TRANSFER) => PendingState::Posted,
            Some(_) => PendingState::Voided,
            None if Self::expiry(moved).is_some_and(|expiry| now >= expiry) => PendingState::Expired,
            None => PendingState::Pending,
        })
    }

    fn due(&self, now: u64, limit: usize) -> Vec<TransferKey> {
        let reserved = self.moves.iter().filter(|moved| self.is_reserved(moved));
        let mut due: Vec<_> =
            reserved.filter(|moved| Self::expiry(moved).is_some_and(|expiry| now >= expiry)).collect();
        due.sort_by_key(|moved| (Self::expiry(moved), moved.time));
        due.into_iter().take(limit).map(|moved| moved.new.key).collect()
    }

    fn create(&mut self, new: &NewTransfer, now: u64) -> &'static str {
        if new.flags.contains(F::LINKED) {
            return "linked_event_chain_open";
        }
        self.create_link(new, now)
    }

    /// All or nothing; only the event that broke the chain can spend its id.
    fn create_chain(&mut self, events: &[NewTransfer], now: u64) -> Vec<&'static str> {
        let before = self.clone();
        for (place, event) in events.iter().enumerate() {
            let status = self.create_link(event, now + place as u64);
            if status != "created" {
                *self = Self { failed: std::mem::take(&mut self.failed), ..before };
                let mut statuses = vec!["linked_event_failed"; events.len()];
                statuses[place] = status;
                return statuses;
            }
        }
        vec!["created"; events.len()]
    }

    fn create_link(&mut self, new: &NewTransfer, now: u64) -> &'static str {
        let mut new = *new;
        let status = self.judge(&mut new, now);
        let sticks = [
            "debit_account_not_found",
            "credit_account_not_found",
            "pending_transfer_not_found",
            "exceeds_credits",
            "exceeds_debits",
            "exceeds_min_balance",
            "exceeds_max_balance",
            "debit_account_already_closed",
            "credit_account_already_closed",
        ];
        if status == "created" {
            self.moves.push(Moved { new, time: now });
        } else if sticks.contains(&status) && matches!(new.key, TransferKey::Client(_)) {
            self.failed.insert(new.key);
        }
        status
    }

    /// The status, straight down the list of `precedence`; fills in what is inherited and what moves.
    fn judge(&self, new: &mut NewTransfer, now: u64) -> &'static str {
        if new.flags.contains(F::IMPORTED) {
            return "imported_event_timestamp_out_of_range";
        }
        if new.flags.bits() & !0xff != 0 {
            return "reserved_flag";
        }
        if let TransferKey::Client(id) = new.key {
            match id.get() {
                0 => return "id_must_not_be_zero",
                u128::MAX => return "id_must_not_be_int_max",
                _ => {}
            }
        }
        if new.pending == Some(client(0)) {
            new.pending = None;
        }
        if let Some(recorded) = self.find(new.key) {
            return self.compare(new, recorded);
        }
        if self.failed.contains(&new.key) {
            return "id_already_failed";
        }
        let is = |flag| new.flags.contains(flag);
        if is(F::POST_PENDING_TRANSFER) || is(F::VOID_PENDING_TRANSFER) {
            self.judge_resolution(new, now)
        } else {
            self.judge_movement(new, now)
        }
    }

    fn compare(&self, new: &NewTransfer, recorded: &Moved) -> &'static str {
        let on_record = &recorded.new;
        let pending = on_record.pending.and_then(|key| self.find(key)).map(|moved| moved.new);
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

    fn judge_movement(&self, new: &mut NewTransfer, now: u64) -> &'static str {
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
        let account = |id| self.accounts.iter().find(|account| account.id == id);
        let Some(debit) = account(new.debit) else { return "debit_account_not_found" };
        let Some(credit) = account(new.credit) else { return "credit_account_not_found" };
        let [debit_pending, debit_posted, _, debit_gained] = self.balances(debit.id);
        let [_, credit_lost, credit_pending, credit_posted] = self.balances(credit.id);
        let by_client = matches!(new.key, TransferKey::Client(_));
        let policy_only = debit.flags.contains(A::POLICY_ONLY) || credit.flags.contains(A::POLICY_ONLY);
        let standing = [
            (debit.ledger != credit.ledger, "accounts_must_have_the_same_ledger"),
            (debit.ledger != new.ledger, "transfer_must_have_the_same_ledger_as_accounts"),
            (by_client && policy_only, "account_is_policy_only"),
            (self.is_closed(debit), "debit_account_already_closed"),
            (self.is_closed(credit), "credit_account_already_closed"),
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
        let end = i128::from(now) + i128::from(new.timeout_s) * 1_000_000_000;
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
        if limited(debit, A::DEBITS_MUST_NOT_EXCEED_CREDITS) && debit_pending + debit_posted + amount > debit_gained {
            return "exceeds_credits";
        }
        if limited(credit, A::CREDITS_MUST_NOT_EXCEED_DEBITS) && credit_pending + credit_posted + amount > credit_lost {
            return "exceeds_debits";
        }
        let limits = |account: &ledger::Account| self.limits.get(&account.id).copied().unwrap_or_default();
        let sinks = |floor| is_less(&[debit_gained], &[debit_pending, debit_posted, amount], floor);
        if amount > 0 && limits(debit).min_balance.is_some_and(sinks) {
            return "exceeds_min_balance";
        }
        let ceiling = limits(credit).max_balance.map(|ceiling| -ceiling);
        let rises = |floor| is_less(&[credit_lost], &[credit_pending, credit_posted, amount], floor);
        if amount > 0 && ceiling.is_some_and(rises) {
            return "exceeds_max_balance";
        }
        "created"
    }

    fn judge_resolution(&self, new: &mut NewTransfer, now: u64) -> &'static str {
        let is_void = new.flags.contains(F::VOID_PENDING_TRANSFER);
        if ![F::POST_PENDING_TRANSFER, F::VOID_PENDING_TRANSFER].contains(&new.flags.without(F::LINKED)) {
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
        let Some(pending) = self.find(key).filter(|_| !foreign) else { return "pending_transfer_not_found" };
        let from = pending.new;
        if !from.flags.contains(F::PENDING) {
            return "pending_transfer_not_pending";
        }
        let differs = |given: u128, expected: u128| given != 0 && given != expected;
        let all = if is_void { Amount::ZERO } else { Amount::MAX };
        let amount = if new.amount == all { from.amount } else { new.amount };
        let state = self.state(pending, now);
        let is_closed = |id| self.accounts.iter().any(|account| account.id == id && self.is_closed(account));
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

/// Whether `held` less `used` is less than `floor`.
fn is_less(held: &[u128], used: &[u128], floor: i128) -> bool {
    let sum = |parts: &[u128], more: u128| {
        parts.iter().fold((0, more), |(carries, sum), part| {
            let (sum, carried) = sum.overflowing_add(*part);
            (carries + u32::from(carried), sum)
        })
    };
    let (below, above) = if floor < 0 { (floor.unsigned_abs(), 0) } else { (0, floor.unsigned_abs()) };
    sum(held, below) < sum(used, above)
}

pub(crate) fn client(id: u128) -> TransferKey {
    TransferKey::Client(TransferId::new(id))
}
