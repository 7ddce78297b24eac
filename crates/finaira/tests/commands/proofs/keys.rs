//! The key that signs checkpoints: stored, replaced, given as a file, or rejected.

use super::command::{fails, finaira, succeeds};
use super::foreign::{Auditor, open};
use super::{open_book, transfer};
use crate::harness::{Server, eventually, first_start};

#[test]
fn a_key_is_stored_and_replaced_with_a_handover() {
    let (data, server, client) = first_start(&[]);
    let key = server.key.clone().expect("the first start prints an API key");
    eventually(|| server.log().contains("the key that signs checkpoints was generated here").then_some(()));
    open_book(&client);
    let old = Auditor::new(&client);
    assert!(server.stop().success());

    let server = Server::start(data.path());
    assert_eq!(Auditor::new(&server.client(&key)).vkey, old.vkey);
    assert!(!server.log().contains("generated here"));
    assert!(server.stop().success());

    let mut server = Server::start_with(data.path(), &["--new-proof-key"]);
    server.key = Some(key.clone());
    let client = server.client(&key);
    let new = Auditor::new(&client);
    assert_ne!(new.vkey, old.vkey);
    let keys = client.get("/v1/proofs/keys").body;
    assert_eq!(keys["retired"], serde_json::json!([old.vkey]));
    // Anybody who trusts the old key can trust the new one through the handover.
    let handover = keys["handovers"].as_str().expect("a note").trim_end().to_owned() + "\n";
    assert_eq!(open(&handover, &old.vkey).size(), open(&handover, &new.vkey).size());
    transfer(&client, 1..20);
    new.check_entry(&client.get("/v1/transfers/7/proof"));
    let handed_over = open(&handover, &old.vkey);
    assert!(handed_over.size() >= open(&old.first, &old.vkey).size());
    new.check_consistency(&client, &handover);

    // Checkpoints of the old key are proved to those who trust the new key, and not to those who trust another key.
    let out = tempfile::tempdir().expect("a directory");
    let (kept, folder) = (out.path().join("kept"), out.path().join("folder"));
    std::fs::write(&kept, &old.first).expect("it can be written");
    let (kept, named) = (kept.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    let asked = ["prove", "consistency", "--from", kept, "--out", named];
    succeeds(&finaira(&server, &asked), "starts with those");
    succeeds(&finaira(&server, &["prove", "check", named, "--vkey", &new.vkey]), "starts with the log of");
    let handovers = std::fs::read_to_string(folder.join("handovers")).expect("it is there");
    std::fs::write(folder.join("handovers"), "").expect("it can be written");
    fails(&finaira(&server, &["prove", "check", named, "--vkey", &new.vkey]), "in old-checkpoint");
    std::fs::write(folder.join("handovers"), handovers).expect("it can be written");
    // This signature is invalid.
    let (text, signature) = old.first.trim_end().rsplit_once(' ').expect("a signature");
    let (head, tail) = signature.split_at(20);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    std::fs::write(kept, format!("{text} {head}{other}{}\n", &tail[1..])).expect("it can be written");
    let asked = ["prove", "consistency", "--from", kept, "--out", "never"];
    fails(&finaira(&server, &asked), "was not signed with any key that the server ever had");
    assert!(server.stop().success());

    // From then on the new key is the stored one.
    let server = Server::start(data.path());
    assert_eq!(Auditor::new(&server.client(&key)).vkey, new.vkey);
}

#[test]
fn a_key_from_a_file_signs_only_one_history() {
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("given.key");
    let path = file.to_str().expect("a path in UTF-8");
    std::fs::write(&file, "no key\n").expect("it can be written");
    let arguments = ["--proof-key", path];
    let (status, said) = Server::failing_start_with(&data.path().join("a"), &arguments);
    assert!(
        !status.success() && said.contains("contains no key; expected 32 bytes in base64 on its last line"),
        "{said}"
    );

    std::fs::write(&file, "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n").expect("it can be written");
    let server = Server::start_with(&data.path().join("a"), &arguments);
    let key = server.key.clone().expect("the first start prints an API key");
    let given = Auditor::new(&server.client(&key));
    assert!(!server.log().contains("generated here"), "{}", server.log());
    assert!(!data.path().join("a/keys/proof.key").is_file(), "a given key is not stored");
    assert!(server.stop().success());
    let server = Server::start_with(&data.path().join("a"), &arguments);
    assert_eq!(Auditor::new(&server.client(&key)).vkey, given.vkey);
    assert!(server.stop().success());
    // Forgetting the option does not silently generate another key.
    let (status, said) = Server::failing_start(&data.path().join("a"));
    assert!(!status.success() && said.contains("pass it with --proof-key"), "{said}");

    // The list of keys in another journal's folder tells what the key signed before.
    let server = Server::start(&data.path().join("b"));
    assert!(server.stop().success());
    let read = |path: &str| std::fs::read_to_string(data.path().join(path)).expect("it is there");
    let (its, own) = (read("a/keys/proof.vkeys"), read("b/keys/proof.vkeys"));
    std::fs::write(data.path().join("b/keys/proof.vkeys"), its + &own).expect("it can be written");
    let (status, said) = Server::failing_start_with(&data.path().join("b"), &arguments);
    assert!(!status.success() && said.contains("every history needs its own key"), "{said}");
}

#[test]
fn a_key_that_is_lost_damaged_or_retired_does_not_sign() {
    let data = tempfile::tempdir().expect("a directory");
    assert!(Server::start(data.path()).stop().success());
    let (file, dir) = (data.path().join("keys/proof.key"), data.path().to_str().expect("a path in UTF-8"));
    let kept = std::fs::read(&file).expect("it is there");
    assert!(Server::start_with(data.path(), &["--new-proof-key"]).stop().success());
    let present = std::fs::read(&file).expect("it is there");
    let mut flipped = present.clone();
    let place = flipped.len() - 10;
    flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
    for (bytes, expected) in
        [(Some(&flipped), "is damaged"), (Some(&kept), "--new-proof-key"), (None, "--new-proof-key")]
    {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).expect("it can be written"),
            None => std::fs::remove_file(&file).expect("it is there"),
        }
        let (status, said) = Server::failing_start(data.path());
        assert!(!status.success() && said.contains("proof.key") && said.contains(expected), "{said}");
        let (holds, said) = crate::harness::finaira(&["verify", dir]);
        // If the file is missing, the key may be stored elsewhere.
        assert!(holds == bytes.is_none() && said.contains("proof.key"), "{said}");
    }
    std::fs::write(&file, present).expect("it can be written");
    let (holds, said) = crate::harness::finaira(&["verify", dir]);
    assert!(holds, "{said}");
    assert!(Server::start(data.path()).stop().success());
}

#[test]
fn a_server_can_start_proofs_later() {
    let (data, server, client) = first_start(&["--proofs", "off"]);
    let key = server.key.clone().expect("the first start prints an API key");
    open_book(&client);
    transfer(&client, 1..300);
    for path in ["checkpoint", "keys", "entries/1", "consistency?from=1", "tile/0/000.p/1"] {
        assert_eq!(client.get(&format!("/v1/proofs/{path}")).code(), "proofs_off", "{path}");
    }
    assert_eq!(client.get("/v1/transfers/7/proof").code(), "proofs_off");
    assert!(!data.path().join("keys/proof.key").is_file());
    assert!(server.stop().success());
    let server = Server::start(data.path());
    let client = server.client(&key);
    let auditor = Auditor::new(&client);
    auditor.check_entry(&client.get("/v1/transfers/7/proof"));
    auditor.check_tiles(&client);
}
