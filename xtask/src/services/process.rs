//! The process of a server: how it is recognised later, and how it is stopped.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Stop;

/// How long a killed process may take to be gone.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A process that was started. Its pid alone would not do: the system gives the pid of a process that ended to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// When it started, in clock ticks since the system did.
    started: u64,
}

impl Running {
    /// The process with this pid, which must be alive.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let (_, started) = look(pid)?.with_context(|| format!("the process {pid} ended at once"))?;
        Ok(Self { pid, started })
    }

    /// Reads what [`Running::write`] wrote, or `None` if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let read = || {
            let value: Value = serde_json::from_slice(&text).ok()?;
            let pid = value["pid"].as_u64()?.try_into().ok()?;
            Some(Self { pid, started: value["started"].as_u64()? })
        };
        let wrong =
            || format!("{} does not say what runs; stop the server yourself, and remove the file", path.display());
        read().with_context(wrong).map(Some)
    }

    pub(super) fn write(&self, path: &Path, description: &Value) -> Result<()> {
        let value = json!({"pid": self.pid, "started": self.started, "description": description});
        fs::write(path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether this process runs. One that ended and waits for its parent does not.
    pub(super) fn is_alive(&self) -> bool {
        matches!(look(self.pid), Ok(Some((state, started))) if started == self.started && state != 'Z')
    }
}

/// Asks a process to end, waits for it, and kills it if it takes too long.
pub(super) fn stop(running: &Running, ask: Stop) -> Result<()> {
    for (signal, patience) in [(ask.signal, ask.patience), (Signal::KILL, KILL_PATIENCE)] {
        if !running.is_alive() {
            return Ok(());
        }
        let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw).context("the pid is not one")?;
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => bail!("cannot signal the process {}: {error}", running.pid),
        }
        if wait_until(patience, || Ok((!running.is_alive()).then_some(())))?.is_some() {
            return Ok(());
        }
    }
    bail!("the process {} is still there {} s after it was killed", running.pid, KILL_PATIENCE.as_secs())
}

/// Asks again and again until there is an answer, or returns `None` after `patience`.
#[expect(
    clippy::disallowed_methods,
    reason = "no channel tells about a process that is not a child, or about its port"
)]
pub(super) fn wait_until<T>(patience: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if started.elapsed() >= patience {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The state of a process and when it started, or `None` if there is none with this pid.
fn look(pid: u32) -> Result<Option<(char, u64)>> {
    ensure!(cfg!(target_os = "linux"), "servers can be started on Linux only, because /proc tells how they are");
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => parse(&text).with_context(|| format!("cannot read /proc/{pid}/stat: `{}`", text.trim())).map(Some),
        // A process that ends while its file is read.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read /proc/{pid}/stat")),
    }
}

/// Reads `<pid> (<name>) <state> …`, whose 22nd field is the start. The name may contain anything.
fn parse(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name() {
        let rest = "1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse(&format!("12 (a) b) S {rest}")), Some(('S', 4711)));
        assert_eq!(parse("12 (a) S 1"), None);
    }

    #[test]
    fn a_process_is_stopped_and_another_with_its_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let running = Running::of(child.id()).unwrap();
        let other = Running { started: running.started + 1, ..running };
        assert!(running.is_alive() && !other.is_alive());
        stop(&other, Stop::TERM).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        stop(&running, Stop::TERM).unwrap();
        assert!(!running.is_alive());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_process_that_ignores_the_signal_is_killed() {
        let script = "trap '' TERM; while :; do sleep 0.05; done";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let running = Running::of(child.id()).unwrap();
        stop(&running, Stop { patience: Duration::from_millis(300), ..Stop::TERM }).unwrap();
        assert!(!running.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn what_runs_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("running.json");
        assert_eq!(Running::read(&file).unwrap(), None);
        let running = Running { pid: 7, started: 8 };
        running.write(&file, &json!({"issuer": "a"})).unwrap();
        assert_eq!(Running::read(&file).unwrap(), Some(running));
        fs::write(&file, "{}").unwrap();
        assert!(Running::read(&file).unwrap_err().to_string().contains("does not say what runs"));
    }
}
