//! `finaira prove` and `finaira checkpoint`: what they write, and how they reject changed files.

use std::path::Path;
use std::process::{Command, Output};

use fixtures::WALLET;
use serde_json::json;
use tlog_tiles::{Hash, check_record, record_hash};

use super::foreign::{Auditor, checkpoint, open};
use super::{open_book, transfer};
use crate::harness::{Server, eventually, first_start};

pub(super) fn finaira(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.args(arguments);
    if !arguments.contains(&"check") {
        command.args(["--server", &server.address, "--api-key", &server.key.clone().unwrap_or_default()]);
    }
    command.output().expect("the binary runs")
}

#[track_caller]
pub(super) fn succeeds(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(expected), "{said}");
}

#[track_caller]
pub(super) fn fails(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains(expected), "{said}");
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_folder_proves_an_entry_on_its_own() {
    let (_data, server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    open_book(&client);
    transfer(&client, 1..300);
    assert_eq!(client.pay(900, "top_up", 500, &json!({"customer": "anna"})).status, 201);
    let auditor = Auditor::new(&client);
    let out = tempfile::tempdir().expect("a directory");
    let sequence = client.get("/v1/transfers/150/proof").body["sequence"].to_string();
    for (kind, id) in [("transfer", "150"), ("payment", "900"), ("entry", &sequence)] {
        let folder = out.path().join(kind);
        let named = folder.to_str().expect("a path in UTF-8");
        succeeds(&finaira(&server, &["prove", kind, id, "--out", named]), "the proof is in");
        fails(&finaira(&server, &["prove", kind, id, "--out", named]), "already exists");
        succeeds(&finaira(&server, &["prove", "check", named]), "entry.bin is entry");
        succeeds(&finaira(&server, &["prove", "check", named, "--vkey", &auditor.vkey]), &auditor.vkey);

        // Check it with independent crates.
        let proof = read(&folder, "entry.tlog-proof");
        let (head, note) = proof.split_once("\n\n").expect("an empty line");
        let signed = open(note, read(&folder, "log.vkey").trim_end());
        let mut lines = head.lines().skip(1);
        let index = lines.next().expect("a line").strip_prefix("index ").expect("the index").parse().expect("a number");
        let hashes = lines.map(|line| Hash::parse_hash(line).expect("a hash")).collect();
        let leaf = std::fs::read(folder.join("leaf.bin")).expect("the leaf");
        check_record(&hashes, signed.size(), *signed.hash(), index, record_hash(&leaf)).expect("the proof holds");
        assert!(read(&folder, "HOW-TO-CHECK.md").contains("sha256sum entry.bin"));
        let event: serde_json::Value = serde_json::from_str(&read(&folder, "entry.json")).expect("JSON");
        assert_eq!(event["sequence"], index + 1);
    }
    // Change each file that is part of the proof.
    let folder = out.path().join("transfer");
    let check = || finaira(&server, &["prove", "check", folder.to_str().expect("a path in UTF-8")]);
    for (name, place, expected) in [
        ("entry.bin", 90, "leaf.bin is not the SHA-256 of entry.bin"),
        ("leaf.bin", 3, "leaf.bin is not the SHA-256 of entry.bin"),
        ("entry.tlog-proof", 40, "entry.tlog-proof"),
        ("log.vkey", 70, "log.vkey"),
    ] {
        let path = folder.join(name);
        let intact = std::fs::read(&path).expect("it is there");
        let mut spoilt = intact.clone();
        spoilt[place] ^= 1;
        std::fs::write(&path, &spoilt).expect("it can be written");
        fails(&check(), expected);
        std::fs::write(&path, &intact).expect("it can be written");
    }
    succeeds(&check(), "signed by");
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let named = folder.to_str().expect("a path in UTF-8");
    fails(&finaira(&server, &["prove", "check", named, "--vkey", other]), "the note is not signed by PeterNeumann");
    fails(&finaira(&server, &["prove", "transfer", "4711"]), "(transfer_not_found)");
    fails(&finaira(&server, &["prove", "entry", "0"]), "invalid value '0'");
}

#[test]
fn a_folder_proves_that_the_log_only_grew() {
    let (_data, server, client) = first_start(&[]);
    open_book(&client);
    let out = tempfile::tempdir().expect("a directory");
    let old = out.path().join("old");
    eventually(|| (checkpoint(&client).size() == 6).then_some(()));
    let printed = finaira(&server, &["checkpoint"]);
    succeeds(&printed, "finaira/");
    std::fs::write(&old, &printed.stdout).expect("it can be written");
    let auditor = Auditor::new(&client);
    succeeds(&finaira(&server, &["checkpoint", "--vkey"]), &auditor.vkey);
    transfer(&client, 1..700);
    let folder = out.path().join("folder");
    let (old_name, name) = (old.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    succeeds(&finaira(&server, &["prove", "consistency", "--from", old_name, "--out", name]), "starts with those 6");
    succeeds(&finaira(&server, &["prove", "check", name]), "starts with the log of 6");
    auditor.check_consistency(&client, &read(&folder, "old-checkpoint"));

    // An unsigned checkpoint, or one of another log, does not accuse the server.
    let changed = read(&folder, "old-checkpoint").replacen("\n6\n", "\n4\n", 1);
    std::fs::write(&old, changed).expect("it can be written");
    let refused = finaira(&server, &["prove", "consistency", "--from", old_name, "--out", "never"]);
    fails(&refused, "the checkpoint of 4 entries was not signed with any key that the server ever had");
    std::fs::write(&old, read(&folder, "old-checkpoint").replacen("finaira/", "another/", 1)).expect("written");
    let refused = finaira(&server, &["prove", "consistency", "--from", old_name, "--out", "never"]);
    fails(&refused, "is of another/");
    let path = folder.join("consistency");
    let intact = read(&folder, "consistency");
    std::fs::write(&path, intact.replacen("old 6", "old 7", 1)).expect("it can be written");
    fails(&finaira(&server, &["prove", "check", name]), "does not start with `old 6`");
    let mut lines: Vec<&str> = intact.lines().collect();
    lines.swap(1, 2);
    std::fs::write(&path, lines.join("\n") + "\n").expect("it can be written");
    fails(&finaira(&server, &["prove", "check", name]), "does not start with the log of 6");
}
