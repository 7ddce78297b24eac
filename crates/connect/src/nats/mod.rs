//! NATS JetStream: a stream with one CloudEvent for each entry.
//!
//! The stream is its own cursor. Each message says in a header up to which entry everything had been acknowledged when it was sent, and in
//! another one its own sequence. A connector that opens the stream reads the last message, and sends what is missing.
//!
//! Why every event is there exactly once, and why there is only one writer: a stream numbers its messages, and each message names the
//! number of the one before it (`Nats-Expected-Last-Sequence`). The server stores it only if that one is still the last. So messages are
//! stored in the order in which they were sent, without gaps, and never twice; one that arrives late, after another connector wrote, is not stored. A
//! connector that opens the stream writes a *takeover*, a message on a subject beside those of the events. From then on, what earlier
//! connectors send is not stored.

mod link;
mod mark;

use std::path::PathBuf;

use datadir::Secret;
use engine::Entry;
use serde::Deserialize;
use types::Seq;

use self::link::{Link, Tail};
use self::mark::Mark;
use crate::batch::Batch;
use crate::copied::Writer;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::events::{CloudEvent, event_id, subject};
use crate::outgoing::{Kinds, Outgoing, outgoing};
use crate::runtime::Blocking;
use crate::target::{Counts, EachEvent, Fault, Needs, Target, Wanted};
use crate::targets::secret;

/// The longest name of a stream, and the longest prefix of subjects.
const NAME_LENGTH_MAX: usize = 200;
/// The most copies that NATS keeps of a stream.
const REPLICAS_MAX: usize = 5;
/// How often a connector tries to take a stream over to which an earlier one writes meanwhile.
const TAKEOVERS_MAX: u32 = 10;
/// After how many of them it no longer expects a certain last message.
const TAKEOVERS_POLITE: u32 = 2;

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Addresses of servers, `nats://host:port`, separated by commas. They tell the connector about the others of their cluster.
    servers: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    /// The stream, which only this connector writes to.
    stream: String,
    /// What the subjects begin with: `<subject>.<kind>`.
    #[serde(default = "default_subject")]
    subject: String,
    /// The number of copies of the stream if it has to be created.
    #[serde(default = "default_replicas")]
    replicas: usize,
    /// The kinds of events that are sent; by default all.
    #[serde(default)]
    kinds: Kinds,
}

fn default_subject() -> String {
    "finaira".to_owned()
}

const fn default_replicas() -> usize {
    1
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        let servers: Vec<&str> = self.servers.split(',').map(str::trim).collect();
        if let Some(found) = servers.iter().find(|server| !server.starts_with("nats://") || server.contains('@')) {
            // An address with a password must not get into a log.
            let found = found.rsplit('@').next().unwrap_or_default();
            return Err(format!("found the server `{found}`, expected `nats://host:port` without user and password"));
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let is_name = |name: &str| !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(fits);
        if !is_name(&self.stream) {
            return Err(format!(
                "found the stream `{}`, expected 1 to {NAME_LENGTH_MAX} letters, digits, `-` and `_`",
                self.stream
            ));
        }
        if self.subject.len() > NAME_LENGTH_MAX || !self.subject.split('.').all(is_name) {
            return Err(format!(
                "found the subject `{}`, expected letters, digits, `-` and `_`, in parts that are separated by `.`, {NAME_LENGTH_MAX} at most",
                self.subject
            ));
        }
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            return Err(format!("found `replicas` {}, expected 1 to {REPLICAS_MAX}", self.replicas));
        }
        let has_password = self.password_file.is_some() || self.password_env.is_some();
        if self.user.is_some() != has_password {
            return Err("found a user or a password alone, expected both or neither".to_owned());
        }
        self.kinds.check()
    }

    /// The subjects of the stream: that of takeovers, and those of events.
    fn takeovers(&self) -> String {
        format!("{}-takeover", self.subject)
    }

    fn events(&self) -> String {
        format!("{}.*", self.subject)
    }
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    settings.check()?;
    let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
    Ok(Box::new(Nats { settings, password, opened: None }))
}

/// A stream with the events of a journal.
#[derive(Debug)]
struct Nats {
    settings: Settings,
    password: Option<Secret>,
    opened: Option<Opened>,
}

/// A stream that this connector writes to.
#[derive(Debug)]
struct Opened {
    // Dropped first, because its tasks belong to the runtime.
    link: Link,
    blocking: Blocking,
    writer: Writer,
    /// The number of the last message.
    last_message: u64,
    /// The entry of the last event, and the origin of its history. The journal must agree with it.
    last: Seq,
    source: String,
}

impl Opened {
    async fn take_over(settings: &Settings, link: &Link) -> Result<(Tail, Writer, u64), Fault> {
        link.prepare(settings).await?;
        for attempt in 0..TAKEOVERS_MAX {
            if attempt >= TAKEOVERS_POLITE {
                // An earlier connector writes faster than this one reads the last message. This stops it.
                link.interrupt(settings).await?;
            }
            let tail = link.tail(settings).await?.unwrap_or_default();
            let earlier = tail.found.as_ref().map_or(0, |found| found.mark.writer.number);
            let writer = Writer::after(earlier);
            if let Some(message) = link.take_over(settings, &tail, writer).await? {
                return Ok((tail, writer, message));
            }
        }
        Err(Fault::Unreachable(format!("others write to the stream `{}` at the same moment", settings.stream)))
    }

