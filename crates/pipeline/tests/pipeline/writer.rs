//! The order in which a batch becomes durable: whatever fails, no answer is released before its entry is durable.

use std::io;
use std::sync::{Arc, Mutex};

use disk::Directory;
use engine::{Command, Engine, OpenLedger, Request, query};
use journal::{
    DurableLog, Fault, FileReader, Frame, FrameAt, Identity, MemoryJournal, MemoryLog, MemoryReader, SegmentStore,
    StartAt,
};
use pipeline::{Ask, Batch, Decider, FrameNotes, Indexer, KeySaver, MARK_WITHIN, Notes, Step, WriteError, Writer};
use types::{ActorId, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp};

const TENANT: TenantId = TenantId::new(1);
const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

/// What was done to journal, keys and index, in order; clones share it.
#[derive(Debug, Clone, Default)]
struct Record(Arc<Mutex<Done>>);

#[derive(Debug, Default)]
struct Done {
    steps: Vec<&'static str>,
    /// What fails from now on.
    failing: Option<&'static str>,
}

impl Record {
    fn note(&self, step: &'static str) -> io::Result<()> {
        let mut done = self.0.lock().expect("nobody panics with it");
        if done.failing == Some(step) {
            return Err(io::Error::other("the disk is gone"));
        }
        done.steps.push(step);
        Ok(())
    }

    fn fail(&self, step: Option<&'static str>) {
        self.0.lock().expect("nobody panics with it").failing = step;
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it").steps)
    }
}

impl KeySaver for Record {
    type Error = io::Error;

    fn save_keys(&self) -> io::Result<()> {
        self.note("keys")
    }
}

impl Indexer for Record {
    fn index(&self, _: FrameNotes, _: FrameAt, _: StartAt) -> Result<(), index::Fault> {
        self.note("index").map_err(|cause| index::Fault::Stopped(cause.to_string()))
    }
}

/// A journal in memory that keeps a record.
#[derive(Debug)]
struct Recorded {
    journal: MemoryJournal,
    place: StartAt,
    record: Record,
}

impl Recorded {
    fn note(&self, action: &'static str) -> Result<(), Fault> {
        self.record.note(action).map_err(|cause| Fault::Io { action, file: "the journal".to_owned(), cause })
    }
}

impl DurableLog for Recorded {
    type Reader = MemoryReader;

    fn append(&mut self, frame: &Frame) -> Result<(), Fault> {
        self.note("append")?;
        let offset = self.place.offset + 128 + frame.payload.len() as u64;
        self.place = StartAt { seq: frame.last(), offset, ..self.place };
        self.journal.append(frame)
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        self.note("sync")?;
        self.journal.sync()
    }

    fn durable(&self) -> Seq {
        self.journal.durable()
    }

    fn reader(&self) -> MemoryReader {
        self.journal.reader()
    }

    fn identity(&self) -> Identity {
        self.journal.identity()
    }
}

impl SegmentStore for Recorded {
    type Disk = Directory;

    fn place(&self) -> StartAt {
        self.place
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.note("mark")
    }

    fn segments(&self) -> FileReader<Directory> {
        panic!("a writer reads nothing")
    }
}

struct World {
    decider: Decider,
    writer: Writer<u64, Recorded>,
    record: Record,
    now: Span,
}

impl World {
    /// An empty journal was started, and nothing is under way.
    fn new() -> Self {
        let record = Record::default();
        let journal = MemoryLog::new(Origin::new(7)).claim();
        let place = StartAt { seq: Seq::ZERO, segment: 1, offset: 4_096, previous: [0; 32] };
        let mut world = Self {
            decider: Decider::new(Engine::new(ShardId::new(0), TENANT), Notes::new(Seq::ZERO)),
            writer: Writer::new(Recorded { journal, place, record: record.clone() }),
            record,
            now: Span::ZERO,
        };
        let batch = world.decider.start(START, Origin::new(7));
        world.writer.hold(batch);
        world.write();
        world.writer.mark().expect("the disk works");
        world.record.take();
        world
    }

