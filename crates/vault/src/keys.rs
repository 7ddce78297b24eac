//! The interface of a key store for code that creates tokens and seals personal data.

use types::{Digest, Sealed, TenantId, Token};

use crate::{Full, OpenedPart, Part, UnsealError};

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

    /// Seals values together, with the key of a subject (a kind and a value) or with the tenant's key.
    ///
    /// # Errors
    /// Fails if the key store is full.
    fn seal_section(
        &self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        parts: &[Part<'_>],
    ) -> Result<Sealed, Full>;

    /// Opens what [`Keys::seal_section`] sealed.
    ///
    /// # Errors
    /// Fails if the key of the section was erased, or if the data or its context differs from what was sealed.
    fn unseal_section(&self, tenant: TenantId, context: &[u8], sealed: &Sealed)
    -> Result<Vec<OpenedPart>, UnsealError>;

    /// Decrypts what a release before version 5 of the journal's format sealed.
    ///
    /// # Errors
    /// As [`Keys::unseal_section`].
    fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, UnsealError>;
}
