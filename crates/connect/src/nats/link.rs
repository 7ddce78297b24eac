//! A connection to the servers: prepares, reads and writes the stream.

use std::collections::VecDeque;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind, PublishAckFuture, PublishError,
    PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerAddr};
use datadir::Secret;
use futures_util::future::join_all;
use tokio::sync::Notify;
use types::Seq;

use super::Settings;
use super::mark::{self, Mark};
use crate::copied::{COPY, Found, Writer};
use crate::cursor::Cursor;
use crate::runtime;
use crate::target::{EachEvent, Fault};

/// How long a server may leave a question without an answer, and a message without an acknowledgement.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(30);
/// Most messages, and most bytes in them, that were sent and not acknowledged.
const IN_FLIGHT_MAX: usize = 4_096;
const BYTES_IN_FLIGHT_MAX: usize = 16 << 20;

/// Messages that are asked for at once.
const READ_AT_ONCE: u64 = 256;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    context: Context,
    /// Told when the connection is lost.
    lost: Arc<Notify>,
}

/// The end of the stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The number of the last message.
    message: u64,
    /// What that message says; `None` before the first one.
    pub(super) found: Option<Found<Mark>>,
    /// Whether a connector that takes the stream over has interrupted an earlier one.
    pub(super) is_interrupted: bool,
}

impl Tail {
    pub(super) fn cursor(&self) -> Result<Cursor, Fault> {
        self.found.as_ref().map_or_else(|| Ok(Cursor::start()), |found| found.mark.copied.cursor())
    }
}

