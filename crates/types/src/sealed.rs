//! Encrypted personal data, as an entry carries it.

use crate::KeyId;

/// The encrypted part of an entry, which carries personal data. Erasing its key makes it unreadable forever; the entry
/// and everything that was computed from it stay unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The one key in the key store that decrypts the ciphertext: the subject's or the tenant's. The plaintext may hold
    /// values that are sealed again with keys of their own, which the plaintext names. A payment seals each value of a
    /// personal entity this way.
    pub keys: Vec<KeyId>,
    /// Nonce, ciphertext and authentication tag.
    pub ciphertext: Box<[u8]>,
}
