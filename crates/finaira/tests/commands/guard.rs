//! What stops writes and what does not, with the real binary: a clock that is not trusted, damage under a running
//! server, and a disk that fails.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use api::packed::TransferRecord;
use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Server, eventually_within, first_start};

/// The scrub has a low priority, and the machine is busy during tests.
const MINUTE: Duration = Duration::from_secs(60);

/// Starts a server with a ledger and two accounts.
pub(crate) fn start(data: &Path, arguments: &[&str]) -> (Server, Client, String) {
    prepare(Server::start_with(data, arguments))
}

/// Creates a ledger and two accounts on a new server.
pub(crate) fn prepare(server: Server) -> (Server, Client, String) {
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for id in 1..=2 {
        let account = json!({"id": id.to_string(), "ledger": 1, "code": 1});
        assert_eq!(client.post("/v1/accounts", &account).status, 201);
    }
    (server, client, key)
}

/// The number of transfers in a batch.
pub(crate) const AT_ONCE: u64 = 4_000;

/// Sends a batch of transfers of 1 from account 1 to 2. Returns the result, or `None` if the connection broke.
pub(crate) fn send(client: &Client, first: u64) -> Option<Sent> {
    let blank = TransferRecord::decode(&[0; 128]);
    let transfer = |id: u64| TransferRecord {
        id: id.into(),
        debit_account_id: 1,
        credit_account_id: 2,
        amount: 1,
        ledger: 1,
        code: 1,
        ..blank
    };
    let body: Vec<u8> = (first..first + AT_ONCE).flat_map(|id| transfer(id).encode()).collect();
    let (status, body) = client.packed_once("/v1/packed/create-transfers", &body)?;
    if status == 200 {
        return Some(Sent::Taken);
    }
    let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
    Some(Sent::Refused(status, problem))
}

/// The result of a batch of transfers.
#[derive(Debug)]
pub(crate) enum Sent {
    Taken,
    Refused(u16, Value),
}

/// The amount that account 2 has received.
pub(crate) fn received(client: &Client) -> u64 {
    let account = client.get("/v1/accounts/2");
    assert_eq!(account.status, 200, "{account:?}");
    account.text("credits_posted").parse().expect("an amount")
}

fn order(id: u64) -> Value {
    json!({"id": id.to_string(), "debit_account": "1", "credit_account": "2", "amount": "1", "asset": "EUR/2", "code": 1})
}

fn transfer(client: &Client, id: u64) -> crate::harness::Reply {
    client.post("/v1/transfers", &order(id))
}

/// Fills `segments` segments of 1 MiB, and a part of the next one.
pub(crate) fn fill(client: &Client, data: &Path, segments: u32) -> u64 {
    let mut next = 1_000;
    let begun = data.join(format!("journal/segment-{:08}", segments + 2));
    while fs::metadata(&begun).is_err() {
        assert!(matches!(send(client, next), Some(Sent::Taken)));
        next += AT_ONCE;
    }
    next
}

/// Flips one bit in the middle of a file.
fn flip(path: &Path) {
    flip_at(path, 500_000);
}

fn flip_at(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("it is that long");
    byte[0] ^= 0x10;
    file.write_all_at(&byte, offset).expect("it is written");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test needs time to pass")]
fn a_start_long_after_the_last_entry_writes_nothing_until_the_clock_is_confirmed() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &[]);
    assert_eq!(transfer(&client, 1).status, 201);
    assert!(server.stop().success());
    std::thread::sleep(Duration::from_millis(50));
    let doubting = ["--clock-gap-max", "10ms", "--clock-trust-sync", "off"];

    let server = Server::start_with(data.path(), &doubting);
    let client = server.client(&key);
    let refused = transfer(&client, 2);
    assert_eq!((refused.status, refused.code()), (503, "clock_not_believed"), "{refused:?}");
    assert_eq!(refused.retry_after.as_deref(), Some("10"));
    assert!(refused.text("detail").contains("the last entry"), "{refused:?}");
    let repeated = transfer(&client, 1);
    assert_eq!((repeated.status, repeated.replayed), (200, true), "repeated requests are answered");
    let dry = client.post("/v1/transfers?dry_run=true", &order(2));
    assert_eq!(dry.status, 200, "{dry:?}");
    let packed =
        client.send("/v1/packed/create-transfers", &[("Content-Type", "application/vnd.finaira.packed")], &[0; 128]);
    assert_eq!((packed.status, packed.code()), (503, "clock_not_believed"), "{packed:?}");
    assert_eq!(received(&client), 1);
    let ready = client.get("/readyz");
    assert_eq!((ready.status, ready.code()), (503, "not_ready"), "{ready:?}");
    let detail = ready.text("detail");
    assert!(detail.starts_with("reads work, but the clock shows") && detail.contains("--confirm-clock"), "{ready:?}");
    let metrics = client.get("/metrics").body.to_string();
    assert!(metrics.contains(r#"finaira_writes_closed{reason=\"clock\"} 1"#), "{metrics}");
    let confirmed = client.send("/v1/clock/confirm", &[], b"");
    assert_eq!((confirmed.status, &confirmed.body["was_doubted"]), (200, &json!(true)), "{confirmed:?}");
    assert_eq!(transfer(&client, 2).status, 201);
    server.logs("the clock was confirmed");
    server.logs("writes are accepted again");
    let log = server.log();
    assert_eq!(log.matches("writes are refused").count(), 1, "{log}");
    assert!(server.stop().success());
    std::thread::sleep(Duration::from_millis(50));

    let (status, errors) = Server::failing_start_with(data.path(), &["--clock-ahead-max", "0s"]);
    assert!(!status.success() && errors.contains("with 0, every write would be refused"), "{errors}");
    let (status, errors) = Server::failing_start_with(data.path(), &[&doubting[..], &["--new-api-key"]].concat());
    assert!(!status.success());
    assert!(errors.contains("a new API key cannot be made now: the clock shows"), "{errors}");
    let server = Server::start_with(data.path(), &[&doubting[..], &["--confirm-clock"]].concat());
    assert_eq!(transfer(&server.client(&key), 3).status, 201);
    assert!(server.stop().success());
}

#[test]
fn the_scrub_finds_damage_under_a_running_server_which_then_only_reads() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &["--scrub-period", "2s"]);
    let next = fill(&client, data.path(), 3);
    let metric = |name: &str| {
        let metrics = client.get("/metrics").body.as_str().unwrap_or_default().to_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the metric is there").to_owned();
        line.trim().parse::<f64>().expect("a number")
    };
    eventually_within(MINUTE, || (metric("finaira_scrub_segments_total") >= 3.0).then_some(()));
    assert_eq!(transfer(&client, 1).status, 201, "writes to an intact journal succeed");
    let damaged = data.path().join("journal/segment-00000002");
    flip(&damaged);
    let mut id = 1;
    let refused = eventually_within(MINUTE, || {
        id += 1;
        Some(transfer(&client, id)).filter(|reply| reply.status == 503)
    });
    assert_eq!(refused.code(), "journal_damaged", "{refused:?}");
    let detail = refused.text("detail");
    assert!(detail.contains("segment-00000002 is damaged at byte") && detail.contains("(sequence "), "{detail}");
    assert_eq!(refused.retry_after, None, "damage does not go away by itself");
    assert!(received(&client) >= next - 1_000, "reads still work");
    assert_eq!(client.get("/v1/events?limit=10").status, 200, "undamaged parts of the journal can be read");
    eventually_within(MINUTE, || (metric("finaira_scrub_damaged_segments") > 0.5).then_some(()));
    assert!(server.stop().success(), "a clean stop");

    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("segment-00000002 is damaged at byte"), "{errors}");
    // The file is restored from a copy.
    flip(&damaged);
    let server = Server::start_with(data.path(), &[]);
    server.logs("checking a segment in which damage was found earlier");
    assert_eq!(transfer(&server.client(&key), id).status, 201);
    assert!(server.stop().success());
}

