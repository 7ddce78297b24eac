//! Keys, tokens, sealing: what keeps personal data out of the journal.
//!
//! The core and the journal see entity values only as [`types::Token`]s and personal attributes only as
//! [`types::Sealed`]. Both are made here, at the edge, with keys that can be forgotten: [`Vault::erase`] unlinks the
//! tokens of a person and turns what was sealed for them into noise, while every entry stays as it was written.
//!
//! [`Vault`] is a state machine over bytes. The caller brings the root key, the bytes of the key store's file and
//! randomness, and saves the bytes it is handed. The file's layout is in the documentation of the `log` module, the
//! tree of keys in that of the `secret` module.
//!
//! What erasing cannot reach: older copies of the file (backups, file system snapshots) until they are gone or the root
//! key is, and pages of memory that the operating system wrote out. Keys are overwritten in memory when they are
//! forgotten, as far as that is possible without unsafe code. The length of what was sealed is not hidden.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

pub mod base64url;

mod api_key;
mod cipher;
mod keys;
mod log;
mod secret;
mod vault;

#[cfg(test)]
#[expect(clippy::integer_division, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;

pub use api_key::{ApiKey, ApiKeyParseError};
pub use keys::Keys;
pub use log::Error;
pub use secret::RootKey;
pub use vault::{Full, UnsealError, Vault};

/// Where randomness comes from. Any `FnMut(&mut [u8])` is one.
///
/// It must be unpredictable (the operating system's generator) and cannot fail: a caller that gets no randomness
/// stops the process rather than hand out guessable keys.
pub trait Random {
    /// Overwrites all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
