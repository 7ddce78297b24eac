//! Limits on requests, with the real binary: what a client sees of them, an overload, and a flood of another tenant.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of connections and requests are small and positive"
)]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "measurements are shown, and take time")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::flood::{Outcome, Pace, flood, transfer, transfers, whole_answer};
use crate::guard::start;
use crate::harness::{Client, Server, eventually_within};

/// What the server sends in answer to one request; all but the body in lower case.
pub(crate) fn answer(server: &Server, request: &str) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.connect(request.as_bytes()).read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    format!("{}\r\n\r\n{body}", head.to_ascii_lowercase())
}

fn get(key: &str) -> String {
    format!("GET /v1/accounts/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n")
}

#[test]
fn a_client_learns_its_limits_from_every_answer_and_gets_429_beyond_them() {
    let data = tempfile::tempdir().expect("a directory");
    let limits = ["--client-requests-per-second", "5", "--tenant-requests-per-second", "1000"];
    let (server, client, key) = start(data.path(), &limits);
    let first = eventually_within(Duration::from_secs(10), || {
        let answer = answer(&server, &get(&key));
        answer.starts_with("http/1.1 200").then_some(answer)
    });
    assert!(first.contains("\r\nratelimit-policy: \"client\";q=5;w=1, \"tenant\";q=1000;w=1\r\n"), "{first}");
    assert!(first.contains("\r\nratelimit: \"client\";r="), "{first}");
    let refused = (0..200).map(|_| answer(&server, &get(&key))).find(|answer| answer.starts_with("http/1.1 429"));
    let refused = refused.expect("200 requests are more than 5 in a second");
    assert!(refused.contains("\r\nretry-after: 1\r\n") && refused.contains("\"client\";r=0;t=1"), "{refused}");
    assert!(refused.contains("\"code\":\"rate_limited\"") && refused.contains("5 requests in a second"), "{refused}");
    // A batch counts by the size of its body, and its time is paid by the requests after it.
    let blank = json!({"id": "9", "ledger": 1, "code": 1});
    let long = json!({"accounts": vec![blank; 400]});
    let reply = eventually_within(Duration::from_secs(10), || {
        let reply = client.post("/v1/accounts/batch", &long);
        (reply.status != 429).then_some(reply)
    });
    let after = client.get("/v1/accounts/1");
    assert_eq!((after.status, after.code()), (429, "rate_limited"), "after {reply:?}");
    // What load balancers and operators need is always answered.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!((0..20).all(|_| client.get(path).status == 200), "{path}");
    }
    let metrics = client.get("/metrics").body.as_str().unwrap_or_default().to_owned();
    let refusals = metrics.lines().find_map(|line| line.strip_prefix("finaira_requests_refused_total{by=\"client\"} "));
    assert!(refusals.is_some_and(|count| count != "0"), "{metrics}");
    assert!(server.stop().success());
}

#[test]
fn a_refused_client_is_refused_again_on_its_connection_and_another_one_there_is_not() {
    use std::io::{Read as _, Write as _};
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &["--client-requests-per-second", "5"]);
    let body = json!({"name": "another", "principal": 1, "role": "developer"});
    let another = eventually_within(Duration::from_secs(20), || {
        let made = client.post("/v1/api-keys", &body);
        (made.status == 201).then(|| made.text("key").to_owned())
    });
    let mut socket = server.connect(b"");
    let mut ask = |request: &str| {
        socket.write_all(request.as_bytes()).expect("the connection is open");
        let mut received = Vec::new();
        let mut buffer = [0; 4_096];
        while whole_answer(&received).is_none() {
            let bytes = socket.read(&mut buffer).expect("an answer");
            assert!(bytes > 0, "the connection is closed after {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..bytes]);
        }
        String::from_utf8(received).expect("text").to_ascii_lowercase()
    };
    let unread = || {
        let metrics = client.get("/metrics").body.as_str().unwrap_or_default().to_owned();
        let count = "finaira_http_requests_total{method=\"GET\",route=\"unread\",status=\"429\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(count)?.parse::<u32>().ok()).unwrap_or(0)
    };
    eventually_within(Duration::from_secs(20), || {
        let refused = ask(&get(&key));
        if !refused.starts_with("http/1.1 429") {
            return None;
        }
        let again = ask(&get(&key).replacen("\r\n", "\r\nDPoP: x\r\n", 1));
        let fields =
            ["\r\nretry-after: ", "\r\nratelimit: \"client\";r=0", "\r\nx-request-id: ", "\"code\":\"rate_limited\""];
        assert!(fields.iter().all(|field| refused.contains(field)), "{refused}");
        // A request may be admitted after a pause.
        let is_same = again.starts_with("http/1.1 429") && fields.iter().all(|field| again.contains(field));
        assert!(again.contains("\r\ndpop-nonce: "), "it has a proof: {again}");
        let other = ask(&get(&another));
        assert!(other.starts_with("http/1.1 200"), "another client on the same connection: {other}");
        (is_same && unread() > 0).then_some(())
    });
    let health = |key: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    let is_answered = (0..20).all(|_| {
        ask(&get(&key));
        ask(&health(&key)).starts_with("http/1.1 200")
    });
    assert!(is_answered, "health is always answered");
    assert!(server.stop().success());
}

