//! Most tenants that are open at the same time.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use types::{Span, Timestamp};

use super::{Tenant, book, create, live, transfer};
use crate::harness::{Client, Server, eventually, first_start};

/// Transfers of each client.
const TRANSFERS: u64 = 12;

fn is_open(first: &Client, tenant: u64) -> bool {
    first.get(&format!("/v1/tenants/{tenant}")).body["is_open"] == json!(true)
}

fn open(first: &Client, tenants: &[Tenant]) -> Vec<u64> {
    tenants.iter().map(|tenant| tenant.id).filter(|id| is_open(first, *id)).collect()
}

/// The metric, which counts the first tenant as well.
fn open_count(first: &Client) -> u64 {
    let metrics = first.get("/metrics").body;
    let metrics = metrics.as_str().unwrap_or_default();
    let count = metrics.lines().find_map(|line| line.strip_prefix("finaira_tenants_open "));
    count.and_then(|count| count.parse().ok()).expect("the metric")
}

/// An event stream of a tenant, which is a request in progress.
fn stream(server: &Server, tenant: &Tenant) -> TcpStream {
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {}\r\n\r\n",
        tenant.key
    );
    let mut stream = server.connect(request.as_bytes());
    stream.read_exact(&mut [0; 12]).expect("it begins");
    stream
}

#[test]
fn beyond_the_bound_the_tenant_that_was_idle_for_longest_is_closed() {
    let (_data, server, first) = first_start(&["--open-tenants", "2"]);
    let tenants = ["A", "B", "C"].map(|name| create(&first, &live(name)));
    let [a, b, c] = &tenants;
    let client = |tenant: &Tenant| server.client(&tenant.key);
    assert_eq!(open(&first, &tenants), [b.id, c.id], "the third one needed the place of the first");
    assert_eq!(client(b).get("/v1/ledgers").status, 200);
    assert_eq!(client(a).get("/v1/ledgers").status, 200);
    assert_eq!(open(&first, &tenants), [a.id, b.id], "C had no request for longest");

    // Both are in use.
    let (of_a, of_b) = (stream(&server, a), stream(&server, b));
    let refused = client(c).get("/v1/ledgers");
    assert_eq!((refused.status, refused.code()), (503, "too_many_open_tenants"), "{refused:?}");
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    let refused = first.post("/v1/tenants", &live("D"));
    assert_eq!((refused.status, refused.code()), (503, "too_many_open_tenants"), "{refused:?}");
    assert_eq!(first.get("/v1/tenants").body["items"].as_array().map(Vec::len), Some(4), "nothing was begun");
    assert_eq!(first.get("/v1/ledgers").status, 200, "the first tenant is not counted");
    assert_eq!(client(a).get("/v1/ledgers").status, 200);
    drop(of_b);
    eventually(|| (client(c).get("/v1/ledgers").status == 200).then_some(()));
    assert_eq!(open(&first, &tenants), [a.id, c.id]);
    drop(of_a);
    eventually(|| (first.post("/v1/tenants", &live("D")).status == 201).then_some(()));
    assert!(server.stop().success());
}

#[test]
fn a_low_limit_on_open_files_allows_fewer_open_tenants() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start_with_descriptors(data.path(), 256);
    let first = server.client(server.key.as_deref().expect("the first start prints an API key"));
    server.logs("the limit on open files allows fewer open tenants");
    let tenants = ["A", "B", "C"].map(|name| create(&first, &live(name)));
    assert_eq!(open(&first, &tenants), [tenants[1].id, tenants[2].id]);
    assert!(server.stop().success());
}

#[expect(clippy::disallowed_methods, reason = "nobody may ask the tenant until its deadline has long passed")]
#[test]
fn a_deadline_counts_in_a_tenant_that_was_closed_for_another() {
    let (_data, server, first) = first_start(&["--open-tenants", "1"]);
    let [a, b] = ["A", "B"].map(|name| create(&first, &live(name)));
    let client = server.client(&a.key);
    book(&client, 1);
    let mut pending = transfer(8, 1);
    pending["flags"] = json!(["pending"]);
    pending["timeout_s"] = json!(2);
    let made = client.post("/v1/transfers", &pending);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(server.client(&b.key).get("/v1/ledgers").status, 200);
    assert!(!is_open(&first, a.id) && is_open(&first, b.id));
    std::thread::sleep(Duration::from_secs(8));
    let events = client.get("/v1/events?limit=1000").body["items"].clone();
    let time_of = |kind: &str| {
        let event = events.as_array().into_iter().flatten().rfind(|event| event["kind"] == kind);
        let at = event.and_then(|event| event["decided_at"].as_str()).unwrap_or_else(|| panic!("no {kind}: {events}"));
        at.parse::<Timestamp>().expect("a time")
    };
    let took = time_of("transfer_expired").since(time_of("transfer_created"));
    assert!(took < Span::from_secs(6), "it expired after {took}, before anybody asked");
    assert!(server.stop().success());
}

#[test]
fn tenants_that_take_turns_lose_nothing() {
    let (_data, server, first) = first_start(&["--open-tenants", "2"]);
    let tenants = ["A", "B", "C", "D"].map(|name| create(&first, &live(name)));
    for tenant in &tenants {
        book(&server.client(&tenant.key), 1);
    }
    let sent = std::thread::scope(|scope| {
        let begin = |tenant: &Tenant| {
            let client = server.client(&tenant.key);
            scope.spawn(move || send_all(&client))
        };
        let threads: Vec<_> = tenants.iter().map(begin).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert!(open_count(&first) <= 3, "the first tenant and two others");
        }
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    for (tenant, codes) in tenants.iter().zip(sent) {
        let client = server.client(&tenant.key);
        for id in 0..TRANSFERS {
            let found = eventually(|| {
                Some(client.get(&format!("/v1/transfers/{}", 100 + id))).filter(|found| found.status != 503)
            });
            assert_eq!(found.status, 200, "tenant {}, transfer {id}; refusals: {codes:?}", tenant.id);
        }
    }
    assert!(server.stop().success());
}

/// Sends transfers, each until it is accepted. Returns how often each refusal came.
fn send_all(client: &Client) -> BTreeMap<String, u32> {
    let mut refusals = BTreeMap::new();
    for id in 0..TRANSFERS {
        eventually(|| {
            let reply = client.post("/v1/transfers", &transfer(100 + id, 1));
            if reply.status == 201 || reply.status == 200 {
                return Some(());
            }
            assert!(matches!(reply.code(), "too_many_open_tenants" | "tenant_opening"), "{reply:?}");
            *refusals.entry(reply.code().to_owned()).or_default() += 1;
            None
        });
    }
    refusals
}
