//! The steps of CI, in the order that fails soonest: checks without a build, then the dev profile, then the release
//! demo.
//!
//! The servers of others come after the tests, because they have to be downloaded. Clippy, documentation and tests share the dependencies of the dev profile; the release profile is built once, for
//! the demo. Two commands are read from the README, so that CI runs exactly what the README shows.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::services::Service;
use crate::{cargo, cel_spec, deny, notebook, opinion, tidy};

/// The limit for a whole run on two cores, from a clean clone.
const BUDGET: Duration = Duration::from_secs(45 * 60);

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What every change must pass.
    Usual,
    /// Also what takes too long for every change: the servers that take minutes to start.
    Full,
}

/// Runs every step, and stops at the first one that fails.
#[expect(clippy::disallowed_methods, reason = "the time of a step is only printed")]
pub(crate) fn run(root: &Path, extent: Extent) -> Result<()> {
    let readme = fs::read_to_string(root.join("README.md")).context("cannot read README.md, whose commands CI runs")?;
    let started = Instant::now();
    let mut times = Vec::new();
    for step in steps(&readme, extent)? {
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
        println!("over the time limit: make the slowest step faster before you add more");
    }
    Ok(())
}

struct Step {
    name: &'static str,
    action: Action,
    /// What to do if the step fails.
    remedy: &'static str,
}

