//! Restores a journal from a copy, in full or up to a point, and serves it as a new history.

use std::path::Path;

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Server, finaira};

/// Starts a server with customers, some payments, and at the end a batch of three transfers that succeed or fail
/// together.
fn prepare(data: &Path) -> (Server, String) {
    let server = Server::start(data);
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.activate(WALLET).status, 201);
    for id in 1..=9_u128 {
        let funded = client.pay(id, "top_up", 1_000, &json!({"customer": format!("c{}", id % 3)}));
        assert_eq!(funded.text("status"), "posted", "{funded:?}");
    }
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let accounts = json!({"accounts": [{"id": "10", "ledger": 1, "code": 7}, {"id": "20", "ledger": 1, "code": 7}]});
    assert_eq!(client.post("/v1/accounts/batch", &accounts).status, 200);
    let transfer = |id: u32| {
        json!({
            "id": id.to_string(), "debit_account": "10", "credit_account": "20", "amount": "5", "asset": "USD/2",
            "code": 1, "metadata": {"n": id.to_string()},
        })
    };
    let chain = json!({"atomic": true, "transfers": [transfer(101), transfer(102), transfer(103)]});
    let made = client.post("/v1/transfers/batch", &chain);
    assert_eq!(made.body["results"][2]["status"], "created", "{made:?}");
    (server, key)
}

/// Returns every event, the oldest first.
fn events(client: &Client) -> Vec<Value> {
    let page = client.get("/v1/events?limit=1000");
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().expect("a page").clone()
}

fn seq_of(event: &Value) -> u64 {
    event["sequence"].as_u64().expect("an event has a sequence")
}

/// The event without the cursor, which identifies its history.
fn bare(event: &Value) -> Value {
    let mut event = event.clone();
    event.as_object_mut().expect("an object").remove("cursor");
    event
}

fn restore(from: &Path, to: &Path, more: &[&str]) -> (bool, String) {
    let paths = ["restore", "--from", from.to_str().expect("a path"), "--to", to.to_str().expect("a path")];
    finaira(&[&paths[..], more].concat())
}

fn copy_keys(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("keys")).expect("a directory");
    for file in std::fs::read_dir(from.join("keys")).expect("a directory") {
        let file = file.expect("a file");
        if file.file_name() != "lock" {
            std::fs::copy(file.path(), to.join("keys").join(file.file_name())).expect("the file can be copied");
        }
    }
}

#[test]
fn a_journal_continues_from_an_earlier_point_as_another_history() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, key) = prepare(data.path());
    let before = events(&server.client(&key));
    let last = seq_of(before.last().expect("there are events"));
    let old_cursor = before[3]["cursor"].as_str().expect("an event has a cursor").to_owned();
    // A running server locks its directory.
    let target = tempfile::tempdir().expect("a directory");
    let (done, said) = restore(data.path(), target.path(), &[]);
    assert!(!done && said.contains("in use by another process"), "{said}");
    server.kill();

    // The log ends with three transfers and then their metadata, which were created together.
    let chain = last - 5;
    for inside in chain..last {
        let (done, said) = restore(data.path(), target.path(), &["--to-seq", &inside.to_string()]);
        let ends = format!("end after {} or after {last}, not after {inside}", chain - 1);
        assert!(!done && said.contains(&ends), "{inside}: {said}");
    }
    assert!(!target.path().join("journal").is_dir());
    let (done, said) = restore(data.path(), target.path(), &["--to-seq", &(last + 1).to_string()]);
    assert!(
        !done && said.contains(&format!("the journal ends with entry {last}, before entry {}", last + 1)),
        "{said}"
    );
    let (done, said) = restore(data.path(), target.path(), &["--to-time", "2001-01-01T00:00:00Z"]);
    assert!(!done && said.contains("no entry from 2001"), "{said}");
    let (done, said) = restore(data.path(), target.path(), &["--to-time", "yesterday"]);
    assert!(!done && said.contains("yesterday"), "{said}");
    let (done, said) = restore(&data.path().join("nowhere"), target.path(), &[]);
    assert!(!done && said.contains("nowhere"), "{said}");

    let cut = last - 6 - 3;
    let (done, said) = restore(data.path(), target.path(), &["--to-seq", &cut.to_string()]);
    assert!(done, "{said}");
    assert!(said.contains(&format!("Restored the first {cut} entries")), "{said}");
    assert!(said.contains("left out       9 entries") && said.contains("epoch 2"), "{said}");
    let (done, said) = restore(data.path(), target.path(), &[]);
    assert!(!done && said.contains("already has a journal"), "{said}");

    // The server does not start without keys, or with the keys of another journal.
    let (status, said) = Server::failing_start(target.path());
    assert!(!status.success() && said.contains("key store is empty"), "{said}");
    copy_keys(data.path(), target.path());
    let server = Server::start(target.path());
    let client = server.client(&key);
    let after = events(&client);
    let kept = usize::try_from(cut).expect("few");
    assert_eq!(
        after.iter().map(bare).take(kept).collect::<Vec<_>>(),
        before[..kept].iter().map(bare).collect::<Vec<_>>()
    );
    let continued = &after[kept];
    assert_eq!((continued["kind"].as_str(), seq_of(continued)), (Some("journal_continued"), cut + 1), "{continued}");
    let departed = &continued["data"]["departed"];
    assert_eq!((departed["size"].as_u64(), &departed["origin"]), (Some(cut), &before[0]["data"]["origin"]));
    assert!(said_root(&restore_output(data.path(), cut), departed["root"].as_str().expect("a root")));
    // Left-out payments can be made again; kept payments cannot happen twice.
    assert_eq!(client.wallet("c0"), (3_000, 0));
    let again = client.pay(1, "top_up", 1_000, &json!({"customer": "c1"}));
    assert!(again.status == 200 && again.replayed, "{again:?}");
    assert_eq!(client.get("/v1/transfers/101").status, 404);
    assert_eq!(client.wallet("c1"), (3_000, 0));
    let more = client.pay(50, "top_up", 7, &json!({"customer": "c1"}));
    assert_eq!(more.status, 201, "{more:?}");
    let refused = client.get(&format!("/v1/events?cursor={old_cursor}"));
    assert_eq!((refused.status, refused.code()), (410, "cursor_of_another_origin"), "{refused:?}");
    assert!(server.stop().success());

    // The new history starts again, and can be restored again as a third history.
    drop(Server::start(target.path()));
    let third = tempfile::tempdir().expect("a directory");
    let (done, said) = restore(target.path(), third.path(), &[]);
    assert!(done && said.contains("epoch 3") && said.contains("left out       0 entries"), "{said}");
    copy_keys(target.path(), third.path());
    let server = Server::start(third.path());
    let client = server.client(&key);
    assert_eq!(client.wallet("c1"), (3_007, 0));
    // These keys belong to the third history now; the second has its own.
    drop(server);
    copy_keys(third.path(), data.path());
    let (status, said) = Server::failing_start(data.path());
    assert!(!status.success() && said.contains("the keys belong to the journal"), "{said}");
}

