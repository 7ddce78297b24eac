//! PostgreSQL, from Debian. `finaira` is its superuser, whose password it checks with SCRAM.
//!
//! It refuses to run as root, so root runs it as the user that its package makes.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::install::{debian, run};
use super::ports::ports;
use super::process::wait_until;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing, remove};

pub(super) const SERVER: Server = Server {
    name: "postgres",
    variable: "FINAIRA_REQUIRE_POSTGRES",
    takes: Takes::Keep,
    patience: Duration::from_secs(60),
    // SIGTERM would wait until every client has left.
    stop: Stop { signal: Signal::INT, patience: Duration::from_secs(20) },
    get: |_| programs().map(drop),
    prepare,
    settle: nothing,
    end_rest,
};

const USER: &str = "finaira";
/// Where Debian has the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
const WHO_MAY_CONNECT: &str = "\
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
";

fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let programs = programs()?;
    let user = User::of_package()?;
    let data = if options.keep {
        let data = fs::canonicalize(folders.data()).context("cannot find the data")?;
        // One that was killed left it. It is surely gone, but its parent may not have noticed yet, and then the file would stop
        // the next one.
        remove(&data.join("postmaster.pid"))?;
        data
    } else {
        let data = place(folders, user)?;
        make(&programs, user, &data)?;
        data
    };
    let [port] = ports(folders)?;
    let mut command = as_user(&programs.join("postgres"), user, &data);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "wal_level=logical"]);
    command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
    let description = json!({
        "url": format!("postgres://{USER}:{USER}@127.0.0.1:{port}/postgres"),
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": USER,
        "database": "postgres",
    });
    Ok(Starting { command, readiness: Readiness::Says { text: "ready to accept connections", description } })
}

/// The folder with the programs of the newest version that is installed.
fn programs() -> Result<PathBuf> {
    let newest = || {
        let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let installed = |version: &u32| Path::new(&format!("{VERSIONS}/{version}/bin/postgres")).is_file();
        versions.filter(installed).max().map(|version| PathBuf::from(format!("{VERSIONS}/{version}/bin")))
    };
    if let Some(found) = newest() {
        return Ok(found);
    }
    debian("postgres", "postgresql").or_else(|error| newest().context(error))?;
    newest().with_context(|| format!("there is no postgres in {VERSIONS}"))
}

/// The user that runs the server instead of root.
#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl User {
    /// The user of the package, or `None` if somebody other than root runs this.
    fn of_package() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let mut found = users.lines().filter_map(|line| Self::parse(line, "postgres"));
        found.next().context("there is no user postgres, which the package postgresql makes").map(Some)
    }

    /// Reads `<name>:<password>:<id>:<group>:…`.
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':').skip(1);
        Some(Self { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    }
}

/// A program that runs as this user, in a folder that the user may enter.
fn as_user(program: &Path, user: Option<User>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    command.current_dir(folder);
    command
}

/// A folder for the data that belongs to the user. Where the user may not enter the folders above, such as the home of root,
/// the data is in the folder for temporary files, and a link says where.
fn place(folders: &Folders, user: Option<User>) -> Result<PathBuf> {
    let data = folders.data();
    let Some(user) = user else { return Ok(data) };
    chown(&data, Some(user.id), Some(user.group)).with_context(|| format!("cannot give away {}", data.display()))?;
    let mut test = Command::new("test");
    test.arg("-x").arg(&data).uid(user.id).gid(user.group);
    if test.status().context("cannot start test")?.success() {
        return Ok(data);
    }
    let distant = std::env::temp_dir().join(format!("finaira-postgres-{}", std::process::id()));
    let step = || -> std::io::Result<()> {
        fs::create_dir(&distant)?;
        chown(&distant, Some(user.id), Some(user.group))?;
        fs::remove_dir(&data)?;
        symlink(&distant, &data)
    };
    step().with_context(|| format!("cannot make {} for the data", distant.display()))?;
    Ok(distant)
}

/// Makes an empty database.
fn make(programs: &Path, user: Option<User>, data: &Path) -> Result<()> {
    let mut initdb = as_user(&programs.join("initdb"), user, data);
    // Nothing was acknowledged yet, so nothing can be lost.
    initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
    initdb.arg(format!("--username={USER}")).arg("-D").arg(data);
    run(&mut initdb, "")?;
    // The password cannot be given to `initdb` in a file, because the user may be unable to read any of ours.
    let mut single = as_user(&programs.join("postgres"), user, data);
    single.args(["--single", "-D"]).arg(data).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut single = single.spawn().context("cannot start postgres")?;
    let mut input = single.stdin.take().context("postgres has no standard input")?;
    writeln!(input, "ALTER USER {USER} PASSWORD '{USER}'").context("cannot set the password")?;
    drop(input);
    let status = single.wait().context("cannot wait for postgres")?;
    ensure!(status.success(), "postgres could not set the password: {status}");
    fs::write(data.join("pg_hba.conf"), WHO_MAY_CONNECT).context("cannot write pg_hba.conf")
}

/// Ends the processes that outlive the one that was killed. It cannot start again before they are gone, and one that serves a busy
/// client takes seconds to notice. Killing them loses nothing that the next start does not recover.
fn end_rest(folders: &Folders) -> Result<()> {
    let data = match fs::canonicalize(folders.data()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        data => data.with_context(|| format!("cannot look at {}", folders.data().display()))?,
    };
    for pid in processes(&data)? {
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => bail!("cannot kill the process {pid:?} of postgres: {error}"),
        }
    }
    let gone = wait_until(PATIENCE, || Ok(processes(&data)?.is_empty().then_some(())))?;
    gone.context("a process of postgres is still there after it was killed")
}

/// The processes of the server with this data, all of which work in its folder.
fn processes(data: &Path) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let process = entry.context("cannot read /proc")?.path();
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // Processes that end meanwhile and those of other users have no answer.
        let is_postgres = fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "postgres");
        if is_postgres && fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == data) {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_its_line() {
        let line = "postgres:x:105:111:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        let user = User::parse(line, "postgres").unwrap();
        assert_eq!((user.id, user.group), (105, 111));
        assert!(User::parse(line, "post").is_none());
    }

    #[test]
    fn processes_are_found_by_their_name_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = fs::canonicalize(folder.path()).unwrap();
        // A link, because a copy cannot be run while another test's child still holds it open for writing.
        let program = data.join("postgres");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("600").current_dir(&data).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let elsewhere = processes(Path::new("/"));
        let here = processes(&data);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(here.unwrap(), [pid]);
        assert!(!elsewhere.unwrap().contains(&pid));
        assert!(processes(&data).unwrap().is_empty());
    }
}
