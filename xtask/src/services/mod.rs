//! `cargo xtask services`: starts the servers of other makers that tests talk to, in pinned versions.
//!
//! Each server lives in `target/services/<name>`: what was downloaded, the folder `run` with the data and the log of the
//! current or last run, and `running.json`, which says what runs. Everything listens on the loopback address.

mod keycloak;
mod oidc_provider;
mod process;
mod ready;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use process::Running;

pub(crate) const USAGE: &str = "usage: cargo xtask services get|up|down <name> [options]

  get   downloads the server in its pinned version, unless it is there already
  up    gets and starts it, waits until it is ready, and prints one line of JSON: addresses, clients, how to rotate keys
  down  stops it

names:
  oidc-provider   an OpenID Connect server; needs Node.js with npm
  keycloak        an OpenID Connect server; needs Java with Maven

options of up:
  --audience NAME      what its access tokens have as `aud` (https://finaira.test)
  --token-seconds N    how long its access tokens are valid (300)";

/// A server that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    OidcProvider,
    Keycloak,
}

/// What to do with a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Get(Service),
    Up(Service, Options),
    Down(Service),
}

/// How the server's tokens should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    audience: String,
    token_seconds: u32,
}

/// Where a server's files are.
struct Folders {
    /// What the repository has about it.
    source: PathBuf,
    /// What was downloaded.
    home: PathBuf,
    /// What the current run writes.
    run: PathBuf,
}

/// A server that was told to start.
struct Starting {
    command: Command,
    readiness: Readiness,
}

/// How a server says that it is ready.
enum Readiness {
    /// It writes this file, with its description as JSON.
    File(PathBuf),
    /// It answers 200 at this path of this port. The description is known before.
    Answers { port: u16, path: String, description: Value },
}

impl Task {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let [task, name, options @ ..] = arguments else { bail!("expected a task and a name\n{USAGE}") };
        let service = Service::named(name)?;
        let task = match *task {
            "get" => Self::Get(service),
            "down" => Self::Down(service),
            "up" => return Ok(Self::Up(service, Options::parse(options)?)),
            other => bail!("there is no task `{other}`\n{USAGE}"),
        };
        ensure!(options.is_empty(), "`{}` is more than the task takes\n{USAGE}", options.join(" "));
        Ok(task)
    }

    /// Returns what to print, if anything.
    pub(crate) fn run(&self, root: &Path) -> Result<Option<String>> {
        match self {
            Self::Get(service) => service.get(&service.folders(root)).map(|()| None),
            Self::Up(service, options) => up(*service, &service.folders(root), options).map(Some),
            Self::Down(service) => down(*service, &service.folders(root)).map(|()| None),
        }
    }
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self { audience: "https://finaira.test".to_owned(), token_seconds: 300 };
        let mut rest = arguments.iter();
        while let Some(&option) = rest.next() {
            let value = *rest.next().with_context(|| format!("`{option}` needs a value\n{USAGE}"))?;
            match option {
                "--audience" => options.audience = value.to_owned(),
                "--token-seconds" => {
                    options.token_seconds = value.parse().ok().filter(|seconds| *seconds > 0).with_context(|| {
                        format!("`--token-seconds` takes a number of seconds from 1, found `{value}`")
                    })?;
                }
                _ => bail!("there is no option `{option}`\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::OidcProvider, Self::Keycloak];

    fn named(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|service| service.name() == name);
        found.with_context(|| format!("there is no server `{name}`; expected one of {names}"))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OidcProvider => "oidc-provider",
            Self::Keycloak => "keycloak",
        }
    }

    /// The variable that makes the tests with this server run.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::OidcProvider => "FINAIRA_REQUIRE_OIDC_PROVIDER",
            Self::Keycloak => "FINAIRA_REQUIRE_KEYCLOAK",
        }
    }

    /// How long a start may take. Each is several times what a busy machine with two cores takes.
    const fn patience(self) -> Duration {
        match self {
            Self::OidcProvider => Duration::from_secs(60),
            Self::Keycloak => Duration::from_secs(9 * 60),
        }
    }

    fn folders(self, root: &Path) -> Folders {
        let home = root.join("target/services").join(self.name());
        Folders { source: root.join("xtask/services").join(self.name()), run: home.join("run"), home }
    }

    fn get(self, folders: &Folders) -> Result<()> {
        fs::create_dir_all(&folders.home).with_context(|| format!("cannot create {}", folders.home.display()))?;
        match self {
            Self::OidcProvider => oidc_provider::get(folders),
            Self::Keycloak => keycloak::get(folders),
        }
    }

    fn prepare(self, folders: &Folders, options: &Options) -> Result<Starting> {
        match self {
            Self::OidcProvider => oidc_provider::prepare(folders, options),
            Self::Keycloak => keycloak::prepare(folders, options),
        }
    }
}

impl Folders {
    fn log(&self) -> PathBuf {
        self.run.join("log")
    }

