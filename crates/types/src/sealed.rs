//! Encrypted personal data, as an entry carries it.

use crate::KeyId;

/// What only holders of a key can read: the part of an entry that carries personal data. Erasing the key makes it
/// noise; the entry and everything that was computed from it stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The one key of the key store that opens the ciphertext: of the subject, or of the tenant. What is inside may be
    /// sealed again with keys of its own, which are named there: a payment seals each value of a personal entity so.
    pub keys: Vec<KeyId>,
    /// Nonce, ciphertext and authentication tag.
    pub ciphertext: Box<[u8]>,
}
