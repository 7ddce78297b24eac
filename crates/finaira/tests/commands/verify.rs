//! `finaira verify` confirms intact data, and reports damage with its place and what to do.

use std::path::Path;

use api::packed::{EVENTS_MAX, TransferRecord};
use fixtures::WALLET;
use proof::{Checkpoint, SigningKey};
use serde_json::json;
use types::{Digest, Origin};

use crate::guard;
use crate::harness::{Server, eventually, finaira, first_start};
use crate::mounted::Mounted;

/// Creates the directory of a stopped server, with payments, and with transfers for more than one generation of the
/// index.
fn prepare(data: &Path) {
    let server = Server::start(data);
    let client = server.client(server.key.as_deref().expect("the first start prints an API key"));
    assert_eq!(client.activate(WALLET).status, 201);
    for id in 1..=9_u128 {
        let funded = client.pay(id, "top_up", 1_000, &json!({"customer": format!("c{}", id % 3)}));
        assert_eq!(funded.text("status"), "posted", "{funded:?}");
    }
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    assert_eq!(client.post("/v1/ledgers/1/indexes", &json!({"fields": ["code"]})).status, 200);
    let accounts = json!({"accounts": [{"id": "10", "ledger": 1, "code": 7}, {"id": "20", "ledger": 1, "code": 7}]});
    assert_eq!(client.post("/v1/accounts/batch", &accounts).status, 200);
    for first in (0..280_000).step_by(EVENTS_MAX) {
        let transfer = |number: usize| TransferRecord {
            id: 1_000 + number as u128,
            debit_account_id: 10,
            credit_account_id: 20,
            amount: 1 + (number % 89) as u128,
            ledger: 1,
            code: 1,
            ..TransferRecord::decode(&[0; 128])
        };
        let batch: Vec<u8> = (first..first + EVENTS_MAX).flat_map(|number| transfer(number).encode()).collect();
        client.packed("/v1/packed/create-transfers", &batch);
    }
    eventually(|| (client.get("/v1/index").body["idle"] == true).then_some(()));
    assert!(server.stop().success());
}

fn verify(data: &Path, more: &[&str]) -> (bool, String) {
    finaira(&[&["verify", data.to_str().expect("a path")], more].concat())
}

fn name_of(file: &Path) -> String {
    file.file_name().expect("a name").to_string_lossy().into_owned()
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[offset] ^= 1;
    std::fs::write(file, bytes).expect("a file");
}

