//! `cargo xtask opinion`: compares features with what DuckDB computes from the same payments. The scripts and the versions of what they
//! need are in `xtask/opinions`; the Python environment is in `target/opinions`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo;
use crate::python::{environment, succeed};

/// Builds the release program and compares it.
pub(crate) fn run(root: &Path) -> Result<()> {
    let python = environment(root, "xtask/opinions", "target/opinions")?;
    succeed(cargo(root).args(["build", "--release", "--locked", "-p", "finaira"]))?;
    let script = root.join("xtask/opinions/features.py");
    succeed(Command::new(&python).arg(script).arg(root.join("target/release/finaira")))
}
