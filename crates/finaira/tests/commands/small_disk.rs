//! A small file system that really becomes full.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::guard::{AT_ONCE, Sent, received, send, start};
use crate::harness::{Client, Server, eventually};
use crate::mounted::{MIB, Mounted};

fn prepare(data: &Path, reserve: u64) -> (Server, Client, String) {
    start(data, &["--disk-reserve", &reserve.to_string()])
}

#[test]
fn below_the_reserve_writes_are_refused_until_space_is_freed() {
    // The reserve is larger than what is written between two checks of the disk, even on a busy machine.
    let Some(disk) = Mounted::of_bytes(120 * MIB) else { return };
    let ballast = disk.ballast(40 * MIB);
    let data = disk.path.join("data");
    let (server, client, _) = prepare(&data, 64 * MIB);
    let mut taken = 0;
    let (status, refused) = loop {
        match send(&client, 1_000 + taken).expect("the server answers") {
            Sent::Taken => taken += AT_ONCE,
            Sent::Refused(status, problem) => break (status, problem),
        }
        assert!(taken < 1_000_000, "the disk becomes full");
    };
    assert_eq!((status, &refused["code"]), (503, &json!("disk_reserve_reached")), "{refused}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("fewer than the reserve of 67108864"), "{refused}");
    assert!(taken >= 40_000, "it accepted {taken} before that");
    assert_eq!(received(&client), taken, "reads still work, and refused transfers left no trace");
    assert!(client.get("/metrics").body.to_string().contains(r#"finaira_writes_closed{reason=\"disk\"} 1"#));
    assert!(fs::metadata(data.join("journal/segment-00000001")).is_ok());
    assert!(matches!(send(&client, 1_000 + taken), Some(Sent::Refused(503, _))));

    fs::remove_file(ballast).expect("the ballast can be removed");
    eventually(|| matches!(send(&client, 1_000 + taken), Some(Sent::Taken)).then_some(()));
    assert_eq!(received(&client), taken + AT_ONCE);
    server.logs("writes are accepted again");
    let log = server.log();
    assert_eq!(log.matches("writes are refused").count(), 1, "{log}");
    assert_eq!(log.matches("writes are accepted again").count(), 1, "{log}");
    assert!(server.stop().success());
}

#[test]
fn a_full_disk_without_reserve_ends_the_server_and_loses_nothing_acknowledged() {
    let Some(disk) = Mounted::of_bytes(24 * MIB) else { return };
    let ballast = disk.ballast(14 * MIB);
    let data = disk.path.join("data");
    let (server, client, key) = prepare(&data, 0);
    let mut acknowledged = 0;
    while let Some(sent) = send(&client, 1_000 + acknowledged) {
        if let Sent::Refused(status, problem) = sent {
            assert_eq!((status, &problem["code"]), (503, &json!("journal_failed")), "{problem}");
            break;
        }
        acknowledged += AT_ONCE;
        assert!(acknowledged < 1_000_000, "the disk becomes full");
    }
    let (status, log) = server.wait_with_log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped because of a failure") && log.contains("No space left on device"), "{log}");
    assert!(acknowledged >= 20_000, "it accepted {acknowledged} before that");

    fs::remove_file(ballast).expect("the ballast can be removed");
    let server = Server::start_with(&data, &["--disk-reserve", "0"]);
    let client = server.client(&key);
    let found = received(&client);
    assert!((acknowledged..=acknowledged + AT_ONCE).contains(&found), "{found} of {acknowledged}");
    assert!(matches!(send(&client, 1_000 + acknowledged), Some(Sent::Taken)));
    assert_eq!(received(&client), acknowledged + AT_ONCE);
    assert!(server.stop().success());
}