/// Returns all files below a directory with their bytes, except locks and the command's own temporary files.
fn contents(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in std::fs::read_dir(data).expect("a directory") {
        for file in std::fs::read_dir(folder.expect("a directory").path()).expect("a directory") {
            let path = file.expect("a file").path();
            if path.is_file() && path.file_name().is_some_and(|name| name != "lock") {
                all.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn everything_is_checked_and_nothing_is_changed() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    prepare(data);
    let before = contents(data);
    let (holds, said) = verify(data, &[]);
    assert!(holds && said.contains("All checks passed."), "{said}");
    for line in
        ["state digests  ", "books, with debits against credits", "keys of personal data", "generations rebuilt"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(contents(data) == before, "nothing is changed");

    // Damage derived files: all other checks still pass.
    let index: Vec<_> = std::fs::read_dir(data.join("index")).expect("a directory").flatten().collect();
    let table = |prefix: &str| {
        let named = |file: &&std::fs::DirEntry| file.file_name().to_string_lossy().starts_with(prefix);
        index.iter().find(named).expect("a generation is complete").path()
    };
    let damages = [(table("run-"), 5_000), (table("field-code"), 4_200)];
    damages.iter().for_each(|(file, offset)| flip(file, *offset));
    let extra = data.join("index/run-00000007-00000007");
    std::fs::copy(table("run-"), &extra).expect("a file");
    let proofs: Vec<_> = std::fs::read_dir(data.join("proofs")).expect("a directory").flatten().collect();
    let is_large = |file: &&std::fs::DirEntry| file.metadata().is_ok_and(|about| about.len() > 1 << 20);
    let leaves = proofs.iter().find(is_large).expect("the hashes of the leaves").path();
    flip(&leaves, 32 * 1_000 + 5);
    // Also use the keys of another journal, which cannot be rebuilt.
    let owner = data.join("keys/journal");
    flip(&owner, 3);
    let (holds, said) = verify(data, &[]);
    assert!(!holds && said.contains("delete the file and start"), "{said}");
    for (file, offset) in &damages {
        let expected = format!(
            "FOUND in the index of tenant 1: {} differs from what the log gives, from byte {offset} on",
            name_of(file)
        );
        assert!(said.contains(&expected), "{said}");
        flip(file, *offset);
    }
    assert!(said.contains("run-00000007-00000007 is not part of the index that the log gives"), "{said}");
    assert!(
        said.contains("FOUND in the keys of tenant 1: journal names") && !said.contains("FOUND in the journal"),
        "{said}"
    );
    assert!(said.contains("5 findings, 1 of them in data that cannot be rebuilt"), "{said}");
    let hash = format!("FOUND in the proofs of tenant 1: {} of the proofs is damaged at byte 32000", name_of(&leaves));
    assert!(said.contains(&hash), "{said}");
    std::fs::remove_file(extra).expect("a file");
    flip(&owner, 3);
    flip(&leaves, 32 * 1_000 + 5);

    // Damage the journal: the report names the first damage by place and sequence, and also damage in later segments.
    let (second, fourth) = (data.join("journal/segment-00000002"), data.join("journal/segment-00000004"));
    flip(&second, 5_000);
    flip(&fourth, 20);
    let (holds, said) = verify(data, &[]);
    assert!(
        !holds && said.contains("FOUND in the journal of tenant 1: segment-00000002 is damaged at byte 4096 (sequence"),
        "{said}"
    );
    assert!(said.contains("segment-00000004 is damaged at byte 0"), "{said}");
    assert!(said.contains("docs/runbooks/damaged-journal.md") && !said.contains("FOUND in the index"), "{said}");
    flip(&second, 5_000);
    flip(&fourth, 20);
    assert!(contents(data) == before, "nothing was changed");
}

#[test]
fn a_directory_that_cannot_be_verified_is_reported() {
    let data = tempfile::tempdir().expect("a directory");
    let (holds, said) = verify(&data.path().join("nowhere"), &[]);
    assert!(!holds && said.contains("nowhere"), "{said}");
    assert!(!data.path().join("nowhere").is_dir());
    let server = Server::start(data.path());
    let (holds, said) = verify(data.path(), &[]);
    assert!(!holds && said.contains("in use by another process"), "{said}");
    server.kill();
    let (holds, said) = verify(data.path(), &[]);
    assert!(holds, "{said}");
    let keys = data.path().join("keys");
    std::fs::rename(keys.join("root.key"), data.path().join("root.key")).expect("a file");
    let (holds, said) = verify(data.path(), &[]);
    assert!(
        !holds && said.contains("FOUND in the keys of tenant 1: journal, root.key or keys.log is missing"),
        "{said}"
    );
    let (holds, said) = verify(data.path(), &["--checkpoint", "/nowhere/checkpoint"]);
    assert!(!holds && said.contains("/nowhere/checkpoint"), "{said}");
    let (holds, said) = verify(data.path(), &["--key", "x"]);
    assert!(!holds && said.contains("--key"), "{said}");
}

#[test]
fn a_checkpoint_reveals_that_the_end_is_missing() {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let cut = client.get("/v1/events?limit=1000").body["items"].as_array().expect("a page").len();
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 2, "asset": "USD/2"})).status, 201);
    assert!(server.stop().success());
    let (holds, said) = verify(data.path(), &[]);
    let ends = |said: &str| {
        let line = said.lines().find(|line| line.starts_with("  tenant 1 ")).expect("a line about the journal");
        let [_, _, last, "0", root] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        (last.parse::<u64>().expect("a number"), root.parse::<Digest>().expect("a root"))
    };
    assert!(holds, "{said}");
    let (last, root) = ends(&said);
    assert_eq!(last, cut as u64 + 1);
    let owner = std::fs::read(data.path().join("keys/journal")).expect("a file");
    let owner = Origin::new(u128::from_le_bytes(owner.try_into().expect("16 bytes")));
    let key = SigningKey::new(&format!("finaira/{owner}/0"), &[7; 32]).expect("a name");
    let vkey = key.verifier().to_string();
    let file = data.path().join("kept.txt");
    let sign = |size, root: Digest| {
        let origin = key.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size, root: *root.as_bytes(), extensions: Vec::new() };
        std::fs::write(&file, checkpoint.sign(&[&key]).note.to_string()).expect("a file");
    };
    let check =
        |data: &Path, vkey: &str| verify(data, &["--checkpoint", file.to_str().expect("a path"), "--key", vkey]);
    sign(last, root);
    let (holds, said) = check(data.path(), &vkey);
    assert!(holds && said.contains("checkpoints, each with a valid signature"), "{said}");
    // The checkpoint was signed with another key, and then with an unknown one.
    let other = SigningKey::new(&format!("finaira/{owner}/0"), &[8; 32]).expect("a name").verifier().to_string();
    let (holds, said) = check(data.path(), &other);
    assert!(!holds && said.contains("cannot use the checkpoint"), "{said}");
    let (holds, said) = verify(data.path(), &["--checkpoint", file.to_str().expect("a path")]);
    assert!(!holds && said.contains("cannot use the checkpoint"), "{said}");
    // The server's own last checkpoint needs no --key, because the server's keys are beside the journal.
    let own = data.path().join("keys/proof.checkpoint");
    let kept = data.path().join("own.txt");
    std::fs::copy(&own, &kept).expect("a checkpoint was signed");
    let (holds, said) = verify(data.path(), &["--checkpoint", kept.to_str().expect("a path")]);
    assert!(holds && said.contains("checkpoint: checkpoints, each with a valid signature"), "{said}");
    let counted = said.lines().find(|line| line.contains("checkpoint: checkpoints, each with a valid signature"));
    assert!(
        counted.is_some_and(|line| line.ends_with(" 3")),
        "that one, the server's own, and the one of the system: {said}"
    );
    // The checkpoint covers more entries than there are, and then other entries.
    sign(last + 5, root);
    let (holds, said) = check(data.path(), &vkey);
    assert!(
        !holds && said.contains(&format!("the journal has {last} of that history: the last 5 are missing")),
        "{said}"
    );
    assert!(said.contains("1 findings, 1 of them in data that cannot be rebuilt"), "{said}");
    sign(last - 1, root);
    let (holds, said) = check(data.path(), &vkey);
    assert!(!holds && said.contains("but their root differs"), "{said}");

    // A history that continues as another one has the entries up to that point, and no later ones.
    let restored = tempfile::tempdir().expect("a directory");
    let target = restored.path().to_str().expect("a path");
    let from = data.path().to_str().expect("a path");
    let (done, said) = finaira(&["restore", "--from", from, "--to", target, "--to-seq", &cut.to_string()]);
    assert!(done, "{said}");
    sign(last, root);
    let (holds, said) = check(restored.path(), &vkey);
    assert!(
        !holds && said.contains(&format!("the journal has {cut} of that history: the last 1 are missing")),
        "{said}"
    );
    let (holds, said) = verify(restored.path(), &[]);
    assert!(
        holds && said.contains("histories that follow one another  ") && said.contains("there are no keys"),
        "{said}"
    );
    let departed = root_at(from, cut);
    sign(cut as u64, departed);
    let (holds, said) = check(restored.path(), &vkey);
    assert!(holds, "{said}");
    let stranger = SigningKey::new("finaira/somebody/0", &[7; 32]).expect("a name");
    let checkpoint =
        Checkpoint { origin: "finaira/somebody/0".to_owned(), size: 1, root: *root.as_bytes(), extensions: Vec::new() };
    std::fs::write(&file, checkpoint.sign(&[&stranger]).note.to_string()).expect("a file");
    let (holds, said) = check(data.path(), &stranger.verifier().to_string());
    assert!(!holds && said.contains("not one of this journal's histories"), "{said}");
}

