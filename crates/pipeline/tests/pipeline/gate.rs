//! While nothing may be written, requests that write no entry are answered, and the others are refused.

use engine::{
    Answer, Answered, Command, CreateAccounts, CreateTransfer, CreateTransfers, Dry, Engine, EventStatus, OpenLedger,
    Operation, Refusal, Request, WritesClosed, query,
};
use ledger::{AccountFlags, NewTransfer, Past, PastTransfer, PendingState, TransferFlags, TransferKey};
use pipeline::{Ask, Decider, Gate, Notes};
use types::{ActorId, Asset, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp, TransferId};

const TENANT: TenantId = TenantId::new(1);
const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

/// A past in which one transfer cannot be read.
#[derive(Debug)]
struct Spoilt {
    id: TransferId,
    fault: fn() -> index::Fault,
}

impl Past for Spoilt {
    fn find(&self, id: TransferId) -> Option<PastTransfer> {
        if id == self.id {
            std::panic::resume_unwind(Box::new(index::Unread((self.fault)())));
        }
        None
    }
}

struct World {
    decider: Decider,
    now: Timestamp,
}

impl World {
    /// Ledger 1, accounts 1 and 2, and transfer 1, which is pending for ten seconds.
    fn new() -> Self {
        Self::of(Engine::new(ShardId::new(0), TENANT))
    }

    /// The same, but transfer 99 cannot be looked up.
    fn spoilt(fault: fn() -> index::Fault) -> Self {
        let mut engine = Engine::new(ShardId::new(0), TENANT);
        engine.set_past(Box::new(Spoilt { id: TransferId::new(99), fault }));
        Self::of(engine)
    }

    fn of(engine: Engine) -> Self {
        let mut decider = Decider::new(engine, Notes::new(Seq::ZERO));
        decider.start::<()>(START, Origin::new(7));
        let mut world = Self { decider, now: START };
        let asset: Asset = "EUR/2".parse().expect("an asset");
        world.ask(OpenLedger { id: LedgerId::new(1), asset }).expect("a ledger");
        let accounts = [1, 2].map(|id| fixtures::account(id, AccountFlags::NONE));
        world.ask(CreateAccounts(accounts.to_vec())).expect("accounts");
        world.ask(transfer(1, TransferFlags::PENDING, 10)).expect("a transfer");
        world
    }

