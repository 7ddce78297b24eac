//! The client that an import uses to talk to the server.

use std::time::Duration;

use anyhow::{Context as _, bail};
use api::packed;
use datadir::Secret;
use serde_json::{Value, json};
use types::ImportId;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::book::Book;
use crate::remote::Server;

/// The limit for a response.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often a request is sent again while the server is full.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Talks to a server.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    server: String,
    authorization: Secret,
}

/// The progress of an import, as the server reports it.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) content: String,
    pub(super) accounts: u64,
    pub(super) transfers: u64,
    pub(super) shown: Value,
}

impl Client {
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let (agent, authorization) = (server.agent(config)?, server.authorization()?);
        Ok(Self { agent, server: server.url().to_owned(), authorization })
    }

    pub(super) fn start(&self, id: ImportId, book: &Book) -> anyhow::Result<Status> {
        let body = json!({"id": id.to_string(), "ledger": book.ledger.get(), "content": book.content.to_string()});
        let answer = self.post("/v1/imports", "application/json", &serde_json::to_vec(&body)?)?;
        Status::read(&answer)
    }

    /// Returns `None` if there is no such import.
    pub(super) fn status(&self, id: ImportId) -> anyhow::Result<Option<Status>> {
        let request = self.agent.get(format!("{}/v1/imports/{id}", self.server));
        let response = request.header("Authorization", self.authorization.reveal()).call();
        let mut response = response.with_context(|| format!("cannot reach {}", self.server))?;
        if response.status() == 404 {
            return Ok(None);
        }
        Status::read(&successful(&mut response)?).map(Some)
    }

    /// Stages rows, the first of which has the number `first`.
    pub(super) fn stage(&self, id: ImportId, kind: &str, first: u64, rows: &[u8]) -> anyhow::Result<Status> {
        let path = format!("/v1/imports/{id}/rows?kind={kind}&first={first}");
        Status::read(&self.post(&path, packed::MEDIA_TYPE, rows)?)
    }

    /// Ends the import; `verb` is `open` or `discard`.
    pub(super) fn end(&self, id: ImportId, verb: &str) -> anyhow::Result<Status> {
        Status::read(&self.post(&format!("/v1/imports/{id}/{verb}"), "application/json", b"")?)
    }

    /// Returns those ids whose accounts or transfers exist.
    pub(super) fn existing(&self, kind: &str, ids: &[u128]) -> anyhow::Result<Vec<u128>> {
        let mut found = Vec::new();
        for ids in ids.chunks(packed::EVENTS_MAX) {
            let body: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let answer = self.post(&format!("/v1/packed/lookup-{kind}"), packed::MEDIA_TYPE, &body)?;
            let (records, _) = answer.as_chunks::<{ packed::EVENT_BYTES }>();
            let id = |record: &[u8; packed::EVENT_BYTES]| record.first_chunk().map(|id| u128::from_le_bytes(*id));
            found.extend(records.iter().filter_map(id));
        }
        Ok(found)
    }

    #[expect(clippy::disallowed_methods, reason = "the request is sent to a full server again after a pause")]
    fn post(&self, path: &str, media_type: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut attempts = 0;
        loop {
            let request = self.agent.post(format!("{}{path}", self.server)).content_type(media_type);
            let response = request.header("Authorization", self.authorization.reveal()).send(body);
            let mut response = response.with_context(|| format!("cannot reach {}", self.server))?;
            attempts += 1;
            if ![429, 503].contains(&response.status().as_u16()) || attempts == ATTEMPTS {
                return successful(&mut response);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Returns the body if the response is not an error.
fn successful(response: &mut Response<Body>) -> anyhow::Result<Vec<u8>> {
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
    if response.status().is_success() {
        return Ok(body);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| problem.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    bail!("the server responded with {}: {} ({})", response.status().as_u16(), text("detail"), text("code"))
}

impl Status {
    fn read(body: &[u8]) -> anyhow::Result<Self> {
        let shown: Value = serde_json::from_slice(body).context("the server's response is not JSON")?;
        let text = |field: &str| shown.get(field).and_then(Value::as_str).map(str::to_owned);
        let number = |field: &str| shown.get(field).and_then(Value::as_u64);
        let status = || {
            Some(Self {
                state: text("state")?,
                content: text("content")?,
                accounts: number("accounts")?,
                transfers: number("transfers")?,
                shown: shown.clone(),
            })
        };
        status().context("the server's response is not an import")
    }
}
