//! The two threads that drive the pipeline: the engine's decides, and the journal's makes durable meanwhile what was
//! decided before. When nothing waits to be decided, the engine's does the journal's work as well: to wake another thread
//! for a lone request would only take time.

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

/// Where an answer goes.
pub(crate) type ReplyTo = oneshot::Sender<Answer>;

/// Events decided together, so that the first of a batch does not wait for tens of thousands after it. The request that
/// reaches the number is taken whole.
const BATCH_EVENTS: usize = 8_192;
/// Batches that may wait for the journal while the engine goes on.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// How soon it is looked again whether something may be written.
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
    open: Result<(), Unavailable>,
    /// The engine thread sleeps until it is notified.
    asleep: bool,
}

impl Inbox {
    pub(crate) fn new(events_max: usize) -> Self {
        let state = InboxState { queue: Queue::new(events_max), open: Ok(()), asleep: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offer(&self, ask: Ask<ReplyTo>) -> Result<(), Unavailable> {
        let mut state = self.lock();
        state.open?;
        state.queue.offer(ask).map_err(|Full(_)| Unavailable::QueueFull)?;
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes no more requests; those that wait are still decided.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.open = state.open.and(Err(Unavailable::Stopping));
        drop(state);
        self.changed.notify_all();
    }

    /// Takes no more requests, and lets go of those that wait: nobody will decide them.
    pub(crate) fn fail(&self) {
        let mut state = self.lock();
        state.open = Err(Unavailable::Failed);
        let abandoned = state.queue.take(usize::MAX);
        drop(state);
        // Dropping where an answer would go tells its caller that there is none.
        drop(abandoned);
        self.changed.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open.is_ok()
    }

    /// Lets the engine thread look anew when something is due.
    pub(crate) fn wake(&self) {
        // Under the lock: it either has not looked yet or sleeps.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// What waits, or nothing when what is due has come, of which `due` says when that is beside what time it is now;
    /// `None` once the inbox is closed and empty.
    fn next(&self, mut due: impl FnMut() -> (Timestamp, Option<Timestamp>)) -> Option<Vec<Ask<ReplyTo>>> {
        let mut state = self.lock();
        loop {
            if !state.queue.is_empty() {
                return Some(state.queue.take(BATCH_EVENTS));
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

    /// How many requests wait.
    fn len(&self) -> usize {
        self.lock().queue.len()
    }
}

/// Why a thread of the pipeline ended before it was told to.
pub type CommitError = WriteError<KeyStoreError>;

/// Both threads.
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

    /// Waits until both have ended; the engine's first, because it feeds the other.
    pub(crate) fn join(self) -> Result<(), CommitError> {
        let engine = self.engine.join();
        let journal = self.journal.join();
        match (engine, journal) {
            // What one of them met first poisoned the journal for the other.
            (Ok(Err(CommitError::Journal(Fault::Poisoned(_)))), Ok(Err(cause))) => Err(cause),
            (Ok(engine), Ok(journal)) => engine.and(journal),
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

/// Fails the inbox when the engine thread ends, however it ends: after a clean stop it is empty anyway.
struct FailOnExit<'a>(&'a Inbox);

impl Drop for FailOnExit<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// Fails the inbox when a thread beside the pipeline panics: without it the server would go on and nobody would notice.
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
    /// To be made durable.
    Batch(Batch<ReplyTo>),
    /// The engine thread made something durable itself; the mark is to cover it in time.
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
    loop {
        let due = || {
            let (now, closed) = shared.guard.observe();
            // What is due waits too while nothing may be written.
            let again = closed.is_some().then(|| now.saturating_add(CLOSED_LOOK_AGAIN));
            decider.set_closed(closed);
            (now, again.or_else(|| decider.next_due()))
        };
        let Some(asks) = inbox.next(due) else { break };
        metrics.batch_requests.observe(f64::from(u32::try_from(asks.len()).unwrap_or(u32::MAX)));
        decider.forget_through(shared.index.covered());
        let (now, closed) = shared.guard.observe();
        decider.set_closed(closed);
        let batch = decider.work(now, asks);
        if let Some(unread) = decider.take_unread() {
            core.note_undecidable(unread);
        }
        for (_, _, answer) in &batch.answers {
            metrics.count_answer(answer);
        }
        let dropped = decider.engine().records_dropped();
        metrics.window_records_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
        // Before the answers leave, so that whoever shows one knows what its ledger counts.
        shared.note_opened(decider.engine());
        let waiting = inbox.len();
        metrics.queue_length.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        // A lock that is not free is held by the journal thread, which writes.
        let free = output.try_lock().ok();
        let sent = match free.filter(|output| output.writer.takes_at_once(&batch, waiting)) {
            Some(mut output) => {
                let was_marked = output.writer.mark_due().is_none();
                output.write([batch])?;
                let begins = was_marked && output.writer.mark_due().is_some();
                drop(output);
                // A journal thread with so much work that no more fits looks at the mark after it.
                !begins || !matches!(work.try_send(Work::Mark), Err(TrySendError::Disconnected(_)))
            }
            None => work.send(Work::Batch(batch)).is_ok(),
        };
        if !sent {
            // The journal thread failed.
            break;
        }
    }
    Ok(())
}

/// The pipeline's writer and whom it tells of its progress.
struct Output {
    writer: Writer<ReplyTo, FileJournal<Directory>>,
    /// The writer's clock.
    running: Stopwatch,
    core: Core,
    keys: Arc<KeyStore<Directory>>,
    metrics: Arc<Metrics>,
    durable: watch::Sender<Seq>,
    /// Dropped when both threads have ended.
    _running: watch::Sender<()>,
}

impl Output {
    fn now(&self) -> Span {
        span(self.running.elapsed())
    }

    /// Makes batches durable, in order, and lets their answers go.
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
            // A caller that went away gets no answer; what it asked for is done.
            drop(reply_to.send(answer));
        }
        Ok(())
    }

    /// Writes the mark if it is due; says how long until it is the next time.
    fn mark_in_time(&mut self) -> Result<Option<Duration>, CommitError> {
        let marked = self.writer.mark_in_time(self.now());
        log_failure(marked.map_err(CommitError::from))?;
        Ok(self.writer.mark_due().map(|due| duration(due).saturating_sub(self.running.elapsed())))
    }
}

/// Logs what failed first; everything after it fails because of that.
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
