//! DPoP proofs (RFC 9449): that the sender of a token has the key that the token is bound to.

use types::{Span, Timestamp, shorten};

use crate::algorithm::Algorithm;
use crate::claims::{ClaimError, Claims};
use crate::code::Code;
use crate::json::{JsonError, parse_object};
use crate::jwk::{JwkError, PublicKey, Thumbprint};
use crate::jws::{Compact, EmbeddedKey, JwsError};
use crate::nonce::{Nonces, Spender, Use};
use crate::uri::{HttpUri, UriError};

/// How old the `iat` of a proof may be by this server's clock.
pub const PROOF_AGE_MAX: Span = Span::from_secs(120);
/// How far ahead of this server's clock the `iat` of a proof may be.
pub const PROOF_AHEAD_MAX: Span = Span::from_secs(30);
/// The largest RSA key of a proof. The sender chooses it, and a signature with a larger one costs more time.
pub const PROOF_RSA_BITS_MAX: usize = 4096;

/// The request that a proof must be made for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The method, such as `POST`.
    pub method: &'a str,
    /// The address that the client used: the server's public origin and the path of the request.
    pub uri: &'a HttpUri,
}

/// Why a proof does not count. The texts never contain the proof or the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// None, or several.
    #[error("the request has {0} headers `DPoP`; expected one")]
    Count(usize),
    /// The proof is not a JWS that may be looked at.
    #[error("the DPoP proof is not valid: {0}")]
    Jws(JwsError),
    /// Another type of token.
    #[error("the type of the DPoP proof is {0}; expected `dpop+jwt`")]
    Type(String),
    /// Its algorithm is not accepted.
    #[error("the DPoP proof is signed with {found}; expected {expected}")]
    Algorithm {
        /// What its header says.
        found: &'static str,
        /// What the settings allow.
        expected: String,
    },
    /// The key in its header is not usable.
    #[error("the key of the DPoP proof is not valid: {0}")]
    Key(JwkError),
    /// The key in its header is larger than the bound.
    #[error("the key of the DPoP proof has {0} bits; expected at most {PROOF_RSA_BITS_MAX}")]
    KeySize(usize),
    /// Its payload is not an object in JSON.
    #[error("the claims of the DPoP proof are not valid: {0}")]
    Payload(JsonError),
    /// A claim is missing or has another type.
    #[error("the DPoP proof is not valid: {0}")]
    Claim(ClaimError),
    /// It was made for another method.
    #[error("the DPoP proof is for `{found}`; expected `{expected}`")]
    Method {
        /// `htm`, shortened.
        found: String,
        /// The method of the request.
        expected: String,
    },
    /// `htu` is not an address.
    #[error("the address of the DPoP proof is not valid: {0}")]
    UriSyntax(UriError),
    /// It was made for another address.
    #[error("the DPoP proof is for `{found}`; expected `{expected}`")]
    Uri {
        /// `htu`, shortened.
        found: String,
        /// The address of the request.
        expected: String,
    },
    /// It was made too long ago, or in the future.
    #[error(
        "the DPoP proof was made at {at}; it is {now}, and {PROOF_AGE_MAX} before to {PROOF_AHEAD_MAX} after are accepted"
    )]
    Time {
        /// `iat`.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// It was made for another token.
    #[error("the DPoP proof is for another token")]
    OtherToken,
    /// It was made with another key than the one that the token is bound to.
    #[error("the DPoP proof is made with another key than the one that the token is bound to")]
    OtherKey,
    /// Without a nonce, or with one that does not count any more.
    #[error("the DPoP proof has no nonce that this server accepts; expected the one in the header `DPoP-Nonce`")]
    Nonce,
    /// Somebody else made it, or changed it.
    #[error("the signature of the DPoP proof is not that of its key")]
    Signature,
    /// It was used before.
    #[error("the DPoP proof was used before; expected another `jti`")]
    Replayed,
    /// The client, or its tenant, used as many proofs as it can within one or two minutes.
    #[error("this client or its tenant used too many DPoP proofs in a short time")]
    Full,
}

impl ProofError {
    /// The code of the response. With [`Code::UseDpopNonce`], the response must carry [`Proofs::nonce`].
    pub const fn code(&self) -> Code {
        match self {
            Self::Nonce => Code::UseDpopNonce,
            Self::Full => Code::TemporarilyUnavailable,
            Self::Count(_)
            | Self::Jws(_)
            | Self::Type(_)
            | Self::Algorithm { .. }
            | Self::Key(_)
            | Self::KeySize(_)
            | Self::Payload(_)
            | Self::Claim(_)
            | Self::Method { .. }
            | Self::UriSyntax(_)
            | Self::Uri { .. }
            | Self::Time { .. }
            | Self::OtherToken
            | Self::OtherKey
            | Self::Signature
            | Self::Replayed => Code::InvalidDpopProof,
        }
    }
}

/// Checks DPoP proofs, and sees to it that each is used once.
#[derive(Debug)]
pub struct Proofs {
    algorithms: Vec<Algorithm>,
    nonces: Nonces,
}

impl Proofs {
    /// `key` must be random, and another one at each start of a process: it makes the nonces of earlier processes
    /// worthless. Of the proofs with one nonce, `per_nonce_max` are accepted
    /// ([`PROOFS_PER_NONCE_MAX`](crate::PROOFS_PER_NONCE_MAX)), at most half of them of one tenant, and a third of one client.
    pub fn new(algorithms: Vec<Algorithm>, key: [u8; 32], per_nonce_max: usize) -> Self {
        Self { algorithms, nonces: Nonces::new(key, per_nonce_max) }
    }

