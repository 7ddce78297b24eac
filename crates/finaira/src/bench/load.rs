//! The load of transfers, with queries beside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::packed::{self, ResultRecord};
use server::Clock;

use super::connection::{Connection, Request, Wait};
use super::drive::{self, Driven, Load, Target, Traffic};
use super::queries::{self, Queries};
use super::settings::{Proofs, Settings};
use super::workload::{Random, Workload, write_json};

/// The interval between queries for an account's transfers during the load.
const QUERY_EVERY: Duration = Duration::from_millis(50);
/// How often the benchmark asks whether the server is idle.
const DRAINED_EVERY: Duration = Duration::from_millis(5);

/// The combined measurements of all clients.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The time from the first request to the last response.
    pub(super) elapsed: Duration,
    /// The latency of every request, sorted.
    pub(super) latencies_ms: Vec<f64>,
    /// The sum of the amounts that all transfers moved.
    pub(super) moved: u128,
    /// The queries during the load, or `None` if the server has no such route.
    pub(super) queries: Option<Queries>,
}

pub(super) fn run(settings: &Settings, target: Target<'_>) -> anyhow::Result<Loaded> {
    let ids_from = Clock.now().ns();
    let load = Load { count: settings.count, batch: settings.batch(), clients: settings.clients };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| query_steadily(settings, target, &over));
        let driven = drive::drive(load, target.address, |number| Transfers {
            settings,
            key: target.key,
            workload: Workload::new(settings, number, ids_from),
        });
        over.store(true, Ordering::Relaxed);
        let queries = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let Driven { elapsed, latencies_ms, traffic } = driven?;
        let moved = traffic.iter().map(|transfers| transfers.workload.moved).sum();
        Ok(Loaded { elapsed, latencies_ms, moved, queries })
    })
}

/// The transfers of one client.
struct Transfers<'a> {
    settings: &'a Settings,
    key: &'a str,
    workload: Workload,
}

impl Traffic for Transfers<'_> {
    fn request(&self) -> Request {
        if self.settings.http {
            Request::post("/v1/transfers", self.key, "application/json")
        } else {
            Request::post("/v1/packed/create-transfers", self.key, packed::MEDIA_TYPE)
        }
    }

    fn write(&mut self, first: u64, count: u64, body: &mut Vec<u8>) {
        self.workload.transfers(first, count, |record| match self.settings.http {
            true => write_json(record, body),
            false => body.extend_from_slice(&record.encode()),
        });
    }

    fn check(&mut self, status: u16, body: &[u8], count: u64) -> anyhow::Result<()> {
        match self.settings.http {
            true if status == 201 => Ok(()),
            true => bail!("the server answered a new transfer with {status}"),
            false => check_results(body, count),
        }
    }
}

/// Checks that every event of a batch was created.
pub(super) fn check_results(body: &[u8], events: u64) -> anyhow::Result<()> {
    let (results, rest) = body.as_chunks();
    if results.len() as u64 != events || !rest.is_empty() {
        bail!("the server answered {events} events with {} bytes", body.len());
    }
    let statuses = results.iter().map(|result| ResultRecord::decode(result).status);
    if statuses.clone().all(|status| status == ResultRecord::CREATED) {
        return Ok(());
    }
    let mut refused: BTreeMap<u32, u64> = BTreeMap::new();
    for status in statuses.filter(|status| *status != ResultRecord::CREATED) {
        *refused.entry(status).or_default() += 1;
    }
    let listed: Vec<String> = refused.iter().map(|(status, count)| format!("status {status}: {count} times")).collect();
    bail!("not all of {events} events were created: {}", listed.join(", "))
}

/// Queries the transfers of one account after another until the load is over.
fn query_steadily(settings: &Settings, target: Target<'_>, over: &AtomicBool) -> anyhow::Result<Option<Queries>> {
    if settings.queries == 0 {
        return Ok(None);
    }
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let mut random = Random::new(u64::MAX);
    let mut queries = Queries::default();
    while !over.load(Ordering::Relaxed) {
        let account = 1 + random.below(settings.accounts);
        if !queries::ask(&mut connection, target.key, account, &mut queries)? {
            return Ok(None);
        }
        std::thread::park_timeout(QUERY_EVERY);
    }
    Ok(Some(queries))
}

/// Waits until the newest checkpoint covers every entry.
pub(super) fn drain_proofs(proofs: Proofs, target: Target<'_>) -> anyhow::Result<()> {
    if proofs == Proofs::Off {
        return Ok(());
    }
    while metric(target, "finaira_proofs_behind_entries")? > 0 {
        std::thread::park_timeout(DRAINED_EVERY);
    }
    Ok(())
}

/// The value of a metric without labels.
pub(super) fn metric(target: Target<'_>, name: &str) -> anyhow::Result<u64> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let request = Request::get("/metrics", target.key);
    let metrics = String::from_utf8_lossy(connection.call(&request)?.success()?).into_owned();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("the server has no metric {name}"))?;
    value.parse().with_context(|| format!("the metric {name} is {value}"))
}

/// Waits until the server has no background work left. Returns false if the server cannot report that.
pub(super) fn drain(target: Target<'_>) -> anyhow::Result<bool> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let request = Request::get("/v1/index", target.key);
    loop {
        let answer = connection.call(&request)?;
        if answer.status == 404 {
            return Ok(false);
        }
        let state: serde_json::Value = serde_json::from_slice(answer.success()?)?;
        if state["idle"].as_bool().context("the server's response has no `idle`")? {
            return Ok(true);
        }
        std::thread::park_timeout(DRAINED_EVERY);
    }
}
