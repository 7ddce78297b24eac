//! The server killed with SIGKILL at random moments under a mixed load, again and again.
//!
//! Every caller owns its accounts and knows from a model of its own what each request must lead to: whatever is
//! acknowledged equals that, is there after every kill, exactly once; what was not acknowledged happened at most once, as
//! a prefix of what was sent, chains whole, and asked again it is settled; balances are the model's. A reader follows the
//! feed of events: what it was shown stays as it was, and in the end every event is one that somebody caused, once.
//!
//! `FINAIRA_KILLS=<number>` kills so often, `FINAIRA_KILLS_SEED=<number>` chooses the requests and the moments. The threads of
//! callers and server run as the machine lets them, so a seed repeats a run only roughly: repeat it more than once.

mod books;
mod mover;
mod payer;
mod reader;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fixtures::WALLET;
use serde_json::json;
use sim::Rng;

use self::mover::{Mover, Wire};
use self::payer::Payer;
use self::reader::Reader;
use crate::harness::{Client, Server};

const KILLS: u64 = 20;
/// The load lasts so long at least and at most before the kill.
const LOAD_MS: (u64, u64) = (15, 250);

/// One client that sends requests one after the other.
trait Caller: Send {
    /// Sends the next request and checks its answer; false when the connection broke.
    fn go_on(&mut self, client: &Client) -> bool;

    /// After a start: what was acknowledged is there, what was not is settled, and balances are what they must be.
    fn check(&mut self, client: &Client);

    /// Requests that were acknowledged or settled.
    fn requests(&self) -> u64;
}

#[expect(clippy::disallowed_methods, reason = "parameters of the test run, documented above")]
fn parameter(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, found {text}")))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it took is told, nothing decides by it")]
fn what_was_acknowledged_survives_every_kill_and_nothing_happens_twice() {
    let (kills, seed) = (parameter("FINAIRA_KILLS", KILLS), parameter("FINAIRA_KILLS_SEED", 1));
    println!(
        "repeat with: FINAIRA_KILLS={kills} FINAIRA_KILLS_SEED={seed} cargo test -p finaira \
         what_was_acknowledged_survives_every_kill"
    );
    let started = Instant::now();
    let mut rng = Rng::new(seed);
    let data = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    let key = server.key.clone().expect("the first start makes a key");
    let client = server.client(&key);
    assert_eq!(client.activate(WALLET).status, 201);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    let mut callers: Vec<Box<dyn Caller>> = Vec::new();
    for (number, wire) in (1..).zip([Wire::Packed, Wire::Packed, Wire::Json, Wire::Json]) {
        callers.push(Box::new(Mover::new(number, wire, &client, rng.next())));
    }
    for number in 5..8 {
        callers.push(Box::new(Payer::new(number, &client, rng.next())));
    }
    let mut reader = Reader::default();
    for kill in 1..=kills {
        load_and_kill(server, &key, &mut callers, &mut reader, &mut rng);
        server = Server::start(data.path());
        assert_eq!(server.key, None, "a key is shown once");
        let client = server.client(&key);
        reader.check_seen(&client);
        callers.iter_mut().for_each(|caller| caller.check(&client));
        for ledger in [1, 978] {
            let totals = client.get(&format!("/v1/ledgers/{ledger}/trial-balance"));
            assert_eq!(totals.body["debits_posted"], totals.body["credits_posted"], "{totals:?}");
            assert_eq!(totals.body["debits_pending"], totals.body["credits_pending"], "{totals:?}");
        }
        if kill % 20 == 0 {
            println!("killed {kill} of {kills} times");
        }
    }
    let requests: u64 = callers.iter().map(|caller| caller.requests()).sum();
    let events = reader.check_all(&server.client(&key));
    println!("kills={kills} seed={seed} requests={requests} events={events} seconds={}", started.elapsed().as_secs());
    assert!(requests > 20 * kills, "the load was real: {requests} requests");
    assert!(server.stop().success(), "SIGTERM stops cleanly");
}

/// Callers go on until the server is killed under them.
#[expect(clippy::disallowed_methods, reason = "the kill comes at another moment each time")]
fn load_and_kill(server: Server, key: &str, callers: &mut [Box<dyn Caller>], reader: &mut Reader, rng: &mut Rng) {
    let killed = AtomicBool::new(false);
    let load = Duration::from_millis(LOAD_MS.0 + rng.below(LOAD_MS.1 - LOAD_MS.0));
    std::thread::scope(|scope| {
        let killed = &killed;
        for caller in callers {
            let client = server.client(key);
            scope.spawn(move || while caller.go_on(&client) && !killed.load(Ordering::Relaxed) {});
        }
        let client = server.client(key);
        scope.spawn(move || while reader.go_on(&client) && !killed.load(Ordering::Relaxed) {});
        std::thread::sleep(load);
        server.kill();
        killed.store(true, Ordering::Relaxed);
    });
}
