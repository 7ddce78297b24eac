//! Public keys in JSON (RFC 7517, RFC 7518, RFC 8037), and their thumbprints (RFC 7638).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey};
use types::shorten;

use crate::algorithm::{Algorithm, Curve, Scheme};
use crate::base64url;
use crate::json::{Json, Members};

/// The smallest RSA modulus that a signature is accepted from.
pub const RSA_BITS_MIN: usize = 2048;
/// The largest RSA modulus. Larger ones cost too much time for each signature.
pub const RSA_BITS_MAX: usize = 8192;
/// The longest `kid`.
pub const KID_BYTES_MAX: usize = 256;

/// Members that only private and symmetric keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a JSON Web Key cannot check signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// The key is private or symmetric: whoever published it made its secret known.
    #[error("member `{0}` belongs to a private or a symmetric key; expected a public key")]
    Private(&'static str),
    /// A member is missing or has the wrong type.
    #[error("member `{member}` is {found}; expected {expected}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A type of key, a curve or an algorithm that Finaira does not know.
    #[error("`{member}` is `{found}`, which is not supported")]
    Unknown {
        /// The member that says it.
        member: &'static str,
        /// Its value, shortened.
        found: String,
    },
    /// The size of an RSA modulus.
    #[error("an RSA key of {0} bits; expected {RSA_BITS_MIN} to {RSA_BITS_MAX}")]
    RsaSize(usize),
    /// The public exponent of an RSA key.
    #[error("the exponent of an RSA key must be odd, at least 65537 and below 2^33")]
    RsaExponent,
    /// The key has the fingerprint of CVE-2017-15361 (ROCA), so its private key can be computed.
    #[error("an RSA key that a faulty generator made (CVE-2017-15361)")]
    RsaRoca,
    /// The key is valid, but its own members keep it from verifying signatures.
    #[error("`{member}` of the key says `{found}`; expected a key to verify signatures with")]
    NotForSignatures {
        /// `use`, `key_ops` or `alg`.
        member: &'static str,
        /// Its value, shortened.
        found: String,
    },
    /// The algorithm needs a key of another type.
    #[error("{0} needs a key of another type or on another curve")]
    WrongType(&'static str),
    /// The numbers make no key, such as a point that is not on its curve.
    #[error("the numbers of the key do not make a key of its type")]
    Numbers,
}

/// The numbers of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

/// A public key, of a type that Finaira knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(Numbers);

impl PublicKey {
    /// Reads the numbers of a key, and refuses private ones.
    pub(crate) fn parse(members: &Members) -> Result<Self, JwkError> {
        if let Some(private) = PRIVATE_MEMBERS.into_iter().find(|member| members.contains_key(*member)) {
            return Err(JwkError::Private(private));
        }
        let unknown = |member, found: &str| JwkError::Unknown { member, found: shorten(found) };
        let numbers = match text(members, "kty")? {
            "RSA" => Numbers::Rsa { n: bytes(members, "n")?, e: bytes(members, "e")? },
            "EC" => {
                let name = text(members, "crv")?;
                let curve = Curve::named(name).ok_or_else(|| unknown("crv", name))?;
                Numbers::Ec { curve, x: bytes(members, "x")?, y: bytes(members, "y")? }
            }
            "OKP" => match text(members, "crv")? {
                "Ed25519" => Numbers::Ed25519 { x: bytes(members, "x")? },
                name => return Err(unknown("crv", name)),
            },
            kind => return Err(unknown("kty", kind)),
        };
        match &numbers {
            Numbers::Rsa { n, e } => check_rsa(n, e)?,
            Numbers::Ec { curve, x, y } => {
                if [x, y].iter().any(|number| number.len() != curve.coordinate_bytes()) {
                    return Err(JwkError::Numbers);
                }
            }
            Numbers::Ed25519 { x } => {
                if x.len() != signature::ED25519_PUBLIC_KEY_LEN {
                    return Err(JwkError::Numbers);
                }
            }
        }
        Ok(Self(numbers))
    }

    /// The SHA-256 thumbprint of RFC 7638.
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        let text = base64url::encode;
        let canonical = match &self.0 {
            Numbers::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
            Numbers::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name(), text(x), text(y))
            }
            Numbers::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
        };
        Thumbprint::of(canonical.as_bytes())
    }

    /// The size of an RSA modulus, or `None` for another type of key.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        match &self.0 {
            Numbers::Rsa { n, .. } => Some(bits(n)),
            Numbers::Ec { .. } | Numbers::Ed25519 { .. } => None,
        }
    }

    /// The key, ready to check signatures of `algorithm`.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, JwkError> {
        let parsed = match (algorithm.scheme(), &self.0) {
            (Scheme::Rsa(parameters), Numbers::Rsa { n, e }) => {
                PublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            (Scheme::Ec(wanted, parameters), Numbers::Ec { curve, x, y }) if wanted == *curve => {
                // SEC 1, section 2.3.3: 4 means that both coordinates follow.
                ParsedPublicKey::new(parameters, [&[4], x.as_slice(), y].concat())
            }
            (Scheme::Ed25519, Numbers::Ed25519 { x }) => ParsedPublicKey::new(&signature::ED25519, x),
            _ => return Err(JwkError::WrongType(algorithm.name())),
        };
        parsed.map_err(|_rejected| JwkError::Numbers)
    }
}

