//! `finaira bench payments`: decided payments, from the request to the durable answer.

mod backtests;
mod file;
mod report;
mod town;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use policy::{Bundle, Policy};
use server::Stopwatch;

use self::report::{Figures, Lifecycle};
use self::town::{Payments, Step, Town, Verbs};
use super::connection::{Connection, Request, Wait};
use super::drive::{self, Load, Target};
use super::load;
use super::process::{self, Process};
use super::settings::{self, Proofs};
use super::tls::Tls;
use super::token;
use crate::bundle_folder;
use crate::stdio::outln;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of payments to decide; by default 1,000,000, or all payments of --input
    #[arg(long, value_name = "PAYMENTS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Send the payments of this CSV or Parquet file, whose columns the section `file` of the policy names, instead of generated ones. Their times
    /// are moved to the present, and moved closer together if they span more than 29 days
    #[arg(long, value_name = "FILE", conflicts_with_all = ["customers", "terminals", "decline_percent"])]
    input: Option<PathBuf>,
    /// Authorise each payment, then capture a part, capture the rest and refund a part, in batches
    #[arg(long)]
    lifecycle: bool,
    /// Payments per request; 1 sends single payments
    #[arg(long, value_name = "PAYMENTS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batch: u64,
    /// Number of connections, each with one request in flight
    #[arg(long, value_name = "CLIENTS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// The policy folder; it must have the payment type of policies/handbook. The default is that policy, built in
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Number of customers
    #[arg(long, value_name = "CUSTOMERS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    customers: u64,
    /// Number of terminals
    #[arg(long, value_name = "TERMINALS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    terminals: u64,
    /// Percentage of the payments that the policy declines, by a rule that the benchmark adds to the built-in policy
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with = "policy")]
    decline_percent: u8,
    /// Number of plain transfers to measure after the payments, to compare; 0 leaves them out
    #[arg(long, value_name = "TRANSFERS", default_value_t = 2_000_000)]
    transfers: u64,
    /// Whether the server keeps proofs, a Merkle tree over its journal; the measured time includes that work
    #[arg(long, value_enum, default_value_t = Proofs::On)]
    proofs: Proofs,
    /// Keep the server's data in this directory, which must be empty or new; by default, use a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Send access tokens of the built-in issuer instead of the API key
    #[arg(long)]
    token: bool,
    #[command(flatten)]
    tls: Tls,
    /// Run backtests of the policy over the server's journal while the payments are sent, one after another
    #[arg(long)]
    backtest: bool,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

const DOCUMENT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/handbook/policy.toml"));
const MODEL: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/handbook/models/fraud.onnx"));
const COUNT: u64 = 1_000_000;
/// What `--lifecycle` adds to the payment type of the built-in policy.
const MANUAL: &str = "[payments.card]\ncapture = \"manual\"\ncapture_deadline = \"7d\"\n";
/// The rule behind `--decline-percent`.
const DECLINE: &str = "\n[[rules]]\nname = \"benchmark\"\nwhen = \"payment.amount == 1\"\nthen = { decline = true }\n";

impl Settings {
    fn count(&self) -> u64 {
        self.count.unwrap_or(COUNT)
    }
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let policy = bundle(settings)?;
    let rows = match &settings.input {
        Some(path) => {
            let compiled = Policy::compile(&policy).ok().context("the policy is not valid; `check-policy` says why")?;
            file::read(path, &compiled, settings.count)?
        }
        None => Vec::new(),
    };
    let count = settings.count.unwrap_or(if rows.is_empty() { COUNT } else { rows.len() as u64 });
    let settings = &Settings { count: Some(count), ..settings.clone() };
    let town = Town::new(count, rows);
    let temporary = tempfile::Builder::new().prefix("finaira-bench-").tempdir();
    let temporary = temporary.context("cannot create a temporary directory")?;
    let data = settings.data.clone().unwrap_or_else(|| temporary.path().join("payments"));
    let mut figures = measure(settings, &policy, &town, &data)?;
    if settings.transfers > 0 {
        figures.transfers_per_second = Some(transfers_per_second(settings, &temporary.path().join("transfers"))?);
    }
    outln!("{}", figures.text(settings))?;
    if settings.json {
        outln!("{}", figures.json(settings))?;
    }
    Ok(())
}

