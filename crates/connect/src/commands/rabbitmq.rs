//! Commands from a queue of RabbitMQ.
//!
//! A message is acknowledged when it is done or refused. One that is refused is first stored in the queue for dead letters. The broker
//! hands a message out again if the connection is lost before.

use std::time::Duration;

use datadir::Secret;
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer};
use serde::Deserialize;

use super::{Inlet, Message, Place};
use crate::rabbitmq::address::Address;
use crate::rabbitmq::client::{self, ask, fault, short};
use crate::runtime::{Blocking, within};
use crate::target::Fault;
use crate::targets::secret;

/// How long the broker may take to store a dead letter.
const STORE_WITHIN: Duration = Duration::from_secs(30);
/// The longest name of a queue.
const NAME_BYTES_MAX: usize = 255;

/// The settings of this kind of inlet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `amqp://user@host:5672/virtual-host`.
    url: String,
    password_file: Option<std::path::PathBuf>,
    password_env: Option<String>,
    queue: String,
    /// The queue to which messages go that are no commands, or that the server refuses.
    dead_letters: String,
}

/// Makes an inlet that is not connected yet.
pub(super) fn make(table: toml::Table, in_flight: usize) -> Result<Box<dyn Inlet>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let address = Address::parse(&settings.url, "amqp", 5672)?;
    for name in [&settings.queue, &settings.dead_letters] {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with("amq.") {
            return Err(format!(
                "found the queue `{name}`, expected 1 to {NAME_BYTES_MAX} bytes that do not begin with `amq.`"
            ));
        }
    }
    if settings.queue == settings.dead_letters {
        return Err(format!("found the queue `{}` for dead letters too, expected another one", settings.queue));
    }
    let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
    let password = password.ok_or("found no password, expected `password_file` or `password_env`")?;
    let in_flight = u16::try_from(in_flight).unwrap_or(u16::MAX);
    Ok(Box::new(Queue { settings, address, password, in_flight, connections: 0, opened: None }))
}

/// A queue with commands.
struct Queue {
    settings: Settings,
    address: Address,
    password: Secret,
    in_flight: u16,
    /// How often it was opened. The numbers of deliveries begin anew with each connection.
    connections: u32,
    opened: Option<Opened>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("settings", &self.settings).finish_non_exhaustive()
    }
}

struct Opened {
    messages: Consumer,
    commands: Channel,
    dead: Channel,
    _connection: Connection,
    blocking: Blocking,
}

impl Queue {
    async fn connect(&self) -> Result<(Consumer, Channel, Channel, Connection), Fault> {
        let connection = client::connect(&self.address, &self.password).await?;
        for name in [&self.settings.queue, &self.settings.dead_letters] {
            let exists = {
                let channel = ask("no channel was opened", connection.create_channel()).await?;
                let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
                let declared = channel.queue_declare(short(name), passive, FieldTable::default());
                match within(client::ANSWER_WITHIN, "a queue was not described", declared).await? {
                    Ok(_queue) => true,
                    Err(error) if client::is_not_found(&error) => false,
                    Err(error) => return Err(fault(&error)),
                }
            };
            if !exists {
                let channel = ask("no channel was opened", connection.create_channel()).await?;
                let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
                let declared = channel.queue_declare(short(name), durable, FieldTable::default());
                ask("a queue was not created", declared).await?;
            }
        }
        let commands = ask("no channel was opened", connection.create_channel()).await?;
        let dead = ask("no channel was opened", connection.create_channel()).await?;
        let confirm = dead.confirm_select(ConfirmSelectOptions::default());
        ask("confirmations were not turned on", confirm).await?;
        let limited = commands.basic_qos(self.in_flight, BasicQosOptions::default());
        ask("the limit of messages was not set", limited).await?;
        let (queue, tag) = (short(&self.settings.queue), short("finaira"));
        let consumed = commands.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
        let messages = ask("the queue was not read", consumed).await?;
        Ok((messages, commands, dead, connection))
    }

    fn opened(&mut self) -> Result<&mut Opened, Fault> {
        self.opened.as_mut().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }
}

impl Inlet for Queue {
    fn open(&mut self) -> Result<(), Fault> {
        self.opened = None;
        let blocking = client::runtime()?;
        let (messages, commands, dead, connection) = blocking.wait(self.connect())?;
        self.connections = self.connections.wrapping_add(1);
        self.opened = Some(Opened { messages, commands, dead, _connection: connection, blocking });
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, Fault> {
        let lane = self.connections;
        let Opened { messages, blocking, .. } = self.opened()?;
        // An elapsed time is no error here.
        let next = blocking.wait(async { Ok(tokio::time::timeout(wait, messages.next()).await.ok()) })?;
        let Some(next) = next else { return Ok(None) };
        let delivery = next.ok_or_else(|| Fault::Unreachable("the connection was closed".to_owned()))?;
        let delivery = delivery.map_err(|error| fault(&error))?;
        let name = delivery.properties.message_id().as_ref().map(ToString::to_string);
        let place = Place { lane, number: delivery.delivery_tag };
        Ok(Some(Message { place, name, key: None, body: delivery.data }))
    }

    fn done(&mut self, place: Place) -> Result<(), Fault> {
        // A message of an earlier connection is handed out again.
        if place.lane != self.connections {
            return Ok(());
        }
        let Opened { commands, blocking, .. } = self.opened()?;
        blocking
            .wait(ask("an acknowledgement was not sent", commands.basic_ack(place.number, BasicAckOptions::default())))
    }

    fn refuse(&mut self, message: &Message, problem: &str) -> Result<(), Fault> {
        if message.place.lane != self.connections {
            return Ok(());
        }
        let dead_letters = short(&self.settings.dead_letters);
        let Opened { dead, blocking, .. } = self.opened()?;
        let mut headers = FieldTable::default();
        headers.insert(super::PROBLEM.into(), AMQPValue::LongString(problem.into()));
        let mut properties = BasicProperties::default().with_delivery_mode(client::PERSISTENT).with_headers(headers);
        if let Some(name) = &message.name {
            properties = properties.with_message_id(short(name));
        }
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let stored = async {
            // The exchange without a name sends it to the queue of that name.
            let sent = dead.basic_publish("".into(), dead_letters, options, &message.body, properties);
            let confirm = ask("a dead letter was not sent", sent).await?;
            let confirmed = within(STORE_WITHIN, "a dead letter was not confirmed", confirm).await?;
            match confirmed.map_err(|error| fault(&error))? {
                Confirmation::Ack(None) => Ok(()),
                Confirmation::Ack(Some(_)) => Err(Fault::Refused("the queue for dead letters was deleted".to_owned())),
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    Err(Fault::Unreachable("a dead letter was not stored".to_owned()))
                }
            }
        };
        blocking.wait(stored)?;
        self.done(message.place)
    }
}
