use std::collections::VecDeque;

use engine::{Engine, Entry, Request};
use journal::{Fault, FileJournal, FileReader, Frame, FrameAt, Identity, Journal, Layout, Position, TornTail};
use pipeline::{Ask, Batch, Committer, Decider, Queue};
use types::{Origin, Seq, ShardId, TenantId, Timestamp};

use crate::SimDisk;
use crate::checker::Answered;
use crate::policies::policies;

pub(crate) const SHARD: ShardId = ShardId::new(0);
pub(crate) const TENANT: TenantId = TenantId::new(1);
const ASKS_MAX: usize = 12;
const BATCHES_IN_FLIGHT_MAX: usize = 3;

/// What the server is while it runs: the pipeline and a journal, without its threads.
#[derive(Debug)]
pub(crate) struct Process<J> {
    queue: Queue<usize>,
    decider: Decider,
    in_flight: VecDeque<Batch<Ticket>>,
    frames: VecDeque<Frame>,
    committer: Committer<Ticket>,
    pub(crate) journal: J,
}

/// A request's number, and the last entry there was when its answer was made.
type Ticket = (usize, Seq);

/// What a start found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: FileJournal<SimDisk>,
    pub(crate) engine: Engine,
    pub(crate) entries: Vec<Entry>,
    pub(crate) torn: Option<TornTail>,
}

/// Opens the journal of a disk and folds it, as the server does.
pub(crate) fn open(disk: &SimDisk, origin: Origin) -> Result<Opened, Fault> {
    let mut engine = Engine::new(SHARD, TENANT);
    let mut entries = Vec::new();
    let mut visit = |entry: &Entry, _: Position, _: Option<journal::StartAt>| {
        if !engine.agrees_with(entry) {
            return Err(Fault::StateDiffers { seq: entry.header.seq });
        }
        engine.apply(entry);
        entries.push(entry.clone());
        Ok(())
    };
    let (journal, recovered) = FileJournal::open(disk.clone(), Layout::TINY, SHARD, || origin, None, &mut visit)?;
    if let Some((artifact, bytes)) = engine.active_artifact() {
        let known = policies().iter().find(|known| known.policy.digest() == artifact);
        let known = known.expect("only these policies are activated");
        let stored: Vec<u8> = known.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
        assert_eq!(bytes, stored, "an artifact is read as it was stored");
        engine.stage_policy(std::sync::Arc::clone(&known.policy));
    }
    Ok(Opened { journal, engine, entries, torn: recovered.torn })
}

impl<J: Journal> Process<J> {
    pub(crate) fn new(engine: Engine, journal: J) -> Self {
        let committer = Committer::new(journal.durable());
        Self {
            queue: Queue::new(ASKS_MAX),
            decider: Decider::new(engine, pipeline::Notes::new(Seq::ZERO)),
            in_flight: VecDeque::new(),
            frames: VecDeque::new(),
            committer,
            journal,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.decider.engine()
    }

    /// The first entry of an empty journal.
    pub(crate) fn start(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.engine().applied() == Seq::ZERO {
            let origin = self.journal.identity().origin;
            for (frame, _) in self.decider.start(now, origin) {
                self.journal.append(&frame)?;
            }
            self.journal.sync()?;
            self.journal.mark()?;
        }
        Ok(())
    }

    /// False when the queue is full.
    pub(crate) fn offer(&mut self, number: usize, request: Request) -> bool {
        self.queue.offer(Ask { request, reply_to: number }).is_ok()
    }

    /// The engine's step: it may be a few batches ahead of the journal.
    pub(crate) fn decide(&mut self, now: Timestamp, count: usize) {
        if self.in_flight.len() < BATCHES_IN_FLIGHT_MAX {
            let batch = self.decider.work(now, self.queue.take(count));
            let ticketed = |(number, seq, answer)| ((number, seq), seq, answer);
            let answers = batch.answers.into_iter().map(ticketed).collect();
            self.in_flight.push_back(Batch { frames: batch.frames, answers });
        }
    }

    /// The journal's steps: a batch is taken, …
    pub(crate) fn take(&mut self) {
        if self.frames.is_empty()
            && let Some(batch) = self.in_flight.pop_front()
        {
            self.frames.extend(self.committer.hold(batch).into_iter().map(|(frame, _)| frame));
        }
    }

    /// … its frames are appended one by one, …
    pub(crate) fn append(&mut self) -> Result<(), Fault> {
        self.frames.pop_front().map_or(Ok(()), |frame| self.journal.append(&frame).map(drop))
    }

    /// … synced, …
    pub(crate) fn sync(&mut self) -> Result<(), Fault> {
        self.journal.sync().map(|_| ())
    }

    /// … and the answers given that rest on nothing else.
    pub(crate) fn release(&mut self) -> Vec<Answered> {
        let durable = self.journal.durable();
        let answered = |((number, seq), answer)| Answered { number, seq, answer };
        self.committer.release(durable).map(answered).collect()
    }

    /// Everything that waits, to the end.
    pub(crate) fn drain(&mut self, now: Timestamp) -> Result<Vec<Answered>, Fault> {
        while !(self.queue.is_empty() && self.in_flight.is_empty() && self.frames.is_empty()) {
            if !self.queue.is_empty() {
                self.decide(now, ASKS_MAX);
            }
            self.take();
            while !self.frames.is_empty() {
                self.append()?;
            }
        }
        self.sync()?;
        let answered = self.release();
        self.journal.mark()?;
        Ok(answered)
    }
}

/// A journal with the worst of bugs: it says that entries are durable and syncs them only with the next ones. The
/// checker must find it out.
#[derive(Debug)]
pub struct Hasty {
    inner: FileJournal<SimDisk>,
    waiting: Vec<Frame>,
    said: Seq,
}

impl Hasty {
    /// Spoils a journal.
    pub fn new(inner: FileJournal<SimDisk>) -> Self {
        let said = inner.durable();
        Self { inner, waiting: Vec::new(), said }
    }
}

impl Journal for Hasty {
    type Reader = FileReader<SimDisk>;

    fn append(&mut self, frame: &Frame) -> Result<FrameAt, Fault> {
        self.waiting.push(frame.clone());
        // Nobody asks this one where its frames stand.
        Ok(FrameAt { segment: 0, offset: 0 })
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        self.inner.sync()?;
        for frame in self.waiting.drain(..) {
            self.said = frame.last();
            self.inner.append(&frame)?;
        }
        Ok(self.said)
    }

    fn durable(&self) -> Seq {
        self.said
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.inner.mark()
    }

    fn reader(&self) -> FileReader<SimDisk> {
        self.inner.reader()
    }

    fn identity(&self) -> Identity {
        self.inner.identity()
    }
}
