//! JSON Web Signatures in the compact form (RFC 7515), read strictly.

use aws_lc_rs::signature::ParsedPublicKey;
use types::shorten;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::json::{Json, JsonError, Members, parse_object};
use crate::jwk::{KID_BYTES_MAX, Key};

/// The longest JWS that is read at all.
pub const JWS_BYTES_MAX: usize = 8 * 1024;

/// Header parameters that are never accepted. `crit` and `b64` change how the rest is read (RFC 7515, section 4.1.11;
/// RFC 7797), `zip` and `enc` belong to encryption, and the others make the verifier fetch or believe a key that the
/// sender of the token chose.
const REFUSED: [&str; 7] = ["crit", "b64", "zip", "enc", "jku", "x5u", "x5c"];

/// Why a text is not a JWS that may be looked at further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than the bound.
    #[error("it has {0} bytes; expected at most {JWS_BYTES_MAX}")]
    Size(usize),
    /// Not three parts.
    #[error("it has {0} parts; expected header.payload.signature")]
    Parts(usize),
    /// A part is not strict base64url.
    #[error("its {0} is not base64url without padding")]
    Encoding(&'static str),
    /// The header is not an object in JSON.
    #[error("its header is not valid: {0}")]
    Header(JsonError),
    /// A header parameter is missing or has another type than it must have.
    #[error("its header has {found} as `{parameter}`; expected {expected}")]
    Parameter {
        /// The name of the parameter.
        parameter: &'static str,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// An algorithm that Finaira does not know, such as `none` or HMAC.
    #[error("its algorithm is `{0}`; expected an asymmetric one")]
    Algorithm(String),
    /// A parameter that is refused wherever it stands.
    #[error("its header has the parameter `{0}`, which is not accepted")]
    Refused(&'static str),
}

/// Whether the header may carry the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddedKey {
    /// A `jwk` is refused.
    Refused,
    /// A `jwk` is required, as in a DPoP proof.
    Required,
}

/// A JWS that is well-formed. Nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Compact<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    payload: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    jwk: Option<Members>,
}

impl<'a> Compact<'a> {
    /// Reads a JWS.
    ///
    /// # Errors
    /// Fails if anything about it is not exactly as it should be; see [`JwsError`].
    pub fn parse(text: &'a str, embedded: EmbeddedKey) -> Result<Self, JwsError> {
        if text.len() > JWS_BYTES_MAX {
            return Err(JwsError::Size(text.len()));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::Parts(text.split('.').count()));
        };
        let (signed, _) = text.rsplit_once('.').ok_or(JwsError::Parts(1))?;
        let decode = |part, name| base64url::decode(part).ok_or(JwsError::Encoding(name));
        let header = parse_object(&decode(header, "header")?).map_err(JwsError::Header)?;
        if let Some(refused) = REFUSED.into_iter().find(|parameter| header.contains_key(*parameter)) {
            return Err(JwsError::Refused(refused));
        }
        let name = parameter(&header, "alg")?;
        let missing = JwsError::Parameter { parameter: "alg", found: "nothing", expected: "text" };
        let name = name.ok_or(missing)?;
        let algorithm = Algorithm::named(name).ok_or_else(|| JwsError::Algorithm(shorten(name)))?;
        let kid = parameter(&header, "kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            let (found, expected) = ("a longer text", "at most 256 bytes");
            return Err(JwsError::Parameter { parameter: "kid", found, expected });
        }
        let typ = parameter(&header, "typ")?.map(str::to_owned);
        let jwk = match (embedded, header.get("jwk")) {
            (EmbeddedKey::Refused, None) => None,
            (EmbeddedKey::Refused, Some(_)) => return Err(JwsError::Refused("jwk")),
            (EmbeddedKey::Required, Some(Json::Object(members))) => Some(members.clone()),
            (EmbeddedKey::Required, other) => {
                let found = other.map_or("nothing", Json::kind);
                return Err(JwsError::Parameter { parameter: "jwk", found, expected: "a public key" });
            }
        };
        let (payload, signature) = (decode(payload, "payload")?, decode(signature, "signature")?);
        Ok(Self { signed, signature, payload, algorithm, kid, typ, jwk })
    }

    /// The algorithm that the header names. The key and the settings say whether it may be used.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that the header names.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What the header says that this JWS is.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The payload, which is only worth something once the signature is verified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) const fn jwk(&self) -> Option<&Members> {
        self.jwk.as_ref()
    }

    /// Whether `key` may be used with the algorithm of the header, and made the signature.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verifier(self.algorithm).is_some_and(|verifier| self.verifies_with(verifier))
    }

    /// The key must have been made for the algorithm of the header.
    pub(crate) fn verifies_with(&self, verifier: &ParsedPublicKey) -> bool {
        verifier.verify_sig(self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// Whether `typ` is this media type, with or without `application/` (RFC 7515, section 4.1.9).
    pub(crate) fn has_type(&self, expected: &str) -> bool {
        self.typ.as_ref().is_some_and(|typ| {
            let short = typ.split_at_checked(12).filter(|(prefix, _)| prefix.eq_ignore_ascii_case("application/"));
            short.map_or(typ.as_str(), |(_, short)| short).eq_ignore_ascii_case(expected)
        })
    }
}

fn parameter<'a>(header: &'a Members, parameter: &'static str) -> Result<Option<&'a str>, JwsError> {
    match header.get(parameter) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(other) => Err(JwsError::Parameter { parameter, found: other.kind(), expected: "text" }),
    }
}
