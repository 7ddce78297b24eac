//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with the nonce before and the tag after the ciphertext.
//!
//! The vault uses this cipher for its long nonce: 192 random bits can be drawn for every message without counting
//! messages.

//!
//! The library has ChaCha20-Poly1305 (RFC 8439), whose key is here HChaCha20 of the key and the first 16 bytes of the nonce; its own
//! nonce is four zeros and the last 8 bytes. It seals several times as fast as the library that has the long nonce.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use chacha20::{R20, hchacha};

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
    let (key, nonce) = inner(key, nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(context), body)
        .expect("a plaintext in memory is below the cipher's limit of 256 GiB");
    into.extend_from_slice(tag.as_ref());
}

/// Returns the plaintext, or `None` if key, context or bytes are not those of [`seal`].
pub(crate) fn open(key: &Secret, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    open_after(key, nonce, context, rest)
}

/// Returns the plaintext of what [`seal_into`] appended, or `None` if key, nonce, context or bytes differ.
pub(crate) fn open_after(key: &Secret, nonce: &[u8; NONCE_BYTES], context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut plaintext = sealed.to_vec();
    let (key, nonce) = inner(key, nonce);
    let opened = key.open_in_place(nonce, Aad::from(context), &mut plaintext).ok()?.len();
    plaintext.truncate(opened);
    Some(plaintext)
}

/// Key and nonce of the inner cipher.
fn inner(key: &Secret, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (head, tail) = nonce.split_first_chunk::<16>().expect("a nonce has 24 bytes");
    let subkey = Secret::new(hchacha::<R20>(&(*key.as_bytes()).into(), &(*head).into()).into());
    let mut short = [0; NONCE_LEN];
    short.iter_mut().rev().zip(tail.iter().rev()).for_each(|(place, byte)| *place = *byte);
    let key = UnboundKey::new(&CHACHA20_POLY1305, subkey.as_bytes()).expect("the key has the length of the cipher");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_cipher_is_xchacha20_poly1305(key: [u8; 32], nonce: [u8; NONCE_BYTES], context: Vec<u8>, text: Vec<u8>) {
            let mut expected = text.clone();
            let other = XChaCha20Poly1305::new(&key.into());
            let tag = other.encrypt_inout_detached(&nonce.into(), &context, expected.as_mut_slice().into());
            expected.splice(0..0, nonce);
            expected.extend_from_slice(&tag.expect("a short text"));
            let key = Secret::new(key);
            prop_assert_eq!(seal(&key, &nonce, &context, &text), expected.clone());
            prop_assert_eq!(open(&key, &context, &expected), Some(text));
        }
    }
}
