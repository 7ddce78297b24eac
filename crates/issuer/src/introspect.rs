//! What a client is told about a token (RFC 7662).

use oauth::{TokenError, Verifier};
use serde_json::{Value, json};
use types::Timestamp;

use crate::authenticate::Authentic;
use crate::client::Registry;
use crate::issuer::Issuer;
use crate::refusal::Refusal;
use crate::token::Claims;

/// The answer to a question about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    claims: Option<Claims>,
}

impl Introspection {
    /// Whether the token counts.
    pub const fn is_active(&self) -> bool {
        self.claims.is_some()
    }

    /// The body of the response. About a token that does not count, it says nothing else.
    pub fn to_json(&self) -> String {
        let Some(claims) = &self.claims else { return json!({ "active": false }).to_string() };
        let mut body = serde_json::to_value(claims).unwrap_or_default();
        if let Value::Object(members) = &mut body {
            members.insert("active".to_owned(), true.into());
            members.insert("token_type".to_owned(), claims.token_type().into());
        }
        body.to_string()
    }
}

impl Issuer {
    /// Answers the introspection endpoint. A client learns about tokens of its own tenant; all others are inactive to it.
    ///
    /// # Errors
    /// Fails if the client asks about nothing.
    pub fn introspect(
        &self,
        asked: &Authentic<'_>,
        registry: &dyn Registry,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Introspection, Refusal> {
        let token = asked.form.get("token").ok_or(Refusal::Missing("token"))?;
        asked.use_once(&self.replays, now)?;
        let claims = self.own_token(token, registry, verifier, now)?;
        let tenant = asked.client.tenant.to_string();
        Ok(Introspection { claims: claims.filter(|claims| claims.tenant == tenant) })
    }

    /// The claims of a token of this issuer, if it counts.
    pub(crate) fn own_token(
        &self,
        token: &str,
        registry: &dyn Registry,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Option<Claims>, Refusal> {
        match verifier.verify(token, now) {
            Ok(verified) if *verified.token.issuer == *self.name() && self.is_current(&verified.token, registry) => {
                Ok(Claims::of(token))
            }
            Err(TokenError::KeysUnavailable(issuer)) if *issuer == *self.name() => Err(Refusal::KeysUnavailable),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}