enum Action {
    /// A cargo command that must exit with 0.
    Cargo(Vec<String>),
    /// As `Cargo`, with rustdoc's warnings denied.
    CargoDoc(Vec<String>),
    /// A cargo command that must exit with 0 and print something.
    CargoSpeaks(Vec<String>),
    Tidy,
    Deny,
    Opinion,
    Notebook,
    /// Tests that run the conformance cases of CEL, which are downloaded before.
    WithCelSpec(&'static str),
    /// Tests that talk to these servers, which they start.
    WithServices(&'static str, &'static [Service]),
}

fn steps(readme: &str, extent: Extent) -> Result<Vec<Step>> {
    let test = command_in(readme, "cargo test --workspace")?;
    let mut demo = command_in(readme, "cargo run --release -- demo")?;
    demo.push("--exit".to_owned());
    let words = |command: &str| command.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut steps = vec![
        Step {
            name: "fmt",
            action: Action::Cargo(words("fmt --all --check")),
            remedy: "run `cargo fmt --all` and review the changes",
        },
        Step { name: "tidy", action: Action::Tidy, remedy: "each line above says what to do" },
        Step {
            name: "deny",
            action: Action::Deny,
            remedy: "choose another dependency or version, or add an exception to deny.toml with its reason",
        },
        Step {
            name: "clippy",
            action: Action::Cargo(words(
                "clippy --workspace --all-targets --features finaira/connect --locked -- -D warnings",
            )),
            remedy: "fix the warnings, or add `#[expect(lint, reason = \"…\")]` where the code is right",
        },
        Step {
            name: "doc",
            action: Action::CargoDoc(words("doc --workspace --features finaira/connect --no-deps --locked")),
            remedy: "fix the links and the markup of the doc comments named above",
        },
        Step {
            name: "test",
            action: Action::Cargo(test),
            remedy: "fix the code or the test; if a golden file should change, rewrite it with UPDATE_EXPECT=1 and review it",
        },
        Step {
            name: "cel",
            action: Action::WithCelSpec(CEL),
            remedy: "fix the code; or list the case with its reason in crates/policy/testdata/cel/unsupported.txt",
        },
        Step {
            name: "identity",
            action: Action::WithServices(IDENTITY, &[Service::OidcProvider]),
            remedy: "install what the message names, or fix the code or the test; docs/testing.md says how to run it again",
        },
        Step {
            name: "connectors",
            action: Action::WithServices(CONNECTORS, TARGETS),
            remedy: "install what the message names, or fix the code or the test; docs/testing.md says how to run it again",
        },
        Step {
            name: "release",
            action: Action::Cargo(words("build --release --locked")),
            remedy: "fix the error, which only the release profile reports",
        },
        Step {
            name: "opinion",
            action: Action::Opinion,
            remedy: "each line above names a feature and a payment; crates/policy/src/lib.rs has the formulas",
        },
        Step {
            name: "notebook",
            action: Action::Notebook,
            remedy: "the last lines name a test of sdk/python-data or a cell of the notebook; fix it or what it uses",
        },
        Step {
            name: "demo",
            action: Action::CargoSpeaks(demo),
            remedy: "run the README's demo command with `--exit`: it must exit with 0 and print its results",
        },
    ];
    match extent {
        Extent::Usual => {}
        Extent::Full => steps.extend([
            Step {
                name: "targets",
                action: Action::WithServices(CONNECTORS, SLOW_TARGETS),
                remedy: "install what the message names, or fix the code or the test; docs/testing.md says how to run it again",
            },
            Step {
                name: "times",
                action: Action::Cargo(words(TIMES)),
                remedy: "run it again on a machine that does nothing else; docs/runbooks/overload.md says what the limits do",
            },
            Step {
                name: "keycloak",
                action: Action::WithServices(IDENTITY, &[Service::Keycloak]),
                remedy: "install what the message names, or fix the code or the test; docs/testing.md says how to run it again",
            },
        ]),
    }
    Ok(steps)
}

/// The tests that measure latencies under load.
const TIMES: &str = "test --release --locked -p finaira --test commands limits:: -- --ignored --test-threads 1";

/// The conformance cases of the expression language.
const CEL: &str = "test --workspace --locked --lib conformance";

/// The tests that need an identity server. They are built with the whole workspace, so that the step before has built them.
const IDENTITY: &str = "test --workspace --locked --test identity_servers";

/// The tests of connectors, and the unit tests of what only this feature builds. They are built with the whole workspace, so that the libraries are
/// those that the step before has built.
const CONNECTORS: &str =
    "test --workspace --features finaira/connect --locked --lib --bin finaira --test connectors -- --test-threads 3";
/// The targets that CI tries, as far as they are quick to get. Most of the time their tests wait for a server, so some run at once.
pub(crate) const TARGETS: &[Service] = &[
    Service::Postgres,
    Service::Mariadb,
    Service::Redis,
    Service::Kafka,
    Service::Nats,
    Service::Rabbitmq,
    Service::Cassandra,
    Service::Moto,
];
/// The targets whose servers take long to build.
const SLOW_TARGETS: &[Service] = &[Service::Ferretdb, Service::Azurite];

impl Step {
    fn run(&self, root: &Path) -> Result<()> {
        match &self.action {
            Action::Tidy => tidy::run(root),
            Action::Deny => deny::run(root),
            Action::Opinion => opinion::run(root),
            Action::Notebook => notebook::run(root),
            Action::Cargo(words) => succeed(cargo(root).args(words)),
            Action::CargoDoc(words) => succeed(cargo(root).args(words).env("RUSTDOCFLAGS", "-D warnings")),
            Action::CargoSpeaks(words) => speak(cargo(root).args(words)),
            Action::WithCelSpec(words) => {
                let cases = cel_spec::get(root)?;
                let mut command = cargo(root);
                command.args(words.split(' ')).env(cel_spec::VARIABLE, cases).env(cel_spec::REQUIRED, "1");
                succeed(&mut command)
            }
            Action::WithServices(words, services) => {
                let variables = services.iter().map(|service| (service.variable(), "1"));
                succeed(cargo(root).args(words.split(' ')).envs(variables))
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Tidy => f.write_str("cargo xtask tidy"),
            Action::Deny => f.write_str("cargo xtask deny"),
            Action::Opinion => f.write_str("cargo xtask opinion"),
            Action::Notebook => f.write_str("cargo xtask notebook"),
            Action::Cargo(words) | Action::CargoSpeaks(words) => write!(f, "cargo {}", words.join(" ")),
            Action::WithCelSpec(words) => write!(f, "{}=1 cargo {words}", cel_spec::REQUIRED),
            Action::WithServices(words, services) => {
                for service in *services {
                    write!(f, "{}=1 ", service.variable())?;
                }
                write!(f, "cargo {words}")
            }
            Action::CargoDoc(words) => write!(f, "RUSTDOCFLAGS='-D warnings' cargo {}", words.join(" ")),
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn speak(command: &mut Command) -> Result<()> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    ensure!(output.status.success(), "{}", output.status);
    ensure!(!said.trim().is_empty(), "it printed nothing");
    Ok(())
}

/// Returns the arguments of the first command in the README's code, fenced or inline, that starts with `prefix`.
fn command_in(readme: &str, prefix: &str) -> Result<Vec<String>> {
    let mut fenced = false;
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        // Outside a fence, code is between backticks; inside one, it is the whole line.
        let pieces: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            let piece = piece.trim();
            let piece = piece.strip_prefix("$ ").unwrap_or(piece);
            let command = piece.split_once(" #").map_or(piece, |(command, _comment)| command).trim_end();
            if !command.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')) {
                continue;
            }
            if let Some(special) = command.chars().find(|c| "\"'|&;<>$\\".contains(*c)) {
                bail!(
                    "README.md has the command `{command}`; CI runs it without a shell, so it must not contain `{special}`"
                );
            }
            return Ok(command.split_whitespace().skip(1).map(str::to_owned).collect());
        }
    }
    bail!("README.md has no command that starts with `{prefix}`; CI runs this command, so restore it")
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str =
        "Try `cargo run --release -- demo`, then\n\n```sh\n$ cargo test --workspace --locked  # all\n```\n";

