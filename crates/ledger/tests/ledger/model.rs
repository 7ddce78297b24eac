//! Runs random commands on the ledger and on a naive model. The model keeps only the list of accepted transfers and
//! recomputes everything from it each time.

mod commands;
mod naive;
mod rules;
mod settings;

use ledger::{
    AccountFlags as A, ChangeStatus, Fact, Ledger, MetadataOf, NewAccount, Outcome, Planned, Scheduled, TransferKey,
    TransferStatus,
};
use proptest::prelude::*;
use types::{AccountId, Amount, Code, LedgerId, Timestamp};

use self::commands::{Command, command};
use self::naive::Model;
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
                Command::Transfers(steps) => {
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    for step in steps {
                        let new = step.request(&asked, &model.moves);
                        let expected = model.create(&new, now + plan.timestamps_used());
                        let outcome = plan.create_transfer(&new);
                        prop_assert_eq!(told(&outcome), expected, "{:?}", new);
                        asked.push(new);
                    }
                    now += plan.timestamps_used();
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                }
                Command::BatchContext { wait, is_import, events } => {
                    now += wait;
                    let events = Command::events(is_import, &events, &asked, &model, now);
                    world.set_clock(now);
                    let outcomes = world.events(&events, Ledger::plan_transfer_of);
                    let expected = model.create_all(&events, now);
                    prop_assert_eq!(outcomes.iter().map(told).collect::<Vec<_>>(), expected, "{:?}", events);
                    now += events.len() as u64;
                    asked.extend(events);
                }
                Command::Import(id, when) => {
                    let last = model.accounts.iter().map(|account| account.timestamp.ns()).max().unwrap_or_default();
                    let timestamp_ns = when.at(&model, now, last);
                    let (id, ledger, code, flags) = (AccountId::new(id), LedgerId::new(1), Code::new(1), A::IMPORTED);
                    let new = NewAccount { id, ledger, code, flags, timestamp_ns, ..NewAccount::default() };
                    let planned = world.ledger.plan_account(Timestamp::from_ns(now), &new);
                    let status = match planned.outcome {
                        Outcome::Created { .. } => "created",
                        Outcome::Exists { .. } => "exists",
                        Outcome::Refused(refusal) => refusal.status.name(),
                    };
                    prop_assert_eq!(status, model.import_account(&new, now), "{:?}", new);
                    planned.fact.into_iter().for_each(|fact| world.apply(fact));
                    model.accounts = opened(&world);
                }
                Command::Limits(account, limits) => {
                    let account = AccountId::new(account);
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    let outcome = plan.set_limits(account, limits);
                    prop_assert_eq!(changed(&outcome), model.set_limits(account, limits));
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                }
                Command::Address(account, address) => {
                    let account = AccountId::new(account);
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    let outcome = plan.set_address(account, &address.parse().expect("an address"));
                    prop_assert_eq!(changed(&outcome), model.set_address(account, address));
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                }
                Command::Metadata { account, which, key, value } => {
                    let of = match account {
                        Some(account) => MetadataOf::Account(AccountId::new(account)),
                        None if asked.is_empty() => MetadataOf::Transfer(naive::client(1)),
                        None => MetadataOf::Transfer(which.get(&asked).key),
                    };
                    let mut plan = world.ledger.plan(Timestamp::from_ns(now));
                    let outcome = plan.set_metadata(of, &[(key.to_owned(), value.map(str::to_owned))]);
                    prop_assert_eq!(changed(&outcome), model.set_metadata(of, key, value));
                    plan.into_facts().into_iter().for_each(|fact| world.apply(fact));
                }
                Command::Schedule(step, later) => {
                    let new = step.request(&asked, &model.moves);
                    let scheduled = Scheduled { new, at: Timestamp::from_ns(now + later) };
                    let planned = world.ledger.plan_scheduled(Timestamp::from_ns(now), &scheduled);
                    prop_assert_eq!(take(&mut world, planned), model.schedule(scheduled, now), "{:?}", scheduled);
                    asked.push(new);
                }
                Command::Cancel(which) if !asked.is_empty() => {
                    let key = which.get(&asked).key;
                    let TransferKey::Client(id) = key else { continue };
                    let planned = world.ledger.plan_cancel_scheduled(Timestamp::from_ns(now), id);
                    prop_assert_eq!(take(&mut world, planned), model.cancel(key));
                }
                Command::Cancel(_) => {}
                Command::Execute(limit) => {
                    let due = world.ledger.due_scheduled(Timestamp::from_ns(now), limit);
                    let keys: Vec<_> = due.iter().map(|id| TransferKey::Client(*id)).collect();
                    prop_assert_eq!(&keys, &model.due_scheduled(now, limit));
                    for id in due {
                        now += 1;
                        let planned = world.ledger.plan_due_scheduled(Timestamp::from_ns(now), id);
                        prop_assert_eq!(take(&mut world, planned), model.execute(TransferKey::Client(id), now));
                    }
                }
                Command::Forget => world.forget(),
            }
            check_same(&world, &model, now)?;
        }
        world.check_replay();
    }
}

