//! The simulated server process: engine, journal and index on simulated disks, driven step by step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::Operation;
use datadir::{KeyStore, KeyStoreError, Pace, RecoverError, Started, Terms};
use engine::{CredentialAdded, CredentialKind, Engine, Entry, Fact, PrincipalAdded, PrincipalKind, Request};
use index::Index;
use journal::{DurableLog as _, Fault, FileJournal, Frame, Layout, Reader as _, TornTail};
use pipeline::{
    Ask, Batch, ClockBounds, ClockGuard, Decider, DiskSpace, Gate, Queue, Reading, Step, WriteError, Writer,
};
use policy::{Bundle, Policy};
use types::{ActorId, CredentialId, Digest, Origin, PaymentId, RequestId, Seq, ShardId, Span, TenantId, Timestamp};
use vault::{Keys as _, OpenedPart};

use crate::edge::{Exchange, Failure, Sent, Shared, Went};
use crate::{Rng, SimDisk, policies};

pub(crate) const SHARD: ShardId = ShardId::new(0);
pub(crate) const TENANT: TenantId = TenantId::new(1);
/// Maximum number of events in the queue. Some requests contain more than one.
const EVENTS_MAX: usize = 24;
const BATCHES_IN_FLIGHT_MAX: usize = 3;
/// The intervals are short enough that every run writes several generations of the index.
const PACE: Pace = Pace::Stepped { digest_entries: 61, generation_entries: 240 };

/// The number of a request in progress, and the last entry at the time of its answer.
type Ticket = (u64, Seq);

/// A finished network request and its result.
pub(crate) type Over = (Exchange, Result<edge::Response, Failure>);

/// An answer that a client receives.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The number of the request.
    pub(crate) number: usize,
    /// The last entry when the engine made the answer.
    pub(crate) seq: Seq,
    /// The engine's last answer to the request.
    pub(crate) answer: engine::Answer,
    pub(crate) over: Option<Over>,
}

/// The result of looking a payment up.
#[derive(Debug)]
pub(crate) struct LookedUp {
    pub(crate) payment: PaymentId,
    /// The last entry that the index had.
    pub(crate) through: Seq,
    pub(crate) result: Result<edge::Response, Failure>,
}

/// What one run of the decider produced.
#[derive(Debug)]
pub(crate) struct DecidedBatch {
    pub(crate) asked: Vec<Request>,
    pub(crate) answers: Vec<(Seq, engine::Answer)>,
    pub(crate) entries: Vec<Entry>,
    /// The code of the reason why the server accepts no writes.
    pub(crate) closed: Option<&'static str>,
    /// A request got no answer because the engine could not read what it needed.
    pub(crate) is_cut: bool,
}

/// The directories of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) journal: SimDisk,
    pub(crate) keys: SimDisk,
    pub(crate) index: SimDisk,
}

impl Default for Machine {
    fn default() -> Self {
        let disk = SimDisk::default();
        let [journal, keys, index] = ["journal", "keys", "index"].map(|name| disk.directory(name));
        Self { disk, journal, keys, index }
    }
}

/// Why a process ends or cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Death {
    #[error(transparent)]
    Journal(#[from] Fault),
    #[error(transparent)]
    Index(#[from] index::Fault),
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
}

impl From<RecoverError> for Death {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Journal(fault) => Self::Journal(fault),
            RecoverError::Index(fault) => Self::Index(fault),
        }
    }
}

impl From<WriteError<KeyStoreError>> for Death {
    fn from(error: WriteError<KeyStoreError>) -> Self {
        match error {
            WriteError::Journal(fault) => Self::Journal(fault),
            WriteError::Index(fault) => Self::Index(fault),
            WriteError::Keys(error) => Self::Keys(error),
        }
    }
}

impl Death {
    /// Whether the disk failed while the data on it is intact.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Journal(fault) => matches!(fault, Fault::Io { .. } | Fault::Poisoned(_)),
            Self::Index(fault) => {
                matches!(fault, index::Fault::Io { .. } | index::Fault::Stopped(_) | index::Fault::NoRoom(_))
            }
            Self::Keys(error) => matches!(error, KeyStoreError::Io { .. }),
        }
    }
}

/// Why a step of a process failed.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The process ends.
    Died(Death),
    /// A rule was broken.
    Violated(String),
}

impl From<Death> for StepError {
    fn from(death: Death) -> Self {
        Self::Died(death)
    }
}

impl From<String> for StepError {
    fn from(what: String) -> Self {
        Self::Violated(what)
    }
}

