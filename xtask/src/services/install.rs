//! Gets servers and what they need: from Debian, Maven Central, npm, PyPI and the Go module proxy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Folders, remove};

const COPY_JARS: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const INSTALL_GO: &str = "install Go 1.25 or later from https://go.dev/dl";
const INSTALL_PYTHON: &str =
    "install Python 3.11 or later with venv and pip, for example: apt-get install python3-venv python3-pip";
const INSTALL_NODE: &str = "install Node.js 20.12 or later with npm, for example: apt-get install nodejs npm";
/// Where Debian has the modules of its Python.
const PYTHON_MODULES: &str = "/usr/lib/python3/dist-packages";
/// Where Debian has servers, which is not in everybody's `PATH`.
const FOR_ADMINISTRATORS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The path of a program, which is installed from this Debian package if it is missing and root asks for it.
pub(super) fn debian(program: &str, package: &str) -> Result<PathBuf> {
    from_debian(program, package, || find(program))
}

/// As [`debian`], for a module of Debian's Python.
pub(super) fn python(module: &str, package: &str) -> Result<PathBuf> {
    let path = Path::new(PYTHON_MODULES).join(module);
    from_debian(module, package, || path.is_dir().then(|| path.clone()))
}

fn from_debian(name: &str, package: &str, find_it: impl Fn() -> Option<PathBuf>) -> Result<PathBuf> {
    let missing = || format!("{name} is not installed; install it, for example: apt-get install {package}");
    if let Some(path) = find_it() {
        return Ok(path);
    }
    ensure!(rustix::process::geteuid().is_root() && find("apt-get").is_some(), missing());
    let mut update = Command::new("apt-get");
    run(update.args(["-qq", "-o", "DPkg::Lock::Timeout=600", "update"]), "")?;
    let mut install = Command::new("apt-get");
    install.args(["-qq", "-o", "DPkg::Lock::Timeout=600", "install", "-y", "--no-install-recommends", package]);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"), "")?;
    find_it().with_context(missing)
}

/// Java and Maven.
pub(super) fn java() -> Result<()> {
    debian("java", "openjdk-17-jre-headless")?;
    debian("mvn", "maven").map(drop)
}

/// Downloads the jars that `pom.xml` names, and those that they need.
pub(super) fn jars(folders: &Folders) -> Result<()> {
    java()?;
    let from = folders.source.join("pom.xml");
    let stamp = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    remove(&folders.jars())?;
    fs::write(folders.home.join("pom.xml"), &stamp).context("cannot write pom.xml")?;
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--strict-checksums", COPY_JARS, "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", folders.jars().display())).current_dir(&folders.home);
    run(&mut maven, "")?;
    folders.set_stamp(&stamp)
}

/// Installs what `package-lock.json` names, beside a copy of `server.mjs`.
pub(super) fn npm(folders: &Folders) -> Result<()> {
    need("node", INSTALL_NODE)?;
    // The script finds its packages beside itself, so it is copied to where npm installs.
    for file in ["package.json", "package-lock.json", "server.mjs"] {
        let from = folders.source.join(file);
        fs::copy(&from, folders.home.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let stamp = fs::read_to_string(folders.source.join("package-lock.json"))?;
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folders.home);
    run(&mut npm, INSTALL_NODE)?;
    folders.set_stamp(&stamp)
}

/// Installs what `requirements.txt` names, with its checksums, into an environment of its own.
pub(super) fn pip(folders: &Folders) -> Result<()> {
    need("python3", INSTALL_PYTHON)?;
    let from = folders.source.join("requirements.txt");
    let stamp = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folders.home.join("venv"));
    run(&mut venv, INSTALL_PYTHON)?;
    let mut pip = Command::new(environment_python(folders));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    pip.args(["--require-hashes", "-r"]).arg(&from);
    run(&mut pip, INSTALL_PYTHON)?;
    folders.set_stamp(&stamp)
}

/// Python in the environment that [`pip`] makes.
pub(super) fn environment_python(folders: &Folders) -> PathBuf {
    folders.home.join("venv/bin/python")
}

