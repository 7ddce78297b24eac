//! Commands that arrive in a topic or a queue: the way inwards.
//!
//! An [`Inlet`] hands messages out and learns what became of each. Whoever sends the commands to the server is not here, because this crate
//! has no threads and no HTTP.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use api::IdempotencyKey;
use api::routes::JSON_BYTES_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;
use types::Name;

use crate::target::Fault;

/// The header of a dead letter with the problem document.
#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
const PROBLEM: &str = "finaira-problem";
/// The header of a dead letter with the name of the message.
#[cfg(feature = "kafka")]
const MESSAGE: &str = "finaira-message";

/// Where messages with commands come from.
///
/// A message that was neither done nor refused is handed out again after a restart of either side. So each message is handed out at least once,
/// and its command must carry an id.
pub trait Inlet: Send + fmt::Debug {
    /// Connects. Messages that were handed out before and are neither done nor refused will be handed out again.
    ///
    /// # Errors
    /// When the broker cannot be reached, or refuses.
    fn open(&mut self) -> Result<(), Fault>;

    /// Takes the next message, if there is one within `wait`.
    ///
    /// # Errors
    /// When the connection was lost. The inlet has to be opened again.
    fn next(&mut self, wait: Duration) -> Result<Option<Message>, Fault>;

    /// The command of this message has its effect, which is durable.
    ///
    /// # Errors
    /// As [`Inlet::next`].
    fn done(&mut self, place: Place) -> Result<(), Fault>;

    /// The command of this message will never have an effect. Keeps the message with `problem`, which says why, among the dead letters; returns when it is
    /// stored there.
    ///
    /// # Errors
    /// As [`Inlet::next`].
    fn refuse(&mut self, message: &Message, problem: &str) -> Result<(), Fault>;
}

/// A message with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub place: Place,
    /// A name for the message that stays the same when it is handed out again; `None` if the broker has none.
    pub name: Option<String>,
    /// What the sender gave it, to choose a partition.
    pub key: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

/// Which message it is. Opaque to everybody but the inlet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// A partition, or a connection.
    pub(crate) lane: u32,
    /// An offset, or the number of the delivery.
    pub(crate) number: u64,
}

/// A request to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The path of the API.
    pub path: Cow<'static, str>,
    /// The body of the request, exactly as the message has it.
    pub body: String,
    /// The payment or list that it is about. Commands about the same one keep their order.
    pub about: String,
    /// The header `Idempotency-Key`, for commands without an id of their own.
    pub idempotency_key: Option<String>,
}

/// The body of a message: exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'m> {
    #[serde(borrow)]
    payment: Option<&'m RawValue>,
    #[serde(borrow)]
    label: Option<&'m RawValue>,
    /// The name of a list.
    list: Option<String>,
    #[serde(borrow)]
    add: Option<&'m RawValue>,
    #[serde(borrow)]
    remove: Option<&'m RawValue>,
    /// The key of a label.
    idempotency_key: Option<String>,
}

/// What the order of commands depends on.
#[derive(Deserialize)]
struct PaymentId {
    id: String,
}

#[derive(Deserialize)]
struct LabelOf {
    payment: String,
}

impl Command {
    /// Reads the command of a message.
    ///
    /// # Errors
    /// When the message is no command. The text says what was found and what was expected.
    pub fn read(message: &Message) -> Result<Self, String> {
        const EXPECTED: &str = "expected {\"payment\": {…}}, {\"label\": {…}}, {\"list\": \"…\", \"add\": {…}} or {\"list\": \"…\", \"remove\": {…}}";
        let bytes = message.body.len();
        if bytes > JSON_BYTES_MAX {
            return Err(format!("found {bytes} bytes, expected at most {JSON_BYTES_MAX}"));
        }
        let envelope: Envelope<'_> =
            serde_json::from_slice(&message.body).map_err(|error| format!("{error}, {EXPECTED}"))?;
        let Envelope { payment, label, list, add, remove, idempotency_key } = envelope;
        let command = |path: Cow<'static, str>, body: &RawValue, about: String, idempotency_key| {
            Ok(Self { path, body: body.get().to_owned(), about, idempotency_key })
        };
        // The name becomes a part of the path.
        if let Some(list) = &list {
            list.parse::<Name>().map_err(|why| format!("the list {list:?}: {why}"))?;
        }
        if idempotency_key.is_some() && label.is_none() {
            return Err("found an `idempotency_key`, expected it beside `label` only: a payment has an id, and a change of a list \
                        is made again if it comes again"
                .to_owned());
        }
        match (payment, label, list, add, remove) {
            (Some(payment), None, None, None, None) => {
                let PaymentId { id } = serde_json::from_str(payment.get())
                    .map_err(|error| format!("{error} in `payment`, expected an `id` that is a string"))?;
                command("/v1/payments".into(), payment, about(id), None)
            }
            (None, Some(label), None, None, None) => {
                let LabelOf { payment } = serde_json::from_str(label.get())
                    .map_err(|error| format!("{error} in `label`, expected a `payment` that is a string"))?;
                // Without a key, the server would record the label again if the message comes again.
                let key = idempotency_key
                    .or_else(|| message.name.clone())
                    .ok_or("found neither an `idempotency_key` nor an id of the message, expected one of them")?;
                key.parse::<IdempotencyKey>().map_err(|why| format!("the idempotency key {key:?}: {why}"))?;
                command("/v1/labels".into(), label, about(payment), Some(key))
            }
            (None, None, Some(list), Some(values), None) => {
                command(format!("/v1/lists/{list}/values").into(), values, of_list(&list), None)
            }
            (None, None, Some(list), None, Some(values)) => {
                command(format!("/v1/lists/{list}/remove-values").into(), values, of_list(&list), None)
            }
            _ => Err(format!("found none or several commands, {EXPECTED}")),
        }
    }
}

