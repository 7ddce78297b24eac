//! `cargo xtask services`: starts the servers of other makers that tests talk to, in pinned versions.
//!
//! Each server lives in `target/services/<name>`: what was downloaded, the folder `run` with the data and the log of the
//! current or last run, and `running.json`, which says what runs. Everything listens on the loopback address.
//!
//! One file describes one server, as a [`Server`]. What was acknowledged by a server that keeps data is still there after
//! SIGKILL; none is configured to be faster than that.

mod azurite;
mod cassandra;
mod fake_gcs;
mod ferretdb;
mod install;
mod kafka;
mod keycloak;
mod mariadb;
mod moto;
mod nats;
mod oidc_provider;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod ready;
mod redis;
mod s3;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use process::Running;

pub(crate) const USAGE: &str = "usage: cargo xtask services get|up|down <name> [options]

  get   downloads the server in its pinned version, unless it is there already
  up    gets and starts it, waits until it is ready, and prints one line of JSON: its address and its pid, users and
        passwords, where its data is, how to rotate keys
  down  stops it

names:
  oidc-provider   an OpenID Connect server; needs Node.js with npm
  keycloak        an OpenID Connect server; needs Java with Maven
  postgres        PostgreSQL, from Debian
  mariadb         MariaDB, which speaks MySQL's protocol, from Debian
  redis           Redis, from Debian
  rabbitmq        RabbitMQ with streams, from Debian
  nats            NATS with JetStream, from Debian
  kafka           one broker of Apache Kafka; needs Java with Maven
  cassandra       Apache Cassandra; needs Java with Maven
  ferretdb        FerretDB, which speaks MongoDB's protocol; needs Go, and that postgres is up
  s3              SeaweedFS, an object store that speaks S3 and checks signatures; needs Go
  moto            Moto, an object store that speaks S3, in memory; needs Python 3.11 or later
  azurite         Azurite, an object store that speaks Azure Blob; needs Node.js with npm
  fake-gcs        fake-gcs-server, an object store that speaks Google Cloud Storage; needs Go

Where a Debian package or a program from one is missing, root gets it with apt-get; anyone else is told the command.

options of up, for the OpenID Connect servers:
  --audience NAME      what its access tokens have as `aud` (https://finaira.test)
  --token-seconds N    how long its access tokens are valid (300)

option of up, for the other servers:
  --keep               starts it on the data and on the ports of the run before; otherwise the data is new";

/// A server that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    OidcProvider,
    Keycloak,
    Postgres,
    Mariadb,
    Redis,
    Rabbitmq,
    Nats,
    Kafka,
    Cassandra,
    Ferretdb,
    S3,
    Moto,
    Azurite,
    FakeGcs,
}

/// What to do with a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Get(Service),
    Up(Service, Options),
    Down(Service),
}

/// How a server is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// What access tokens have as `aud`.
    audience: String,
    token_seconds: u32,
    /// Whether the data and the ports of the run before are used again.
    keep: bool,
}

/// A server: what its own file says about it.
struct Server {
    name: &'static str,
    /// The variable that makes the tests with this server run.
    variable: &'static str,
    takes: Takes,
    /// How long a start may take. Each is several times what a busy machine with two cores takes.
    patience: Duration,
    stop: Stop,
    /// Downloads it, unless it is there.
    get: fn(&Folders) -> Result<()>,
    /// Writes what it reads at its start, and says how it is started.
    prepare: fn(&Folders, &Options) -> Result<Starting>,
    /// Does what is left to do when it is ready.
    settle: fn(&Folders) -> Result<()>,
    /// Ends the processes that outlive the one that was started.
    end_rest: fn(&Folders) -> Result<()>,
}

/// Which options a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Tokens,
    Keep,
    Nothing,
}

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy)]
struct Stop {
    signal: Signal,
    /// How long it may take before it is killed.
    patience: Duration,
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

/// How a server says that it is ready. Where it does not write its own description, that is known before.
enum Readiness {
    /// It writes this file, with its description as JSON.
    File(PathBuf),
    /// It answers 200 at this path of this port.
    Answers { port: u16, path: String, description: Value },
    /// Its log contains this.
    Says { text: &'static str, description: Value },
}

impl Task {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let [task, name, options @ ..] = arguments else { bail!("expected a task and a name\n{USAGE}") };
        let service = Service::named(name)?;
        let task = match *task {
            "get" => Self::Get(service),
            "down" => Self::Down(service),
            "up" => return Ok(Self::Up(service, Options::parse(service.server(), options)?)),
            other => bail!("there is no task `{other}`\n{USAGE}"),
        };
        ensure!(options.is_empty(), "`{}` is more than the task takes\n{USAGE}", options.join(" "));
        Ok(task)
    }

