//! The interface of a key store for code that creates tokens and seals personal data.

use types::{Digest, Sealed, TenantId, Token};

use crate::{Full, UnsealError};

/// A key store, as the edge uses it. A key that it creates must be on disk before an entry that needs it is journaled.
pub trait Keys: Send + Sync {
    /// Returns the token of an entity value. A new personal value gets its key here.
    ///
    /// # Errors
    /// Fails if the key store is full.
    fn token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Result<Token, Full>;

    /// Returns the token of an entity value that has been seen before.
    fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token>;

    /// Returns the keyed hash of a request in canonical form.
    fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest;

    /// Seals personal data with the key of a subject (a kind and a value), or with the tenant's key.
    ///
    /// # Errors
    /// Fails if the key store is full.
    fn seal(
        &self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, Full>;

    /// Decrypts data that [`Keys::seal`] sealed.
    ///
    /// # Errors
    /// Fails if a key was erased, or if the data or its context differs from what was sealed.
    fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, UnsealError>;
}
