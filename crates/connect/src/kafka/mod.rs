//! Kafka: a topic with one CloudEvent for each entry.
//!
//! The topic is its own cursor. Each record says in a header up to which entry everything had been acknowledged when it was sent (its *mark*),
//! and in another one its own sequence. A connector that opens the topic reads the last record of each partition. The highest mark says where to
//! continue, and the sequence of the last record of a partition which records of that partition are there already.
//!
//! Why every event is there exactly once, whenever a connector is killed: a producer sends the records of a partition in the order of
//! their sequences, without gaps ([`sender`]). So a partition that contains a record contains all earlier ones that belong into it, and the next
//! connector sends those after it only. Partitions are chosen by the key alone, so a record that is sent again cannot come into another partition.
//! If the number of partitions has changed meanwhile, the last record says nothing about the new ones; then what follows the highest mark is sent
//! again.
//!
//! What the brokers cannot prevent without transactions: a request of a producer that was killed, or of a second connector, arrives after the
//! tails were read. Then some records are there twice. Both have the same id, by which a reader recognises them. The connector notices the
//! record of another one by a gap in the offsets that its own records get. Of two connectors at work, the one that opened the topic first stops.

mod mark;
mod partition;
mod reader;
mod sender;

use std::collections::{BTreeMap, HashMap};

use engine::Entry;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Deserialize;
use types::Seq;

use self::mark::Mark;
use self::partition::partition_of;
use self::reader::{Reader, Tails};
use self::sender::Sender;
use crate::batch::Batch;
use crate::copied::Writer;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::events::{CloudEvent, subject};
use crate::outgoing::{Kinds, Outgoing, outgoing};
use crate::target::{Counts, EachEvent, Fault, Needs, Target, Wanted};

/// Most bytes of a record. An entry takes at most 900 KiB in the journal, and more in JSON.
const BYTES_MAX: usize = 4 << 20;
/// The longest name of a topic, and the most partitions that one gets here.
const TOPIC_LENGTH_MAX: usize = 249;
const PARTITIONS_MAX: i32 = 10_000;

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Addresses of brokers, `host:port`, separated by commas. The connector asks them for the others.
    brokers: String,
    /// The topic, which only this connector writes to.
    topic: String,
    /// The number of partitions of the topic if it has to be created.
    #[serde(default = "default_partitions")]
    partitions: i32,
    /// The number of replicas if it has to be created; by default what the brokers say.
    replication: Option<i32>,
    /// The kinds of events that are sent; by default all.
    #[serde(default)]
    kinds: Kinds,
    #[serde(default)]
    compression: Compression,
}

/// How batches of records are compressed.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    None,
    #[default]
    Lz4,
    Snappy,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
        }
    }
}

const fn default_partitions() -> i32 {
    6
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        if self.brokers.trim().is_empty() {
            return Err("found no `brokers`, expected at least one `host:port`".to_owned());
        }
        check_topic(&self.topic)?;
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(format!("found `partitions` {}, expected 1 to {PARTITIONS_MAX}", self.partitions));
        }
        if let Some(found) = self.replication.filter(|found| !(1..=i32::from(i16::MAX)).contains(found)) {
            return Err(format!("found `replication` {found}, expected at least 1"));
        }
        self.kinds.check()
    }

    /// What all connections have in common.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "finaira-connect");
        config
    }
}

/// Checks the name of a topic.
pub(crate) fn check_topic(topic: &str) -> Result<(), String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let has_length = (1..=TOPIC_LENGTH_MAX).contains(&topic.len());
    if has_length && topic.chars().all(fits) && ![".", ".."].contains(&topic) {
        return Ok(());
    }
    Err(format!("found the topic `{topic}`, expected 1 to {TOPIC_LENGTH_MAX} letters, digits, `-`, `_` and `.`"))
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    settings.check()?;
    Ok(Box::new(Kafka { settings, opened: None, partitions_read: 0 }))
}

