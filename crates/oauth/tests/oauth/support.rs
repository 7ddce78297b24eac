//! Keys, tokens and proofs that tests sign themselves, and an installation that has two issuers.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::{Algorithm, Binding, IssuerSettings, Keys, Need, Profile, ScopeRule, Scopes, Tenants, Values, Verifier};
use serde_json::{Value, json};
use types::{TenantId, Timestamp};

/// The time of the tests, in seconds since 1970.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const NOW: Timestamp = Timestamp::from_ns(NOW_S * 1_000_000_000);

/// The issuer whose tokens have the form of RFC 9068.
pub(crate) const ISSUER: &str = "https://id.example/realms/a";
/// The issuer whose tokens are plain.
pub(crate) const PLAIN: &str = "https://keycloak.example/realms/b";
pub(crate) const AUDIENCE: &str = "https://pay.example";

pub(crate) const READ: Scopes = Scopes(1);
pub(crate) const WRITE: Scopes = Scopes(2);
pub(crate) const ADMIN: Scopes = Scopes(4);

/// A key pair of a test.
pub(crate) enum Signer {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn generate(algorithm: Algorithm) -> Self {
        let ec = |parameters, curve| Self::Ec(EcdsaKeyPair::generate(parameters).unwrap(), curve);
        match algorithm {
            Algorithm::Es256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::Es384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::Es512 => ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::EdDsa => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Self::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()),
        }
    }

    /// The public key, without `kid`, `alg` and `use`.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                // SEQUENCE { INTEGER n, INTEGER e }: the lengths of both and of the whole take two bytes, e is 65537.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "n": text(&der[9..der.len() - 5]), "e": "AQAB"})
            }
            Self::Ec(pair, curve) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
        }
    }

    /// The public key as a member of a key set.
    pub(crate) fn published(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A JWS. Header and payload are texts, so that they can be what no JSON library would write.
    pub(crate) fn jws(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", text(header.as_bytes()), text(payload.as_bytes()));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", text(&signature))
    }
}

/// Base64url without padding.
pub(crate) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn thumbprint_text(bytes: &[u8]) -> String {
    text(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// The keys of an installation's issuers and of an attacker.
pub(crate) struct World {
    /// `ec` and `rsa` are keys of [`ISSUER`], `ed` is one of [`PLAIN`].
    pub(crate) ec: Signer,
    pub(crate) rsa: Signer,
    pub(crate) ed: Signer,
    /// In the key set of [`ISSUER`], for encryption.
    pub(crate) encryption: Signer,
    pub(crate) attacker: Signer,
    pub(crate) attacker_rsa: Signer,
}

/// The keys, made once.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World {
        ec: Signer::generate(Algorithm::Es256),
        rsa: Signer::generate(Algorithm::Rs256),
        ed: Signer::generate(Algorithm::EdDsa),
        encryption: Signer::generate(Algorithm::Es256),
        attacker: Signer::generate(Algorithm::Es256),
        attacker_rsa: Signer::generate(Algorithm::Rs256),
    })
}

pub(crate) fn settings() -> Vec<IssuerSettings> {
    let rule = |path: &[&str], values, value: &str, scopes| ScopeRule {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        values,
        value: value.to_owned(),
        scopes,
    };
    vec![
        IssuerSettings {
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            algorithms: vec![Algorithm::Es256, Algorithm::Rs256],
            profile: Profile::AccessTokenJwt,
            tenants: Tenants::Fixed(TenantId::new(1)),
            rules: vec![
                rule(&["scope"], Values::Spaced, "payments:read", READ),
                rule(&["scope"], Values::Spaced, "payments:write", WRITE),
            ],
            binding: Binding::Optional,
        },
        IssuerSettings {
            issuer: PLAIN.into(),
            audience: AUDIENCE.into(),
            algorithms: vec![Algorithm::EdDsa],
            profile: Profile::PlainJwt,
            tenants: Tenants::Claim {
                path: vec!["tenant".into()],
                tenants: [("two".into(), TenantId::new(2)), ("three".into(), TenantId::new(3))].into(),
            },
            rules: vec![
                rule(&["realm_access", "roles"], Values::Listed, "payments admin", ADMIN),
                rule(&["realm_access", "roles"], Values::Listed, "reader", READ),
            ],
            binding: Binding::Optional,
        },
    ]
}

pub(crate) fn key_set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The keys of [`ISSUER`] as it publishes them.
pub(crate) fn published_keys() -> Vec<u8> {
    let world = world();
    let mut rsa = world.rsa.published("rsa");
    rsa["alg"] = "RS256".into();
    let mut encryption = world.encryption.published("enc");
    encryption["use"] = "enc".into();
    key_set(&[world.ec.published("ec"), rsa, encryption, json!({"kty": "quantum", "kid": "q"})])
}

/// Both issuers, with their keys.
pub(crate) fn verifier() -> Verifier {
    verifier_with(settings())
}

pub(crate) fn verifier_with(settings: Vec<IssuerSettings>) -> Verifier {
    let mut verifier = Verifier::new(settings).unwrap();
    for (issuer, keys) in [(ISSUER, published_keys()), (PLAIN, key_set(&[world().ed.published("ed")]))] {
        let set = verifier.keys(issuer).unwrap();
        assert!(set.start_fetch(NOW, Need::Age));
        assert_eq!(set.fetched(NOW, Some(Keys::parse(&keys).unwrap())), 0);
    }
    verifier
}

pub(crate) fn header() -> Value {
    json!({"typ": "at+jwt", "alg": "ES256", "kid": "ec"})
}

/// The claims of a valid token of [`ISSUER`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "5ba552d67", "client_id": "s6BhdRkqt3", "jti": "dbe39bf3a3ba4238",
        "iat": NOW_S, "exp": NOW_S + 300, "scope": "openid payments:read payments:write"
    })
}

/// The claims of a valid token of [`PLAIN`].
pub(crate) fn plain_claims() -> Value {
    json!({
        "iss": PLAIN, "aud": ["account", AUDIENCE], "sub": "u", "azp": "web", "iat": NOW_S, "exp": NOW_S + 300,
        "typ": "Bearer", "tenant": "two", "realm_access": {"roles": ["reader"]}
    })
}

/// A token of [`ISSUER`] with these changes.
pub(crate) fn token(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (header(), claims());
    change(&mut header, &mut claims);
    world().ec.jws(Algorithm::Es256, &header.to_string(), &claims.to_string())
}

/// A token of [`PLAIN`] with these changes.
pub(crate) fn plain_token(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (json!({"typ": "JWT", "alg": "EdDSA", "kid": "ed"}), plain_claims());
    change(&mut header, &mut claims);
    world().ed.jws(Algorithm::EdDsa, &header.to_string(), &claims.to_string())
}

pub(crate) fn remove(value: &mut Value, member: &str) {
    assert!(value.as_object_mut().unwrap().remove(member).is_some(), "{member}");
}
