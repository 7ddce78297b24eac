//! `finaira connect` keeps copies of journals in other systems.
//!
//! For each tenant, one thread copies the journal of the server into a local directory, as `finaira backup` does. Each target has a thread that
//! reads this local copy. So the server sends each entry once, however many targets there are, and a target that is slow or gone
//! disturbs neither the server nor another target.

mod config;
mod feed;
pub(crate) mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use connect::{Connector, Settings, Status, Target};
use tokio::sync::mpsc;

use self::config::{Config, TargetConfig, Tenant};
use self::feed::{Feed, Place};
use crate::backup::{CopyClient, CopyWork, StopCopy, open_copy_directory};
use crate::remote::Server;
use crate::stdio::{errln, outln};

/// The folder of the copy of a tenant's journal.
const COPY: &str = "copy";
/// The folder, beside the copy, of what is derived from it.
const DERIVED: &str = "derived";
/// How long a stop waits for batches that are being written.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "The API key of each tenant needs the scope journal:read.")]
pub(crate) struct Arguments {
    /// The configuration: tenants and targets
    #[arg(long, env = "FINAIRA_CONNECT_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// End when the targets have everything that the servers had at the start
    #[arg(long)]
    once: bool,
    /// Seconds between reports of how far the targets are
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    report_every: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.config)?;
    let running = Running::start(&config, arguments.once)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(running.wait(Duration::from_secs(arguments.report_every)))
}

/// The threads.
struct Running {
    copies: Vec<(Arc<StopCopy>, JoinHandle<()>)>,
    statuses: Vec<Arc<Status>>,
    stop: Arc<AtomicBool>,
    /// Each thread says how it ended.
    ends: mpsc::UnboundedReceiver<(Of, anyhow::Result<()>)>,
    /// The threads that have not ended: of targets, and of copies.
    targets_left: usize,
    copies_left: usize,
}

/// Whose thread it is.
enum Of {
    Target(String),
    Copy(String),
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(name) => write!(f, "target `{name}`"),
            Self::Copy(name) => write!(f, "the copy of tenant `{name}`"),
        }
    }
}

impl Running {
    fn start(config: &Config, once: bool) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (said, ends) = mpsc::unbounded_channel();
        let (mut copies, mut statuses) = (Vec::new(), Vec::new());
        for tenant in &config.tenants {
            let targets: Vec<&TargetConfig> =
                config.targets.iter().filter(|target| target.tenant == tenant.name).collect();
            if targets.is_empty() {
                continue;
            }
            let place = Arc::new(Place::default());
            copies.push(copy(config, tenant, once, &place, said.clone())?);
            for target in targets {
                let status = Arc::new(Status::new(&target.name));
                statuses.push(Arc::clone(&status));
                let work = Work { place: Arc::clone(&place), status, stop: Arc::clone(&stop), once };
                let said = said.clone();
                let (name, batch_entries) = (target.name.clone(), target.batch_entries);
                let made = connect::make(&target.kind, target.settings.clone());
                let made = made.map_err(|error| anyhow!("target `{name}`: {error}"))?;
                let thread = std::thread::Builder::new().name(format!("target-{name}"));
                thread
                    .spawn(move || {
                        let result = work.run(made, batch_entries);
                        // The receiver is gone only while the process ends.
                        let _is_heard = said.send((Of::Target(name), result)).is_ok();
                    })
                    .context("cannot start a thread")?;
            }
        }
        let (targets_left, copies_left) = (statuses.len(), copies.len());
        Ok(Self { copies, statuses, stop, ends, targets_left, copies_left })
    }

    /// Waits until all threads have ended, or a signal arrives.
    async fn wait(mut self, report_every: Duration) -> anyhow::Result<()> {
        let mut signal = std::pin::pin!(crate::serve::stop_signal()?);
        let mut report = tokio::time::interval(report_every);
        report.tick().await;
        let mut failed = None;
        let mut stopping = false;
        while self.targets_left + self.copies_left > 0 {
            tokio::select! {
                Some((of, result)) = self.ends.recv() => {
                    match of {
                        Of::Target(_) => self.targets_left -= 1,
                        Of::Copy(_) => self.copies_left -= 1,
                    }
                    if let Err(error) = result {
                        errln!("{of} stopped: {error:#}");
                        failed = failed.or(Some(anyhow!("{of} stopped: {error:#}")));
                    }
                    // Nobody reads the copies any more.
                    if self.targets_left == 0 {
                        self.stop_copies();
                    }
                }
                _ = report.tick() => self.report(),
                () = &mut signal, if !stopping => {
                    stopping = true;
                    self.stop.store(true, Ordering::Release);
                    self.stop_copies();
                }
                () = tokio::time::sleep(STOP_WITHIN), if stopping => break,
            }
        }
        self.report();
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn stop_copies(&self) {
        for (stop, thread) in &self.copies {
            stop.set(thread.thread());
        }
    }

    fn report(&self) {
        for status in &self.statuses {
            let shown = status.shown();
            let fault = shown.fault.map(|fault| format!("; {fault}")).unwrap_or_default();
            let (name, position, journal) = (status.name(), shown.position, shown.journal.max(shown.position));
            // The result of the command, if its output is kept.
            if outln!("{name}: {position} of {journal} entries, {} batches, {} rows{fault}", shown.batches, shown.rows).is_err() {
                return;
            }
        }
    }
}

/// Starts the thread that copies the journal of a tenant.
fn copy(
    config: &Config,
    tenant: &Tenant,
    once: bool,
    place: &Arc<Place>,
    said: mpsc::UnboundedSender<(Of, anyhow::Result<()>)>,
) -> anyhow::Result<(Arc<StopCopy>, JoinHandle<()>)> {
    let home = config.directory.join(&tenant.name);
    let directory = open_copy_directory(&home.join(COPY))?;
    let server = Server::configured(&tenant.server, tenant.api_key()?, tenant.ca.clone())
        .with_context(|| format!("tenant `{}`", tenant.name))?;
    let client = CopyClient::new(&server)?;
    let feed = Feed::new(tenant.name.clone(), home.join(DERIVED), Arc::clone(place));
    let stop = Arc::new(StopCopy::default());
    let work = CopyWork::new(client, directory, feed, !once, Arc::clone(&stop));
    let (place, name) = (Arc::clone(place), tenant.name.clone());
    let thread = std::thread::Builder::new().name(format!("copy-{name}"));
    let thread = thread.spawn(move || {
        let result = work.run().map(|_ended| ()).map_err(anyhow::Error::from);
        let ended = place.end().map_err(anyhow::Error::from);
        // The receiver is gone only while the process ends.
        let _is_heard = said.send((Of::Copy(name), result.and(ended))).is_ok();
    });
    Ok((stop, thread.context("cannot start a thread")?))
}

/// The work of the thread of a target.
struct Work {
    place: Arc<Place>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    once: bool,
}

impl Work {
    fn run(self, target: Box<dyn Target>, batch_entries: usize) -> anyhow::Result<()> {
        let Some(source) = self.place.wait() else { return Ok(()) };
        let settings = Settings { batch_entries, once: self.once, until: None };
        Ok(Connector::new(source, target, settings, self.status, self.stop).run()?)
    }
}
