//! Signed notes (C2SP signed-note): a text, an empty line, and one line per signature.
//!
//! Signatures by unknown keys are kept unchanged, because witnesses add their signatures to a signed note.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::VerifierKey;

/// The largest note that is accepted, in bytes.
const NOTE_BYTES_MAX: usize = 1 << 20;
/// The most signatures that are accepted in a note.
const SIGNATURES_MAX: usize = 100;
const MARK: &str = "\u{2014} ";

/// A text and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The id that distinguishes keys of the same name.
    pub key_id: u32,
    /// The signature, whose format depends on the type of the key. It is 64 bytes long for Ed25519.
    pub bytes: Vec<u8>,
}

/// Why a text is not a note that a key signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text does not have the form of a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// There is no signature by the key.
    #[error("the note is not signed by {0}")]
    NotSignedBy(String),
    /// The key's signature is invalid for this text.
    #[error("the signature of {0} does not match the text")]
    Wrong(String),
}

impl Note {
    /// Creates a note without signatures. The text must be one or more lines, each ending with a newline; otherwise
    /// this returns `None`.
    pub fn new(text: &str) -> Option<Self> {
        let printable = !text.chars().any(|char| char.is_control() && char != '\n');
        let fits = text.ends_with('\n') && printable && text.len() <= NOTE_BYTES_MAX;
        fits.then(|| Self { text: text.to_owned(), signatures: Vec::new() })
    }

    pub fn add(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// The signed text, including its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Returns the text if this key signed it.
    ///
    /// # Errors
    /// Fails if there is no signature by this key, or if the signature is invalid.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut of_key =
            self.signatures.iter().filter(|one| one.name == key.name() && one.key_id == key.id()).peekable();
        if of_key.peek().is_none() {
            return Err(NoteError::NotSignedBy(key.name().to_owned()));
        }
        if of_key.all(|signature| key.verifies(self.text.as_bytes(), &signature.bytes)) {
            Ok(&self.text)
        } else {
            Err(NoteError::Wrong(key.name().to_owned()))
        }
    }
}

/// Splits a text into its notes. Each note must be followed by an empty line.
pub fn notes_of(text: &str) -> impl Iterator<Item = String> {
    // A note itself contains one empty line, before its signatures.
    let parts: Vec<&str> = text.split_inclusive("\n\n").collect();
    let notes: Vec<String> = parts.chunks(2).map(|note| format!("{}\n", note.concat().trim_end())).collect();
    notes.into_iter()
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, key_id, bytes } in &self.signatures {
            let signature = [&key_id.to_be_bytes(), bytes.as_slice()].concat();
            writeln!(f, "{MARK}{name} {}", STANDARD.encode(signature))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is larger than 1 MiB"));
        }
        // Split at the last empty line, because the text may contain others.
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed("there is no empty line before the signatures"))?;
        let (text, lines) = note.split_at(split + 1);
        let mut read = Self::new(text).ok_or(NoteError::Malformed("the text contains control characters"))?;
        let lines = lines.get(1..).and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Malformed("the last line does not end with a newline"))?;
        for line in lines.split('\n') {
            let signature = parse_signature(line).ok_or(NoteError::Malformed("a signature line is malformed"))?;
            read.signatures.push(signature);
            if read.signatures.len() > SIGNATURES_MAX {
                return Err(NoteError::Malformed("it has more than 100 signatures"));
            }
        }
        Ok(read)
    }
}

fn parse_signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(MARK)?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = decoded.split_first_chunk::<4>()?;
    let fits = crate::key::is_name(name) && !bytes.is_empty();
    fits.then(|| Signature { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
}
