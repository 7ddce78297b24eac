//! Batches of orders: a dry run predicts the batch, and a chain that fails leaves nothing.

use std::time::{Duration, Instant};

use engine::{
    AccountOrder, AnyTransfer, Applied, CreateTransferBatch, Dry, Engine, Made, ORDERS_MAX, OpenAccountBatch,
    OpenLedger, Operation, Refusal, Request, TransferOrder,
};
use ledger::{Limits, NewAccount, NewTransfer, PendingState, TransferFlags, TransferKey};
use types::{AccountId, ActorId, Amount, Code, LedgerId, Origin, RequestId, ShardId, TenantId, Timestamp, TransferId};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);

/// An engine with a ledger and the accounts 1, 2 and 3.
struct World(Engine);

impl World {
    fn new() -> Self {
        let mut world = Self(Engine::new(ShardId::new(0), TenantId::new(1)));
        world.0.start(START, Origin::new(7), &mut |_: Applied<'_>| {});
        world.ask(OpenLedger { id: LedgerId::new(1), asset: "EUR/2".parse().expect("an asset") }).expect("a ledger");
        let opened = world.ask(OpenAccountBatch((1..=3).map(account).collect())).expect("accounts");
        assert!(opened.iter().all(Result::is_ok));
        world
    }

    fn ask<O: Operation>(&mut self, operation: O) -> engine::Answered<O> {
        let (tenant, command) = (TenantId::new(1), operation.into());
        let request = Request { tenant, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        O::answer(self.0.execute(START, &request, &mut |_: Applied<'_>| {}))
    }
}

fn account(id: u128) -> AccountOrder {
    let new =
        NewAccount { id: AccountId::new(id), ledger: LedgerId::new(1), code: Code::new(1), ..NewAccount::default() };
    AccountOrder::from(new)
}

const fn key(id: u128) -> TransferKey {
    TransferKey::Client(TransferId::new(id))
}

fn transfer(id: u128, amount: u128, flags: TransferFlags) -> TransferOrder {
    let new = NewTransfer {
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(amount),
        code: Code::new(1),
        flags,
        ..NewTransfer::named(key(id))
    };
    TransferOrder::from(new)
}

fn post(id: u128, pending: u128) -> TransferOrder {
    let flags = TransferFlags::POST_PENDING_TRANSFER | TransferFlags::LINKED;
    let new = NewTransfer { amount: Amount::MAX, flags, pending: Some(key(pending)), ..NewTransfer::named(key(id)) };
    TransferOrder::from(new)
}

/// What a client is told of a transfer, times apart.
fn told(answer: Result<(Made, AnyTransfer), Refusal>) -> String {
    match answer {
        Err(refusal) => refusal.to_string(),
        Ok((_, AnyTransfer::Scheduled(scheduled))) => format!("scheduled {scheduled:?}"),
        Ok((made, AnyTransfer::Made(reply))) => {
            let (debit, credit) = (reply.debit, reply.credit);
            let sums = [debit.debits_pending, debit.debits_posted, credit.credits_pending, credit.credits_posted];
            format!("{made:?} {:?} {:?} {sums:?} {:?}", reply.transfer.key, reply.state, reply.metadata)
        }
    }
}

/// Single transfers and chains, some of which fail at their end, with metadata.
fn mixed(orders: usize) -> Vec<TransferOrder> {
    let order = |number: usize| {
        let id = 100 + number as u128;
        let mut order = match number % 5 {
            0 => transfer(id, 7, TransferFlags::PENDING | TransferFlags::LINKED),
            1 => post(id, id - 1),
            // Every second chain fails, because this transfer has the id of one before it.
            2 if number % 10 == 2 => transfer(id - 2, 7, TransferFlags::PENDING | TransferFlags::LINKED),
            3 => transfer(id, 1 << 100, TransferFlags::NONE),
            _ => transfer(id, 1, TransferFlags::NONE),
        };
        if number % 5 == 3 {
            order.new.debit = AccountId::new(3);
        }
        // The metadata of a repeated transfer is that of the first one.
        order.metadata = vec![("place".to_owned(), Some(order.new.key.to_string()))];
        order
    };
    (0..orders).map(order).collect()
}

fn limited() -> World {
    let mut world = World::new();
    let account = engine::AccountName::Id(AccountId::new(3));
    let limits = Limits { min_balance: Some(-5), ..Limits::NONE };
    world.ask(engine::SetLimits { account, limits }).expect("limits");
    world
}

#[test]
fn a_dry_run_of_a_batch_answers_like_the_batch() {
    let (mut world, orders) = (limited(), mixed(ORDERS_MAX));
    let dry = world.ask(Dry(CreateTransferBatch(orders.clone()))).expect("answers");
    let made = world.ask(CreateTransferBatch(orders)).expect("answers");
    let [dry, made] = [dry, made].map(|answers| answers.into_iter().map(told).collect::<Vec<_>>());
    assert_eq!(dry, made);
    let of = |word: &str| made.iter().filter(|told| told.contains(word)).count();
    assert_eq!([of("Now"), of("Before"), of("chain"), of("minimum")], [500, 100, 300, 100]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures how long the engine takes")]
fn a_dry_run_takes_as_long_per_order_in_a_large_batch_as_in_a_small_one() {
    let mut world = limited();
    let mut fastest = |orders: usize| {
        let took = (0..5).map(|_| {
            let batch = Dry(CreateTransferBatch(mixed(orders)));
            let start = Instant::now();
            world.ask(batch).expect("answers");
            start.elapsed()
        });
        took.min().unwrap_or(Duration::MAX)
    };
    let (small, large) = (fastest(ORDERS_MAX / 8), fastest(ORDERS_MAX));
    // Eight times the orders take some ten times as long. If every order copied what came before it, they would take
    // more than forty times as long.
    assert!(large < small * 24, "{small:?} for an eighth of {large:?}");
}

#[test]
fn a_chain_that_fails_at_a_transfer_that_exists_shows_it_after_the_chain_was_undone() {
    let mut world = World::new();
    let hold = transfer(7, 50, TransferFlags::PENDING);
    world.ask(CreateTransferBatch(vec![hold.clone()])).expect("answers");
    let paid = transfer(8, 5, TransferFlags::LINKED);
    // The chain fails at transfer 7: it exists.
    let chain = vec![paid, post(9, 7), hold];
    let mut third = |chain: Vec<TransferOrder>| {
        let mut answers = world.ask(CreateTransferBatch(chain)).expect("answers");
        let (made, shown) = answers.swap_remove(2).expect("a transfer that exists");
        let AnyTransfer::Made(shown) = shown else { panic!("{shown:?}") };
        let sums = [shown.debit.debits_pending, shown.debit.debits_posted, shown.credit.credits_pending];
        (made, shown.state, sums.map(Amount::get), shown.credit.credits_posted.get())
    };
    assert_eq!(third(chain), (Made::Before, Some(PendingState::Pending), [50, 0, 50], 0));

    // This chain made the transfer itself, and posted it.
    let hold = transfer(10, 3, TransferFlags::PENDING | TransferFlags::LINKED);
    let chain = vec![hold.clone(), post(11, 10), hold, transfer(12, 1, TransferFlags::NONE)];
    assert_eq!(third(chain), (Made::Before, Some(PendingState::Pending), [50, 0, 50], 0));
}