/// A topic with the events of a journal.
struct Kafka {
    settings: Settings,
    opened: Option<Opened>,
    /// The number of partitions when all events were read.
    partitions_read: i32,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A topic that this connector writes to.
struct Opened {
    sender: Sender,
    writer: Writer,
    partitions: i32,
    /// The entry of the last record of each partition that has one.
    last: HashMap<i32, Seq>,
    /// The origins of those entries. The journal must agree with them.
    sources: BTreeMap<Seq, String>,
}

impl Opened {
    fn new(settings: &Settings, tails: Tails) -> Result<Self, Fault> {
        let Tails { partitions, found, ends } = tails;
        let earlier = found.values().map(|record| record.mark.writer.number).max().unwrap_or_default();
        let writer = Writer::after(earlier);
        let same = found.iter().filter(|(_, record)| record.mark.partitions == partitions);
        let last = same.map(|(partition, record)| (*partition, record.seq)).collect();
        let sources = found.into_values().map(|record| (record.seq, record.source)).collect();
        Ok(Self { sender: Sender::new(settings, &ends)?, writer, partitions, last, sources })
    }

    fn write(&mut self, settings: &Settings, batch: &Batch, before: &Cursor) -> Result<(), Fault> {
        let mark = Mark::new(before, self.partitions, self.writer).text()?;
        for out in outgoing(batch, before) {
            let Outgoing { seq, item, origin } = out?;
            if let Some(found) = self.sources.get(&seq).filter(|found| **found != origin.to_string()) {
                return Err(Fault::Contradicts(format!(
                    "it holds entry {seq} of the history {found}, expected {origin}"
                )));
            }
            if !settings.kinds.include(&item.entry) {
                continue;
            }
            let key = subject(&item.entry.fact);
            let partition = partition_of(key.as_deref(), self.partitions);
            if self.last.get(&partition).is_some_and(|last| seq <= *last) {
                continue;
            }
            let payload = CloudEvent::new(item, origin)?.to_json()?;
            let sent = self.sender.send(partition, key.as_deref(), &payload, mark::headers(seq, &mark));
            sent.map_err(|fault| match fault {
                Fault::Refused(what) => Fault::Refused(format!("entry {seq}, {} bytes: {what}", payload.len())),
                Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_) => fault,
            })?;
        }
        self.sender.drain()
    }

    /// Looks who else wrote, if somebody did. Everything of the batch is there, but perhaps twice.
    fn check_alone(&self, settings: &Settings, before: &Cursor) -> Result<(), Fault> {
        let Some(place) = self.sender.foreign() else { return Ok(()) };
        let found = Reader::connect(settings)?.read(BTreeMap::from([place]))?.into_values().next();
        match found {
            Some(record) if record.mark.writer > self.writer => Err(Fault::Fenced),
            // An earlier connector stops when it notices this one. A late record of one that was killed was the last of its kind.
            Some(record) => Err(Fault::Moved { found: record.seq, expected: before.position }),
            None => Err(Fault::Moved { found: Seq::ZERO, expected: before.position }),
        }
    }
}

/// The cursor of the copy: the highest mark.
fn cursor(tails: &Tails) -> Result<Option<Cursor>, Fault> {
    let highest = tails.found.values().max_by_key(|record| record.mark.copied.position);
    highest.map(|record| record.mark.copied.cursor()).transpose()
}

