//! `finaira connect` keeps copies of journals in other systems, and sends the commands of brokers to the server.
//!
//! For each tenant, one thread copies the journal of the server into a local directory, as `finaira backup` does. Each target has a thread that
//! reads this local copy. So the server sends each entry once, however many targets there are, and a target that is slow or gone
//! disturbs neither the server nor another target.

mod commands;
mod config;
mod endpoint;
mod feed;
pub(crate) mod fetch;
pub(crate) mod trial;
pub(crate) mod verify;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use connect::{Connector, Needs, Settings, Status, Stop, Target};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use types::Seq;

use self::commands::Progress;
use self::config::{Config, TargetConfig, Tenant};
use self::feed::{Feed, Place};
use crate::backup::{CopyClient, CopyOf, CopyWork, StopCopy, open_copy_directory};
use crate::remote::Server;
use crate::serve::Logs;
use crate::stdio::{errln, outln};

/// The folder of the copy of a tenant's journal.
const COPY: &str = "copy";
/// The folder, beside the copy, of what is derived from it.
const DERIVED: &str = "derived";
/// How long a stop waits for batches that are being written.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The API key of each tenant needs the scope journal:read, and those of its commands if it has any."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration: tenants, targets and commands
    #[arg(long, env = "FINAIRA_CONNECT_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// End when the targets have everything that the servers had at the start
    #[arg(long)]
    once: bool,
    /// Seconds between reports of how far the targets are
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    report_every: u64,
    /// Begin targets that keep events, and are still empty, with this entry instead of the first one
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show how far the targets of a running `finaira connect` are; its configuration must have `listen`
    Status,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.config.as_ref().context("found no configuration, expected --config FILE")?;
    let config = Config::read(path)?;
    if let Some(Command::Status) = arguments.command {
        let listen = config.listen.with_context(|| {
            format!("{} has no `listen`, expected an address such as \"127.0.0.1:7071\"", path.display())
        })?;
        return endpoint::show(listen);
    }
    arguments.logs.start();
    let running = Running::start(&config, arguments.once, arguments.from.map(Seq::new))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answering = config.listen.map(|address| endpoint::serve(address, running.statuses.clone()));
        let report = Report::of(arguments.once, Duration::from_secs(arguments.report_every));
        let ended = running.wait(report, crate::serve::stop_signal()?);
        match answering {
            None => ended.await,
            Some(answering) => tokio::select! {
                failed = answering => failed,
                ended = ended => ended,
            },
        }
    })
}

/// How people see how far the targets are.
enum Report {
    Lines(Duration),
    Bar(ProgressBar),
    Nothing,
}

impl Report {
    /// How often the bar moves.
    const BAR_EVERY: Duration = Duration::from_millis(200);

    /// A bar, if the work ends by itself and somebody looks; otherwise lines.
    fn of(once: bool, every: Duration) -> Self {
        if !once || !std::io::stderr().is_terminal() {
            return Self::Lines(every);
        }
        let bar = ProgressBar::new(0);
        let style = "{wide_bar} {human_pos} of {human_len} entries, {per_sec}, {eta} left";
        Self::Bar(match ProgressStyle::with_template(style) {
            Ok(style) => bar.with_style(style),
            Err(_unusable) => bar,
        })
    }

    fn every(&self) -> Duration {
        match self {
            Self::Lines(every) => *every,
            Self::Bar(_) | Self::Nothing => Self::BAR_EVERY,
        }
    }

    fn show(&self, statuses: &[Arc<Status>], commands: &[Arc<Progress>]) {
        match self {
            Self::Lines(_) => lines(statuses, commands),
            Self::Bar(bar) => {
                let shown = || statuses.iter().map(|status| status.shown());
                bar.set_length(shown().map(|shown| shown.journal.max(shown.position)).sum());
                bar.set_position(shown().map(|shown| shown.position).sum());
            }
            Self::Nothing => {}
        }
    }

