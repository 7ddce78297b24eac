//! The server under test: a `finaira serve` process with its own directory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::Advice;
use rustix::process::{Pid, Signal, kill_process};
use server::Stopwatch;

use super::settings::Proofs;
use super::tls::{Address, Tls};

/// How long a load runs before the server is killed.
const KILL_AFTER: Duration = Duration::from_millis(500);

/// A server process, which is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) address: Address,
    /// The API key, if this start generated one.
    pub(super) key: Option<String>,
    /// The seconds from the start until the server reported its address.
    pub(super) ready_after_s: f64,
}

impl Process {
    pub(super) fn start(data: &Path, proofs: Proofs, tls: &Tls) -> anyhow::Result<Self> {
        let since = Stopwatch::start();
        let mut command = Command::new(std::env::current_exe().context("cannot find the path of this program")?);
        command.arg("serve").arg("--data").arg(data).args(["--listen", "127.0.0.1:0", "--log-level", "warn"]);
        // A benchmark is an overload on purpose, and none of its requests may be refused.
        command.args(["--proofs", proofs.name(), "--lag-max", "0s", "--queue-wait-max", "0s"]);
        if let (Some(certificate), Some(key)) = (&tls.tls_certificate, &tls.tls_key) {
            command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start a server")?;
        let stdout = child.stdout.take().context("standard output of the server is not piped")?;
        let (mut key, mut address) = (None, None);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if let Some((_, found)) = line.split_once(" (shown once, keep it): ") {
                key = Some(found.to_owned());
            }
            if let Some((_, found)) = line.strip_prefix("Listening on http").and_then(|rest| rest.split_once("://")) {
                let socket = found.parse().context("the server printed an invalid address")?;
                address = Some(tls.address(socket)?);
                break;
            }
        }
        let Some(address) = address else {
            let status = child.wait()?;
            bail!("the server ended before it listened: {status}");
        };
        Ok(Self { child, address, key, ready_after_s: since.elapsed().as_secs_f64() })
    }

    /// The peak memory of the process, including mapped files: `VmHWM`.
    pub(super) fn rss_peak_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Kills the server with SIGKILL in the middle of `load`, which ends when the server is gone.
    pub(super) fn kill_during(mut self, load: impl FnOnce() + Send) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let loading = scope.spawn(load);
            std::thread::park_timeout(KILL_AFTER);
            self.child.kill()?;
            self.child.wait()?;
            loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(())
        })
    }

    /// Asks the server to stop, and waits until it has.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the server has no process id")?;
        kill_process(pid, Signal::TERM).context("cannot stop the server")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server failed: {status}");
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lists all files below a directory.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let item = item?;
        if item.file_type()?.is_dir() {
            found.extend(files(&item.path())?);
        } else {
            found.push(item.path());
        }
    }
    Ok(found)
}

/// The size of all files below a directory, without the prepared space: the zeros at the end of files that are filled
/// with zeros before they are used.
pub(super) fn used_bytes(directory: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for path in files(directory)? {
        match File::open(&path) {
            Ok(file) => sum += used_bytes_of(&file)?,
            // The server may replace files at any time.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }
    Ok(sum)
}

fn used_bytes_of(file: &File) -> anyhow::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; 1 << 20];
    while end > 0 {
        let start = end.saturating_sub(1 << 20);
        let part = &mut chunk[..usize::try_from(end - start)?];
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(start + u64::try_from(last)? + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Asks the kernel to drop its cache of every file below a directory.
pub(super) fn forget_cached(directory: &Path) -> anyhow::Result<()> {
    for path in files(directory)? {
        let file = File::open(&path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Measures how many times a second 4 KiB can be overwritten and synced in an existing file in this directory.
///
/// The processors are kept busy meanwhile, as they are under load. Waking one takes longer than a sync, so a
/// measurement on idle processors would be too low.
pub(super) fn raw_syncs_per_second(directory: &Path) -> anyhow::Result<f64> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism()?.get() {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
        }
        let rate = sync_and_count(directory);
        over.store(true, Ordering::Relaxed);
        rate
    })
}

fn sync_and_count(directory: &Path) -> anyhow::Result<f64> {
    const BLOCK_BYTES: usize = 4096;
    const BLOCKS: u64 = 4096;
    let path = directory.join("raw-sync");
    let file = File::create(&path)?;
    for block in 0..BLOCKS {
        file.write_all_at(&[0; BLOCK_BYTES], block * 4096)?;
    }
    file.sync_all()?;
    let since = Stopwatch::start();
    let mut syncs = 0_u32;
    for block in 0..BLOCKS {
        file.write_all_at(&[1; BLOCK_BYTES], block * 4096)?;
        file.sync_data()?;
        syncs += 1;
        if since.elapsed().as_secs() >= 2 {
            break;
        }
    }
    let elapsed = since.elapsed();
    fs::remove_file(path)?;
    Ok(f64::from(syncs) / elapsed.as_secs_f64())
}