fn told(outcome: &Outcome<TransferStatus>) -> &'static str {
    match outcome {
        Outcome::Created { .. } => "created",
        Outcome::Exists { .. } => "exists",
        Outcome::Refused(refusal) => refusal.status.name(),
    }
}

fn changed(outcome: &Outcome<ChangeStatus>) -> &'static str {
    match outcome {
        Outcome::Created { .. } => "created",
        Outcome::Exists { .. } => "exists",
        Outcome::Refused(refusal) => refusal.status.name(),
    }
}

/// Applies the fact that was planned and returns the name of the status.
fn take(world: &mut World, planned: Planned<TransferStatus>) -> &'static str {
    planned.fact.into_iter().for_each(|fact| world.apply(fact));
    told(&planned.outcome)
}

fn opened(world: &World) -> Vec<ledger::Account> {
    world
        .facts
        .iter()
        .filter_map(|fact| if let Fact::AccountOpened(account) = fact { Some(*account) } else { None })
        .collect()
}

/// Checks that balances, flags, states and sums agree, and that the books balance.
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
    for id in (0..9).map(AccountId::new) {
        prop_assert_eq!(world.ledger.limits(id), model.limits.get(&id).copied().unwrap_or_default());
        prop_assert_eq!(world.ledger.address(id), model.addresses.get(&id).map(String::as_str));
    }
    for prefix in ["", "a", "a:b", "b"] {
        check_below(world, model, prefix)?;
    }
    for (key, value) in [("k", "1"), ("k", "\"x\""), ("l", "1")] {
        let found = world.ledger.find_by_metadata(key, value, None, usize::MAX);
        let mut expected: Vec<MetadataOf> =
            model.metadata.iter().filter(|((_, k), v)| k == key && *v == value).map(|((of, _), _)| *of).collect();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
    let waiting = world.ledger.due_scheduled(Timestamp::MAX, usize::MAX);
    let waiting: Vec<_> = waiting.into_iter().map(TransferKey::Client).collect();
    prop_assert_eq!(waiting, model.due_scheduled(u64::MAX, usize::MAX));
    for moved in &model.moves {
        let shown = world.ledger.transfer(moved.new.key).expect("it was created");
        let model_says = (moved.new.debit, moved.new.credit, moved.new.amount, moved.time);
        prop_assert_eq!((shown.debit, shown.credit, shown.amount, shown.timestamp.ns()), model_says);
        prop_assert_eq!(world.ledger.pending_state(moved.new.key, Timestamp::from_ns(now)), model.state(moved, now));
    }
    Ok(())
}

/// Checks the accounts at and below a prefix, in order of address, and their sums in book 1.
fn check_below(world: &World, model: &Model, prefix: &str) -> Result<(), TestCaseError> {
    let is_below = |address: &str| {
        prefix.is_empty() || address == prefix || address.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(':'))
    };
    let mut below: Vec<_> = model.addresses.iter().filter(|(_, address)| is_below(address)).collect();
    below.sort_by_key(|(_, address)| *address);
    let found = world.ledger.accounts_below(prefix, None, usize::MAX);
    let ids = || below.iter().map(|(id, _)| **id);
    prop_assert_eq!(found.iter().map(|account| account.id).collect::<Vec<_>>(), ids().collect::<Vec<_>>());
    if prefix.is_empty() {
        // The ledger keeps no sums for the empty prefix.
        return Ok(());
    }
    let in_book = |id: &AccountId| model.account(*id).is_some_and(|account| account.ledger == LedgerId::new(1));
    let sum = |place: usize| ids().filter(in_book).map(|id| model.balances(id)[place]).fold(0, u128::saturating_add);
    let sums = world.ledger.sums_below(LedgerId::new(1), prefix);
    prop_assert_eq!(sums.is_some(), ids().any(|id| in_book(&id)), "sums below {:?}", prefix);
    if let Some(sums) = sums {
        let shown = [sums.debits_pending, sums.debits_posted, sums.credits_pending, sums.credits_posted];
        prop_assert_eq!(shown.map(Amount::get), [0, 1, 2, 3].map(sum), "sums below {:?}", prefix);
    }
    Ok(())
}
