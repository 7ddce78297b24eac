//! Reads and prepares the topic.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::mark::{self, Mark};
use super::{BYTES_MAX, Settings, fault};
use crate::copied::Found;
use crate::target::{EachEvent, Fault};

/// How long a broker may leave a question without an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a connector waits for one event of the client, and how often in a row before it gives up.
const TURN: Duration = Duration::from_millis(100);
const TURNS_MAX: u32 = 300;
/// How often the ends of a topic to which somebody still writes are read.
const READS_MAX: u32 = 5;

/// A connection that reads the topic.
pub(super) struct Reader<'s> {
    settings: &'s Settings,
    consumer: BaseConsumer,
}

/// The last record of each partition.
#[derive(Debug)]
pub(super) struct Tails {
    pub(super) partitions: i32,
    /// By partition; those without records are missing.
    pub(super) found: BTreeMap<i32, Found<Mark>>,
    /// The offset that the next record of each partition gets.
    pub(super) ends: Vec<i64>,
}

impl<'s> Reader<'s> {
    pub(super) fn connect(settings: &'s Settings) -> Result<Self, Fault> {
        let mut config = settings.client();
        // The client wants a group, but the connector never joins it and never commits to it.
        config
            .set("group.id", "finaira-connect")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error").set("queued.min.messages", "1").set("fetch.wait.max.ms", "10");
        config.set("fetch.message.max.bytes", BYTES_MAX.to_string());
        Ok(Self { settings, consumer: config.create().map_err(|error| fault(&error))? })
    }

    /// The number of partitions; `None` if there is no such topic, or it is still being created.
    pub(super) fn partitions(&self) -> Result<Option<i32>, Fault> {
        let topic = &self.settings.topic;
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_WITHIN).map_err(|error| fault(&error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None if found.partitions().is_empty() => Ok(None),
            None => {
                let count = found.partitions().len();
                i32::try_from(count)
                    .map(Some)
                    .map_err(|_too_many| Fault::Refused(format!("the topic `{topic}` has {count} partitions")))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(fault(&KafkaError::MetadataFetch(code))),
        }
    }

    /// Creates the topic if it does not exist, and checks that it keeps every record. Returns the number of partitions.
    pub(super) fn prepare(&self) -> Result<i32, Fault> {
        let admin: AdminClient<DefaultClientContext> =
            self.settings.client().create().map_err(|error| fault(&error))?;
        let partitions = match self.partitions()? {
            Some(partitions) => partitions,
            None => self.create(&admin)?,
        };
        let topic = &self.settings.topic;
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let described = wait(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
        let described = described.map_err(|error| fault(&error))?.into_iter().next();
        let described = described.ok_or_else(|| Fault::Unreachable("it did not describe the topic".to_owned()))?;
        let config = described.map_err(|code| fault(&KafkaError::AdminOp(code)))?;
        let cleanup = config.get("cleanup.policy").and_then(|entry| entry.value.as_deref()).unwrap_or("none");
        if cleanup.contains("compact") {
            let what = format!(
                "found cleanup.policy `{cleanup}` of the topic `{topic}`, expected `delete`, because compaction loses events"
            );
            return Err(Fault::Refused(what));
        }
        Ok(partitions)
    }

    fn create(&self, admin: &AdminClient<DefaultClientContext>) -> Result<i32, Fault> {
        let Settings { topic, partitions, replication, .. } = self.settings;
        // Without a number, the brokers use their own.
        let replication = TopicReplication::Fixed(replication.unwrap_or(-1));
        let bytes = BYTES_MAX.to_string();
        let new = NewTopic::new(topic, *partitions, replication);
        let new = new.set("cleanup.policy", "delete").set("retention.ms", "-1").set("max.message.bytes", &bytes);
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN));
        for created in wait(admin.create_topics([&new], &options)).map_err(|error| fault(&error))? {
            match created {
                // Another connector was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(fault(&KafkaError::AdminOp(code))),
            }
        }
        for _ in 0..TURNS_MAX {
            if let Some(partitions) = self.partitions()? {
                return Ok(partitions);
            }
            // It reads nothing yet, so this only lets time pass.
            drop(self.consumer.poll(TURN));
        }
        Err(Fault::Unreachable(format!("the new topic `{topic}` has no partitions yet")))
    }

