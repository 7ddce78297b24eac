//! Finds out what an access token says, and whether its sender may use it.

use std::sync::Arc;

use api::{ErrorCode, Problem};
use oauth::{Code, HttpUri, Scheme, Sender, Target, Thumbprint, TokenError, VerifiedToken};
use types::Timestamp;

use super::Identity;

/// A request with an access token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) token: &'a str,
    /// The values of all headers `DPoP`.
    pub(crate) proofs: &'a [&'a [u8]],
    /// The certificate that the TLS client proved to own.
    pub(crate) certificate: Option<Thumbprint>,
    pub(crate) method: &'a str,
    /// The path as it was sent.
    pub(crate) path: &'a str,
}

/// Why a token does not let its sender in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    Problem(Problem),
    /// The keys of this issuer have to be fetched before the token can be verified.
    NeedsKeys(Arc<str>, Problem),
}

impl TokenRefusal {
    /// What the client is told.
    pub(crate) fn into_problem(self) -> Problem {
        match self {
            Self::Problem(problem) | Self::NeedsKeys(_, problem) => problem,
        }
    }
}

impl Identity {
    /// What a token says, if it was verified before and still counts.
    pub(crate) fn known(&self, token: &str, now: Timestamp) -> Option<Arc<VerifiedToken>> {
        self.tokens.get(token, now)
    }

    /// What a token says, if it counts and its sender may use it. `known` is what [`Identity::known`] found.
    pub(crate) fn authenticate(
        &self,
        asked: Asked<'_>,
        known: Option<Arc<VerifiedToken>>,
        now: Timestamp,
    ) -> Result<Arc<VerifiedToken>, TokenRefusal> {
        let token = match known {
            Some(known) => known,
            None => self.verify(asked.token, now)?,
        };
        self.check(&token, now).map_err(TokenRefusal::Problem)?;
        self.check_sender(asked, &token, now).map_err(TokenRefusal::Problem)?;
        Ok(token)
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<Arc<VerifiedToken>, TokenRefusal> {
        let verifier = self.verifier();
        let verified = verifier.verify(text, now).map_err(|error| {
            let problem = problem(error.code(), error.to_string());
            if let TokenError::UnknownKey { issuer, .. } | TokenError::KeysUnavailable(issuer) = error {
                return TokenRefusal::NeedsKeys(issuer, problem);
            }
            TokenRefusal::Problem(problem)
        })?;
        let token = Arc::clone(&verified.token);
        // While the verifier is locked, so that a token of earlier settings is not remembered after they changed.
        self.tokens.insert(text, verified);
        Ok(token)
    }

    /// Checks that a token that counted before still does. Streams and long requests ask again.
    pub(crate) fn check(&self, token: &VerifiedToken, now: Timestamp) -> Result<(), Problem> {
        let refused = |detail: String| Err(problem(Code::InvalidToken, detail));
        if now >= token.expires_at {
            return refused(format!("the token expired at {}", token.expires_at));
        }
        if let Some(built_in) = self.built_in().filter(|built_in| *built_in.name() == *token.issuer) {
            if built_in.issuer.is_current(token, &*self.settings()) {
                return Ok(());
            }
            return refused("the token or its client was revoked".to_owned());
        }
        match self.verifier().settings(&token.issuer) {
            Some(_) => Ok(()),
            None => refused("the issuer of the token was removed".to_owned()),
        }
    }

    fn check_sender(&self, asked: Asked<'_>, token: &VerifiedToken, now: Timestamp) -> Result<(), Problem> {
        let Asked { scheme, token: text, proofs, certificate, method, path } = asked;
        let uri = match (scheme, self.origin.get()) {
            // Nothing looks at the address.
            (Scheme::Bearer, _) => HttpUri::parse("http://localhost").ok(),
            (Scheme::Dpop, Some(origin)) => {
                HttpUri::parse(&format!("{}{path}", origin.as_str().trim_end_matches('/'))).ok()
            }
            (Scheme::Dpop, None) => {
                let detail = "this server does not know its public address, which DPoP proofs are made for; start it with --public-url";
                return Err(problem(Code::InvalidDpopProof, detail.to_owned()));
            }
        };
        let uri =
            uri.ok_or_else(|| problem(Code::InvalidDpopProof, "the address of the request is not one".to_owned()))?;
        let sender = Sender { scheme, certificate, proofs, target: Target { method, uri: &uri } };
        sender.check(text, token, &self.proofs, now).map_err(|error| problem(error.code(), error.to_string()))
    }
}

fn problem(code: Code, detail: String) -> Problem {
    let code = match code {
        Code::InvalidRequest => ErrorCode::InvalidHeader,
        Code::InvalidToken => ErrorCode::InvalidToken,
        Code::InsufficientScope => ErrorCode::InsufficientScope,
        Code::InvalidDpopProof => ErrorCode::InvalidDpopProof,
        Code::UseDpopNonce => ErrorCode::UseDpopNonce,
        Code::TemporarilyUnavailable => ErrorCode::IssuerUnavailable,
    };
    Problem::new(code, detail)
}
