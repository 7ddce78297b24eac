//! `finaira bench connect`: how fast targets take a journal, how far they are behind, and what they cost the server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use api::packed::{self, EVENTS_MAX};
use datadir::Secret;
use serde_json::{Value, json};
use server::{Clock, Stopwatch};

use super::connection::{Connection, Request, Wait};
use super::drive::Target;
use super::process::Process;
use super::report::percentile;
use super::settings::{Proofs, Settings as OfTransfers};
use super::tls::Tls;
use super::workload::Workload;
use super::{load, prepare};
use crate::backtest::table::{Table, thousands};
use crate::connect::trial::{Following, Trial};
use crate::stdio::{out, outln};

/// Requests in a second of the load at half of the rate.
const REQUESTS_PER_SECOND: u32 = 20;
/// How often the lag is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// How long targets may take until they have everything.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// The configuration of `finaira connect` that has the targets; its tenants are not used
    #[arg(long, env = "FINAIRA_CONNECT_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// A target of the configuration, which must be empty; can be given several times
    #[arg(long, value_name = "NAME", required = true)]
    target: Vec<String>,
    /// Number of transfers to create before the targets get them
    #[arg(long, value_name = "TRANSFERS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Number of accounts between which the transfers move money
    #[arg(long, value_name = "ACCOUNTS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000_000))]
    accounts: u64,
    /// Seconds of load at half of the rate of the slowest target, during which the lag is measured; 0 leaves it out
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    lag_seconds: u32,
    /// Number of transfers to create as fast as possible while all targets follow, to compare with the rate without them; 0 leaves it out
    #[arg(long, value_name = "TRANSFERS", default_value_t = 0)]
    beside: u64,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug)]
struct Figures {
    /// Transfers in a second that the server took without targets.
    alone_per_second: f64,
    copy_per_second: f64,
    targets: Vec<OfTarget>,
    /// The load of the measurement of lags, in transfers in a second.
    lag_load_per_second: f64,
    /// Transfers in a second that the server took while all targets followed.
    beside_per_second: Option<f64>,
}

#[derive(Debug)]
struct OfTarget {
    name: String,
    entries_per_second: f64,
    /// Sorted.
    lags_s: Vec<f64>,
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("finaira-bench-").tempdir();
    let folder = folder.context("cannot create a temporary directory")?;
    let mut server = Process::start(&folder.path().join("data"), Proofs::On, &Tls::default())?;
    let key = server.key.take().context("the new server printed no API key")?;
    let target = Target { address: server.address, key: &key };
    let address = format!("http://{}", server.address.socket);
    let trial = Trial::new(
        &settings.config,
        &settings.target,
        folder.path().join("connect"),
        address,
        &Secret::new(key.clone()),
    )?;
    let loading = |count| OfTransfers { accounts: settings.accounts, ..OfTransfers::of(count, Proofs::On) };
    prepare(&loading(settings.count), target)?;
    let loaded = load::run(&loading(settings.count), target)?;
    load::drain(target)?;

    let entries = last_entry(target)?;
    let copying = Stopwatch::start();
    trial.copy()?;
    let copy_per_second = rate(entries, copying.elapsed());
    let mut targets = Vec::new();
    for name in trial.names() {
        let since = Stopwatch::start();
        trial.catch_up(name)?;
        let entries_per_second = rate(entries, since.elapsed());
        targets.push(OfTarget { name: name.to_owned(), entries_per_second, lags_s: Vec::new() });
    }
    let slowest = targets.iter().map(|target| target.entries_per_second).fold(f64::INFINITY, f64::min);
    let mut figures = Figures {
        alone_per_second: rate(settings.count, loaded.elapsed),
        copy_per_second,
        targets,
        lag_load_per_second: slowest / 2.0,
        beside_per_second: None,
    };
    if settings.lag_seconds > 0 || settings.beside > 0 {
        let following = trial.follow()?;
        until_caught_up(&following, target)?;
        if settings.lag_seconds > 0 {
            let lags = lags(settings, target, &following, slowest / 2.0)?;
            for (target, lags_s) in figures.targets.iter_mut().zip(lags) {
                target.lags_s = lags_s;
            }
            until_caught_up(&following, target)?;
        }
        if settings.beside > 0 {
            let loaded = load::run(&loading(settings.beside), target)?;
            figures.beside_per_second = Some(rate(settings.beside, loaded.elapsed));
        }
        following.stop()?;
    }
    server.stop()?;
    out(format_args!("{}", figures.text()))?;
    if settings.json {
        outln!("{}", figures.json())?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// The last entry of the server's journal.
fn last_entry(target: Target<'_>) -> anyhow::Result<u64> {
    load::metric(target, "finaira_journal_durable_seq")
}

fn until_caught_up(following: &Following, target: Target<'_>) -> anyhow::Result<()> {
    let since = Stopwatch::start();
    loop {
        let last = last_entry(target)?;
        if following.lags().is_some() && following.positions().iter().all(|position| *position >= last) {
            return Ok(());
        }
        ensure!(since.elapsed() < CAUGHT_UP_WITHIN, "the targets are at {:?} of {last} entries", following.positions());
        std::thread::park_timeout(SAMPLE_EVERY);
    }
}

/// When so many transfers had been acknowledged.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    transfers: u64,
    after: Duration,
}

/// Sends transfers at a rate, and returns for each target how old the oldest acknowledged transfer was that it did not have, sorted.
fn lags(
    settings: &Settings,
    target: Target<'_>,
    following: &Following,
    per_second: f64,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let before = following.positions();
    let acknowledged = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let since = Stopwatch::start();
    std::thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut lags = vec![Vec::new(); before.len()];
            while !is_over.load(Ordering::Relaxed) {
                std::thread::park_timeout(SAMPLE_EVERY);
                let (now, positions) = (since.elapsed(), following.positions());
                let acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                for ((lags, before), position) in lags.iter_mut().zip(&before).zip(positions) {
                    lags.push(lag(&acknowledged, position.saturating_sub(*before), now).as_secs_f64());
                }
            }
            lags.iter_mut().for_each(|lags| lags.sort_by(f64::total_cmp));
            lags
        });
        let sent = send(settings, target, per_second, &mut |transfers| {
            let at = Acknowledged { transfers, after: since.elapsed() };
            acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(at);
        });
        is_over.store(true, Ordering::Relaxed);
        let lags = sampling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent.map(|()| lags)
    })
}