/// Why messages were not sent.
#[derive(Debug)]
pub(super) enum Failed {
    /// The last message is not the one that was expected.
    NotLast,
    Fault(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Link {
    pub(super) async fn connect(settings: &Settings, password: Option<&Secret>) -> Result<Self, Fault> {
        let servers = settings.servers.split(',').map(|server| server.trim().parse::<ServerAddr>());
        let servers: Vec<ServerAddr> =
            servers.collect::<Result<_, _>>().map_err(|error| Fault::Refused(error.to_string()))?;
        let lost = Arc::new(Notify::new());
        let told = Arc::clone(&lost);
        let mut options = ConnectOptions::new()
            .name("finaira-connect")
            .connection_timeout(ANSWER_WITHIN)
            .request_timeout(Some(ANSWER_WITHIN))
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    told.notify_one();
                }
                std::future::ready(())
            });
        if let (Some(user), Some(password)) = (&settings.user, password) {
            options = options.user_and_password(user.clone(), password.reveal().to_owned());
        }
        let client = runtime::within(ANSWER_WITHIN, "no server answered", options.connect(servers)).await?;
        let client = client.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Fault::Refused(error.to_string())
            }
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => Fault::Unreachable(error.to_string()),
        })?;
        let context = ContextBuilder::new()
            .timeout(ACKNOWLEDGE_WITHIN)
            .max_ack_inflight(2 * IN_FLIGHT_MAX)
            .backpressure_on_inflight(true)
            .build(client);
        Ok(Self { context, lost })
    }

    /// The outcome of `work`, or a fault as soon as the connection is lost.
    async fn unless_lost<T, E: From<Fault>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.lost.notified() => Err(Fault::Unreachable("the connection was lost".to_owned()).into()),
        }
    }

    /// Answers the server while there is nothing to write.
    pub(super) async fn idle(&self) -> Result<(), Fault> {
        self.unless_lost(async {
            runtime::idle().await;
            Ok(())
        })
        .await
    }

    /// The stream; `None` if it does not exist.
    async fn stream(&self, name: &str) -> Result<Option<Stream>, Fault> {
        let found = runtime::within(ANSWER_WITHIN, "the stream was not described", self.context.get_stream(name));
        match self.unless_lost(found).await? {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                GetStreamErrorKind::JetStream(error) => Err(of_jetstream(&error)),
                GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                    Err(Fault::Refused(error.to_string()))
                }
                GetStreamErrorKind::Request => Err(Fault::Unreachable(error.to_string())),
            },
        }
    }

    /// Creates the stream if it does not exist, and checks that it keeps every message.
    pub(super) async fn prepare(&self, settings: &Settings) -> Result<(), Fault> {
        if let Some(stream) = self.stream(&settings.stream).await? {
            return check(&stream.cached_info().config, settings);
        }
        let config = Config {
            name: settings.stream.clone(),
            subjects: vec![settings.events(), settings.takeovers()],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: settings.replicas,
            description: Some("Events of Finaira. Only the connector writes here.".to_owned()),
            ..Config::default()
        };
        let created = runtime::within(ANSWER_WITHIN, "the stream was not created", self.context.create_stream(config));
        match self.unless_lost(created).await? {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(error) => Err(of_jetstream(&error)),
                CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStreamUnavailable => {
                    Err(Fault::Unreachable(error.to_string()))
                }
                CreateStreamErrorKind::EmptyStreamName
                | CreateStreamErrorKind::InvalidStreamName
                | CreateStreamErrorKind::DomainAndExternalSet
                | CreateStreamErrorKind::Response
                | CreateStreamErrorKind::NotFound
                | CreateStreamErrorKind::ResponseParse => Err(Fault::Refused(error.to_string())),
            },
        }
    }

    /// The end of the stream; `None` if there is no such stream.
    pub(super) async fn tail(&self, settings: &Settings) -> Result<Option<Tail>, Fault> {
        let name = &settings.stream;
        let Some(stream) = self.stream(name).await? else { return Ok(None) };
        let state = &stream.cached_info().state;
        let message = state.last_sequence;
        if state.messages == 0 && message > 0 {
            return Err(Fault::Refused(format!(
                "the stream `{name}` had messages, but none is left, so it is unknown how far the copy has come; delete the stream, or name another one"
            )));
        }
        let mut tail = Tail { message, ..Tail::default() };
        for number in (state.first_sequence.max(1)..=message).rev() {
            let read = runtime::within(ANSWER_WITHIN, "the last message was not read", stream.get_raw_message(number));
            let read = self.unless_lost(read).await?.map_err(|error| match error.kind() {
                LastRawMessageErrorKind::JetStream(error) => of_jetstream(&error),
                LastRawMessageErrorKind::NoMessageFound => Fault::Refused(format!(
                    "message {number} of the stream `{name}`, one of its last, was removed, so it is unknown how far the copy has come; delete the stream, or name another one"
                )),
                LastRawMessageErrorKind::InvalidSubject | LastRawMessageErrorKind::Other => {
                    Fault::Unreachable(error.to_string())
                }
            })?;
            let header = |name: &str| read.headers.get(name).map(async_nats::HeaderValue::as_str);
            if read.subject.as_str() == settings.takeovers() && header(COPY).is_none() {
                tail.is_interrupted = true;
                continue;
            }
            let found: Found<Mark> = Found::read(header, &read.payload).map_err(|why| {
                Fault::Refused(format!(
                    "message {number} of the stream `{name}` was not written by a connector: {why}; name a stream that only the connector writes to"
                ))
            })?;
            found.mark.copied.check_version(&format!("the stream `{name}`"))?;
            tail.found = Some(found);
            break;
        }
        Ok(Some(tail))
    }

    /// Reads all events that are in the stream now.
    pub(super) async fn all(&self, settings: &Settings, each: &mut EachEvent<'_>) -> Result<(), Fault> {
        let name = &settings.stream;
        let Some(stream) = self.stream(name).await? else { return Ok(()) };
        let state = &stream.cached_info().state;
        let (mut next, last) = (state.first_sequence.max(1), state.last_sequence);
        while next <= last {
            let end = next.saturating_add(READ_AT_ONCE).min(last.saturating_add(1));
            let reads = join_all((next..end).map(|number| stream.get_raw_message(number)));
            let reads = runtime::within(ACKNOWLEDGE_WITHIN, "the messages were not read", reads);
            for (number, read) in (next..end).zip(self.unless_lost(reads).await?) {
                let read = match read {
                    Ok(read) => read,
                    // What was removed is missing.
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => continue,
                    Err(error) => return Err(Fault::Unreachable(error.to_string())),
                };
                if read.subject.as_str() == settings.takeovers() {
                    continue;
                }
                let header = |name: &str| read.headers.get(name).map(async_nats::HeaderValue::as_str);
                let found: Found<Mark> = Found::read(header, &read.payload).map_err(|why| {
                    Fault::Refused(format!(
                        "message {number} of the stream `{name}` was not written by a connector: {why}"
                    ))
                })?;
                each(0, found.seq, &read.payload)?;
            }
            next = end;
        }
        Ok(())
    }

    /// Becomes the only writer, if `tail` still is the end of the stream. Returns the number of the last message then.
    pub(super) async fn take_over(
        &self,
        settings: &Settings,
        tail: &Tail,
        writer: Writer,
    ) -> Result<Option<u64>, Fault> {
        let (seq, source) = tail.found.as_ref().map_or((Seq::ZERO, ""), |found| (found.seq, found.source.as_str()));
        let payload = serde_json::json!({"source": source}).to_string();
        let headers = mark::headers(seq, &Mark::new(&tail.cursor()?, writer).text()?);
        let mut sending = self.sending(tail.message);
        // Without an id, because the same takeover may be needed twice.
        sending.publish(seq, settings.takeovers(), message(headers, payload.into_bytes()), tail.message).await?;
        match sending.drain().await {
            Ok(message) => Ok(Some(message)),
            Err(Failed::NotLast) => Ok(None),
            Err(Failed::Fault(fault)) => Err(fault),
        }
    }

    /// Writes a message that nobody expects, so that what an earlier connector sends is no longer stored.
    pub(super) async fn interrupt(&self, settings: &Settings) -> Result<(), Fault> {
        let sent = self.context.send_publish(settings.takeovers(), message(HeaderMap::new(), b"{}".to_vec()));
        let sent = self.unless_lost(async { Ok::<_, Fault>(sent.await) }).await?;
        let answered = match sent {
            Ok(answer) => self.unless_lost(async { Ok::<_, Fault>(answer.await) }).await?,
            Err(error) => Err(error),
        };
        answered.map(drop).map_err(|error| of_publish(&error))
    }

    /// Sends messages after the one with this number.
    pub(super) fn sending(&self, last: u64) -> Sending<'_> {
        Sending { link: self, last, bytes: 0, waiting: VecDeque::new() }
    }
}

