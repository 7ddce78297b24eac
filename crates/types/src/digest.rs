//! Digests of 32 bytes, and the builder that hashes pieces without ambiguity.

use std::fmt;
use std::str::FromStr;

use crate::shown::shorten;

/// A 32-byte hash. Artifacts, folded state and canonical requests are hashed with BLAKE3, Merkle trees with SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes `bytes` with BLAKE3.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 bytes as a big-endian number, for ids that are derived from content.
    pub fn head_u128(&self) -> u128 {
        self.0.iter().take(16).fold(0, |head, &byte| (head << 8_u32) | u128::from(byte))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The string is not a valid [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: it must have 64 hexadecimal digits")]
pub struct DigestParseError(String);

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || DigestParseError(shorten(text));
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(malformed)?;
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |value, digit| (value << 4_u32) | digit);
        }
        Ok(Self(bytes))
    }
}

/// Builds a [`Digest`] from pieces. A variable-length piece is preceded by its length, so that moving bytes from one
/// piece to the next changes the digest.
#[derive(Debug, Clone)]
pub struct DigestBuilder {
    /// `None` if what is added is discarded.
    hasher: Option<blake3::Hasher>,
    /// Collects small pieces, because BLAKE3 is fast only on long inputs.
    pending: Vec<u8>,
}

impl DigestBuilder {
    const PENDING_BYTES_FULL: usize = 16 * 1024;

    /// Starts the digest of one kind of value. `context` is a fixed text that no other kind uses.
    pub fn new(context: &'static str) -> Self {
        Self { hasher: Some(blake3::Hasher::new_derive_key(context)), pending: Vec::new() }
    }

    /// A builder that discards what is added, for a state of which nobody needs the digest.
    pub const fn discarding() -> Self {
        Self { hasher: None, pending: Vec::new() }
    }

    pub const fn is_discarding(&self) -> bool {
        self.hasher.is_none()
    }

    /// Adds `value` as 8 little-endian bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Adds `value` as 16 little-endian bytes.
    pub fn u128(&mut self, value: u128) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Adds `value` as 16 little-endian bytes.
    pub fn i128(&mut self, value: i128) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Adds the length of `value`, then `value` itself.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64).raw(value)
    }

    /// Returns the digest of everything added so far. More can be added afterwards.
    ///
    /// # Panics
    /// If what was added was discarded.
    pub fn digest(&self) -> Digest {
        let mut hasher = self.hasher.clone().expect("a builder that discards what is added has no digest");
        Digest(*hasher.update(&self.pending).finalize().as_bytes())
    }

    fn raw(&mut self, value: &[u8]) -> &mut Self {
        let Some(hasher) = &mut self.hasher else { return self };
        self.pending.extend_from_slice(value);
        if self.pending.len() >= Self::PENDING_BYTES_FULL {
            hasher.update(&self.pending);
            self.pending.clear();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_as_it_is_written() {
        let digest = Digest::of(b"finaira");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn collecting_pieces_changes_no_digest() {
        let mut builder = DigestBuilder::new("finaira test");
        let mut reference = blake3::Hasher::new_derive_key("finaira test");
        for piece in 0..10_000_u64 {
            builder.u64(piece);
            reference.update(&piece.to_le_bytes());
        }
        assert_eq!(builder.digest().as_bytes(), reference.finalize().as_bytes());
        assert_eq!(builder.u64(1).digest().as_bytes(), reference.update(&1_u64.to_le_bytes()).finalize().as_bytes());
    }

    #[test]
    fn pieces_do_not_run_into_each_other() {
        let of = |pieces: [&[u8]; 2]| {
            let mut builder = DigestBuilder::new("finaira test");
            pieces.iter().for_each(|piece| {
                builder.bytes(piece);
            });
            builder.digest()
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
    }
}