    /// The last record of each partition.
    pub(super) fn tails(&self, partitions: i32) -> Result<Tails, Fault> {
        let mut bounds = self.bounds(partitions)?;
        let mut reads = 0;
        loop {
            reads += 1;
            let last = |(partition, (low, high)): (i32, &(i64, i64))| (high > low).then_some((partition, high - 1));
            let wanted: BTreeMap<i32, i64> = (0..).zip(&bounds).filter_map(last).collect();
            if wanted.is_empty() && bounds.iter().any(|(_, high)| *high > 0) {
                let what = format!(
                    "the topic `{}` had records, but none is left, so it is unknown how far the copy has come; create the topic anew with `retention.ms` -1, or name another one",
                    self.settings.topic
                );
                return Err(Fault::Refused(what));
            }
            let found = self.read(wanted)?;
            let now = self.bounds(partitions)?;
            // A broker may still have had a request of a connector that was killed, or another connector is at work.
            if now == bounds || reads >= READS_MAX {
                let ends = bounds.iter().map(|(_, high)| *high).collect();
                return Ok(Tails { partitions, found, ends });
            }
            bounds = now;
        }
    }

    /// The first offset and the next offset of each partition.
    fn bounds(&self, partitions: i32) -> Result<Vec<(i64, i64)>, Fault> {
        let of = |partition| self.consumer.fetch_watermarks(&self.settings.topic, partition, ANSWER_WITHIN);
        (0..partitions).map(of).collect::<Result<_, _>>().map_err(|error| fault(&error))
    }

    /// Reads all records that are in the topic now.
    pub(super) fn all(&self, partitions: i32, each: &mut EachEvent<'_>) -> Result<(), Fault> {
        let topic = &self.settings.topic;
        let (mut places, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
        for (partition, (low, high)) in (0..).zip(self.bounds(partitions)?).filter(|(_, (low, high))| high > low) {
            places.add_partition_offset(topic, partition, Offset::Offset(low)).map_err(|error| fault(&error))?;
            ends.insert(partition, high);
        }
        self.consumer.assign(&places).map_err(|error| fault(&error))?;
        let mut idle = 0;
        while !ends.is_empty() {
            match self.consumer.poll(TURN) {
                Some(Ok(record)) => {
                    idle = 0;
                    let (partition, next) = (record.partition(), record.offset() + 1);
                    // A record after the end that was asked for.
                    let Some(end) = ends.get(&partition).copied() else { continue };
                    each(partition, mark::read(&record)?.seq, record.payload().unwrap_or_default())?;
                    if next >= end {
                        ends.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.remove(&partition)),
                Some(Err(error)) => return Err(fault(&error)),
                None => {
                    idle += 1;
                    if idle >= TURNS_MAX {
                        return Err(Fault::Unreachable(format!("the records of `{topic}` do not arrive")));
                    }
                }
            }
        }
        self.consumer.unassign().map_err(|error| fault(&error))
    }

    /// Reads the record at an offset of each of these partitions.
    pub(super) fn read(&self, mut wanted: BTreeMap<i32, i64>) -> Result<BTreeMap<i32, Found<Mark>>, Fault> {
        let topic = &self.settings.topic;
        let mut places = TopicPartitionList::new();
        for (partition, offset) in &wanted {
            places.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(|error| fault(&error))?;
        }
        self.consumer.assign(&places).map_err(|error| fault(&error))?;
        let mut found = BTreeMap::new();
        let mut idle = 0;
        while !wanted.is_empty() {
            match self.consumer.poll(TURN) {
                Some(Ok(record)) => {
                    let partition = record.partition();
                    if wanted.get(&partition).is_some_and(|offset| record.offset() >= *offset) {
                        found.insert(partition, mark::read(&record)?);
                        wanted.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) if wanted.contains_key(&partition) => {
                    return Err(Fault::Unreachable(format!(
                        "the last record of partition {partition} of `{topic}` is gone"
                    )));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(fault(&error)),
                None => {
                    idle += 1;
                    if idle >= TURNS_MAX {
                        return Err(Fault::Unreachable(format!("the records at the end of `{topic}` do not arrive")));
                    }
                }
            }
        }
        self.consumer.unassign().map_err(|error| fault(&error))?;
        Ok(found)
    }
}

/// Waits for an answer, which a thread of the client brings.
fn wait<F: Future>(answer: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
