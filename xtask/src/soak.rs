//! The long test run before a release: the randomised tests with large numbers, in the release profile, and a table of
//! the results. CI runs the same tests with smaller numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::ci::TARGETS;
use crate::services::Service;

pub(crate) const USAGE: &str =
    "usage: cargo xtask soak [--seeds N] [--first N] [--kills N] [--connector-kills N] [--mutations N] [--out FILE]

  --seeds N            seeds for the simulator (10000); 0 skips it
  --first N            the first of these seeds (0), and the seed of the kills and mutations
  --kills N            kills of the real server (200); 0 skips them
  --connector-kills N  kills of the connector for each kind of target (1000); 0 skips them. Starts the servers that CI starts.
  --mutations N        mutations for each fuzz target (20000); 0 skips them
  --out FILE           also write the table to this file, as Markdown";

/// The options of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    seeds: u64,
    first: u64,
    kills: u64,
    connector_kills: u64,
    mutations: u64,
    out: Option<String>,
}

impl Figures {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let mut figures =
            Self { seeds: 10_000, first: 0, kills: 200, connector_kills: 1000, mutations: 20_000, out: None };
        let mut rest = arguments.iter();
        while let Some(&option) = rest.next() {
            let value = rest.next().with_context(|| format!("`{option}` needs a value\n{USAGE}"))?;
            if option == "--out" {
                figures.out = Some((*value).to_owned());
                continue;
            }
            let number = match option {
                "--seeds" => &mut figures.seeds,
                "--first" => &mut figures.first,
                "--kills" => &mut figures.kills,
                "--connector-kills" => &mut figures.connector_kills,
                "--mutations" => &mut figures.mutations,
                _ => bail!("there is no option `{option}`\n{USAGE}"),
            };
            *number = value.parse().with_context(|| format!("`{option}` takes a whole number, found `{value}`"))?;
        }
        Ok(figures)
    }
}

/// A randomised test, with its arguments and environment variables.
struct Loop {
    name: &'static str,
    /// Arguments of `cargo test` that choose what is built.
    built: &'static [&'static str],
    /// Which of the tests run; all if it is empty.
    filter: &'static str,
    /// How many of the tests run at once, if that is limited.
    threads: Option<&'static str>,
    /// Servers that the tests must be able to start.
    services: &'static [Service],
    environment: Vec<(&'static str, u64)>,
}

/// The output of a test.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The line of `key=value` pairs that ends the output.
    figures: BTreeMap<String, String>,
    /// Tables in the output.
    table: String,
    /// Lines of the form `name: … mutations …`.
    attacks: Vec<String>,
}

pub(crate) fn run(root: &Path, figures: &Figures) -> Result<()> {
    let mut report = String::from("| loop | figures | time |\n| --- | --- | ---: |\n");
    let mut tables = String::new();
    for soak in loops(figures) {
        println!("\n=== {}", soak.name);
        let build = Command::new(cargo())
            .args(["test", "--release", "--locked", "--no-run"])
            .args(soak.built)
            .current_dir(root)
            .status()
            .context("cannot start cargo")?;
        ensure!(build.success(), "{} does not build", soak.name);
        let (told, seconds) = run_one(root, &soak)?;
        let mut said: Vec<String> = told.figures.iter().map(|(key, value)| format!("{key} {value}")).collect();
        if !told.attacks.is_empty() {
            said.push(format!("{} targets, none broke a promise", told.attacks.len()));
        }
        writeln!(report, "| {} | {} | {seconds:.0} s |", soak.name, said.join(", "))?;
        if !told.table.is_empty() {
            write!(tables, "\n{}, fault by state:\n\n```\n{}```\n", soak.name, told.table)?;
        }
    }
    let report = format!("{report}{tables}");
    println!("\n{report}");
    if let Some(out) = &figures.out {
        std::fs::write(out, &report).with_context(|| format!("cannot write {out}"))?;
    }
    Ok(())
}

fn loops(figures: &Figures) -> Vec<Loop> {
    let Figures { seeds, first, kills, connector_kills, mutations, .. } = *figures;
    let all = vec![
        Loop {
            name: "simulation",
            built: &["-p", "sim", "--test", "sim"],
            filter: "whatever_",
            threads: None,
            services: &[],
            environment: vec![("FINAIRA_SIM_SEEDS", seeds), ("FINAIRA_SIM_FIRST", first)],
        },
        Loop {
            name: "kills",
            built: &["-p", "finaira", "--test", "commands"],
            filter: "what_was_acknowledged_survives_every_kill",
            threads: None,
            services: &[],
            environment: vec![("FINAIRA_KILLS", kills), ("FINAIRA_KILLS_SEED", first + 1)],
        },
        Loop {
            name: "connectors",
            built: &["-p", "finaira", "--features", "connect", "--test", "connectors"],
            filter: "",
            threads: Some("3"),
            services: TARGETS,
            environment: vec![("FINAIRA_CONNECTOR_KILLS", connector_kills)],
        },
        Loop {
            name: "mutations",
            built: &["-p", "fuzz", "--test", "bounded"],
            filter: "",
            threads: None,
            services: &[],
            environment: vec![("FINAIRA_FUZZ_RUNS", mutations), ("FINAIRA_FUZZ_SEED", first + 1)],
        },
    ];
    all.into_iter().filter(|soak| soak.environment.first().is_some_and(|(_, count)| *count > 0)).collect()
}

