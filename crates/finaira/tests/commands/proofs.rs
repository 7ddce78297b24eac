//! Proofs, from the view of somebody who has the key and does not trust the server. Everything is checked with the
//! independent crates `signed_note` and `tlog_tiles`.

mod command;
mod foreign;
mod keys;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fixtures::WALLET;
use serde_json::json;
use server::Stopwatch;

use self::foreign::{Auditor, checkpoint};
use crate::harness::{Client, Server, eventually, first_start};

/// Creates a ledger with two accounts.
pub(super) fn open_book(client: &Client) {
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for id in ["1", "2"] {
        assert_eq!(client.post("/v1/accounts", &json!({"id": id, "ledger": 1, "code": 1})).status, 201);
    }
}

/// Creates transfers with these ids.
pub(super) fn transfer(client: &Client, ids: std::ops::Range<u64>) {
    for first in ids.clone().step_by(1_000) {
        let events: Vec<_> = (first..ids.end.min(first + 1_000))
            .map(|id| {
                json!({"id": id.to_string(), "ledger": 1, "asset": "EUR/2", "code": 1, "amount": "1",
                       "debit_account": "1", "credit_account": "2"})
            })
            .collect();
        let reply = client.post("/v1/transfers/batch", &json!({"transfers": events}));
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[test]
fn proofs_of_transfers_payments_and_entries_can_be_checked_independently() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    open_book(&client);
    let auditor = Auditor::new(&client);
    for number in 0..3 {
        let id = 1_000 + number;
        assert_eq!(client.pay(id, "top_up", 500, &json!({"customer": "anna"})).status, 201);
        // The proof is requested right after the write.
        let proof = client.get(&format!("/v1/payments/{id}/proof"));
        let event = auditor.check_entry(&proof);
        assert_eq!(
            (event["kind"].as_str(), event["data"]["payment"].as_str()),
            (Some("payment_decided"), Some(&*uuid(id)))
        );
    }
    // Who read personal data can be proved like everything else.
    assert_eq!(client.get("/v1/payments/1000/personal-data").status, 200);
    let read = client.get("/v1/audit?kind=personal_data_read").body["items"][0].clone();
    let event = auditor.check_entry(&client.get(&format!("/v1/proofs/entries/{}", read["sequence"])));
    let payment = uuid(1_000);
    assert_eq!((event["kind"].as_str(), event["actor"].as_u64()), (Some("personal_data_read"), Some(1)));
    assert_eq!((&event["data"]["payment"], &event["data"]["attributes"]), (&json!(payment), &json!([])));
    transfer(&client, 1..400);
    for id in [1, 257, 399_u128] {
        let event = auditor.check_entry(&client.get(&format!("/v1/transfers/{id}/proof")));
        assert_eq!(
            (event["kind"].as_str(), event["data"]["id"].as_str()),
            (Some("transfer_created"), Some(&*uuid(id)))
        );
    }
    let last = checkpoint(&client).size();
    for sequence in [1, 2, 255, 256, 257, last] {
        let proof = client.get(&format!("/v1/proofs/entries/{sequence}"));
        assert_eq!(auditor.check_entry(&proof)["sequence"], sequence);
    }
    auditor.check_tiles(&client);
    for (path, code) in [
        ("/v1/transfers/77777/proof", "transfer_not_found"),
        ("/v1/payments/77777/proof", "payment_not_found"),
        ("/v1/proofs/entries/0", "invalid_parameter"),
        ("/v1/proofs/entries/one", "invalid_parameter"),
        ("/v1/proofs/entries/99999", "entry_not_found"),
        ("/v1/proofs/consistency", "invalid_parameter"),
        ("/v1/proofs/consistency?from=0", "invalid_parameter"),
        ("/v1/proofs/consistency?from=9&to=8", "invalid_parameter"),
        ("/v1/proofs/consistency?from=1&to=99999", "entry_not_found"),
        ("/v1/proofs/tile/0/000.p/0", "tile_not_found"),
        ("/v1/proofs/tile/1/000", "tile_not_found"),
        ("/v1/proofs/tile/entries/x999/000", "tile_not_found"),
        ("/v1/proofs/tile/../checkpoint", "tile_not_found"),
    ] {
        assert_eq!(client.get(path).code(), code, "{path}");
    }
}

fn uuid(number: u128) -> String {
    format!("00000000-0000-0000-0000-{number:012x}")
}

#[test]
fn a_single_request_is_covered_at_once_and_a_load_within_a_second() {
    let (_data, server, client) = first_start(&[]);
    open_book(&client);
    let auditor = Auditor::new(&client);
    for id in 1..6 {
        // Wait until the prover is idle.
        eventually(|| (checkpoint(&client).size() == durable(&client)).then_some(()));
        transfer(&client, id..id + 1);
        let since = Stopwatch::start();
        let last = durable(&client);
        while checkpoint(&client).size() < last {
            assert!(since.elapsed() < Duration::from_millis(900), "a checkpoint comes at once");
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loader = server.client(&server.key.clone().unwrap_or_default());
        let over = &over;
        scope.spawn(move || {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                transfer(&loader, 1_000 * (round + 1)..1_000 * (round + 2));
            }
        });
        let (since, mut sizes) = (Stopwatch::start(), Vec::new());
        while since.elapsed() < Duration::from_secs(3) {
            let at = durable(&client);
            let asked = Stopwatch::start();
            eventually(|| (checkpoint(&client).size() >= at).then_some(()));
            assert!(
                asked.elapsed() < Duration::from_secs(1),
                "it took {:?} until {at} entries were covered",
                asked.elapsed()
            );
            sizes.push(at);
        }
        over.store(true, Ordering::Relaxed);
        assert!(sizes.iter().max() > sizes.iter().min(), "the load made progress: {sizes:?}");
    });
    auditor.check_consistency(&client, &auditor.first);
}

