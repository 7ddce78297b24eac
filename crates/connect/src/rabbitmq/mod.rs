//! RabbitMQ: a stream or a topic exchange with one CloudEvent for each entry.

pub(crate) mod address;
pub(crate) mod client;
mod exchange;
mod stream;

use std::path::PathBuf;

use datadir::Secret;
use serde::Deserialize;

use self::address::Address;
use crate::outgoing::Kinds;
use crate::target::Target;
use crate::targets::secret;

/// The longest name of a stream or an exchange. RabbitMQ allows 255 bytes, and the connector appends to it.
const NAME_LENGTH_MAX: usize = 200;

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: Mode,
    /// `rabbitmq-stream://user@host:5552/virtual-host` or `amqp://user@host:5672/virtual-host`.
    url: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    /// The stream, to which only this connector writes; with `mode = "stream"`.
    stream: Option<String>,
    /// The exchange; with `mode = "exchange"`.
    exchange: Option<String>,
    /// The kinds of events that are sent; by default all.
    #[serde(default)]
    kinds: Kinds,
}

/// What the events are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Stream,
    Exchange,
}

/// What both modes use of the settings.
#[derive(Debug)]
struct Common {
    address: Address,
    password: Secret,
    name: String,
    kinds: Kinds,
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Settings { mode, url, password_file, password_env, stream, exchange, kinds } = settings;
    let (scheme, port) = match mode {
        Mode::Stream => ("rabbitmq-stream", 5552),
        Mode::Exchange => ("amqp", 5672),
    };
    let address = Address::parse(&url, scheme, port)?;
    let name = match (mode, stream, exchange) {
        (Mode::Stream, Some(name), None) | (Mode::Exchange, None, Some(name)) => name,
        (Mode::Stream, ..) => return Err("expected `stream`, and no `exchange`, with the mode `stream`".to_owned()),
        (Mode::Exchange, ..) => {
            return Err("expected `exchange`, and no `stream`, with the mode `exchange`".to_owned());
        }
    };
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(fits) || name.starts_with("amq.") {
        return Err(format!(
            "found the stream or exchange `{name}`, expected 1 to {NAME_LENGTH_MAX} letters, digits, `-`, `_` and `.` that do not begin with `amq.`"
        ));
    }
    kinds.check()?;
    let password = secret(password_file.as_deref(), password_env.as_deref(), "password")?;
    let password = password.ok_or("found no password, expected `password_file` or `password_env`")?;
    let common = Common { address, password, name, kinds };
    Ok(match mode {
        Mode::Stream => stream::make(common),
        Mode::Exchange => exchange::make(common),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let make = |text: &str| make(toml::from_str(text).expect("a table"));
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("password");
        std::fs::write(&file, "secret").expect("a file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
        let password = format!("password_file = {file:?}");
        let stream = "mode = \"stream\"\nurl = \"rabbitmq-stream://u@h\"";
        assert!(make(&format!("{stream}\nstream = \"events\"\n{password}")).is_ok());
        for (text, expected) in [
            (format!("{stream}\nstream = \"events\""), "found no password"),
            (format!("{stream}\nstream = \"a b\"\n{password}"), "found the stream or exchange `a b`"),
            (format!("{stream}\nstream = \"amq.topic\"\n{password}"), "found the stream or exchange `amq.topic`"),
            (format!("{stream}\nstream = \"a\"\nkinds = []\n{password}"), "found no kind"),
            (format!("{stream}\nexchange = \"b\""), "expected `stream`, and no `exchange`"),
            (format!("{stream}\nqueue = \"b\""), "unknown field `queue`"),
            (
                "mode = \"exchange\"\nurl = \"rabbitmq-stream://u@h\"\nexchange = \"a\"".to_owned(),
                "expected amqp://user@host:port/virtual-host",
            ),
            ("mode = \"queue\"\nurl = \"\"\nstream = \"a\"".to_owned(), "expected `stream` or `exchange`"),
        ] {
            let error = make(&text).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
