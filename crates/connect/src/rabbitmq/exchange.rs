//! A topic exchange, to which queues are bound by whoever wants events.
//!
//! An exchange keeps nothing, so the cursor is in a stream of its own, `<exchange>.cursor`, in which each connector writes two kinds of records: that it
//! opened the target, and how far it has come after each batch. All connectors read the records in the same order. Whoever opened the target last
//! is the writer; the others stop when they see its record.
//!
//! The record of a batch is written after the broker has confirmed all of its events, so no event is missing. If a connector is killed between the two, the
//! next one sends the events of that batch again, with the same ids: every event arrives at least once.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer, ExchangeKind, PublisherConfirm};
use serde::{Deserialize, Serialize};
use types::Seq;

use super::Common;
use super::client::{self, ANSWER_WITHIN, PERSISTENT, ask, fault, is_not_found, short};
use crate::batch::Batch;
use crate::copied::{Copied, SEQUENCE, chance};
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::events::{CLOUD_EVENT, CloudEvent, event_id, subject};
use crate::outgoing::{Outgoing, outgoing};
use crate::runtime::{Blocking, within};
use crate::target::{Counts, Fault, Needs, Target, Wanted};

/// How long a broker may leave a message without a confirmation.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// How long an old record may take to arrive, if it is not known whether there is one.
const MAYBE_WITHIN: Duration = Duration::from_secs(2);
/// Most messages, and most bytes in them, that were sent and not confirmed.
const IN_FLIGHT_MAX: usize = 1_024;
const BYTES_IN_FLIGHT_MAX: usize = 16 << 20;
/// Records of the cursor that the broker sends at once.
const RECORDS_AT_ONCE: u16 = 256;
/// Bytes of records that the broker keeps, and of each of its files. Only the newest record is needed.
const RECORDS_BYTES: i64 = 4 << 20;
const RECORDS_FILE_BYTES: i64 = 1 << 20;
/// The header with the subject of an event.
const SUBJECT: &str = "finaira-subject";

/// Makes a target that is not connected yet.
pub(super) fn make(common: Common) -> Box<dyn Target> {
    Box::new(Exchange { common, opened: None })
}

/// An exchange to which the events of a journal are sent.
#[derive(Debug)]
struct Exchange {
    common: Common,
    opened: Option<Opened>,
}

/// A record of the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Random: the connector that wrote it.
    writer: String,
    /// How far it has come; absent when it opened the target.
    copied: Option<Copied>,
}

/// An exchange that this connector writes to.
struct Opened {
    // Dropped first, because its tasks belong to the runtime.
    link: Link,
    blocking: Blocking,
    writer: String,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("writer", &self.writer).finish_non_exhaustive()
    }
}

/// A connection.
struct Link {
    events: Channel,
    records: Consumer,
    cursor_name: String,
    connection: Connection,
}

