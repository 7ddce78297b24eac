//! `cargo xtask opinion`: compares features with what DuckDB computes from the same payments. The scripts and the versions of what they
//! need are in `xtask/opinions`; the Python environment is in `target/opinions`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cargo;

/// Builds the release program and compares it.
pub(crate) fn run(root: &Path) -> Result<()> {
    ensure!(has_python(), "python3 with the module venv is not installed, for example: apt-get install python3-venv");
    let (scripts, home) = (root.join("xtask/opinions"), root.join("target/opinions"));
    let python = home.join("venv/bin/python");
    let requirements = scripts.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).context("cannot read xtask/opinions/requirements.txt")?;
    let stamp = home.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|known| known == wanted) {
        println!("the Python packages are in target/opinions");
    } else {
        fs::create_dir_all(&home).context("cannot make target/opinions")?;
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv")))?;
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--timeout",
            "30",
            "--only-binary",
            ":all:",
        ]);
        succeed(pip.args(["--require-hashes", "-r"]).arg(&requirements))?;
        fs::write(&stamp, wanted).context("cannot write target/opinions/requirements.txt")?;
    }
    succeed(cargo(root).args(["build", "--release", "--locked", "-p", "finaira"]))?;
    succeed(Command::new(&python).arg(scripts.join("features.py")).arg(root.join("target/release/finaira")))
}

fn has_python() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
