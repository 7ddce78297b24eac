//! A disk that fails under the real binary: a library between it and the system lets calls on the journal's files fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::guard::{AT_ONCE, Sent, prepare, received, send};
use crate::harness::{Server, finaira};

/// The library, and the file that orders a fault while it is there.
struct Faults {
    _directory: tempfile::TempDir,
    library: PathBuf,
    order: PathBuf,
}

impl Faults {
    fn build() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (library, order) = (directory.path().join("faults.so"), directory.path().join("order"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands/disk_faults/faults.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-o"]).arg(&library).arg(source).arg("-ldl");
        let built = cc.output().expect("cc runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { _directory: directory, library, order }
    }

    /// A server under which the disk works, as yet.
    fn start(&self, data: &Path) -> Server {
        Server::start_in(data, &[], &self.environment())
    }

    /// What a start says that is expected to fail.
    fn failing_start(&self, data: &Path) -> (ExitStatus, String) {
        Server::failing_start_in(data, &[], &self.environment())
    }

    fn environment(&self) -> [(&str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("FAULT_ORDER", &self.order)]
    }

    fn order(&self, fault: &str) {
        fs::write(&self.order, fault).expect("it can be written");
    }

    fn heal(&self) {
        fs::remove_file(&self.order).expect("it is there");
    }
}

/// What the next start and a check of the whole directory say after a server that failed: all that was acknowledged, and of
/// the transfers from `acknowledged` on all or nothing.
#[track_caller]
fn goes_on(data: &Path, key: &str, acknowledged: u64) {
    let server = Server::start(data);
    let client = server.client(key);
    let found = received(&client);
    assert!([acknowledged, acknowledged + AT_ONCE].contains(&found), "{found} of {acknowledged}");
    assert!(matches!(send(&client, 1_000 + acknowledged), Some(Sent::Taken)));
    assert_eq!(received(&client), acknowledged + AT_ONCE);
    assert!(server.stop().success());
    let (sound, said) = finaira(&["verify", data.to_str().expect("UTF-8")]);
    assert!(sound, "{said}");
}

#[test]
fn a_failed_write_or_sync_is_not_acknowledged_and_ends_the_server() {
    let faults = Faults::build();
    for fault in ["sync segment-", "write segment-", "sync mark", "write mark"] {
        let data = tempfile::tempdir().expect("a directory");
        let (server, client, key) = prepare(faults.start(data.path()));
        assert!(matches!(send(&client, 1_000), Some(Sent::Taken)), "{fault}");
        faults.order(fault);
        let mut acknowledged = AT_ONCE;
        match send(&client, 1_000 + acknowledged) {
            None => {}
            // The mark comes later than the answer.
            Some(Sent::Taken) if fault.ends_with("mark") => acknowledged += AT_ONCE,
            Some(Sent::Refused(503, problem)) => assert_eq!(problem["code"], "journal_failed", "{fault}: {problem}"),
            Some(other) => panic!("{fault}: {other:?}"),
        }
        let (status, log) = server.wait_with_log();
        assert_eq!(status.code(), Some(1), "{fault}: {log}");
        let why = log.lines().last().unwrap_or_default();
        assert!(why.contains(&format!("stopped because of a failure: cannot {fault}")), "{fault}: {log}");
        assert!(why.contains("Input/output error"), "{fault}: {log}");
        faults.heal();
        goes_on(data.path(), &key, acknowledged);
    }
}

#[test]
fn a_disk_that_writes_less_than_it_is_given_is_given_the_rest() {
    let faults = Faults::build();
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = prepare(faults.start(data.path()));
    faults.order("short segment-");
    assert!(matches!(send(&client, 1_000), Some(Sent::Taken)));
    server.kill();
    faults.heal();
    let server = Server::start(data.path());
    assert_eq!(received(&server.client(&key)), AT_ONCE);
    assert!(server.stop().success());
    goes_on(data.path(), &key, AT_ONCE);
}

#[test]
fn what_cannot_be_read_is_not_answered_and_stops_writes_and_starts_until_it_can() {
    let faults = Faults::build();
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = prepare(faults.start(data.path()));
    assert!(matches!(send(&client, 1_000), Some(Sent::Taken)));
    faults.order("read segment-");
    let unread = client.get("/v1/accounts/2/transfers?limit=10");
    assert_eq!((unread.status, unread.code()), (503, "journal_damaged"), "{unread:?}");
    match send(&client, 1_000 + AT_ONCE) {
        Some(Sent::Refused(503, problem)) => assert_eq!(problem["code"], "journal_damaged", "{problem}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(received(&client), AT_ONCE, "what is in memory can be read");
    server.logs("cannot read segment-00000001: Input/output error");
    server.kill();
    let (status, said) = faults.failing_start(data.path());
    assert!(!status.success() && said.contains("cannot read segment-0000000"));
    assert!(said.contains("Input/output error"), "{said}");
    faults.heal();
    goes_on(data.path(), &key, AT_ONCE);
}