    fn end(&self, statuses: &[Arc<Status>], commands: &[Arc<Progress>]) {
        match self {
            Self::Lines(_) => lines(statuses, commands),
            Self::Bar(bar) => {
                bar.finish_and_clear();
                lines(statuses, commands);
            }
            Self::Nothing => {}
        }
    }
}

/// Prints a line for each target, and for each source of commands.
fn lines(statuses: &[Arc<Status>], commands: &[Arc<Progress>]) {
    for progress in commands {
        // As below.
        if outln!("{}", progress.line()).is_err() {
            return;
        }
    }
    for status in statuses {
        let shown = status.shown();
        let fault = shown.fault.map(|fault| format!("; {fault}")).unwrap_or_default();
        let (name, position, journal) = (status.name(), shown.position, shown.journal.max(shown.position));
        // The result of the command, if its output is kept.
        if outln!("{name}: {position} of {journal} entries, {} batches, {} rows{fault}", shown.batches, shown.rows)
            .is_err()
        {
            return;
        }
    }
}

/// The threads.
struct Running {
    copies: Vec<(Arc<StopCopy>, JoinHandle<()>)>,
    statuses: Vec<Arc<Status>>,
    commands: Vec<Arc<Progress>>,
    stop: Arc<Stop>,
    /// Each thread says how it ended.
    ends: mpsc::Receiver<(Of, anyhow::Result<()>)>,
    /// The threads that have not ended: of targets, of copies, and of commands.
    targets_left: usize,
    copies_left: usize,
    commands_left: usize,
}

/// Whose thread it is.
enum Of {
    Target(String),
    Copy(String),
    Commands(String),
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(name) => write!(f, "target `{name}`"),
            Self::Copy(name) => write!(f, "the copy of tenant `{name}`"),
            Self::Commands(name) => write!(f, "commands `{name}`"),
        }
    }
}

