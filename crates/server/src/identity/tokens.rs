//! Finds out what an access token says, and whether its sender may use it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{ErrorCode, Problem};
use oauth::{
    Code, HttpUri, ProofError, Scheme, Sender, SenderError, Target, Thumbprint, TokenError, Verified, VerifiedToken,
};
use types::{Span, Timestamp};

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

/// A token that let its sender in.
#[derive(Debug, Clone)]
pub(crate) struct LetIn {
    pub(crate) verified: Verified,
    /// The changes of issuers and roles that it took into account.
    issuer_changes: u64,
}

/// Why a token does not let its sender in.
#[derive(Debug)]
pub(crate) enum TokenRefusal {
    Problem(Problem),
    /// The keys of this issuer have to be fetched before the token can be verified.
    NeedsKeys(Arc<str>, Problem),
    /// The token counts, but its sender used as many DPoP proofs as the server remembers for it. There is room again after this time.
    ProofsFull(Verified, Span),
}

impl TokenRefusal {
    /// What the client is told.
    pub(crate) fn into_problem(self) -> Problem {
        match self {
            Self::Problem(problem) | Self::NeedsKeys(_, problem) => problem,
            Self::ProofsFull(..) => Problem::new(ErrorCode::RateLimited, ProofError::Full.to_string()),
        }
    }
}

impl Identity {
    /// What a token says, if it was verified before and still counts.
    pub(crate) fn known(&self, token: &str, now: Timestamp) -> Option<Verified> {
        self.tokens.get(token, now)
    }

    /// What a token says, if it counts and its sender may use it. `known` is what [`Identity::known`] found.
    pub(crate) fn authenticate(
        &self,
        asked: Asked<'_>,
        known: Option<Verified>,
        now: Timestamp,
    ) -> Result<LetIn, TokenRefusal> {
        // Before the token is verified, so that a change meanwhile is noticed.
        let issuer_changes = self.issuer_changes.load(Ordering::Acquire);
        let verified = match known {
            Some(known) => known,
            None => self.verify(asked.token, now)?,
        };
        let let_in = LetIn { verified, issuer_changes };
        self.check_token(&let_in.verified, now).map_err(TokenRefusal::Problem)?;
        match self.check_sender(asked, &let_in.verified.token, now) {
            Ok(()) => Ok(let_in),
            // Nothing is wrong with the token or its issuer.
            Err(SenderRefusal::ProofsFull) => Err(TokenRefusal::ProofsFull(let_in.verified, self.proofs.room_in(now))),
            Err(SenderRefusal::Problem(problem)) => Err(TokenRefusal::Problem(problem)),
        }
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenRefusal> {
        let verifier = self.verifier();
        let verified = verifier.verify(text, now).map_err(|error| {
            let problem = problem(error.code(), error.to_string());
            if let TokenError::UnknownKey { issuer, .. } | TokenError::KeysUnavailable(issuer) = error {
                return TokenRefusal::NeedsKeys(issuer, problem);
            }
            TokenRefusal::Problem(problem)
        })?;
        // While the verifier is locked, so that a token of earlier settings is not remembered after they changed.
        self.tokens.insert(text, verified.clone());
        Ok(verified)
    }

    /// Checks that a token that let a sender in before still does. Streams and long requests ask again.
    pub(crate) fn check(&self, let_in: &LetIn, now: Timestamp) -> Result<(), Problem> {
        if self.issuer_changes.load(Ordering::Acquire) != let_in.issuer_changes {
            // It may have other scopes now, or be for another tenant.
            let detail = "an issuer or a role changed meanwhile; send the request again".to_owned();
            return Err(problem(Code::InvalidToken, detail));
        }
        self.check_token(&let_in.verified, now)
    }

    fn check_token(&self, verified: &Verified, now: Timestamp) -> Result<(), Problem> {
        let refused = |detail: String| Err(problem(Code::InvalidToken, detail));
        let token = &verified.token;
        if verified.is_withdrawn() {
            return refused("the key that signed the token was withdrawn".to_owned());
        }
        if now >= token.expires_at {
            return refused(format!("the token expired at {}", token.expires_at));
        }
        if let Some(built_in) = self.built_in().filter(|built_in| *built_in.name() == *token.issuer) {
            if built_in.issuer.is_current(token, self) {
                return Ok(());
            }
            return refused("the token or its client was revoked".to_owned());
        }
        match self.verifier().settings(&token.issuer) {
            Some(_) => Ok(()),
            None => refused("the issuer of the token was removed".to_owned()),
        }
    }

    fn check_sender(&self, asked: Asked<'_>, token: &VerifiedToken, now: Timestamp) -> Result<(), SenderRefusal> {
        let Asked { scheme, token: text, proofs, certificate, method, path } = asked;
        let uri = match (scheme, self.origin.get()) {
            // Nothing looks at the address.
            (Scheme::Bearer, _) => HttpUri::parse("http://localhost").ok(),
            (Scheme::Dpop, Some(origin)) => {
                HttpUri::parse(&format!("{}{path}", origin.as_str().trim_end_matches('/'))).ok()
            }
            (Scheme::Dpop, None) => {
                let detail = "this server does not know its public address, which DPoP proofs are made for; start it with --public-url";
                return Err(problem(Code::InvalidDpopProof, detail.to_owned()).into());
            }
        };
        let uri =
            uri.ok_or_else(|| problem(Code::InvalidDpopProof, "the address of the request is not one".to_owned()))?;
        let sender = Sender { scheme, certificate, proofs, target: Target { method, uri: &uri } };
        sender.check(text, token, &self.proofs, now).map_err(|error| {
            if error == SenderError::Proof(ProofError::Full) {
                return SenderRefusal::ProofsFull;
            }
            problem(error.code(), error.to_string()).into()
        })
    }
}

/// Why a sender may not use a token that counts.
enum SenderRefusal {
    Problem(Problem),
    ProofsFull,
}

impl From<Problem> for SenderRefusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
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