/// Returns the root over the first entries, as another restore to that point prints it.
fn root_at(from: &str, cut: usize) -> Digest {
    let restored = tempfile::tempdir().expect("a directory");
    let target = restored.path().to_str().expect("a path");
    let (done, said) = finaira(&["restore", "--from", from, "--to", target, "--to-seq", &cut.to_string()]);
    assert!(done, "{said}");
    let (_, root) = said.split_once("root ").expect("the output has the root");
    root.get(..64).expect("a root").parse().expect("a root")
}

#[test]
fn the_only_segment_without_its_header_is_damaged_and_not_missing() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, ..) = guard::start(data.path(), &[]);
    assert!(server.stop().success());
    let other = tempfile::tempdir().expect("a directory");
    let to = other.path().join("restored").display().to_string();
    flip(&data.path().join("journal/segment-00000001"), 20);
    let (holds, said) = verify(data.path(), &[]);
    assert!(!holds && said.contains("segment-00000001 is damaged at byte 0"), "{said}");
    let (done, said) = finaira(&["restore", "--from", &data.path().display().to_string(), "--to", &to]);
    assert!(!done && said.contains("segment-00000001 is damaged at byte 0"), "{said}");
}

#[test]
fn a_read_only_medium_can_be_verified_and_restored_from() {
    let Some(disk) = Mounted::of_bytes(40 << 20) else { return };
    let data = disk.path.join("data");
    let (server, client, _) = guard::start(&data, &["--disk-reserve", "0"]);
    assert!(matches!(guard::send(&client, 1_000), Some(guard::Sent::Taken)));
    assert!(server.stop().success());
    // A copy on such a medium may lack the lock file.
    std::fs::remove_file(data.join("index/lock")).expect("it is there");
    disk.make_read_only();
    let (holds, said) = verify(&data, &[]);
    assert!(holds && said.contains("All checks passed."), "{said}");
    let other = tempfile::tempdir().expect("a directory");
    let to = other.path().join("restored");
    let (restored, said) =
        finaira(&["restore", "--from", &data.display().to_string(), "--to", &to.display().to_string()]);
    assert!(restored, "{said}");
    assert!(verify(&to, &[]).0);
    let (status, said) = Server::failing_start(&data);
    assert!(!status.success() && said.contains("Read-only file system"), "{said}");
}

#[test]
fn a_full_disk_ends_the_verification() {
    let data = tempfile::tempdir().expect("a directory");
    prepare(data.path());
    let (journal, mut bytes) = (data.path().join("journal"), 0);
    for file in std::fs::read_dir(&journal).expect("a directory") {
        bytes += file.expect("a file").metadata().expect("it is there").len();
    }
    let Some(disk) = Mounted::of_bytes(bytes + (3 << 20)) else { return };
    let copy = disk.path.join("data");
    std::fs::create_dir_all(copy.join("journal")).expect("a directory");
    for file in std::fs::read_dir(&journal).expect("a directory") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), copy.join("journal").join(file.file_name())).expect("a copy");
    }
    let (holds, said) = verify(&copy, &[]);
    assert!(!holds && said.contains("No space left on device"), "{said}");
}