/// How long ago the first transfer was acknowledged that is not among the first `there`.
fn lag(acknowledged: &[Acknowledged], there: u64, now: Duration) -> Duration {
    let missing = acknowledged.get(acknowledged.partition_point(|at| at.transfers <= there));
    missing.map_or(Duration::ZERO, |at| now.saturating_sub(at.after))
}

/// Sends transfers at a rate for the time of the settings. `acknowledged` learns how many there are after each answer.
fn send(
    settings: &Settings,
    target: Target<'_>,
    per_second: f64,
    acknowledged: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let of_transfers = OfTransfers { accounts: settings.accounts, ..OfTransfers::of(settings.count, Proofs::On) };
    let mut workload = Workload::new(&of_transfers, 1, Clock.now().ns());
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let mut request = Request::post("/v1/packed/create-transfers", target.key, packed::MEDIA_TYPE);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, and bounded")]
    let batch = ((per_second / f64::from(REQUESTS_PER_SECOND)) as u64).clamp(1, EVENTS_MAX as u64 - 1);
    let (since, mut sent) = (Stopwatch::start(), 0);
    for number in 0..settings.lag_seconds * REQUESTS_PER_SECOND {
        let due = Duration::from_secs(number.into()) / REQUESTS_PER_SECOND;
        std::thread::park_timeout(due.saturating_sub(since.elapsed()));
        request.set_body(|body| {
            workload.transfers(sent, batch, |record| body.extend_from_slice(&record.encode()));
        });
        load::check_results(connection.call(&request)?.success()?, batch)?;
        sent += batch;
        acknowledged(sent);
    }
    Ok(())
}

impl Figures {
    fn text(&self) -> String {
        let mut table = Table::new(["TARGET", "entries/s", "lag p50", "lag p99"]);
        for target in &self.targets {
            let lag = |percent| percentile(&target.lags_s, percent).map_or("-".to_owned(), |lag| format!("{lag:.3} s"));
            table.row(vec![target.name.clone(), whole(target.entries_per_second), lag(50), lag(99)]);
        }
        let mut text = String::new();
        table.write_to(&mut text);
        let (alone, copy, load) = (self.alone_per_second, self.copy_per_second, self.lag_load_per_second);
        text.push_str(&format!("  The copy of the journal took {} entries/s.\n", whole(copy)));
        if self.targets.iter().any(|target| !target.lags_s.is_empty()) {
            text.push_str(&format!("  Lags are those under a load of {} transfers/s.\n", whole(load)));
        }
        if let Some(beside) = self.beside_per_second {
            let (percent, beside, alone) = (beside * 100.0 / alone, whole(beside), whole(alone));
            let what = "transfers/s while all targets followed";
            text.push_str(&format!("  The server took {beside} {what}, and {alone} without them: {percent:.0} %.\n"));
        }
        text
    }

    fn json(&self) -> Value {
        let at = |sorted: &[f64], percent| percentile(sorted, percent).map(|lag| (lag * 1000.0).round() / 1000.0);
        let targets = self.targets.iter().map(|target| {
            json!({
                "name": target.name,
                "entries_per_second": target.entries_per_second.round(),
                "lag_s_p50": at(&target.lags_s, 50),
                "lag_s_p99": at(&target.lags_s, 99),
            })
        });
        json!({
            "benchmark": "connect",
            "targets": targets.collect::<Vec<_>>(),
            "copy_entries_per_second": self.copy_per_second.round(),
            "lag_load_per_second": self.lag_load_per_second.round(),
            "transfers_per_second_alone": self.alone_per_second.round(),
            "transfers_per_second_beside": self.beside_per_second.map(f64::round),
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and below 2^53")]
fn whole(rate: f64) -> String {
    thousands((rate.round() as u64).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_first_missing_transfer() {
        let at = |transfers, after| Acknowledged { transfers, after: Duration::from_secs(after) };
        let acknowledged = [at(100, 1), at(200, 2), at(300, 3)];
        let lag_s = |there| lag(&acknowledged, there, Duration::from_secs(5)).as_secs();
        assert_eq!([0, 99, 100, 199, 200, 300, 301].map(lag_s), [4, 4, 3, 3, 2, 0, 0]);
        assert_eq!(lag(&[], 0, Duration::from_secs(5)), Duration::ZERO);
    }
}
