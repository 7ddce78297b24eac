//! What each record says about the copy, so that the topic itself is the cursor.

use rdkafka::Message;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use serde::{Deserialize, Serialize};
use types::Seq;

use crate::cursor::Cursor;
use crate::events::CLOUD_EVENT;
use crate::source::{hex, unhex};
use crate::target::Fault;

/// The header with the sequence of the entry.
const SEQUENCE: &str = "finaira-sequence";
/// The header with a [`Mark`] in JSON.
const COPY: &str = "finaira-copy";
/// The version of keys, partitions and headers.
const VERSION: u32 = 1;

/// How far the copy had come when a record was sent, and who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    version: u32,
    /// Every event up to this entry had been acknowledged.
    pub(super) position: u64,
    /// The Merkle root of the entries up to that one, in hexadecimal.
    root: String,
    /// The origin of the history of that entry.
    origin: String,
    /// The number of partitions by which the record's partition was chosen.
    pub(super) partitions: i32,
    pub(super) writer: Writer,
}

/// Who sent a record. Each connector that opens the topic is greater than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Writer {
    pub(super) number: u64,
    /// Random, so that two connectors which open the topic at the same moment differ.
    pub(super) chance: u32,
}

impl Mark {
    pub(super) fn new(acknowledged: &Cursor, partitions: i32, writer: Writer) -> Self {
        Self {
            version: VERSION,
            position: acknowledged.position.get(),
            root: hex(&acknowledged.root),
            origin: acknowledged.origin_text(),
            partitions,
            writer,
        }
    }

    pub(super) fn cursor(&self) -> Result<Cursor, Fault> {
        let root =
            unhex(&self.root).ok_or_else(|| Fault::Contradicts(format!("`{}` is not a Merkle root", self.root)))?;
        let origin = Cursor::origin_of(&self.origin)?;
        // The connector opens no imports for targets that keep events.
        Ok(Cursor { origin, position: Seq::new(self.position), root, opening: None })
    }

    /// The mark as the value of a header.
    pub(super) fn text(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// The headers of a record; `mark` is the text of a [`Mark`].
pub(super) fn headers(seq: Seq, mark: &str) -> OwnedHeaders {
    let sequence = seq.to_string();
    OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: "content-type", value: Some(CLOUD_EVENT) })
        .insert(Header { key: SEQUENCE, value: Some(&sequence) })
        .insert(Header { key: COPY, value: Some(mark) })
}

/// A record of the topic, as far as a connector needs it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The entry.
    pub(super) seq: Seq,
    /// The origin of the history of the entry.
    pub(super) source: String,
    pub(super) mark: Mark,
}

/// The only member of an event that a connector reads.
#[derive(Deserialize)]
struct Sourced {
    source: String,
}

/// Reads a record that a connector wrote.
pub(super) fn read(record: &impl Message) -> Result<Found, Fault> {
    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
    let foreign = |why: &str| {
        Fault::Refused(format!(
            "the record at offset {offset} of partition {partition} of the topic `{topic}` was not written by a connector: {why}; name a topic that only the connector writes to"
        ))
    };
    let header = |name: &str| {
        let found = record.headers()?.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(found).ok()
    };
    let sequence = header(SEQUENCE).ok_or_else(|| foreign("it has no header `finaira-sequence`"))?;
    let seq = sequence
        .parse()
        .map(Seq::new)
        .map_err(|_malformed| foreign("its header `finaira-sequence` is not a number"))?;
    let mark = header(COPY).ok_or_else(|| foreign("it has no header `finaira-copy`"))?;
    let mark: Mark =
        serde_json::from_str(mark).map_err(|error| foreign(&format!("its header `finaira-copy`: {error}")))?;
    if mark.version != VERSION {
        let found = mark.version;
        let what = format!(
            "the topic `{topic}` has version {found}, and this release writes version {VERSION}; name another topic"
        );
        return Err(Fault::Refused(what));
    }
    let payload = record.payload().unwrap_or_default();
    let event: Sourced = serde_json::from_slice(payload).map_err(|error| foreign(&format!("its value: {error}")))?;
    Ok(Found { seq, source: event.source, mark })
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;
    use types::Origin;

    use super::*;

    fn record(headers: Option<OwnedHeaders>, payload: &str) -> OwnedMessage {
        OwnedMessage::new(Some(payload.into()), None, "events".to_owned(), Timestamp::NotAvailable, 2, 40, headers)
    }

    fn mark() -> Mark {
        let cursor = Cursor { origin: Some(Origin::new(9)), position: Seq::new(12), root: [7; 32], opening: None };
        Mark::new(&cursor, 6, Writer { number: 3, chance: 8 })
    }

    #[test]
    fn a_record_says_what_was_written() {
        let mark = mark();
        let headers = headers(Seq::new(14), &mark.text().expect("a text"));
        let found = read(&record(Some(headers), r#"{"source":"s","data":{}}"#)).expect("a record");
        assert_eq!((found.seq, found.source.as_str(), &found.mark), (Seq::new(14), "s", &mark));
        let cursor = found.mark.cursor().expect("a cursor");
        assert_eq!((cursor.origin, cursor.position, cursor.root), (Some(Origin::new(9)), Seq::new(12), [7; 32]));
    }

    #[test]
    fn records_of_others_and_of_other_versions_are_refused() {
        let (now, later) = (mark(), Mark { version: 2, ..mark() });
        let of = |mark: &Mark| Some(headers(Seq::new(14), &mark.text().expect("a text")));
        for (headers, payload, expected) in [
            (None, "{}", "offset 40 of partition 2 of the topic `events` was not written by a connector"),
            (of(&now), "other", "was not written by a connector: its value"),
            (of(&later), r#"{"source":"s"}"#, "has version 2, and this release writes version 1"),
        ] {
            let fault = read(&record(headers, payload)).expect_err(expected);
            assert!(matches!(&fault, Fault::Refused(what) if what.contains(expected)), "{fault}");
        }
    }

    #[test]
    fn later_writers_are_greater() {
        let of = |number, chance| Writer { number, chance };
        assert!(of(2, 0) > of(1, 9) && of(2, 5) > of(2, 4));
    }
}
