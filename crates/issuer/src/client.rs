//! Clients: the programs that get tokens, as they are registered.

use std::collections::BTreeSet;
use std::sync::Arc;

use oauth::Keys;
use types::{Digest, Span, TenantId, shorten};

/// The longest id of a client.
pub const CLIENT_ID_BYTES_MAX: usize = 128;

/// A program that gets tokens.
#[derive(Debug)]
pub struct Client {
    /// Its name at this issuer; see [`check_client_id`].
    pub id: String,
    /// The tenant that its tokens are for.
    pub tenant: TenantId,
    /// The names of the scopes that its tokens may have.
    pub scopes: BTreeSet<Box<str>>,
    /// How it shows who it is.
    pub authentication: Authentication,
    /// How long its tokens live, if that differs from the issuer's default.
    pub token_lifetime: Option<Span>,
    /// What its tokens must be bound to.
    pub binding: ClientBinding,
    /// Whether it was revoked: it then gets no tokens, and those that it has do not count any more.
    pub is_revoked: bool,
}

/// How a client shows who it is.
#[derive(Debug)]
pub enum Authentication {
    /// With a secret that has one of these hashes ([`crate::ClientSecret::hash`]): two while one replaces the other.
    Secrets(Vec<Digest>),
    /// With an assertion that it signs with one of these keys.
    Keys(Keys),
}

/// What the tokens of a client must be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientBinding {
    /// To the key of the DPoP proof if the request has one, and to nothing otherwise.
    Optional,
    /// To the key of a DPoP proof (`dpop_bound_access_tokens` of RFC 9449, section 5.2).
    Dpop,
    /// To the certificate of the TLS client (`tls_client_certificate_bound_access_tokens` of RFC 8705, section 3.4), and to the
    /// key of a DPoP proof too if the request has one.
    Certificate,
}

/// What the issuer asks about its clients and its tokens. The answers must be those of the moment: a client that was revoked
/// must be so here before anybody is told.
pub trait Registry {
    /// The client with this id, revoked ones included.
    fn client(&self, id: &str) -> Option<Arc<Client>>;

    /// Whether the token with this `jti` was revoked. It may be forgotten once the token has expired.
    fn is_revoked(&self, jti: &str) -> bool;
}

/// A text that is no id of a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id of a client: 1 to {CLIENT_ID_BYTES_MAX} of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`")]
pub struct ClientIdError(String);

/// Checks that a text can be the id of a client. It then is the same text in a form, in a header and in a URL, because no way of
/// encoding changes these characters.
///
/// # Errors
/// Fails if it is empty, too long, or has other characters.
pub fn check_client_id(text: &str) -> Result<(), ClientIdError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if is_plain && (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) { Ok(()) } else { Err(ClientIdError(shorten(text))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients_are_plain() {
        assert_eq!(check_client_id("checkout-2.eu_~X"), Ok(()));
        for bad in ["", "a b", "a:b", "a/b", "a+b", "a%62", "ü", "a\0", &"a".repeat(129)] {
            assert!(check_client_id(bad).is_err(), "{bad}");
        }
    }
}
