//! Copies of a running server's journal: the files are equal whatever is killed, and nothing else is ever overwritten.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use api::packed::{AccountRecord, EVENTS_MAX, TransferRecord};
use fixtures::WALLET;
use serde_json::{Value, json};

use crate::guard;
use crate::harness::{Client, Server, eventually, first_start};

const OTHER_CONTENT: Option<i32> = Some(3);

/// A `finaira backup --follow` process, killed when dropped.
struct Follower {
    child: Child,
    /// The lines of its standard error.
    lines: Arc<Mutex<Vec<String>>>,
}

fn command(address: &str, key: &str, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.args(["backup", "--server", address, "--api-key", key, "--to"]).arg(to);
    command
}

fn back_up(address: &str, key: &str, to: &Path) -> Output {
    command(address, key, to).output().expect("the binary runs")
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn fails(output: &Output, code: Option<i32>, told: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), code, "{error}");
    assert!(error.contains(told), "the error contains `{told}`: {error}");
}

impl Follower {
    fn start(address: &str, key: &str, to: &Path) -> Self {
        let mut command = command(address, key, to);
        let mut child = command
            .args(["--follow", "--report-every", "1"])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                shared.lock().expect("no thread panics while it has the lock").push(line);
            }
        });
        Self { child, lines }
    }

    fn text(&self) -> String {
        self.lines.lock().expect("no thread panics while it has the lock").join("\n")
    }

    fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    fn stop(mut self) -> Output {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("standard output is piped");
        std::io::Read::read_to_string(&mut pipe, &mut stdout).expect("text");
        let status = self.child.wait().expect("the process ends");
        Output { status, stdout: stdout.into_bytes(), stderr: self.text().into_bytes() }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Creates a ledger with two accounts.
fn prepare(client: &Client) {
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    let blank = AccountRecord::decode(&[0; 128]);
    let accounts = [1, 2].map(|id| AccountRecord { id, ledger: 1, code: 1, ..blank }.encode());
    client.packed("/v1/packed/create-accounts", &accounts.concat());
}

/// A batch of transfers with ids from `first` on.
fn transfers(first: u128, count: usize) -> Vec<u8> {
    let blank = TransferRecord::decode(&[0; 128]);
    let transfer = |id| {
        let accounts = TransferRecord { debit_account_id: 1, credit_account_id: 2, ..blank };
        TransferRecord { id, amount: 1, ledger: 1, code: 1, ..accounts }.encode()
    };
    (first..).take(count).flat_map(transfer).collect()
}

/// The used segments of a data directory: each without the zeros after its last frame, and with the length of its file.
fn segments(data: &Path) -> BTreeMap<String, (Vec<u8>, u64)> {
    let mut found = BTreeMap::new();
    for item in std::fs::read_dir(data.join("journal")).expect("a journal") {
        let item = item.expect("an item");
        let name = item.file_name().into_string().expect("a name");
        if !name.starts_with("segment-") {
            continue;
        }
        let mut bytes = std::fs::read(item.path()).expect("a segment");
        let length = bytes.len() as u64;
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if used > 0 {
            found.insert(name, (bytes, length));
        }
    }
    found
}

#[track_caller]
fn same_segments(copy: &Path, original: &Path) {
    let (copied, written) = (segments(copy), segments(original));
    assert_eq!(copied.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
    for (name, (bytes, length)) in &copied {
        let (expected, file_bytes) = &written[name];
        assert!(bytes == expected, "{name}: {} bytes of {}", bytes.len(), expected.len());
        assert_eq!(length, file_bytes, "{name}");
    }
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for item in std::fs::read_dir(from).expect("a directory") {
        let item = item.expect("an item");
        let (from, to) = (item.path(), to.join(item.file_name()));
        if item.file_type().expect("a type").is_dir() {
            copy_directory(&from, &to);
        } else {
            std::fs::copy(from, to).expect("a copy");
        }
    }
}

fn durable(client: &Client) -> u64 {
    client.get("/v1/journal/segments").body["durable"]["sequence"].as_u64().expect("a sequence")
}

/// The server's state of everything that these tests do.
fn told(client: &Client) -> Vec<Value> {
    let mut told = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/events?limit=1000{cursor}")).body;
        let empty = page["items"].as_array().is_none_or(Vec::is_empty);
        cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
        told.push(page);
        if empty {
            break;
        }
    }
    for path in ["/v1/accounts/1", "/v1/accounts/2/transfers?limit=1000", "/v1/ledgers/1/trial-balance"] {
        told.push(client.get(path).body);
    }
    told
}

/// The personal data of a payment. The read leaves an entry.
fn personal(client: &Client) -> Value {
    client.get("/v1/payments/2/personal-data").body["attributes"].clone()
}

#[test]
fn a_backup_is_the_journal_byte_for_byte_and_a_server_starts_on_it() {
    let data = tempfile::tempdir().expect("a directory");
    let copies = tempfile::tempdir().expect("a directory");
    let to = copies.path().join("some/where");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    prepare(&client);
    assert_eq!(client.activate(WALLET).status, 201);
    client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    let private = json!({"customer": "alice", "recipient": "bob", "email": "alice@example.org"});
    assert_eq!(client.pay(2, "transfer", 700, &private).text("status"), "posted");
    let first = succeeds(&back_up(&server.address, &key, &to));
    assert!(first.contains("has everything up to sequence"), "{first}");
    for batch in 0..4 {
        client.packed("/v1/packed/create-transfers", &transfers(100 + 10_000 * batch, EVENTS_MAX));
    }
    let attributes = personal(&client);
    assert_eq!(attributes["email"], "alice@example.org");
    let last = durable(&client);
    let second = succeeds(&back_up(&server.address, &key, &to));
    let copied = first.split_once("sequence ").and_then(|(_, rest)| rest.split_once(';')).expect("a number").0;
    let before: u64 = copied.replace(',', "").parse().expect("a number");
    let [shown, more] = [last, last - before].map(|number| indicatif::HumanCount(number).to_string());
    assert!(second.contains(&format!("everything up to sequence {shown}; {more} entries copied")), "{second}");
    let third = succeeds(&back_up(&server.address, &key, &to));
    assert!(third.contains("; 0 entries copied"), "{third}");
    assert!(segments(data.path()).len() > 3, "the copy has several segments");
    same_segments(&to, data.path());

    let expected = told(&client);
    assert!(server.stop().success());
    copy_directory(&data.path().join("keys"), &to.join("keys"));
    let server = Server::start(&to);
    assert_eq!(server.key, None, "a server on the copy knows the API key");
    let log = server.log();
    assert!(!log.contains("torn"), "{log}");
    let client = server.client(&key);
    assert!(told(&client) == expected);
    assert_eq!(personal(&client), attributes);
    client.packed("/v1/packed/create-transfers", &transfers(900_000, 10));
    assert_eq!(durable(&client), last + 11, "the server on the copy accepts new transfers");

    // Now the copy is the data directory of a server.
    let other = Server::start(data.path());
    fails(&back_up(&other.address, &key, &to), OTHER_CONTENT, "is the data directory of a server");
}

/// Sends batches, each again and again until it is acknowledged, until `over` is set.
fn load(client: &Client, over: &AtomicBool, mut first: u128) -> u128 {
    const BATCH: usize = 500;
    while !over.load(Ordering::Relaxed) {
        if client.try_packed("/v1/packed/create-transfers", &transfers(first, BATCH)).is_some() {
            first += BATCH as u128;
        }
    }
    first
}

#[track_caller]
fn wait_for_load(client: &Client) {
    let begun = durable(client);
    eventually(|| (durable(client) > begun + 4_000).then_some(()));
}

/// Waits until a follower reports that it has everything.
#[track_caller]
fn wait_for_copy(follower: &Follower, last: u64) {
    let synced = format!("synced to sequence {}", indicatif::HumanCount(last));
    eventually(|| {
        let text = follower.text();
        text.lines().any(|line| line.starts_with("lag 0 entries, 0 B, 0.") && line.ends_with(&synced)).then_some(())
    });
}

/// The server writes all the time while the follower and the server are killed in turn. When both are idle, the files
/// are equal. Then the server is killed for good under load: the copy has everything that the follower reported, and
/// another server continues from it.
#[test]
fn a_follower_survives_kills_of_both_sides_under_load() {
    let data = tempfile::tempdir().expect("a directory");
    let to = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let address = server.address.clone();
    let port = address.trim_start_matches("http://").to_owned();
    let client = server.client(&key);
    prepare(&client);
    let follow = || Follower::start(&address, &key, to.path());

    let over = AtomicBool::new(false);
    let (next, server) = std::thread::scope(|scope| {
        let loader = scope.spawn(|| load(&client, &over, 1));
        let mut follower = follow();
        for round in 0..4 {
            wait_for_load(&client);
            eventually(|| follower.text().contains("synced to").then_some(()));
            if round % 2 == 0 {
                follower.kill();
                follower = follow();
            } else {
                server.kill();
                // The follower notices that the server is unreachable.
                eventually(|| follower.text().contains("trying again in").then_some(()));
                server = Server::start_with(data.path(), &["--listen", &port]);
            }
        }
        over.store(true, Ordering::Relaxed);
        let next = loader.join().expect("the load thread did not panic");
        wait_for_copy(&follower, durable(&client));
        let stopped = succeeds(&follower.stop());
        assert!(stopped.starts_with("stopped; "), "{stopped}");
        (next, server)
    });
    assert!(next > 10_000, "the load sent enough transfers: {next}");
    assert!(segments(to.path()).len() > 2, "the copy has several segments");
    same_segments(to.path(), data.path());

    // Copy the keys now: they include the last checkpoint, and the copy may miss the end of what follows.
    let keys = tempfile::tempdir().expect("a directory");
    copy_directory(&data.path().join("keys"), &keys.path().join("keys"));
    over.store(false, Ordering::Relaxed);
    let follower = std::thread::scope(|scope| {
        scope.spawn(|| load(&client, &over, next));
        let follower = follow();
        wait_for_load(&client);
        server.kill();
        over.store(true, Ordering::Relaxed);
        follower
    });
    eventually(|| follower.text().contains(" s; the copy is ").then_some(()));
    let stopped = succeeds(&follower.stop());
    let copied = segments(to.path());
    let written = segments(data.path());
    for (name, (bytes, length)) in &copied {
        let (original, file_bytes) = &written[name];
        assert!(original.starts_with(bytes), "{name}");
        assert_eq!(length, file_bytes, "{name}");
    }
    copy_directory(&keys.path().join("keys"), &to.path().join("keys"));
    let server = Server::start(to.path());
    assert!(!server.log().contains("torn"), "{}", server.log());
    let client = server.client(&key);
    let last = indicatif::HumanCount(durable(&client));
    assert!(stopped.trim_end().ends_with(&format!("up to sequence {last}")), "{stopped}");
    let looked_up: Vec<u8> = (1..next).step_by(997).flat_map(u128::to_le_bytes).collect();
    assert_eq!(
        client.packed("/v1/packed/lookup-transfers", &looked_up).len() / 128,
        looked_up.len() / 16,
        "everything that was acknowledged before the copy was last complete"
    );
}

#[test]
fn other_directories_are_never_overwritten_or_continued() {
    let data = tempfile::tempdir().expect("a directory");
    let copies = tempfile::tempdir().expect("a directory");
    let to = copies.path().join("copy");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    prepare(&client);
    client.packed("/v1/packed/create-transfers", &transfers(1, 100));
    succeeds(&back_up(&server.address, &key, &to));
    let kept = segments(&to);

    fails(&back_up(&server.address, "fin_wrong", &to), Some(1), "invalid_api_key");
    fails(&back_up("ftp://localhost", &key, &to), Some(2), "expected http:// or https://");
    fails(&back_up(&server.address, &key, data.path()), OTHER_CONTENT, "is the data directory of a server");
    let follower = Follower::start(&server.address, &key, &to);
    wait_for_copy(&follower, durable(&client));
    fails(&back_up(&server.address, &key, &to), Some(1), "is in use by another process");
    succeeds(&follower.stop());
    let full = copies.path().join("full");
    std::fs::create_dir_all(full.join("journal")).expect("a directory");
    std::fs::write(full.join("journal/notes.txt"), "mine").expect("a file");
    fails(&back_up(&server.address, &key, &full), OTHER_CONTENT, "notes.txt");

    // The server has another origin.
    let other_data = tempfile::tempdir().expect("a directory");
    let other = Server::start(other_data.path());
    let other_key = other.key.clone().expect("the first start prints an API key");
    prepare(&other.client(&other_key));
    other.client(&other_key).packed("/v1/packed/create-transfers", &transfers(1, 500));
    fails(
        &back_up(&other.address, &other_key, &to),
        OTHER_CONTENT,
        "contains a different history than the server: segment 1 has",
    );

    // The server has the same origin, but started from an older copy of its directory and wrote other entries. First it
    // has fewer entries than the copy, then more.
    assert!(server.stop().success());
    let older = copies.path().join("older");
    copy_directory(data.path(), &older);
    let server = Server::start(data.path());
    server.client(&key).packed("/v1/packed/create-transfers", &transfers(1_000, 100));
    succeeds(&back_up(&server.address, &key, &to));
    let newer = segments(&to);
    let fork = Server::start(&older);
    fails(&back_up(&fork.address, &key, &to), OTHER_CONTENT, "but the server with");
    fork.client(&key).packed("/v1/packed/create-transfers", &transfers(2_000, 300));
    fails(&back_up(&fork.address, &key, &to), OTHER_CONTENT, "they differ from byte");
    assert!(segments(&to) == newer && newer != kept, "the copy is unchanged");

    // Bytes of an interrupted copy after its mark are removed even if the server cannot be reached.
    let (name, (bytes, _)) = newer.last_key_value().expect("a segment");
    let segment = std::fs::OpenOptions::new().write(true).open(to.join("journal").join(name)).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&segment, b"torn", bytes.len() as u64 + 99).expect("it is written");
    let nowhere = back_up("http://127.0.0.1:9", &key, &to);
    fails(&nowhere, Some(4), "cannot reach http://127.0.0.1:9");
    fails(&nowhere, Some(4), "has everything up to sequence");
    assert!(segments(&to) == newer);
}

