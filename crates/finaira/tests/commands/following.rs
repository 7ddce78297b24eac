//! Follows the log of a real server: streams that start anywhere and reconnect see the same events, and each frame is
//! decoded only once for all of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use fixtures::WALLET;

use crate::harness::{Client, Server, eventually};

const STREAMS: usize = 64;
/// The ledger that is opened last, which tells a stream where to end.
const LAST_LEDGER: u64 = 4_242;

/// An event stream over its own connection.
struct Stream(std::io::Lines<BufReader<TcpStream>>);

impl Stream {
    /// Opens a stream after the event with this cursor, which is sent as a header or as a parameter.
    fn open(server: &Server, key: &str, after: Option<&str>, as_header: bool) -> Self {
        let mut socket = TcpStream::connect(server.address.trim_start_matches("http://")).expect("a connection");
        let (query, header) = match after {
            Some(cursor) if as_header => (String::new(), format!("Last-Event-ID: {cursor}\r\n")),
            Some(cursor) => (format!("?cursor={cursor}"), String::new()),
            None => (String::new(), String::new()),
        };
        write!(
            socket,
            "GET /v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n{header}\r\n"
        )
        .expect("a request");
        Self(BufReader::new(socket).lines())
    }

    fn next(&mut self) -> Value {
        loop {
            let line = self.0.next().expect("the stream continues").expect("the stream is text");
            if let Some(data) = line.strip_prefix("data:") {
                return serde_json::from_str(data.trim()).expect("an event is JSON");
            }
        }
    }
}

fn is_last(event: &Value) -> bool {
    event["kind"] == "ledger_opened" && event["data"]["id"] == LAST_LEDGER
}

/// Reads all events from the first one on, page by page.
fn pages(client: &Client) -> Vec<Value> {
    let mut events = Vec::new();
    let mut path = "/v1/events?limit=7".to_owned();
    loop {
        let page = client.get(&path);
        let items = page.body["items"].as_array().expect("a page");
        if items.is_empty() {
            return events;
        }
        events.extend(items.iter().cloned());
        path = format!("/v1/events?limit=7&cursor={}", page.text("next_cursor"));
    }
}

fn metric(client: &Client, name: &str) -> u64 {
    let metrics = client.get("/metrics");
    let text = metrics.body.as_str().expect("metrics are text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.trim().parse().expect("a number")
}

/// Makes payments with changing policies, each of which is an entry of its own.
fn live(client: &Client, ids: std::ops::Range<u128>) {
    for id in ids {
        let customer = format!("customer-{}", id % 5);
        assert_eq!(client.pay(id, "top_up", 5_000, &json!({ "customer": customer })).status, 201);
        if id % 10 == 3 {
            let stricter = WALLET.replace("features.cards_1h > 5", &format!("features.cards_1h > {}", id + 5));
            assert_eq!(client.activate(&stricter).status, 201);
        }
        client.pay(1_000 + id, "card", 100, &json!({ "customer": customer }));
    }
}

#[test]
fn many_streams_see_the_same_events_and_each_frame_is_decoded_about_once() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.activate(WALLET).status, 201);
    live(&client, 1..25);
    let before = pages(&client);
    let cursor =
        |count: usize| before.get(count.wrapping_sub(1)).map(|event| event["cursor"].as_str().expect("a cursor"));
    let open = |number: usize| {
        let begins = before.len() * number / STREAMS;
        (begins, Stream::open(&server, &key, cursor(begins), number.is_multiple_of(2)))
    };
    let streams: Vec<(usize, Stream)> = (0..STREAMS).map(open).collect();
    eventually(|| (metric(&client, r#"finaira_tail_followers{follower="events"}"#) == STREAMS as u64).then_some(()));
    let decoded_before = metric(&client, "finaira_tail_decoded_frames_total");
    let seen: Vec<(usize, Vec<Value>)> = std::thread::scope(|scope| {
        let follow = |(number, (begins, mut stream)): (usize, (usize, Stream))| {
            let (server, key) = (&server, &key);
            scope.spawn(move || {
                let mut events = vec![stream.next()];
                while !events.last().is_some_and(is_last) {
                    // Some streams reconnect.
                    if number % 8 == 0 && events.len() % 11 == 0 {
                        let cursor = events.last().and_then(|event| event["cursor"].as_str());
                        stream = Stream::open(server, key, cursor, number % 16 == 0);
                    }
                    events.push(stream.next());
                }
                (begins, events)
            })
        };
        let followers: Vec<_> = streams.into_iter().enumerate().map(follow).collect();
        live(&client, 25..60);
        assert_eq!(client.post("/v1/ledgers", &json!({"id": LAST_LEDGER, "asset": "EUR/2"})).status, 201);
        followers.into_iter().map(|follower| follower.join().expect("a stream sees the last event")).collect()
    });
    let decoded = metric(&client, "finaira_tail_decoded_frames_total") - decoded_before;
    let all = pages(&client);
    let end = all.iter().position(is_last).expect("the last event") + 1;
    for (begins, events) in seen {
        assert_eq!(events, all[begins..end], "from {begins} on");
    }
    let written = end - before.len();
    assert!(
        usize::try_from(decoded).unwrap() <= 2 * written,
        "{decoded} frames were decoded, at most {written} were written"
    );
    // Closed streams are no longer counted.
    eventually(|| (metric(&client, r#"finaira_tail_followers{follower="events"}"#) == 0).then_some(()));
    assert_eq!(metric(&client, r#"finaira_tail_lag_entries{follower="events"}"#), 0);
    eventually(|| (metric(&client, r#"finaira_tail_lag_entries{follower="proofs"}"#) == 0).then_some(()));
    assert_eq!(metric(&client, r#"finaira_tail_followers{follower="proofs"}"#), 1);
}

#[test]
fn the_lag_of_a_copy_is_the_one_it_last_reported() {
    const LAG: &str = r#"finaira_tail_lag_entries{follower="segments"}"#;
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let client = server.client(server.key.as_deref().expect("the first start prints an API key"));
    assert_eq!(client.activate(WALLET).status, 201);
    assert_eq!(metric(&client, r#"finaira_tail_followers{follower="segments"}"#), 0);
    let durable = metric(&client, "finaira_journal_durable_seq");
    assert_eq!(client.get("/v1/journal/segments?after=1&wait_ms=0").status, 200);
    assert_eq!(
        (metric(&client, LAG), metric(&client, r#"finaira_tail_followers{follower="segments"}"#)),
        (durable - 1, 1)
    );
    let end = client.get("/v1/journal/segments").body["durable"].clone();
    let path = |offset: &Value| format!("/v1/journal/segments/{}?bytes=1&offset={offset}", end["segment"]);
    client.bytes(&path(&json!(0)));
    assert_eq!(metric(&client, LAG), durable, "a new copy has nothing yet");
    client.bytes(&path(&end["offset"]));
    assert_eq!(metric(&client, LAG), 0, "a copy at the end has no lag");
}
