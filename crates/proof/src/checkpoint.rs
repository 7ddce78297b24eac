//! Checkpoints (C2SP tlog-checkpoint): the size and root of a log, as the text of a signed note.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::key::{SigningKey, VerifierKey};
use crate::note::{Note, NoteError};

/// The number of entries in a log, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root over the leaves.
    pub root: Hash,
    /// Lines that other implementations may add. This release writes none.
    pub extensions: Vec<String>,
}

/// A checkpoint as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The parsed text of the note.
    pub checkpoint: Checkpoint,
    pub note: Note,
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not a note that the key signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note does not have the form of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// The checkpoint and the key belong to different logs.
    #[error("the checkpoint is of {found}, but the key is for {expected}")]
    OtherLog {
        /// The log that the checkpoint names.
        found: String,
        /// The log that the key names.
        expected: String,
    },
}

impl Checkpoint {
    /// Signs the checkpoint with all of these keys.
    ///
    /// # Panics
    /// If the origin is not a valid key name.
    pub fn sign(self, keys: &[&SigningKey]) -> SignedCheckpoint {
        let mut note = Note::new(&self.to_string()).expect("PRF-3: an origin is a valid key name");
        for key in keys {
            key.sign(&mut note);
        }
        SignedCheckpoint { checkpoint: self, note }
    }
}

impl SignedCheckpoint {
    /// Parses a signed note and verifies it with `key`, the key of the log that the note names. Other signatures are
    /// ignored.
    ///
    /// # Errors
    /// Fails if the text is not a note, not a checkpoint, or not signed by this key.
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

/// Parses the text without verifying any signature.
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
        let text = text.strip_suffix('\n').ok_or(malformed("the last line does not end with a newline"))?;
        let mut lines = text.split('\n');
        let origin =
            lines.next().filter(|origin| !origin.is_empty()).ok_or(malformed("the first line is not an origin"))?;
        let size = lines.next().filter(|size| *size == "0" || !size.starts_with(['0', '+']));
        let size =
            size.and_then(|size| size.parse().ok()).ok_or(malformed("the second line is not a number of entries"))?;
        let root = lines.next().and_then(|root| STANDARD.decode(root).ok()).and_then(|root| root.try_into().ok());
        let root = root.ok_or(malformed("the third line is not a hash of 32 bytes in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("a line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}
