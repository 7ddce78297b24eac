//! The open connections: what each one is doing, and which of them have to end.
//!
//! A connection without a request is idle. Nobody needs a key to hold one open, so idle connections are the first to go: the
//! register ends those that wait for too long, and when all places are taken, it ends one to make room for the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::clock::Stopwatch;
use crate::http::doors::KnownClient;

/// How long the first answer of a connection may take before the connection can make room for another one.
const UNKNOWN_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long after the end of the input a handler may still wait for the body before the body counts as cut off.
const BODY_CUT_AFTER: Duration = Duration::from_secs(1);

/// How long a connection may stay in one phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the beginning of a connection to the end of its TLS handshake.
    pub(crate) handshake: Duration,
    /// From the first byte of a request's head to its last.
    pub(crate) head: Duration,
    /// Without a request.
    pub(crate) idle: Duration,
    /// While the client takes none of the bytes that the server sends.
    pub(crate) write: Duration,
    /// From the moment when a client closed its sending side until its answer is complete.
    pub(crate) half_closed: Duration,
}

impl Patience {
    pub(crate) const STANDARD: Self = Self {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(30),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
        half_closed: Duration::from_secs(60),
    };
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its TLS handshake is not complete.
    Handshake,
    /// It waits for a request.
    Idle,
    /// A part of a request's head has arrived.
    Head,
    /// A handler works on the request, whose body is not read to its end.
    Receiving,
    /// A handler works on the request, all of which has arrived.
    Answering,
    /// The answer has no end of its own, such as a stream of events, and waits for something to send.
    Streaming,
    /// The handler is done, and the last bytes of the answer are on their way.
    Flushing,
}

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    HandshakeTimeout,
    HeadTimeout,
    IdleTimeout,
    WriteTimeout,
    /// The client closed its sending side long ago, and the answer is still not complete.
    HalfClosed,
    /// Another connection needed the place.
    Evicted,
    /// The server stops.
    Stopped,
}

impl Ending {
    /// The value of the metric's label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::HalfClosed => "half_closed",
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
        }
    }
}

/// What the task of a connection must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Finish the request in progress, if there is one, and then end.
    Finish,
    End(Ending),
}

/// The state of one connection, which its task, its stream and the register share.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    ordered: Notify,
    is_draining: Arc<AtomicBool>,
    /// Whether a request with a valid credential came over this connection.
    pub(super) client: KnownClient,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Stopwatch,
    /// Since when the client takes no bytes.
    blocked: Option<Stopwatch>,
    /// Since when the client's sending side is closed.
    half_closed: Option<Stopwatch>,
    /// Waits for the end of the input to be shown to it.
    reader: Option<Waker>,
    /// Whether the client may still be sending what nobody will read.
    has_unread: bool,
    order: Option<Order>,
    /// The answers in progress of a connection of HTTP/2; `None` for one of HTTP/1.1, which has one at a time.
    answers: Option<Answers>,
}

/// Answers that are in progress at the same time.
#[derive(Debug, Default)]
struct Answers {
    next: u64,
    /// By number: since when the answer waits for the client to take the next piece; `None` while a handler works on it.
    open: BTreeMap<u64, Option<Stopwatch>>,
}

/// A request in progress. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct InProgress {
    connection: Arc<Connection>,
    number: u64,
}

impl InProgress {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Records that the next piece of the answer is there for the client.
    pub(super) fn await_client(&self) {
        self.connection.set_answer(self.number, Some(Stopwatch::start()));
    }

    /// Records that the client has taken everything so far.
    pub(super) fn await_handler(&self) {
        self.connection.set_answer(self.number, None);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.connection.end_request(self.number);
    }
}

impl State {
    fn set_phase(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = Stopwatch::start();
        }
    }
}

