//! Kills the server with SIGKILL at random moments under a mixed load, again and again.
//!
//! Each caller has accounts of its own and predicts every result with its own model. After every kill, each acknowledged
//! result still exists, exactly once and unchanged. An unacknowledged request happened at most once: a leading part of it
//! may exist, but never a part of a chain; sending it again completes it. Balances equal the model. A reader follows the
//! event feed: events that it has seen never change, and in the end every event has exactly one cause.
//!
//! `FINAIRA_KILLS=<number>` sets the number of kills, and `FINAIRA_KILLS_SEED=<number>` the seed for requests and
//! moments. The machine schedules the threads of callers and server, so a seed repeats a run only roughly: repeat it
//! more than once.

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
/// The shortest and the longest load before a kill, in milliseconds.
const LOAD_MS: (u64, u64) = (15, 250);

/// A client that sends requests one after another.
trait Caller: Send {
    /// Sends the next request and checks the response. Returns false if the connection broke.
    fn go_on(&mut self, client: &Client) -> bool;

    /// After a start, checks that acknowledged requests took effect, settles the others, and checks the balances.
    fn check(&mut self, client: &Client);

    /// The number of acknowledged or settled requests.
    fn requests(&self) -> u64;
}

#[expect(clippy::disallowed_methods, reason = "parameters of the test run, documented above")]
fn parameter(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, found {text}")))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the elapsed time is only printed")]
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
    let key = server.key.clone().expect("the first start prints an API key");
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
        assert_eq!(server.key, None, "the API key is printed once");
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
    assert!(requests > 20 * kills, "the load was large enough: {requests} requests");
    assert!(server.stop().success(), "SIGTERM stops cleanly");
}

/// Lets the callers work until the server is killed under them.
#[expect(clippy::disallowed_methods, reason = "the kill comes at a different moment each time")]
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
