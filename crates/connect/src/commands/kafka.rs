//! Commands from a topic of Kafka.
//!
//! The consumer belongs to a group, whose committed offsets say what is done. An offset is committed when all messages of the partition before it are done
//! or refused. A message that is refused is first stored in the topic for dead letters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message as _};
use serde::Deserialize;

use super::{Inlet, Message, Place};
use crate::kafka::{check_topic, fault};
use crate::target::Fault;

/// How long the brokers may take to store a dead letter.
const STORE_WITHIN: Duration = Duration::from_secs(30);
/// How long the brokers wait for a member of the group that is gone, before they give its partitions to others.
const SESSION_MS: &str = "10000";
/// Milliseconds after which what is done is committed.
const COMMIT_EVERY_MS: &str = "200";
/// Most bytes of a dead letter, with its headers. The topic has to take as much as the topic of the commands.
const DEAD_BYTES_MAX: &str = "4194304";
/// Most bytes that the client fetches in advance.
const FETCHED_KILOBYTES: &str = "16384";

/// The settings of this kind of inlet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Addresses of brokers, `host:port`, separated by commas.
    brokers: String,
    topic: String,
    /// The consumer group.
    group: String,
    /// The name of this connector in the group. Another one with the same name takes its partitions over at once.
    #[serde(default = "default_instance")]
    instance: String,
    /// The topic to which messages go that are no commands, or that the server refuses.
    dead_letters: String,
}

fn default_instance() -> String {
    "finaira".to_owned()
}

/// Makes an inlet that is not connected yet.
pub(super) fn make(table: toml::Table, _in_flight: usize) -> Result<Box<dyn Inlet>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    if [&settings.brokers, &settings.group, &settings.instance].iter().any(|text| text.trim().is_empty()) {
        return Err("found empty `brokers`, `group` or `instance`, expected a text".to_owned());
    }
    check_topic(&settings.topic)?;
    check_topic(&settings.dead_letters)?;
    if settings.topic == settings.dead_letters {
        return Err(format!("found the topic `{}` for dead letters too, expected another one", settings.topic));
    }
    Ok(Box::new(Topic { settings, opened: None }))
}

/// A topic with commands.
struct Topic {
    settings: Settings,
    opened: Option<Opened>,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic").field("settings", &self.settings).finish_non_exhaustive()
    }
}

struct Opened {
    consumer: BaseConsumer,
    dead: BaseProducer<Stored>,
    lanes: HashMap<i32, Lane>,
}

/// The messages of a partition that were handed out, by offset, and whether each is done.
#[derive(Debug, Default)]
struct Lane(BTreeMap<i64, bool>);

impl Lane {
    fn took(&mut self, offset: i64) {
        // The partition was taken away and came back: everything that was not committed comes again.
        if self.0.last_key_value().is_some_and(|(last, _)| *last >= offset) {
            self.0.clear();
        }
        self.0.insert(offset, false);
    }

    /// Returns the last offset up to which everything is done, if that has changed.
    fn done(&mut self, offset: i64) -> Option<i64> {
        *self.0.get_mut(&offset)? = true;
        let mut last = None;
        while let Some(entry) = self.0.first_entry().filter(|entry| *entry.get()) {
            last = Some(entry.remove_entry().0);
        }
        last
    }
}

/// What the brokers answered about a dead letter.
#[derive(Debug, Default)]
struct Stored(Mutex<Option<Result<(), KafkaError>>>);

impl Stored {
    fn lock(&self) -> MutexGuard<'_, Option<Result<(), KafkaError>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Stored {}

impl ProducerContext for Stored {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        *self.lock() = Some(result.as_ref().map(|_stored| ()).map_err(|(error, _)| error.clone()));
    }
}

impl Topic {
    fn opened(&mut self) -> Result<&mut Opened, Fault> {
        self.opened.as_mut().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }
}

