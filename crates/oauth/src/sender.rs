//! The sender of a token: how it presents the token, and whether it may (RFC 6750, RFC 8705, RFC 9449).

use types::Timestamp;

use crate::access_token::VerifiedToken;
use crate::code::Code;
use crate::dpop::{ProofError, Proofs, Target};
use crate::jwk::Thumbprint;
use crate::jws::JWS_BYTES_MAX;
use crate::nonce::Spender;

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer …`: whoever has the token may send it, unless it is bound to a certificate.
    Bearer,
    /// `Authorization: DPoP …`: the token is bound to a key.
    Dpop,
}

/// Why a request presents no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresentedError {
    /// None, or several.
    #[error("the request has {0} headers `Authorization`; expected one")]
    Count(usize),
    /// Something else than a scheme and a token.
    #[error("the header `Authorization` is malformed; expected `Bearer` or `DPoP`, a space and a token")]
    Malformed,
    /// Longer than a token may be.
    #[error("the token has {0} bytes; expected at most {JWS_BYTES_MAX}")]
    Size(usize),
}

impl PresentedError {
    /// The code of the response.
    pub const fn code(self) -> Code {
        match self {
            Self::Count(_) | Self::Malformed => Code::InvalidRequest,
            Self::Size(_) => Code::InvalidToken,
        }
    }
}

/// Finds the token in the values of all the headers `Authorization` of a request.
///
/// # Errors
/// Fails unless there is exactly one, with a scheme and a token.
pub fn presented<'a>(headers: &[&'a [u8]]) -> Result<(Scheme, &'a str), PresentedError> {
    let [header] = headers else { return Err(PresentedError::Count(headers.len())) };
    let header = std::str::from_utf8(header).map_err(|_bytes| PresentedError::Malformed)?;
    let (scheme, token) = header.split_once(' ').ok_or(PresentedError::Malformed)?;
    let scheme = match scheme {
        scheme if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        scheme if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return Err(PresentedError::Malformed),
    };
    let token = token.trim_start_matches(' ');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(plain) {
        return Err(PresentedError::Malformed);
    }
    if token.len() > JWS_BYTES_MAX { Err(PresentedError::Size(token.len())) } else { Ok((scheme, token)) }
}

/// Who sent a request, as far as the transport knows.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// How the token was presented.
    pub scheme: Scheme,
    /// The certificate that the TLS client proved to own, hashed in DER.
    pub certificate: Option<Thumbprint>,
    /// The values of all headers `DPoP`.
    pub proofs: &'a [&'a [u8]],
    /// What was asked for.
    pub target: Target<'a>,
}

/// Why a token does not count for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// A token that is bound to a key was sent like one that is not.
    #[error("the token is bound to a key; expected `Authorization: DPoP` and a proof")]
    Downgraded,
    /// The other way round: a proof says nothing about a token that is not bound to its key.
    #[error("the token is not bound to a key; expected `Authorization: Bearer`")]
    NotBound,
    /// The token is bound to a certificate, and the sender has shown none.
    #[error("the token is bound to a certificate; expected a TLS connection with it")]
    NoCertificate,
    /// The token is bound to another certificate.
    #[error("the token is bound to another certificate than that of the TLS connection")]
    OtherCertificate,
    /// The proof does not count.
    #[error(transparent)]
    Proof(ProofError),
}

impl SenderError {
    /// The code of the response.
    pub const fn code(&self) -> Code {
        match self {
            Self::Downgraded | Self::NotBound | Self::NoCertificate | Self::OtherCertificate => Code::InvalidToken,
            Self::Proof(error) => error.code(),
        }
    }
}

impl Sender<'_> {
    /// Checks that this sender may use a token: that it has every key that the token is bound to. To be asked for each request,
    /// also if the token is remembered. `text` is the token as it was sent.
    ///
    /// # Errors
    /// Fails if it has not proved that; see [`SenderError`].
    pub fn check(&self, text: &str, token: &VerifiedToken, proofs: &Proofs, now: Timestamp) -> Result<(), SenderError> {
        if let Some(bound) = token.confirmation.certificate {
            match self.certificate {
                Some(shown) if shown == bound => {}
                Some(_) => return Err(SenderError::OtherCertificate),
                None => return Err(SenderError::NoCertificate),
            }
        }
        match (self.scheme, token.confirmation.dpop_key) {
            (Scheme::Bearer, None) => Ok(()),
            (Scheme::Bearer, Some(_)) => Err(SenderError::Downgraded),
            (Scheme::Dpop, None) => Err(SenderError::NotBound),
            (Scheme::Dpop, Some(key)) => {
                let spender = Spender { tenant: token.tenant, issuer: &token.issuer, subject: &token.subject };
                let checked = proofs.check(self.proofs, self.target, (text, key), spender, now);
                checked.map_err(SenderError::Proof)
            }
        }
    }
}