    /// Returns what to print, if anything.
    pub(crate) fn run(&self, root: &Path) -> Result<Option<String>> {
        let service = match self {
            Self::Get(service) | Self::Up(service, _) | Self::Down(service) => *service,
        };
        let folders = service.folders(root);
        // Tests that run at the same time may start the same server: the second one is told that it runs.
        let _lock = folders.lock()?;
        match self {
            Self::Get(_) => (service.server().get)(&folders).map(|()| None),
            Self::Up(_, options) => up(service.server(), &folders, options).map(Some),
            Self::Down(_) => down(service.server(), &folders).map(|()| None),
        }
    }
}

impl Options {
    fn parse(server: &Server, arguments: &[&str]) -> Result<Self> {
        let mut options = Self { audience: "https://finaira.test".to_owned(), token_seconds: 300, keep: false };
        let mut rest = arguments.iter();
        while let Some(&option) = rest.next() {
            let mut value = || rest.next().copied().with_context(|| format!("`{option}` needs a value\n{USAGE}"));
            match (option, server.takes) {
                ("--keep", Takes::Keep) => options.keep = true,
                ("--audience", Takes::Tokens) => value()?.clone_into(&mut options.audience),
                ("--token-seconds", Takes::Tokens) => {
                    let value = value()?;
                    options.token_seconds = value.parse().ok().filter(|seconds| *seconds > 0).with_context(|| {
                        format!("`--token-seconds` takes a number of seconds from 1, found `{value}`")
                    })?;
                }
                _ => bail!("{} has no option `{option}`\n{USAGE}", server.name),
            }
        }
        Ok(options)
    }
}

impl Service {
    pub(crate) const ALL: [Self; 14] = [
        Self::OidcProvider,
        Self::Keycloak,
        Self::Postgres,
        Self::Mariadb,
        Self::Redis,
        Self::Rabbitmq,
        Self::Nats,
        Self::Kafka,
        Self::Cassandra,
        Self::Ferretdb,
        Self::S3,
        Self::Moto,
        Self::Azurite,
        Self::FakeGcs,
    ];

    fn named(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|service| service.name() == name);
        found.with_context(|| format!("there is no server `{name}`; expected one of {names}"))
    }

    pub(crate) const fn name(self) -> &'static str {
        self.server().name
    }

    /// The variable that makes the tests with this server run.
    pub(crate) const fn variable(self) -> &'static str {
        self.server().variable
    }

    const fn server(self) -> &'static Server {
        match self {
            Self::OidcProvider => &oidc_provider::SERVER,
            Self::Keycloak => &keycloak::SERVER,
            Self::Postgres => &postgres::SERVER,
            Self::Mariadb => &mariadb::SERVER,
            Self::Redis => &redis::SERVER,
            Self::Rabbitmq => &rabbitmq::SERVER,
            Self::Nats => &nats::SERVER,
            Self::Kafka => &kafka::SERVER,
            Self::Cassandra => &cassandra::SERVER,
            Self::Ferretdb => &ferretdb::SERVER,
            Self::S3 => &s3::SERVER,
            Self::Moto => &moto::SERVER,
            Self::Azurite => &azurite::SERVER,
            Self::FakeGcs => &fake_gcs::SERVER,
        }
    }

    fn folders(self, root: &Path) -> Folders {
        let home = root.join("target/services").join(self.name());
        Folders { source: root.join("xtask/services").join(self.name()), run: home.join("run"), home }
    }
}

impl Stop {
    /// What most servers understand.
    const TERM: Self = Self { signal: Signal::TERM, patience: Duration::from_secs(20) };
}