fn durable(client: &Client) -> u64 {
    let metrics = client.get("/metrics");
    let text = metrics.body.as_str().expect("metrics are text");
    let line = text.lines().find_map(|line| line.strip_prefix("finaira_journal_durable_seq "));
    line.expect("the metric is there").parse().expect("a number")
}

#[test]
fn a_checkpoint_never_covers_entries_that_a_kill_loses() {
    let (data, mut server, client) = first_start(&[]);
    let key = server.key.clone().expect("the first start prints an API key");
    open_book(&client);
    let auditor = Auditor::new(&client);
    let mut seen = vec![auditor.first.clone()];
    for round in 0..3_u64 {
        let over = AtomicBool::new(false);
        seen.extend(std::thread::scope(|scope| {
            let (loader, watcher) = (server.client(&key), server.client(&key));
            let over = &over;
            scope.spawn(move || {
                for number in 0.. {
                    let id = (round + 1) * 10_000_000 + number;
                    let body = json!({"transfers": [{"id": id.to_string(), "ledger": 1, "asset": "EUR/2", "code": 1,
                        "amount": "1", "debit_account": "1", "credit_account": "2"}]});
                    if loader.try_post("/v1/transfers/batch", &body).is_none() || over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let watching = scope.spawn(move || {
                let mut seen: Vec<String> = Vec::new();
                while let Some(reply) = watcher.try_get("/v1/proofs/checkpoint") {
                    seen.extend(reply.body.as_str().filter(|_| reply.status == 200).map(str::to_owned));
                }
                seen
            });
            std::thread::park_timeout(Duration::from_millis(400));
            server.kill();
            over.store(true, Ordering::Relaxed);
            watching.join().expect("the watcher ends")
        }));
        server = Server::start(data.path());
        let client = server.client(&key);
        for note in seen.iter().rev().step_by(7) {
            auditor.check_consistency(&client, note);
        }
        auditor.check_consistency(&client, seen.last().expect("a checkpoint was seen"));
    }
    assert!(seen.len() > 10, "{} checkpoints were seen", seen.len());
    assert!(server.stop().success());
}

fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("it is long enough");
    file.write_all_at(&[byte[0] ^ 0x10], offset).expect("it can be written");
}

#[test]
fn deleted_or_damaged_proofs_are_rebuilt() {
    let (data, server, client) = first_start(&[]);
    let key = server.key.clone().expect("the first start prints an API key");
    open_book(&client);
    transfer(&client, 1..2_000);
    let auditor = Auditor::new(&client);
    // Waits until a checkpoint covers everything.
    auditor.check_entry(&client.get("/v1/transfers/1999/proof"));
    let before = client.get("/v1/proofs/checkpoint").body;
    let proofs = data.path().join("proofs");
    let witness = data.path().join("keys/proof.checkpoint");
    // While the server runs, damage leaves and a tile of the level above.
    for (file, offset) in [("level-0", 300 * 32 + 5), ("level-1", 40), ("level-0", 31)] {
        flip(&proofs.join(file), offset);
        auditor.check_entry(&client.get("/v1/proofs/entries/301"));
        auditor.check_tiles(&client);
    }
    eventually(|| server.log().contains("a tile of the Merkle tree is damaged").then_some(()));
    assert!(server.stop().success());
    let spoil: [&dyn Fn(); 5] = [
        &|| std::fs::remove_dir_all(&proofs).expect("it is there"),
        &|| std::fs::remove_file(proofs.join("level-0")).expect("it is there"),
        &|| std::fs::remove_file(&witness).expect("it is there"),
        &|| flip(&proofs.join("level-0"), std::fs::metadata(proofs.join("level-0")).expect("there").len() - 1),
        &|| flip(&proofs.join("level-1"), 3),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        spoil();
        let server = Server::start(data.path());
        let client = server.client(&key);
        auditor.check_entry(&client.get("/v1/transfers/1500/proof"));
        auditor.check_consistency(&client, before.as_str().expect("a note"));
        auditor.check_tiles(&client);
        assert_eq!(client.get("/v1/proofs/checkpoint").body, before, "nothing was written: case {number}");
        assert!(server.stop().success());
    }
    // The signed checkpoint cannot be rebuilt: it must be intact, or somebody must decide to do without it.
    flip(&witness, 60);
    for arguments in [&[][..], &["--proofs", "off"]] {
        let (status, said) = Server::failing_start_with(data.path(), arguments);
        assert!(!status.success() && said.contains("keys/proof.checkpoint"), "{said}");
        assert!(said.contains("then delete the file"), "{said}");
    }
    std::fs::remove_file(&witness).expect("it is there");
    assert!(Server::start(data.path()).stop().success());
}

#[test]
fn damage_to_signed_entries_is_not_a_torn_tail() {
    let (data, server, client) = first_start(&[]);
    let key = server.key.clone().expect("the first start prints an API key");
    open_book(&client);
    assert!(server.stop().success());
    let mark = data.path().join("journal/mark");
    let earlier = std::fs::read(&mark).expect("it is there");
    let server = Server::start(data.path());
    transfer(&server.client(&key), 1..2);
    assert!(server.stop().success());
    // This simulates a kill between the checkpoint and the mark, and then damage to the last frame.
    std::fs::write(&mark, earlier).expect("it can be written");
    let segment = data.path().join("journal/segment-00000001");
    let bytes = std::fs::read(&segment).expect("it is there");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("it holds frames");
    flip(&segment, last as u64);
    let spoilt = std::fs::read(&segment).expect("it is there");
    let (status, said) = Server::failing_start(data.path());
    assert!(!status.success() && said.contains("segment-00000001 is damaged at byte"), "{said}");
    assert!(std::fs::read(&segment).expect("it is there") == spoilt, "the damaged frame is not removed");
    flip(&segment, last as u64);
    let server = Server::start(data.path());
    assert_eq!(server.client(&key).get("/v1/transfers/1").status, 200);
    assert!(server.stop().success());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for item in std::fs::read_dir(from).expect("it is there") {
        let item = item.expect("it can be listed");
        std::fs::copy(item.path(), to.join(item.file_name())).expect("it can be copied");
    }
}

#[test]
fn a_journal_that_lost_signed_entries_is_rejected() {
    let (data, server, client) = first_start(&[]);
    let key = server.key.clone().expect("the first start prints an API key");
    open_book(&client);
    assert!(server.stop().success());
    let older = tempfile::tempdir().expect("a directory");
    copy(&data.path().join("journal"), older.path());
    let server = Server::start(data.path());
    transfer(&server.client(&key), 1..50);
    assert!(server.stop().success());
    std::fs::remove_dir_all(data.path().join("journal")).expect("it is there");
    copy(older.path(), &data.path().join("journal"));
    let (status, said) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(said.contains("the journal holds 6 entries, but a checkpoint of 55 was signed"), "{said}");

    let (status, said) = Server::failing_start_with(data.path(), &["--proofs", "off"]);
    assert!(!status.success() && said.contains("entries that were acknowledged are gone"), "{said}");

    // The tree is not needed for this: the checkpoint is stored beside the key. A copy with fewer entries cannot
    // continue with that key.
    let signed = tempfile::tempdir().expect("a directory");
    copy(&data.path().join("proofs"), &signed.path().join("proofs"));
    std::fs::remove_dir_all(data.path().join("proofs")).expect("it is there");
    let (status, said) = Server::failing_start(data.path());
    assert!(!status.success() && said.contains("but a checkpoint of 55 was signed"), "{said}");

    // Other entries in their place, and more of them, are detected when the tree is rebuilt from them.
    let witness = data.path().join("keys/proof.checkpoint");
    std::fs::rename(&witness, signed.path().join("witness")).expect("it is there");
    let server = Server::start(data.path());
    transfer(&server.client(&key), 1_000..1_100);
    assert!(server.stop().success());
    copy(&signed.path().join("proofs"), &data.path().join("proofs"));
    std::fs::rename(signed.path().join("witness"), &witness).expect("it is there");
    let server = Server::start(data.path());
    let said = eventually(|| Some(server.log()).filter(|log| log.contains("the first 55 entries of the journal")));
    assert!(said.contains("are not those that a checkpoint was signed for"), "{said}");
    assert!(!server.wait_with_log().0.success(), "the server stops");
}