    /// The nonce for the next proof, for the header `DPoP-Nonce` of every response to a request with a proof.
    pub fn nonce(&self, now: Timestamp) -> String {
        self.nonces.issue(now)
    }

    /// When a client whose proof was refused with [`ProofError::Full`] has room again: when the next nonce begins, which is at most a
    /// minute later.
    pub fn room_in(&self, now: Timestamp) -> Span {
        self.nonces.next_in(now)
    }

    /// Checks the proof of a request: `headers` are the values of all its headers `DPoP`, `token` is its access token, and `key`
    /// what the token is bound to. A proof that passes is used up, and counts for `spender`.
    ///
    /// # Errors
    /// Fails unless there is exactly one proof and everything about it is as it should be; see [`ProofError`].
    pub fn check(
        &self,
        headers: &[&[u8]],
        target: Target<'_>,
        (token, key): (&str, Thumbprint),
        spender: Spender<'_>,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        self.key_of(headers, target, Some((token, key)), spender, now).map(|_key| ())
    }

    /// Checks the proof of a request for a token, and returns the key that the token is to be bound to (RFC 9449, section 5).
    /// There is no token yet that the proof could be for. A proof that passes is used up.
    ///
    /// # Errors
    /// As for [`Proofs::check`].
    pub fn check_token_request(
        &self,
        headers: &[&[u8]],
        target: Target<'_>,
        spender: Spender<'_>,
        now: Timestamp,
    ) -> Result<Thumbprint, ProofError> {
        self.key_of(headers, target, None, spender, now)
    }

    /// The algorithms that proofs may be signed with.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Checks a proof, and returns the key that it was made with. `bound` is the token that it must be for, and the key that the
    /// token is bound to.
    fn key_of(
        &self,
        headers: &[&[u8]],
        target: Target<'_>,
        bound: Option<(&str, Thumbprint)>,
        spender: Spender<'_>,
        now: Timestamp,
    ) -> Result<Thumbprint, ProofError> {
        let [header] = headers else { return Err(ProofError::Count(headers.len())) };
        let text = std::str::from_utf8(header).map_err(|_bytes| ProofError::Jws(JwsError::Encoding("header")))?;
        let proof = Compact::parse(text, EmbeddedKey::Required).map_err(ProofError::Jws)?;
        if !proof.has_type("dpop+jwt") {
            let found = proof.typ().map_or_else(|| "missing".to_owned(), |typ| format!("`{}`", shorten(typ)));
            return Err(ProofError::Type(found));
        }
        if !self.algorithms.contains(&proof.algorithm()) {
            let expected = Algorithm::names(&self.algorithms);
            return Err(ProofError::Algorithm { found: proof.algorithm().name(), expected });
        }
        let public = proof.jwk().map(PublicKey::parse).transpose().map_err(ProofError::Key)?;
        let public = public.ok_or(ProofError::OtherKey)?;
        if let Some(bits) = public.rsa_bits().filter(|bits| *bits > PROOF_RSA_BITS_MAX) {
            return Err(ProofError::KeySize(bits));
        }
        let members = parse_object(proof.payload()).map_err(ProofError::Payload)?;
        let claims = Claims(&members);
        check_target(claims, target)?;
        let at = claims.required_time("iat").map_err(ProofError::Claim)?;
        if at.saturating_add(PROOF_AGE_MAX) < now || at > now.saturating_add(PROOF_AHEAD_MAX) {
            return Err(ProofError::Time { at, now });
        }
        let key = public.thumbprint();
        if let Some((token, expected)) = bound {
            let hash = Thumbprint::parse(claims.required_name("ath").map_err(ProofError::Claim)?);
            if hash != Some(Thumbprint::of(token.as_bytes())) {
                return Err(ProofError::OtherToken);
            }
            if key != expected {
                return Err(ProofError::OtherKey);
            }
        }
        let jti = claims.required_name("jti").map_err(ProofError::Claim)?;
        let nonce = claims.text("nonce").map_err(ProofError::Claim)?.ok_or(ProofError::Nonce)?;
        let period = self.nonces.accept(nonce, now).ok_or(ProofError::Nonce)?;
        let used = |used: Use| match used {
            Use::First => Ok(()),
            Use::Again => Err(ProofError::Replayed),
            Use::Late => Err(ProofError::Nonce),
            Use::Full => Err(ProofError::Full),
        };
        used(self.nonces.look(period, (&key, jti), spender, now))?;
        // The signature is last, because it costs the most. Only a proof with one is used up.
        let verifier = public.verifier(proof.algorithm()).map_err(ProofError::Key)?;
        if !proof.verifies_with(&verifier) {
            return Err(ProofError::Signature);
        }
        used(self.nonces.use_once(period, (&key, jti), spender, now))?;
        Ok(key)
    }
}

fn check_target(claims: Claims<'_>, target: Target<'_>) -> Result<(), ProofError> {
    let method = claims.required_name("htm").map_err(ProofError::Claim)?;
    if method != target.method {
        return Err(ProofError::Method { found: shorten(method), expected: target.method.to_owned() });
    }
    let missing = || crate::claims::error("htu", "missing", "text");
    let uri = claims.text("htu").map_err(ProofError::Claim)?.ok_or_else(|| ProofError::Claim(missing()))?;
    let found = HttpUri::parse(uri).map_err(ProofError::UriSyntax)?;
    if found == *target.uri {
        return Ok(());
    }
    Err(ProofError::Uri { found: shorten(found.as_str()), expected: target.uri.to_string() })
}
