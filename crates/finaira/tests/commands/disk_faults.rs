//! Disk failures under the real binary: a library between the binary and the system makes calls on the journal's files
//! fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::guard::{AT_ONCE, Sent, prepare, received, send};
use crate::harness::{Server, finaira};

/// The library, and the file that requests a fault while it exists.
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

    /// Starts a server whose disk works until a fault is requested.
    fn start(&self, data: &Path) -> Server {
        Server::start_in(data, &[], &self.environment())
    }

    /// Returns the output of a start that is expected to fail.
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

/// After a failed server, checks the next start and the whole directory: all acknowledged transfers are there, and of
/// the transfers from `acknowledged` on either all or none.
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
            // The mark is written after the response.
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
fn a_short_write_is_completed() {
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
fn a_read_error_stops_writes_and_starts_until_the_disk_works() {
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
    assert_eq!(received(&client), AT_ONCE, "queries from memory still work");
    server.logs("cannot read segment-00000001: Input/output error");
    server.kill();
    let (status, said) = faults.failing_start(data.path());
    assert!(!status.success() && said.contains("cannot read segment-0000000"));
    assert!(said.contains("Input/output error"), "{said}");
    faults.heal();
    goes_on(data.path(), &key, AT_ONCE);
}
