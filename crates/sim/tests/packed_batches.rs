//! Random batches through the engine and into frames: a chain stands in one frame, nothing stands inside it, and a replay
//! of the frames gives the same state.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use engine::{
    Answer, Answered, Command, CreateAccounts, CreateTransferBatch, CreateTransfers, DIGEST_INTERVAL_ENTRIES, Engine,
    Entry, EventStatus, Fact, OpenLedger, Operation, Request, TransferOrder, TransferResults,
};
use journal::{Identity, Journal, MemoryJournal, Reader as _};
use ledger::{AccountFlags, CHAIN_EVENTS_MAX, NewAccount, NewTransfer, TransferFlags as F, TransferKey};
use pipeline::{Ask, Decider};
use sim::Rng;
use types::{
    AccountId, ActorId, Amount, Code, Epoch, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp,
    TransferId,
};

const SHARD: ShardId = ShardId::new(0);
const TENANT: TenantId = TenantId::new(1);
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);
const EVENTS_MAX: u64 = 8_190;

/// A decider with its journal in memory.
struct World {
    decider: Decider,
    journal: MemoryJournal,
    now: Timestamp,
    /// Of every entry the frame, counted from 0.
    frames: Vec<usize>,
    frames_count: usize,
}

impl World {
    fn new() -> Self {
        let journal = MemoryJournal::new(Identity { origin: Origin::new(7), epoch: Epoch::new(1) });
        let decider = Decider::new(Engine::new(SHARD, TENANT), pipeline::Notes::new(Seq::ZERO));
        let mut world = Self { decider, journal, now: START, frames: vec![], frames_count: 0 };
        let first = world.decider.start::<()>(START, Origin::new(7));
        world.append(first.frames);
        for number in [1, 2] {
            world.ask(OpenLedger { id: LedgerId::new(number), asset: "EUR/2".parse().unwrap() }).unwrap();
        }
        world
    }

    fn append(&mut self, frames: Vec<(journal::Frame, pipeline::Feed)>) {
        for (frame, _) in frames {
            self.journal.append(&frame).unwrap();
            self.frames.extend(std::iter::repeat_n(self.frames_count, frame.count as usize));
            self.frames_count += 1;
        }
        self.journal.sync().unwrap();
    }

    fn ask<O: Operation>(&mut self, operation: O) -> Answered<O> {
        O::answer(self.ask_all(vec![operation.into()]).pop().unwrap())
    }

    /// Several requests in one run of the decider, as they come when it was busy.
    fn ask_all(&mut self, commands: Vec<Command>) -> Vec<Answer> {
        self.now = self.now.saturating_add(Span::from_secs(1));
        let request = |command| Request { tenant: TENANT, actor: ActorId::new(1), id: RequestId::default(), command };
        let asks = commands.into_iter().map(|command| Ask { request: request(command), reply_to: () });
        let batch = self.decider.work(self.now, asks);
        self.append(batch.frames);
        batch.answers.into_iter().map(|(_, _, answer)| answer).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let (reader, mut entries) = (self.journal.reader(), vec![]);
        loop {
            let read = reader.read(Seq::new(entries.len() as u64 + 1)).unwrap();
            if read.is_empty() {
                return entries;
            }
            entries.extend(read);
        }
    }

    /// Replays the journal and returns its entries.
    fn check_replay(&self) -> Vec<Entry> {
        let entries = self.entries();
        let mut replayed = Engine::new(SHARD, TENANT);
        for entry in &entries {
            assert!(replayed.agrees_with(entry), "entry {}", entry.header.seq);
            replayed.apply(entry);
        }
        assert_eq!(replayed.applied(), self.decider.engine().applied());
        assert_eq!(replayed.digest(), self.decider.engine().digest(), "replay equals live");
        entries
    }

