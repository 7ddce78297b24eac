//! The client that a backup uses to talk to the server.

use std::time::Duration;

use api::segments::BYTES_MAX;
use datadir::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use types::Seq;
use ureq::Agent;

use super::failure::Failure;
use crate::remote::Server;

/// The limit for a whole response.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest JSON response that is accepted, in bytes.
const JSON_BYTES_MAX: u64 = 1 << 20;

/// Talks to a server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    server: String,
    /// The path of the journal's segments.
    segments: &'static str,
    authorization: Secret,
}

/// Whose journal is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The tenant of the API key.
    Tenant,
    /// The settings of the installation.
    System,
}

/// The state of the server's journal, and one of its segments.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Original {
    pub(super) items: Vec<Segment>,
    pub(super) durable: Durable,
    pub(super) shard: u16,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) origin: String,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Durable {
    pub(super) sequence: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Original {
    /// The length of a segment's file.
    pub(super) fn file_bytes(&self, number: u64) -> Result<u64, Failure> {
        let found = self.items.iter().find(|segment| segment.number == number);
        let missing = || Failure::Broken(format!("the server did not describe segment {number}"));
        found.map(|segment| segment.bytes).ok_or_else(missing)
    }
}

impl Client {
    pub(crate) fn new(server: &Server, of: Of) -> anyhow::Result<Self> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT));
        let (agent, authorization) = (server.agent(config)?, server.authorization()?);
        let segments = match of {
            Of::Tenant => "/v1/journal/segments",
            Of::System => "/v1/installation/journal/segments",
        };
        Ok(Self { agent, server: server.url().to_owned(), segments, authorization })
    }

    /// Returns the state of the journal, with one segment.
    pub(super) fn original(&self, segment: u64) -> Result<Original, Failure> {
        self.json(&format!("{}?from={segment}&limit=1", self.segments))
    }

    /// As [`Client::original`], but waits up to `wait` for entries after `after`.
    pub(super) fn original_after(&self, segment: u64, after: Seq, wait: Duration) -> Result<Original, Failure> {
        let (after, wait_ms) = (after.get(), wait.as_millis());
        self.json(&format!("{}?from={segment}&limit=1&after={after}&wait_ms={wait_ms}", self.segments))
    }

    /// Returns at most `bytes` durable bytes of a segment, starting at `offset`.
    pub(super) fn bytes(&self, segment: u64, offset: u64, bytes: usize) -> Result<Vec<u8>, Failure> {
        let path = format!("{}/{segment}?offset={offset}&bytes={}", self.segments, bytes.min(BYTES_MAX));
        self.get(&path, BYTES_MAX as u64)
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.get(path, JSON_BYTES_MAX)?;
        let other = |error| Failure::Broken(format!("{} sent an unexpected response: {error}", self.server));
        serde_json::from_slice(&body).map_err(other)
    }

    fn get(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let request = self.agent.get(format!("{}{path}", self.server));
        let response = request.header("Authorization", self.authorization.reveal()).call();
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        // The limit is one byte higher, because the reader treats reaching it as an error.
        let body = response.body_mut().with_config().limit(bytes_max + 1).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(body);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |field: &str| problem.get(field).and_then(Value::as_str).unwrap_or("no reason given");
        let answer = format!("{} answered {status}: {} ({})", self.server, text("detail"), text("code"));
        // These may succeed later: 5xx from the server or a proxy, 408 and 429.
        let passes = status >= 500 || status == 408 || status == 429;
        Err(if passes { Failure::Unreachable(answer) } else { Failure::Broken(answer) })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let text = format!("cannot reach {}: {error}", self.server);
        // With such an address, no attempt can ever succeed.
        let hopeless = matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_));
        if hopeless { Failure::Broken(text) } else { Failure::Unreachable(text) }
    }
}
