//! Random batches through the engine and into frames: a chain lies in one frame, no other entry lies between its
//! entries, and a replay of the frames gives the same state.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use engine::{
    Answer, Answered, AnyTransfer, Command, CreateAccounts, CreateTransferBatch, CreateTransfers,
    DIGEST_INTERVAL_ENTRIES, Dry, Engine, Entry, EventStatus, Fact, Made, OpenLedger, Operation, Refusal, Reply,
    Request, TransferOrder, TransferResults,
};
use fixtures::{account, transfer};
use journal::{DurableLog, MemoryJournal, MemoryLog, Reader as _};
use ledger::{AccountFlags, CHAIN_EVENTS_MAX, NewTransfer, TransferFlags as F, TransferKey};
use pipeline::{Ask, Decider};
use sim::Rng;
use types::{
    AccountId, ActorId, Amount, Code, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp, TransferId,
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
    /// The frame of every entry, counted from 0.
    frames: Vec<usize>,
    frames_count: usize,
}

impl World {
    fn new() -> Self {
        let journal = MemoryLog::new(Origin::new(7)).claim();
        let decider = Decider::new(Engine::new(SHARD, TENANT), pipeline::Notes::new(Seq::ZERO));
        let mut world = Self { decider, journal, now: START, frames: vec![], frames_count: 0 };
        let first = world.decider.start::<()>(START, Origin::new(7));
        world.append(first.frames);
        for number in [1, 2] {
            world.ask(OpenLedger { id: LedgerId::new(number), asset: "EUR/2".parse().unwrap() }).unwrap();
        }
        world
    }

    fn append(&mut self, frames: Vec<(journal::Frame, pipeline::FrameNotes)>) {
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

    /// Submits several requests in one run of the decider, as happens when it was busy.
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

    /// Checks that the entries of these transfers follow one another in one frame.
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

/// One event of a batch: usually valid, sometimes wrong in one of many ways, pending, or the end of a pending one.
fn event(rng: &mut Rng, next: &mut u128) -> NewTransfer {
    *next += 1;
    // Sometimes the event reuses an earlier id.
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
                // Long chains consist of plain transfers, because otherwise none would succeed.
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

/// A batch of records and a batch of orders follow the same rules and show the same balances.
#[test]
fn packed_events_and_orders_are_answered_alike() {
    let mut world = World::new();
    let limited = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS;
    let accounts = (1..20).map(|id| account(id, if id == 10 { limited } else { AccountFlags::NONE })).collect();
    world.ask(CreateAccounts(accounts)).unwrap();
    let (mut rng, mut next, mut broken_by_existing) = (Rng::new(10), 1 << 20, 0);
    for _ in 0..200 {
        let mut events: Vec<NewTransfer> = vec![];
        while events.len() < 40 {
            let start = events.len();
            events.extend((0..1 + rng.below(6)).map(|_| event(&mut rng, &mut next)));
            let last = events.len() - 1;
            events[start..last].iter_mut().for_each(|event| event.flags = event.flags | F::LINKED);
            if rng.percent(10) {
                // Repeats an event that was sent before, in this chain or in an earlier one.
                let sent = events[rng.place(events.len())];
                events.push(sent);
            }
        }
        let orders = Dry(CreateTransferBatch(events.iter().copied().map(TransferOrder::from).collect()));
        let packed = CreateTransfers { events: events.clone(), balances: true };
        // The dry run leaves no entry, so both batches are decided on the same state.
        let replies = world.ask_all(vec![orders.into(), packed.into()]);
        let [Ok(Reply::TransferOrders(answers)), Ok(Reply::TransferResults(packed))] = &replies[..] else {
            panic!("{replies:?}")
        };
        let TransferResults { results, balances } = packed;
        assert_eq!((answers.len(), results.len()), (events.len(), events.len()));
        for ((answer, result), shown) in answers.iter().zip(results).zip(balances) {
            match (answer, &result.status) {
                (Ok((Made::Now, AnyTransfer::Made(reply))), EventStatus::Created) => {
                    assert_eq!(*shown, Some([reply.debit, reply.credit]));
                }
                (Ok((Made::Before, AnyTransfer::Made(reply))), EventStatus::Exists) => {
                    assert!(shown.is_none_or(|shown| shown == [reply.debit, reply.credit]), "{shown:?}, {reply:?}");
                    broken_by_existing += 1;
                }
                (Err(Refusal::Transfer(refusal)), EventStatus::Refused(packed)) => assert_eq!(refusal, packed),
                (answer, status) => panic!("an order got {answer:?}, the same event {status:?}"),
            }
        }
    }
    assert!(broken_by_existing > 20, "{broken_by_existing}");
    world.check_replay();
}

#[test]
fn a_chain_that_fails_at_what_exists_shows_it_without_what_was_undone() {
    let mut world = World::new();
    world.ask(CreateAccounts((1..3).map(|id| account(id, AccountFlags::NONE)).collect())).unwrap();
    let linked = |id, amount| NewTransfer { flags: F::LINKED, ..transfer(id, 1, 2, amount) };
    let mut send = |events: &[NewTransfer]| {
        world.ask(CreateTransferBatch(events.iter().copied().map(TransferOrder::from).collect())).unwrap()
    };
    assert!(send(&[transfer(1, 1, 2, 5)])[0].is_ok());
    let by_earlier = send(&[linked(2, 7), transfer(1, 1, 2, 5)]);
    let by_itself = send(&[linked(3, 7), linked(3, 7), transfer(4, 1, 2, 1)]);
    for answers in [by_earlier, by_itself] {
        let Ok((Made::Before, AnyTransfer::Made(reply))) = &answers[1] else { panic!("{answers:?}") };
        assert_eq!((reply.debit.debits_posted, reply.credit.credits_posted), (Amount::new(5), Amount::new(5)));
        assert!(answers[0].as_ref().unwrap_err().to_string().contains("another transfer of its chain"), "{answers:?}");
    }
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

/// Orders carry metadata with them, which fills a frame quickly.
#[test]
fn orders_that_succeed_together_stand_in_one_frame_with_their_metadata() {
    let mut world = World::new();
    world.ask(CreateAccounts((1..20).map(|id| account(id, AccountFlags::NONE)).collect())).unwrap();
    let mut chains = vec![];
    for round in 0..40_u128 {
        // 90 KiB of metadata follow other entries that fill the frame to a varying degree.
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
    // Metadata follows the transfers that it belongs to.
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
