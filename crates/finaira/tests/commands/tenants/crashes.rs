//! A crash while a tenant is created, and the failure of a tenant.

use std::time::Duration;

use serde_json::json;

use super::{book, create, directory, live};
use crate::harness::{Server, eventually, eventually_within, first_start};

#[expect(clippy::disallowed_methods, reason = "kills the server at different moments of the creation")]
#[test]
fn a_kill_during_a_creation_leaves_a_whole_tenant_or_none() {
    let (data, mut server, first) = first_start(&[]);
    let mut answered = Vec::new();
    for round in 0..12_u64 {
        let client = server.client(&first.key);
        let creating = std::thread::spawn(move || client.try_post("/v1/tenants", &live("Shop")));
        std::thread::sleep(Duration::from_millis(5 + 13 * round));
        server.kill();
        if let Some(reply) = creating.join().expect("the thread ends")
            && reply.status == 201
        {
            answered.push((reply.body["tenant"]["id"].as_u64().expect("a number"), reply.text("key").to_owned()));
        }
        server = Server::start(data.path());
        let client = server.client(&first.key);
        let tenants = eventually_within(Duration::from_secs(30), || {
            let items = client.get("/v1/tenants").body["items"].as_array().cloned().expect("a list");
            let is_settled = |state: &str| state == "active" || state == "removed";
            items.iter().all(|tenant| tenant["state"].as_str().is_some_and(is_settled)).then_some(items)
        });
        for tenant in &tenants[1..] {
            let id = tenant["id"].as_u64().expect("a number");
            let is_there = directory(data.path(), id).is_dir();
            assert_eq!(is_there, tenant["state"] == "active", "{tenant}");
        }
        for (id, key) in &answered {
            let reply = server.client(key).get("/v1/ledgers");
            assert_eq!(reply.status, 200, "tenant {id} was answered: {reply:?}");
        }
    }
    assert!(server.stop().success());
}

#[test]
fn a_damaged_tenant_does_not_stop_the_others() {
    let (data, server, first) = first_start(&[]);
    let (a, b) = (create(&first, &live("A")), create(&first, &live("B")));
    book(&server.client(&a.key), 1);
    book(&server.client(&b.key), 1);
    assert!(server.stop().success());
    let segment = directory(data.path(), a.id).join("journal").join("segment-00000001");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    // Inside the first frame, which the mark covers.
    bytes[4_096 + 100] ^= 1;
    std::fs::write(&segment, &bytes).expect("the segment is written");

    let server = Server::start(data.path());
    server.logs("a tenant failed; other tenants go on");
    let reply = server.client(&a.key).get("/v1/ledgers");
    assert_eq!((reply.status, reply.code()), (503, "tenant_unavailable"), "{reply:?}");
    assert!(reply.text("detail").contains("segment-00000001"), "it says why: {reply:?}");
    assert_eq!(reply.retry_after.as_deref(), Some("10"));
    assert_eq!(server.client(&b.key).get("/v1/transfers/7").status, 200);
    assert_eq!(server.client(&first.key).post("/v1/ledgers", &json!({"id": 9, "asset": "EUR/2"})).status, 201);

    // Once it is repaired, it is opened without a restart.
    bytes[4_096 + 100] ^= 1;
    std::fs::write(&segment, &bytes).expect("the segment is written");
    let client = server.client(&a.key);
    let found = eventually_within(Duration::from_secs(30), || {
        Some(client.get("/v1/transfers/7")).filter(|it| it.status == 200)
    });
    assert_eq!(found.text("amount"), "100");
    eventually(|| Some(()));
    assert!(server.stop().success());
}