/// A key of an issuer.
pub struct Key {
    kid: Option<String>,
    public: PublicKey,
    /// The algorithms that the key may be used with, in the order of [`Algorithm::ALL`].
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
    retired: AtomicBool,
}

impl Key {
    /// Reads a key that verifies signatures.
    pub(crate) fn parse(members: &Members) -> Result<Self, JwkError> {
        let public = PublicKey::parse(members)?;
        let kid = optional_text(members, "kid")?;
        if kid.is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(JwkError::Member { member: "kid", found: "too long", expected: "at most 256 bytes" });
        }
        let not_for_signatures = |member, found: &str| JwkError::NotForSignatures { member, found: shorten(found) };
        if let Some(usage) = optional_text(members, "use")?
            && usage != "sig"
        {
            return Err(not_for_signatures("use", usage));
        }
        if let Some(operations) = members.get("key_ops") {
            let operations = texts(operations, "key_ops")?;
            if !operations.contains(&"verify") {
                return Err(not_for_signatures("key_ops", &operations.join(" ")));
            }
        }
        let only = match optional_text(members, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or_else(|| not_for_signatures("alg", name))?),
        };
        let mut verifiers = Vec::new();
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| only.is_none_or(|only| only == *algorithm)) {
            match public.verifier(algorithm) {
                Ok(verifier) => verifiers.push((algorithm, verifier)),
                Err(JwkError::WrongType(_)) if only.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { kid: kid.map(str::to_owned), public, verifiers, retired: AtomicBool::new(false) })
    }

    /// The name that the issuer gave the key.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether the key may be used with `algorithm`.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    /// Whether the issuer has withdrawn the key. What was verified with it no longer counts.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let algorithms = |key: &Self| key.verifiers.iter().map(|(algorithm, _)| *algorithm).collect::<Vec<_>>();
        self.kid == other.kid && self.public == other.public && algorithms(self) == algorithms(other)
    }

    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(its, _)| *its == algorithm).map(|(_, verifier)| verifier)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.verifiers.iter().map(|(algorithm, _)| algorithm).collect();
        let (kid, retired) = (&self.kid, &self.retired);
        f.debug_struct("Key").field("kid", kid).field("algorithms", &algorithms).field("retired", retired).finish()
    }
}

/// The SHA-256 hash that names a key or a certificate in the claim `cnf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Hashes `bytes`, such as a certificate in DER.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Reads the base64url form. Returns `None` if it is not that of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        base64url::decode(text)?.try_into().ok().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    /// Writes the base64url form, which [`Thumbprint::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), JwkError> {
    // RFC 7518, section 2: a number is written with as few bytes as it needs. Otherwise a key had several thumbprints.
    if n.first() == Some(&0) || e.first() == Some(&0) {
        return Err(JwkError::Numbers);
    }
    let size = bits(n);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&size) {
        return Err(JwkError::RsaSize(size));
    }
    let exponent = e.iter().try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)));
    if exponent.is_none_or(|exponent| exponent & 1 == 0 || !(65_537..1 << 33).contains(&exponent)) {
        return Err(JwkError::RsaExponent);
    }
    if is_roca(n) { Err(JwkError::RsaRoca) } else { Ok(()) }
}

/// The size of a number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(0))
}

/// Whether the modulus looks like those of the generator with CVE-2017-15361: it is a power of 65537 modulo each small
/// prime. A random modulus is so with a chance below 2^-27.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u64; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    let is_power = |prime: u64| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u64::from(*byte)) % prime);
        let mut power = 1;
        loop {
            if power == rest {
                return true;
            }
            power = power * 65_537 % prime;
            if power == 1 {
                return false;
            }
        }
    };
    PRIMES.into_iter().all(is_power)
}

fn text<'a>(members: &'a Members, member: &'static str) -> Result<&'a str, JwkError> {
    optional_text(members, member)?.ok_or(JwkError::Member { member, found: "missing", expected: "text" })
}

fn optional_text<'a>(members: &'a Members, member: &'static str) -> Result<Option<&'a str>, JwkError> {
    match members.get(member) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(other) => Err(JwkError::Member { member, found: other.kind(), expected: "text" }),
    }
}

fn texts<'a>(value: &'a Json, member: &'static str) -> Result<Vec<&'a str>, JwkError> {
    let wrong = |found: &Json| JwkError::Member { member, found: found.kind(), expected: "a list of texts" };
    let Json::List(list) = value else { return Err(wrong(value)) };
    list.iter().map(|item| item.text().ok_or_else(|| wrong(item))).collect()
}

fn bytes(members: &Members, member: &'static str) -> Result<Vec<u8>, JwkError> {
    let decoded = base64url::decode(text(members, member)?).filter(|bytes| !bytes.is_empty());
    decoded.ok_or(JwkError::Member { member, found: "not base64url", expected: "a number in base64url" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        // RFC 7638, section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
                 hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ\
                 vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK\
                 nqDKgw";
        let key = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#);
        let key = PublicKey::parse(&parse_object(key.as_bytes()).unwrap()).unwrap();
        assert_eq!(Some(key.thumbprint()), Thumbprint::parse("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    }
}
