//! XChaCha20-Poly1305 with the nonce before and the tag after the ciphertext.
//!
//! The vault uses this cipher for its long nonce: 192 random bits can be drawn for every message without counting
//! messages.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::secret::Secret;

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;

/// Returns nonce, ciphertext and tag. `context` is authenticated but not stored.
pub(crate) fn seal(key: &Secret, nonce: &[u8; NONCE_BYTES], context: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(NONCE_BYTES + TAG_BYTES));
    sealed.extend_from_slice(nonce);
    seal_into(key, nonce, context, plaintext, &mut sealed);
    sealed
}

/// Appends ciphertext and tag.
pub(crate) fn seal_into(key: &Secret, nonce: &[u8; NONCE_BYTES], context: &[u8], plaintext: &[u8], into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(plaintext);
    let (_, body) = into.split_at_mut(start);
    let tag = cipher(key)
        .encrypt_inout_detached(&XNonce::from(*nonce), context, body.into())
        .expect("a plaintext in memory is below the cipher's limit of 256 GiB");
    into.extend_from_slice(&tag);
}

/// Returns the plaintext, or `None` if key, context or bytes are not those of [`seal`].
pub(crate) fn open(key: &Secret, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    open_after(key, nonce, context, rest)
}

/// Returns the plaintext of what [`seal_into`] appended, or `None` if key, nonce, context or bytes differ.
pub(crate) fn open_after(key: &Secret, nonce: &[u8; NONCE_BYTES], context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
    let mut plaintext = ciphertext.to_vec();
    let (nonce, tag) = (XNonce::from(*nonce), (*tag).into());
    cipher(key).decrypt_inout_detached(&nonce, context, plaintext.as_mut_slice().into(), &tag).ok()?;
    Some(plaintext)
}

fn cipher(key: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&(*key.as_bytes()).into())
}
