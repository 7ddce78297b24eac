//! Checks the dependencies against `deny.toml` with cargo-deny: licences, bans, sources and known vulnerabilities.
//!
//! The tool is built once into `target/tools`, in a pinned version and without optimisation, because building it takes
//! longer than all of its checks. Known vulnerabilities are in a database on GitHub. A machine that cannot fetch it skips
//! that check with a message, because the other checks are useful there too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const VERSION: &str = "0.20.2";

/// Runs every check that this machine can run.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tool = install(root)?;
    check(root, &tool, &["licenses", "bans", "sources"])?;
    if Command::new(&tool).args(["fetch", "db"]).current_dir(root).status()?.success() {
        check(root, &tool, &["--disable-fetch", "advisories"])
    } else {
        println!(
            "SKIPPED: the dependencies were not checked for known vulnerabilities, because the database at \
             https://github.com/RustSec/advisory-db cannot be fetched from here"
        );
        Ok(())
    }
}

fn check(root: &Path, tool: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(tool);
    command.args(["--locked", "check", "--hide-inclusion-graph"]).args(arguments).current_dir(root);
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Returns the path of the tool in the pinned version, which is built if it does not exist yet.
fn install(root: &Path) -> Result<PathBuf> {
    let home = root.join("target/tools");
    let tool = home.join("bin/cargo-deny");
    let version = Command::new(&tool).arg("--version").output();
    if version.is_ok_and(|output| output.stdout == format!("cargo-deny {VERSION}\n").as_bytes()) {
        return Ok(tool);
    }
    let build = home.join("build");
    let mut command = crate::cargo(root);
    command
        .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--profile", "dev", "--root"])
        .arg(&home)
        .arg("--target-dir")
        .arg(&build)
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "cannot install cargo-deny {VERSION}: {status}");
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    Ok(tool)
}
