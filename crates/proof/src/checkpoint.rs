//! Checkpoints, C2SP tlog-checkpoint: what a log says it holds, in the text of a signed note.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::key::{SigningKey, VerifierKey};
use crate::note::{Note, NoteError};

/// How many entries a log has, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Lines that others may add; this release writes none.
    pub extensions: Vec<String>,
}

/// A checkpoint as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What the note says.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: Note,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its form.
    #[error("this is no checkpoint: {0}")]
    Malformed(&'static str),
    /// It is of another log than the key.
    #[error("the checkpoint is of {found}, the key of {expected}")]
    OtherLog {
        /// What the checkpoint names.
        found: String,
        /// What the key names.
        expected: String,
    },
}

impl Checkpoint {
    /// Signs it.
    ///
    /// # Panics
    /// When the origin is not the name of a key.
    pub fn sign(self, keys: &[&SigningKey]) -> SignedCheckpoint {
        let mut note = Note::new(&self.to_string()).expect("PRF-3: an origin is the name of a key");
        for key in keys {
            key.sign(&mut note);
        }
        SignedCheckpoint { checkpoint: self, note }
    }
}

impl SignedCheckpoint {
    /// Reads a signed note that `key` signed, as the key of the log that it names. Other signatures are not looked at.
    ///
    /// # Errors
    /// When it is no note, no checkpoint, or not signed by this key.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let read: Self = note.parse()?;
        read.note.verify(key)?;
        if read.checkpoint.origin != key.name() {
            let (found, expected) = (read.checkpoint.origin, key.name().to_owned());
            return Err(CheckpointError::OtherLog { found, expected });
        }
        Ok(read)
    }
}

/// Reads it without looking at any signature.
impl FromStr for SignedCheckpoint {
    type Err = CheckpointError;

    fn from_str(note: &str) -> Result<Self, CheckpointError> {
        let note: Note = note.parse()?;
        Ok(Self { checkpoint: note.text().parse()?, note })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or(malformed("the last line has no end"))?;
        let mut lines = text.split('\n');
        let origin =
            lines.next().filter(|origin| !origin.is_empty()).ok_or(malformed("the first line is no origin"))?;
        let size = lines.next().filter(|size| *size == "0" || !size.starts_with(['0', '+']));
        let size =
            size.and_then(|size| size.parse().ok()).ok_or(malformed("the second line is no number of entries"))?;
        let root = lines.next().and_then(|root| STANDARD.decode(root).ok()).and_then(|root| root.try_into().ok());
        let root = root.ok_or(malformed("the third line is no hash of 32 bytes in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("a line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}
