//! A whole installation: its verification, and its restore from copies, as the runbook says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{book, create, directory, live};
use crate::harness::{Client, Server, finaira, first_start};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn verify(data: &Path, more: &[&str]) -> (bool, String) {
    finaira(&[&["verify", text(data)], more].concat())
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[offset] ^= 1;
    std::fs::write(file, bytes).expect("a file");
}

/// The line of the report about a journal.
fn row<'s>(said: &'s str, name: &str) -> Vec<&'s str> {
    let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no line about {name}: {said}")).split_whitespace().collect()
}

#[test]
fn every_journal_of_an_installation_is_verified() {
    let (folder, server, first) = first_start(&[]);
    let data = folder.path();
    book(&first, 1);
    for name in ["A", "B"] {
        let tenant = create(&first, &live(name));
        book(&server.client(&tenant.key), 1);
    }
    assert_eq!(first.post("/v1/tenants/3/suspend", &json!({})).status, 200);
    // A tenant that is suspended is closed, once no request uses it.
    crate::harness::eventually(|| verify(data, &["--tenant", "3"]).0.then_some(()));
    let (holds, said) = verify(data, &[]);
    assert!(!holds && said.contains("in use by another process"), "{said}");
    assert!(server.stop().success());

    let names = ["tenant 1", "the system", "tenant 2", "tenant 3"];
    let places = [data.to_owned(), data.join("system"), directory(data, 2), directory(data, 3)];
    let intact = |said: &str, name: &str| row(said, name).last().is_some_and(|root| root.len() == 64);
    let (holds, said) = verify(data, &[]);
    assert!(holds && said.contains("All checks passed."), "{said}");
    assert!(names.iter().all(|name| intact(&said, name)), "{said}");

    for (name, place) in names.iter().zip(&places) {
        let journal = place.join("journal/segment-00000001");
        flip(&journal, 4_200);
        let (holds, said) = verify(data, &[]);
        assert!(
            !holds && said.contains(&format!("FOUND in the journal of {name}: segment-00000001 is damaged")),
            "{said}"
        );
        for other in &names {
            assert_eq!(intact(&said, other), other != name, "the others are checked: {said}");
        }
        flip(&journal, 4_200);
        let keys = place.join("keys/root.key");
        flip(&keys, 3);
        let (holds, said) = verify(data, &[]);
        assert!(!holds && said.contains(&format!("FOUND in the keys of {name}: ")), "{said}");
        assert!(said.contains(", 1 of them in data that cannot be rebuilt"), "{said}");
        flip(&keys, 3);
    }
    let signing = data.join("system/issuer/signing.keys");
    let before = std::fs::read(&signing).expect("the keys of the built-in issuer");
    let text_before = String::from_utf8_lossy(&before).into_owned();
    for damaged in [&text_before[..text_before.len() / 2], &text_before.replacen("\"active\"", "\"next\"", 1)] {
        std::fs::write(&signing, damaged).expect("a file");
        let (holds, said) = verify(data, &[]);
        assert!(!holds && said.contains("FOUND in the keys of the system: issuer/signing.keys: "), "{said}");
        assert!(said.contains(", 1 of them in data that cannot be rebuilt"), "{said}");
    }
    std::fs::write(&signing, before).expect("a file");
    let (holds, said) = verify(data, &[]);
    assert!(holds && said.contains("keys of the built-in issuer"), "{said}");
    let (holds, said) = verify(data, &["--tenant", "2"]);
    assert!(holds && said.contains("The journal ends with entry ") && !said.contains("tenant 3"), "{said}");
    let (holds, said) = verify(data, &["--tenant", "9"]);
    assert!(!holds && said.contains("has no tenant 9"), "{said}");

    let elsewhere = folder.path().join("elsewhere");
    let moved = |from: &Path, to: &Path| std::fs::rename(from, to).expect("it can be renamed");
    let wrong = |expected: &str| {
        let (holds, said) = verify(data, &[]);
        assert!(!holds && said.contains(expected), "{expected}: {said}");
    };
    moved(&places[3], &elsewhere);
    wrong("NOT CHECKED: tenant 3: its state is suspended, but it has no directory");
    // The directory of another tenant in its place.
    moved(&places[2], &places[3]);
    wrong("NOT CHECKED: tenant 3: ");
    moved(&places[3], &places[2]);
    moved(&elsewhere, &directory(data, 7));
    wrong("Note: tenant 7 is not in the system journal, so the server does not open its directory.");
    moved(&directory(data, 7), &places[3]);
    // Without the system journal, nobody knows the tenants, and a new one would forget them.
    moved(&places[1], &elsewhere);
    wrong("NOT CHECKED: the system: ");
    let (status, said) = Server::failing_start(data);
    assert!(!status.success() && said.contains("has tenants, but no system journal"), "{said}");
    assert!(!places[1].join("journal/segment-00000001").is_file(), "nothing was made");
    std::fs::remove_dir_all(&places[1]).unwrap_or_default();
    moved(&elsewhere, &places[1]);
    assert!(verify(data, &[]).0);
}

