//! Keys that sign tokens.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use oauth::{Algorithm, Thumbprint, base64url};
use serde::{Deserialize, Serialize};
use types::shorten;

use crate::secret::wipe;

/// What tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256, which every resource server can verify.
    #[default]
    Es256,
    /// EdDSA on Ed25519.
    EdDsa,
}

/// A key that signs tokens. Its name (`kid`) is its thumbprint (RFC 7638).
pub struct SigningKey {
    secret: Secret,
    pair: Pair,
    public: PublicHalf,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// 32 secret bytes, overwritten when dropped.
struct Secret([u8; 32]);

/// The half of a key that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicHalf {
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) kid: String,
    x: String,
    y: Option<String>,
}

/// A key as JSON (RFC 7517), with `d` if it is private. Without `Debug`, so that nobody prints it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwk {
    alg: String,
    crv: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    kid: String,
    kty: String,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

/// Why bytes make no key. The texts contain nothing of a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// One in 2^32 random numbers is no private key on P-256. The caller draws again.
    #[error("the random bytes are no private key; draw others")]
    Random,
    /// The algorithm is not one that this issuer signs with.
    #[error("the key `{kid}` is for `{algorithm}`; expected ES256 or EdDSA")]
    Algorithm {
        /// Its name, shortened.
        kid: String,
        /// Its algorithm, shortened.
        algorithm: String,
    },
    /// A number is not 32 bytes in base64url.
    #[error("`{member}` of the key `{kid}` is not the base64url of 32 bytes")]
    Number {
        /// Its name, shortened.
        kid: String,
        /// The member of the key.
        member: &'static str,
    },
    /// A member is not what the others make it.
    #[error("the members of the key `{0}` do not belong together")]
    Members(String),
}

impl SigningAlgorithm {
    /// The algorithm in `alg` of a token.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::Es256,
            Self::EdDsa => Algorithm::EdDsa,
        }
    }

    const fn curve(self) -> (&'static str, &'static str) {
        match self {
            Self::Es256 => ("EC", "P-256"),
            Self::EdDsa => ("OKP", "Ed25519"),
        }
    }
}

impl SigningKey {
    /// The key with these private bytes, which must be random.
    ///
    /// # Errors
    /// Fails with [`KeyError::Random`] if the bytes are no private key. The caller then draws others.
    pub fn generate(algorithm: SigningAlgorithm, random: [u8; 32]) -> Result<Self, KeyError> {
        let secret = Secret(random);
        let (pair, x, y) = match algorithm {
            SigningAlgorithm::Es256 => {
                let private = agreement::PrivateKey::from_private_key(&ECDH_P256, &secret.0)
                    .map_err(|_rejected| KeyError::Random)?;
                let point = private.compute_public_key().map_err(|_unspecified| KeyError::Random)?;
                let point = point.as_ref();
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret.0, point);
                let pair = pair.map_err(|_rejected| KeyError::Random)?;
                // SEC 1, section 2.3.3: a byte 4, then both coordinates.
                let (x, y) = point.get(1..).and_then(|both| both.split_at_checked(32)).ok_or(KeyError::Random)?;
                (Pair::Es256(pair), base64url::encode(x), Some(base64url::encode(y)))
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_seed_unchecked(&secret.0).map_err(|_rejected| KeyError::Random)?;
                let x = base64url::encode(pair.public_key().as_ref());
                (Pair::EdDsa(pair), x, None)
            }
        };
        Ok(Self { secret, pair, public: PublicHalf::new(algorithm, x, y) })
    }

    /// The name of the key.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// What the key signs with.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.public.algorithm
    }

    /// The public half as JSON (RFC 7517).
    pub fn public_jwk(&self) -> String {
        serde_json::to_string(&self.public.jwk()).unwrap_or_default()
    }

    pub(crate) const fn public(&self) -> &PublicHalf {
        &self.public
    }

    /// The whole key, to be stored where only the operator can read it.
    pub(crate) fn private_jwk(&self) -> Jwk {
        let mut jwk = self.public.jwk();
        (jwk.d, jwk.usage) = (Some(base64url::encode(&self.secret.0)), None);
        jwk
    }

    /// Reads what [`SigningKey::private_jwk`] returned. All members must belong together.
    pub(crate) fn from_private_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let algorithm = jwk.algorithm()?;
        let number = || KeyError::Number { kid: shorten(&jwk.kid), member: "d" };
        let mut bytes = jwk.d.as_deref().and_then(base64url::decode).ok_or_else(number)?;
        let secret = bytes.as_slice().try_into();
        wipe(&mut bytes);
        let key = Self::generate(algorithm, secret.map_err(|_length| number())?)?;
        if key.public == PublicHalf::from_jwk(jwk)? { Ok(key) } else { Err(KeyError::Members(shorten(&jwk.kid))) }
    }

    /// Signs `message`. The library draws the random number that ES256 needs.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                // It fails only if the operating system gives no randomness; see `vault::Random`.
                signature.expect("ISS-1: a signature needs randomness").as_ref().to_vec()
            }
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

impl PublicHalf {
    fn new(algorithm: SigningAlgorithm, x: String, y: Option<String>) -> Self {
        let (kty, crv) = algorithm.curve();
        // RFC 7638: the required members in order, without spaces.
        let end = y.as_ref().map_or_else(String::new, |y| format!(r#","y":"{y}""#));
        let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"{end}}}"#);
        Self { algorithm, kid: Thumbprint::of(canonical.as_bytes()).to_string(), x, y }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        let (kty, crv) = self.algorithm.curve();
        Jwk {
            alg: self.algorithm.algorithm().name().to_owned(),
            crv: crv.to_owned(),
            d: None,
            kid: self.kid.clone(),
            kty: kty.to_owned(),
            usage: Some("sig".to_owned()),
            x: self.x.clone(),
            y: self.y.clone(),
        }
    }

    /// Reads the public members, and checks that the name is the thumbprint of the others.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let algorithm = jwk.algorithm()?;
        let kid = || shorten(&jwk.kid);
        let is_number = |text: &str| base64url::decode(text).is_some_and(|bytes| bytes.len() == 32);
        for (member, text) in [("x", Some(&jwk.x)), ("y", jwk.y.as_ref())] {
            if text.is_some_and(|text| !is_number(text)) {
                return Err(KeyError::Number { kid: kid(), member });
            }
        }
        let half = Self::new(algorithm, jwk.x.clone(), jwk.y.clone());
        let belong = half.kid == jwk.kid
            && (jwk.kty.as_str(), jwk.crv.as_str()) == algorithm.curve()
            && jwk.y.is_some() == (algorithm == SigningAlgorithm::Es256)
            && jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        if belong { Ok(half) } else { Err(KeyError::Members(kid())) }
    }
}

impl Jwk {
    pub(crate) const fn is_private(&self) -> bool {
        self.d.is_some()
    }

    fn algorithm(&self) -> Result<SigningAlgorithm, KeyError> {
        let known = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa];
        known
            .into_iter()
            .find(|known| known.algorithm().name() == self.alg)
            .ok_or_else(|| KeyError::Algorithm { kid: shorten(&self.kid), algorithm: shorten(&self.alg) })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}
