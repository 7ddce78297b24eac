//! What the endpoints answer if they refuse (RFC 6749, section 5.2).

use oauth::{AssertionError, ProofError};
use serde_json::json;
use types::Span;

use crate::form::FormError;

/// The value of `error`, which programs act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed, or lacks something.
    InvalidRequest,
    /// The client is unknown, or has not shown that it is the one it claims to be.
    InvalidClient,
    /// A grant that is not given here.
    UnsupportedGrantType,
    /// The client may not do this.
    UnauthorizedClient,
    /// A scope that is malformed, or that the client may not have.
    InvalidScope,
    /// A token for another server (RFC 8707).
    InvalidTarget,
    /// The DPoP proof is wrong (RFC 9449).
    InvalidDpopProof,
    /// The DPoP proof needs the nonce that the response carries.
    UseDpopNonce,
    /// The same request may succeed later.
    TemporarilyUnavailable,
}

impl Code {
    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The status of the response. One with 401 must carry [`Refusal::CHALLENGE`].
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::TemporarilyUnavailable => 503,
            Self::InvalidRequest
            | Self::UnsupportedGrantType
            | Self::UnauthorizedClient
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidDpopProof
            | Self::UseDpopNonce => 400,
        }
    }
}

/// Why a request gets nothing. The texts never contain a secret, an assertion or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is not a form.
    #[error(transparent)]
    Form(FormError),
    /// The address has a query. Addresses get into logs, so parameters are only accepted in the body.
    #[error("the address has a query; expected all parameters in the body")]
    Query,
    /// A parameter that must be there.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// Several ways to authenticate at once, of which different programs could take different ones.
    #[error("the request authenticates its client in several ways; expected one")]
    SeveralMethods,
    /// The client is named twice, differently.
    #[error("the request names two clients; expected one")]
    TwoClients,
    /// The header does not say who it is.
    #[error("the header `Authorization` is malformed; expected `Basic` and the base64 of `<client id>:<secret>`")]
    Authorization,
    /// The request does not say who sends it.
    #[error("the request does not authenticate its client; expected a secret or a client assertion")]
    NoAuthentication,
    /// Assertions of other types, such as SAML.
    #[error("`client_assertion_type` is not supported; expected `{ASSERTION_TYPE}`")]
    AssertionType,
    /// Unknown, revoked, registered for another method, or with another secret: a stranger is not told which.
    #[error("the client is unknown, revoked, or did not authenticate as it is registered")]
    Client,
    /// The assertion does not count.
    #[error(transparent)]
    Assertion(AssertionError),
    /// The assertion was used before.
    #[error("the client assertion was used before; expected another `jti`")]
    Replayed,
    /// The assertion may have been used before the server started.
    #[error(
        "the client assertion may have been used before the server started; make a new one and try again after a few seconds"
    )]
    BeforeStart,
    /// As many assertions were used in a short time as can be remembered.
    #[error("too many client assertions were used in a short time")]
    ManyAssertions,
    /// Another grant.
    #[error("the grant is not supported; expected `client_credentials`")]
    GrantType,
    /// The value of `scope` is not a list of scopes.
    #[error("`scope` is malformed; expected names with one space between them")]
    ScopeSyntax,
    /// A scope that the client may not have.
    #[error("the client may not have the scope `{0}`")]
    Scope(String),
    /// The client has no scopes at all, for example because its role was removed.
    #[error("the client has no scopes")]
    NoScopes,
    /// A token for another server.
    #[error("`{parameter}` is another server; expected `{expected}`")]
    Target {
        /// `resource` or `audience`.
        parameter: &'static str,
        /// This server.
        expected: String,
    },
    /// The client must bind its tokens to a key.
    #[error("the tokens of this client are bound to a key; expected a header `DPoP` with a proof")]
    NoProof,
    /// The client must bind its tokens to a certificate.
    #[error("the tokens of this client are bound to a certificate; expected a TLS connection with one")]
    NoCertificate,
    /// The DPoP proof does not count.
    #[error(transparent)]
    Proof(ProofError),
    /// A client revokes only its own tokens.
    #[error("the token is of another client; expected one of the client that asks")]
    OtherClient,
    /// This server cannot verify its own tokens at the moment.
    #[error("the keys of this server are not available at the moment")]
    KeysUnavailable,
}

/// The only type of assertion (RFC 7523, section 2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Refusal {
    /// The header `WWW-Authenticate` of a response with 401.
    pub const CHALLENGE: &'static str = "Basic realm=\"finaira\"";

    /// What programs are told.
    pub const fn code(&self) -> Code {
        match self {
            Self::Form(_)
            | Self::Query
            | Self::Missing(_)
            | Self::SeveralMethods
            | Self::TwoClients
            | Self::AssertionType
            | Self::NoProof
            | Self::NoCertificate => Code::InvalidRequest,
            Self::Authorization | Self::NoAuthentication | Self::Client | Self::Assertion(_) | Self::Replayed => {
                Code::InvalidClient
            }
            Self::OtherClient => Code::UnauthorizedClient,
            Self::GrantType => Code::UnsupportedGrantType,
            Self::ScopeSyntax | Self::Scope(_) | Self::NoScopes => Code::InvalidScope,
            Self::Target { .. } => Code::InvalidTarget,
            Self::BeforeStart | Self::ManyAssertions | Self::KeysUnavailable => Code::TemporarilyUnavailable,
            Self::Proof(error) => match error.code() {
                oauth::Code::UseDpopNonce => Code::UseDpopNonce,
                oauth::Code::TemporarilyUnavailable => Code::TemporarilyUnavailable,
                oauth::Code::InvalidRequest
                | oauth::Code::InvalidToken
                | oauth::Code::InsufficientScope
                | oauth::Code::InvalidDpopProof => Code::InvalidDpopProof,
            },
        }
    }

    /// How long to wait before another try, for the header `Retry-After` of a response with 503.
    pub const fn retry_after(&self) -> Option<Span> {
        match self.code() {
            Code::TemporarilyUnavailable => Some(oauth::ASSERTION_AHEAD_MAX),
            Code::InvalidRequest
            | Code::InvalidClient
            | Code::UnsupportedGrantType
            | Code::UnauthorizedClient
            | Code::InvalidScope
            | Code::InvalidTarget
            | Code::InvalidDpopProof
            | Code::UseDpopNonce => None,
        }
    }

    /// The body of the response.
    pub fn to_json(&self) -> String {
        // RFC 6749, section 5.2: printable ASCII without quotation marks and backslashes.
        let plain = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '?' };
        let description: String = self.to_string().chars().map(plain).collect();
        json!({ "error": self.code().name(), "error_description": description }).to_string()
    }
}
