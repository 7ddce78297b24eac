//! The client that an import uses to talk to the server.

use anyhow::Context as _;
use api::packed;
use serde_json::{Value, json};
use types::ImportId;

use super::book::Book;
use crate::remote::{Requests, Server};

/// Talks to a server.
#[derive(Debug)]
pub(super) struct Client(Requests);

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
        Requests::new(server).map(Self)
    }

    pub(super) fn start(&self, id: ImportId, book: &Book) -> anyhow::Result<Status> {
        let body = json!({"id": id.to_string(), "ledger": book.ledger.get(), "content": book.content.to_string()});
        let answer = self.0.post("/v1/imports", "application/json", &serde_json::to_vec(&body)?)?;
        Status::read(&answer)
    }

    /// Returns `None` if there is no such import.
    pub(super) fn status(&self, id: ImportId) -> anyhow::Result<Option<Status>> {
        let found = self.0.find(&format!("/v1/imports/{id}"))?;
        found.map(|answer| Status::read(&answer)).transpose()
    }

    /// Stages rows, the first of which has the number `first`.
    pub(super) fn stage(&self, id: ImportId, kind: &str, first: u64, rows: &[u8]) -> anyhow::Result<Status> {
        let path = format!("/v1/imports/{id}/rows?kind={kind}&first={first}");
        Status::read(&self.0.post(&path, packed::MEDIA_TYPE, rows)?)
    }

    /// Ends the import; `verb` is `open` or `discard`.
    pub(super) fn end(&self, id: ImportId, verb: &str) -> anyhow::Result<Status> {
        Status::read(&self.0.post(&format!("/v1/imports/{id}/{verb}"), "application/json", b"")?)
    }

    /// Returns those ids whose accounts or transfers exist.
    pub(super) fn existing(&self, kind: &str, ids: &[u128]) -> anyhow::Result<Vec<u128>> {
        let mut found = Vec::new();
        for ids in ids.chunks(packed::EVENTS_MAX) {
            let body: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let answer = self.0.post(&format!("/v1/packed/lookup-{kind}"), packed::MEDIA_TYPE, &body)?;
            let (records, _) = answer.as_chunks::<{ packed::EVENT_BYTES }>();
            let id = |record: &[u8; packed::EVENT_BYTES]| record.first_chunk().map(|id| u128::from_le_bytes(*id));
            found.extend(records.iter().filter_map(id));
        }
        Ok(found)
    }
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
