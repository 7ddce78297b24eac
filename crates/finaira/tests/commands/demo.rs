//! Runs the demo with the real binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

#[test]
fn the_demo_runs_to_its_end_from_any_directory() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_finaira"))
        .args(["demo", "--exit", "--payments", "300"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8(demo.stdout).unwrap(), String::from_utf8(demo.stderr).unwrap());
    assert!(demo.status.success(), "{text}{errors}");
    for expected in [
        "approved at once",
        "card testing",
        "account takeover",
        "compromised merchant",
        "mule chain",
        "FALSE ALARMS",
        "payment_exists_with_different_content",
        "40 accepted, 20 declined",
        "shop (role developer): ",
        "p99",
    ] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let posted = text.lines().find(|line| line.starts_with("posted  ")).unwrap();
    let columns: Vec<&str> = posted.split_whitespace().collect();
    assert_eq!(columns[1], columns[2], "debits and credits");
    assert_eq!(columns[3], "0.00", "{posted}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "the temporary data was removed");
}

#[test]
fn a_demo_that_is_too_small_is_refused() {
    let demo = Command::new(env!("CARGO_BIN_EXE_finaira")).args(["demo", "--payments", "10"]).output().unwrap();
    assert!(!demo.status.success());
    assert!(String::from_utf8(demo.stderr).unwrap().contains("200"));
}

/// Runs the demo and returns its report: what does not depend on the machine, and what is measured, without its digits.
fn report(arguments: &[&str]) -> (String, String) {
    let demo = Command::new(env!("CARGO_BIN_EXE_finaira"))
        .args(["demo", "--exit"])
        .args(arguments)
        .output()
        .expect("the demo starts");
    assert!(demo.status.success(), "{demo:?}");
    parts(&String::from_utf8(demo.stdout).expect("UTF-8"))
}

fn parts(text: &str) -> (String, String) {
    let start = text.find("OUTCOMES").expect("a report");
    let (fixed, measured) = text[start..].split_once("SPEED").expect("measured values");
    (fixed.to_owned(), measured.replace(|c: char| c.is_ascii_digit() || c == '.', "").trim().to_owned())
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let one = report(&["--payments", "400", "--seed", "7"]);
    assert_eq!(report(&["--payments", "400", "--seed", "7"]), one);
    assert_ne!(report(&["--payments", "400", "--seed", "8"]).0, one.0);
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    const README: &str = include_str!("../../../../README.md");
    let shown = README.split("```").find(|block| block.trim_start().starts_with("OUTCOMES")).expect("a sample");
    assert_eq!(parts(shown), report(&[]));
}

#[test]
fn the_commands_that_the_demo_shows_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_finaira"))
        .args(["demo", "--payments", "200"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut demo = Running(demo);
    let lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let shown: Vec<String> = lines.take_while(|line| !line.starts_with("The server keeps running")).collect();
    let text = shown[shown.iter().position(|line| line.starts_with("TRY")).expect("commands")..].join("\n");
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", &format!("curl --fail-with-body {command}")]).output().unwrap();
        assert!(output.status.success(), "{command}\n{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    // Each command ends where the description of the next one begins.
    let commands: Vec<&str> = text.split("\n  curl ").skip(1).map(until_description).collect();
    let answers: Vec<_> = commands.iter().map(|command| run(command)).collect();
    assert_eq!(answers.len(), 3, "{text}");
    assert!(!answers[0]["reasons"].as_array().unwrap().is_empty(), "{answers:?}");
    assert_eq!(answers[1]["type"], "transfer");
    assert_eq!(run(commands[1])["id"], answers[1]["id"], "a retry");
    assert_eq!(answers[2]["items"].as_array().unwrap().len(), 5);
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("the demo runs");
        self.0.wait().expect("the demo ends");
    }
}

/// A command without the line that describes the next one, which is not indented.
fn until_description(command: &str) -> &str {
    let end = command.match_indices('\n').find(|(at, _)| !command[at + 1..].starts_with(' '));
    end.map_or(command, |(at, _)| &command[..at])
}
