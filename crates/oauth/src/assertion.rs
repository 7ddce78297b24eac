//! Client assertions (RFC 7523): how a client shows the token endpoint that it has its private key (`private_key_jwt`).

use types::{Span, Timestamp, shorten};

use crate::algorithm::Algorithm;
use crate::claims::{ClaimError, Claims};
use crate::json::{JsonError, Members, parse_object};
use crate::jwk::Key;
use crate::jws::{Compact, EmbeddedKey, JwsError};

/// How far ahead of now an assertion may expire, not counting [`ASSERTION_AHEAD_MAX`]. It has to be remembered until then.
pub const ASSERTION_LIFE_MAX: Span = Span::from_secs(5 * 60);
/// How far ahead of this server's clock the clock of a client may be. FAPI 2.0 (section 5.3.2.1) asks for at least 10 s.
pub const ASSERTION_AHEAD_MAX: Span = Span::from_secs(10);

/// An assertion that is well-formed. Nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion<'a> {
    jws: Compact<'a>,
    claims: Members,
    client: String,
}

/// What an assertion that counts says. Whoever asked must remember it, so that it counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The name of the assertion.
    pub id: String,
    /// When it was made, if it says so.
    pub issued_at: Option<Timestamp>,
    /// From when on it does not count any more.
    pub expires_at: Timestamp,
}

/// Why an assertion does not count. The texts never contain it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// It is not a JWS that may be looked at.
    #[error("the client assertion is not valid: {0}")]
    Jws(JwsError),
    /// Another type of token.
    #[error("the type of the client assertion is `{0}`; expected `JWT`, `client-authentication+jwt` or none")]
    Type(String),
    /// Its payload is not an object in JSON.
    #[error("the claims of the client assertion are not valid: {0}")]
    Payload(JsonError),
    /// A claim is missing or has another type.
    #[error("the client assertion is not valid: {0}")]
    Claim(ClaimError),
    /// Somebody speaks for somebody else.
    #[error("the client assertion has different `iss` and `sub`; expected the id of the client in both")]
    Parties,
    /// Its algorithm is not accepted.
    #[error("the client assertion is signed with {found}; expected {expected}")]
    Algorithm {
        /// What its header says.
        found: &'static str,
        /// What is accepted.
        expected: String,
    },
    /// It is for another server, or for others too, who could use it here.
    #[error("the client assertion is for another audience; expected only {0}")]
    Audience(String),
    /// Its time is over.
    #[error("the client assertion expired at {at}; it is {now}")]
    Expired {
        /// `exp`.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// Its time is too long.
    #[error("the client assertion expires at {at}; it is {now}, and at most {ASSERTION_LIFE_MAX} ahead are accepted")]
    Long {
        /// `exp`.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// Its time has not begun.
    #[error(
        "the client assertion has `{claim}` {at}; it is {now}, and at most {ASSERTION_AHEAD_MAX} ahead are accepted"
    )]
    Early {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// What it says.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// The client has no such key.
    #[error("the client has no key that the client assertion could be signed with")]
    UnknownKey,
    /// It names no key, and the client has several that fit.
    #[error("the client assertion names no key, and the client has several that fit; expected a `kid`")]
    AmbiguousKey,
    /// Somebody else made it, or changed it.
    #[error("the signature of the client assertion is not that of its client")]
    Signature,
}

impl<'a> Assertion<'a> {
    /// Reads an assertion, to learn whose it claims to be.
    ///
    /// # Errors
    /// Fails if it is malformed, of another type, or if `iss` and `sub` differ.
    pub fn parse(text: &'a str) -> Result<Self, AssertionError> {
        let jws = Compact::parse(text, EmbeddedKey::Refused).map_err(AssertionError::Jws)?;
        // An access token or a DPoP proof is never an assertion, whoever signed it (RFC 8725, section 3.11).
        let is_type = jws.typ().is_none() || jws.has_type("JWT") || jws.has_type("client-authentication+jwt");
        if !is_type {
            return Err(AssertionError::Type(shorten(jws.typ().unwrap_or_default())));
        }
        let members = parse_object(jws.payload()).map_err(AssertionError::Payload)?;
        let claims = Claims(&members);
        let client = claims.required_name("iss").map_err(AssertionError::Claim)?.to_owned();
        if claims.required_name("sub").map_err(AssertionError::Claim)? != client {
            return Err(AssertionError::Parties);
        }
        Ok(Self { jws, claims: members, client })
    }

    /// The client that it claims to be of. Trust it only if [`Assertion::verify`] succeeds.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Verifies the assertion with the keys of its client. Everyone in its `aud` must be among `audiences`, which are names of
    /// this server. Says nothing about whether it was used before.
    ///
    /// # Errors
    /// Fails unless everything about it is as it should be; see [`AssertionError`].
    pub fn verify(
        &self,
        keys: &[Key],
        algorithms: &[Algorithm],
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<Authenticated, AssertionError> {
        let algorithm = self.jws.algorithm();
        if !algorithms.contains(&algorithm) {
            return Err(AssertionError::Algorithm { found: algorithm.name(), expected: Algorithm::names(algorithms) });
        }
        let claims = Claims(&self.claims);
        let audience = claims.texts(&["aud"]).map_err(AssertionError::Claim)?;
        if audience.is_empty() || !audience.iter().all(|name| audiences.contains(name)) {
            let expected: Vec<_> = audiences.iter().map(|name| format!("`{name}`")).collect();
            return Err(AssertionError::Audience(expected.join(" or ")));
        }
        let expires_at = claims.required_time("exp").map_err(AssertionError::Claim)?;
        if now >= expires_at {
            return Err(AssertionError::Expired { at: expires_at, now });
        }
        if expires_at > now.saturating_add(ASSERTION_LIFE_MAX).saturating_add(ASSERTION_AHEAD_MAX) {
            return Err(AssertionError::Long { at: expires_at, now });
        }
        let issued_at = claims.time("iat").map_err(AssertionError::Claim)?;
        let not_before = claims.time("nbf").map_err(AssertionError::Claim)?;
        for (claim, at) in [("nbf", not_before), ("iat", issued_at)] {
            if let Some(at) = at.filter(|at| *at > now.saturating_add(ASSERTION_AHEAD_MAX)) {
                return Err(AssertionError::Early { claim, at, now });
            }
        }
        let id = claims.required_name("jti").map_err(AssertionError::Claim)?.to_owned();
        // The signature is last, because it costs the most.
        if !self.jws.is_signed_by(self.key_among(keys)?) {
            return Err(AssertionError::Signature);
        }
        Ok(Authenticated { id, issued_at, expires_at })
    }

    fn key_among<'k>(&self, keys: &'k [Key]) -> Result<&'k Key, AssertionError> {
        let (kid, algorithm) = (self.jws.kid(), self.jws.algorithm());
        let mut fitting = keys.iter().filter(|key| key.fits(algorithm) && (kid.is_none() || key.kid() == kid));
        let first = fitting.next().ok_or(AssertionError::UnknownKey)?;
        if fitting.next().is_some() { Err(AssertionError::AmbiguousKey) } else { Ok(first) }
    }
}
