//! How a start and a stop treat the files on disk.

use fixtures::WALLET;
use serde_json::json;

use crate::harness::Server;

#[test]
fn a_clean_stop_answers_accepted_requests_and_leaves_no_torn_tail() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.activate(WALLET).status, 201);
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

    // Another format version, with a matching checksum.
    let segment = data.path().join("journal/segment-00000001");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[8] = 99;
    let checksum = crc32c::crc32c(&bytes[..96]);
    bytes[96..100].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&segment, &bytes).expect("a segment");
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    let refusal = format!("journal format version 99; this release reads versions up to {}", journal::FORMAT_VERSION);
    assert!(errors.contains(&refusal), "{errors}");
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
    assert_eq!(std::fs::read(&segment).expect("a segment"), bytes, "a failed start changes nothing");
    std::fs::write(&segment, intact).expect("a segment");
    std::fs::remove_dir_all(data.path().join("keys")).expect("the keys can be removed");
    let (status, errors) = Server::failing_start(data.path());
    assert!(!status.success());
    assert!(errors.contains("the key store is empty although the journal has entries"), "{errors}");
}

#[test]
fn keys_without_their_journal_start_no_new_journal() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    assert!(server.stop().success());
    let (journal, away) = (data.path().join("journal"), data.path().join("away"));
    std::fs::rename(&journal, &away).expect("it is there");
    let (status, said) = Server::failing_start(data.path());
    assert!(!status.success() && said.contains("has no journal, but there are keys that belong to one"), "{said}");
    assert!(!journal.is_dir(), "no new journal was created");
    std::fs::rename(&away, &journal).expect("it is there");
    let server = Server::start(data.path());
    assert_eq!(server.client(&key).get("/v1/ledgers").status, 200);
    assert!(server.stop().success());
}

#[test]
fn a_directory_behind_a_dangling_link_cannot_be_used() {
    let data = tempfile::tempdir().expect("a directory");
    let link = data.path().join("link");
    std::os::unix::fs::symlink(data.path().join("unmounted"), &link).expect("a link");
    for path in [link.clone(), link.join("below"), "/proc/nothing".into()] {
        let (status, said) = Server::failing_start(&path);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("cannot use") && said.contains("No such file"), "{said}");
    }
}