impl Running {
    /// `from` is the first entry of targets that keep events, unless the configuration says otherwise.
    fn start(config: &Config, once: bool, from: Option<Seq>) -> anyhow::Result<Self> {
        let stop = Arc::new(Stop::default());
        // Each thread says one thing.
        let (said, ends) = mpsc::channel(config.tenants.len() + config.targets.len() + config.commands.len());
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
                let said = said.clone();
                let name = target.name.clone();
                let made = connect::make(&target.kind, target.settings.clone());
                let made = made.map_err(|error| anyhow!("target `{name}`: {error}"))?;
                let from = target.from.or(from.filter(|_| made.needs() == Needs::Events));
                let batch_entries = target.batch_entries.unwrap_or_else(|| made.batch_entries());
                let filter = Arc::clone(&target.filter);
                let settings = Settings { batch_entries, once, until: None, from, filter };
                let work = Work { place: Arc::clone(&place), status, stop: Arc::clone(&stop), settings };
                let thread = std::thread::Builder::new().name(format!("target-{name}"));
                thread
                    .spawn(move || {
                        let status = Arc::clone(&work.status);
                        let result = survived(|| work.run(made));
                        if let Err(error) = &result {
                            status.fault(&error.to_string());
                        }
                        // It holds the copy open too; see `copy`.
                        drop(status);
                        // The receiver is gone only while the process ends.
                        let _is_heard = said.blocking_send((Of::Target(name), result)).is_ok();
                    })
                    .context("cannot start a thread")?;
            }
        }
        // Topics and queues never end, so a run that is to end leaves them alone.
        let mut commands = Vec::new();
        for config_of in config.commands.iter().filter(|_| !once) {
            let tenant = config.tenants.iter().find(|tenant| tenant.name == config_of.tenant);
            let tenant = tenant.with_context(|| format!("found no tenant `{}`", config_of.tenant))?;
            let work = commands::Work::new(config_of, tenant, Arc::clone(&stop))?;
            commands.push(work.progress());
            let (name, said) = (config_of.name.clone(), said.clone());
            let thread = std::thread::Builder::new().name(format!("commands-{name}"));
            thread
                .spawn(move || {
                    let result = survived(|| work.run());
                    // The receiver is gone only while the process ends.
                    let _is_heard = said.blocking_send((Of::Commands(name), result)).is_ok();
                })
                .context("cannot start a thread")?;
        }
        let (targets_left, copies_left, commands_left) = (statuses.len(), copies.len(), commands.len());
        Ok(Self { copies, statuses, commands, stop, ends, targets_left, copies_left, commands_left })
    }

    /// Waits until all threads have ended, or `stop` completes.
    async fn wait(mut self, show: Report, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut signal = std::pin::pin!(stop);
        // Set once a stop begins.
        let mut give_up = std::pin::pin!(tokio::time::sleep(STOP_WITHIN));
        let mut report = tokio::time::interval(show.every());
        report.tick().await;
        let mut failed = None;
        let mut stopping = false;
        while self.targets_left + self.copies_left + self.commands_left > 0 {
            tokio::select! {
                Some((of, result)) = self.ends.recv() => {
                    match &of {
                        Of::Target(_) => self.targets_left -= 1,
                        Of::Commands(_) => self.commands_left -= 1,
                        Of::Copy(_) => {
                            self.copies_left -= 1;
                            // Targets that get no more entries would look healthy. Whoever runs the process starts it again.
                            if result.is_err() && !stopping {
                                stopping = true;
                                self.stop.set();
                                self.stop_copies();
                                give_up.as_mut().reset(tokio::time::Instant::now() + STOP_WITHIN);
                            }
                        }
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
                _ = report.tick() => show.show(&self.statuses, &self.commands),
                () = &mut signal, if !stopping => {
                    stopping = true;
                    self.stop.set();
                    self.stop_copies();
                    give_up.as_mut().reset(tokio::time::Instant::now() + STOP_WITHIN);
                }
                () = &mut give_up, if stopping => break,
            }
        }
        show.end(&self.statuses, &self.commands);
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
}

/// Starts the thread that copies the journal of a tenant.
fn copy(
    config: &Config,
    tenant: &Tenant,
    once: bool,
    place: &Arc<Place>,
    said: mpsc::Sender<(Of, anyhow::Result<()>)>,
) -> anyhow::Result<(Arc<StopCopy>, JoinHandle<()>)> {
    let home = config.directory.join(&tenant.name);
    let directory = open_copy_directory(&home.join(COPY))?;
    let server = Server::configured(&tenant.server, tenant.api_key()?, tenant.ca.clone())
        .with_context(|| format!("tenant `{}`", tenant.name))?;
    let client = CopyClient::new(&server, CopyOf::Tenant)?;
    let feed = Feed::new(tenant.name.clone(), home.join(DERIVED), Arc::clone(place));
    let stop = Arc::new(StopCopy::default());
    let work = CopyWork::new(client, directory, feed, !once, Arc::clone(&stop));
    let (place, name) = (Arc::clone(place), tenant.name.clone());
    let thread = std::thread::Builder::new().name(format!("copy-{name}"));
    let thread = thread.spawn(move || {
        let result = survived(|| work.run().map(|_ended| ()).map_err(anyhow::Error::from));
        let ended = place.end().map_err(anyhow::Error::from);
        // It holds the copy open. Whoever hears that this thread has ended may open the copy again.
        drop(place);
        // The receiver is gone only while the process ends.
        let _is_heard = said.blocking_send((Of::Copy(name), result.and(ended))).is_ok();
    });
    Ok((stop, thread.context("cannot start a thread")?))
}

/// Runs the work of a thread. A panic is an error like others, so that nobody waits for the thread for ever.
fn survived(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    result.unwrap_or_else(|_panic| Err(anyhow!("it panicked; the message is in the log")))
}

/// The work of the thread of a target.
struct Work {
    place: Arc<Place>,
    status: Arc<Status>,
    stop: Arc<Stop>,
    settings: Settings,
}

impl Work {
    fn run(self, target: Box<dyn Target>) -> anyhow::Result<()> {
        let Some(source) = self.place.wait() else { return Ok(()) };
        Ok(Connector::new(source, target, self.settings, self.status, self.stop).run()?)
    }
}
