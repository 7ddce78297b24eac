//! A connection that implements just enough HTTP/1.1: one write per request, reused buffers, and responses with a
//! `Content-Length`. The client of a benchmark runs on the same machine as the server, so it must cost little.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context as _, bail};
use server::Stopwatch;

use super::tls::{Address, Wire};

/// How long a client waits for a response by spinning. Waking an idle processor takes longer than a sync of the disk.
pub(super) const SPIN_FOR: Duration = Duration::from_millis(1);
/// The limit for a response, after which the benchmark fails.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);

/// A request that can be sent many times with different bodies.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
    /// The position of the digits of the content length.
    length_at: usize,
    head_bytes: usize,
}

/// The number of digits in `Content-Length`; leading zeros are allowed.
const LENGTH_DIGITS: usize = 8;

impl Request {
    pub(super) fn post(path: &str, key: &str, media_type: &str) -> Self {
        Self::with_head(path, &format!("Authorization: Bearer {key}\r\nContent-Type: {media_type}\r\n"))
    }

    /// A form, which has the credentials in it.
    pub(super) fn form(path: &str) -> Self {
        Self::with_head(path, "Content-Type: application/x-www-form-urlencoded\r\n")
    }

    fn with_head(path: &str, headers: &str) -> Self {
        let before = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: ");
        let length_at = before.len();
        let bytes = format!("{before}{}\r\n\r\n", "0".repeat(LENGTH_DIGITS)).into_bytes();
        Self { head_bytes: bytes.len(), bytes, length_at }
    }

    pub(super) fn get(path: &str, key: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
        Self { length_at: 0, head_bytes: head.len(), bytes: head.into_bytes() }
    }

    /// Replaces the body with what `write` appends.
    pub(super) fn set_body(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.truncate(self.head_bytes);
        write(&mut self.bytes);
        let length = format!("{:0LENGTH_DIGITS$}", self.bytes.len() - self.head_bytes);
        self.bytes[self.length_at..][..LENGTH_DIGITS].copy_from_slice(length.as_bytes());
    }
}

/// Whether a client spins for a while when it waits for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Spin,
    Block,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Wire,
    wait: Wait,
    blocking: bool,
    buffer: Vec<u8>,
    /// The number of bytes of the response that have arrived.
    filled: usize,
    /// The head of the response, once it has arrived.
    head: Option<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

/// A response in the connection's buffer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Returns the body if the response is not an error.
    pub(super) fn success(self) -> anyhow::Result<&'a [u8]> {
        if !(200..300).contains(&self.status) {
            bail!("the server answered {}: {}", self.status, String::from_utf8_lossy(self.body));
        }
        Ok(self.body)
    }
}

impl Connection {
    pub(super) fn open(address: Address, wait: Wait) -> anyhow::Result<Self> {
        let stream = Wire::open(address)?;
        stream.socket.set_nodelay(true)?;
        stream.socket.set_read_timeout(Some(TIMEOUT))?;
        stream.socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, wait, blocking: true, buffer: vec![0; 16 << 10], filled: 0, head: None })
    }

    pub(super) fn call(&mut self, request: &Request) -> anyhow::Result<Answer<'_>> {
        self.send(request)?;
        self.receive()
    }

    pub(super) fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        (self.filled, self.head) = (0, None);
        if self.stream.keeps_bytes() {
            self.set_blocking(true)?;
        }
        let mut rest = request.bytes.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.blocking => self.set_blocking(true)?,
                Err(error) => return Err(error).context("the server does not read the request"),
            }
        }
        self.stream.flush().context("the server does not read the request")
    }

    /// Returns the response to the last request.
    pub(super) fn receive(&mut self) -> anyhow::Result<Answer<'_>> {
        let mut spun = self.wait == Wait::Block;
        let since = Stopwatch::start();
        while !self.has_answer() {
            self.set_blocking(spun)?;
            if !self.read()? {
                std::thread::yield_now();
                spun = since.elapsed() >= SPIN_FOR;
            }
        }
        self.answer().context("the response is complete")
    }

    /// Reads what has arrived. Returns the response if it is complete.
    pub(super) fn try_receive(&mut self) -> anyhow::Result<Option<Answer<'_>>> {
        self.set_blocking(false)?;
        while !self.has_answer() && self.read()? {}
        Ok(self.answer())
    }

    fn set_blocking(&mut self, blocking: bool) -> std::io::Result<()> {
        if self.blocking != blocking {
            self.stream.socket.set_nonblocking(!blocking)?;
            self.blocking = blocking;
        }
        Ok(())
    }

    /// Reads once. Returns false if nothing has arrived on a non-blocking connection.
    fn read(&mut self) -> anyhow::Result<bool> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !self.blocking => return Ok(false),
            Err(error) => return Err(error).context("the server does not respond"),
        }
        if self.head.is_none()
            && let Some(end) = find(&self.buffer[..self.filled], b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&self.buffer[..end]).context("the head of a response is not text")?;
            let (status, body_bytes) = parse_head(text)?;
            let head = Head { status, bytes: end + 4, body_bytes };
            if self.buffer.len() < head.bytes + body_bytes {
                self.buffer.resize(head.bytes + body_bytes, 0);
            }
            self.head = Some(head);
        }
        Ok(true)
    }

    fn has_answer(&self) -> bool {
        self.head.is_some_and(|head| self.filled >= head.bytes + head.body_bytes)
    }

    fn answer(&self) -> Option<Answer<'_>> {
        let Head { status, bytes, body_bytes } = self.head.filter(|_| self.has_answer())?;
        Some(Answer { status, body: &self.buffer[bytes..][..body_bytes] })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.socket.as_fd()
    }
}

fn parse_head(head: &str) -> anyhow::Result<(u16, usize)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    Ok((status.context("the response is not HTTP/1.1")?, length.unwrap_or(0)))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
