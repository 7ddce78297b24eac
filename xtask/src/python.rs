//! Environments of Python for tasks, in `target`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Makes an environment with the packages of `requirements.txt` in `folder`, and returns its interpreter. `home` is where the environment
/// is kept, and its name in messages; it is made again only if the requirements change.
///
/// # Errors
/// Fails if Python is missing, or if the packages cannot be installed.
pub(crate) fn environment(root: &Path, folder: &str, home: &str) -> Result<PathBuf> {
    ensure!(is_there(), "python3 with the module venv is not installed, for example: apt-get install python3-venv");
    let requirements = root.join(folder).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements);
    let wanted = wanted.with_context(|| format!("cannot read {folder}/requirements.txt"))?;
    let (at, stamp) = (root.join(home), root.join(home).join("requirements.txt"));
    let python = at.join("venv/bin/python");
    if fs::read_to_string(&stamp).is_ok_and(|known| known == wanted) {
        println!("the Python packages are in {home}");
        return Ok(python);
    }
    fs::create_dir_all(&at).with_context(|| format!("cannot make {home}"))?;
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(at.join("venv")))?;
    let mut pip = pip_install(&python);
    pip.args(["--timeout", "30", "--only-binary", ":all:", "--require-hashes", "-r"]);
    succeed(pip.arg(&requirements))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {home}/requirements.txt"))?;
    Ok(python)
}

/// `pip install` of an environment, to which the caller adds what it installs.
pub(crate) fn pip_install(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip
}

/// Runs a command to its end.
///
/// # Errors
/// Fails if it cannot be started, or if it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn is_there() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}
