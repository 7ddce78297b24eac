//! The project's own chores: `cargo xtask ci` is exactly what CI runs, `cargo xtask tidy` its checks that build nothing.
#![expect(clippy::print_stdout, reason = "a chore reports to the terminal of whoever runs it")]

mod ci;
mod deny;
mod soak;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "usage: cargo xtask <chore>

  ci     everything a change must pass: formatting, tidy, dependencies, clippy, documentation, tests, the demo
  deny   only the check of the dependencies: licences, bans, sources, known vulnerabilities
  soak   what CI runs of the simulator, the kills and the mutations with their full figures, in the release profile
  tidy   only the checks that build nothing: arrows between crates, file sizes, leftovers, error pages, links";

fn main() -> ExitCode {
    let chores: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match chores.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => ci::run(root()),
        ["deny"] => deny::run(root()),
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

/// The cargo that runs this chore, so that a toolchain chosen outside stays chosen. No step reads a terminal.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// The repository: the folder this package lives in.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
