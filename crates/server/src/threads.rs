//! The two threads that drive the pipeline. The engine thread decides; meanwhile the journal thread makes durable what was
//! decided before. When no request waits, the engine thread writes its batch itself, because waking another thread for a
//! single request would only add latency.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use datadir::{KeyStore, KeyStoreError};
use disk::Directory;
use engine::Answer;
use journal::{Fault, FileJournal};
use pipeline::{Ask, Batch, Decider, Full, Queue, Step, WriteError, Writer};
use tokio::sync::{oneshot, watch};
use types::{Seq, Span, Timestamp};

use crate::clock::{Stopwatch, duration, span};
use crate::core::{Core, Unavailable};
use crate::metrics::Metrics;

/// The channel through which a caller gets its answer.
pub(crate) type ReplyTo = oneshot::Sender<Answer>;

/// Most events in a batch, so that the first request of a batch does not wait for tens of thousands behind it. A request
/// is never split, so the last one of a batch may exceed this number.
const BATCH_EVENTS: usize = 8_192;
/// Most batches that wait for the journal while the engine continues.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// How often the engine thread checks, while writes are refused, whether they are allowed again.
const CLOSED_LOOK_AGAIN: Span = Span::from_ns(500_000_000);

/// The queue between handlers and the engine thread.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<InboxState>,
    changed: Condvar,
}

#[derive(Debug)]
struct InboxState {
    queue: Queue<ReplyTo>,
    /// When each request of the queue arrived.
    arrivals: VecDeque<Stopwatch>,
    /// The shortest time that the oldest request of a batch waited, since somebody asked.
    wait_min: Option<Duration>,
    open: Result<(), Unavailable>,
    /// Whether the engine thread sleeps and must be notified.
    asleep: bool,
}

impl Inbox {
    pub(crate) fn new(events_max: usize) -> Self {
        let queue = Queue::new(events_max);
        let state = InboxState { queue, arrivals: VecDeque::new(), wait_min: None, open: Ok(()), asleep: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offer(&self, ask: Ask<ReplyTo>) -> Result<(), Unavailable> {
        let mut state = self.lock();
        state.open?;
        state.queue.offer(ask).map_err(|Full(_)| Unavailable::QueueFull)?;
        state.arrivals.push_back(Stopwatch::start());
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Rejects new requests. Requests that already wait are still decided.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.open = state.open.and(Err(Unavailable::Stopping));
        drop(state);
        self.changed.notify_all();
    }

    /// Rejects new requests and drops those that wait, because no thread will decide them.
    pub(crate) fn fail(&self) {
        let mut state = self.lock();
        state.open = Err(Unavailable::Failed);
        let abandoned = state.queue.take(usize::MAX);
        state.arrivals.clear();
        drop(state);
        // Dropping the reply channel tells the caller that there will be no answer.
        drop(abandoned);
        self.changed.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open.is_ok()
    }

    /// Wakes the engine thread so that it checks again what is due.
    pub(crate) fn wake(&self) {
        // Taking the lock ensures that the engine thread either has not checked yet or already sleeps.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits for requests and returns them; returns none if a deadline passes first, and `None` once the inbox is closed and
    /// empty. `due` returns the time now and the next deadline.
    fn next(&self, mut due: impl FnMut() -> (Timestamp, Option<Timestamp>)) -> Option<Vec<Ask<ReplyTo>>> {
        let mut state = self.lock();
        loop {
            if !state.queue.is_empty() {
                return Some(state.take());
            }
            state.open.ok()?;
            let (now, due) = due();
            if due.is_some_and(|due| due <= now) {
                return Some(Vec::new());
            }
            state.asleep = true;
            state = match due {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let wait = duration(due.since(now));
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.asleep = false;
        }
    }

    fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// How long requests waited since the last call: the shortest wait of the oldest request of a batch, or how long the oldest one
    /// has been waiting if there was no batch.
    pub(crate) fn take_wait(&self) -> Duration {
        let mut state = self.lock();
        let waits = state.arrivals.front().map(|arrival| arrival.elapsed());
        state.wait_min.take().or(waits).unwrap_or_default()
    }
}

impl InboxState {
    fn take(&mut self) -> Vec<Ask<ReplyTo>> {
        let waited = self.arrivals.front().map(|arrival| arrival.elapsed());
        self.wait_min = self.wait_min.into_iter().chain(waited).min();
        let asks = self.queue.take(BATCH_EVENTS);
        self.arrivals.drain(..asks.len().min(self.arrivals.len()));
        asks
    }
}

/// Why a thread of the pipeline ended before it was told to.
pub type CommitError = WriteError<KeyStoreError>;

/// The engine thread and the journal thread.
#[derive(Debug)]
pub(crate) struct Threads {
    engine: JoinHandle<Result<(), CommitError>>,
    journal: JoinHandle<Result<(), CommitError>>,
}

/// What the threads share with the rest.
pub(crate) struct Wiring {
    pub(crate) core: Core,
    pub(crate) keys: Arc<KeyStore<Directory>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) durable: watch::Sender<Seq>,
    pub(crate) running: watch::Sender<()>,
}

impl Threads {
    pub(crate) fn start(
        decider: Decider,
        writer: Writer<ReplyTo, FileJournal<Directory>>,
        wiring: Wiring,
    ) -> std::io::Result<Self> {
        let (batches, taken) = sync_channel(BATCHES_IN_FLIGHT_MAX);
        let Wiring { core, keys, metrics, durable, running } = wiring;
        let output = Arc::new(Mutex::new(Output {
            writer,
            running: Stopwatch::start(),
            core: core.clone(),
            keys,
            metrics: Arc::clone(&metrics),
            durable,
            _running: running,
        }));
        let (engine_core, engine_output) = (core.clone(), Arc::clone(&output));
        let engine = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run_engine(decider, &engine_core, &metrics, &engine_output, &batches))?;
        let journal = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let _guard = FailOnExit(&core.shared().inbox);
            run_journal(&output, &taken)
        })?;
        Ok(Self { engine, journal })
    }

