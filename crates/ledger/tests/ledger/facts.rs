//! Facts, how they are applied, and what can be read afterwards.

use std::collections::BTreeSet;

use ledger::{Account, Fact, Ledger, PendingState, Transfer, TransferStatus};
use types::{Amount, DigestBuilder, LedgerId, Timestamp, TransferId};

use crate::story::{World, account, key, run};

const MOVED: &str = "
    book 2 JPY/0                  created
    open A1                       created
    open A2                       created
    hold T1 A1->A2 50 timeout=1   created
    post T2 T1 20                 created
    open A3 ledger=2              created
    open A4 ledger=2              created
    pay  T3 A3->A4 7 ledger=2     created
    pay  T4 A1->A9 1              credit_account_not_found
";

#[test]
fn only_what_changes_state_or_must_stick_leaves_a_fact() {
    let world = run("
        open A1                 created
        open A1                 exists
        open A2 code=0          code_must_not_be_zero
        pay  T1 A1->A2 5        credit_account_not_found
        pay  T1 A1->A2 5        id_already_failed
        pay  T2 A1->A1 5        accounts_must_be_different
    ");
    let failed = Fact::TransferFailed { id: TransferId::new(1), status: TransferStatus::CreditAccountNotFound };
    assert!(matches!(world.facts.as_slice(), [Fact::BookOpened(_), Fact::AccountOpened(_), last] if *last == failed));
    assert!(world.ledger.has_failed(TransferId::new(1)));
}

#[test]
fn pages_are_in_order_of_creation_of_one_book_or_of_all() {
    let world = run(MOVED);
    let ledger = &world.ledger;
    let accounts = |book: Option<u32>, after, limit| -> Vec<u128> {
        let page = ledger.accounts_after(book.map(LedgerId::new), after, limit);
        page.into_iter().map(|account| account.id.get()).collect()
    };
    assert_eq!(accounts(None, Timestamp::ZERO, 9), [1, 2, 3, 4]);
    assert_eq!(accounts(None, Timestamp::ZERO, 2), [1, 2]);
    let cursor = ledger.account(account("A2")).map(|account| account.timestamp).expect("A2 exists");
    assert_eq!(accounts(None, cursor, 1), [3]);
    assert_eq!(accounts(Some(1), cursor, 9), []);
    assert_eq!(accounts(Some(2), cursor, 9), [3, 4]);
    assert_eq!(accounts(Some(9), Timestamp::ZERO, 9), []);
    let back = |book: Option<u32>, before, limit| -> Vec<u128> {
        let page = ledger.accounts_before(book.map(LedgerId::new), before, limit);
        page.into_iter().map(|account| account.id.get()).collect()
    };
    assert_eq!(back(None, Timestamp::MAX, 9), [4, 3, 2, 1]);
    assert_eq!(back(None, Timestamp::MAX, 2), [4, 3]);
    assert_eq!(back(None, cursor, 9), [1]);
    assert_eq!(back(Some(2), Timestamp::MAX, 1), [4]);
    assert_eq!(back(Some(2), cursor, 9), []);

    let transfers = |book: Option<u32>, after, limit| -> Vec<_> {
        let page = ledger.transfers_after(book.map(LedgerId::new), after, limit);
        page.into_iter().map(|transfer| transfer.key).collect()
    };
    assert_eq!(transfers(None, Timestamp::ZERO, 9), [key("T1"), key("T2"), key("T3")]);
    assert_eq!(transfers(Some(2), cursor, 9), [key("T3")]);
    assert_eq!(transfers(Some(1), cursor, 1), [key("T1")]);
    assert_eq!(transfers(Some(9), cursor, 1), []);
    let books: Vec<u32> = ledger.books().map(|book| book.id.get()).collect();
    assert_eq!(books, [1, 2]);
    assert_eq!(ledger.trial_balance(LedgerId::new(9)), None);
}

#[test]
fn a_trial_balance_past_the_largest_amount_reads_as_the_largest_and_comes_back_exact() {
    let mut world = run("
        open A1                       created
        open A2                       created
        open A3                       created
        open A4                       created
        hold T1 A1->A2 max            created
        hold T2 A3->A4 max timeout=1  created
        sums 1 pending=max posted=0
    ");
    world.apply(Fact::TransferExpired(key("T2")));
    let sums = world.ledger.trial_balance(LedgerId::new(1)).expect("the book exists");
    assert_eq!([sums.debits_pending, sums.credits_pending], [Amount::MAX; 2]);
    world.check_replay();
}

#[test]
fn a_post_records_what_it_inherited() {
    let world = run("
        open A1                                                                           created
        open A2                                                                           created
        hold T1 A1->A2 50 timeout=9 code=3 user_data_128=7 user_data_64=8 user_data_32=9  created
        post T2 T1 20 user_data_64=1                                                      created
    ");
    let [pending, post] = ["T1", "T2"].map(|name| world.ledger.transfer(key(name)).expect(name));
    let inherited = Transfer {
        key: post.key,
        amount: Amount::new(20),
        pending: Some(pending.key),
        user_data_64: 1,
        timeout_s: 0,
        flags: post.flags,
        timestamp: post.timestamp,
        ..pending
    };
    assert_eq!(post, inherited);
    assert_eq!(post.expires_at(), None);
}

#[test]
fn each_fact_changes_the_digest() {
    let world = run(MOVED);
    let mut replica = World::default();
    let mut seen = vec![];
    for fact in &world.facts {
        replica.apply(fact.clone());
        seen.push(replica.digest());
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn the_digest_tells_balances_flags_and_states_apart() {
    // The same fact has different effects after different histories.
    let digest_of = |story: &str| {
        let world = run(story);
        let mut digest = DigestBuilder::new("finaira ledger test");
        world.ledger.digest_after(&Fact::TransferCreated(created(&world)), &mut digest);
        world.ledger.digest_changes(&mut digest);
        digest.digest()
    };
    let held = "open A1 created\nopen A2 created\nhold T1 A1->A2 0 timeout=1 created\n";
    let histories = [
        held.to_owned(),
        format!("{held} clock T1+1s\n expire T1"),
        format!("{held} post T2 T1 0 created"),
        format!("{held} void T2 T1 created"),
        format!("{held} pay T2 A1->A2 1 created"),
        format!("{held} hold T2 A1->A2 1 created"),
        format!("{held} hold T2 A1->A2 0 closing_debit created"),
        format!("{held} hold T2 A1->A2 0 closing_credit created"),
    ];
    let digests: BTreeSet<_> = histories.iter().map(|story| digest_of(story)).collect();
    assert_eq!(digests.len(), histories.len());
}

#[track_caller]
fn first<T>(world: &World, pick: impl Fn(&Fact) -> Option<T>) -> T {
    world.facts.iter().find_map(pick).expect("the story has one")
}

fn opened(world: &World) -> Account {
    first(world, |fact| if let Fact::AccountOpened(account) = fact { Some(*account) } else { None })
}

fn created(world: &World) -> Transfer {
    first(world, |fact| if let Fact::TransferCreated(transfer) = fact { Some(*transfer) } else { None })
}

#[test]
#[should_panic(expected = "LED-4")]
fn opening_an_account_twice_is_a_bug() {
    let mut world = run(MOVED);
    let account = Account { timestamp: Timestamp::MAX, ..opened(&world) };
    world.apply(Fact::AccountOpened(account));
}

#[test]
#[should_panic(expected = "LED-4")]
fn creating_a_transfer_twice_is_a_bug() {
    let mut world = run(MOVED);
    let transfer = Transfer { timestamp: Timestamp::MAX, ..created(&world) };
    world.apply(Fact::TransferCreated(transfer));
}

#[test]
#[should_panic(expected = "LED-4")]
fn creating_what_failed_is_a_bug() {
    let mut world = run(MOVED);
    let transfer = Transfer { key: key("T4"), timestamp: Timestamp::MAX, ..created(&world) };
    world.apply(Fact::TransferCreated(transfer));
}

#[test]
#[should_panic(expected = "LED-4")]
fn failing_twice_is_a_bug() {
    run(MOVED).apply(Fact::TransferFailed { id: TransferId::new(4), status: TransferStatus::ExceedsCredits });
}

#[test]
#[should_panic(expected = "LED-4")]
fn failing_after_creation_is_a_bug() {
    run(MOVED).apply(Fact::TransferFailed { id: TransferId::new(1), status: TransferStatus::ExceedsCredits });
}

#[test]
#[should_panic(expected = "LED-4")]
fn recording_a_refusal_that_does_not_stick_is_a_bug() {
    run(MOVED).apply(Fact::TransferFailed { id: TransferId::new(9), status: TransferStatus::CodeMustNotBeZero });
}

#[test]
#[should_panic(expected = "LED-4")]
fn opening_a_book_twice_is_a_bug() {
    let mut world = run(MOVED);
    let book = *world.ledger.book(LedgerId::new(2)).expect("the story opens it");
    world.apply(Fact::BookOpened(book));
}

#[test]
#[should_panic(expected = "LED-3")]
fn a_transfer_in_the_past_is_a_bug() {
    let mut world = run(MOVED);
    let transfer = Transfer { key: key("T9"), ..created(&world) };
    world.apply(Fact::TransferCreated(transfer));
}

#[test]
#[should_panic(expected = "LED-1")]
fn an_account_that_opens_with_money_is_a_bug() {
    let mut ledger = Ledger::default();
    let world = run(MOVED);
    ledger.apply(&Fact::AccountOpened(Account { credits_posted: Amount::new(1), ..opened(&world) }));
}

#[test]
#[should_panic(expected = "LED-8")]
fn an_account_without_a_book_is_a_bug() {
    Ledger::default().apply(&Fact::AccountOpened(opened(&run(MOVED))));
}

#[test]
#[should_panic(expected = "LED-8")]
fn a_transfer_into_another_book_is_a_bug() {
    let mut world = run(MOVED);
    let across = Transfer { key: key("T9"), credit: account("A3"), timestamp: Timestamp::MAX, ..created(&world) };
    world.apply(Fact::TransferCreated(across));
}

#[test]
#[should_panic(expected = "LED-5")]
fn resolving_twice_is_a_bug() {
    let mut world = run(MOVED);
    assert_eq!(world.ledger.pending_state(key("T1"), Timestamp::MAX), Some(PendingState::Posted));
    let post = world.ledger.transfer(key("T2")).expect("T2 exists");
    world.apply(Fact::TransferCreated(Transfer { key: key("T9"), timestamp: Timestamp::MAX, ..post }));
}

#[test]
#[should_panic(expected = "LED-2")]
fn crossing_a_limit_is_a_bug() {
    let mut world = run("
        open A1 debits_must_not_exceed_credits created
        open A2                                created
        pay  T1 A2->A1 5                       created
        pay  T2 A1->A2 5                       created
    ");
    let again = world.ledger.transfer(key("T2")).expect("T2 exists");
    world.apply(Fact::TransferCreated(Transfer { key: key("T9"), timestamp: Timestamp::MAX, ..again }));
}

#[test]
#[should_panic(expected = "LED-6")]
fn more_than_an_account_can_hold_is_a_bug() {
    let mut world = run("
        open A1            created
        open A2            created
        pay T1 A1->A2 max  created
    ");
    let again = created(&world);
    world.apply(Fact::TransferCreated(Transfer { key: key("T9"), timestamp: Timestamp::MAX, ..again }));
}