impl Connection {
    fn new(is_draining: Arc<AtomicBool>) -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Stopwatch::start(),
            blocked: None,
            half_closed: None,
            reader: None,
            has_unread: false,
            order: None,
            answers: None,
        };
        Self { state: Mutex::new(state), ordered: Notify::new(), is_draining, client: KnownClient::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Whether what the HTTP library writes now, over HTTP/1.1, is not the answer of a handler.
    pub(super) fn is_before_a_request(&self) -> bool {
        let state = self.lock();
        matches!(state.phase, Phase::Idle | Phase::Head) && state.answers.is_none()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.lock().set_phase(phase);
    }

    /// Records that this is a connection of HTTP/2. It is idle while it has no request at all, and its bytes say nothing about the
    /// beginning of a request.
    pub(super) fn multiplex(&self) {
        self.lock().answers = Some(Answers::default());
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.lock().answers.is_some()
    }

    /// Records that a request has arrived, with or without a body.
    pub(super) fn begin(connection: &Arc<Self>, has_body: bool) -> InProgress {
        let mut state = connection.lock();
        let number = match &mut state.answers {
            Some(answers) => {
                let number = answers.next;
                answers.next += 1;
                answers.open.insert(number, None);
                state.set_phase(Phase::Answering);
                number
            }
            None => {
                state.set_phase(if has_body { Phase::Receiving } else { Phase::Answering });
                0
            }
        };
        drop(state);
        InProgress { connection: Arc::clone(connection), number }
    }

    fn set_answer(&self, number: u64, since: Option<Stopwatch>) {
        if let Some(answers) = &mut self.lock().answers {
            answers.open.insert(number, since);
        }
    }

    fn end_request(&self, number: u64) {
        let mut state = self.lock();
        let phase = match &mut state.answers {
            Some(answers) => {
                answers.open.remove(&number);
                if answers.open.is_empty() { Phase::Idle } else { Phase::Answering }
            }
            None => Phase::Flushing,
        };
        state.set_phase(phase);
    }

    /// Records that bytes have arrived.
    pub(super) fn note_received(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle && state.answers.is_none() {
            state.set_phase(Phase::Head);
        }
    }

    /// Goes from one phase to another. Returns false if the connection is not in the first one.
    pub(super) fn advance(&self, from: Phase, to: Phase) -> bool {
        let mut state = self.lock();
        let is_there = state.phase == from;
        if is_there {
            state.phase = to;
            state.since = Stopwatch::start();
        }
        is_there
    }

    /// Records whether the client takes the bytes that are sent.
    pub(super) fn note_write(&self, is_blocked: bool) {
        let mut state = self.lock();
        if is_blocked {
            state.blocked.get_or_insert_with(Stopwatch::start);
        } else {
            state.blocked = None;
        }
    }

    /// Records that the client closed its sending side. Returns whether that should stay hidden from the HTTP library, because the
    /// client still waits for an answer. Then `reader` is woken when it is time to ask again.
    pub(super) fn hides_half_closing(&self, reader: &Waker) -> bool {
        let mut state = self.lock();
        if state.answers.is_some() {
            // A client of HTTP/2 that closes its sending side has left.
            return false;
        }
        let since = *state.half_closed.get_or_insert_with(Stopwatch::start);
        let is_hidden = match state.phase {
            // A client of a stream that closes its sending side has left.
            Phase::Handshake | Phase::Idle | Phase::Head | Phase::Streaming => false,
            // The handler may be about to take the last bytes of the body. If it still waits a little later, they will never come.
            Phase::Receiving => since.elapsed() < BODY_CUT_AFTER,
            Phase::Answering | Phase::Flushing => true,
        };
        state.reader = is_hidden.then(|| reader.clone());
        is_hidden
    }

    /// Wakes the reader to which the end of the input was hidden.
    pub(super) fn wake_reader(&self) {
        let reader = self.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Records that the answer is a stream that waits for something to send. A client that closed its sending side before is
    /// noticed now.
    pub(super) fn note_streaming(&self) {
        if !self.is_multiplexed() && self.advance(Phase::Answering, Phase::Streaming) {
            self.wake_reader();
        }
    }

    /// Wakes the reader if the body of the request was cut off.
    fn notice_a_cut_body(&self) {
        let state = self.lock();
        let is_cut =
            state.phase == Phase::Receiving && state.half_closed.is_some_and(|since| since.elapsed() >= BODY_CUT_AFTER);
        drop(state);
        if is_cut {
            self.wake_reader();
        }
    }

    pub(super) fn note_known(&self) {
        self.client.note();
    }

    pub(super) fn note_unread(&self) {
        self.lock().has_unread = true;
    }

    /// Records that the rest of what nobody wanted to read was read after all.
    pub(super) fn note_discarded(&self) {
        self.lock().has_unread = false;
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.lock().has_unread
    }

    /// Whether closing the socket at once could destroy the answer: the client may still be sending.
    pub(super) fn must_linger(&self) -> bool {
        let state = self.lock();
        state.has_unread && state.half_closed.is_none()
    }

    /// Whether the server stops, so that every answer must tell the client to connect elsewhere next time.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Waits for an order.
    pub(super) async fn ordered(&self) -> Order {
        loop {
            // Taken, so that each order is obeyed once.
            if let Some(order) = self.lock().order.take() {
                return order;
            }
            self.ordered.notified().await;
        }
    }

    fn order(&self, order: Order) {
        self.lock().order = Some(order);
        self.ordered.notify_one();
    }

    /// Why the connection has to end, if it has waited for too long.
    fn overdue(&self, patience: Patience) -> Option<Ending> {
        let state = self.lock();
        let over = |since: Option<Stopwatch>, most: Duration| since.is_some_and(|since| since.elapsed() > most);
        if over(state.blocked, patience.write) {
            return Some(Ending::WriteTimeout);
        }
        let is_taken_too_slowly = |answers: &Answers| answers.open.values().any(|since| over(*since, patience.write));
        if state.answers.as_ref().is_some_and(is_taken_too_slowly) {
            return Some(Ending::WriteTimeout);
        }
        if over(state.half_closed, patience.half_closed) {
            return Some(Ending::HalfClosed);
        }
        match state.phase {
            Phase::Handshake if state.since.elapsed() > patience.handshake => Some(Ending::HandshakeTimeout),
            Phase::Idle if state.since.elapsed() > patience.idle => Some(Ending::IdleTimeout),
            Phase::Head if state.since.elapsed() > patience.head => Some(Ending::HeadTimeout),
            // Handlers bound the time for a body, and the work on a request.
            Phase::Handshake
            | Phase::Idle
            | Phase::Head
            | Phase::Receiving
            | Phase::Answering
            | Phase::Streaming
            | Phase::Flushing => None,
        }
    }

    /// How dispensable the connection is; `None` while a request is in progress. Among connections, those over which no known
    /// client ever spoke go first, and then those that have waited longest.
    fn dispensable(&self) -> Option<(bool, Duration)> {
        let state = self.lock();
        let is_waiting = matches!(state.phase, Phase::Handshake | Phase::Idle | Phase::Head) && state.order.is_none();
        is_waiting.then(|| (!self.client.is_known(), state.since.elapsed()))
    }

    /// As [`Connection::dispensable`] when there is no room for another connection: after all others come those over which no known client
    /// ever spoke, and whose request or answer takes its time. So nobody without a credential keeps the room of others for long.
    fn evictable(&self) -> Option<(bool, bool, Duration)> {
        if let Some((is_unknown, waited)) = self.dispensable() {
            return Some((true, is_unknown, waited));
        }
        let state = self.lock();
        let waited = state.since.elapsed();
        let is_slow = match state.phase {
            Phase::Receiving | Phase::Flushing => true,
            Phase::Answering => waited > UNKNOWN_ANSWER_WITHIN,
            Phase::Handshake | Phase::Idle | Phase::Head | Phase::Streaming => false,
        };
        (is_slow && !self.client.is_known() && state.order.is_none()).then_some((false, true, waited))
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Register {
    open: Mutex<Open>,
    /// The number of open connections, for the metrics.
    count: Gauge<i64, AtomicI64>,
    /// Told whenever a connection ends.
    left: Notify,
    is_draining: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Open {
    connections: BTreeMap<u64, Arc<Connection>>,
    next: u64,
}

impl Register {
    pub(super) fn new(count: Gauge<i64, AtomicI64>) -> Self {
        Self { open: Mutex::default(), count, left: Notify::new(), is_draining: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Adds a connection, which counts as open until the result is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let connection = Arc::new(Connection::new(Arc::clone(&self.is_draining)));
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, Arc::clone(&connection));
        self.count.inc();
        Place { register: Arc::clone(self), number, connection }
    }

    /// Ends the most dispensable connection, to make room for another one. Returns false if all of them have a request in
    /// progress, of a known client or a new one.
    pub(super) fn evict(&self) -> bool {
        let open = self.lock();
        let waiting = open.connections.values().filter_map(|one| Some((one.evictable()?, one)));
        let Some((_, found)) = waiting.max_by_key(|(rank, _)| *rank) else { return false };
        found.order(Order::End(Ending::Evicted));
        true
    }

    /// Ends the connections that have waited for too long.
    pub(super) fn sweep(&self, patience: Patience) {
        for connection in self.lock().connections.values() {
            connection.notice_a_cut_body();
            if let Some(ending) = connection.overdue(patience) {
                connection.order(Order::End(ending));
            }
        }
    }

    /// Begins to stop: every answer now says that its connection closes. Connections without a request end at once, except those
    /// of known clients, which may be about to send one. Clients of HTTP/2 are told at once to send no more requests.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        for connection in self.lock().connections.values() {
            if connection.dispensable().is_some_and(|(is_unknown, _)| is_unknown) {
                connection.order(Order::End(Ending::Stopped));
            } else if connection.is_multiplexed() {
                connection.order(Order::Finish);
            }
        }
    }

    /// Ends every connection, after the request in progress if there is one.
    pub(super) fn finish(&self) {
        for connection in self.lock().connections.values() {
            let is_waiting = connection.dispensable().is_some();
            connection.order(if is_waiting { Order::End(Ending::Stopped) } else { Order::Finish });
        }
    }

    /// Waits until at most `most` connections are open.
    pub(super) async fn at_most(&self, most: usize) {
        loop {
            let left = self.left.notified();
            if self.len() <= most {
                return;
            }
            left.await;
        }
    }
}

/// An open connection's place in the register.
#[derive(Debug)]
pub(super) struct Place {
    register: Arc<Register>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.register.lock();
        open.connections.remove(&self.number);
        self.register.count.dec();
        drop(open);
        self.register.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
