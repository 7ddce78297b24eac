//! Secrets and the keys that are derived from them.
//!
//! ```text
//! root key ──┬─ WRAP ──────► seals the header and the records of the key store's file
//!            └─ WRAP_NONCE ► makes their nonces
//! store secret (random, in the header)
//!            ├─ INDEX ─────► index of (tenant, kind, value): how a subject's key is found
//!            ├─ TOKENS ────► per tenant: token of (kind, value) where values have no keys of their own
//!            ├─ REQUESTS ──► per tenant: request hashes
//!            └─ DATA ──────► per tenant: data key ─┐
//! subject key (random, in a record, erasable) ─────┼─ KEY_ID ► the name of the key
//!            └─ TOKEN ─► token of (kind, value)    └─ SEAL ──► XChaCha20-Poly1305 key
//! ```
//!
//! An arrow with a name is BLAKE3 `derive_key` with the context text of that name. "Per tenant" is the BLAKE3 keyed
//! hash of the tenant's number (4 bytes, little-endian). The context texts are part of the format: a different text
//! gives a different key. A kind and a value are hashed as the length of the kind in bytes (8 bytes, little-endian),
//! the kind, then the value, so that no two pairs give the same input. The index puts the tenant's number before them.
//!
//! Only random keys can be erased. Everything derived from the store secret lasts as long as the store, which is why an
//! entity kind that identifies people must be declared personal.

use std::fmt;

use types::{KeyId, TenantId, Token};

use crate::Random;

const WRAP: &str = "finaira vault v1 wrap";
const WRAP_NONCE: &str = "finaira vault v1 wrap nonce";
const INDEX: &str = "finaira vault v1 index";
const TOKENS: &str = "finaira vault v1 tokens of a tenant";
const REQUESTS: &str = "finaira vault v1 requests of a tenant";
const DATA: &str = "finaira vault v1 data of a tenant";
const TOKEN: &str = "finaira vault v1 token of a subject";
const KEY_ID: &str = "finaira vault v1 key id";
const SEAL: &str = "finaira vault v1 seal";

/// The key that opens a key store. It is kept apart from the store's file, because each is useless without the other.
#[derive(Debug)]
pub struct RootKey(Secret);

impl RootKey {
    pub fn new(random: &mut dyn Random) -> Self {
        Self(Secret::random(random))
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret(bytes))
    }

    /// The key itself. Store it where only the operator can read it.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0.0
    }

    pub(crate) fn wrap_key(&self) -> Secret {
        self.0.derive(WRAP)
    }

    pub(crate) fn wrap_nonce_key(&self) -> Secret {
        self.0.derive(WRAP_NONCE)
    }
}

/// 32 secret bytes, overwritten when dropped.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn random(random: &mut dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        assert_ne!(bytes, [0; 32], "VLT-3: the source of randomness returned only zeros");
        Self(bytes)
    }

    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn wipe(&mut self) {
        wipe(&mut self.0);
    }

    /// The id of this key. It reveals nothing about the key or its owner. Because it is a hash of the key, no other key
    /// opens what carries this id.
    pub(crate) fn key_id(&self) -> KeyId {
        KeyId::new(id128(self.derive(KEY_ID).as_bytes()))
    }

    pub(crate) fn seal_key(&self) -> Self {
        self.derive(SEAL)
    }

    /// The token of the subject that this key belongs to.
    pub(crate) fn subject_token(&self, kind: &str, value: &str) -> Token {
        self.derive(TOKEN).token(kind, value)
    }

    fn derive(&self, context: &'static str) -> Self {
        Self(blake3::derive_key(context, &self.0))
    }

    fn of_tenant(&self, tenant: TenantId) -> Self {
        Self(self.hash(&[&tenant.get().to_le_bytes()]))
    }

    /// The keyed hash of `parts`, one after the other. The caller must keep parts of variable length apart.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        *hasher.finalize().as_bytes()
    }

    fn token(&self, kind: &str, value: &str) -> Token {
        let kind_bytes = (kind.len() as u64).to_le_bytes();
        Token::new(id128(&self.hash(&[&kind_bytes, kind.as_bytes(), value.as_bytes()])))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The keys derived from the store secret.
pub(crate) struct StoreKeys {
    index: Secret,
    tokens: Secret,
    requests: Secret,
    data: Secret,
}

impl StoreKeys {
    pub(crate) fn new(store: &Secret) -> Self {
        Self {
            index: store.derive(INDEX),
            tokens: store.derive(TOKENS),
            requests: store.derive(REQUESTS),
            data: store.derive(DATA),
        }
    }

    /// The index by which the key of a subject is found. With 128 bits, 2^32 subjects collide with a probability of
    /// 2^-65.
    pub(crate) fn index(&self, tenant: TenantId, kind: &str, value: &str) -> u128 {
        let (tenant, kind_bytes) = (tenant.get().to_le_bytes(), (kind.len() as u64).to_le_bytes());
        head_u128(&self.index.hash(&[&tenant, &kind_bytes, kind.as_bytes(), value.as_bytes()]))
    }

    /// The token of a value that has no key of its own.
    pub(crate) fn tenant_token(&self, tenant: TenantId, kind: &str, value: &str) -> Token {
        self.tokens.of_tenant(tenant).token(kind, value)
    }

    pub(crate) fn request_key(&self, tenant: TenantId) -> Secret {
        self.requests.of_tenant(tenant)
    }

    pub(crate) fn data_key(&self, tenant: TenantId) -> Secret {
        self.data.of_tenant(tenant)
    }
}

/// Overwrites secret bytes. `black_box` keeps the optimiser from dropping the write.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

fn head_u128(hash: &[u8; 32]) -> u128 {
    hash.first_chunk().copied().map_or(0, u128::from_le_bytes)
}

/// The first 128 bits of `hash`, moved off the two reserved ids.
fn id128(hash: &[u8; 32]) -> u128 {
    const LAST: u128 = u128::MAX - 1;
    head_u128(hash).clamp(1, LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_numbers_are_no_ids() {
        assert_eq!(id128(&[0; 32]), 1);
        assert_eq!(id128(&[0xff; 32]), u128::MAX - 1);
        assert_eq!(id128(&[0x11; 32]), 0x1111_1111_1111_1111_1111_1111_1111_1111);
    }

    #[test]
    fn secrets_are_not_printed() {
        let root = RootKey::from_bytes([77; 32]);
        assert_eq!(format!("{root:?}"), "RootKey(Secret(…))");
        assert_eq!(root.to_bytes(), [77; 32]);
    }

    #[test]
    #[should_panic(expected = "VLT-3")]
    fn a_dead_source_of_randomness_is_noticed() {
        RootKey::new(&mut |_: &mut [u8]| {});
    }
}