    fn work(&mut self, command: impl Into<Command>) -> (usize, Answer) {
        let command = command.into();
        let request = Request { tenant: TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        let mut batch = self.decider.work(self.now, [Ask { request, reply_to: () }]);
        (batch.frames.len(), batch.answers.pop().expect("an answer").2)
    }

    fn ask<O: Operation>(&mut self, operation: O) -> Answered<O> {
        O::answer(self.work(operation).1)
    }

    fn close(&mut self) -> WritesClosed {
        let mut gate = Gate::default();
        gate.note_damage("segment-00000001 is damaged");
        let why = gate.why().expect("it is closed");
        self.decider.set_closed(Some(why.clone()));
        why
    }
}

fn new_transfer(id: u128, flags: TransferFlags, timeout_s: u32) -> NewTransfer {
    NewTransfer { flags, timeout_s, ..fixtures::transfer(id, 1, 2, 5) }
}

fn transfer(id: u128, flags: TransferFlags, timeout_s: u32) -> CreateTransfer {
    CreateTransfer(Box::new(new_transfer(id, flags, timeout_s).into()))
}

#[test]
fn requests_that_write_are_refused_and_the_others_are_answered() {
    let mut world = World::new();
    let why = world.close();
    let refused: Answer = Err(Refusal::WritesClosed(why));
    let same = |answer: Answer| answer.map(drop) == refused.clone().map(drop);
    let batch = |id| CreateTransfers { events: vec![new_transfer(id, TransferFlags::NONE, 0)], balances: false };
    for command in [Command::from(transfer(2, TransferFlags::NONE, 0)), batch(2).into(), batch(1).into()] {
        let (frames, answer) = world.work(command);
        assert_eq!(frames, 0);
        assert!(same(answer.clone()), "{answer:?}");
    }
    for command in [
        Command::from(transfer(1, TransferFlags::PENDING, 10)),
        Dry(transfer(2, TransferFlags::NONE, 0)).into(),
        query::Transfer(TransferId::new(1)).into(),
        OpenLedger { id: LedgerId::new(1), asset: "EUR/2".parse().unwrap() }.into(),
    ] {
        let (frames, answer) = world.work(command);
        assert_eq!(frames, 0);
        assert!(answer.is_ok(), "{answer:?}");
    }
    world.decider.set_closed(None);
    assert_eq!(world.work(transfer(2, TransferFlags::NONE, 0)).0, 1);
}

#[test]
fn expired_transfers_read_as_expired_and_are_journaled_once_writing_is_allowed() {
    let mut world = World::new();
    assert!(world.decider.next_due().is_some());
    world.close();
    world.now = START.saturating_add(Span::from_secs(60));
    let states = query::PendingStates(vec![TransferKey::Client(TransferId::new(1))]);
    let (frames, answer) = world.work(states);
    assert_eq!(frames, 0, "PIP-2");
    assert_eq!(query::PendingStates::answer(answer).unwrap(), [Some(PendingState::Expired)]);
    assert_eq!(world.decider.next_due(), None, "no due time while nothing may be written");
    world.decider.set_closed(None);
    assert!(world.decider.next_due().is_some());
    let batch = world.decider.work::<()>(world.now, []);
    assert_eq!(batch.frames.len(), 1, "the expiry is journaled");
}

fn damaged_segment() -> index::Fault {
    let what = "there is no whole frame at this place".to_owned();
    let fault = journal::Fault::Damaged { file: "segment-00000002".to_owned(), offset: 4_096, seq: Seq::new(9), what };
    index::Fault::Log(fault)
}

fn batch_of(ids: [u128; 3]) -> CreateTransfers {
    let events = ids.map(|id| new_transfer(id, TransferFlags::NONE, 0)).to_vec();
    CreateTransfers { events, balances: false }
}

#[test]
fn a_request_that_needs_damaged_entries_is_refused_and_earlier_ones_stay() {
    let mut world = World::spoilt(damaged_segment);
    let before = world.decider.engine().applied();
    let request = Request {
        tenant: TENANT,
        actor: ActorId::SYSTEM,
        id: RequestId::default(),
        command: batch_of([2, 99, 3]).into(),
    };
    let batch = world.decider.work(world.now, [Ask { request, reply_to: () }]);
    assert_eq!(batch.frames.len(), 1, "the first of the batch is journaled");
    assert!(batch.answers.is_empty(), "a refusal would claim that nothing happened");
    assert_eq!(world.decider.engine().applied(), Seq::new(before.get() + 1));
    assert!(matches!(world.decider.take_unread(), Some(index::Fault::Log(_))));
    assert!(world.decider.take_unread().is_none(), "the error is returned only once");
    let answer = world.ask(query::Transfer(TransferId::new(99)));
    let Err(Refusal::WritesClosed(WritesClosed::JournalDamaged(what))) = &answer else { panic!("{answer:?}") };
    assert!(what.contains("segment-00000002 is damaged at byte 4096 (sequence 9)"), "{what}");
    let made = world.ask(batch_of([2, 3, 4])).expect("the decider continues");
    let exists: Vec<bool> = made.results.iter().map(|result| result.status == EventStatus::Exists).collect();
    assert_eq!(exists, [true, false, false]);
}

#[test]
fn a_request_that_needs_damaged_index_parts_is_not_answered() {
    let mut world = World::spoilt(|| index::Fault::Stopped("run-00000000-00000000 is damaged".to_owned()));
    let request = Request {
        tenant: TENANT,
        actor: ActorId::SYSTEM,
        id: RequestId::default(),
        command: transfer(99, TransferFlags::NONE, 0).into(),
    };
    let batch = world.decider.work(world.now, [Ask { request, reply_to: () }]);
    assert!(batch.answers.is_empty() && batch.frames.is_empty());
    assert!(matches!(world.decider.take_unread(), Some(index::Fault::Stopped(_))));
}

#[test]
#[should_panic(expected = "a bug")]
fn other_panics_are_not_caught() {
    let mut world = World::spoilt(|| panic!("a bug"));
    drop(world.ask(transfer(99, TransferFlags::NONE, 0)));
}