#[test]
fn damage_found_by_a_read_stops_writes_too() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &[]);
    fill(&client, data.path(), 1);
    flip(&data.path().join("journal/segment-00000001"));
    let mut path = "/v1/events?limit=1000".to_owned();
    let met = loop {
        let page = client.get(&path);
        if page.status != 200 {
            break page;
        }
        path = format!("/v1/events?limit=1000&cursor={}", page.text("next_cursor"));
    };
    assert_eq!((met.status, met.code()), (503, "journal_damaged"), "{met:?}");
    assert!(met.text("detail").contains("segment-00000001 is damaged at byte"), "{met:?}");
    let refused = transfer(&client, 1);
    assert_eq!((refused.status, refused.code()), (503, "journal_damaged"), "{refused:?}");
    assert!(server.stop().success());
}

#[test]
fn a_damaged_policy_hides_its_decisions_and_not_its_payments() {
    // Without proofs, nothing reads the policy before the test does.
    let (data, server, client) = first_start(&["--proofs", "off"]);
    assert_eq!(client.activate(WALLET).status, 201);
    let segment = data.path().join("journal/segment-00000001");
    let (bytes, name) = (fs::read(&segment).expect("the segment"), b"fraud_rate_30d");
    // An entry before it contains the file of the policy.
    let place = bytes.windows(name.len()).rposition(|found| found == name).expect("the policy names the feature");
    assert_eq!(client.pay(1, "top_up", 5_000, &json!({"customer": "alice"})).status, 201);
    flip_at(&segment, place as u64);
    assert_eq!(client.get("/v1/payments/1").text("status"), "posted");
    let again = client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
    assert_eq!(client.get("/v1/payments/1/personal-data").status, 200);
    let hidden = client.get("/v1/payments/1/decision");
    assert_eq!((hidden.status, hidden.code()), (503, "journal_damaged"), "{hidden:?}");
    assert!(server.stop().success());
}

#[test]
fn a_segment_that_cannot_be_prepared_ends_the_server_and_a_restart_continues() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &[]);
    // Files that are already open still work, but no file can be opened by name.
    let (journal, away) = (data.path().join("journal"), data.path().join("away"));
    fs::rename(&journal, &away).expect("the folder moves");
    let mut acknowledged = 0;
    while let Some(sent) = send(&client, 1_000 + acknowledged) {
        if let Sent::Refused(status, problem) = sent {
            assert_eq!((status, &problem["code"]), (503, &json!("journal_failed")), "{problem}");
            break;
        }
        acknowledged += AT_ONCE;
    }
    let (status, log) = server.wait_with_log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped because of a failure: cannot ") && log.contains("segment-0000000"), "{log}");
    fs::rename(&away, &journal).expect("the folder moves");
    let server = Server::start(data.path());
    let client = server.client(&key);
    let found = received(&client);
    assert!((acknowledged..=acknowledged + AT_ONCE).contains(&found), "{found} of {acknowledged}");
    assert!(matches!(send(&client, 1_000 + acknowledged), Some(Sent::Taken)));
    assert_eq!(received(&client), acknowledged + AT_ONCE);
    assert!(server.stop().success());
}
