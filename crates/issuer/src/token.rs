//! Access tokens as this issuer writes them (RFC 9068).

use std::fmt;

use oauth::{Confirmation, base64url};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{Span, Timestamp};

use crate::key::SigningKey;

/// How long a token lives unless its client's settings say otherwise.
pub const TOKEN_LIFETIME_DEFAULT: Span = Span::from_secs(10 * 60);
/// The shortest life of a token.
pub const TOKEN_LIFETIME_MIN: Span = Span::from_secs(10);
/// The longest life of a token.
pub const TOKEN_LIFETIME_MAX: Span = Span::from_secs(60 * 60);

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    /// In seconds since 1970.
    pub(crate) exp: u64,
    /// In seconds since 1970.
    pub(crate) iat: u64,
    pub(crate) jti: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    /// The number of the tenant, in decimal.
    pub(crate) tenant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<BoundTo>,
}

/// The claim `cnf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoundTo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jkt: Option<String>,
    #[serde(default, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

/// A token, as the token endpoint answers it. The response must not be stored by anybody on the way (`Cache-Control: no-store`).
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    /// The token.
    pub access_token: String,
    /// How it is to be presented: `Bearer` or `DPoP`.
    pub token_type: &'static str,
    /// How long it lives, in seconds.
    pub expires_in_s: u64,
    /// The names of its scopes, with a space between them.
    pub scope: String,
    /// The name of the token, for logs.
    pub id: String,
    /// The client that it is for.
    pub client_id: String,
}

impl Granted {
    /// The body of the response (RFC 6749, section 5.1).
    pub fn to_json(&self) -> String {
        let Self { access_token, token_type, expires_in_s, scope, .. } = self;
        let body = json!({
            "access_token": access_token, "token_type": token_type, "expires_in": expires_in_s, "scope": scope,
        });
        body.to_string()
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Granted");
        shown.field("id", &self.id).field("client_id", &self.client_id).field("scope", &self.scope);
        shown.finish_non_exhaustive()
    }
}

impl BoundTo {
    pub(crate) fn new(confirmation: Confirmation) -> Option<Self> {
        (confirmation != Confirmation::default()).then(|| Self {
            jkt: confirmation.dpop_key.map(|key| key.to_string()),
            certificate: confirmation.certificate.map(|certificate| certificate.to_string()),
        })
    }
}

impl Claims {
    /// The token with these claims.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let header = json!({ "alg": key.algorithm().algorithm().name(), "kid": key.kid(), "typ": "at+jwt" });
        let part = |text: String| base64url::encode(text.as_bytes());
        let claims = serde_json::to_string(self).unwrap_or_default();
        let signed = format!("{}.{}", part(header.to_string()), part(claims));
        let signature = base64url::encode(&key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The claims of a token of this issuer whose signature was verified.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1).and_then(base64url::decode)?;
        serde_json::from_slice(&payload).ok()
    }

    /// How the token is to be presented.
    pub(crate) fn token_type(&self) -> &'static str {
        if self.cnf.as_ref().is_some_and(|bound| bound.jkt.is_some()) { "DPoP" } else { "Bearer" }
    }
}

/// Whole seconds since 1970.
pub(crate) const fn seconds(at: Timestamp) -> u64 {
    match at.ns().checked_div(Span::from_secs(1).ns()) {
        Some(seconds) => seconds,
        None => 0,
    }
}