impl Inlet for Topic {
    fn open(&mut self) -> Result<(), Fault> {
        self.opened = None;
        let Settings { brokers, topic, group, instance, .. } = &self.settings;
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("client.id", "finaira-connect");
        let mut consumer = client.clone();
        // What is stored is committed by the client, and when partitions go to others.
        consumer
            .set("group.id", group)
            .set("group.instance.id", instance)
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true");
        consumer.set("auto.commit.interval.ms", COMMIT_EVERY_MS).set("auto.offset.reset", "earliest");
        consumer.set("session.timeout.ms", SESSION_MS).set("queued.max.messages.kbytes", FETCHED_KILOBYTES);
        let consumer: BaseConsumer = consumer.create().map_err(|error| fault(&error))?;
        let mut producer = client;
        producer.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        producer.set("message.max.bytes", DEAD_BYTES_MAX);
        let dead = producer.create_with_context(Stored::default()).map_err(|error| fault(&error))?;
        consumer.subscribe(&[topic]).map_err(|error| fault(&error))?;
        self.opened = Some(Opened { consumer, dead, lanes: HashMap::new() });
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, Fault> {
        let topic = self.settings.topic.clone();
        let Opened { consumer, lanes, .. } = self.opened()?;
        match consumer.poll(wait) {
            None => Ok(None),
            // The topic is created by whoever writes first. Brokers that cannot be reached come back.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown,
            ))) => Ok(None),
            Some(Err(error)) if is_fenced(&error) || consumer.client().fatal_error().is_some_and(is_fencing) => {
                Err(Fault::Fenced)
            }
            Some(Err(error)) => Err(fault(&error)),
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                lanes.entry(partition).or_default().took(offset);
                let place = Place {
                    lane: u32::try_from(partition).unwrap_or_default(),
                    number: u64::try_from(offset).unwrap_or_default(),
                };
                let name = Some(format!("{topic}/{partition}/{offset}"));
                let (key, body) = (record.key().map(<[u8]>::to_vec), record.payload().unwrap_or_default().to_vec());
                Ok(Some(Message { place, name, key, body }))
            }
        }
    }

    fn done(&mut self, place: Place) -> Result<(), Fault> {
        let topic = self.settings.topic.clone();
        let Opened { consumer, lanes, .. } = self.opened()?;
        let partition = i32::try_from(place.lane).unwrap_or_default();
        let offset = i64::try_from(place.number).unwrap_or_default();
        let Some(lane) = lanes.get_mut(&partition) else { return Ok(()) };
        let Some(last) = lane.done(offset) else { return Ok(()) };
        match consumer.store_offset(&topic, partition, last) {
            Ok(()) => Ok(()),
            // The partition belongs to another member of the group now, which gets these messages again.
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition)) => {
                lanes.remove(&partition);
                Ok(())
            }
            Err(error) => Err(fault(&error)),
        }
    }

    fn refuse(&mut self, message: &Message, problem: &str) -> Result<(), Fault> {
        let dead_letters = self.settings.dead_letters.clone();
        let Opened { dead, .. } = self.opened()?;
        let mut headers = OwnedHeaders::new().insert(Header { key: super::PROBLEM, value: Some(problem) });
        if let Some(name) = &message.name {
            headers = headers.insert(Header { key: super::MESSAGE, value: Some(name) });
        }
        let mut record = BaseRecord::to(&dead_letters).payload(&message.body).headers(headers);
        record.key = message.key.as_ref();
        *dead.context().lock() = None;
        dead.send(record).map_err(|(error, _)| fault(&error))?;
        dead.flush(STORE_WITHIN).map_err(|error| fault(&error))?;
        match dead.context().lock().take() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(fault(&error)),
            None => return Err(Fault::Unreachable("a dead letter was not stored".to_owned())),
        }
        self.done(message.place)
    }
}

/// Whether another connector with the same name has taken the partitions over.
fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId)
}

fn is_fencing((code, _): (RDKafkaErrorCode, String)) -> bool {
    code == RDKafkaErrorCode::FencedInstanceId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_committed_when_all_before_it_are_done() {
        let mut lane = Lane::default();
        for offset in [4, 5, 6, 9] {
            lane.took(offset);
        }
        assert_eq!(lane.done(5), None);
        assert_eq!(lane.done(4), Some(5));
        assert_eq!(lane.done(9), None);
        assert_eq!(lane.done(7), None, "it was not handed out");
        assert_eq!(lane.done(6), Some(9));
    }

    #[test]
    fn a_partition_that_comes_back_begins_where_it_was_committed() {
        let mut lane = Lane::default();
        lane.took(4);
        lane.took(5);
        assert_eq!(lane.done(5), None);
        lane.took(4);
        assert_eq!(lane.done(4), Some(4), "5 was not handed out again");
    }
}
