//! The two threads that drive the pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::Answer;
use index::Index;
use journal::{Directory, Fault, FileJournal, Frame, Journal as _};
use ledger::IndexedFields;
use pipeline::{Ask, Batch, Committer, Decider, Feed, Full, Queue};
use tokio::sync::{oneshot, watch};
use types::{LedgerId, Seq, Timestamp};

use crate::awake::wait_awake;
use crate::clock::{Clock, Stopwatch, duration};
use crate::core::{Core, Shared, Unavailable};
use crate::key_store::{KeyStore, KeyStoreError};
use crate::metrics::Metrics;

/// Where an answer goes.
pub(crate) type ReplyTo = oneshot::Sender<Answer>;

/// Events decided together, so that the first of a batch does not wait for tens of thousands after it. The request that
/// reaches the number is taken whole.
const BATCH_EVENTS: usize = 8_192;
/// Batches that may wait for the journal while the engine goes on.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// How soon after an acknowledgement the mark covers it.
const MARK_WITHIN: Duration = Duration::from_millis(10);

/// The queue between handlers and the engine thread.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<InboxState>,
    changed: Condvar,
    /// That there is something to take, to be seen without the lock.
    has_news: AtomicBool,
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
        Self { state: Mutex::new(state), changed: Condvar::new(), has_news: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offer(&self, ask: Ask<ReplyTo>) -> Result<(), Unavailable> {
        let mut state = self.lock();
        state.open?;
        state.queue.offer(ask).map_err(|Full(_)| Unavailable::QueueFull)?;
        let asleep = state.asleep;
        self.has_news.store(true, Ordering::Release);
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
        self.has_news.store(true, Ordering::Release);
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
        self.has_news.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open.is_ok()
    }

    /// What waits, or nothing when `due` has come; `None` once the inbox is closed and empty.
    fn next(&self, clock: Clock, due: Option<Timestamp>) -> Option<Vec<Ask<ReplyTo>>> {
        let is_due = || due.is_some_and(|due| due <= clock.now());
        // What comes while the queue is looked at sets this again.
        wait_awake(|| (self.has_news.swap(false, Ordering::Acquire) || is_due()).then_some(()));
        let mut state = self.lock();
        loop {
            if !state.queue.is_empty() {
                let taken = state.queue.take(BATCH_EVENTS);
                self.has_news.store(!state.queue.is_empty(), Ordering::Release);
                return Some(taken);
            }
            state.open.ok()?;
            if is_due() {
                return Some(Vec::new());
            }
            state.asleep = true;
            state = match due {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let wait = duration(due.since(clock.now()));
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.asleep = false;
        }
    }

    fn len(&self) -> usize {
        self.lock().queue.len()
    }
}

/// Why the journal thread ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The index failed: nothing is lost, but a restart must derive it again.
    #[error("the index failed: {0}")]
    Index(#[from] index::Fault),
    /// Keys could not be saved, so entries that need them must not be written.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
}

/// Both threads.
#[derive(Debug)]
pub(crate) struct Threads {
    engine: JoinHandle<()>,
    journal: JoinHandle<Result<(), CommitError>>,
}

/// What the threads share with the rest.
pub(crate) struct Wiring {
    pub(crate) core: Core,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) durable: watch::Sender<Seq>,
}