fn message(headers: HeaderMap, payload: Vec<u8>) -> PublishMessage {
    PublishMessage::build().headers(headers).payload(payload.into())
}

/// Messages that are being sent.
pub(super) struct Sending<'l> {
    link: &'l Link,
    /// The number of the last message, if all that were sent are stored.
    last: u64,
    /// Bytes of messages without an acknowledgement.
    bytes: usize,
    waiting: VecDeque<Waiting>,
}

/// A message without an acknowledgement.
struct Waiting {
    /// The number that it gets if it follows the one before it.
    number: u64,
    seq: Seq,
    bytes: usize,
    answer: PublishAckFuture,
}

impl Sending<'_> {
    /// Sends an event, as soon as there is room for it.
    pub(super) async fn send(
        &mut self,
        seq: Seq,
        subject: String,
        headers: HeaderMap,
        id: &str,
        payload: Vec<u8>,
    ) -> Result<(), Failed> {
        let bytes = payload.len();
        while self.waiting.len() >= IN_FLIGHT_MAX
            || (self.bytes + bytes > BYTES_IN_FLIGHT_MAX && !self.waiting.is_empty())
        {
            self.acknowledged().await?;
        }
        self.publish(seq, subject, message(headers, payload).message_id(id), bytes as u64).await.map_err(Failed::from)
    }

    async fn publish(&mut self, seq: Seq, subject: String, message: PublishMessage, bytes: u64) -> Result<(), Fault> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let message = message.expected_last_sequence(self.last);
        let link = self.link;
        let sent = link.unless_lost(async { Ok::<_, Fault>(link.context.send_publish(subject, message).await) });
        let answer = sent.await?.map_err(|error| named(seq, of_publish(&error)))?;
        self.last += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back(Waiting { number: self.last, seq, bytes, answer });
        Ok(())
    }

    /// Waits until everything is acknowledged, and returns the number of the last message.
    pub(super) async fn drain(mut self) -> Result<u64, Failed> {
        while !self.waiting.is_empty() {
            self.acknowledged().await?;
        }
        Ok(self.last)
    }

    /// Waits for the acknowledgement of the message that was sent first.
    async fn acknowledged(&mut self) -> Result<(), Failed> {
        let Some(Waiting { number, seq, bytes, answer }) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes = self.bytes.saturating_sub(bytes);
        let answer = self.link.unless_lost(async { Ok::<_, Fault>(answer.await) }).await?;
        match answer {
            Ok(stored) if stored.sequence == number => Ok(()),
            Ok(_) => Err(Failed::NotLast),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Err(Failed::NotLast),
            Err(error) => Err(named(seq, of_publish(&error)).into()),
        }
    }
}