    /// A batch of one request that is answered to `number`.
    fn decide(&mut self, number: u64, command: Command) -> Batch<u64> {
        let request = Request { tenant: TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        self.decider.work(START, [Ask { request, reply_to: number }])
    }

    /// A batch with an entry.
    fn change(&mut self, number: u32) -> Batch<u64> {
        let asset = "EUR/2".parse().expect("an asset");
        self.decide(number.into(), OpenLedger { id: LedgerId::new(number), asset }.into())
    }

    /// A batch without one.
    fn look(&mut self, number: u64) -> Batch<u64> {
        self.decide(number, query::LookupAccounts(Vec::new()).into())
    }

    fn step(&mut self) -> Result<Option<Step>, WriteError<io::Error>> {
        self.writer.step(self.now, &self.record, &self.record)
    }

    fn write(&mut self) {
        while self.step().expect("the disk works").is_some() {}
    }

    fn release(&mut self) -> Vec<u64> {
        self.writer.release().map(|(number, _)| number).collect()
    }
}

fn ms(ms: u64) -> Span {
    Span::from_ns(ms * 1_000_000)
}

#[test]
fn an_answer_is_released_only_once_its_entry_is_durable_and_indexed() {
    let mut world = World::new();
    let batches = [world.change(1), world.change(2), world.look(3)];
    batches.into_iter().for_each(|batch| world.writer.hold(batch));
    let mut released = Vec::new();
    while let Some(step) = world.step().expect("the disk works") {
        released.push((step, world.release()));
    }
    let expected = [
        (Step::SaveKeys, vec![]),
        (Step::Append, vec![]),
        (Step::Append, vec![]),
        (Step::Sync, vec![]),
        (Step::Index, vec![1]),
        (Step::Index, vec![2, 3]),
    ];
    assert_eq!(released, expected);
    assert_eq!(world.record.take(), ["keys", "append", "append", "sync", "index", "index"]);
}

#[test]
fn a_read_waits_for_what_it_shows_and_for_nothing_else() {
    let mut world = World::new();
    let look = world.look(1);
    world.writer.hold(look);
    assert_eq!((world.step().expect("there is nothing to do"), world.release()), (None, vec![1]));
    let change = world.change(2);
    world.writer.hold(change);
    let look = world.look(3);
    world.writer.hold(look);
    assert_eq!(world.release(), [0; 0], "it would show what a crash can take away");
    world.write();
    assert_eq!(world.release(), [2, 3]);
}

#[test]
fn frames_that_come_while_others_wait_for_their_sync_have_their_keys_saved_first() {
    let mut world = World::new();
    let (first, second) = (world.change(1), world.change(2));
    world.writer.hold(first);
    while world.writer.next_step(world.now) != Some(Step::Sync) {
        world.step().expect("the disk works");
    }
    world.writer.hold(second);
    world.write();
    assert_eq!(world.record.take(), ["keys", "append", "keys", "append", "sync", "index", "index"]);
}

#[test]
fn a_batch_is_written_at_once_only_where_nothing_waits_and_nothing_comes_before_it() {
    let mut world = World::new();
    let (first, second) = (world.change(1), world.change(2));
    assert!(world.writer.takes_at_once(&first, 0));
    assert!(!world.writer.takes_at_once(&first, 1), "there is something to decide meanwhile");
    assert!(!world.writer.takes_at_once(&second, 0), "the first is on its way through the other thread");
    world.writer.hold(first);
    while world.writer.next_step(world.now).is_some() {
        assert!(!world.writer.takes_at_once(&second, 0), "the first is being written");
        world.step().expect("the disk works");
    }
    assert!(world.writer.takes_at_once(&second, 0));
}

#[test]
#[should_panic(expected = "PIP-4")]
fn a_batch_cannot_overtake_another() {
    let mut world = World::new();
    let (_first, second) = (world.change(1), world.change(2));
    world.writer.hold(second);
}

#[test]
fn the_mark_is_due_10_ms_after_the_first_acknowledgement_that_it_does_not_cover() {
    let mut world = World::new();
    assert_eq!(world.writer.mark_due(), None);
    for (number, at) in [(1, 5), (2, 14)] {
        world.now = ms(at);
        let batch = world.change(number);
        world.writer.hold(batch);
        world.write();
        assert_eq!(world.writer.mark_due(), Some(ms(15)));
    }
    world.record.take();
    world.writer.mark_in_time(Span::from_ns(ms(15).ns() - 1)).expect("the disk works");
    assert_eq!(world.record.take(), [""; 0]);
    world.writer.mark_in_time(ms(15)).expect("the disk works");
    assert_eq!((world.record.take(), world.writer.mark_due()), (vec!["mark"], None));
    assert_eq!(MARK_WITHIN, ms(10));
}

#[test]
fn a_mark_that_is_due_comes_before_more_is_written() {
    let mut world = World::new();
    let first = world.change(1);
    world.writer.hold(first);
    world.write();
    world.record.take();
    world.now = MARK_WITHIN;
    let look = world.look(2);
    world.writer.hold(look);
    world.write();
    assert_eq!(world.record.take(), [""; 0], "a read does not wait for the mark");
    let second = world.change(3);
    world.writer.hold(second);
    world.write();
    assert_eq!(world.record.take(), ["mark", "keys", "append", "sync", "index"]);
    assert_eq!(world.writer.mark_due(), Some(ms(20)));
}

#[test]
fn after_a_failure_nothing_is_written_and_nothing_is_released() {
    for failing in ["mark", "keys", "append", "sync", "index"] {
        let mut world = World::new();
        let first = world.change(1);
        world.writer.hold(first);
        world.write();
        world.now = MARK_WITHIN;
        let second = world.change(2);
        world.writer.hold(second);
        world.record.fail(Some(failing));
        let mut stepped = world.step();
        while let Ok(Some(_)) = stepped {
            stepped = world.step();
        }
        let error = stepped.expect_err("it fails").to_string();
        assert!(error.contains("the disk is gone"), "{failing}: {error}");
        // Even when the disk works again.
        world.record.fail(None);
        world.record.take();
        let third = world.look(3);
        world.writer.hold(third);
        for _ in 0..2 {
            let stepped = world.step();
            let Err(WriteError::Journal(Fault::Poisoned(why))) = stepped else { panic!("{failing}: {stepped:?}") };
            assert_eq!(why, error, "{failing}");
            assert!(matches!(world.writer.mark(), Err(Fault::Poisoned(_))), "{failing}");
            assert!(matches!(world.writer.mark_in_time(ms(1_000)), Err(Fault::Poisoned(_))), "{failing}");
        }
        assert_eq!((world.record.take(), world.release()), (vec![], vec![]), "{failing}");
    }
}