    /// Waits until both threads have ended: the engine thread first, because it feeds the other.
    pub(crate) fn join(self) -> Result<(), CommitError> {
        let engine = self.engine.join();
        let journal = self.journal.join();
        match (engine, journal) {
            // The engine thread only saw the journal poisoned; the journal thread has the cause.
            (Ok(Err(CommitError::Journal(Fault::Poisoned(_)))), Ok(Err(cause))) => Err(cause),
            (Ok(engine), Ok(journal)) => engine.and(journal),
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

/// Fails the inbox when the thread ends for any reason. After a clean stop the inbox is empty anyway.
struct FailOnExit<'a>(&'a Inbox);

impl Drop for FailOnExit<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// Fails the inbox when a background thread panics. Otherwise the server would continue without that thread, unnoticed.
pub(crate) struct FailOnPanic<'a>(pub(crate) &'a Inbox);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}

/// What the engine thread sends to the journal thread.
enum Work {
    /// A batch to make durable.
    Batch(Batch<ReplyTo>),
    /// The engine thread made a batch durable itself, so the mark must soon cover it.
    Mark,
}

fn run_engine(
    mut decider: Decider,
    core: &Core,
    metrics: &Metrics,
    output: &Mutex<Output>,
    work: &SyncSender<Work>,
) -> Result<(), CommitError> {
    let shared = core.shared();
    let inbox = &shared.inbox;
    let _guard = FailOnExit(inbox);
    metrics.note_engine(decider.engine());
    loop {
        let due = || {
            let (now, closed) = shared.guard.observe();
            // Deadlines wait too while writes are refused.
            let again = closed.is_some().then(|| now.saturating_add(CLOSED_LOOK_AGAIN));
            decider.set_closed(closed);
            let due = note_due(core, &decider);
            (now, again.or(due))
        };
        let Some(asks) = inbox.next(due) else { break };
        metrics.batch_requests.observe(f64::from(u32::try_from(asks.len()).unwrap_or(u32::MAX)));
        decider.forget_through(shared.index.covered(), shared.index.sealed());
        let (now, closed) = shared.guard.observe();
        decider.set_closed(closed);
        let batch = decider.work(now, asks);
        if let Some(unread) = decider.take_unread() {
            core.note_undecidable(unread);
        }
        for (_, _, answer) in &batch.answers {
            metrics.count_answer(answer);
        }
        metrics.note_engine(decider.engine());
        // Before the answers are sent: rendering an answer needs the asset of its ledger, and a key that was revoked must
        // not be accepted after the answer.
        shared.note_decided(decider.engine());
        let waiting = inbox.len();
        metrics.queue_length.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        // If the lock is taken, the journal thread is writing.
        let free = output.try_lock().ok();
        let sent = match free.filter(|output| output.writer.takes_at_once(&batch, waiting)) {
            Some(mut output) => {
                let was_marked = output.writer.mark_due().is_none();
                output.write([batch])?;
                let begins = was_marked && output.writer.mark_due().is_some();
                drop(output);
                // If the channel is full, the journal thread checks the mark after the work that it has.
                !begins || !matches!(work.try_send(Work::Mark), Err(TrySendError::Disconnected(_)))
            }
            None => work.send(Work::Batch(batch)).is_ok(),
        };
        if !sent {
            // The journal thread failed.
            break;
        }
    }
    // The last batch may have changed it, or the inbox may have been closed before the first look.
    note_due(core, &decider);
    Ok(())
}