/// Refuses a stream that would lose events.
fn check(config: &Config, settings: &Settings) -> Result<(), Fault> {
    let name = &settings.stream;
    let wrong = |found: String, expected: &str| {
        Err(Fault::Refused(format!(
            "found {found} of the stream `{name}`, expected {expected}, so that no event is lost"
        )))
    };
    for subject in [settings.events(), settings.takeovers()] {
        if !config.subjects.contains(&subject) {
            return wrong(format!("the subjects {:?}", config.subjects), &format!("`{subject}` among them"));
        }
    }
    if config.retention != RetentionPolicy::Limits {
        return wrong(format!("the retention {:?}", config.retention), "Limits");
    }
    if config.storage != StorageType::File {
        return wrong(format!("the storage {:?}", config.storage), "File");
    }
    if !config.max_age.is_zero() {
        return wrong(format!("a maximal age of {} s", config.max_age.as_secs()), "none");
    }
    if config.max_messages_per_subject > 0 {
        return wrong(format!("at most {} messages per subject", config.max_messages_per_subject), "no such limit");
    }
    if config.discard == DiscardPolicy::Old && (config.max_messages > 0 || config.max_bytes > 0) {
        return wrong("a limit that discards old messages".to_owned(), "the discard policy New");
    }
    if config.no_ack || config.sealed {
        return wrong("a stream that is sealed or without acknowledgements".to_owned(), "neither");
    }
    Ok(())
}

/// The fault with the entry that it is about.
fn named(seq: Seq, fault: Fault) -> Fault {
    match fault {
        Fault::Refused(what) => Fault::Refused(format!("entry {seq}: {what}")),
        Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_) => fault,
    }
}

/// What an error about a message means for a connector.
fn of_publish(error: &PublishError) -> Fault {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => {
            let sizes = error.source().map(ToString::to_string).unwrap_or_default();
            Fault::Refused(format!("{sizes}; raise `max_payload` of the servers"))
        }
        PublishErrorKind::Other => {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>());
            cause.map_or_else(|| Fault::Unreachable(error.to_string()), of_jetstream)
        }
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Fault::Unreachable(error.to_string()),
    }
}

/// What an answer of JetStream means for a connector.
fn of_jetstream(error: &jetstream::Error) -> Fault {
    // 503 is its code for what passes by itself.
    if error.code() == 503 && error.error_code() != ErrorCode::JETSTREAM_NOT_ENABLED {
        Fault::Unreachable(error.to_string())
    } else {
        Fault::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_loses_events_is_refused() {
        let text = "servers = \"nats://h:4222\"\nstream = \"events\"\nsubject = \"a.b\"";
        let settings: Settings = toml::from_str(text).expect("settings");
        let good = Config {
            subjects: vec!["a.b.*".to_owned(), "a.b-takeover".to_owned()],
            storage: StorageType::File,
            ..Config::default()
        };
        assert_eq!(check(&good, &settings), Ok(()));
        let bounded = Config { max_bytes: 1 << 30, discard: DiscardPolicy::New, ..good.clone() };
        assert_eq!(check(&bounded, &settings), Ok(()), "when it is full it refuses");
        for (config, expected) in [
            (Config { subjects: vec!["a.b.*".to_owned()], ..good.clone() }, "`a.b-takeover` among them"),
            (Config { retention: RetentionPolicy::WorkQueue, ..good.clone() }, "found the retention WorkQueue"),
            (Config { storage: StorageType::Memory, ..good.clone() }, "found the storage Memory"),
            (Config { max_age: Duration::from_secs(60), ..good.clone() }, "a maximal age of 60 s"),
            (Config { max_messages_per_subject: 1, ..good }, "at most 1 messages per subject"),
            (Config { discard: DiscardPolicy::Old, ..bounded }, "a limit that discards old messages"),
        ] {
            let fault = check(&config, &settings).expect_err(expected);
            assert!(matches!(&fault, Fault::Refused(what) if what.contains(expected)), "{fault}");
        }
    }
}
