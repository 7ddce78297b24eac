//! What CI runs, in the order that fails soonest: what builds nothing, then the dev profile, then the release demo.
//!
//! Clippy, documentation and tests share the dev profile's dependencies; the release profile is built once, for the demo.
//! The commands a reader finds in the README are read from it, so that the README cannot promise what CI does not run.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cargo, deny, tidy};

/// How long a whole run may take on two cores, from a clean clone.
const BUDGET: Duration = Duration::from_secs(30 * 60);

/// Runs every step and stops at the first that fails.
#[expect(clippy::disallowed_methods, reason = "how long a step takes is for people and decides nothing")]
pub(crate) fn run(root: &Path) -> Result<()> {
    let readme =
        fs::read_to_string(root.join("README.md")).context("README.md cannot be read; CI runs its commands")?;
    let started = Instant::now();
    let mut times = Vec::new();
    for step in steps(&readme)? {
        println!("\n=== {}: {step}", step.name);
        let step_started = Instant::now();
        if let Err(error) = step.run(root) {
            bail!("{} failed: {error:#}\nwhat to do: {}", step.name, step.remedy);
        }
        let took = step_started.elapsed();
        println!("=== {} passed in {:.1} s", step.name, took.as_secs_f64());
        times.push((step.name, took));
    }
    println!();
    for (name, took) in times {
        println!("{name:<10} {:>7.1} s", took.as_secs_f64());
    }
    let total = started.elapsed();
    println!("{:<10} {:>7.1} s of {} s", "ci", total.as_secs_f64(), BUDGET.as_secs());
    if total > BUDGET {
        println!("over the budget: make the slowest step faster before the next change slows it further");
    }
    Ok(())
}

struct Step {
    name: &'static str,
    action: Action,
    /// What to do when it fails.
    remedy: &'static str,
}

enum Action {
    /// Must exit with 0.
    Cargo(Vec<String>),
    /// The same, with rustdoc's warnings denied.
    CargoDoc(Vec<String>),
    /// Must exit with 0 and print something.
    CargoSpeaks(Vec<String>),
    Tidy,
    Deny,
}

fn steps(readme: &str) -> Result<Vec<Step>> {
    let test = command_in(readme, "cargo test --workspace")?;
    let mut demo = command_in(readme, "cargo run --release -- demo")?;
    demo.push("--exit".to_owned());
    let words = |command: &str| command.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    Ok(vec![
        Step {
            name: "fmt",
            action: Action::Cargo(words("fmt --all --check")),
            remedy: "run `cargo fmt --all` and look at what it changed",
        },
        Step { name: "tidy", action: Action::Tidy, remedy: "each line above says what to do" },
        Step {
            name: "deny",
            action: Action::Deny,
            remedy: "choose another dependency or version, or add an exception to deny.toml with its reason",
        },
        Step {
            name: "clippy",
            action: Action::Cargo(words("clippy --workspace --all-targets --locked -- -D warnings")),
            remedy: "mend the warnings, or `#[expect(lint, reason = \"…\")]` where the code is right",
        },
        Step {
            name: "doc",
            action: Action::CargoDoc(words("doc --workspace --no-deps --locked")),
            remedy: "mend the links and the markup of the doc comments named above",
        },
        Step {
            name: "test",
            action: Action::Cargo(test),
            remedy: "mend the code or the test; a golden file that should change is rewritten by UPDATE_EXPECT=1, then read",
        },
        Step {
            name: "release",
            action: Action::Cargo(words("build --release --locked")),
            remedy: "mend what the release profile alone refuses",
        },
        Step {
            name: "demo",
            action: Action::CargoSpeaks(demo),
            remedy: "run the README's demo command with `--exit`: it must end with exit code 0 and print what happened",
        },
    ])
}

impl Step {
    fn run(&self, root: &Path) -> Result<()> {
        match &self.action {
            Action::Tidy => tidy::run(root),
            Action::Deny => deny::run(root),
            Action::Cargo(words) => succeed(cargo(root).args(words)),
            Action::CargoDoc(words) => succeed(cargo(root).args(words).env("RUSTDOCFLAGS", "-D warnings")),
            Action::CargoSpeaks(words) => speak(cargo(root).args(words)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Tidy => f.write_str("cargo xtask tidy"),
            Action::Deny => f.write_str("cargo xtask deny"),
            Action::Cargo(words) | Action::CargoSpeaks(words) => write!(f, "cargo {}", words.join(" ")),
            Action::CargoDoc(words) => write!(f, "RUSTDOCFLAGS='-D warnings' cargo {}", words.join(" ")),
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} did not start"))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn speak(command: &mut Command) -> Result<()> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?} did not start"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    ensure!(output.status.success(), "{}", output.status);
    ensure!(!said.trim().is_empty(), "it printed nothing");
    Ok(())
}

/// The arguments of the first command in the README's code, fenced or inline, that starts with `prefix`.
fn command_in(readme: &str, prefix: &str) -> Result<Vec<String>> {
    let mut fenced = false;
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        // Between backticks outside a fence, the whole line inside one.
        let pieces: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            let piece = piece.trim();
            let piece = piece.strip_prefix("$ ").unwrap_or(piece);
            let command = piece.split_once(" #").map_or(piece, |(command, _comment)| command).trim_end();
            if !command.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')) {
                continue;
            }
            if let Some(special) = command.chars().find(|c| "\"'|&;<>$\\".contains(*c)) {
                bail!("README.md says `{command}`; CI runs it without a shell, so it must not contain `{special}`");
            }
            return Ok(command.split_whitespace().skip(1).map(str::to_owned).collect());
        }
    }
    bail!("README.md has no command that starts with `{prefix}`; CI runs what the README promises, so put it back")
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str =
        "Try `cargo run --release -- demo`, then\n\n```sh\n$ cargo test --workspace --locked  # all\n```\n";

    #[test]
    fn the_cheap_steps_come_first_and_the_readme_gives_two_of_them() {
        let steps: Vec<String> = steps(README).unwrap().iter().map(Step::to_string).collect();
        assert_eq!(
            steps,
            [
                "cargo fmt --all --check",
                "cargo xtask tidy",
                "cargo xtask deny",
                "cargo clippy --workspace --all-targets --locked -- -D warnings",
                "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked",
                "cargo test --workspace --locked",
                "cargo build --release --locked",
                "cargo run --release -- demo --exit",
            ]
        );
    }

    #[test]
    fn a_command_the_readme_lacks_is_an_error() {
        #[track_caller]
        fn check(readme: &str, complaint: &str) {
            let error = command_in(readme, "cargo test --workspace").unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        check("", "has no command");
        check("cargo test --workspace in prose is not a command", "has no command");
        check("`cargo test --workspaces`", "has no command");
        check("```\ncargo test\n```\n", "has no command");
        check("`cargo test --workspace | tee log`", "must not contain `|`");
    }

    #[test]
    fn a_step_fails_by_its_exit_code() {
        succeed(&mut Command::new("true")).unwrap();
        assert_eq!(succeed(&mut Command::new("false")).unwrap_err().to_string(), "exit status: 1");
    }

    #[test]
    fn the_demo_must_succeed_and_say_something() {
        speak(Command::new("echo").arg("approved")).unwrap();
        assert_eq!(speak(&mut Command::new("echo")).unwrap_err().to_string(), "it printed nothing");
        assert_eq!(speak(&mut Command::new("false")).unwrap_err().to_string(), "exit status: 1");
    }
}