/// Tells others when something is due, also while writes are refused.
fn note_due(core: &Core, decider: &Decider) -> Option<Timestamp> {
    let due = decider.engine().next_due();
    core.shared().next_due_ns.store(due.map_or(u64::MAX, Timestamp::ns), Ordering::Relaxed);
    due
}

/// The pipeline's writer, and everything that is told about its progress.
struct Output {
    writer: Writer<ReplyTo, FileJournal<Directory>>,
    /// The writer's clock.
    running: Stopwatch,
    core: Core,
    keys: Arc<KeyStore<Directory>>,
    metrics: Arc<Metrics>,
    durable: watch::Sender<Seq>,
    /// Dropped when both threads have ended, which tells the receivers.
    _running: watch::Sender<()>,
}

impl Output {
    fn now(&self) -> Span {
        span(self.running.elapsed())
    }

    /// Makes batches durable, in order, and sends their answers.
    fn write(&mut self, batches: impl IntoIterator<Item = Batch<ReplyTo>>) -> Result<(), CommitError> {
        batches.into_iter().for_each(|batch| self.writer.hold(batch));
        let before = self.writer.indexed();
        let mut stopwatch = Stopwatch::start();
        loop {
            let stepped = self.writer.step(self.now(), &*self.keys, &self.core.shared().index);
            match log_failure(stepped)? {
                None => break,
                Some(Step::Mark) => stopwatch = Stopwatch::start(),
                Some(Step::SaveKeys | Step::Append | Step::Sync | Step::Index) => {}
            }
        }
        let durable = self.writer.indexed();
        if durable > before {
            self.metrics.sync_seconds.observe(stopwatch.elapsed().as_secs_f64());
            self.metrics.durable_seq.set(i64::try_from(durable.get()).unwrap_or(i64::MAX));
            self.durable.send_replace(durable);
        }
        for (reply_to, answer) in self.writer.release() {
            // Sending fails if the caller has gone; its request took effect all the same.
            drop(reply_to.send(answer));
        }
        Ok(())
    }

    /// Writes the mark if it is due, and returns how long until it is due next.
    fn mark_in_time(&mut self) -> Result<Option<Duration>, CommitError> {
        let marked = self.writer.mark_in_time(self.now());
        log_failure(marked.map_err(CommitError::from))?;
        Ok(self.writer.mark_due().map(|due| duration(due).saturating_sub(self.running.elapsed())))
    }
}

/// Logs the first failure. Later failures are only its consequences.
fn log_failure<T>(done: Result<T, CommitError>) -> Result<T, CommitError> {
    done.inspect_err(|error| {
        if !matches!(error, WriteError::Journal(Fault::Poisoned(_))) {
            tracing::error!(%error, "cannot write; the server stops");
        }
    })
}

fn run_journal(output: &Mutex<Output>, work: &Receiver<Work>) -> Result<(), CommitError> {
    let mut mark_within = None;
    loop {
        let first = match mark_within {
            None => work.recv().map_err(|_closed| RecvTimeoutError::Disconnected),
            Some(within) => work.recv_timeout(within),
        };
        // Poisoned: memory may no longer match the disk.
        let mut output = output.lock().unwrap_or_else(|_panicked| panic!("the engine thread panicked while it wrote"));
        match first {
            Ok(first) => {
                let batches = std::iter::once(first).chain(work.try_iter()).filter_map(|work| match work {
                    Work::Batch(batch) => Some(batch),
                    Work::Mark => None,
                });
                output.write(batches)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(output.writer.mark()?),
        }
        mark_within = output.mark_in_time()?;
    }
}
