//! Sealed sections: several values, of which some belong to persons of their own, sealed together.
//!
//! A section is encrypted with the key of its subject, or with the tenant's key. Inside, a value with an owner is encrypted
//! with the owner's key, so that after an erasure of that key no other key reveals the value. Erasing the subject's key
//! makes the whole section unreadable.
//!
//! The plaintext of the section has these fields for each part, one part after another:
//!
//! | field | encoding |
//! | --- | --- |
//! | label | length (1 byte), bytes |
//! | key | 1 byte: 1 if the value is encrypted with its owner's key, then the id of that key (16 bytes, little-endian); otherwise 0 |
//! | value | length (LEB128), bytes: the value, or its ciphertext and tag |
//!
//! The nonce of the section is stored before its ciphertext. The nonce of the part at position *n*, from 0, is that of the section
//! with *n* + 1 added, by exclusive or, to its last byte: no key encrypts two texts with the same nonce. All parts have the same
//! authenticated context as the section.

use types::{KeyId, Sealed, TenantId};

use crate::cipher::{self, NONCE_BYTES};
use crate::vault::{Full, UnsealError, Vault, in_tenant};
use crate::{Random, secret::Secret};

/// The most parts of a section.
pub const PARTS_MAX: usize = 255;

/// A value to seal in a section.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// By which the reader recognises the value, at most 255 bytes. It is encrypted as well.
    pub label: &'a [u8],
    /// The person that the value belongs to (kind and value), if it needs a key of its own.
    pub owner: Option<(&'a str, &'a str)>,
    pub value: &'a [u8],
}

/// A value of an opened section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedPart {
    pub label: Vec<u8>,
    /// `None` if the key of its owner was erased.
    pub value: Option<Vec<u8>>,
}

impl Vault {
    /// Seals values together: with the key of `subject` (kind and value), or with the tenant's key. Makes keys that do not exist yet.
    ///
    /// # Errors
    /// If the store has no room for another key.
    ///
    /// # Panics
    /// If there are more than [`PARTS_MAX`] parts, or a label is too long.
    pub fn seal_section(
        &mut self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        parts: &[Part<'_>],
        random: &mut dyn Random,
    ) -> Result<Sealed, Full> {
        assert!(
            parts.len() <= PARTS_MAX,
            "VLT-6: a section has at most {PARTS_MAX} parts, so that their nonces differ"
        );
        let (outer, outer_id) = self.seal_key_of(tenant, subject, random)?;
        let context = in_tenant(tenant, context);
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let mut plaintext = Vec::new();
        for (part, number) in parts.iter().zip(1_u8..) {
            plaintext.push(u8::try_from(part.label.len()).expect("VLT-6: a label has at most 255 bytes"));
            plaintext.extend_from_slice(part.label);
            let own = match part.owner.filter(|owner| Some(*owner) != subject) {
                Some(owner) => Some(self.seal_key_of(tenant, Some(owner), random)?),
                None => None,
            };
            match own {
                None => {
                    plaintext.push(0);
                    put_length(part.value.len(), &mut plaintext);
                    plaintext.extend_from_slice(part.value);
                }
                Some((key, id)) => {
                    plaintext.push(1);
                    plaintext.extend_from_slice(&id.get().to_le_bytes());
                    put_length(part.value.len().saturating_add(cipher::TAG_BYTES), &mut plaintext);
                    cipher::seal_into(&key, &nth_nonce(&nonce, number), &context, part.value, &mut plaintext);
                }
            }
        }
        let mut ciphertext = Vec::with_capacity(plaintext.len().saturating_add(NONCE_BYTES + cipher::TAG_BYTES));
        ciphertext.extend_from_slice(&nonce);
        cipher::seal_into(&outer, &nonce, &context, &plaintext, &mut ciphertext);
        Ok(Sealed { keys: vec![outer_id], ciphertext: ciphertext.into() })
    }

    /// Opens what [`Vault::seal_section`] sealed for `tenant` in `context`.
    ///
    /// # Errors
    /// If the key of the section was erased, or the section or its context differs from what was sealed.
    pub fn unseal_section(
        &self,
        tenant: TenantId,
        context: &[u8],
        sealed: &Sealed,
    ) -> Result<Vec<OpenedPart>, UnsealError> {
        let nonce: [u8; NONCE_BYTES] = *sealed.ciphertext.first_chunk().ok_or(UnsealError::Damaged)?;
        let plaintext = self.unseal(tenant, context, sealed)?;
        let context = in_tenant(tenant, context);
        let (mut rest, mut parts) = (plaintext.as_slice(), Vec::new());
        while !rest.is_empty() {
            let number = u8::try_from(parts.len().saturating_add(1)).or(Err(UnsealError::Damaged))?;
            let part = self.unseal_part(tenant, &context, &nth_nonce(&nonce, number), &mut rest)?;
            parts.push(part);
        }
        Ok(parts)
    }

    fn unseal_part(
        &self,
        tenant: TenantId,
        context: &[u8],
        nonce: &[u8; NONCE_BYTES],
        rest: &mut &[u8],
    ) -> Result<OpenedPart, UnsealError> {
        let read = |rest: &mut &[u8]| -> Option<(Vec<u8>, Option<KeyId>, Vec<u8>)> {
            let bytes = usize::from(*take(rest, 1)?.first()?);
            let label = take(rest, bytes)?.to_vec();
            let key = match take(rest, 1)? {
                [0] => None,
                [1] => Some(KeyId::new(u128::from_le_bytes(*take(rest, 16)?.first_chunk()?))),
                _ => return None,
            };
            let bytes = take_length(rest)?;
            Some((label, key, take(rest, bytes)?.to_vec()))
        };
        let (label, key, value) = read(rest).ok_or(UnsealError::Damaged)?;
        let value = match key {
            None => Some(value),
            Some(id) => match self.key_by_id(tenant, id) {
                None => None,
                Some(key) => Some(cipher::open_after(&key, nonce, context, &value).ok_or(UnsealError::Damaged)?),
            },
        };
        Ok(OpenedPart { label, value })
    }

    /// The key of a subject or of the tenant for the cipher, and its id.
    fn seal_key_of(
        &mut self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        random: &mut dyn Random,
    ) -> Result<(Secret, KeyId), Full> {
        self.key_of(tenant, subject, random, |key| (key.seal_key(), key.key_id()))
    }
}

fn nth_nonce(nonce: &[u8; NONCE_BYTES], number: u8) -> [u8; NONCE_BYTES] {
    let mut nonce = *nonce;
    if let Some(last) = nonce.last_mut() {
        *last ^= number;
    }
    nonce
}

fn put_length(length: usize, into: &mut Vec<u8>) {
    let mut rest = length;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return into.push(low);
        }
        into.push(low | 0x80);
    }
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let byte = *take(rest, 1)?.first()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(bytes)?;
    *rest = behind;
    Some(taken)
}