#[test]
fn who_guesses_credentials_is_limited_and_others_at_the_address_are_not() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &["--failed-requests-per-second", "1"]);
    let forged = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4In0.AAAA";
    let guessed = format!("fin_1_{}", "A".repeat(43));
    for credential in [forged, &guessed, "a.b c"] {
        let codes: Vec<_> = (0..40).map(|_| server.client(credential).get("/v1/ledgers")).collect();
        let limited = codes.iter().filter(|reply| (reply.status, reply.code()) == (429, "rate_limited")).count();
        assert!(limited >= 20, "{credential}: {limited} of 40 were limited");
        assert!(codes.iter().all(|reply| [400, 401, 429].contains(&reply.status)), "{credential}: {codes:?}");
        assert!(codes.last().is_some_and(|reply| reply.retry_after.is_some()));
    }
    assert_eq!(client.get("/v1/accounts/1").status, 200, "a valid key is still served");
    assert!(server.stop().success());
}

/// The longest that 99 of 100 accepted requests may take at twice the capacity.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 500 });
/// How long the server may need to notice the overload.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// Transfers of a batch, so many that refusing it costs much less than serving it.
const BATCH: u64 = 60;
/// A machine that runs the tests is busy with something else at times. A server that does not shed load fails every time.
const ATTEMPTS: usize = 3;
/// Clients of which none sends so many requests that its refusals are delayed.
const CLIENTS: usize = 200;

/// What refuses nothing because it is slow.
const WITHOUT_SHEDDING: [&str; 4] = ["--lag-max", "0s", "--queue-wait-max", "0s"];

/// What a server did at twice its capacity.
struct Overload {
    capacity: f64,
    connections: usize,
    loaded: Outcome,
}

const fn is_created(status: u16) -> bool {
    status == 200 || status == 201
}

const fn is_shed(status: u16) -> bool {
    status == 503 || status == 429
}

impl Overload {
    /// Starts a server, finds out how much it can do, and sends twice as much. `request` makes a request with the key of a client;
    /// each connection has one.
    fn of(arguments: &[&str], clients: usize, mut request: impl FnMut(&str) -> Vec<u8>) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let (server, client, key) = start(data.path(), arguments);
        let further = (1..clients).map(|number| {
            let body = json!({"name": format!("client {number}"), "principal": 1, "role": "developer"});
            let made = client.post("/v1/api-keys", &body);
            assert_eq!(made.status, 201, "{made:?}");
            made.text("key").to_owned()
        });
        let keys: Vec<_> = std::iter::once(key).chain(further).collect();
        let mut request = |connection: usize| request(&keys[connection % keys.len()]);
        let calm = flood(&server.address, 32, Pace::Closed, Duration::from_secs(2), &mut request);
        let capacity = calm.per_second(is_created);
        // With so many, requests wait for seconds unless some are refused.
        let connections = ((capacity * 4.0) as usize).clamp(64, 8_000);
        let pace = Pace::Open(capacity * 2.0);
        let loaded = flood(&server.address, connections, pace, Duration::from_secs(8), &mut request);
        let loaded = loaded.sent_after(NOTICED_WITHIN);
        let expected = loaded.count(|status| is_created(status) || is_shed(status));
        assert_eq!(expected, loaded.answers.len(), "{:?}", statuses(&loaded));
        eventually_within(Duration::from_secs(20), || {
            let after = flood(&server.address, 4, Pace::Closed, Duration::from_millis(500), &mut request);
            (after.count(is_created) == after.answers.len()).then_some(())
        });
        assert_eq!(client.get("/readyz").status, 200);
        assert!(server.stop().success());
        Self { capacity, connections, loaded }
    }
}

impl std::fmt::Display for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { capacity, connections, loaded } = self;
        write!(
            f,
            "capacity {capacity:.0}/s, {connections} connections, accepted {:.0}/s with p99 {:?}, refused {:.0}/s with p99 {:?}, \
             {:.0}/s not sent because every connection waited",
            loaded.per_second(is_created),
            loaded.p99(is_created),
            loaded.per_second(is_shed),
            loaded.p99(is_shed),
            loaded.missed as f64 / loaded.elapsed.as_secs_f64(),
        )
    }
}

