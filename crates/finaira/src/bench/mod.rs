//! `finaira bench` measures the server on this machine from outside, as its clients see it, and the check of access tokens and the
//! rules of a policy inside.

#[cfg(feature = "connect")]
mod connect;
mod connection;
mod drive;
mod features;
mod forest;
mod lists;
mod load;
mod model;
mod payments;
mod process;
mod queries;
mod report;
mod rules;
mod settings;
mod tls;
mod token;
mod tokens;
mod workload;

use std::path::Path;

use anyhow::{Context as _, bail};
use api::packed::{self, EVENTS_MAX};
use server::Stopwatch;

use self::connection::{Connection, Request, Wait};
use self::drive::Target;
use self::process::Process;
use self::report::Figures;
use self::settings::{Index, Proofs, Settings};
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Benchmark {
    /// Measure transfers: throughput, latency, and the memory and disk space they take
    #[command(max_term_width = 100)]
    Transfers(Settings),
    /// Measure decided payments: throughput, latency, and the memory and disk space they take
    #[command(max_term_width = 100)]
    Payments(payments::Settings),
    /// Measure the check of access tokens on one thread, without a network: for the first time, and from the cache
    #[command(max_term_width = 100)]
    Tokens(tokens::Settings),
    /// Measure aggregates of feature windows on one thread: the time of each, and the memory of a record
    #[command(max_term_width = 100)]
    Features(features::Settings),
    /// Measure lists on one thread: the memory of a value, the time of a look-up, and the replay of their entries
    #[command(max_term_width = 100)]
    Lists(lists::Settings),
    /// Measure what one score of a model costs on one thread, without a server
    #[command(max_term_width = 100)]
    Model(model::Settings),
    /// Measure what the contributions of all columns to one score cost on one thread, without a server
    #[command(max_term_width = 100)]
    Explain(model::Settings),
    /// Measure decisions with 100 rules over 20 features on one thread, without a network and without a log
    #[command(max_term_width = 100)]
    Rules(rules::Settings),
    /// Measure targets of `finaira connect`: how fast they take a journal, and how far they are behind
    #[cfg(feature = "connect")]
    #[command(max_term_width = 100)]
    Connect(connect::Settings),
}

pub(crate) fn run(benchmark: &Benchmark) -> anyhow::Result<()> {
    let settings = match benchmark {
        Benchmark::Transfers(settings) => settings,
        Benchmark::Payments(settings) => return payments::run(settings),
        Benchmark::Tokens(settings) => return tokens::run(settings),
        Benchmark::Features(settings) => return features::run(settings),
        Benchmark::Lists(settings) => return lists::run(settings),
        Benchmark::Model(settings) => return model::score(settings),
        Benchmark::Explain(settings) => return model::explain(settings),
        Benchmark::Rules(settings) => return rules::run(settings),
        #[cfg(feature = "connect")]
        Benchmark::Connect(settings) => return connect::run(settings),
    };
    settings.check()?;
    let temporary = match settings.data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("finaira-bench-")
                .tempdir()
                .context("cannot create a temporary directory")?,
        ),
    };
    let data = settings.data.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
    let figures = measure(settings, data.context("no data directory")?)?;
    outln!("{}", figures.text(settings))?;
    if settings.json {
        outln!("{}", figures.json(settings))?;
    }
    Ok(())
}

fn measure(settings: &Settings, data: &Path) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    if std::fs::read_dir(data)?.next().is_some() {
        bail!("{} is not empty", data.display());
    }
    let raw_syncs_per_second = if settings.batch() == 1 { Some(process::raw_syncs_per_second(data)?) } else { None };
    let mut server = Process::start(data, settings.proofs, &settings.tls)?;
    let key = server.key.take().context("the new server printed no API key")?;
    let target = Target { address: server.address, key: &key };
    prepare(settings, target)?;

    let token = settings.token.then(|| token::get(target)).transpose()?;
    let loaded = load::run(settings, Target { key: token.as_deref().unwrap_or(&key), ..target })?;
    let draining = Stopwatch::start();
    load::drain_proofs(settings.proofs, target)?;
    let drain_s = load::drain(target)?.then(|| draining.elapsed().as_secs_f64());
    let rss_peak_bytes = server.rss_peak_bytes()?;
    let proof_bytes = match settings.proofs {
        Proofs::On => process::used_bytes(&data.join("proofs"))?,
        Proofs::Off => 0,
    };
    let disk_bytes = process::used_bytes(data)? - proof_bytes;

    server.stop()?;
    process::forget_cached(data)?;
    let server = Process::start(data, settings.proofs, &settings.tls)?;
    let target = Target { address: server.address, key: &key };
    let cold = queries::pass(settings, target)?;
    let warm = queries::pass(settings, target)?;
    queries::check_sums(settings, target, loaded.moved)?;
    let restart_s = server.ready_after_s;
    server.stop()?;

    let results_per_query = warm.as_ref().map(|warm| mean(warm.results, warm.latencies_ms.len()));
    let sorted = |queries: Option<queries::Queries>| {
        let mut latencies = queries.map_or(Vec::new(), |queries| queries.latencies_ms);
        latencies.sort_by(f64::total_cmp);
        latencies
    };
    Ok(Figures {
        load_s: loaded.elapsed.as_secs_f64(),
        drain_s,
        batches_ms: loaded.latencies_ms,
        cold_ms: sorted(cold),
        warm_ms: sorted(warm),
        under_load_ms: sorted(loaded.queries),
        results_per_query,
        rss_peak_bytes,
        disk_bytes,
        proof_bytes,
        restart_s,
        raw_syncs_per_second,
    })
}

/// Creates the ledger and the accounts.
fn prepare(settings: &Settings, target: Target<'_>) -> anyhow::Result<()> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let mut post = |path: &str, body: String| -> anyhow::Result<()> {
        let mut request = Request::post(path, target.key, "application/json");
        request.set_body(|bytes| bytes.extend_from_slice(body.as_bytes()));
        connection.call(&request)?.success().map(drop).with_context(|| format!("POST {path} failed"))
    };
    post("/v1/ledgers", format!(r#"{{"id": {}, "asset": "EUR/2"}}"#, workload::LEDGER))?;
    if settings.index == Index::All {
        let fields = r#"{"fields": ["user_data_128", "user_data_64", "user_data_32", "ledger", "code"]}"#;
        post(&format!("/v1/ledgers/{}/indexes", workload::LEDGER), fields.to_owned())?;
    }
    let mut request = Request::post("/v1/packed/create-accounts", target.key, packed::MEDIA_TYPE);
    for first in (1..=settings.accounts).step_by(EVENTS_MAX) {
        let last = settings.accounts.min(first + EVENTS_MAX as u64 - 1);
        request.set_body(|body| (first..=last).for_each(|number| workload::write_account(number, body)));
        load::check_results(connection.call(&request)?.success()?, last - first + 1)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
fn mean(sum: u64, count: usize) -> f64 {
    sum as f64 / count as f64
}