impl Threads {
    pub(crate) fn start(decider: Decider, journal: FileJournal<Directory>, wiring: Wiring) -> std::io::Result<Self> {
        let (batches, taken) = sync_channel(BATCHES_IN_FLIGHT_MAX);
        let Wiring { core, keys, metrics, durable } = wiring;
        let (engine_core, engine_metrics) = (core.clone(), Arc::clone(&metrics));
        let engine = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run_engine(decider, engine_core.shared(), &engine_metrics, &batches))?;
        let journal = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let result = run_journal(journal, &core.shared().index, &taken, &keys, &metrics, &durable);
            if result.is_err() {
                core.shared().inbox.fail();
            }
            result
        })?;
        Ok(Self { engine, journal })
    }

    /// Waits until both have ended; the engine's first, because it feeds the other.
    pub(crate) fn join(self) -> Result<(), CommitError> {
        let engine = self.engine.join();
        let journal = self.journal.join();
        match (engine, journal) {
            (Ok(()), Ok(result)) => result,
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

fn run_engine(mut decider: Decider, shared: &Shared, metrics: &Metrics, batches: &SyncSender<Batch<ReplyTo>>) {
    let clock = Clock;
    let inbox = &shared.inbox;
    let _guard = FailOnExit(inbox);
    while let Some(asks) = inbox.next(clock, decider.engine().next_due()) {
        metrics.queue_length.set(i64::try_from(inbox.len()).unwrap_or(i64::MAX));
        metrics.batch_requests.observe(f64::from(u32::try_from(asks.len()).unwrap_or(u32::MAX)));
        decider.forget_through(shared.index.covered());
        let batch = decider.work(clock.now(), asks);
        for (_, _, answer) in &batch.answers {
            metrics.count_answer(answer);
        }
        let dropped = decider.engine().records_dropped();
        metrics.window_records_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
        // Before the answers leave, so that whoever shows one knows what its ledger counts.
        shared.note_ledgers(decider.engine());
        if batches.send(batch).is_err() {
            // The journal thread failed.
            return;
        }
    }
}

/// Writes frames, makes them durable and tells the index. From then on what they did can be shown.
pub(crate) fn commit<D: journal::Disk>(
    journal: &mut FileJournal<D>,
    index: &Index,
    frames: Vec<(Frame, Feed)>,
) -> Result<Seq, CommitError> {
    let mut told = Vec::with_capacity(frames.len());
    for (frame, feed) in frames {
        let at = journal.append(&frame)?;
        told.push((feed, at, journal.place()));
    }
    let durable = journal.sync()?;
    for (feed, at, behind) in told {
        for (ledger, fields) in feed.chosen() {
            choose(index, *ledger, *fields);
        }
        let (batch, generation) = feed.placed(at, behind);
        index.publish(batch);
        if let Some(generation) = generation {
            index.seal(generation)?;
        }
    }
    Ok(durable)
}

/// Lets the index have the fields that a ledger chose.
pub(crate) fn choose(index: &Index, ledger: LedgerId, fields: IndexedFields) {
    index.choose(ledger, u8::try_from(fields.bits()).expect("IDX-4: there are five fields"));
}

fn run_journal(
    mut journal: FileJournal<Directory>,
    index: &Index,
    batches: &Receiver<Batch<ReplyTo>>,
    keys: &KeyStore,
    metrics: &Metrics,
    durable: &watch::Sender<Seq>,
) -> Result<(), CommitError> {
    let mut committer = Committer::new(journal.durable());
    let mut unmarked_since: Option<Stopwatch> = None;
    loop {
        let awake = wait_awake(|| match batches.try_recv() {
            Ok(batch) => Some(Ok(batch)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvTimeoutError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        });
        let first = match (awake, unmarked_since) {
            (Some(first), _) => first,
            (None, None) => batches.recv().map_err(|_closed| RecvTimeoutError::Disconnected),
            (None, Some(since)) => batches.recv_timeout(MARK_WITHIN.saturating_sub(since.elapsed())),
        };
        match first {
            Ok(first) => {
                let mut frames = committer.hold(first);
                let more = loop {
                    match batches.try_recv() {
                        Ok(batch) => frames.extend(committer.hold(batch)),
                        Err(TryRecvError::Empty) => break true,
                        Err(TryRecvError::Disconnected) => break false,
                    }
                };
                if !frames.is_empty() {
                    if unmarked_since.is_some_and(|since| since.elapsed() >= MARK_WITHIN) {
                        journal.mark()?;
                        unmarked_since = None;
                    }
                    let stopwatch = Stopwatch::start();
                    keys.save()?;
                    let synced = commit(&mut journal, index, frames)?;
                    metrics.sync_seconds.observe(stopwatch.elapsed().as_secs_f64());
                    metrics.durable_seq.set(i64::try_from(synced.get()).unwrap_or(i64::MAX));
                    durable.send_replace(synced);
                    unmarked_since.get_or_insert_with(Stopwatch::start);
                }
                for (reply_to, answer) in committer.release(journal.durable()) {
                    // A caller that went away gets no answer; what it asked for is done.
                    drop(reply_to.send(answer));
                }
                if !more {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if unmarked_since.is_some_and(|since| since.elapsed() >= MARK_WITHIN) {
            journal.mark()?;
            unmarked_since = None;
        }
    }
    journal.mark()?;
    Ok(())
}
