//! Clients that each keep one request in flight, and their measurements. One thread drives many clients, because waking a thread
//! per client would cost the machine more than the server's own work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use server::Stopwatch;

use super::connection::{Connection, Request, SPIN_FOR, TIMEOUT, Wait};
use super::tls::Address;

/// How many clients share a thread.
const CLIENTS_PER_THREAD: u32 = 64;
/// Up to this many clients spin while they wait. With more clients, the requests themselves keep the processors awake.
const SPINNING_CLIENTS_MAX: u32 = 2;
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The address and the API key of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: Address,
    pub(super) key: &'a str,
}

/// What one client sends, and how it checks the answers.
pub(super) trait Traffic: Send {
    /// A request without a body.
    fn request(&self) -> Request;

    /// Writes the body of the next request, which has `count` events with numbers from `first` on.
    fn write(&mut self, first: u64, count: u64, body: &mut Vec<u8>);

    /// Checks the answer to a request with `count` events.
    fn check(&mut self, status: u16, body: &[u8], count: u64) -> anyhow::Result<()>;
}

/// How much is sent, and by how many clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) count: u64,
    /// Events per request.
    pub(super) batch: u64,
    pub(super) clients: u32,
}

/// The combined measurements of all clients.
#[derive(Debug)]
pub(super) struct Driven<T> {
    /// The time from the first request to the last response.
    pub(super) elapsed: Duration,
    /// The latency of every request, from before it is sent until its response is read.
    pub(super) latencies_ms: Vec<f64>,
    /// What was sent, by client.
    pub(super) traffic: Vec<T>,
}

/// The data that all clients share.
struct Shared {
    load: Load,
    address: Address,
    next: AtomicU64,
    done: AtomicU64,
}

/// Sends a load. `traffic` makes what the client with a number sends.
pub(super) fn drive<T: Traffic>(
    load: Load,
    address: Address,
    traffic: impl Fn(u64) -> T + Sync,
) -> anyhow::Result<Driven<T>> {
    let shared = Shared { load, address, next: AtomicU64::new(0), done: AtomicU64::new(0) };
    let progress = ProgressBar::new(load.count);
    progress.set_style(ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left")?);
    let (ended, ends) = sync_channel::<()>(usize::try_from(load.clients)?);
    std::thread::scope(|scope| {
        let since = Stopwatch::start();
        let threads: Vec<_> = (0..load.clients)
            .step_by(CLIENTS_PER_THREAD as usize)
            .map(|first| {
                let clients = first..load.clients.min(first + CLIENTS_PER_THREAD);
                let (shared, traffic, ended) = (&shared, &traffic, ended.clone());
                scope.spawn(move || {
                    // This is dropped at the end, even after an error.
                    let _ended = ended;
                    drive_some(shared, clients.map(|number| traffic(number.into())).collect())
                })
            })
            .collect();
        drop(ended);
        while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(PROGRESS_EVERY) {
            progress.set_position(shared.done.load(Ordering::Relaxed));
        }
        let mut driven = Driven { elapsed: since.elapsed(), latencies_ms: Vec::new(), traffic: Vec::new() };
        progress.finish_and_clear();
        for thread in threads {
            for client in thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? {
                driven.latencies_ms.extend(client.latencies_ms);
                driven.traffic.push(client.traffic);
            }
        }
        driven.latencies_ms.sort_by(f64::total_cmp);
        Ok(driven)
    })
}

/// Runs the share of some of the clients.
fn drive_some<T: Traffic>(shared: &Shared, traffic: Vec<T>) -> anyhow::Result<Vec<Client<T>>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::new();
    for traffic in traffic {
        let client = Client::open(shared, traffic)?;
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
        let spins = shared.load.clients <= SPINNING_CLIENTS_MAX && answered.elapsed() < SPIN_FOR;
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
struct Client<T> {
    connection: Connection,
    traffic: T,
    latencies_ms: Vec<f64>,
    sent: Stopwatch,
    sent_events: u64,
    following: Request,
    following_events: u64,
}

impl<T: Traffic> Client<T> {
    fn open(shared: &Shared, traffic: T) -> anyhow::Result<Self> {
        let mut client = Self {
            connection: Connection::open(shared.address, Wait::Block)?,
            latencies_ms: Vec::new(),
            sent: Stopwatch::start(),
            sent_events: 0,
            following: traffic.request(),
            following_events: 0,
            traffic,
        };
        client.prepare(shared);
        Ok(client)
    }

    /// Sends the next request, and builds the one after it. Returns false if there is none left.
    fn send(&mut self, shared: &Shared) -> anyhow::Result<bool> {
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
    fn receive(&mut self, shared: &Shared) -> anyhow::Result<bool> {
        let Some(answer) = self.connection.try_receive()? else { return Ok(false) };
        self.latencies_ms.push(self.sent.elapsed().as_secs_f64() * 1000.0);
        let status = answer.status;
        self.traffic.check(status, answer.success()?, self.sent_events)?;
        shared.done.fetch_add(self.sent_events, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes the next events into a request.
    fn prepare(&mut self, shared: &Shared) {
        let Load { count, batch, .. } = shared.load;
        let first = shared.next.fetch_add(batch, Ordering::Relaxed);
        self.following_events = count.saturating_sub(first).min(batch);
        self.following.set_body(|body| self.traffic.write(first, self.following_events, body));
    }
}
