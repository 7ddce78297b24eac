//! Gets the conformance cases of CEL from npm, in a pinned version with its checksum, for the test of `policy` that runs
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The variable that tells the test where the cases are.
pub(crate) const VARIABLE: &str = "FINAIRA_CEL_SPEC";
/// The variable that makes missing cases a failure.
pub(crate) const REQUIRED: &str = "FINAIRA_REQUIRE_CEL_SPEC";

const INSTALL_NODE: &str = "install Node.js 20.12 or later with npm, for example: apt-get install nodejs npm";
const LOCK: &str = "package-lock.json";

/// Downloads the cases, unless they are there, and returns the path of the file.
pub(crate) fn get(root: &Path) -> Result<PathBuf> {
    let (source, home) = (root.join("xtask/cel-spec"), root.join("target/cel-spec"));
    let (cases, stamp) = (home.join("conformance.json"), home.join("stamp"));
    let lock = fs::read_to_string(source.join(LOCK)).with_context(|| format!("cannot read {LOCK}"))?;
    if cases.is_file() && fs::read_to_string(&stamp).is_ok_and(|known| known == lock) {
        return Ok(cases);
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // The script finds its package beside itself, so it is copied to where npm installs.
    for file in ["package.json", LOCK, "write.mjs"] {
        fs::copy(source.join(file), home.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    let options = ["ci", "--omit=peer", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(options).current_dir(&home))?;
    run(Command::new("node").arg("write.mjs").arg(&cases).current_dir(&home))?;
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(cases)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {program}; {INSTALL_NODE}"))?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(())
}
