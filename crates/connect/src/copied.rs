//! How far a copy has come, as targets that keep events say it in their own messages.

use serde::{Deserialize, Serialize};
use types::Seq;

use crate::cursor::Cursor;
use crate::source::{hex, unhex};
use crate::target::Fault;

/// The header with the sequence of the entry.
pub(crate) const SEQUENCE: &str = "finaira-sequence";
/// The header with a [`Copied`] in JSON, and with what the target adds to it.
pub(crate) const COPY: &str = "finaira-copy";
/// The version of headers, keys and names.
const VERSION: u32 = 1;

/// How far a copy had come when a message was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copied {
    version: u32,
    /// Every event up to this entry had been acknowledged.
    pub(crate) position: u64,
    /// The Merkle root of the entries up to that one, in hexadecimal.
    root: String,
    /// The origin of the history of that entry.
    origin: String,
}

impl Copied {
    pub(crate) fn new(acknowledged: &Cursor) -> Self {
        Self {
            version: VERSION,
            position: acknowledged.position.get(),
            root: hex(&acknowledged.root),
            origin: acknowledged.origin_text(),
        }
    }

    pub(crate) fn cursor(&self) -> Result<Cursor, Fault> {
        let root =
            unhex(&self.root).ok_or_else(|| Fault::Contradicts(format!("`{}` is not a Merkle root", self.root)))?;
        let origin = Cursor::origin_of(&self.origin)?;
        // The connector opens no imports for targets that keep events.
        Ok(Cursor { origin, position: Seq::new(self.position), root, opening: None })
    }

    /// Refuses what another release wrote in a way that this one does not know. `place` says where, for example a topic.
    pub(crate) fn check_version(&self, place: &str) -> Result<(), Fault> {
        if self.version == VERSION {
            return Ok(());
        }
        let found = self.version;
        Err(Fault::Refused(format!(
            "{place} has version {found}, and this release writes version {VERSION}; name another one"
        )))
    }

    #[cfg(test)]
    pub(crate) fn of_version(self, version: u32) -> Self {
        Self { version, ..self }
    }
}

/// Who sent a message. Each connector that opens the target is greater than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Writer {
    pub(crate) number: u64,
    /// Random, so that two connectors which open the target at the same moment differ.
    pub(crate) chance: u32,
}

impl Writer {
    /// A writer that is greater than all earlier ones; `earlier` is the highest number among them.
    pub(crate) fn after(earlier: u64) -> Self {
        Self { number: earlier.saturating_add(1), chance: chance() }
    }
}

/// A random number.
pub(crate) fn chance() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    // Only the lower half is used.
    u32::try_from(RandomState::new().hash_one(()) & u64::from(u32::MAX)).unwrap_or_default()
}

/// A message that a connector wrote, as far as another connector needs it.
#[derive(Debug, Clone)]
pub(crate) struct Found<M> {
    /// The entry.
    pub(crate) seq: Seq,
    /// The origin of the history of the entry.
    pub(crate) source: String,
    /// What the header [`COPY`] says.
    pub(crate) mark: M,
}

/// The only member of an event that a connector reads.
#[derive(Deserialize)]
struct Sourced {
    source: String,
}

impl<M: for<'de> Deserialize<'de>> Found<M> {
    /// Reads a message. `header` returns the value of a header that is a text.
    ///
    /// # Errors
    /// What shows that no connector wrote the message.
    pub(crate) fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, payload: &[u8]) -> Result<Self, String> {
        let sequence = header(SEQUENCE).ok_or("it has no header `finaira-sequence`")?;
        let seq = sequence.parse().map(Seq::new);
        let seq = seq.map_err(|_malformed| "its header `finaira-sequence` is not a number")?;
        let mark = header(COPY).ok_or("it has no header `finaira-copy`")?;
        let mark = serde_json::from_str(mark).map_err(|error| format!("its header `finaira-copy`: {error}"))?;
        let event: Sourced = serde_json::from_slice(payload).map_err(|error| format!("its value: {error}"))?;
        Ok(Self { seq, source: event.source, mark })
    }
}

#[cfg(test)]
mod tests {
    use types::Origin;

    use super::*;

    #[test]
    fn what_was_copied_is_read_as_it_was_written() {
        let cursor = Cursor { origin: Some(Origin::new(9)), position: Seq::new(12), root: [7; 32], opening: None };
        let copied = Copied::new(&cursor);
        assert_eq!(copied.cursor().expect("a cursor"), cursor);
        assert_eq!(copied.check_version("the topic `a`"), Ok(()));
        let fault = copied.of_version(2).check_version("the topic `a`").expect_err("another version");
        assert!(
            fault.to_string().contains("the topic `a` has version 2, and this release writes version 1"),
            "{fault}"
        );
    }

    #[test]
    fn later_writers_are_greater() {
        let of = |number, chance| Writer { number, chance };
        assert!(of(2, 0) > of(1, 9) && of(2, 5) > of(2, 4));
        assert_eq!(Writer::after(4).number, 5);
    }
}
