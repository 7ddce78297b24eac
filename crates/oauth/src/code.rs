//! What a response says about a refusal (RFC 6750, section 3; RFC 9449, sections 7.1 and 12.2).

use crate::algorithm::Algorithm;
use crate::sender::Scheme;

/// What the client is told. The texts of errors are for the same response; the code is what programs act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request itself is wrong, for example with two tokens.
    InvalidRequest,
    /// The token is expired, malformed, of another issuer, or not valid for this sender or server.
    InvalidToken,
    /// The token is valid, and does not allow this.
    InsufficientScope,
    /// The DPoP proof is missing or wrong.
    InvalidDpopProof,
    /// The DPoP proof needs the nonce that the response carries.
    UseDpopNonce,
    /// Finaira cannot tell now: the keys of the issuer could not be fetched, or a bound was reached. The same request may
    /// succeed later.
    TemporarilyUnavailable,
}

impl Code {
    /// The value of `error` in the header `WWW-Authenticate`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The status of the response.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::InvalidToken | Self::InvalidDpopProof | Self::UseDpopNonce => 401,
            Self::InsufficientScope => 403,
            Self::TemporarilyUnavailable => 503,
        }
    }
}

/// The value of a header `WWW-Authenticate` that asks for a token by `scheme`. `refused` has the code and the text of what was
/// wrong with the one that was sent, if any was. `scope` is what the request needs and the token lacks. `algorithms` are those that proofs may be signed with.
pub fn challenge(
    scheme: Scheme,
    refused: Option<(Code, &str)>,
    scope: Option<&str>,
    algorithms: &[Algorithm],
) -> String {
    let mut parameters = Vec::new();
    if let Some((code, text)) = refused {
        // RFC 6750, section 3: printable ASCII without quotation marks and backslashes.
        let plain = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '?' };
        let text: String = text.chars().map(plain).collect();
        parameters.push(format!("error=\"{}\", error_description=\"{text}\"", code.name()));
    }
    if let Some(scope) = scope {
        parameters.push(format!("scope=\"{scope}\""));
    }
    let name = match scheme {
        Scheme::Bearer => "Bearer",
        Scheme::Dpop => {
            let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
            parameters.push(format!("algs=\"{}\"", names.join(" ")));
            "DPoP"
        }
    };
    format!("{name} {}", parameters.join(", ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_what_is_wrong() {
        let algorithms = [Algorithm::Es256, Algorithm::EdDsa];
        assert_eq!(challenge(Scheme::Bearer, None, None, &algorithms), "Bearer");
        assert_eq!(challenge(Scheme::Dpop, None, None, &algorithms), r#"DPoP algs="ES256 EdDSA""#);
        let refused = Some((Code::UseDpopNonce, "no nonce"));
        let expected = r#"DPoP error="use_dpop_nonce", error_description="no nonce", algs="ES256 EdDSA""#;
        assert_eq!(challenge(Scheme::Dpop, refused, None, &algorithms), expected);
        let forged = Some((Code::InvalidToken, "a\", x=\"b\\\r\nSet-Cookie: \u{e9}"));
        let expected = r#"Bearer error="invalid_token", error_description="a?, x=?b???Set-Cookie: ?""#;
        assert_eq!(challenge(Scheme::Bearer, forged, None, &algorithms), expected);
        let narrow = Some((Code::InsufficientScope, "no"));
        let expected = r#"Bearer error="insufficient_scope", error_description="no", scope="payments:write""#;
        assert_eq!(challenge(Scheme::Bearer, narrow, Some("payments:write"), &[]), expected);
    }
}
