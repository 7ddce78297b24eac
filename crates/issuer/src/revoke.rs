//! How a client ends a token before its time (RFC 7009).

use oauth::Verifier;
use types::{Span, Timestamp};

use crate::authenticate::Authentic;
use crate::client::Registry;
use crate::issuer::Issuer;
use crate::refusal::Refusal;

/// A token to end. It is over when [`Registry::is_revoked`] says so, which must be so before the client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The `jti` of the token.
    pub id: String,
    /// The client that it is of, which asks.
    pub client_id: String,
    /// When it would expire. The revocation may be forgotten from then on.
    pub expires_at: Timestamp,
}

impl Issuer {
    /// Answers the revocation endpoint: what to do, or `None` if the token does not count anyway. The response is empty, with
    /// status 200, in both cases.
    ///
    /// # Errors
    /// Fails if the client names no token, or names a token of another client.
    pub fn revoke(
        &self,
        asked: &Authentic<'_>,
        registry: &dyn Registry,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Option<Revocation>, Refusal> {
        let token = asked.form.get("token").ok_or(Refusal::Missing("token"))?;
        asked.use_once(&self.replays, now)?;
        let Some(claims) = self.own_token(token, registry, verifier, now)? else { return Ok(None) };
        if claims.client_id != asked.client.id {
            return Err(Refusal::OtherClient);
        }
        let expires_at = Timestamp::ZERO.saturating_add(Span::from_secs(claims.exp));
        Ok(Some(Revocation { id: claims.jti, client_id: claims.client_id, expires_at }))
    }
}
