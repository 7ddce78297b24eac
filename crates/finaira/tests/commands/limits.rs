//! Limits on requests, with the real binary: what a client sees of them, an overload, and a flood of another tenant.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of connections is small and positive"
)]

use std::time::Duration;

use serde_json::json;

use crate::flood::{Outcome, Pace, flood, transfer, transfers};
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
fn who_guesses_credentials_is_limited_and_others_at_the_address_are_not() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &["--failed-requests-per-second", "1"]);
    let forged = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4In0.AAAA";
    let guessed = format!("fin_1_{}", "A".repeat(43));
    for credential in [forged, &guessed] {
        let codes: Vec<_> = (0..40).map(|_| server.client(credential).get("/v1/ledgers")).collect();
        let limited = codes.iter().filter(|reply| (reply.status, reply.code()) == (429, "rate_limited")).count();
        assert!(limited >= 20, "{credential}: {limited} of 40 were limited");
        assert!(codes.iter().all(|reply| [401, 429].contains(&reply.status)), "{credential}: {codes:?}");
        assert!(codes.last().is_some_and(|reply| reply.retry_after.is_some()));
    }
    assert_eq!(client.get("/v1/accounts/1").status, 200, "a valid key is still served");
    assert!(server.stop().success());
}

/// The longest that 99 of 100 accepted requests may take at twice the capacity, in a development build on a machine that runs
/// other tests. Without shedding, they took 2.7 s there.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(1_500);
/// How long the server may need to notice the overload.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// Transfers of a request. Serving it costs much more than refusing it, so the client can offer twice what the server can do.
const BATCH: u64 = 60;

#[test]
#[ignore = "measures times on a machine that does nothing else: `cargo xtask ci --full` runs it"]
fn at_twice_the_capacity_accepted_requests_are_answered_in_time() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &[]);
    let mut next = 1_000;
    let mut request = || {
        next += BATCH;
        transfers(&key, next..next + BATCH)
    };
    let created = |status| status == 200;
    let calm = flood(&server.address, 4, Pace::Closed, Duration::from_secs(2), &mut request);
    let capacity = calm.per_second(created);
    assert_eq!(calm.count(created), calm.answers.len(), "4 connections are no overload: {:?}", statuses(&calm));
    // Without shedding, requests would wait for seconds.
    let connections = ((capacity * 4.0) as usize).clamp(64, 4_000);
    let loaded = flood(&server.address, connections, Pace::Open(capacity * 2.0), Duration::from_secs(8), &mut request)
        .sent_after(NOTICED_WITHIN);
    let shed = |status| status == 503 || status == 429;
    let shown = format!(
        "capacity {capacity:.0}/s, {connections} connections, accepted {:.0}/s with p99 {:?}, refused {:.0}/s with p99 {:?}, {} missed",
        loaded.per_second(created),
        loaded.p99(created),
        loaded.per_second(shed),
        loaded.p99(shed),
        loaded.missed
    );
    println!("{shown}");
    assert_eq!(loaded.count(|status| created(status) || shed(status)), loaded.answers.len(), "{:?}", statuses(&loaded));
    assert!(loaded.p99(created) < ACCEPTED_WITHIN, "{shown}");
    assert!(loaded.p99(shed) < ACCEPTED_WITHIN, "{shown}");
    assert!(loaded.per_second(created) > capacity / 5.0, "{shown}");
    eventually_within(Duration::from_secs(20), || {
        let after = flood(&server.address, 4, Pace::Closed, Duration::from_millis(500), &mut request);
        (after.count(created) == after.answers.len()).then_some(())
    });
    assert_eq!(client.get("/readyz").status, 200);
    assert!(server.stop().success());
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
/// The machine that runs the tests is busy with other tests at times, which a comparison of two measurements shows as a failure.
const ATTEMPTS: usize = 5;
const FLOODING: usize = 256;

#[test]
#[ignore = "measures times on a machine that does nothing else: `cargo xtask ci --full` runs it"]
fn a_flood_of_one_tenant_leaves_the_latency_of_another() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &[]);
    let flooding = tenant(&server, &client, "flooding", &json!({"requests_per_second": 100}));
    let quiet = tenant(&server, &client, "quiet", &json!({}));
    let (mut next, mut other) = (1_000, 1_000);
    let mut measure = || {
        flood(&server.address, 4, Pace::Open(200.0), Duration::from_secs(3), || {
            next += 1;
            transfer(&quiet, next)
        })
    };
    let created = |status| status == 201;
    let mut shown = Vec::new();
    let held = (0..ATTEMPTS).any(|_| {
        let before = measure();
        let (during, flooded) = std::thread::scope(|scope| {
            let flooded = scope.spawn(|| {
                flood(&server.address, FLOODING, Pace::Closed, Duration::from_secs(4), || {
                    other += 1;
                    transfer(&flooding, other)
                })
            });
            (measure(), flooded.join().expect("the flood ends"))
        });
        assert_eq!(during.count(created), during.answers.len(), "no request of the quiet tenant is refused");
        assert!(
            flooded.count(|status| status == 429) > 0 && flooded.per_second(created) < 250.0,
            "{:?}",
            statuses(&flooded)
        );
        let (before, during) = (before.p99(created), during.p99(created));
        shown.push(format!("quiet {before:?}, beside {:.0} requests/s {during:?}", flooded.per_second(|_| true)));
        during <= before.max(NOISE) * 2
    });
    println!("{}", shown.join("; "));
    assert!(held, "{}", shown.join("; "));
    assert!(server.stop().success());
}
