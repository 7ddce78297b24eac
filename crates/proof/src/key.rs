//! The Ed25519 keys that sign notes: C2SP signed-note, type 1.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::note::{Note, Signature};

/// The byte before the key that identifies its type.
const ED25519: u8 = 1;

/// A key that signs under a name.
pub struct SigningKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

/// A key that verifies the signatures of a [`SigningKey`]. Its text form is a *vkey*, `<name>+<key id>+<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

/// Why a text is not a vkey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text does not have the form of a vkey.
    #[error("not a verifier key; expected <name>+<8 hex digits>+<base64 of 33 bytes>")]
    Malformed,
    /// The type of the key is not supported.
    #[error("keys of type {0} are not supported, only Ed25519 (type 1)")]
    Kind(u8),
    /// The id does not match the name and the key.
    #[error("the key id is {found:08x}, but the name and the key give {expected:08x}")]
    Id {
        /// The id in the text.
        found: u32,
        /// The id that follows from the name and the key.
        expected: u32,
    },
}

/// Whether `name` is a valid key name: not empty, and without white space, control characters and `+`.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|char: char| char.is_whitespace() || char == '+' || char.is_control())
}

impl SigningKey {
    /// The length of a seed, in bytes.
    pub const SEED_BYTES: usize = 32;

    /// Derives the key from a seed of 32 random bytes. Returns `None` if the name is not valid.
    pub fn new(name: &str, seed: &[u8; Self::SEED_BYTES]) -> Option<Self> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey { name: name.to_owned(), key: key.verifying_key() };
        is_name(name).then_some(Self { verifier, key })
    }

    /// The key that verifies signatures of this key.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The secret seed that the key is derived from.
    pub fn seed(&self) -> &[u8; Self::SEED_BYTES] {
        self.key.as_bytes()
    }

    /// Adds a signature of this key to a note.
    pub fn sign(&self, note: &mut Note) {
        let bytes = self.key.sign(note.text().as_bytes()).to_bytes().to_vec();
        note.add(Signature { name: self.verifier.name.clone(), key_id: self.verifier.id(), bytes });
    }
}

/// Shows nothing secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("verifier", &self.verifier.to_string()).finish_non_exhaustive()
    }
}

impl VerifierKey {
    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that distinguishes keys of the same name.
    pub fn id(&self) -> u32 {
        let mut hash = Sha256::new();
        hash.update(&self.name);
        hash.update([b'\n', ED25519]);
        hash.update(self.key.as_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The raw public key.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519][..], self.key.as_bytes()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        let found = Some(id).filter(|id| id.len() == 8).and_then(|id| u32::from_str_radix(id, 16).ok());
        let (Some(found), true) = (found, is_name(name)) else { return Err(KeyError::Malformed) };
        let decoded = STANDARD.decode(key).map_err(|_undecodable| KeyError::Malformed)?;
        let (kind, key) = decoded.split_first().ok_or(KeyError::Malformed)?;
        if *kind != ED25519 {
            return Err(KeyError::Kind(*kind));
        }
        let key: &[u8; 32] = key.try_into().map_err(|_other_length| KeyError::Malformed)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_no_point| KeyError::Malformed)?;
        let read = Self { name: name.to_owned(), key };
        if read.id() == found { Ok(read) } else { Err(KeyError::Id { found, expected: read.id() }) }
    }
}
