//! A history that is long enough for the digest of the state.

use std::collections::BTreeMap;

use engine::{
    Command, CreateTransfer, DIGEST_INTERVAL_ENTRIES, Engine, Entry, Fact, OpenAccount, OpenLedger, Request,
    StateDigest,
};
use journal::{DurableLog, FileJournal, Layout};
use ledger::AccountFlags;
use pipeline::{Ask, Decider};
use sim::{Crash, Rng, SimDisk};
use types::{ActorId, Digest, LedgerId, Origin, RequestId, ShardId, TenantId, Timestamp};

const SHARD: ShardId = ShardId::new(0);
const TENANT: TenantId = TenantId::new(1);
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);

fn ask(number: u64, command: Command) -> Ask<u64> {
    let request = Request { tenant: TENANT, actor: ActorId::new(1), id: RequestId::new(u128::from(number)), command };
    Ask { request, reply_to: number }
}

fn transfer(number: u64) -> Command {
    let new = fixtures::transfer(number.into(), 1, 2, (number % 7).into());
    CreateTransfer(Box::new(new.into())).into()
}

fn open(disk: &SimDisk, visit: &mut journal::Visit<'_>) -> FileJournal<SimDisk> {
    let opened = FileJournal::open(disk.clone(), Layout::TINY, SHARD, || Origin::new(7), None, visit);
    opened.expect("the journal opens").0
}

#[test]
fn a_replay_reproduces_the_digest_of_the_state() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, &mut |_, _, _| Ok(()));
    let mut decider = Decider::new(Engine::new(SHARD, TENANT), pipeline::Notes::new(types::Seq::ZERO));
    let mut frames = decider.start::<()>(START, journal.identity().origin).frames;
    let account = |id| fixtures::account(id, AccountFlags::NONE);
    let commands = [
        Command::from(OpenLedger { id: LedgerId::new(1), asset: "EUR/2".parse().unwrap() }),
        OpenAccount(Box::new(account(1).into())).into(),
        OpenAccount(Box::new(account(2).into())).into(),
    ];
    let opening = (1..).zip(commands).map(|(number, command)| ask(number, command));
    frames.extend(decider.work(START, opening).frames);
    let mut number = 100;
    while decider.engine().applied().get() <= DIGEST_INTERVAL_ENTRIES {
        let batch = decider.work(START, (number..number + 4_096).map(|number| ask(number, transfer(number))));
        assert!(batch.answers.iter().all(|(_, _, answer)| answer.is_ok()));
        frames.extend(batch.frames);
        number += 4_096;
    }
    for (frame, _) in &frames {
        journal.append(frame).unwrap();
    }
    journal.sync().unwrap();
    drop(journal);
    disk.crash(Crash::DropsUnsynced, &mut Rng::new(1));

    let mut replayed = Engine::new(SHARD, TENANT);
    let mut digests: BTreeMap<u64, StateDigest> = BTreeMap::new();
    let mut moved = 0;
    open(&disk, &mut |entry, _, _| {
        if let Fact::StateDigest(digest) = &entry.fact {
            let wrong = StateDigest { digest: Digest::default(), ..*digest };
            assert!(!replayed.agrees_with(&Entry { fact: Fact::StateDigest(wrong), ..entry.clone() }));
            digests.insert(entry.header.seq.get(), *digest);
        }
        if let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &entry.fact {
            moved += transfer.amount.get();
        }
        assert!(replayed.agrees_with(entry), "SIM-5: entry {}", entry.header.seq);
        replayed.apply(entry);
        Ok(())
    });
    assert_eq!(replayed.applied(), decider.engine().applied());
    assert_eq!(digests.keys().copied().collect::<Vec<_>>(), [DIGEST_INTERVAL_ENTRIES]);
    let sum: u64 = (100..number).map(|number| number % 7).sum();
    assert_eq!(moved, u128::from(sum));
}
