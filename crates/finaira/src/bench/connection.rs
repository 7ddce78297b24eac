//! A connection that speaks just enough HTTP/1.1: one write for each request, buffers that stay, answers with a
//! `Content-Length`. A benchmark's client shares the machine with what it measures, so it must cost little.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use server::Stopwatch;

/// How long an answer is awaited awake. Waking an idle processor costs more than a sync of the disk.
const SPIN_FOR: Duration = Duration::from_millis(1);
/// How long an answer may take; then the benchmark gives up.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A request, ready to send again and again with other bodies.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where the digits of the length stand.
    length_at: usize,
    head_bytes: usize,
}

/// Digits of a `Content-Length`; leading zeros are allowed.
const LENGTH_DIGITS: usize = 8;

impl Request {
    pub(super) fn post(path: &str, key: &str, media_type: &str) -> Self {
        let before = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: {media_type}\r\n\
             Content-Length: "
        );
        let length_at = before.len();
        let bytes = format!("{before}{}\r\n\r\n", "0".repeat(LENGTH_DIGITS)).into_bytes();
        Self { head_bytes: bytes.len(), bytes, length_at }
    }

    pub(super) fn get(path: &str, key: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
        Self { length_at: 0, head_bytes: head.len(), bytes: head.into_bytes() }
    }

    /// Replaces the body by what `write` appends.
    pub(super) fn set_body(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.truncate(self.head_bytes);
        write(&mut self.bytes);
        let length = format!("{:0LENGTH_DIGITS$}", self.bytes.len() - self.head_bytes);
        self.bytes[self.length_at..][..LENGTH_DIGITS].copy_from_slice(length.as_bytes());
    }
}

/// Whether an answer is awaited awake for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Spin,
    Block,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    wait: Wait,
    blocking: bool,
    buffer: Vec<u8>,
}

/// An answer in the connection's buffer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The body of an answer that is no error.
    pub(super) fn success(self) -> anyhow::Result<&'a [u8]> {
        if !(200..300).contains(&self.status) {
            bail!("the server answered {}: {}", self.status, String::from_utf8_lossy(self.body));
        }
        Ok(self.body)
    }
}

impl Connection {
    pub(super) fn open(address: SocketAddr, wait: Wait) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, wait, blocking: true, buffer: vec![0; 16 << 10] })
    }

    pub(super) fn call(&mut self, request: &Request) -> anyhow::Result<Answer<'_>> {
        self.send(request)?;
        self.receive()
    }

    pub(super) fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        self.set_blocking(true)?;
        self.stream.write_all(&request.bytes).context("the server does not read")
    }

    /// The answer to the request that was sent last.
    pub(super) fn receive(&mut self) -> anyhow::Result<Answer<'_>> {
        let mut filled = 0;
        let (status, head_bytes, total_bytes) = loop {
            filled += self.read(filled)?;
            if let Some(end) = find(&self.buffer[..filled], b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).context("the head of an answer is not text")?;
                let (status, body_bytes) = parse_head(head)?;
                break (status, end + 4, end + 4 + body_bytes);
            }
        };
        if self.buffer.len() < total_bytes {
            self.buffer.resize(total_bytes, 0);
        }
        while filled < total_bytes {
            filled += self.read(filled)?;
        }
        Ok(Answer { status, body: &self.buffer[head_bytes..total_bytes] })
    }

    fn set_blocking(&mut self, blocking: bool) -> std::io::Result<()> {
        if self.blocking != blocking {
            self.stream.set_nonblocking(!blocking)?;
            self.blocking = blocking;
        }
        Ok(())
    }

    fn read(&mut self, filled: usize) -> anyhow::Result<usize> {
        if self.wait == Wait::Spin {
            self.set_blocking(false)?;
            let since = Stopwatch::start();
            while since.elapsed() < SPIN_FOR {
                match self.stream.read(&mut self.buffer[filled..]) {
                    Ok(0) => bail!("the server closed the connection"),
                    Ok(read) => return Ok(read),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(error) => return Err(error).context("cannot read the answer"),
                }
            }
            self.set_blocking(true)?;
        }
        match self.stream.read(&mut self.buffer[filled..]).context("the server does not answer")? {
            0 => bail!("the server closed the connection"),
            read => Ok(read),
        }
    }
}

fn parse_head(head: &str) -> anyhow::Result<(u16, usize)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    Ok((status.context("the server answers something else than HTTP/1.1")?, length.unwrap_or(0)))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
