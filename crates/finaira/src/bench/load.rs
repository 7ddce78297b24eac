//! The load: clients that each keep one request on its way, and what they measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::packed::{self, ResultRecord};
use indicatif::{ProgressBar, ProgressStyle};
use server::{Clock, Stopwatch};

use super::connection::{Connection, Request, Wait};
use super::queries::{self, Queries};
use super::settings::Settings;
use super::workload::{Random, Workload, write_json};

const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How often an account's transfers are asked for during the load.
const QUERY_EVERY: Duration = Duration::from_millis(50);
/// How often the server is asked whether it is idle.
const DRAINED_EVERY: Duration = Duration::from_millis(5);

/// Where the server is, and how to get in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) key: &'a str,
}

/// What the clients measured together.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Of every request, from before it is sent until its answer is read.
    pub(super) latencies_ms: Vec<f64>,
    /// What all transfers moved.
    pub(super) moved: u128,
    /// Queries during the load; none when the server has no such route.
    pub(super) queries: Option<Queries>,
}

/// What all clients share.
struct Shared<'a> {
    settings: &'a Settings,
    target: Target<'a>,
    ids_from: u64,
    next: AtomicU64,
    done: AtomicU64,
}

pub(super) fn run(settings: &Settings, target: Target<'_>) -> anyhow::Result<Loaded> {
    let ids_from = Clock.now().ns();
    let shared = Shared { settings, target, ids_from, next: AtomicU64::new(0), done: AtomicU64::new(0) };
    let over = AtomicBool::new(false);
    let progress = ProgressBar::new(settings.count);
    progress.set_style(ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left")?);
    let (ended, ends) = sync_channel::<()>(usize::try_from(settings.clients)?);
    std::thread::scope(|scope| {
        let since = Stopwatch::start();
        let clients: Vec<_> = (0..settings.clients)
            .map(|number| {
                let (shared, ended) = (&shared, ended.clone());
                scope.spawn(move || {
                    // Dropped at the end, however it comes.
                    let _ended = ended;
                    client(shared, number.into())
                })
            })
            .collect();
        drop(ended);
        let asking = scope.spawn(|| query_steadily(settings, target, &over));
        while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(PROGRESS_EVERY) {
            progress.set_position(shared.done.load(Ordering::Relaxed));
        }
        let mut loaded = Loaded { elapsed: since.elapsed(), ..Loaded::default() };
        over.store(true, Ordering::Relaxed);
        progress.finish_and_clear();
        for client in clients {
            let (latencies_ms, moved) = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            loaded.latencies_ms.extend(latencies_ms);
            loaded.moved += moved;
        }
        loaded.queries = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(loaded)
    })
}

/// Sends its share; the next request is made while the answer to the one before is on its way.
fn client(shared: &Shared<'_>, number: u64) -> anyhow::Result<(Vec<f64>, u128)> {
    let Shared { settings, target, .. } = shared;
    // Many clients that wait awake would take the processors from the server.
    let wait = if settings.clients <= 2 { Wait::Spin } else { Wait::Block };
    let mut connection = Connection::open(target.address, wait)?;
    let mut workload = Workload::new(settings, number, shared.ids_from);
    let mut latencies_ms = Vec::new();
    let mut requests = [request(settings, target.key), request(settings, target.key)];
    let [ready, following] = &mut requests;
    let mut events = prepare(shared, &mut workload, ready);
    while events > 0 {
        let since = Stopwatch::start();
        connection.send(ready)?;
        let following_events = prepare(shared, &mut workload, following);
        let answer = connection.receive()?;
        latencies_ms.push(since.elapsed().as_secs_f64() * 1000.0);
        let status = answer.status;
        let body = answer.success()?;
        match settings.http {
            true if status == 201 => {}
            true => bail!("the server answered a new transfer with {status}"),
            false => check_results(body, events)?,
        }
        shared.done.fetch_add(events, Ordering::Relaxed);
        std::mem::swap(ready, following);
        events = following_events;
    }
    Ok((latencies_ms, workload.moved))
}

fn request(settings: &Settings, key: &str) -> Request {
    if settings.http {
        Request::post("/v1/transfers", key, "application/json")
    } else {
        Request::post("/v1/packed/create-transfers", key, packed::MEDIA_TYPE)
    }
}

/// Writes the next transfers into a request; how many.
fn prepare(shared: &Shared<'_>, workload: &mut Workload, request: &mut Request) -> u64 {
    let settings = shared.settings;
    let first = shared.next.fetch_add(settings.batch(), Ordering::Relaxed);
    let events = settings.count.saturating_sub(first).min(settings.batch());
    request.set_body(|body| {
        workload.transfers(first, events, |record| match settings.http {
            true => write_json(record, body),
            false => body.extend_from_slice(&record.encode()),
        });
    });
    events
}

/// Every event of a batch must have been created.
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

/// Asks for the transfers of one account after the other until the load is over.
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

/// Waits until the server has nothing left to do in the background; true when it says so, false when it cannot.
pub(super) fn drain(target: Target<'_>) -> anyhow::Result<bool> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let request = Request::get("/v1/index", target.key);
    loop {
        let answer = connection.call(&request)?;
        if answer.status == 404 {
            return Ok(false);
        }
        let state: serde_json::Value = serde_json::from_slice(answer.success()?)?;
        if state["idle"].as_bool().context("the server's answer has no `idle`")? {
            return Ok(true);
        }
        std::thread::park_timeout(DRAINED_EVERY);
    }
}