    fn write(&mut self, settings: &Settings, batch: &Batch, before: &Cursor) -> Result<(), Fault> {
        let mark = Mark::new(before, self.writer).text()?;
        let Self { link, blocking, last_message, last, source, writer } = self;
        let sent = blocking.run(async {
            let mut sending = link.sending(*last_message);
            for out in outgoing(batch, before) {
                let Outgoing { seq, item, origin } = out?;
                if seq == *last && *source != origin.to_string() {
                    let what = format!("it holds entry {seq} of the history {source}, expected {origin}");
                    return Err(Fault::Contradicts(what).into());
                }
                if seq <= *last || !settings.kinds.include(&item.entry) {
                    continue;
                }
                let kind = format!("{}.{}", settings.subject, journal::kind_name(&item.entry));
                let payload = CloudEvent::new(item, origin)?.to_json()?;
                let mut headers = mark::headers(seq, &mark);
                if let Some(subject) = subject(&item.entry.fact) {
                    headers.insert(mark::SUBJECT, subject);
                }
                sending.send(seq, kind, headers, &event_id(origin, seq), payload).await?;
            }
            sending.drain().await
        });
        match sent {
            Ok(message) => {
                *last_message = message;
                Ok(())
            }
            Err(link::Failed::Fault(fault)) => Err(fault),
            Err(link::Failed::NotLast) => Err(blocking.run(who_wrote(link, settings, *writer, before))),
        }
    }
}

/// What it means that another message came between those of this connector.
async fn who_wrote(link: &Link, settings: &Settings, own: Writer, before: &Cursor) -> Fault {
    let expected = before.position;
    match link.tail(settings).await {
        Ok(Some(tail)) if tail.is_interrupted => Fault::Fenced,
        Ok(Some(Tail { found: Some(found), .. })) if found.mark.writer > own => Fault::Fenced,
        Ok(Some(Tail { found: Some(found), .. })) => Fault::Moved { found: found.seq, expected },
        Ok(_) => Fault::Moved { found: Seq::ZERO, expected },
        Err(fault) => fault,
    }
}

impl Target for Nats {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.opened = None;
        let blocking = Blocking::new()?;
        let link = blocking.run(Link::connect(&self.settings, self.password.as_ref()))?;
        let (tail, writer, last_message) = blocking.run(Opened::take_over(&self.settings, &link))?;
        let cursor = tail.cursor()?;
        let (last, source) = tail.found.map_or_else(Default::default, |found| (found.seq, found.source));
        self.opened = Some(Opened { link, blocking, writer, last_message, last, source });
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
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn idle(&mut self) -> Result<(), Fault> {
        let Some(Opened { link, blocking, .. }) = &self.opened else { return Ok(()) };
        let result = blocking.run(link.idle());
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn keeps(&self, entry: &Entry) -> bool {
        self.settings.kinds.include(entry)
    }

    fn events(&mut self, each: &mut EachEvent<'_>) -> Result<(), Fault> {
        let blocking = Blocking::new()?;
        let link = blocking.run(Link::connect(&self.settings, self.password.as_ref()))?;
        blocking.run(link.all(&self.settings, each))
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let blocking = Blocking::new()?;
        let link = blocking.run(Link::connect(&self.settings, self.password.as_ref()))?;
        let tail = blocking.run(link.tail(&self.settings))?;
        let found = tail.filter(|tail| tail.found.is_some());
        found.map(|tail| Ok((tail.cursor()?, Counts::default()))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let make = |more: &str| {
            let text = format!("servers = \"nats://h:4222, nats://i:4222\"\nstream = \"events\"\n{more}");
            make(toml::from_str(&text).expect("a table"))
        };
        assert!(make("kinds = [\"payment_decided\"]\nsubject = \"a.b\"\nreplicas = 3").is_ok());
        for (more, expected) in [
            ("replicas = 6", "found `replicas` 6, expected 1 to 5"),
            ("subject = \"a..b\"", "found the subject `a..b`"),
            ("subject = \"a.>\"", "found the subject `a.>`"),
            ("kinds = [\"payments\"]", "found the kind `payments`, expected some of: journal_started"),
            ("user = \"u\"", "found a user or a password alone"),
            ("topic = \"a\"", "unknown field `topic`"),
        ] {
            let error = make(more).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_address_with_a_password_is_not_repeated() {
        let text = "servers = \"nats://u:hidden@h:4222\"\nstream = \"events\"";
        let error = make(toml::from_str(text).expect("a table")).expect_err("a password in the address");
        assert!(error.contains("found the server `h:4222`") && !error.contains("hidden"), "{error}");
    }
}
