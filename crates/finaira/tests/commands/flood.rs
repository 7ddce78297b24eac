//! Load for a server under test: many connections on one thread, which send requests at a given rate, or as fast as answers come.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "rates and numbers of connections are small"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// The latencies of the answers with each status.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// Every answer: status and latency.
    pub(crate) answers: Vec<(u16, Duration)>,
    /// When each of them was sent, after the begin of the load.
    pub(crate) sent: Vec<Duration>,
    /// Requests that were due while every connection waited for an answer.
    pub(crate) missed: usize,
}

impl Outcome {
    pub(crate) fn count(&self, of: impl Fn(u16) -> bool) -> usize {
        self.answers.iter().filter(|(status, _)| of(*status)).count()
    }

    /// The latency that 99 of 100 answers with such a status have at most.
    pub(crate) fn p99(&self, of: impl Fn(u16) -> bool) -> Duration {
        let mut latencies: Vec<_> =
            self.answers.iter().filter(|(status, _)| of(*status)).map(|(_, latency)| *latency).collect();
        latencies.sort();
        let last = latencies.len().saturating_sub(1);
        latencies.get(last * 99 / 100).copied().unwrap_or_default()
    }

    /// Without what was sent at the begin of the load.
    pub(crate) fn sent_after(mut self, begin: Duration) -> Self {
        let kept = self.answers.iter().zip(&self.sent).filter(|(_, sent)| **sent >= begin).map(|(answer, _)| *answer);
        self.answers = kept.collect();
        self.elapsed = self.elapsed.saturating_sub(begin);
        self
    }

    pub(crate) fn per_second(&self, of: impl Fn(u16) -> bool) -> f64 {
        self.count(of) as f64 / self.elapsed.as_secs_f64()
    }
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as a connection has its answer.
    Closed,
    /// So many in a second, whatever the answers are.
    Open(f64),
}

/// Most requests that are sent before answers are read again, and most answers that are read before requests are sent again.
const SENT_AT_ONCE: usize = 64;
const RECEIVED_AT_ONCE: usize = 512;

struct All {
    poll: OwnedFd,
    connections: Vec<Connection>,
    start: Instant,
}

struct Connection {
    socket: TcpStream,
    sent_at: Option<Instant>,
    received: Vec<u8>,
}

/// A transfer of 1 from account 1 to 2, as a whole request.
pub(crate) fn transfer(key: &str, id: u64) -> Vec<u8> {
    post("/v1/transfers", key, &order(id))
}

/// A batch of such transfers.
pub(crate) fn transfers(key: &str, ids: std::ops::Range<u64>) -> Vec<u8> {
    let orders: Vec<String> = ids.map(order).collect();
    post("/v1/transfers/batch", key, &format!("{{\"transfers\":[{}]}}", orders.join(",")))
}

/// A text that costs little to make, because the load shares its machine with the server.
fn order(id: u64) -> String {
    format!(r#"{{"id":"{id}","debit_account":"1","credit_account":"2","amount":"1","asset":"EUR/2","code":1}}"#)
}

fn post(path: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "a load measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Sends requests for a while over `connections` to `http://…`. `request` makes each of them, for the connection with a number.
pub(crate) fn flood(
    address: &str,
    connections: usize,
    pace: Pace,
    during: Duration,
    mut request: impl FnMut(usize) -> Vec<u8>,
) -> Outcome {
    let address = address.trim_start_matches("http://");
    let open = || {
        let socket = TcpStream::connect(address).expect("the server accepts");
        socket.set_nodelay(true).expect("an option");
        socket.set_nonblocking(true).expect("an option");
        Connection { socket, sent_at: None, received: Vec::new() }
    };
    let mut all = All {
        poll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("a poll"),
        connections: (0..connections).map(|_| open()).collect(),
        start: now(),
    };
    for (number, connection) in all.connections.iter().enumerate() {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&all.poll, &connection.socket, data, epoll::EventFlags::IN).expect("the poll takes it");
    }
    let mut idle: Vec<usize> = (0..connections).collect();
    let mut outcome = Outcome::default();
    let start = all.start;
    while start.elapsed() < during {
        let mut due = match pace {
            Pace::Closed => idle.len() as f64,
            Pace::Open(per_second) => {
                start.elapsed().as_secs_f64() * per_second
                    - (outcome.answers.len() + outcome.missed + connections - idle.len()) as f64
            }
        }
        .max(0.0);
        // Answers are read in between, so that none waits long for its turn and is measured as late.
        let mut sent = 0;
        while due >= 1.0 && sent < SENT_AT_ONCE {
            due -= 1.0;
            let Some(number) = idle.pop() else {
                outcome.missed += 1;
                continue;
            };
            let bytes = request(number);
            // A request fits into the buffer of a socket that has been answered.
            all.connections[number].socket.write_all(&bytes).expect("the request is sent");
            all.connections[number].sent_at = Some(now());
            sent += 1;
        }
        let within = if due >= 1.0 { Duration::ZERO } else { Duration::from_millis(1) };
        receive(&mut all, &mut idle, &mut outcome, within);
    }
    let drain = now();
    while idle.len() < connections {
        receive(&mut all, &mut idle, &mut outcome, Duration::from_millis(10));
        assert!(drain.elapsed() < Duration::from_secs(20), "{} requests get no answer", connections - idle.len());
    }
    outcome.elapsed = start.elapsed();
    outcome
}

fn receive(all: &mut All, idle: &mut Vec<usize>, outcome: &mut Outcome, within: Duration) {
    let mut ready = Vec::with_capacity(RECEIVED_AT_ONCE);
    let within = Timespec::try_from(within).expect("a short time");
    epoll::wait(&all.poll, spare_capacity(&mut ready), Some(&within)).expect("waiting works");
    let at = now();
    for event in ready {
        let number = event.data.u64() as usize;
        let connection = &mut all.connections[number];
        let mut buffer = [0; 4_096];
        match connection.socket.read(&mut buffer) {
            Ok(0) => panic!("the server closed a connection: {:?}", String::from_utf8_lossy(&connection.received)),
            Ok(bytes) => connection.received.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("a connection broke: {error}"),
        }
        if let Some(status) = whole_answer(&connection.received) {
            connection.received.clear();
            let sent_at = connection.sent_at.take().expect("a request");
            outcome.answers.push((status, at.saturating_duration_since(sent_at)));
            outcome.sent.push(sent_at.saturating_duration_since(all.start));
            idle.push(number);
        }
    }
}

/// The status of an answer, once all of it has arrived.
pub(crate) fn whole_answer(received: &[u8]) -> Option<u16> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).expect("a head is text").to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
    let status = head.get(9..12)?.parse().expect("a status");
    (received.len() >= end + 4 + length).then_some(status)
}
