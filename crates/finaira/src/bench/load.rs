//! The load: clients that each keep one request in flight, and their measurements. One thread drives many clients,
//! because waking a thread per client would cost the machine more than the server's own work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::packed::{self, ResultRecord};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use server::{Clock, Stopwatch};

use super::connection::{Connection, Request, SPIN_FOR, TIMEOUT, Wait};
use super::queries::{self, Queries};
use super::settings::{Proofs, Settings};
use super::workload::{Random, Workload, write_json};

/// How many clients share a thread.
const CLIENTS_PER_THREAD: u32 = 64;
/// Up to this many clients spin while they wait. With more clients, the requests themselves keep the processors awake.
const SPINNING_CLIENTS_MAX: u32 = 2;
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// The interval between queries for an account's transfers during the load.
const QUERY_EVERY: Duration = Duration::from_millis(50);
/// How often the benchmark asks whether the server is idle.
const DRAINED_EVERY: Duration = Duration::from_millis(5);

/// The address and the API key of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) key: &'a str,
}

/// The combined measurements of all clients.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The time from the first request to the last response.
    pub(super) elapsed: Duration,
    /// The latency of every request, from before it is sent until its response is read.
    pub(super) latencies_ms: Vec<f64>,
    /// The sum of the amounts that all transfers moved.
    pub(super) moved: u128,
    /// The queries during the load, or `None` if the server has no such route.
    pub(super) queries: Option<Queries>,
}

/// The data that all clients share.
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
        let threads: Vec<_> = (0..settings.clients)
            .step_by(CLIENTS_PER_THREAD as usize)
            .map(|first| {
                let clients = first..settings.clients.min(first + CLIENTS_PER_THREAD);
                let (shared, ended) = (&shared, ended.clone());
                scope.spawn(move || {
                    // This is dropped at the end, even after an error.
                    let _ended = ended;
                    drive(shared, clients)
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
        for thread in threads {
            for client in thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? {
                loaded.latencies_ms.extend(client.latencies_ms);
                loaded.moved += client.workload.moved;
            }
        }
        loaded.queries = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(loaded)
    })
}

/// Runs the share of some of the clients.
fn drive(shared: &Shared<'_>, numbers: std::ops::Range<u32>) -> anyhow::Result<Vec<Client>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::new();
    for number in numbers {
        let client = Client::open(shared, number.into())?;
        epoll::add(&poll, &client.connection, epoll::EventData::new_u64(clients.len() as u64), epoll::EventFlags::IN)?;
        clients.push(client);
    }
    let mut busy = 0;
    for client in &mut clients {
        busy += usize::from(client.send(shared)?);
    }
    let mut ready = Vec::with_capacity(clients.len());
    let mut answered = Stopwatch::start();
    while busy > 0 {
        let spins = shared.settings.clients <= SPINNING_CLIENTS_MAX && answered.elapsed() < SPIN_FOR;
        let timeout = if spins { Duration::ZERO } else { TIMEOUT };
        ready.clear();
        if epoll::wait(&poll, spare_capacity(&mut ready), Some(&Timespec::try_from(timeout)?))? > 0 {
            answered = Stopwatch::start();
        } else if spins {
            std::thread::yield_now();
        } else {
            bail!("the server does not respond");
        }
        for event in &ready {
            let client = &mut clients[usize::try_from(event.data.u64())?];
            if client.receive(shared)? && !client.send(shared)? {
                busy -= 1;
            }
        }
    }
    Ok(clients)
}

/// A connection with one request in flight. The next request is built while the client waits for the response.
struct Client {
    connection: Connection,
    workload: Workload,
    latencies_ms: Vec<f64>,
    sent: Stopwatch,
    sent_events: u64,
    following: Request,
    following_events: u64,
}

impl Client {
    fn open(shared: &Shared<'_>, number: u64) -> anyhow::Result<Self> {
        let Shared { settings, target, .. } = shared;
        let mut client = Self {
            connection: Connection::open(target.address, Wait::Block)?,
            workload: Workload::new(settings, number, shared.ids_from),
            latencies_ms: Vec::new(),
            sent: Stopwatch::start(),
            sent_events: 0,
            following: request(settings, target.key),
            following_events: 0,
        };
        client.prepare(shared);
        Ok(client)
    }

    /// Sends the next request, and builds the one after it. Returns false if there is none left.
    fn send(&mut self, shared: &Shared<'_>) -> anyhow::Result<bool> {
        self.sent_events = self.following_events;
        if self.sent_events == 0 {
            return Ok(false);
        }
        self.sent = Stopwatch::start();
        self.connection.send(&self.following)?;
        self.prepare(shared);
        Ok(true)
    }

    /// Reads what has arrived. Returns true if the response is complete.
    fn receive(&mut self, shared: &Shared<'_>) -> anyhow::Result<bool> {
        let Some(answer) = self.connection.try_receive()? else { return Ok(false) };
        self.latencies_ms.push(self.sent.elapsed().as_secs_f64() * 1000.0);
        let status = answer.status;
        let body = answer.success()?;
        match shared.settings.http {
            true if status == 201 => {}
            true => bail!("the server answered a new transfer with {status}"),
            false => check_results(body, self.sent_events)?,
        }
        shared.done.fetch_add(self.sent_events, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes the next transfers into a request.
    fn prepare(&mut self, shared: &Shared<'_>) {
        let settings = shared.settings;
        let first = shared.next.fetch_add(settings.batch(), Ordering::Relaxed);
        self.following_events = settings.count.saturating_sub(first).min(settings.batch());
        self.following.set_body(|body| {
            self.workload.transfers(first, self.following_events, |record| match settings.http {
                true => write_json(record, body),
                false => body.extend_from_slice(&record.encode()),
            });
        });
    }
}

fn request(settings: &Settings, key: &str) -> Request {
    if settings.http {
        Request::post("/v1/transfers", key, "application/json")
    } else {
        Request::post("/v1/packed/create-transfers", key, packed::MEDIA_TYPE)
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
pub(super) fn drain_proofs(settings: &Settings, target: Target<'_>) -> anyhow::Result<()> {
    if settings.proofs == Proofs::Off {
        return Ok(());
    }
    const BEHIND: &str = "finaira_proofs_behind_entries ";
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let request = Request::get("/metrics", target.key);
    loop {
        let metrics = String::from_utf8_lossy(connection.call(&request)?.success()?).into_owned();
        let behind = metrics
            .lines()
            .find_map(|line| line.strip_prefix(BEHIND))
            .context("the server has no metric for proofs")?;
        if behind == "0" {
            return Ok(());
        }
        std::thread::park_timeout(DRAINED_EVERY);
    }
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