impl Link {
    /// Connects; with `creating`, creates what does not exist. Returns `None` if there is no cursor and it is not created.
    async fn connect(common: &Common, creating: bool) -> Result<Option<Self>, Fault> {
        let connection = client::connect(&common.address, &common.password).await?;
        let events = ask("no channel was opened", connection.create_channel()).await?;
        let reading = ask("no channel was opened", connection.create_channel()).await?;
        let cursor_name = format!("{}.cursor", common.name);
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        arguments.insert("x-queue-type".into(), text("stream"));
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(RECORDS_BYTES));
        arguments.insert("x-stream-max-segment-size-bytes".into(), AMQPValue::LongLongInt(RECORDS_FILE_BYTES));
        let durable = QueueDeclareOptions { durable: true, passive: !creating, ..QueueDeclareOptions::default() };
        let declared = reading.queue_declare(short(&cursor_name), durable, arguments);
        match within(ANSWER_WITHIN, "the stream of the cursor was not declared", declared).await? {
            Ok(_queue) => {}
            Err(error) if !creating && is_not_found(&error) => return Ok(None),
            Err(error) => return Err(fault(&error)),
        }
        if creating {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let name = short(&common.name);
            let declared = events.exchange_declare(name, ExchangeKind::Topic, durable, FieldTable::default());
            ask("the exchange was not declared", declared).await?;
            let confirm = events.confirm_select(ConfirmSelectOptions::default());
            ask("confirmations were not turned on", confirm).await?;
        }
        let records = records(&connection, &cursor_name, if creating { "last" } else { "first" }).await?;
        Ok(Some(Self { events, records, cursor_name, connection }))
    }

    /// Takes the next record of the cursor.
    async fn next(&mut self) -> Result<Record, Fault> {
        let delivery = self.records.next().await;
        read(delivery, &self.cursor_name).await
    }

    /// Writes a record of the cursor, and waits until it is confirmed.
    async fn record(&self, record: &Record) -> Result<(), Fault> {
        let text = serde_json::to_vec(record).map_err(|error| Fault::Refused(error.to_string()))?;
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        // The exchange without a name sends it to the queue of that name.
        let sent = self.events.basic_publish("".into(), short(&self.cursor_name), options, &text, properties);
        let confirm = ask("a record was not sent", sent).await?;
        match ask("a record was not confirmed", confirm).await? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Ack(Some(_)) => Err(Fault::Refused(format!("the stream `{}` was deleted", self.cursor_name))),
            Confirmation::Nack(_) => {
                Err(Fault::Unreachable(format!("the stream `{}` did not store a record", self.cursor_name)))
            }
        }
    }

    /// Becomes the writer, and returns what the cursor says.
    async fn take_over(&mut self, writer: &str) -> Result<Option<Copied>, Fault> {
        let opened = Record { writer: writer.to_owned(), copied: None };
        self.record(&opened).await?;
        let name = &self.cursor_name;
        let mut copied = until(&mut self.records, name, &opened).await?;
        if copied.is_none() {
            // The last records only say who opened the target, or there are none. Those before them say it, if there are any.
            copied = until(&mut records(&self.connection, name, "first").await?, name, &opened).await?;
        }
        if copied.is_some() {
            // So that the next connector finds it among the last records.
            self.record_and_see(&Record { copied: copied.clone(), ..opened }, writer).await?;
        }
        Ok(copied)
    }

    /// Looks whether another connector has taken the target over, as far as the records that have arrived say it.
    async fn look_for_others(&mut self, writer: &str) -> Result<(), Fault> {
        while let Some(delivery) = self.records.next().now_or_never() {
            is_own(&read(delivery, &self.cursor_name).await?, writer)?;
        }
        Ok(())
    }

    async fn write(
        &mut self,
        common: &Common,
        writer: &str,
        batch: &Batch,
        before: &Cursor,
        after: &Cursor,
    ) -> Result<(), Fault> {
        self.look_for_others(writer).await?;
        let mut waiting = Waiting::default();
        for out in outgoing(batch, before) {
            let Outgoing { seq, item, origin } = out?;
            if !common.kinds.include(&item.entry) {
                continue;
            }
            let kind = journal::kind_name(&item.entry);
            let payload = CloudEvent::new(item, origin)?.to_json()?;
            let mut headers = FieldTable::default();
            headers.insert(SEQUENCE.into(), AMQPValue::LongString(seq.to_string().into()));
            if let Some(subject) = subject(&item.entry.fact) {
                headers.insert(SUBJECT.into(), AMQPValue::LongString(subject.into()));
            }
            let properties = BasicProperties::default()
                .with_content_type(CLOUD_EVENT.into())
                .with_delivery_mode(PERSISTENT)
                .with_message_id(short(&event_id(origin, seq)))
                .with_type(short(&format!("finaira.{kind}.v1")))
                .with_headers(headers);
            waiting.make_room(payload.len()).await?;
            let options = BasicPublishOptions::default();
            let sent = self.events.basic_publish(short(&common.name), short(kind), options, &payload, properties);
            let confirm =
                within(CONFIRM_WITHIN, "an event was not sent", sent).await?.map_err(|error| fault(&error))?;
            waiting.push(seq, payload.len(), confirm);
        }
        waiting.drain().await?;
        let own = Record { writer: writer.to_owned(), copied: Some(Copied::new(after)) };
        self.record_and_see(&own, writer).await
    }

    /// Writes a record of the cursor, and waits until it arrives. Records of others may be before it.
    async fn record_and_see(&mut self, own: &Record, writer: &str) -> Result<(), Fault> {
        self.record(own).await?;
        loop {
            let record = within(ANSWER_WITHIN, "a record of the cursor did not arrive", self.next()).await??;
            if record == *own {
                return Ok(());
            }
            is_own(&record, writer)?;
        }
    }
}

/// Reads the stream of the cursor from its first or its last records on.
async fn records(connection: &Connection, cursor_name: &str, from: &str) -> Result<Consumer, Fault> {
    let channel = ask("no channel was opened", connection.create_channel()).await?;
    // A stream wants a limit of records that are not acknowledged.
    let limited = channel.basic_qos(RECORDS_AT_ONCE, BasicQosOptions::default());
    ask("the limit of records was not set", limited).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString(from.into()));
    let (name, tag) = (short(cursor_name), short("finaira"));
    ask("the cursor was not read", channel.basic_consume(name, tag, BasicConsumeOptions::default(), arguments)).await
}

/// How far the copy has come, as the records before `end` say it.
async fn until(records: &mut Consumer, cursor_name: &str, end: &Record) -> Result<Option<Copied>, Fault> {
    let mut copied = None;
    loop {
        let next = within(ANSWER_WITHIN, "a record of the cursor did not arrive", records.next()).await?;
        let record = read(next, cursor_name).await?;
        if record == *end {
            return Ok(copied);
        }
        copied = record.copied.or(copied);
    }
}

/// Reads a record of the cursor.
async fn read(delivery: Option<Result<Delivery, lapin::Error>>, name: &str) -> Result<Record, Fault> {
    let delivery = delivery.ok_or_else(|| Fault::Unreachable("the connection was closed".to_owned()))?;
    let delivery = delivery.map_err(|error| fault(&error))?;
    ask("the acknowledgement of a record was not sent", delivery.acker.ack(BasicAckOptions::default())).await?;
    let record: Record = serde_json::from_slice(&delivery.data).map_err(|error| {
        Fault::Refused(format!(
            "the stream `{name}` contains something that no connector wrote: {error}; delete it, and all events are sent again"
        ))
    })?;
    if let Some(copied) = &record.copied {
        copied.check_version(&format!("the stream `{name}`"))?;
    }
    Ok(record)
}

