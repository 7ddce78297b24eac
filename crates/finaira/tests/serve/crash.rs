//! Killed in the middle of load, and started again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, POLICY, Reply, Server, payment};

const CALLERS: u128 = 8;
const FUNDS: u128 = 1_000_000_000;

/// What a caller sent, and what it was told before the connection broke.
type Sent = Vec<(u128, Value, Option<Reply>)>;

#[test]
fn what_was_acknowledged_survives_a_kill_and_nothing_happens_twice() {
    let data = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    let key = server.key.clone().expect("the first start makes a key");
    let client = server.client(&key);
    assert_eq!(client.activate(POLICY).status, 201);
    for caller in 0..CALLERS {
        let funded = client.pay(caller + 1, "top_up", 1_000_000_000, &json!({"customer": format!("c{caller}")}));
        assert_eq!(funded.text("status"), "posted", "{funded:?}");
    }
    let mut sent: Sent = Vec::new();
    for round in 0..4_u64 {
        sent.extend(load_and_kill(server, &key, round));
        server = Server::start(data.path());
        assert_eq!(server.key, None, "a key is shown once");
        let client = server.client(&key);
        check_acknowledged(&client, &sent);
        settle(&client, &mut sent);
        check_balances(&client, &sent);
    }
    assert!(sent.len() > 100, "the load was real: {} payments", sent.len());
    assert!(server.stop().success(), "SIGTERM stops cleanly");
}

/// Callers pay until the server is killed under them.
#[expect(clippy::disallowed_methods, reason = "the kill comes at another moment each round")]
fn load_and_kill(server: Server, key: &str, round: u64) -> Sent {
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (client, killed) = (server.client(key), &killed);
                scope.spawn(move || {
                    let mut sent: Sent = Vec::new();
                    for number in 0.. {
                        let id = (u128::from(round) + 1) * 1_000_000_000 + caller * 1_000_000 + number;
                        let to = (caller + 1) % CALLERS;
                        let attributes = json!({"customer": format!("c{caller}"), "recipient": format!("c{to}")});
                        let body = payment(id, "transfer", 1 + u64::try_from(number % 90).expect("small"), &attributes);
                        let reply = client.try_post("/v1/payments", &body);
                        let broken = reply.is_none();
                        sent.push((id, body, reply));
                        if broken || killed.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    sent
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 130 * round));
        server.kill();
        killed.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller ends")).collect()
    })
}

/// Every acknowledged payment is there, as it was acknowledged.
fn check_acknowledged(client: &Client, sent: &Sent) {
    for (id, _, reply) in sent {
        let Some(reply) = reply else { continue };
        assert_eq!(reply.status, 201, "{reply:?}");
        let found = client.get(&format!("/v1/payments/{id}"));
        assert_eq!((found.status, &found.body), (200, &reply.body), "payment {id} is as it was acknowledged");
    }
}

/// Payments without an answer are sent again, twice: decided once, and the same both times.
fn settle(client: &Client, sent: &mut Sent) {
    for (id, body, reply) in sent.iter_mut().filter(|(_, _, reply)| reply.is_none()) {
        let first = client.post("/v1/payments", body);
        let second = client.post("/v1/payments", body);
        assert!(matches!(first.status, 200 | 201), "{first:?}");
        assert_eq!((second.status, second.replayed), (200, true), "{second:?}");
        assert_eq!(first.body, second.body, "payment {id} is decided once");
        *reply = Some(Reply { status: 201, replayed: false, ..first });
    }
}

/// Balances are what the acknowledged payments add up to, and the journal has no payment that nobody sent.
fn check_balances(client: &Client, sent: &Sent) {
    let mut expected: BTreeMap<String, u128> = (0..CALLERS).map(|caller| (format!("c{caller}"), FUNDS)).collect();
    for (_, body, reply) in sent {
        assert_eq!(reply.as_ref().map(|reply| reply.text("status")), Some("posted"));
        let amount: u128 = body["amount"].as_str().and_then(|amount| amount.parse().ok()).expect("an amount");
        let customer = |name: &str| body["attributes"][name].as_str().expect("a customer").to_owned();
        *expected.entry(customer("customer")).or_default() -= amount;
        *expected.entry(customer("recipient")).or_default() += amount;
    }
    for (customer, balance) in expected {
        assert_eq!(client.wallet(&customer), (balance, 0), "the wallet of {customer}");
    }
    assert_eq!(count_payments(client), sent.len() + usize::try_from(CALLERS).expect("few"));
    let totals = client.get("/v1/ledgers/978/trial-balance");
    assert_eq!(totals.body["debits_posted"], totals.body["credits_posted"], "{totals:?}");
}

fn count_payments(client: &Client) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = client.get(&format!("/v1/payments?limit=1000{cursor}"));
        count += page.body["items"].as_array().expect("a page").len();
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return count,
        }
    }
}

#[test]
fn a_clean_stop_answers_what_it_took_and_leaves_nothing_to_cut() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start makes a key");
    let client = server.client(&key);
    assert_eq!(client.activate(POLICY).status, 201);
    client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert!(server.stop().success());
    let server = Server::start(data.path());
    assert_eq!(server.client(&key).wallet("alice"), (5_000, 0));
    assert!(server.stop().success());
}

#[test]
fn a_directory_serves_one_process_and_one_format() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("is in use by another process"), "{errors}");
    assert!(server.stop().success());

    // Another format version, with a checksum that holds.
    let segment = data.path().join("journal/segment-00000001");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[8] = 99;
    let checksum = crc32c::crc32c(&bytes[..96]);
    bytes[96..100].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&segment, &bytes).expect("a segment");
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("journal format version 99") && errors.contains("reads versions up to 3"), "{errors}");
}

#[test]
fn a_damaged_journal_and_missing_keys_stop_the_start() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    assert!(server.stop().success());
    let segment = data.path().join("journal/segment-00000001");
    let intact = std::fs::read(&segment).expect("a segment");
    let mut bytes = intact.clone();
    bytes[4096 + 140] ^= 1;
    std::fs::write(&segment, &bytes).expect("a segment");
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("segment-00000001 is damaged at byte 4096"), "{errors}");
    assert_eq!(std::fs::read(&segment).expect("a segment"), bytes, "a refused start changes nothing");
    std::fs::write(&segment, intact).expect("a segment");
    std::fs::remove_dir_all(data.path().join("keys")).expect("the keys go");
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("the key store is empty although the journal has entries"), "{errors}");
}