/// Returns the output of another restore to the same point.
fn restore_output(from: &Path, cut: u64) -> String {
    let target = tempfile::tempdir().expect("a directory");
    let (done, said) = restore(from, target.path(), &["--to-seq", &cut.to_string()]);
    assert!(done, "{said}");
    said
}

fn said_root(said: &str, root: &str) -> bool {
    said.contains(&format!("root {root}"))
}

#[test]
fn damage_after_the_point_does_not_matter() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, key) = prepare(data.path());
    let before = events(&server.client(&key));
    let last = seq_of(before.last().expect("there are events"));
    assert!(server.stop().success());
    let segment = data.path().join("journal/segment-00000001");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("the segment is not empty");
    bytes[end - 40] ^= 1;
    std::fs::write(&segment, &bytes).expect("it is written");
    let target = tempfile::tempdir().expect("a directory");
    let (done, said) = restore(data.path(), target.path(), &[]);
    assert!(!done && said.contains("segment-00000001 is damaged at byte"), "{said}");
    assert!(!target.path().join("journal").is_dir() && !target.path().join("journal.restoring").is_dir());
    // The last frame contains the three transfers and their metadata.
    let (done, said) = restore(data.path(), target.path(), &["--to-seq", &(last - 6).to_string()]);
    assert!(done && said.contains("everything after this damage: segment-00000001 is damaged"), "{said}");
    copy_keys(data.path(), target.path());
    let server = Server::start(target.path());
    assert_eq!(server.client(&key).get("/v1/accounts/20").text("credits_posted"), "0");
}

#[test]
fn a_journal_can_be_restored_to_an_instant() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, key) = prepare(data.path());
    let before = events(&server.client(&key));
    assert!(server.stop().success());
    let event = before.iter().rfind(|event| event["kind"] == "payment_decided").expect("there are payments");
    let at = event["decided_at"].as_str().expect("an event has a time");
    let target = tempfile::tempdir().expect("a directory");
    let (done, said) = restore(data.path(), target.path(), &["--to-time", at]);
    assert!(done && said.contains(&format!("Restored the first {} entries", seq_of(event))), "{said}");
    // An interrupted restore is started again.
    let second = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(second.path().join("journal.restoring")).expect("a directory");
    std::fs::write(second.path().join("journal.restoring/segment-00000001"), b"half").expect("a file");
    let (done, said) = restore(data.path(), second.path(), &["--to-time", at]);
    assert!(done, "{said}");
}