    #[test]
    fn cheap_steps_come_first_and_two_come_from_the_readme() {
        let steps: Vec<String> = steps(README, Extent::Usual).unwrap().iter().map(Step::to_string).collect();
        assert_eq!(
            steps,
            [
                "cargo fmt --all --check",
                "cargo xtask tidy",
                "cargo xtask deny",
                "cargo clippy --workspace --all-targets --features finaira/connect --locked -- -D warnings",
                "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --features finaira/connect --no-deps --locked",
                "cargo test --workspace --locked",
                "FINAIRA_REQUIRE_CEL_SPEC=1 cargo test --workspace --locked --lib conformance",
                "FINAIRA_REQUIRE_OIDC_PROVIDER=1 cargo test --workspace --locked --test identity_servers",
                "FINAIRA_REQUIRE_POSTGRES=1 FINAIRA_REQUIRE_MARIADB=1 FINAIRA_REQUIRE_REDIS=1 FINAIRA_REQUIRE_KAFKA=1 FINAIRA_REQUIRE_NATS=1 FINAIRA_REQUIRE_RABBITMQ=1 FINAIRA_REQUIRE_CASSANDRA=1 FINAIRA_REQUIRE_MOTO=1 cargo test --workspace --features finaira/connect --locked --lib --bin finaira --test connectors -- --test-threads 3",
                "cargo build --release --locked",
                "cargo xtask opinion",
                "cargo xtask notebook",
                "cargo run --release -- demo --exit",
            ]
        );
    }

    #[test]
    fn a_full_run_ends_with_what_takes_longest() {
        let usual = steps(README, Extent::Usual).unwrap().len();
        let full: Vec<String> = steps(README, Extent::Full).unwrap().iter().skip(usual).map(Step::to_string).collect();
        let keycloak = "FINAIRA_REQUIRE_KEYCLOAK=1 cargo test --workspace --locked --test identity_servers";
        let targets = SLOW_TARGETS.iter().map(|service| format!("{}=1 ", service.variable())).collect::<String>();
        assert_eq!(full, [format!("{targets}cargo {CONNECTORS}"), format!("cargo {TIMES}"), keycloak.to_owned()]);
    }

    #[test]
    fn a_command_that_the_readme_lacks_is_an_error() {
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
    fn the_demo_must_succeed_and_print_something() {
        speak(Command::new("echo").arg("approved")).unwrap();
        assert_eq!(speak(&mut Command::new("echo")).unwrap_err().to_string(), "it printed nothing");
        assert_eq!(speak(&mut Command::new("false")).unwrap_err().to_string(), "exit status: 1");
    }
}
