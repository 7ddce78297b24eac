//! What each record says about the copy, so that the topic itself is the cursor.

use rdkafka::Message;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use serde::{Deserialize, Serialize};
use types::Seq;

use crate::copied::{COPY, Copied, Found, SEQUENCE, Writer};
use crate::cursor::Cursor;
use crate::events::CLOUD_EVENT;
use crate::target::Fault;

/// How far the copy had come when a record was sent, and who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(flatten)]
    pub(super) copied: Copied,
    /// The number of partitions by which the record's partition was chosen.
    pub(super) partitions: i32,
    pub(super) writer: Writer,
}

impl Mark {
    pub(super) fn new(acknowledged: &Cursor, partitions: i32, writer: Writer) -> Self {
        Self { copied: Copied::new(acknowledged), partitions, writer }
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

/// Reads a record that a connector wrote.
pub(super) fn read(record: &impl Message) -> Result<Found<Mark>, Fault> {
    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
    let header = |name: &str| {
        let found = record.headers()?.iter().find(|header| header.key == name)?.value?;
        std::str::from_utf8(found).ok()
    };
    let found: Found<Mark> = Found::read(header, record.payload().unwrap_or_default()).map_err(|why| {
        Fault::Refused(format!(
            "the record at offset {offset} of partition {partition} of the topic `{topic}` was not written by a connector: {why}; name a topic that only the connector writes to"
        ))
    })?;
    found.mark.copied.check_version(&format!("the topic `{topic}`"))?;
    Ok(found)
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
        let cursor = found.mark.copied.cursor().expect("a cursor");
        assert_eq!((cursor.origin, cursor.position, cursor.root), (Some(Origin::new(9)), Seq::new(12), [7; 32]));
    }

    #[test]
    fn records_of_others_and_of_other_versions_are_refused() {
        let (now, later) = (mark(), Mark { copied: mark().copied.of_version(2), ..mark() });
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
}
