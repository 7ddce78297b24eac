//! Access tokens and DPoP proofs. An input is a header and a payload with a line break between them. The target signs them, because
//! hardly anything behind the check of a signature would be reached otherwise.

use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use oauth::{
    Algorithm, Binding, HttpUri, IssuerSettings, Keys, Need, Profile, ProofError, Proofs, ScopeRule, Scopes, Spender,
    Target, Tenants, Thumbprint, TokenError, Values, Verifier, base64url, presented,
};
use serde_json::{Value, json};
use types::{TenantId, Timestamp};

use crate::{Verdict, check_line};

const NOW_S: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::from_ns(NOW_S * 1_000_000_000);
const STRICT: &str = "https://id.example";
const PLAIN: &str = "https://keycloak.example/realms/a";
const AUDIENCE: &str = "https://pay.example";
const ADDRESS: &str = "https://pay.example/v1/payments";
/// The token that proofs are for.
const TOKEN: &str = "token";
const SCOPES: Scopes = Scopes(3);
const TENANTS: [TenantId; 2] = [TenantId::new(1), TenantId::new(2)];

fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a key")
}

fn jwk() -> Value {
    json!({"crv": "Ed25519", "kty": "OKP", "x": base64url::encode(signer(7).public_key().as_ref())})
}

/// The JWS of an input, signed with one of our keys.
fn signed(header: &[u8], payload: &[u8], seed: u8) -> String {
    let signed = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = signer(seed).sign(signed.as_bytes());
    format!("{signed}.{}", base64url::encode(signature.as_ref()))
}

/// The header and the payload of an input.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (header, payload) = bytes.split_at_checked(at)?;
    Some((header, payload.strip_prefix(b"\n")?))
}

fn settings(issuer: &str, profile: Profile, tenants: Tenants, (path, values): (&[&str], Values)) -> IssuerSettings {
    let rule = |value: &str, scopes| ScopeRule {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        values,
        value: value.to_owned(),
        scopes,
    };
    IssuerSettings {
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: vec![Algorithm::EdDsa],
        profile,
        tenants,
        rules: vec![rule("payments:read", Scopes(1)), rule("payments:write", Scopes(2))],
        binding: Binding::Optional,
    }
}

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let named = |name: &str, tenant| (name.to_owned(), tenant);
        let [first, second] = TENANTS;
        let tenants =
            Tenants::Claim { path: vec!["org".to_owned()], tenants: [named("a", first), named("b", second)].into() };
        let strict = settings(STRICT, Profile::AccessTokenJwt, tenants, (&["scope"], Values::Spaced));
        let roles = (&["realm_access", "roles"][..], Values::Listed);
        let plain = settings(PLAIN, Profile::PlainJwt, Tenants::Fixed(first), roles);
        let mut verifier = Verifier::new(vec![strict, plain]).expect("the settings can be used");
        for issuer in [STRICT, PLAIN] {
            let mut key = jwk();
            key["kid"] = "k1".into();
            let keys = Keys::parse(json!({ "keys": [key] }).to_string().as_bytes()).expect("a key set");
            let set = verifier.keys(issuer).expect("a known issuer");
            set.start_fetch(NOW, Need::Age);
            set.fetched(NOW, Some(keys));
        }
        verifier
    })
}

/// Only what the issuer signed counts, for its time, its tenants and the scopes of its rules. No message quotes a token.
pub(super) fn access_token(bytes: &[u8]) -> Verdict {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verifier().verify(text, NOW).is_err(), "nobody signed this");
    }
    if let Ok((_, token)) = presented(&[bytes]) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
    }
    let Some((header, payload)) = parts(bytes) else { return Verdict::no_input() };
    let token = signed(header, payload, 7);
    let forged = verifier().verify(&signed(header, payload, 8), NOW);
    let verified = match verifier().verify(&token, NOW) {
        Ok(verified) => verified.token,
        Err(error) => {
            assert!(forged.is_err(), "another key signed this");
            let told = error.to_string();
            assert!(!told.contains(&token), "an error message quotes no token");
            return check_line(told);
        }
    };
    assert_eq!(forged.map(drop), Err(TokenError::Signature));
    assert!(SCOPES.contains(verified.scopes) && TENANTS.contains(&verified.tenant), "{verified:?}");
    assert!([STRICT, PLAIN].contains(&&*verified.issuer) && !verified.subject.is_empty(), "{verified:?}");
    assert!(verified.expires_at > NOW, "{verified:?}");
    let late = verifier().verify(&token, verified.expires_at);
    // The keys are forgotten before some tokens expire.
    assert!(matches!(late, Err(TokenError::Expired { .. } | TokenError::KeysUnavailable(_))), "{late:?}");
    Verdict::Accepted
}

