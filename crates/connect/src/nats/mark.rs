//! What each message says about the copy.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};
use types::Seq;

use crate::copied::{COPY, Copied, SEQUENCE, Writer};
use crate::cursor::Cursor;
use crate::events::CLOUD_EVENT;
use crate::target::Fault;

/// The header with the subject of an event.
pub(super) const SUBJECT: &str = "finaira-subject";

/// How far the copy had come when a message was sent, and who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(flatten)]
    pub(super) copied: Copied,
    pub(super) writer: Writer,
}

impl Mark {
    pub(super) fn new(acknowledged: &Cursor, writer: Writer) -> Self {
        Self { copied: Copied::new(acknowledged), writer }
    }

    /// The mark as the value of a header.
    pub(super) fn text(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// The headers of an event; `mark` is the text of a [`Mark`].
pub(super) fn headers(seq: Seq, mark: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", CLOUD_EVENT);
    headers.insert(SEQUENCE, seq.to_string());
    headers.insert(COPY, mark);
    headers
}