/// Copies a folder with files, without the lock.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for file in std::fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        if file.file_name() != "lock" {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("the file can be copied");
        }
    }
}

#[track_caller]
fn back_up(server: &Server, key: &str, to: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.args(["backup", "--server", &server.address, "--to"]).arg(to).args(more).env("FINAIRA_API_KEY", key);
    let output = command.output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn key_of(client: &Client, scopes: &[&str]) -> String {
    let made = client.post("/v1/api-keys", &json!({"name": "copies", "principal": 1, "scopes": scopes}));
    assert_eq!(made.status, 201, "{made:?}");
    made.text("key").to_owned()
}

#[test]
fn an_installation_is_restored_from_copies_of_all_its_journals() {
    let (data, server, first) = first_start(&[]);
    book(&first, 1);
    let shop = create(&first, &live("Shop"));
    let shop_client = server.client(&shop.key);
    book(&shop_client, 1);
    let only_journal = key_of(&first, &["journal:read"]);
    let of_first = key_of(&first, &["journal:read", "tenants:read"]);
    let of_shop = key_of(&shop_client, &["journal:read"]);

    let folder = tempfile::tempdir().expect("a directory");
    let copies = folder.path().join("copies");
    let parts: [(PathBuf, &str, &[&str]); 3] = [
        (PathBuf::new(), &of_first, &[]),
        (PathBuf::from("system"), &of_first, &["--system"]),
        (PathBuf::from("tenants/2"), &of_shop, &[]),
    ];
    for (part, key, more) in &parts {
        let (code, said) = back_up(&server, key, &copies.join(part), more);
        assert_eq!(code, Some(0), "{said}");
    }
    // What changes later is copied by the next run.
    let late = create(&first, &live("Late"));
    assert_eq!(first.post("/v1/tenants/3/quotas", &json!({"disk_bytes": 1 << 30})).status, 200);
    let (code, said) = back_up(&server, &of_first, &copies.join("system"), &["--system"]);
    assert!(code == Some(0) && said.contains("entries copied"), "{said}");
    let of_late = key_of(&server.client(&late.key), &["journal:read"]);
    assert_eq!(back_up(&server, &of_late, &copies.join("tenants/3"), &[]).0, Some(0));
    let (code, said) = back_up(&server, &of_first, &copies.join("tenants/2"), &["--system"]);
    assert!(code != Some(0), "the copy of another journal: {said}");
    for (key, expected) in [(&only_journal, "insufficient_scope"), (&of_shop, "first_tenant_only")] {
        let (code, said) = back_up(&server, key, &folder.path().join("refused"), &["--system"]);
        assert!(code == Some(1) && said.contains(expected), "{said}");
        for path in ["/v1/installation/journal/segments", "/v1/installation/journal/segments/1"] {
            let refused = server.client(key).get(path);
            assert_eq!((refused.status, refused.code()), (403, expected), "{path}: {refused:?}");
        }
    }
    let (holds, said) = verify(&copies, &[]);
    assert!(holds && said.contains("there are no keys here"), "{said}");
    for name in ["tenant 1", "the system", "tenant 2", "tenant 3"] {
        row(&said, name);
    }
    // The keys are kept apart from the journals, and copied after them.
    let kept = folder.path().join("kept");
    let of_keys = ["keys", "system/keys", "system/issuer", "tenants/2/keys", "tenants/3/keys"];
    of_keys.iter().for_each(|part| copy(&data.path().join(part), &kept.join(part)));
    server.kill();

    let restored = folder.path().join("restored");
    for part in ["", "system", "tenants/2", "tenants/3"] {
        let (from, to) = (copies.join(part), restored.join(part));
        let (done, said) = finaira(&["restore", "--from", text(&from), "--to", text(&to)]);
        assert!(done, "{part}: {said}");
    }
    // Or the same history continues on the copies.
    for place in [&restored, &copies] {
        of_keys.iter().for_each(|part| copy(&kept.join(part), &place.join(part)));
        let (holds, said) = verify(place, &[]);
        assert!(holds && said.contains("All checks passed."), "{said}");
        let server = Server::start(place);
        assert_eq!(server.key, None, "the keys are those of before");
        let first = server.client(&first.key);
        assert_eq!(first.get("/v1/transfers/7").status, 200);
        assert_eq!(server.client(&shop.key).get("/v1/transfers/7").status, 200);
        assert_eq!(server.client(&late.key).get("/v1/ledgers").status, 200);
        assert_eq!(first.get("/v1/tenants/3").body["quotas"]["disk_bytes"], json!(1 << 30));
        assert_eq!(create(&first, &live("Next")).id, 4);
        assert!(server.stop().success());
        let (holds, said) = verify(place, &[]);
        assert!(holds, "{said}");
    }
}

/// Replaces the system journal with a part of its copy.
fn restore_system(copy: &Path, data: &Path, until: &[&str]) {
    let system = data.join("system");
    for part in ["journal", "index", "proofs"] {
        std::fs::remove_dir_all(system.join(part)).expect("it is there");
    }
    let (done, said) = finaira(&[&["restore", "--from", text(copy), "--to", text(&system)], until].concat());
    assert!(done, "{said}");
}

#[test]
fn a_system_journal_that_ends_within_a_creation_does_not_erase_a_tenant_that_was_used() {
    let (data, server, first) = first_start(&[]);
    let shop = create(&first, &live("Shop"));
    book(&server.client(&shop.key), 1);
    let copies = tempfile::tempdir().expect("a directory");
    let (code, said) = back_up(&server, &first.key, copies.path(), &["--system"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(server.stop().success());
    // The first entry begins the journal, the second one the creation, and the third one ends it.
    restore_system(copies.path(), data.path(), &["--to-seq", "2"]);
    let (holds, said) = verify(data.path(), &[]);
    assert!(
        !holds && said.contains("NOT CHECKED: tenant 2: its state is creating, but its journal has more"),
        "{said}"
    );
    assert!(!said.contains("erases"), "{said}");

    // What cannot be looked at is not erased either.
    let journal = directory(data.path(), 2).join("journal");
    flip(&journal.join("segment-00000001"), 4_200);
    let (holds, said) = verify(data.path(), &[]);
    assert!(!holds && said.contains("NOT CHECKED: tenant 2: its state is creating, and its journal cannot"), "{said}");
    let elsewhere = data.path().join("elsewhere");
    let server = Server::start(data.path());
    server.logs("its creation did not end, and it cannot be looked at: segment-00000001 is damaged");
    assert!(server.stop().success());
    flip(&journal.join("segment-00000001"), 4_200);
    std::fs::rename(&journal, &elsewhere).expect("it can be renamed");
    let (holds, said) = verify(data.path(), &[]);
    assert!(!holds && said.contains("tenant 2: its state is creating, and it has keys, but no journal"), "{said}");
    let server = Server::start(data.path());
    server.logs("has no journal, but there are keys that belong to one");
    assert!(server.stop().success());
    std::fs::rename(&elsewhere, &journal).expect("it can be renamed");

    let server = Server::start(data.path());
    server.logs("a tenant whose creation did not end was used, so it stays");
    let client = server.client(&shop.key);
    let found = crate::harness::eventually(|| Some(client.get("/v1/transfers/7")).filter(|it| it.status == 200));
    assert_eq!(found.text("amount"), "100");
    assert_eq!(server.client(&first.key).get("/v1/tenants/2").text("state"), "active");
    assert!(server.stop().success());
    let (holds, said) = verify(data.path(), &[]);
    assert!(holds, "{said}");
}

#[test]
fn a_system_journal_of_an_earlier_time_does_not_erase_later_tenants() {
    let (data, server, first) = first_start(&[]);
    create(&first, &live("Shop"));
    let copies = tempfile::tempdir().expect("a directory");
    let (code, said) = back_up(&server, &first.key, copies.path(), &["--system"]);
    assert_eq!(code, Some(0), "{said}");
    let late = create(&first, &live("Late"));
    book(&server.client(&late.key), 1);
    assert!(server.stop().success());
    restore_system(copies.path(), data.path(), &[]);

    let server = Server::start(data.path());
    let first = server.client(&first.key);
    assert_eq!(create(&first, &live("Next")).id, 4, "number 3 has a directory");
    assert_eq!(server.client(&late.key).get("/v1/ledgers").code(), "invalid_api_key", "nobody knows it");
    assert!(server.stop().success());
    let (holds, said) = verify(&directory(data.path(), 3), &[]);
    assert!(holds && said.contains("The journal ends with entry "), "its data is still there: {said}");
}