/// A program that is written in Go, in a pinned version.
pub(super) struct GoProgram {
    pub(super) module: &'static str,
    pub(super) version: &'static str,
    /// The checksum of the module, as `go.sum` has it.
    pub(super) sum: &'static str,
    /// The folder of the program in the module.
    pub(super) package: &'static str,
    /// A file that the build needs and the module lacks, with its content.
    pub(super) file: Option<(&'static str, &'static str)>,
}

/// Builds a program from its module, as `program` in the folder of the server.
pub(super) fn go(folders: &Folders, program: &GoProgram) -> Result<()> {
    let GoProgram { module, version, sum, package, file } = program;
    let stamp = format!("{module} {version} {sum} {package} {file:?}");
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", &format!("{module}@{version}")]).current_dir(&folders.home);
    let output = capture(&mut go, INSTALL_GO)?;
    let downloaded: Value = serde_json::from_slice(&output).context("`go mod download -json` printed no JSON")?;
    let found = downloaded["Sum"].as_str().unwrap_or_default();
    ensure!(found == *sum, "{module}@{version} has the checksum `{found}`, expected `{sum}`");
    let from = downloaded["Dir"].as_str().context("`go mod download -json` did not say where the module is")?;
    // `go install` refuses modules that replace others and cannot add a file, so the module is built as the main one.
    let source = folders.home.join("source");
    remove(&source)?;
    copy(Path::new(from), &source)?;
    if let Some((path, content)) = file {
        fs::write(source.join(path), content).with_context(|| format!("cannot write {path} for {module}"))?;
    }
    let mut go = Command::new("go");
    go.args(["build", "-mod=mod", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(folders.program()).arg(package);
    run(go.current_dir(&source).env("CGO_ENABLED", "0"), INSTALL_GO)?;
    remove(&source)?;
    folders.set_stamp(&stamp)
}

/// Copies a folder with all that is in it. Links are left out: the modules of Go have none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let step = || -> std::io::Result<()> {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                copy(&from, &to).map_err(std::io::Error::other)?;
            } else if kind.is_file() {
                // Not `fs::copy`, because the cache of Go is read-only, and the build writes go.sum.
                fs::write(to, fs::read(from)?)?;
            }
        }
        Ok(())
    };
    step().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Runs a program to its end. Its output goes to standard error, because standard output is for the description.
pub(super) fn run(command: &mut Command, install: &str) -> Result<()> {
    let output = capture(command, install)?;
    eprint!("{}", String::from_utf8_lossy(&output));
    Ok(())
}

/// Runs a program to its end, and returns what it printed.
fn capture(command: &mut Command, install: &str) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{program} is not installed; {install}"),
        output => output.with_context(|| format!("cannot start {program}"))?,
    };
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout).trim_end()
    );
    Ok(output.stdout)
}

/// Fails unless a program is there. Asking now gives a better message than a failed start.
fn need(program: &str, install: &str) -> Result<()> {
    ensure!(find(program).is_some(), "{program} is not installed; {install}");
    Ok(())
}

/// Where a program is, if it is installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOR_ADMINISTRATORS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let error = need("finaira-has-no-such-program", "install it").unwrap_err().to_string();
        assert_eq!(error, "finaira-has-no-such-program is not installed; install it");
        let error = run(&mut Command::new("finaira-has-no-such-program"), "install it").unwrap_err().to_string();
        assert_eq!(error, "finaira-has-no-such-program is not installed; install it");
    }

    #[test]
    fn a_program_that_is_there_is_not_installed() {
        assert!(debian("sh", "finaira-has-no-such-package").unwrap().ends_with("sh"));
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_what_it_printed() {
        let error = run(Command::new("sh").args(["-c", "echo why; exit 3"]), "").unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3\nwhy"), "{error}");
    }

    #[test]
    fn a_copy_of_a_read_only_folder_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/b"), "1").unwrap();
        let mut permissions = fs::metadata(from.join("a/b")).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(from.join("a/b"), permissions).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b")).unwrap(), "1");
        assert!(!fs::metadata(to.join("a/b")).unwrap().permissions().readonly());
    }
}