#[test]
fn the_routes_report_what_they_expect() {
    let (_data, server, client) = first_start(&[]);
    let listed = client.get("/v1/journal/segments").body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&listed["items"][0]["number"], &listed["items"][0]["first_sequence"]), (&json!(1), &json!(1)));
    assert_eq!(listed["items"][0]["bytes"], 1_048_576);
    let end = listed["durable"]["offset"].as_u64().expect("an offset");
    for (path, told) in [
        ("/v1/journal/segments?from=0", "expected a whole number from 1 to 1048575"),
        ("/v1/journal/segments?limit=1001", "at most 1000"),
        ("/v1/journal/segments?after=1", "`after` needs `wait_ms`"),
        ("/v1/journal/segments?wait_ms=1", "`wait_ms` needs `after`"),
        ("/v1/journal/segments?after=1&wait_ms=30001", "expected a whole number from 0 to 30000"),
        ("/v1/journal/segments?cursor=1", "there is no parameter `cursor`"),
        ("/v1/journal/segments/x", "found `x`, expected a whole number from 1 to 1048575"),
        ("/v1/journal/segments/0", "found `0`"),
        ("/v1/journal/segments/2", "found segment 2, which is not durable"),
        ("/v1/journal/segments/1?offset=-1", "expected a whole number from 0"),
        ("/v1/journal/segments/1?bytes=0", "expected a whole number from 1 to 4194304"),
        ("/v1/journal/segments/1?bytes=4194305", "expected a whole number from 1 to 4194304"),
        (&format!("/v1/journal/segments/1?offset={}", end + 1), "the journal ends in segment 1 at byte"),
    ] {
        let reply = client.get(path);
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        assert!(reply.text("detail").contains(told), "{path}: {reply:?}");
    }
    assert_eq!(server.client("").get("/v1/journal/segments").code(), "invalid_api_key");
    // Without new entries, the response comes after the given time and is the same.
    let last = durable(&client);
    assert_eq!(client.get(&format!("/v1/journal/segments?after={last}&wait_ms=50")).body, listed);
    // With new entries, the response comes at once.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.get(&format!("/v1/journal/segments?after={last}&wait_ms=30000")).body);
        prepare(&client);
        let told = waiting.join().expect("an answer");
        assert!(told["durable"]["sequence"].as_u64() > Some(last), "{told}");
    });
}

#[test]
fn a_backup_stops_at_damage_that_the_server_cannot_read() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = guard::start(data.path(), &[]);
    guard::fill(&client, data.path(), 2);
    // Damage the header of a frame, so that the server does not know where the frame ends.
    let segment = data.path().join("journal/segment-00000002");
    let bytes = std::fs::read(&segment).expect("it is there");
    let headers: Vec<usize> = (4_096..bytes.len()).filter(|&at| bytes[at..].starts_with(b"FNF1")).collect();
    let file = std::fs::File::options().write(true).open(&segment).expect("it is there");
    let at = headers[1] + 20;
    file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("it is written");
    let to = tempfile::tempdir().expect("a directory");
    let output = back_up(&server.address, &key, &to.path().join("copy"));
    fails(&output, Some(4), "has everything up to sequence");
    assert!(server.stop().success());
}