    /// The entries of these transfers follow one another in one frame.
    #[track_caller]
    fn check_chains(&self, entries: &[Entry], chains: &[Vec<TransferId>]) {
        let created = entries.iter().filter_map(|entry| {
            let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &entry.fact else { return None };
            Some((transfer.key, entry.header.seq.get()))
        });
        let seqs: BTreeMap<TransferKey, u64> = created.collect();
        for chain in chains {
            let seqs: Vec<u64> = chain.iter().map(|id| seqs[&TransferKey::Client(*id)]).collect();
            assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing stands inside a chain: {seqs:?}");
            let frame = |seq: &u64| self.frames[usize::try_from(*seq).unwrap() - 1];
            assert_eq!(frame(&seqs[0]), frame(&seqs[seqs.len() - 1]), "a chain of {} stands in one frame", chain.len());
        }
    }
}

fn account(id: u128, flags: AccountFlags) -> NewAccount {
    let (ledger, code) = (LedgerId::new(1), Code::new(1));
    NewAccount { id: AccountId::new(id), ledger, code, flags, ..NewAccount::default() }
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> NewTransfer {
    NewTransfer {
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}

/// One event of a batch: mostly fine, sometimes wrong in one of many ways, pending, or the end of a pending one.
fn event(rng: &mut Rng, next: &mut u128) -> NewTransfer {
    *next += 1;
    // Sometimes an id that was used before.
    let id = if rng.percent(3) { u128::from(rng.below(1 << 20)) } else { *next };
    let mut new = transfer(id, 1 + u128::from(rng.below(9)), 10 + u128::from(rng.below(9)), rng.below(90).into());
    match rng.below(100) {
        0..6 => new.flags = F::PENDING,
        6..8 => (new.flags, new.timeout_s) = (F::PENDING, 1 + u32::try_from(rng.below(3)).unwrap()),
        8..12 => {
            let recently = next.saturating_sub(rng.below(200).into()).max(1);
            let flags = if rng.percent(50) { F::POST_PENDING_TRANSFER } else { F::VOID_PENDING_TRANSFER };
            let pending = Some(TransferKey::Client(TransferId::new(recently)));
            new = NewTransfer { pending, flags, ..NewTransfer::named(new.key) };
        }
        12..14 => new.flags = F::BALANCING_DEBIT,
        14 => new.credit = AccountId::new(77),
        15 => new.code = Code::new(0),
        16 => new.ledger = LedgerId::new(2),
        _ => {}
    }
    new
}

#[test]
fn random_batches_replay_to_the_same_state_and_chains_stay_together() {
    let mut world = World::new();
    let limited = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS;
    let accounts = (1..20).map(|id| account(id, if id == 10 { limited } else { AccountFlags::NONE })).collect();
    world.ask(CreateAccounts(accounts)).unwrap();
    let (mut rng, mut next, mut chains) = (Rng::new(9), 1 << 20, vec![]);
    while world.decider.engine().applied().get() < 2 * DIGEST_INTERVAL_ENTRIES + 10_000 {
        let mut batches = vec![];
        for _ in 0..1 + rng.below(3) {
            let mut events: Vec<NewTransfer> = vec![];
            while (events.len() as u64) < EVENTS_MAX - CHAIN_EVENTS_MAX as u64 {
                // Long chains are of plain transfers, or none would succeed.
                let (length, is_long) = match rng.below(20) {
                    0 => (CHAIN_EVENTS_MAX - rng.place(9), true),
                    1..4 => (2 + rng.place(5), false),
                    _ => (1, false),
                };
                let start = events.len();
                for _ in 0..length {
                    if is_long {
                        next += 1;
                        events.push(transfer(next, 1, 11, rng.below(9).into()));
                    } else {
                        events.push(event(&mut rng, &mut next));
                    }
                }
                let last = events.len() - 1;
                events[start..last].iter_mut().for_each(|event| event.flags = event.flags | F::LINKED);
            }
            if rng.percent(10) {
                let last = events.last_mut().unwrap();
                last.flags = last.flags | F::LINKED;
            }
            batches.push(events);
        }
        let commands = batches.iter().map(|events| CreateTransfers { events: events.clone(), balances: true }.into());
        let answers = world.ask_all(commands.collect());
        for (events, answer) in batches.iter().zip(answers) {
            let TransferResults { results, balances } = CreateTransfers::answer(answer).unwrap();
            assert_eq!((results.len(), balances.len()), (events.len(), events.len()));
            let with_results: Vec<_> = events.iter().zip(&results).collect();
            for chain in with_results.chunk_by(|(event, _), _| event.flags.contains(F::LINKED)) {
                let made = chain.iter().filter(|(_, result)| matches!(result.status, EventStatus::Created)).count();
                assert!(made == 0 || made == chain.len(), "{made} of {} links", chain.len());
                if made > 1 {
                    chains.push(chain.iter().map(|(event, _)| id_of(event)).collect());
                }
            }
        }
    }
    let entries = world.check_replay();
    world.check_chains(&entries, &chains);
    assert!(chains.iter().filter(|chain| chain.len() > 3_900).count() > 9, "there were long chains");
    let digests: Vec<u64> = entries
        .iter()
        .filter(|entry| matches!(entry.fact, Fact::StateDigest(_)))
        .map(|entry| entry.header.seq.get())
        .collect();
    assert_eq!(digests.len(), 2, "{digests:?}");
    assert!(digests.iter().any(|seq| seq % DIGEST_INTERVAL_ENTRIES != 0), "a digest waited for a chain: {digests:?}");
}

fn id_of(new: &NewTransfer) -> TransferId {
    let TransferKey::Client(id) = new.key else { panic!("clients made them all") };
    id
}

/// Orders with metadata of `kib` KiB each that succeed or fail together.
fn atomic(first: u128, count: u128, kib: usize) -> Vec<TransferOrder> {
    let order = |place| {
        let flags = if place + 1 < count { F::LINKED } else { F::NONE };
        let value = format!("\"{}\"", "x".repeat(1_000));
        let metadata = (0..kib).map(|key| (key.to_string(), Some(value.clone()))).collect();
        TransferOrder { metadata, ..NewTransfer { flags, ..transfer(first + place, 1, 2, 1) }.into() }
    };
    (0..count).map(order).collect()
}

/// Orders bring texts with them: metadata that fills a frame quickly.
#[test]
fn orders_that_succeed_together_stand_in_one_frame_with_their_metadata() {
    let mut world = World::new();
    world.ask(CreateAccounts((1..20).map(|id| account(id, AccountFlags::NONE)).collect())).unwrap();
    let mut chains = vec![];
    for round in 0..40_u128 {
        // 90 KiB of metadata, behind a frame that is filled so far by something else.
        let atomic = atomic(1_000_000 + round * 100, 30, 3);
        chains.push(atomic.iter().map(|order| id_of(&order.new)).collect::<Vec<_>>());
        let filling = (0..6_000 + 50 * round).map(|place| transfer(2_000_000 + round * 10_000 + place, 3, 4, 1));
        let answers = world.ask_all(vec![
            CreateTransfers { events: filling.collect(), balances: false }.into(),
            CreateTransferBatch(atomic).into(),
        ]);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    let entries = world.check_replay();
    world.check_chains(&entries, &chains);
    // Metadata follows the transfers that it is about.
    let is_metadata = |entry: &Entry| matches!(entry.fact, Fact::Ledger(ledger::Fact::MetadataSet { .. }));
    for (place, entry) in entries.iter().enumerate().filter(|(_, entry)| is_metadata(entry)) {
        let first = entries[..place].iter().rposition(|entry| !is_metadata(entry)).expect("transfers come first");
        assert_eq!(world.frames[first], world.frames[place], "entry {} is in the frame of its order", entry.header.seq);
    }
}

#[test]
fn orders_whose_texts_do_not_fit_a_frame_fail_together() {
    let mut world = World::new();
    world.ask(CreateAccounts((1..3).map(|id| account(id, AccountFlags::NONE)).collect())).unwrap();
    let before = world.decider.engine().applied();
    let answers = world.ask(CreateTransferBatch(atomic(1, 17, 60))).unwrap();
    let told: Vec<String> = answers.into_iter().map(|answer| answer.unwrap_err().to_string()).collect();
    assert!(told[16].contains("the chain has more"), "{told:?}");
    assert!(told[..16].iter().all(|told| told.contains("another transfer of its chain")), "{told:?}");
    assert_eq!(world.decider.engine().applied(), before, "nothing is left of it");
}
