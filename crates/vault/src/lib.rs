//! Keys, tokens and sealing, which keep personal data out of the journal.
//!
//! The core and the journal see entity values only as [`types::Token`]s and personal attributes only as
//! [`types::Sealed`]. Both are made here, at the edge, with keys that can be erased: [`Vault::erase`] unlinks the
//! tokens of a person and makes what was sealed for that person unreadable, while every entry stays as it was written.
//!
//! [`Vault`] is a state machine over bytes. The caller provides the root key, the bytes of the key store's file and
//! randomness, and saves the bytes that the vault returns. The `log` module documents the layout of the file, the
//! `secret` module the tree of keys.
//!
//! Erasing does not reach older copies of the file (backups, file system snapshots), which stay readable until they or
//! the root key are destroyed, nor memory pages that the operating system swapped out. Erased keys are overwritten in
//! memory, as far as that is possible without unsafe code. The length of sealed data is not hidden.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

pub mod base64url;

mod api_key;
mod cipher;
mod keys;
mod log;
mod secret;
mod section;
mod vault;

#[cfg(test)]
#[expect(clippy::integer_division, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;

pub use api_key::{ApiKey, ApiKeyParseError, KeyTenant};
pub use keys::Keys;
pub use log::Error;
pub use secret::RootKey;
pub use section::{OpenedPart, PARTS_MAX, Part};
pub use vault::{Full, UnsealError, Vault};

/// A source of randomness. Any `FnMut(&mut [u8])` is one.
///
/// It must be unpredictable, like the operating system's generator, and cannot fail: a caller that gets no randomness
/// must stop the process rather than hand out guessable keys.
pub trait Random {
    /// Overwrites all of `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
