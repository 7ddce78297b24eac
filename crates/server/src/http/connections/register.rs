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

/// How long after the end of the input a handler may still wait for the body before the body counts as cut off.
const BODY_CUT_AFTER: Duration = Duration::from_secs(1);

/// How long a connection may stay in one phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
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
        head: Duration::from_secs(30),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
        half_closed: Duration::from_secs(60),
    };
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Stopwatch,
    /// Since when the client takes no bytes.
    blocked: Option<Stopwatch>,
    /// Since when the client's sending side is closed.
    half_closed: Option<Stopwatch>,
    /// Whether a request with a valid credential came over this connection.
    is_known: bool,
    /// Waits for the end of the input to be shown to it.
    reader: Option<Waker>,
    /// Whether the client may still be sending what nobody will read.
    has_unread: bool,
    order: Option<Order>,
}

impl Connection {
    fn new(is_draining: Arc<AtomicBool>) -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Stopwatch::start(),
            blocked: None,
            half_closed: None,
            is_known: false,
            reader: None,
            has_unread: false,
            order: None,
        };
        Self { state: Mutex::new(state), ordered: Notify::new(), is_draining }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase != phase {
            state.phase = phase;
            state.since = Stopwatch::start();
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
        let since = *state.half_closed.get_or_insert_with(Stopwatch::start);
        let is_hidden = match state.phase {
            // A client of a stream that closes its sending side has left.
            Phase::Idle | Phase::Head | Phase::Streaming => false,
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
        if self.advance(Phase::Answering, Phase::Streaming) {
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
        self.lock().is_known = true;
    }

    pub(super) fn note_unread(&self) {
        self.lock().has_unread = true;
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
        if over(state.half_closed, patience.half_closed) {
            return Some(Ending::HalfClosed);
        }
        match state.phase {
            Phase::Idle if state.since.elapsed() > patience.idle => Some(Ending::IdleTimeout),
            Phase::Head if state.since.elapsed() > patience.head => Some(Ending::HeadTimeout),
            // Handlers bound the time for a body, and the work on a request.
            Phase::Idle | Phase::Head | Phase::Receiving | Phase::Answering | Phase::Streaming | Phase::Flushing => {
                None
            }
        }
    }

    /// How dispensable the connection is; `None` while a request is in progress. Among connections, those over which no known
    /// client ever spoke go first, and then those that have waited longest.
    fn dispensable(&self) -> Option<(bool, Duration)> {
        let state = self.lock();
        let is_waiting = matches!(state.phase, Phase::Idle | Phase::Head) && state.order.is_none();
        is_waiting.then(|| (!state.is_known, state.since.elapsed()))
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
    /// progress.
    pub(super) fn evict(&self) -> bool {
        let open = self.lock();
        let waiting = open.connections.values().filter_map(|one| Some((one.dispensable()?, one)));
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
    /// of known clients, which may be about to send one.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        for connection in self.lock().connections.values() {
            if connection.dispensable().is_some_and(|(is_unknown, _)| is_unknown) {
                connection.order(Order::End(Ending::Stopped));
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
mod tests {
    use super::*;

    const NOW: Patience =
        Patience { head: Duration::ZERO, idle: Duration::ZERO, write: Duration::ZERO, half_closed: Duration::ZERO };

    /// Lets a little time pass.
    fn pass() {
        let since = Stopwatch::start();
        while since.elapsed() < Duration::from_millis(1) {
            std::thread::yield_now();
        }
    }

    fn ordered(place: &Place) -> Option<Order> {
        place.connection.lock().order.take()
    }

    #[test]
    fn the_most_dispensable_connection_is_evicted_first() {
        let register = Arc::new(Register::new(Gauge::default()));
        let places: Vec<Place> = (0..5).map(|_| register.enter()).collect();
        // 0: known and idle for longest. 1: works. 2 and 3: unknown, 2 for longer. 4: known.
        places[0].connection.note_known();
        places[1].connection.enter(Phase::Answering);
        places[2].connection.enter(Phase::Head);
        places[4].connection.note_known();
        pass();
        places[3].connection.enter(Phase::Head);
        let mut evicted = Vec::new();
        while register.evict() {
            let found = places.iter().position(|place| place.connection.lock().order.is_some());
            let found = found.expect("an order was given");
            places[found].connection.enter(Phase::Answering);
            assert_eq!(ordered(&places[found]), Some(Order::End(Ending::Evicted)));
            evicted.push(found);
        }
        assert_eq!(evicted[..2], [2, 3], "those that nobody knows, longest first");
        assert_eq!(evicted.len(), 4, "never the one with a request in progress");
    }

    #[test]
    fn each_phase_has_its_own_patience() {
        let register = Arc::new(Register::new(Gauge::default()));
        let place = register.enter();
        let told = |patience| {
            register.sweep(patience);
            ordered(&place)
        };
        pass();
        assert_eq!(told(Patience::STANDARD), None);
        assert_eq!(told(NOW), Some(Order::End(Ending::IdleTimeout)));
        place.connection.enter(Phase::Head);
        pass();
        assert_eq!(told(NOW), Some(Order::End(Ending::HeadTimeout)));
        for phase in [Phase::Receiving, Phase::Answering, Phase::Streaming, Phase::Flushing] {
            place.connection.enter(phase);
            pass();
            assert_eq!(told(NOW), None, "{phase:?} has no limit of its own");
        }
        assert!(place.connection.hides_half_closing(Waker::noop()), "an answer is still to be sent");
        pass();
        assert_eq!(told(NOW), Some(Order::End(Ending::HalfClosed)));
        place.connection.note_write(true);
        pass();
        assert_eq!(told(NOW), Some(Order::End(Ending::WriteTimeout)));
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
        let register = Arc::new(Register::new(Gauge::default()));
        let [unknown, known, busy] = [(); 3].map(|()| register.enter());
        known.connection.note_known();
        busy.connection.enter(Phase::Answering);
        register.drain();
        assert!(busy.connection.is_draining());
        assert_eq!([&unknown, &known, &busy].map(ordered), [Some(Order::End(Ending::Stopped)), None, None]);
        register.finish();
        assert_eq!([&known, &busy].map(ordered), [Some(Order::End(Ending::Stopped)), Some(Order::Finish)]);
        drop((unknown, known));
        assert_eq!(register.len(), 1);
        drop(busy);
        register.at_most(0).await;
    }
}