impl Target for Kafka {
    fn open(&mut self) -> Result<Cursor, Fault> {
        // The records of an earlier producer of this process must be there or dropped before the tails are read.
        self.opened = None;
        let reader = Reader::connect(&self.settings)?;
        let partitions = reader.prepare()?;
        let tails = reader.tails(partitions)?;
        let cursor = cursor(&tails)?.unwrap_or_else(Cursor::start);
        self.opened = Some(Opened::new(&self.settings, tails)?);
        Ok(cursor)
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

    fn write(&mut self, batch: &Batch, before: &Cursor, _after: &Cursor) -> Result<(), Fault> {
        let Some(opened) = &mut self.opened else {
            return Err(Fault::Unreachable("the connection is closed".to_owned()));
        };
        let result = opened.write(&self.settings, batch, before);
        let result = result.and_then(|()| opened.check_alone(&self.settings, before));
        if result.is_err() {
            // Drops the records that are not sent, so that none of them arrives later.
            self.opened = None;
        }
        result
    }

    fn keeps(&self, entry: &Entry) -> bool {
        self.settings.kinds.include(entry)
    }

    fn events(&mut self, each: &mut EachEvent<'_>) -> Result<(), Fault> {
        let reader = Reader::connect(&self.settings)?;
        let Some(partitions) = reader.partitions()? else { return Ok(()) };
        self.partitions_read = partitions;
        reader.all(partitions, each)
    }

    fn lane(&self, entry: &Entry) -> i32 {
        partition_of(subject(&entry.fact).as_deref(), self.partitions_read)
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let reader = Reader::connect(&self.settings)?;
        let Some(partitions) = reader.partitions()? else { return Ok(None) };
        let cursor = cursor(&reader.tails(partitions)?)?;
        Ok(cursor.map(|cursor| (cursor, Counts::default())))
    }
}

/// What an error of the client means for a connector.
pub(crate) fn fault(error: &KafkaError) -> Fault {
    use RDKafkaErrorCode as Code;
    if let KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::AdminOpCreation(_) = error {
        return Fault::Refused(error.to_string());
    }
    // The client's own function leaves this one out.
    let code = if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() };
    // Trying again does not help against these until somebody changes the topic, the rights or the configuration.
    let lasts = [
        Code::MessageSizeTooLarge,
        Code::MessageBatchTooLarge,
        Code::InvalidRecord,
        Code::InvalidTopic,
        Code::InvalidTimestamp,
        Code::InvalidPartitions,
        Code::InvalidReplicationFactor,
        Code::InvalidConfig,
        Code::PolicyViolation,
        Code::TopicAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
        Code::GroupAuthorizationFailed,
        Code::Authentication,
        Code::SaslAuthenticationFailed,
        Code::UnsupportedVersion,
        Code::UnsupportedFeature,
        Code::UnsupportedCompressionType,
        Code::GaplessGuarantee,
    ];
    if code.is_some_and(|code| lasts.contains(&code)) {
        Fault::Refused(error.to_string())
    } else {
        Fault::Unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let make = |more: &str| {
            make(toml::from_str(&format!("brokers = \"h:9092\"\ntopic = \"events\"\n{more}")).expect("a table"))
        };
        assert!(make("kinds = [\"payment_decided\"]\npartitions = 3\nreplication = 3\ncompression = \"none\"").is_ok());
        for (more, expected) in [
            ("partitions = 0", "found `partitions` 0, expected 1 to 10000"),
            ("replication = 0", "found `replication` 0"),
            ("kinds = [\"payments\"]", "found the kind `payments`, expected some of: journal_started"),
            ("kinds = []", "found no kind"),
            ("compression = \"zip\"", "expected one of `none`, `lz4`, `snappy`"),
            ("prefix = \"a\"", "unknown field `prefix`"),
        ] {
            let error = make(more).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let error = super::make(toml::from_str("brokers = \"h:9092\"\ntopic = \"a b\"").expect("a table"))
            .expect_err("a space");
        assert!(error.contains("found the topic `a b`"), "{error}");
    }

    #[test]
    fn faults_say_whether_trying_again_helps() {
        let of = |code| fault(&KafkaError::MessageProduction(code));
        assert!(matches!(of(RDKafkaErrorCode::NotEnoughReplicas), Fault::Unreachable(_)));
        assert!(matches!(of(RDKafkaErrorCode::BrokerTransportFailure), Fault::Unreachable(_)));
        assert!(matches!(of(RDKafkaErrorCode::MessageSizeTooLarge), Fault::Refused(_)));
        assert!(matches!(fault(&KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed)), Fault::Refused(_)));
    }
}
