//! While nothing may be written, nothing is: what leaves no entry is answered, the rest refused.

use engine::{Answer, Command, Engine, Query, Refusal, Reply, Request, WritesClosed};
use ledger::{NewAccount, NewTransfer, PendingState, TransferFlags, TransferKey};
use pipeline::{Ask, Decider, Gate, Notes};
use types::{
    AccountId, ActorId, Amount, Asset, Code, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp,
    TransferId,
};

const TENANT: TenantId = TenantId::new(1);
const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

struct World {
    decider: Decider,
    now: Timestamp,
}

impl World {
    /// Ledger 1, accounts 1 and 2, and transfer 1, which is pending for ten seconds.
    fn new() -> Self {
        let mut decider = Decider::new(Engine::new(ShardId::new(0), TENANT), Notes::new(Seq::ZERO));
        decider.start(START, Origin::new(7));
        let mut world = Self { decider, now: START };
        let asset: Asset = "EUR/2".parse().unwrap();
        world.ask(Command::OpenLedger { id: LedgerId::new(1), asset }).unwrap();
        let accounts = [1, 2].map(|id| NewAccount {
            id: AccountId::new(id),
            ledger: LedgerId::new(1),
            code: Code::new(1),
            ..NewAccount::default()
        });
        world.ask(Command::CreateAccounts(accounts.to_vec())).unwrap();
        world.ask(transfer(1, TransferFlags::PENDING, 10)).unwrap();
        world
    }

    fn work(&mut self, command: Command) -> (usize, Answer) {
        let request = Request { tenant: TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        let mut batch = self.decider.work(self.now, [Ask { request, reply_to: () }]);
        (batch.frames.len(), batch.answers.pop().unwrap().2)
    }

    fn ask(&mut self, command: Command) -> Answer {
        self.work(command).1
    }

    fn close(&mut self) -> WritesClosed {
        let mut gate = Gate::default();
        gate.note_damage("segment-00000001 is damaged");
        let why = gate.why().unwrap();
        self.decider.set_closed(Some(why.clone()));
        why
    }
}

fn new_transfer(id: u128, flags: TransferFlags, timeout_s: u32) -> NewTransfer {
    NewTransfer {
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(5),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        flags,
        timeout_s,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}

fn transfer(id: u128, flags: TransferFlags, timeout_s: u32) -> Command {
    Command::CreateTransfer(Box::new(new_transfer(id, flags, timeout_s).into()))
}

#[test]
fn what_would_be_written_is_refused_and_what_would_not_is_answered() {
    let mut world = World::new();
    let why = world.close();
    let refused: Answer = Err(Refusal::WritesClosed(why));
    let same = |answer: Answer| answer.map(drop) == refused.clone().map(drop);
    let batch =
        |id| Command::CreateTransfers { events: vec![new_transfer(id, TransferFlags::NONE, 0)], balances: false };
    for command in [transfer(2, TransferFlags::NONE, 0), batch(2), batch(1)] {
        let (frames, answer) = world.work(command);
        assert_eq!(frames, 0);
        assert!(same(answer.clone()), "{answer:?}");
    }
    for command in [
        transfer(1, TransferFlags::PENDING, 10),
        Command::DryRun(Box::new(transfer(2, TransferFlags::NONE, 0))),
        Command::Query(Query::Transfer(TransferId::new(1))),
        Command::OpenLedger { id: LedgerId::new(1), asset: "EUR/2".parse().unwrap() },
    ] {
        let (frames, answer) = world.work(command);
        assert_eq!(frames, 0);
        assert!(answer.is_ok(), "{answer:?}");
    }
    world.decider.set_closed(None);
    assert_eq!(world.work(transfer(2, TransferFlags::NONE, 0)).0, 1);
}

#[test]
fn what_is_past_its_time_reads_as_expired_and_its_entry_comes_once_it_may() {
    let mut world = World::new();
    assert!(world.decider.next_due().is_some());
    world.close();
    world.now = START.saturating_add(Span::from_secs(60));
    let (frames, answer) =
        world.work(Command::Query(Query::PendingStates(vec![TransferKey::Client(TransferId::new(1))])));
    assert_eq!(frames, 0);
    let Ok(Reply::PendingStates(states)) = answer else { panic!("{answer:?}") };
    assert_eq!(states, [Some(PendingState::Expired)]);
    assert_eq!(world.decider.next_due(), None, "nobody waits for what may not be written");
    world.decider.set_closed(None);
    assert!(world.decider.next_due().is_some());
    let batch = world.decider.work::<()>(world.now, []);
    assert_eq!(batch.frames.len(), 1, "the expiry is journaled");
}