fn measure(settings: &Settings, policy: &Bundle, town: &Town, data: &Path) -> anyhow::Result<Figures> {
    let mut server = started(data, settings)?;
    let key = server.key.take().context("the new server printed no API key")?;
    let target = Target { address: server.address, key: &key };
    let archive = archive(policy)?;
    activate(&archive, target)?;
    let load = Load { count: settings.count(), batch: settings.batch, clients: settings.clients };
    let token = settings.token.then(|| token::get(target)).transpose()?;
    let credential = token.as_deref().unwrap_or(&key);
    let stop = AtomicBool::new(false);
    let (driven, backtests) = std::thread::scope(|scope| {
        let backtests = settings.backtest.then(|| scope.spawn(|| backtests::run(&archive, target, &stop)));
        let driven = drive::drive(load, target.address, |number| Payments::new(town, settings, credential, number));
        stop.store(true, Ordering::Relaxed);
        let backtests =
            backtests.map(|thread| thread.join().expect("a panic of the thread continues here")).transpose();
        anyhow::Ok((driven?, backtests?))
    })?;
    let decided = Payments::sum(&driven.traffic);
    let draining = Stopwatch::start();
    load::drain_proofs(settings.proofs, target)?;
    load::drain(target)?;
    let drain_s = draining.elapsed().as_secs_f64();
    let lifecycle = settings.lifecycle.then(|| follow(settings, town, target, load)).transpose()?;
    let metric = |name: &str| load::metric(target, name);
    let (window_records, payments_in_memory) =
        (metric("finaira_window_records")?, metric("finaira_payments_in_memory")?);
    let rss_peak_bytes = server.rss_peak_bytes()?;
    let [journal, index, proofs] = ["journal", "index", "proofs"].map(|part| process::used_bytes(&data.join(part)));
    let first = town::First::ask(town, settings, target)?;

    // Half of the load once more, and SIGKILL while it runs.
    server.kill_during(|| {
        let rest = Load { count: settings.count().div_ceil(2), ..load };
        // Ends with an error once the server is gone.
        drop(drive::drive(rest, target.address, |number| Payments::again(town, settings, &key, number)));
    })?;
    let server = Process::start(data, settings.proofs, &settings.tls)?;
    let restart_s = server.ready_after_s;
    let rss_restarted_bytes = server.rss_peak_bytes()?;
    let target = Target { address: server.address, key: &key };
    first.check_retry(town, settings, target)?;
    server.stop()?;
    Ok(Figures {
        load_s: driven.elapsed.as_secs_f64(),
        drain_s,
        requests_ms: driven.latencies_ms,
        decided,
        lifecycle,
        rss_peak_bytes,
        rss_restarted_bytes,
        window_records,
        payments_in_memory,
        journal_bytes: journal?,
        index_bytes: index?,
        proof_bytes: if settings.proofs == Proofs::On { proofs? } else { 0 },
        restart_s,
        transfers_per_second: None,
        backtests,
    })
}

fn started(data: &Path, settings: &Settings) -> anyhow::Result<Process> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    if std::fs::read_dir(data)?.next().is_some() {
        bail!("{} is not empty", data.display());
    }
    Process::start(data, settings.proofs, &settings.tls)
}

/// Applies the verbs of [`Step::ALL`] to all payments.
fn follow(settings: &Settings, town: &Town, target: Target<'_>, load: Load) -> anyhow::Result<Lifecycle> {
    let since = Stopwatch::start();
    let (mut verbs, mut requests_ms) = (0, Vec::new());
    for step in Step::ALL {
        let driven =
            drive::drive(load, target.address, |_| Verbs { town, settings, key: target.key, step, changed: 0 })?;
        verbs += driven.traffic.iter().map(|client| client.changed).sum::<u64>();
        requests_ms.extend(driven.latencies_ms);
    }
    load::drain_proofs(settings.proofs, target)?;
    load::drain(target)?;
    if verbs == 0 {
        bail!("no payment could be captured: the policy must capture payments later, and approve some");
    }
    requests_ms.sort_by(f64::total_cmp);
    Ok(Lifecycle { verbs, seconds: since.elapsed().as_secs_f64(), requests_ms })
}

/// The policy to activate.
fn bundle(settings: &Settings) -> anyhow::Result<Bundle> {
    if let Some(folder) = &settings.policy {
        return bundle_folder::read(folder);
    }
    let mut document = String::from_utf8(DOCUMENT.to_vec()).context("the built-in policy is text")?;
    if settings.lifecycle {
        document = document.replacen("[payments.card]\n", MANUAL, 1);
    }
    if settings.decline_percent > 0 {
        document += DECLINE;
    }
    let files =
        [(policy::DOCUMENT.to_owned(), document.into_bytes()), ("models/fraud.onnx".to_owned(), MODEL.to_vec())];
    Ok(Bundle::new(files)?)
}

/// The upload of a policy.
fn archive(policy: &Bundle) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in policy.files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes)?;
    }
    Ok(archive.into_inner()?)
}

fn activate(archive: &[u8], target: Target<'_>) -> anyhow::Result<()> {
    let mut request = Request::post("/v1/policies", target.key, "application/x-tar");
    request.set_body(|body| body.extend_from_slice(archive));
    let mut connection = Connection::open(target.address, Wait::Block)?;
    connection.call(&request)?.success().map(drop).context("the policy cannot be activated")
}

/// The rate of plain transfers with the default settings of `bench transfers`, on the same machine.
fn transfers_per_second(settings: &Settings, data: &Path) -> anyhow::Result<f64> {
    let transfers = settings::Settings::of(settings.transfers, settings.proofs);
    let mut server = started(data, settings)?;
    let key = server.key.take().context("the new server printed no API key")?;
    let target = Target { address: server.address, key: &key };
    super::prepare(&transfers, target)?;
    let since = Stopwatch::start();
    let loaded = load::run(&transfers, target)?;
    load::drain_proofs(settings.proofs, target)?;
    load::drain(target)?;
    let elapsed = since.elapsed().as_secs_f64();
    drop(loaded);
    server.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
    Ok(settings.transfers as f64 / elapsed)
}