/// What commands about a list are about. No payment has such an id.
fn of_list(list: &str) -> String {
    format!("list {list}")
}

/// The same text for the same payment, however its id was written.
fn about(id: String) -> String {
    id.parse::<types::PaymentId>().map_or(id, |id| id.to_string())
}

type Make = fn(toml::Table, usize) -> Result<Box<dyn Inlet>, String>;

/// The kinds of inlets that this build has, with the name of each in the configuration.
const INLETS: &[(&str, Make)] = &[
    #[cfg(feature = "kafka")]
    ("kafka", kafka::make),
    #[cfg(feature = "rabbitmq")]
    ("rabbitmq", rabbitmq::make),
];

/// Makes an inlet of a kind from its settings. It is not connected yet. At most `in_flight` messages will be handed out that are neither
/// done nor refused.
///
/// # Errors
/// When there is no such kind, or a setting is missing, unknown or malformed. The message contains no secret.
pub fn inlet(kind: &str, settings: toml::Table, in_flight: usize) -> Result<Box<dyn Inlet>, String> {
    let Some((_, make)) = INLETS.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<String> = INLETS.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(format!("found the kind `{kind}` of commands, expected one of {}", names.join(", ")));
    };
    make(settings, in_flight)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payment 7, as the API shows its id.
    const SEVEN: &str = "00000000-0000-0000-0000-000000000007";

    fn read(body: &str) -> Result<Command, String> {
        let place = Place { lane: 0, number: 7 };
        Command::read(&Message { place, name: Some("topic/0/7".to_owned()), key: None, body: body.into() })
    }

    #[test]
    fn a_payment_is_sent_as_it_arrived() {
        let command = read(r#"{"payment": {"id": "7",  "amount": "1.50"}}"#).expect("a command");
        assert_eq!((&*command.path, command.about.as_str()), ("/v1/payments", SEVEN));
        assert_eq!(command.body, r#"{"id": "7",  "amount": "1.50"}"#);
        assert_eq!(command.idempotency_key, None, "its id says that it is the same");
    }

    #[test]
    fn a_label_has_a_key() {
        let command = read(r#"{"label": {"payment": "7", "label": "fraud"}}"#).expect("a command");
        assert_eq!((&*command.path, command.about.as_str()), ("/v1/labels", SEVEN));
        assert_eq!(command.idempotency_key.as_deref(), Some("topic/0/7"));
        let command = read(r#"{"label": {"payment": "7"}, "idempotency_key": "a"}"#).expect("a command");
        assert_eq!(command.idempotency_key.as_deref(), Some("a"));
        let error = read(r#"{"label": {"payment": "7"}, "idempotency_key": "a b"}"#).expect_err("a space");
        assert!(error.contains("the idempotency key \"a b\""), "{error}");
    }

    #[test]
    fn values_are_added_to_a_list_and_removed() {
        let command = read(r#"{"list": "blocked", "add": {"values": [{"value": "d1"}]}}"#).expect("a command");
        assert_eq!((&*command.path, command.about.as_str()), ("/v1/lists/blocked/values", "list blocked"));
        assert_eq!(command.body, r#"{"values": [{"value": "d1"}]}"#);
        let command = read(r#"{"list": "blocked", "remove": {"values": ["d1"]}}"#).expect("a command");
        assert_eq!((&*command.path, command.about.as_str()), ("/v1/lists/blocked/remove-values", "list blocked"));
        assert_eq!(command.idempotency_key, None);
    }

    #[test]
    fn other_messages_are_no_commands() {
        for (body, expected) in [
            ("", "expected {\"payment\": {…}}, {\"label\": {…}}, {\"list\""),
            ("{}", "found none or several commands"),
            (r#"{"payment": {"id": "1"}, "label": {}}"#, "found none or several commands"),
            (r#"{"list": "a"}"#, "found none or several commands"),
            (r#"{"add": {}}"#, "found none or several commands"),
            (r#"{"list": "a", "add": {}, "remove": {}}"#, "found none or several commands"),
            (r#"{"list": "../payments", "add": {}}"#, "the list \"../payments\": "),
            (r#"{"refund": {}}"#, "unknown field `refund`"),
            (r#"{"payment": {"id": 7}}"#, "in `payment`, expected an `id` that is a string"),
            (r#"{"label": {"label": "fraud"}}"#, "missing field `payment`"),
            (
                r#"{"payment": {"id": "1"}, "idempotency_key": "a"}"#,
                "found an `idempotency_key`, expected it beside `label` only",
            ),
            (r#"{"list": "a", "add": {}, "idempotency_key": "a"}"#, "expected it beside `label` only"),
        ] {
            let error = read(body).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let make = |kind: &str, text: &str| inlet(kind, toml::from_str(text).expect("a table"), 8);
        let error = make("pulsar", "").expect_err("no such kind");
        assert!(error.contains("found the kind `pulsar` of commands, expected one of"), "{error}");
        #[cfg(feature = "kafka")]
        for (text, expected) in [
            ("brokers = \"h:9092\"\ntopic = \"a\"\ndead_letters = \"b\"", "missing field `group`"),
            (
                "brokers = \"h:9092\"\ntopic = \"a\"\ngroup = \"g\"\ndead_letters = \"a\"",
                "found the topic `a` for dead letters too",
            ),
            ("brokers = \"h:9092\"\ntopic = \"a b\"\ngroup = \"g\"\ndead_letters = \"c\"", "found the topic `a b`"),
        ] {
            let error = make("kafka", text).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