fn process(key: u8) -> Proofs {
    Proofs::new(vec![Algorithm::EdDsa, Algorithm::Es256], [key; 32], 10)
}

/// A proof counts once, for one request and one token, and with a nonce of the process that it asks.
pub(super) fn dpop_proof(bytes: &[u8]) -> Verdict {
    let uri = HttpUri::parse(ADDRESS).expect("an address");
    let target = Target { method: "POST", uri: &uri };
    let spender = Spender { tenant: TenantId::new(1), issuer: STRICT, subject: "checkout" };
    let key = Thumbprint::of(jwk().to_string().as_bytes());
    let check = |proofs: &Proofs, proof: &[u8], target: Target<'_>, token: &str| {
        proofs.check(&[proof], target, (token, key), spender, NOW)
    };
    assert!(check(&process(1), bytes, target, TOKEN).is_err(), "nobody signed this");
    let Some((header, payload)) = parts(bytes) else { return Verdict::no_input() };
    let proof = signed(header, payload, 7);
    let proofs = process(1);
    if let Err(error) = check(&proofs, proof.as_bytes(), target, TOKEN) {
        let told = error.to_string();
        assert!(!told.contains(&proof), "an error message quotes no proof");
        return check_line(told);
    }
    assert_eq!(check(&proofs, proof.as_bytes(), target, TOKEN), Err(ProofError::Replayed));
    assert_eq!(check(&process(2), proof.as_bytes(), target, TOKEN), Err(ProofError::Nonce));
    assert_eq!(check(&process(1), proof.as_bytes(), target, "another"), Err(ProofError::OtherToken));
    let forged = signed(header, payload, 8);
    assert_eq!(check(&process(1), forged.as_bytes(), target, TOKEN), Err(ProofError::Signature));
    let other = check(&process(1), proof.as_bytes(), Target { method: "GET", uri: &uri }, TOKEN);
    assert!(matches!(other, Err(ProofError::Method { .. })), "{other:?}");
    let for_new = process(1).check_token_request(&[proof.as_bytes()], target, spender, NOW);
    assert_eq!(for_new, Ok(key), "a proof that is for a token can be used for a new one");
    Verdict::Accepted
}

fn input(header: &Value, payload: &Value) -> Vec<u8> {
    format!("{header}\n{payload}").into_bytes()
}

pub(super) fn access_token_seeds() -> Vec<(String, Vec<u8>)> {
    let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"});
    let claims = json!({
        "iss": STRICT, "sub": "checkout", "aud": AUDIENCE, "client_id": "checkout", "jti": "1", "iat": NOW_S,
        "exp": NOW_S + 600, "scope": "payments:read payments:write", "org": "b"
    });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        input(&header, &claims)
    };
    let plain = json!({
        "iss": PLAIN, "sub": "4711", "aud": ["account", AUDIENCE], "azp": "console", "iat": NOW_S - 60, "nbf": NOW_S,
        "exp": NOW_S + 60, "typ": "Bearer", "realm_access": {"roles": ["offline_access", "payments:read"]}
    });
    let key = Thumbprint::of(b"key").to_string();
    [
        ("standard", input(&header, &claims)),
        ("bound", with("cnf", json!({"jkt": key, "x5t#S256": key}))),
        ("powerless", with("scope", json!(""))),
        ("fractions", with("exp", json!(1_800_000_000.5))),
        ("plain", input(&json!({"alg": "EdDSA", "typ": "JWT"}), &plain)),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}

pub(super) fn dpop_proof_seeds() -> Vec<(String, Vec<u8>)> {
    let header = json!({"alg": "EdDSA", "typ": "dpop+jwt", "jwk": jwk()});
    let hash = Thumbprint::of(TOKEN.as_bytes()).to_string();
    let claims = json!({
        "jti": "1", "htm": "POST", "htu": ADDRESS, "iat": NOW_S, "ath": hash, "nonce": process(1).nonce(NOW)
    });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        input(&header, &claims)
    };
    [
        ("standard", input(&header, &claims)),
        ("early", with("iat", json!(NOW_S + 30))),
        // Most changes of the others break the key, the nonce or the hash.
        ("long", with("jti", json!("j".repeat(250)))),
        ("other-claims", with("x", json!({"y": ["z".repeat(250), true, 1.5, null]}))),
        ("another-form", with("htu", json!("HTTPS://PAY.example:443/v1/%70ayments?x=1#y"))),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into()
}