/// Runs a test, prints its output while it runs, and collects its figures.
#[expect(clippy::disallowed_methods, reason = "the time of a test is only printed")]
fn run_one(root: &Path, soak: &Loop) -> Result<(Told, f64)> {
    let started = Instant::now();
    let mut command = Command::new(cargo());
    command.args(["test", "--release", "--locked"]).args(soak.built).args([soak.filter, "--", "--nocapture"]);
    command.args(soak.threads.into_iter().flat_map(|threads| ["--test-threads", threads]));
    command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::piped());
    for (name, value) in &soak.environment {
        command.env(name, value.to_string());
    }
    command.envs(soak.services.iter().map(|service| (service.variable(), "1")));
    let mut child = command.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("standard output is piped")?;
    let mut told = Told::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read the test's output")?;
        println!("{line}");
        told.hear(&line);
    }
    let status = child.wait().context("cannot wait for the test")?;
    ensure!(status.success(), "{}: {status}; the output tells how to repeat it", soak.name);
    // A renamed test would leave the filter without a match, and cargo would still succeed.
    ensure!(
        !(told.figures.is_empty() && told.attacks.is_empty()),
        "{}: no test reported figures; expected a test that matches `{}` in {}",
        soak.name,
        soak.filter,
        soak.built.join(" ")
    );
    Ok((told, started.elapsed().as_secs_f64()))
}

impl Told {
    fn hear(&mut self, line: &str) {
        let pairs: Option<Vec<(&str, &str)>> = line.split_whitespace().map(|word| word.split_once('=')).collect();
        match pairs {
            Some(pairs) if !pairs.is_empty() => {
                self.figures.extend(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            _ if line.contains(" mutations, ") => self.attacks.push(line.to_owned()),
            _ if is_row(line) => {
                self.table.push_str(line.trim_end());
                self.table.push('\n');
            }
            _ => {}
        }
    }
}

/// Whether a line is a name followed by numbers, or the column names above such lines.
fn is_row(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let names = line.starts_with("    ") && line.split_whitespace().count() > 3;
    let first = words.next().is_some_and(|word| word.starts_with(char::is_uppercase));
    let numbers: Vec<bool> = words.map(|word| word.bytes().all(|byte| byte.is_ascii_digit())).collect();
    names || (first && numbers.len() > 3 && numbers.iter().all(|is_number| *is_number))
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_default_to_the_full_run_and_can_reduce_it() {
        let full = Figures::parse(&[]).unwrap();
        assert_eq!((full.seeds, full.kills, full.connector_kills), (10_000, 200, 1000));
        assert_eq!(
            loops(&full).iter().map(|soak| soak.name).collect::<Vec<_>>(),
            ["simulation", "kills", "connectors", "mutations"]
        );
        let less = Figures::parse(&[
            "--seeds",
            "0",
            "--kills",
            "7",
            "--connector-kills",
            "0",
            "--mutations",
            "0",
            "--out",
            "table",
        ])
        .unwrap();
        assert_eq!((less.kills, less.out.as_deref()), (7, Some("table")));
        assert_eq!(loops(&less).iter().map(|soak| soak.name).collect::<Vec<_>>(), ["kills"]);
        for wrong in [&["--seeds"][..], &["--seeds", "many"], &["--sseeds", "1"]] {
            assert!(Figures::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn figures_and_tables_are_found_in_the_output() {
        let mut told = Told::default();
        for line in [
            "running 1 test",
            "simulated 500 of 10000 seeds",
            "                     Idle     Queued    Decided  Appending",
            "Kill                   12          3          4          5",
            "seeds=10000 first=0 crashes=31000 violations=0",
            "texts: 11 seeds, 6000 mutations, 721 of them accepted",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        ] {
            told.hear(line);
        }
        assert_eq!(told.figures.len(), 4);
        assert_eq!(told.table.lines().count(), 2, "{}", told.table);
        assert_eq!(told.attacks.len(), 1);
    }
}
