//! Runs targets of a configuration against a server of a benchmark.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow, bail, ensure};
use connect::Status;
use datadir::{NewSecretFile, Secret};
use server::Clock;
use tokio::sync::oneshot;

use super::config::{Config, TargetConfig, Tenant};
use super::endpoint::TargetStatus;
use super::verify::brought_up_to_date;
use super::{Report, Running};

/// The name of the only tenant.
const TENANT: &str = "benchmark";

/// Targets that get the journal of a benchmark instead of that of their tenant.
#[derive(Debug)]
pub(crate) struct Trial {
    config: Config,
}

impl Trial {
    /// Takes the targets with these names. What is copied is kept in `directory`.
    ///
    /// # Errors
    /// When there is no such target, or it holds a copy already.
    pub(crate) fn new(
        path: &Path,
        names: &[String],
        directory: PathBuf,
        server: String,
        key: &Secret,
    ) -> anyhow::Result<Self> {
        let read = Config::read(path)?;
        let mut targets = Vec::new();
        for name in names {
            let found = read.targets.iter().find(|target| target.name == *name);
            let found = found.with_context(|| format!("{} has no target `{name}`", path.display()))?;
            let mut target = connect::make(&found.kind, found.settings.clone())
                .map_err(|error| anyhow!("target `{name}`: {error}"))?;
            if target.look().with_context(|| format!("target `{name}`"))?.is_some() {
                bail!("target `{name}` holds a copy already; name a schema, database, prefix or topic that is new");
            }
            targets.push(TargetConfig { tenant: TENANT.to_owned(), ..found.clone() });
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let key_file = directory.join("api.key");
        NewSecretFile::create(&key_file)?.write(key)?;
        let tenants = vec![Tenant::of(TENANT, server, key_file)];
        Ok(Self { config: Config { directory, listen: None, tenants, targets, commands: Vec::new() } })
    }

    /// The names of the targets.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.config.targets.iter().map(|target| target.name.as_str())
    }

    /// Copies the journal as it is now. No target gets anything.
    pub(crate) fn copy(&self) -> anyhow::Result<()> {
        brought_up_to_date(&self.config, TENANT, &self.config.directory.join(TENANT)).map(drop)
    }

    /// Writes everything that is in the journal now to one target.
    pub(crate) fn catch_up(&self, name: &str) -> anyhow::Result<()> {
        let targets: Vec<_> = self.config.targets.iter().filter(|target| target.name == name).cloned().collect();
        ensure!(!targets.is_empty(), "there is no target `{name}`");
        let tenants = self.config.tenants.clone();
        let config =
            Config { directory: self.config.directory.clone(), listen: None, tenants, targets, commands: Vec::new() };
        let running = Running::start(&config, true, None)?;
        runtime()?.block_on(running.wait(Report::Nothing, std::future::pending()))
    }

    /// Starts to follow the journal with all targets.
    pub(crate) fn follow(&self) -> anyhow::Result<Following> {
        let running = Running::start(&self.config, false, None)?;
        let statuses = running.statuses.clone();
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime()?;
        let thread = std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
            runtime.block_on(running.wait(Report::Nothing, async {
                // Also stops when the benchmark is gone.
                drop(stopped.await);
            }))
        });
        Ok(Following { statuses, stop, thread: thread.context("cannot start a thread")? })
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Targets that follow a journal.
#[derive(Debug)]
pub(crate) struct Following {
    statuses: Vec<Arc<Status>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Following {
    /// How long ago the last entry in each target was decided, in seconds; 0 for a target that has everything. `None` before all are open.
    pub(crate) fn lags(&self) -> Option<Vec<f64>> {
        let now = Clock.now();
        let shown = |status: &Arc<Status>| {
            let shown = TargetStatus::of(status, now);
            (shown.opened > 0).then_some(shown.lag_seconds)
        };
        self.statuses.iter().map(shown).collect()
    }

    /// The last entry in each target.
    pub(crate) fn positions(&self) -> Vec<u64> {
        self.statuses.iter().map(|status| status.shown().position).collect()
    }

    /// Stops all targets.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        // The receiver is gone only if the thread has ended.
        let _is_heard = self.stop.send(()).is_ok();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
