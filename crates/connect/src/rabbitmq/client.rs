//! The client for AMQP 0.9.1: how it connects, waits and fails.

use std::time::Duration;

use datadir::Secret;
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};

use super::address::Address;
use crate::runtime::{Blocking, within};
use crate::target::Fault;

/// How long a broker may leave a question without an answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// AMQP's name for messages that survive a restart of the broker.
pub(crate) const PERSISTENT: u8 = 2;
/// Seconds between signs of life.
const HEARTBEAT_S: u16 = 30;
/// The codes of AMQP 0.9.1 for what passes by itself: somebody closed the connection, or the broker lacks memory or failed.
const PASSING: [u16; 3] = [320, 506, 541];
const NOT_FOUND: u16 = 404;

/// A runtime for the client, which has a thread of its own for the connection and needs tasks that run at any time.
pub(crate) fn runtime() -> Result<Blocking, Fault> {
    Blocking::with_thread("rabbitmq")
}

/// Connects to a broker.
pub(crate) async fn connect(address: &Address, password: &Secret) -> Result<Connection, Fault> {
    let userinfo = AMQPUserInfo { username: address.user.clone(), password: password.reveal().to_owned() };
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority { userinfo, host: address.host.clone(), port: address.port },
        vhost: address.virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() },
    };
    let options = ConnectionProperties::default().with_connection_name("finaira-connect".into());
    ask("the broker did not answer", Connection::connect_uri(uri, options)).await
}

/// Waits for the answer to a question. `what` says what does not happen otherwise.
pub(crate) async fn ask<T>(what: &str, answer: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, Fault> {
    within(ANSWER_WITHIN, what, answer).await?.map_err(|error| fault(&error))
}

/// A text that is shorter than 256 bytes; an empty one if it is longer.
pub(crate) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

/// Whether the broker says that there is no such queue or exchange.
pub(crate) fn is_not_found(error: &lapin::Error) -> bool {
    code(error) == Some(NOT_FOUND)
}

/// The code of an error that the broker reported.
fn code(error: &lapin::Error) -> Option<u16> {
    if let lapin::ErrorKind::ProtocolError(error) = error.kind() { Some(error.get_id()) } else { None }
}

/// What an error of the client means for a connector.
pub(crate) fn fault(error: &lapin::Error) -> Fault {
    match code(error) {
        Some(code) if !PASSING.contains(&code) => Fault::Refused(error.to_string()),
        Some(_) | None => Fault::Unreachable(error.to_string()),
    }
}