    fn running(&self) -> PathBuf {
        self.home.join("running.json")
    }

    /// Whether `stamp` was left by [`Folders::set_stamp`], so that nothing has to be downloaded.
    fn has_stamp(&self, stamp: &str) -> bool {
        fs::read_to_string(self.home.join("installed")).is_ok_and(|found| found == stamp)
    }

    /// Says that the download which `stamp` describes is complete.
    fn set_stamp(&self, stamp: &str) -> Result<()> {
        fs::write(self.home.join("installed"), stamp).context("cannot write the stamp of the download")
    }
}

/// Starts a server, and returns its description as one line of JSON.
fn up(service: Service, folders: &Folders, options: &Options) -> Result<String> {
    if let Some(running) = Running::read(&folders.running())?.filter(Running::is_alive) {
        let name = service.name();
        bail!("{name} runs already, with the pid {}; stop it with `cargo xtask services down {name}`", running.pid);
    }
    service.get(folders)?;
    remove(&folders.run)?;
    fs::create_dir_all(&folders.run).with_context(|| format!("cannot create {}", folders.run.display()))?;
    let Starting { mut command, readiness } = service.prepare(folders, options)?;
    let log = fs::File::create(folders.log()).context("cannot create the log")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let running = Running::of(child.id())?;
    // Written before the server is ready, so that `down` can stop one whose start was interrupted.
    running.write(&folders.running(), &Value::Null)?;
    let described = ready::wait(&mut child, &readiness, service.patience()).and_then(|mut description| {
        description["pid"] = running.pid.into();
        description["log"] = folders.log().display().to_string().into();
        running.write(&folders.running(), &description)?;
        Ok(description.to_string())
    });
    described.or_else(|error| {
        process::stop(&running)?;
        child.wait().context("cannot wait for the server")?;
        remove(&folders.running())?;
        let log = fs::read_to_string(folders.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.split_at(lines.len().saturating_sub(20)).1.join("\n");
        bail!("{}: {error:#}; the end of its log, {}:\n{end}", service.name(), folders.log().display())
    })
}

/// Stops a server. One that does not run is fine.
fn down(service: Service, folders: &Folders) -> Result<()> {
    if let Some(running) = Running::read(&folders.running())? {
        process::stop(&running).with_context(|| format!("cannot stop {}", service.name()))?;
    }
    remove(&folders.running())
}

/// Removes a file, or a folder with all that is in it, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Runs a program to its end. Its output goes to standard error, because standard output is for the description.
fn run(command: &mut Command, install: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{program} is not installed; {install}"),
        output => output.with_context(|| format!("cannot start {program}"))?,
    };
    eprint!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(())
}

/// Fails unless a program is there. Asking now gives a better message than a failed start.
fn need(program: &str, install: &str) -> Result<()> {
    match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{program} is not installed; {install}"),
        Err(error) => Err(error).with_context(|| format!("cannot start {program}")),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Options {
        Options { audience: "https://finaira.test".to_owned(), token_seconds: 300 }
    }

    #[test]
    fn a_task_names_a_server() {
        assert_eq!(Task::parse(&["get", "keycloak"]).unwrap(), Task::Get(Service::Keycloak));
        assert_eq!(Task::parse(&["down", "oidc-provider"]).unwrap(), Task::Down(Service::OidcProvider));
        assert_eq!(Task::parse(&["up", "keycloak"]).unwrap(), Task::Up(Service::Keycloak, defaults()));
        let options = Options { audience: "https://pay.example".to_owned(), token_seconds: 5 };
        let words = ["up", "oidc-provider", "--token-seconds", "5", "--audience", "https://pay.example"];
        assert_eq!(Task::parse(&words).unwrap(), Task::Up(Service::OidcProvider, options));
    }

    #[test]
    fn a_wrong_task_is_an_error_that_says_why() {
        #[track_caller]
        fn refuses(words: &[&str], complaint: &str) {
            let error = Task::parse(words).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        refuses(&["up"], "expected a task and a name");
        refuses(&["start", "keycloak"], "no task `start`");
        refuses(&["up", "dex"], "no server `dex`; expected one of oidc-provider, keycloak");
        refuses(&["down", "keycloak", "now"], "`now` is more");
        refuses(&["up", "keycloak", "--audience"], "`--audience` needs a value");
        refuses(&["up", "keycloak", "--token-seconds", "0"], "seconds from 1, found `0`");
        refuses(&["up", "keycloak", "--port", "80"], "no option `--port`");
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let error = need("finaira-has-no-such-program", "install it").unwrap_err().to_string();
        assert_eq!(error, "finaira-has-no-such-program is not installed; install it");
        let error = run(&mut Command::new("finaira-has-no-such-program"), "install it").unwrap_err().to_string();
        assert_eq!(error, "finaira-has-no-such-program is not installed; install it");
    }
}
