//! Orders for accounts and transfers that exist: the first request again is answered as before, and any other is
//! refused with the name of what differs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use engine::{
    AccountOrder, Answered, Applied, CreateTransfer, CreateTransferBatch, Dry, Engine, Entry, OpenAccount,
    OpenAccountBatch, OpenLedger, Operation, Refusal, Request, SetAccountMetadata, SetAddress, SetLimits,
    SetTransferMetadata, TransferOrder, WritesClosed,
};
use ledger::{Limits, NewAccount, NewTransfer, TransferKey};
use types::{AccountId, ActorId, Amount, Code, LedgerId, Origin, RequestId, ShardId, TenantId, Timestamp, TransferId};

pub(crate) const EUR: LedgerId = LedgerId::new(978);

/// An engine with the ledger EUR, and its entries.
pub(crate) struct World {
    engine: Engine,
    pub(crate) entries: Vec<Entry>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut engine = Engine::new(ShardId::new(0), TenantId::new(1));
        let mut entries = Vec::new();
        engine.start(Timestamp::from_ns(1), Origin::new(7), &mut |applied: Applied<'_>| {
            entries.push(applied.entry.clone());
        });
        let mut world = Self { engine, entries };
        world.ask(0, OpenLedger { id: EUR, asset: "EUR/2".parse().unwrap() }).unwrap();
        world
    }

    pub(crate) fn ask<O: Operation>(&mut self, request: u128, operation: O) -> Answered<O> {
        let (id, command) = (RequestId::new(request), operation.into());
        let request = Request { tenant: TenantId::new(1), actor: ActorId::new(1), id, command };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        O::answer(self.engine.execute(Timestamp::from_ns(2), &request, &mut sink))
    }

    /// Asks while writes are closed.
    pub(crate) fn ask_closed<O: Operation>(&mut self, operation: O, why: &WritesClosed) -> Answered<O> {
        let command = operation.into();
        let request = Request { tenant: TenantId::new(1), actor: ActorId::new(1), id: RequestId::default(), command };
        O::answer(self.engine.answer_closed(Timestamp::from_ns(2), &request, why))
    }

    /// Starts again from the entries.
    pub(crate) fn restart(&mut self) {
        let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
        for entry in &self.entries {
            replayed.apply(entry);
        }
        self.engine = replayed;
    }

    /// Opens account 7, alone, in a batch and as a dry run; all three say the same.
    #[track_caller]
    fn open(&mut self, address: Option<&str>, min_balance: Option<i128>, tier: Option<&str>, expected: &str) {
        let order = AccountOrder {
            new: NewAccount { id: AccountId::new(7), ledger: EUR, code: Code::new(1), ..NewAccount::default() },
            address: address.map(|address| address.parse().unwrap()),
            limits: Limits { min_balance, max_balance: None },
            metadata: tier.map(|tier| ("tier".to_owned(), Some(tier.to_owned()))).into_iter().collect(),
        };
        let foreseen = said(self.ask(0, Dry(OpenAccount(Box::new(order.clone())))));
        let alone = said(self.ask(7, OpenAccount(Box::new(order.clone()))));
        assert_eq!((foreseen.as_str(), alone.as_str()), (expected, expected));
        let batch = self.ask(0, OpenAccountBatch(vec![order])).unwrap();
        assert_eq!(batch.into_iter().map(said).collect::<Vec<_>>(), [expected.replace("Now", "Before")]);
    }

    /// Makes transfer 9 in the same three ways.
    #[track_caller]
    fn transfer(&mut self, note: Option<&str>, expected: &str) {
        let new = NewTransfer {
            debit: AccountId::new(1),
            credit: AccountId::new(2),
            amount: Amount::new(5),
            code: Code::new(1),
            ..NewTransfer::named(TransferKey::Client(TransferId::new(9)))
        };
        let metadata = note.map(|note| ("note".to_owned(), Some(note.to_owned()))).into_iter().collect();
        let order = TransferOrder { metadata, ..TransferOrder::from(new) };
        let foreseen = said(self.ask(0, Dry(CreateTransfer(Box::new(order.clone())))));
        let alone = said(self.ask(9, CreateTransfer(Box::new(order.clone()))));
        assert_eq!((foreseen.as_str(), alone.as_str()), (expected, expected));
        let batch = self.ask(0, CreateTransferBatch(vec![order])).unwrap();
        assert_eq!(batch.into_iter().map(said).collect::<Vec<_>>(), [expected.replace("Now", "Before")]);
    }
}

fn said<T>(answer: Result<(engine::Made, T), Refusal>) -> String {
    match answer {
        Ok((made, _)) => format!("{made:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

const ADDRESS: &str = "it was created with another address";
const LIMITS: &str = "it was created with other limits";
const METADATA: &str = "it was created with other metadata";

#[test]
fn an_account_is_opened_again_only_with_the_same_content() {
    let mut world = World::new();
    world.open(Some("a:b"), Some(-5), Some("1"), "Now");
    for _ in 0..2 {
        world.open(Some("a:b"), Some(-5), Some("1"), "Before");
        world.open(None, Some(-5), Some("1"), ADDRESS);
        world.open(Some("a:c"), Some(-5), Some("1"), ADDRESS);
        world.open(Some("a:b"), None, Some("1"), LIMITS);
        world.open(Some("a:b"), Some(-6), Some("1"), LIMITS);
        world.open(Some("a:b"), Some(-5), None, METADATA);
        world.open(Some("a:b"), Some(-5), Some("2"), METADATA);
        world.restart();
    }
}

#[test]
fn an_account_is_compared_with_what_it_was_opened_with_whatever_changed_later() {
    let mut world = World::new();
    world.open(None, Some(-5), Some("1"), "Now");
    let account = || AccountId::new(7).into();
    world.ask(0, SetAddress { account: account(), address: "a:b".parse().unwrap() }).unwrap();
    for min_balance in [Some(-8), None] {
        world.ask(0, SetLimits { account: account(), limits: Limits { min_balance, max_balance: None } }).unwrap();
    }
    let values = vec![("tier".to_owned(), Some("2".to_owned()))];
    world.ask(0, SetAccountMetadata { account: account(), values }).unwrap();
    for _ in 0..2 {
        world.open(None, Some(-5), Some("1"), "Before");
        world.open(Some("a:b"), Some(-5), Some("1"), ADDRESS);
        world.open(None, None, Some("1"), LIMITS);
        world.open(None, Some(-5), Some("2"), METADATA);
        world.restart();
    }
}

#[test]
fn a_transfer_is_made_again_only_with_the_metadata_that_it_was_made_with() {
    let mut world = World::new();
    for id in [1, 2] {
        let new = NewAccount { id: AccountId::new(id), ledger: EUR, code: Code::new(1), ..NewAccount::default() };
        world.ask(id, OpenAccount(Box::new(new.into()))).unwrap();
    }
    world.transfer(Some("1"), "Now");
    world.transfer(None, METADATA);
    let values = vec![("note".to_owned(), Some("2".to_owned()))];
    world.ask(0, SetTransferMetadata { transfer: TransferId::new(9), values }).unwrap();
    for _ in 0..2 {
        world.transfer(Some("1"), "Before");
        world.transfer(Some("2"), METADATA);
        world.restart();
    }
}