/// The running server: the pipeline, a journal, its index and its keys, without threads.
#[derive(Debug)]
pub(crate) struct Process {
    queue: Queue<u64>,
    /// Requests in progress by ticket: the client's number, and the future of those that came over the network.
    exchanges: BTreeMap<u64, (usize, Option<Exchange>)>,
    tickets: u64,
    decider: Decider,
    in_flight: VecDeque<Batch<Ticket>>,
    writer: Writer<Ticket, FileJournal<SimDisk>>,
    pub(crate) shared: Arc<Shared>,
    clock: ClockGuard,
    gate: Gate,
    closed: Option<&'static str>,
}

/// What a start found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) journal: FileJournal<SimDisk>,
    pub(crate) index: Index,
    pub(crate) torn: Option<TornTail>,
    notes: pipeline::Notes,
    keys: KeyStore<SimDisk>,
}

/// Opens everything on a machine, as the server does.
pub(crate) fn open(machine: &Machine, rng: &mut Rng) -> Result<Opened, Death> {
    let origin = Origin::new(u128::from(rng.next()) + 1);
    let terms = Terms { layout: Layout::TINY, shard: SHARD, tenant: TENANT, pace: PACE, signed: None };
    let started = datadir::recover(&machine.journal, &machine.index, terms, || origin)?;
    let Started { mut engine, journal, recovered, index, notes } = started;
    let mut drawn = Rng::new(rng.next());
    let random = move |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = drawn.byte());
    let has_entries = recovered.last > Seq::ZERO;
    let keys = KeyStore::open(&machine.keys, journal.lineage(), has_entries, Box::new(random))?;
    let policy = active_policy(&engine);
    if let Some(policy) = &policy {
        engine.stage_policy(Arc::clone(policy));
    }
    Ok(Opened { engine, journal, index, torn: recovered.torn, notes, keys })
}

impl Opened {
    /// Reads every durable entry.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Fault> {
        let reader = self.journal.reader();
        let mut entries = Vec::new();
        loop {
            let read = reader.read(Seq::new(entries.len() as u64 + 1))?;
            if read.is_empty() {
                return Ok(entries);
            }
            entries.extend(read);
        }
    }

    /// Checks SIM-9: the keys of all durable entries exist and open what they sealed.
    pub(crate) fn check_keys(&self, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let (Fact::PaymentDecided(decided), Some(sealed)) = (&entry.fact, &entry.sealed) else { continue };
            let opened = self.keys.unseal_section(TENANT, &edge::sealing_context(decided.payment), sealed);
            let opened = opened.map_err(|error| format!("SIM-9: payment {} stays sealed: {error}", decided.payment))?;
            let is_customer =
                |part: &OpenedPart| part.label == [0] && part.value.as_ref().is_some_and(|it| it.starts_with(b"\""));
            if !opened.first().is_some_and(is_customer) {
                return Err(format!("SIM-9: payment {} sealed something else", decided.payment));
            }
        }
        Ok(())
    }
}

/// The active policy, compiled from the stored parts.
fn active_policy(engine: &Engine) -> Option<Arc<Policy>> {
    let (artifact, bytes) = engine.active_artifact()?;
    let known = policies::variant(artifact).expect("only these policies are activated");
    let bundle = Bundle::from_bytes(&bytes).expect("an artifact is read as it was stored");
    assert_eq!(bundle.digest(), known.policy.digest(), "an artifact is read as it was stored");
    Some(Arc::clone(&known.policy))
}

impl Process {
    /// Starts serving.
    pub(crate) fn new(opened: Opened, reading: Reading) -> Self {
        let Opened { engine, journal, index, notes, keys, .. } = opened;
        let history = api::CursorOrigin { origin: journal.identity().origin, shard: SHARD };
        let shared = Shared::new(keys, history, journal.reader(), index);
        shared.note(&engine, active_policy(&engine));
        let last = Some(engine.clock()).filter(|last| *last > Timestamp::ZERO);
        Self {
            queue: Queue::new(EVENTS_MAX),
            exchanges: BTreeMap::new(),
            tickets: 0,
            decider: Decider::new(engine, notes),
            in_flight: VecDeque::new(),
            writer: Writer::new(journal),
            shared: Arc::new(shared),
            clock: ClockGuard::start(ClockBounds::STANDARD, last, reading),
            gate: Gate::default(),
            closed: None,
        }
    }

    /// Reads the clocks and measures the disk, as the server does before each batch. Returns the current time.
    pub(crate) fn observe(&mut self, reading: Reading, free_bytes: u64) -> Timestamp {
        let now = self.clock.observe(reading);
        self.gate.note_clock(self.clock.doubt());
        self.gate.note_disk(DiskSpace { directory: "journal".into(), free_bytes, reserve_bytes: 1 << 20 });
        let why = self.gate.why();
        self.closed = why.as_ref().map(|why| crate::model::code_of(&engine::Refusal::WritesClosed(why.clone())));
        self.decider.set_closed(why);
        now
    }