/// Shows that what is accepted at twice the capacity is answered in time, and that it is not without shedding.
fn accepted_in_time(what: &str, clients: usize, mut request: impl FnMut(&str) -> Vec<u8>) {
    let not_shed = Overload::of(&WITHOUT_SHEDDING, clients, &mut request);
    println!("{what}, without shedding: {not_shed}");
    let mut shown = Vec::new();
    let is_held = (0..ATTEMPTS).any(|_| {
        let shed = Overload::of(&[], clients, &mut request);
        println!("{what}: {shed}");
        shown.push(shed.to_string());
        let p99 = shed.loaded.p99(is_created);
        shed.loaded.count(is_shed) > 0
            && p99 < ACCEPTED_WITHIN
            && p99 * 2 < not_shed.loaded.p99(is_created)
            && shed.loaded.per_second(is_created) > shed.capacity / 5.0
    });
    assert!(is_held, "{what}: {shown:?}; without shedding: {not_shed}");
}

#[test]
#[ignore = "measures times on a machine that does nothing else: `cargo xtask ci --full` runs it"]
fn at_twice_the_capacity_accepted_transfers_are_answered_in_time() {
    let mut next = 1_000;
    let mut request = |key: &str| {
        next += 1;
        transfer(key, next)
    };
    accepted_in_time("single transfers of a client", 1, &mut request);
    accepted_in_time("single transfers of many clients", CLIENTS, &mut request);
}

#[test]
#[ignore = "measures times on a machine that does nothing else: `cargo xtask ci --full` runs it"]
fn at_twice_the_capacity_accepted_batches_are_answered_in_time() {
    let mut next = 1_000;
    accepted_in_time("batches of a client", 1, |key| {
        next += BATCH;
        transfers(key, next..next + BATCH)
    });
}

/// How often each status occurs.
fn statuses(outcome: &Outcome) -> std::collections::BTreeMap<u16, usize> {
    outcome.answers.iter().fold(std::collections::BTreeMap::new(), |mut counts, (status, _)| {
        *counts.entry(*status).or_default() += 1;
        counts
    })
}

/// Creates a tenant with a ledger and two accounts, and returns its key.
fn tenant(server: &Server, client: &Client, name: &str, quotas: &serde_json::Value) -> String {
    let body = json!({"name": name, "mode": "live", "quotas": quotas});
    let headers = [("Idempotency-Key", name), ("Content-Type", "application/json")];
    let made = client.send("/v1/tenants", &headers, body.to_string().as_bytes());
    assert_eq!(made.status, 201, "{made:?}");
    let key = made.text("key").to_owned();
    let client = server.client(&key);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for id in 1..=2 {
        let account = json!({"id": id.to_string(), "ledger": 1, "code": 1});
        assert_eq!(client.post("/v1/accounts", &account).status, 201);
    }
    key
}

/// Latencies below this are noise of the machine.
const NOISE: Duration = Duration::from_millis(5);
const FLOODING: usize = 256;

#[test]
#[ignore = "measures times on a machine that does nothing else: `cargo xtask ci --full` runs it"]
fn a_flood_beyond_the_quota_of_a_tenant_leaves_the_latency_of_another_and_without_a_quota_it_does_not() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &[]);
    let quota = json!({"requests_per_second": 100});
    let [limited, unlimited, quiet] = [("limited", quota), ("unlimited", json!({})), ("quiet", json!({}))]
        .map(|(name, quotas)| tenant(&server, &client, name, &quotas));
    let next = AtomicU64::new(1_000);
    let id = || next.fetch_add(1, Ordering::Relaxed);
    let measure = || {
        let measured =
            flood(&server.address, 16, Pace::Open(200.0), Duration::from_secs(3), |_| transfer(&quiet, id()));
        assert_eq!(measured.count(is_created), measured.answers.len(), "no request of the quiet tenant is refused");
        measured.p99(is_created)
    };
    let beside = |flooding: &str| {
        std::thread::scope(|scope| {
            let flooded = scope.spawn(|| {
                flood(&server.address, FLOODING, Pace::Closed, Duration::from_secs(4), |_| transfer(flooding, id()))
            });
            // The flood needs a moment to begin.
            std::thread::sleep(Duration::from_millis(500));
            (measure(), flooded.join().expect("the flood ends"))
        })
    };
    let mut shown = Vec::new();
    let mut holds = |flooding: &str, is_expected: &dyn Fn(Duration, Duration) -> bool| {
        (0..ATTEMPTS).any(|_| {
            let quiet = measure();
            let (during, flooded) = beside(flooding);
            let show = format!("quiet {quiet:?}, beside a flood {during:?}: {:?}", statuses(&flooded));
            println!("{show}");
            shown.push(show);
            is_expected(quiet.max(NOISE), during)
        })
    };
    let is_isolated = holds(&limited, &|quiet, during| during <= quiet * 2);
    // A flood that hurts nobody would show nothing.
    let is_flood = holds(&unlimited, &|quiet, during| during > quiet * 2);
    assert!(is_isolated && is_flood, "with a quota {is_isolated}, and without {is_flood}: {shown:?}");
    assert!(server.stop().success());
}
