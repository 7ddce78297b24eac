//! Development tasks: `cargo xtask ci` runs what CI runs, and `cargo xtask tidy` runs the checks that need no build.
#![expect(clippy::print_stdout, reason = "tasks report to the terminal")]

mod cel_spec;
mod ci;
mod deny;
mod notebook;
mod opinion;
mod python;
mod services;
mod soak;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "usage: cargo xtask <task>

  cel-spec   downloads the conformance cases of CEL, and prints the variable with which the tests run them
  ci         everything a change must pass: formatting, tidy, dependencies, clippy, documentation, tests, the demo;
             with `--full` also the tests with servers that take minutes to start
  deny       only the check of the dependencies: licences, bans, sources, known vulnerabilities
  notebook   installs the Python package, runs its tests and the notebook of the examples; needs Python
  opinion    compares features of random payments with what DuckDB computes; needs Python
  services   starts and stops the servers of other makers that tests talk to
  soak       the simulator, the kills and the fuzz targets as in CI, with large numbers and in the release profile
  tidy       only the checks that need no build: crate dependencies, file sizes, leftovers, error pages, links";

fn main() -> ExitCode {
    let chores: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match chores.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cel-spec"] => cel_spec::get(root()).map(|path| println!("{}={}", cel_spec::VARIABLE, path.display())),
        ["ci"] => ci::run(root(), ci::Extent::Usual),
        ["ci", "--full"] => ci::run(root(), ci::Extent::Full),
        ["deny"] => deny::run(root()),
        ["notebook"] => notebook::run(root()),
        ["opinion"] => opinion::run(root()),
        ["services", "--help"] => {
            println!("{}", services::USAGE);
            return ExitCode::SUCCESS;
        }
        ["services", ref words @ ..] => services::Task::parse(words).and_then(|task| task.run(root())).map(|line| {
            if let Some(line) = line {
                println!("{line}");
            }
        }),
        ["soak", "--help"] => {
            println!("{}", soak::USAGE);
            return ExitCode::SUCCESS;
        }
        ["soak", ref figures @ ..] => soak::Figures::parse(figures).and_then(|figures| soak::run(root(), &figures)),
        ["tidy"] => tidy::run(root()),
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that runs this task, so that the chosen toolchain is kept. Steps get no standard input.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// The root of the repository, which contains the folder of this package.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
