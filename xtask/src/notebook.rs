//! `cargo xtask notebook`: installs the Python package `sdk/python-data`, runs its tests, and executes the notebook in
//! `examples/notebook`. The versions of what they need are in `xtask/notebook`; the Python environment is in `target/notebook`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo;
use crate::python::{environment, pip_install, succeed};

/// The package.
const PACKAGE: &str = "sdk/python-data";
/// The notebook.
const NOTEBOOK: &str = "examples/notebook/fraud.ipynb";

/// Builds the release program and runs both with it.
pub(crate) fn run(root: &Path) -> Result<()> {
    let python = environment(root, "xtask/notebook", "target/notebook")?;
    succeed(cargo(root).args(["build", "--release", "--locked", "-p", "finaira"]))?;
    // What it needs, and what builds it, is installed already.
    let mut install = pip_install(&python);
    install.args(["--force-reinstall", "--no-deps", "--no-build-isolation", "--no-index"]);
    succeed(install.arg(root.join(PACKAGE)))?;
    let finaira = root.join("target/release/finaira");
    let tests = root.join(PACKAGE).join("tests");
    succeed(Command::new(&python).args(["-m", "unittest", "discover"]).arg(tests).env("FINAIRA", &finaira))?;
    let mut execute = Command::new(&python);
    execute.arg(root.join("xtask/notebook/execute.py")).arg(root.join(NOTEBOOK));
    succeed(execute.env("FINAIRA", &finaira))
}
