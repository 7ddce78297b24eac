//! Commands whose reader stops reading, as `head` does, and commands that write to a full disk.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::first_start;

const RETAIL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/retail");

fn finaira(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs a command, once without a reader of its output, and once without a reader of its errors either.
#[track_caller]
fn check(arguments: &[&str], status: i32) {
    let Output { status: ended, stderr, .. } = finaira(arguments).stdout(unread()).output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&stderr);
    assert_eq!(ended.code(), Some(status), "{arguments:?} without a reader of its output: {ended}, {errors}");
    assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    let ended = finaira(arguments).stdout(unread()).stderr(unread()).status().expect("the binary runs");
    assert_eq!(ended.code(), Some(status), "{arguments:?} without any reader: {ended}");
}

#[test]
fn a_command_that_nobody_reads_ends_with_the_status_of_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    check(&["check-policy", RETAIL], 0);
    check(&["check-policy", &path("missing")], 1);
    check(&["demo", "--exit", "--payments", "300"], 0);
    check(&["--help"], 0);
    check(&["verify"], 2);

    let (data, server, _) = first_start(&[]);
    assert!(server.stop().success());
    check(&["verify", data.path().to_str().unwrap()], 0);

    let header = "payment,time,amount,fraud,customer,card,merchant,device,card_present,country\n";
    std::fs::write(path("in.csv"), format!("{header}1,2026-01-01T00:00:00Z,500,,c,k,m,d,true,NO\n")).unwrap();
    check(&["backtest", "--policy", RETAIL, "--input", &path("in.csv"), "--output", &path("out.parquet")], 0);
    assert!(std::fs::metadata(path("out.parquet")).unwrap().len() > 0, "the decisions are complete");
}

#[test]
fn a_server_goes_on_when_nobody_reads_what_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = finaira(&["serve", "--listen", "127.0.0.1:0", "--log-format", "text", "--data"]);
    let mut child = serve.arg(folder.path()).stdout(unread()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("serving")), "the server starts without a reader of its address");
    drop(log);
    // It now logs that it stops, and nobody reads that either.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    if !Path::new("/dev/full").try_exists().unwrap() {
        println!("skipped: this system has no /dev/full");
        return;
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = finaira(&["check-policy", RETAIL]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("finaira: cannot write to standard output: No space left on device"), "{errors}");
}