    /// Whether the server doubts the clock.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.clock.doubt().is_some()
    }

    /// Confirms the clock on behalf of an operator.
    pub(crate) fn confirm(&mut self, reading: Reading) {
        self.clock.confirm(reading);
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.decider.engine()
    }

    pub(crate) fn journal(&self) -> &FileJournal<SimDisk> {
        self.writer.journal()
    }

    /// The writer's next step, or `None` if no frame is between the engine and the index.
    pub(crate) fn next_step(&self, now: Span) -> Option<Step> {
        self.writer.next_step(now)
    }

    /// Writes the first entry of an empty journal, and a principal with an API key.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Result<Option<DecidedBatch>, Death> {
        if self.engine().applied() > Seq::ZERO {
            return Ok(None);
        }
        // As in the server, the gate for writes only applies to client requests.
        self.decider.set_closed(None);
        let started: Batch<Ticket> = self.decider.start(now, self.journal().identity().origin);
        let principal = PrincipalAdded {
            actor: ActorId::new(1_000),
            kind: PrincipalKind::Service,
            name: "made at start".into(),
            subject: None,
        };
        let credential = CredentialAdded {
            credential: CredentialId::new(1_000),
            principal: principal.actor,
            kind: CredentialKind::ApiKey { hash: Digest::of(b"first") },
            scopes: api::Scope::ALL.bits(),
            name: "made at start".into(),
            expires_at: None,
        };
        let asked = [principal.into(), credential.into()].map(|command| Request {
            tenant: TENANT,
            actor: ActorId::SYSTEM,
            id: RequestId::default(),
            command,
        });
        let asks = asked.clone().map(|request| Ask { request, reply_to: (u64::MAX, Seq::ZERO) });
        let batch = self.decider.work(now, asks);
        let entries = entries_of(started.frames.iter().chain(&batch.frames).map(|(frame, _)| frame));
        let answers = answers_of(&batch);
        self.writer.hold(started);
        self.writer.hold(batch);
        self.write(Span::ZERO)?;
        // No client sent this request, so nobody receives the answer.
        self.writer.release().for_each(drop);
        self.mark()?;
        Ok(Some(DecidedBatch { asked: asked.to_vec(), answers, entries, closed: None, is_cut: false }))
    }

    /// Parses a request and puts it in the queue. Returns the result if it is a look-up, which the engine does not answer, and an
    /// error if the request has a problem or the queue is full.
    pub(crate) fn offer(&mut self, number: usize, sent: &Sent) -> Result<Option<LookedUp>, &'static str> {
        let (request, exchange) = match sent {
            Sent::Within(command) => {
                let (id, command) = (RequestId::default(), (**command).clone());
                (Request { tenant: TENANT, actor: ActorId::SYSTEM, id, command }, None)
            }
            Sent::Http(http) => {
                let mut exchange = Exchange::new(&self.shared, http.clone());
                match exchange.go_on(None) {
                    Went::Asks(request) => (request, Some(exchange)),
                    Went::Over(result) if http.operation == Operation::GetPayment => {
                        let payment = http.id.parse().map_err(|_malformed| "malformed id")?;
                        return Ok(Some(LookedUp { payment, through: self.writer.indexed(), result }));
                    }
                    Went::Over(Err(Failure::Problem(problem))) => return Err(problem.code().as_str()),
                    Went::Over(_) => return Err("answered without the engine"),
                }
            }
        };
        self.tickets += 1;
        self.queue.offer(Ask { request, reply_to: self.tickets }).map_err(|_full| "queue_full")?;
        self.exchanges.insert(self.tickets, (number, exchange));
        Ok(None)
    }

    /// Runs one step of the engine. The engine may be a few batches ahead of the journal.
    pub(crate) fn decide(&mut self, now: Timestamp, events: usize) -> Option<DecidedBatch> {
        if self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
            return None;
        }
        let index = &self.shared.index;
        self.decider.forget_through(index.covered(), index.sealed());
        let asks = self.queue.take(events);
        let asked: Vec<Request> = asks.iter().map(|ask| ask.request.clone()).collect();
        let batch = self.decider.work(now, asks);
        let policy = active_policy(self.decider.engine());
        self.shared.note(self.decider.engine(), policy);
        let entries = entries_of(batch.frames.iter().map(|(frame, _)| frame));
        let answers = answers_of(&batch);
        let is_cut = answers.len() < asked.len();
        let ticketed = |(ticket, seq, answer)| ((ticket, seq), seq, answer);
        let held = batch.answers.into_iter().map(ticketed).collect();
        self.in_flight.push_back(Batch { number: batch.number, frames: batch.frames, answers: held });
        Some(DecidedBatch { asked, answers, entries, closed: self.closed, is_cut })
    }

    /// Writes the batch that was decided last from the engine's thread, in the cases in which the server does so.
    pub(crate) fn write_at_once(&mut self, now: Span) -> Result<(), Death> {
        match self.in_flight.back() {
            Some(batch) if self.writer.takes_at_once(batch, self.queue.len()) => self.commit(now),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes a batch completely.
    pub(crate) fn commit(&mut self, now: Span) -> Result<(), Death> {
        self.take();
        self.write(now)
    }

    /// The journal's thread takes a batch. The steps that follow process it.
    pub(crate) fn take(&mut self) {
        if let Some(batch) = self.in_flight.pop_front() {
            self.writer.hold(batch);
        }
    }

    /// Performs one step towards durability.
    pub(crate) fn step(&mut self, now: Span) -> Result<Option<Step>, Death> {
        Ok(self.writer.step(now, &self.shared.keys, &self.shared.index)?)
    }

    fn write(&mut self, now: Span) -> Result<(), Death> {
        while self.step(now)?.is_some() {}
        Ok(())
    }

    /// Releases the answers whose entries are durable.
    pub(crate) fn release(&mut self) -> Vec<Answered> {
        let released: Vec<_> = self.writer.release().collect();
        released.into_iter().filter_map(|(ticket, answer)| self.answered(ticket, answer)).collect()
    }

    /// Passes an answer to its request. Returns `None` if the request asks the engine again, or is no longer in
    /// progress.
    fn answered(&mut self, (ticket, seq): Ticket, answer: engine::Answer) -> Option<Answered> {
        let (number, exchange) = self.exchanges.remove(&ticket)?;
        let Some(mut exchange) = exchange else { return Some(Answered { number, seq, answer, over: None }) };
        match exchange.go_on(Some(answer.clone())) {
            Went::Over(over) => Some(Answered { number, seq, answer, over: Some((exchange, over)) }),
            Went::Asks(request) => {
                if self.queue.offer(Ask { request, reply_to: ticket }).is_ok() {
                    self.exchanges.insert(ticket, (number, Some(exchange)));
                }
                None
            }
        }
    }

    /// Used by a planted bug: returns the answers to reads in the batch that was decided last, whether or not they are
    /// durable.
    pub(crate) fn hasty_reads(&mut self) -> Vec<Answered> {
        let answers = self.in_flight.back().into_iter().flat_map(|batch| &batch.answers);
        let reads = answers.filter(|(_, _, answer)| is_read(answer));
        let reads: Vec<_> = reads.map(|(ticket, _, answer)| (*ticket, answer.clone())).collect();
        reads.into_iter().filter_map(|(ticket, answer)| self.answered(ticket, answer)).collect()
    }

    /// Whether the mark does not cover everything that was acknowledged.
    pub(crate) fn is_unmarked(&self) -> bool {
        self.writer.mark_due().is_some()
    }

    /// The journal's thread checks whether the mark is due.
    pub(crate) fn mark_in_time(&mut self, now: Span) -> Result<(), Death> {
        Ok(self.writer.mark_in_time(now)?)
    }

    fn mark(&mut self) -> Result<(), Death> {
        Ok(self.writer.mark()?)
    }

    /// Processes everything that waits.
    pub(crate) fn drain(
        &mut self,
        (now, monotonic): (Timestamp, Span),
        mut decided: impl FnMut(DecidedBatch) -> Result<(), String>,
    ) -> Result<Vec<Answered>, StepError> {
        while let Some(batch) = self.decide(now, EVENTS_MAX) {
            let is_last = self.queue.is_empty();
            decided(batch)?;
            self.write_all(monotonic)?;
            if is_last {
                break;
            }
        }
        self.write_all(monotonic)?;
        let answered = self.release();
        self.mark()?;
        Ok(answered)
    }

    fn write_all(&mut self, now: Span) -> Result<(), Death> {
        while !self.in_flight.is_empty() {
            self.take();
        }
        self.write(now)
    }

    /// The work in progress apart from frames: requests in the queue, decided batches, and answers to release.
    pub(crate) fn load(&self) -> [usize; 3] {
        [self.queue.len(), self.in_flight.len(), self.writer.answers_waiting()]
    }
}

fn is_read(answer: &engine::Answer) -> bool {
    use engine::Reply;
    matches!(answer, Ok(Reply::Accounts(_) | Reply::Transfers(_) | Reply::Sums(_) | Reply::AccountsPage(_)))
}

fn answers_of<R>(batch: &Batch<R>) -> Vec<(Seq, engine::Answer)> {
    batch.answers.iter().map(|(_, seq, answer)| (*seq, answer.clone())).collect()
}

fn entries_of<'f>(frames: impl Iterator<Item = &'f Frame>) -> Vec<Entry> {
    frames.flat_map(|frame| frame.entries().expect("a frame is read as it was packed")).collect()
}