impl Folders {
    /// Waits until no other task does something with this server. Dropping the file lets the next one go on. It is beside the folder
    /// of the server, which may be removed to download everything again.
    fn lock(&self) -> Result<fs::File> {
        fs::create_dir_all(&self.home).with_context(|| format!("cannot create {}", self.home.display()))?;
        let path = self.home.with_extension("lock");
        let file = fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    fn log(&self) -> PathBuf {
        self.run.join("log")
    }

    fn data(&self) -> PathBuf {
        self.run.join("data")
    }

    fn running(&self) -> PathBuf {
        self.home.join("running.json")
    }

    /// A file that is there when the server was ready, so that its data is complete.
    fn started(&self) -> PathBuf {
        self.run.join("started")
    }

    /// Removes what the run before wrote. Its data may be elsewhere, with a link that says where.
    fn remove_run(&self) -> Result<()> {
        if let Ok(elsewhere) = fs::read_link(self.data()) {
            remove(&elsewhere)?;
        }
        remove(&self.run)
    }

    /// Copies a file of the repository into the folder of the run, with each `@NAME@` replaced by its value.
    fn fill(&self, file: &str, values: &[(&str, &str)]) -> Result<PathBuf> {
        let from = self.source.join(file);
        let mut text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        for (name, value) in values {
            text = text.replace(&format!("@{name}@"), value);
        }
        let to = self.run.join(file);
        fs::write(&to, text).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(to)
    }

    /// What [`install::jars`] downloads.
    fn jars(&self) -> PathBuf {
        self.home.join("jars")
    }

    /// What [`install::go`] builds.
    fn program(&self) -> PathBuf {
        self.home.join("program")
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
fn up(server: &Server, folders: &Folders, options: &Options) -> Result<String> {
    let name = server.name;
    if let Some(running) = Running::read(&folders.running())? {
        // A test that has just killed the server need not wait until it is gone.
        let patience = if options.keep { process::KILL_PATIENCE } else { Duration::ZERO };
        if process::wait_until(patience, || Ok((!running.is_alive()).then_some(())))?.is_none() {
            bail!("{name} runs already, with the pid {}; stop it with `cargo xtask services down {name}`", running.pid);
        }
    }
    (server.get)(folders)?;
    (server.end_rest)(folders)?;
    if options.keep {
        ensure!(folders.started().is_file(), "{name} has no data to keep; start it without `--keep` first");
    } else {
        folders.remove_run()?;
        fs::create_dir_all(folders.data()).with_context(|| format!("cannot create {}", folders.data().display()))?;
    }
    let started = (server.prepare)(folders, options).and_then(|starting| start(server, folders, starting));
    if started.is_err() {
        (server.end_rest)(folders)?;
    }
    started
}

/// Starts what is prepared, and waits until it is ready.
fn start(server: &Server, folders: &Folders, starting: Starting) -> Result<String> {
    let Starting { mut command, readiness } = starting;
    let log = fs::File::create(folders.log()).context("cannot create the log")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if command.get_current_dir().is_none() {
        command.current_dir(&folders.run);
    }
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let running = Running::of(child.id())?;
    // Written before the server is ready, so that `down` can stop one whose start was interrupted.
    running.write(&folders.running(), &Value::Null)?;
    let described = ready::wait(&mut child, &readiness, &folders.log(), server.patience).and_then(|mut description| {
        (server.settle)(folders)?;
        description["name"] = server.name.into();
        description["pid"] = running.pid.into();
        description["log"] = folders.log().display().to_string().into();
        if server.takes == Takes::Keep {
            description["data"] = folders.data().display().to_string().into();
        }
        running.write(&folders.running(), &description)?;
        fs::write(folders.started(), "").context("cannot write that the server was ready")?;
        Ok(description.to_string())
    });
    described.or_else(|error| {
        process::stop(&running, server.stop)?;
        child.wait().context("cannot wait for the server")?;
        remove(&folders.running())?;
        let log = String::from_utf8_lossy(&fs::read(folders.log()).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.split_at(lines.len().saturating_sub(20)).1.join("\n");
        bail!("{}: {error:#}; the end of its log, {}:\n{end}", server.name, folders.log().display())
    })
}

/// Stops a server. One that does not run is fine.
fn down(server: &Server, folders: &Folders) -> Result<()> {
    if let Some(running) = Running::read(&folders.running())? {
        process::stop(&running, server.stop).with_context(|| format!("cannot stop {}", server.name))?;
    }
    (server.end_rest)(folders)?;
    remove(&folders.running())
}

/// What most servers have left to do, or have left running.
#[expect(clippy::unnecessary_wraps, reason = "it is one of several functions")]
const fn nothing(_: &Folders) -> Result<()> {
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Options {
        Options { audience: "https://finaira.test".to_owned(), token_seconds: 300, keep: false }
    }

    #[test]
    fn a_task_names_a_server() {
        assert_eq!(Task::parse(&["get", "keycloak"]).unwrap(), Task::Get(Service::Keycloak));
        assert_eq!(Task::parse(&["down", "oidc-provider"]).unwrap(), Task::Down(Service::OidcProvider));
        assert_eq!(Task::parse(&["up", "keycloak"]).unwrap(), Task::Up(Service::Keycloak, defaults()));
        let options = Options { audience: "https://pay.example".to_owned(), token_seconds: 5, ..defaults() };
        let words = ["up", "oidc-provider", "--token-seconds", "5", "--audience", "https://pay.example"];
        assert_eq!(Task::parse(&words).unwrap(), Task::Up(Service::OidcProvider, options));
        let options = Options { keep: true, ..defaults() };
        assert_eq!(Task::parse(&["up", "postgres", "--keep"]).unwrap(), Task::Up(Service::Postgres, options));
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
        refuses(&["up", "dex"], "no server `dex`; expected one of oidc-provider, keycloak, postgres, ");
        refuses(&["down", "keycloak", "now"], "`now` is more");
        refuses(&["up", "keycloak", "--audience"], "`--audience` needs a value");
        refuses(&["up", "keycloak", "--token-seconds", "0"], "seconds from 1, found `0`");
        refuses(&["up", "keycloak", "--port", "80"], "no option `--port`");
        refuses(&["up", "keycloak", "--keep"], "keycloak has no option `--keep`");
        refuses(&["up", "redis", "--audience", "https://pay.example"], "redis has no option `--audience`");
    }

    #[test]
    fn every_server_is_found_by_its_name_and_described() {
        for service in Service::ALL {
            assert_eq!(Service::named(service.name()).unwrap(), service);
            assert!(USAGE.contains(&format!("\n  {} ", service.name())), "{}", service.name());
            let variable = format!("FINAIRA_REQUIRE_{}", service.name().to_uppercase().replace('-', "_"));
            assert_eq!(service.variable(), variable);
        }
    }

    /// A server whose data is a file with the number of its starts.
    const COUNTER: Server = Server {
        name: "counter",
        variable: "",
        takes: Takes::Keep,
        patience: Duration::from_secs(60),
        stop: Stop::TERM,
        get: nothing,
        prepare: |folders, _| {
            let [port] = ports::ports(folders)?;
            let mut command = Command::new("sh");
            command.args(["-c", "echo start >>data/starts; echo is ready; exec sleep 600"]);
            let description = serde_json::json!({"port": port});
            Ok(Starting { command, readiness: Readiness::Says { text: "is ready", description } })
        },
        settle: nothing,
        end_rest: nothing,
    };

    #[test]
    fn a_server_that_was_killed_starts_again_on_its_data_and_ports() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let folders = Folders { source: home.clone(), run: home.join("run"), home };
        let up = |keep| -> Result<Value> {
            Ok(serde_json::from_str(&up(&COUNTER, &folders, &Options { keep, ..defaults() })?)?)
        };
        let starts = || fs::read_to_string(folders.data().join("starts")).unwrap().lines().count();
        assert!(up(true).unwrap_err().to_string().contains("no data to keep"));

        let first = up(false).unwrap();
        assert!(up(false).unwrap_err().to_string().contains("runs already"));
        let pid = i32::try_from(first["pid"].as_u64().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let second = up(true).unwrap();
        assert_eq!((&second["port"], &second["data"]), (&first["port"], &first["data"]));
        assert_ne!(second["pid"], first["pid"]);
        assert_eq!(starts(), 2);

        down(&COUNTER, &folders).unwrap();
        down(&COUNTER, &folders).unwrap();
        up(true).unwrap();
        assert_eq!(starts(), 3);
        down(&COUNTER, &folders).unwrap();
        up(false).unwrap();
        assert_eq!(starts(), 1);
        down(&COUNTER, &folders).unwrap();
    }

    #[test]
    fn two_tasks_with_one_server_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let folders = Folders { source: home.clone(), run: home.join("run"), home };
        let first = folders.lock().unwrap();
        let second = fs::File::open(folder.path().join("home.lock")).unwrap();
        assert!(matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(first);
        second.try_lock().unwrap();
    }

    #[test]
    fn data_that_is_elsewhere_is_removed_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let folders = Folders { source: home.clone(), run: home.join("run"), home };
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir_all(&folders.run).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folders.data()).unwrap();
        folders.remove_run().unwrap();
        assert!(!elsewhere.is_dir() && !folders.run.is_dir());
        folders.remove_run().unwrap();
    }
}
