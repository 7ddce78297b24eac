//! Tests of the register.

use super::*;

const NOW: Patience = Patience {
    handshake: Duration::ZERO,
    head: Duration::ZERO,
    idle: Duration::ZERO,
    write: Duration::ZERO,
    half_closed: Duration::ZERO,
};

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
fn a_stranger_who_sends_a_body_slowly_makes_room_after_all_others() {
    let register = Arc::new(Register::new(Gauge::default()));
    let places: Vec<Place> = (0..4).map(|_| register.enter()).collect();
    // 0 and 1: strangers that send a body, 0 for longer. 2: a known client that does so too. 3: known and idle.
    places[0].connection.enter(Phase::Receiving);
    pass();
    places[1].connection.enter(Phase::Receiving);
    places[2].connection.note_known();
    places[2].connection.enter(Phase::Receiving);
    places[3].connection.note_known();
    for expected in [3, 0, 1] {
        assert!(register.evict());
        assert_eq!(ordered(&places[expected]), Some(Order::End(Ending::Evicted)), "{expected}");
        places[expected].connection.note_known();
        places[expected].connection.enter(Phase::Answering);
    }
    assert!(!register.evict(), "the known client keeps its connection");
    // A stop lets the request of a stranger finish.
    let stranger = register.enter();
    stranger.connection.enter(Phase::Receiving);
    register.drain();
    assert_eq!(ordered(&stranger), None);
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
    place.connection.enter(Phase::Handshake);
    pass();
    assert_eq!(told(NOW), Some(Order::End(Ending::HandshakeTimeout)));
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

#[test]
fn a_connection_of_http2_is_busy_until_its_last_answer_ends() {
    let register = Arc::new(Register::new(Gauge::default()));
    let place = register.enter();
    let connection = &place.connection;
    connection.multiplex();
    connection.note_received();
    assert_eq!(connection.phase(), Phase::Idle, "frames say nothing about requests");
    let [one, two] = [(); 2].map(|()| Connection::begin(connection, true));
    assert_eq!((connection.phase(), connection.dispensable()), (Phase::Answering, None));
    drop(one);
    assert_eq!(connection.phase(), Phase::Answering);
    pass();
    register.sweep(NOW);
    assert_eq!(ordered(&place), None, "a handler works on the answer");
    two.await_client();
    pass();
    register.sweep(NOW);
    assert_eq!(ordered(&place), Some(Order::End(Ending::WriteTimeout)));
    two.await_handler();
    register.sweep(NOW);
    assert_eq!(ordered(&place), None);
    register.drain();
    assert_eq!(ordered(&place), Some(Order::Finish), "the client is told to send no more requests");
    drop(two);
    assert_eq!(connection.phase(), Phase::Idle);
    assert!(connection.dispensable().is_some());
}
