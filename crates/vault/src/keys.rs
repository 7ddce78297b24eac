//! What whoever tokenises and seals asks a key store for.

use types::{Digest, Sealed, TenantId, Token};

use crate::{Full, UnsealError};

/// The keys of an installation, as the edge uses them. A key that is drawn here must be saved before the entry that needs
/// it is journaled.
pub trait Keys: Send + Sync {
    /// The token of an entity value; a personal one gets its key here.
    ///
    /// # Errors
    /// When the key store is full.
    fn token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Result<Token, Full>;

    /// The token of an entity value that was seen before.
    fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token>;

    /// The keyed hash of a request in canonical form.
    fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest;

    /// Seals personal data with the key of a subject, given as kind and value, or of the tenant.
    ///
    /// # Errors
    /// When the key store is full.
    fn seal(
        &self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, Full>;

    /// Opens what was sealed.
    ///
    /// # Errors
    /// When a key was erased, or the data or its context is not what was sealed.
    fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, UnsealError>;
}