/// Whether this connector is still the writer, if `record` is the next one.
fn is_own(record: &Record, writer: &str) -> Result<(), Fault> {
    // What an earlier connector has still written after this one opened the target does not matter: it sent these events.
    if record.copied.is_none() && record.writer != writer { Err(Fault::Fenced) } else { Ok(()) }
}

/// Events that were sent and not confirmed.
#[derive(Default)]
struct Waiting {
    confirms: VecDeque<(Seq, usize, PublisherConfirm)>,
    bytes: usize,
}

impl Waiting {
    async fn make_room(&mut self, bytes: usize) -> Result<(), Fault> {
        while self.confirms.len() >= IN_FLIGHT_MAX
            || (self.bytes + bytes > BYTES_IN_FLIGHT_MAX && !self.confirms.is_empty())
        {
            self.confirmed().await?;
        }
        Ok(())
    }

    fn push(&mut self, seq: Seq, bytes: usize, confirm: PublisherConfirm) {
        self.bytes += bytes;
        self.confirms.push_back((seq, bytes, confirm));
    }

    async fn drain(&mut self) -> Result<(), Fault> {
        while !self.confirms.is_empty() {
            self.confirmed().await?;
        }
        Ok(())
    }

    /// Waits for the confirmation of the event that was sent first.
    async fn confirmed(&mut self) -> Result<(), Fault> {
        let Some((seq, bytes, confirm)) = self.confirms.pop_front() else { return Ok(()) };
        self.bytes = self.bytes.saturating_sub(bytes);
        let confirmation = within(CONFIRM_WITHIN, "an event was not confirmed", confirm).await?;
        match confirmation.map_err(|error| fault(&error))? {
            Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
            Confirmation::Nack(_) => {
                Err(Fault::Refused(format!("entry {seq}: a queue did not take the event, probably because it is full")))
            }
        }
    }
}

impl Target for Exchange {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.opened = None;
        let blocking = client::runtime()?;
        let link = blocking.wait(Link::connect(&self.common, true))?;
        let Some(link) = link else { return Err(Fault::Unreachable("the cursor was not created".to_owned())) };
        let writer = format!("{:08x}{:08x}", chance(), chance());
        let opened = self.opened.insert(Opened { link, blocking, writer });
        let copied = opened.run(async |link, writer| link.take_over(writer).await);
        let cursor = copied.and_then(|copied| copied.map_or_else(|| Ok(Cursor::start()), |copied| copied.cursor()));
        if cursor.is_err() {
            self.opened = None;
        }
        cursor
    }

    fn needs(&self) -> Needs {
        Needs::Events
    }

    fn is_atomic(&self) -> bool {
        false
    }

    fn load(&mut self, _wanted: &Wanted) -> Result<Documents, Fault> {
        Ok(Documents::default())
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let common = &self.common;
        let Some(opened) = &mut self.opened else {
            return Err(Fault::Unreachable("the connection is closed".to_owned()));
        };
        let result = opened.run(async |link, writer| link.write(common, writer, batch, before, after).await);
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn idle(&mut self) -> Result<(), Fault> {
        let Some(opened) = &mut self.opened else { return Ok(()) };
        let result = opened.run(async |link, writer| link.look_for_others(writer).await);
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let blocking = client::runtime()?;
        let link = blocking.wait(Link::connect(&self.common, false))?;
        let Some(link) = link else { return Ok(None) };
        let mut opened = Opened { link, blocking, writer: String::new() };
        let newest = opened.run(async |link, _| {
            let mut newest = None;
            // The records arrive one soon after the other.
            while let Ok(record) = tokio::time::timeout(MAYBE_WITHIN, link.next()).await {
                newest = record?.copied.or(newest);
            }
            Ok(newest)
        })?;
        newest.map(|copied| Ok((copied.cursor()?, Counts::default()))).transpose()
    }
}

impl Opened {
    fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Link, &str) -> Result<T, Fault>) -> Result<T, Fault> {
        let Self { link, blocking, writer } = self;
        blocking.wait(work(link, writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_opened_the_target_last_is_the_writer() {
        let opened = |writer: &str| Record { writer: writer.to_owned(), copied: None };
        let wrote = |writer: &str| Record { writer: writer.to_owned(), copied: Some(Copied::new(&Cursor::start())) };
        assert_eq!(is_own(&wrote("a"), "b"), Ok(()), "it was sent before `b` opened the target");
        assert_eq!(is_own(&opened("b"), "b"), Ok(()));
        assert_eq!(is_own(&opened("c"), "b"), Err(Fault::Fenced));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record { writer: "0a".to_owned(), copied: Some(Copied::new(&Cursor::start())) };
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), record);
    }
}
