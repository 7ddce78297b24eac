//! How far a copy has come.

use proof::Hash;
use types::{Origin, Seq};

use crate::target::Fault;

/// How far a target's copy has come. The target keeps it in the same atomic unit as the rows, so the two always agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The origin of the history that the last entry belongs to; `None` before the first entry.
    pub origin: Option<Origin>,
    /// The last entry whose effects are in the target.
    pub position: Seq,
    /// The root of the Merkle tree over all entries up to that one. Two journals with the same root have the same entries.
    pub root: Hash,
    /// While the rows of an import are being opened: the last staged entry whose row is in the target. The entry after `position` opens
    /// the import.
    pub opening: Option<Seq>,
}

impl Cursor {
    /// The cursor of an empty copy.
    pub fn start() -> Self {
        Self { origin: None, position: Seq::ZERO, root: proof::root_of_nothing(), opening: None }
    }

    /// The origin as a text, which is empty if there is none.
    pub fn origin_text(&self) -> String {
        self.origin.map_or_else(String::new, |origin| origin.to_string())
    }

    /// The origin with this text.
    ///
    /// # Errors
    /// When it is not the text of an origin.
    pub fn origin_of(text: &str) -> Result<Option<Origin>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_unparsed| Fault::Contradicts(format!("`{text}` is not the origin of a history")))
    }
}
