use crate::KeyId;

/// What only holders of a key can read: the part of an entry that carries personal data. Erasing the key makes it
/// noise; the entry and everything that was computed from it stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The keys of the key store that open the ciphertext, all of them needed.
    pub keys: Vec<KeyId>,
    /// Nonce, ciphertext and authentication tag.
    pub ciphertext: Box<[u8]>,
}
