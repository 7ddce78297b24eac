//! Sends records, and waits until the brokers have acknowledged them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::{BYTES_MAX, Settings, fault};
use crate::target::Fault;

/// How long one turn waits for acknowledgements, and after how many turns without any the target counts as unreachable: 30 s.
const TURN: Duration = Duration::from_millis(1);
const TURNS_MAX: u32 = 30_000;
/// Records after which acknowledgements are looked at.
const RECORDS_AT_ONCE: u64 = 256;

/// A producer whose records arrive in each partition in the order in which they were sent, once, and without gaps.
///
/// * *Order and once:* the producer is idempotent. A broker takes a request only if it has all earlier ones of the same producer, and
///   recognises repeated ones.
/// * *No gaps:* no record is given up while later ones are sent. Records have no time limit of their own; instead, the whole sender gives up,
///   and drops everything that is not sent yet. An error that lasts ends the producer (`enable.gapless.guarantee`).
pub(super) struct Sender {
    producer: BaseProducer<Reports>,
    topic: String,
    sent: u64,
}

/// What the brokers answered.
#[derive(Debug)]
struct Reports(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// Records that were acknowledged or failed.
    count: u64,
    /// The first failure.
    failure: Option<KafkaError>,
    /// The offset that the next record of each partition gets if nobody else writes; `None` if it is unknown.
    next: Vec<Option<i64>>,
    /// The partition and offset of a record that somebody else wrote.
    foreign: Option<(i32, i64)>,
    /// What the client said last about its connections.
    said: Option<String>,
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn acknowledged(&mut self, partition: i32, offset: i64) {
        let Some(next) = usize::try_from(partition).ok().and_then(|place| self.next.get_mut(place)) else { return };
        // The offset of a record that was sent twice and kept once is unknown.
        let known = (offset >= 0).then_some(offset);
        if let (Some(expected), Some(offset)) = (*next, known)
            && offset != expected
        {
            self.foreign.get_or_insert((partition, expected.min(offset)));
        }
        *next = known.map(|offset| offset + 1);
    }
}

impl ClientContext for Reports {
    fn error(&self, _error: KafkaError, reason: &str) {
        self.lock().said = Some(reason.to_owned());
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut answers = self.lock();
        answers.count += 1;
        match result {
            Ok(record) => answers.acknowledged(record.partition(), record.offset()),
            Err((error, _)) => drop(answers.failure.get_or_insert_with(|| error.clone())),
        }
    }
}

impl Sender {
    /// A producer for a topic whose partitions end at these offsets.
    pub(super) fn new(settings: &Settings, ends: &[i64]) -> Result<Self, Fault> {
        let mut config = settings.client();
        config.set("enable.idempotence", "true").set("enable.gapless.guarantee", "true").set("acks", "all");
        config.set("message.timeout.ms", "0").set("allow.auto.create.topics", "false").set("linger.ms", "2");
        config.set("message.max.bytes", BYTES_MAX.to_string()).set("compression.type", settings.compression.name());
        let answers = Answers { next: ends.iter().map(|end| Some(*end)).collect(), ..Answers::default() };
        let producer = config.create_with_context(Reports(Mutex::new(answers))).map_err(|error| fault(&error))?;
        Ok(Self { producer, topic: settings.topic.clone(), sent: 0 })
    }

    /// Sends a record, as soon as the queue has room for it.
    pub(super) fn send(
        &mut self,
        partition: i32,
        key: Option<&str>,
        payload: &[u8],
        headers: OwnedHeaders,
    ) -> Result<(), Fault> {
        let mut record = BaseRecord::to(&self.topic).partition(partition).payload(payload).headers(headers);
        record.key = key;
        let mut idle = 0;
        loop {
            record = match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => returned,
                Err((error, _)) => return Err(fault(&error)),
            };
            self.turn(&mut idle)?;
        }
        self.sent += 1;
        if self.sent.is_multiple_of(RECORDS_AT_ONCE) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub(super) fn drain(&self) -> Result<(), Fault> {
        let mut idle = 0;
        while self.answers().count < self.sent {
            self.turn(&mut idle)?;
        }
        self.failure()
    }

    /// The partition and offset of a record that somebody else wrote, while this sender thought that only it writes.
    pub(super) fn foreign(&self) -> Option<(i32, i64)> {
        self.answers().foreign
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.producer.context().lock()
    }

    fn failure(&self) -> Result<(), Fault> {
        self.answers().failure.as_ref().map_or(Ok(()), |error| Err(fault(error)))
    }

    /// Takes what the brokers answered. `idle` counts the turns without an answer.
    fn turn(&self, idle: &mut u32) -> Result<(), Fault> {
        let before = self.answers().count;
        self.producer.poll(TURN);
        self.failure()?;
        if self.answers().count > before {
            *idle = 0;
            return Ok(());
        }
        *idle += 1;
        if *idle < TURNS_MAX {
            return Ok(());
        }
        let said = self.answers().said.take().unwrap_or_else(|| "the brokers do not answer".to_owned());
        Err(Fault::Unreachable(format!("no record was acknowledged for 30 s: {said}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_between_offsets_is_a_record_of_somebody_else() {
        let mut answers = Answers { next: vec![Some(4), Some(0)], ..Answers::default() };
        answers.acknowledged(0, 4);
        answers.acknowledged(1, 0);
        // A record that was sent twice: its offset is unknown, and so is the next one.
        answers.acknowledged(0, -1001);
        answers.acknowledged(0, 6);
        answers.acknowledged(0, 7);
        assert_eq!(answers.foreign, None);
        answers.acknowledged(1, 3);
        answers.acknowledged(1, 9);
        assert_eq!(answers.foreign, Some((1, 1)), "the first of them");
    }

    #[test]
    fn a_topic_that_begins_anew_is_noticed() {
        let mut answers = Answers { next: vec![Some(400)], ..Answers::default() };
        answers.acknowledged(0, 0);
        assert_eq!(answers.foreign, Some((0, 0)));
    }
}
