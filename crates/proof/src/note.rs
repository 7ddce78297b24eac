//! Signed notes, C2SP signed-note: a text, an empty line, and one line for each signature.
//!
//! Signatures of keys that a reader does not know are kept as they are: witnesses add theirs to a note that is signed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::VerifierKey;

/// The largest note that is read, in bytes.
const NOTE_BYTES_MAX: usize = 1 << 20;
/// More signatures than any note has use for.
const SIGNATURES_MAX: usize = 100;
const MARK: &str = "\u{2014} ";

/// A text and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who signed.
    pub name: String,
    /// With which key of that name.
    pub key_id: u32,
    /// What the kind of key makes; 64 bytes for Ed25519.
    pub bytes: Vec<u8>,
}

/// Why something is no signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Its form.
    #[error("this is no signed note: {0}")]
    Malformed(&'static str),
    /// No signature is of the key.
    #[error("the note is not signed by {0}")]
    NotSignedBy(String),
    /// The signature of the key is not one of this text.
    #[error("the signature of {0} does not fit the text")]
    Wrong(String),
}

impl Note {
    /// A note without signatures. The text is one or more lines, each ended; `None` for anything else.
    pub fn new(text: &str) -> Option<Self> {
        let printable = !text.chars().any(|char| char.is_control() && char != '\n');
        let fits = text.ends_with('\n') && printable && text.len() <= NOTE_BYTES_MAX;
        fits.then(|| Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Adds a signature.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// What is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The text, when this key signed it.
    ///
    /// # Errors
    /// When it did not, or signed something else.
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

/// The notes of a text in which each is followed by an empty line.
pub fn notes_of(text: &str) -> impl Iterator<Item = String> {
    // One empty line stands inside a note, before its signatures.
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
        // The last empty line: the text may hold others.
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line stands before the signatures"))?;
        let (text, lines) = note.split_at(split + 1);
        let mut read = Self::new(text).ok_or(NoteError::Malformed("the text holds control characters"))?;
        let lines = lines.get(1..).and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Malformed("the last line has no end"))?;
        for line in lines.split('\n') {
            let signature = parse_signature(line).ok_or(NoteError::Malformed("a signature line has another form"))?;
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
