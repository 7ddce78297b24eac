//! What the token endpoint reads: client assertions, and DPoP proofs without a token.

use oauth::{
    Algorithm, Assertion, AssertionError, HttpUri, Keys, ProofError, Proofs, Spender, Target, TokenError, Verifier,
};
use serde_json::{Value, json};
use types::TenantId;

use crate::support::{
    AUDIENCE, ISSUER, NOW, NOW_S, Signer, key_set, settings, thumbprint_text, token, verifier_with, world,
};

fn claims() -> Value {
    json!({"iss": "c", "sub": "c", "aud": AUDIENCE, "jti": "1", "iat": NOW_S, "exp": NOW_S + 60})
}

#[test]
fn an_assertion_is_verified_with_the_keys_of_its_client() {
    let keys = Keys::parse(&key_set(&[world().ec.published("k")])).unwrap();
    let verify = |signer: &Signer, claims: &Value, algorithms: &[Algorithm]| {
        let text = signer.jws(Algorithm::Es256, &json!({"alg": "ES256"}).to_string(), &claims.to_string());
        let assertion = Assertion::parse(&text)?;
        assert_eq!(assertion.client(), "c");
        assertion.verify(keys.usable(), algorithms, &[AUDIENCE], NOW)
    };
    let found = verify(&world().ec, &claims(), &[Algorithm::Es256]).unwrap();
    assert_eq!(
        (found.id.as_str(), found.issued_at, found.expires_at.ns()),
        ("1", Some(NOW), (NOW_S + 60) * 1_000_000_000)
    );
    assert_eq!(verify(&world().attacker, &claims(), &[Algorithm::Es256]), Err(AssertionError::Signature));
    let other = verify(&world().ec, &claims(), &[Algorithm::EdDsa]);
    assert!(matches!(other, Err(AssertionError::Algorithm { found: "ES256", .. })));
    let mut foreign = claims();
    foreign["aud"] = json!([AUDIENCE, "https://other.example"]);
    assert!(matches!(verify(&world().ec, &foreign, &[Algorithm::Es256]), Err(AssertionError::Audience(_))));
}

#[test]
fn a_proof_for_a_new_token_needs_no_token() {
    let proofs = Proofs::new(vec![Algorithm::Es256], [1; 32], 10);
    let signer = &world().ec;
    let uri = HttpUri::parse("https://pay.example/oauth/token").unwrap();
    let target = Target { method: "POST", uri: &uri };
    let claims = json!({"jti": "1", "htm": "POST", "htu": uri.as_str(), "iat": NOW_S, "nonce": proofs.nonce(NOW)});
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()}).to_string();
    let proof = signer.jws(Algorithm::Es256, &header, &claims.to_string());
    let headers: &[&[u8]] = &[proof.as_bytes()];
    let members: std::collections::BTreeMap<String, Value> = serde_json::from_value(signer.jwk()).unwrap();
    let expected = thumbprint_text(serde_json::to_string(&members).unwrap().as_bytes());
    let spender = Spender { tenant: TenantId::new(1), issuer: ISSUER, subject: "checkout" };
    let found = proofs.check_token_request(headers, target, spender, NOW);
    assert_eq!(found.clone().map(|key| key.to_string()), Ok(expected));
    assert_eq!(proofs.check_token_request(headers, target, spender, NOW), Err(ProofError::Replayed));
    // The same proof says nothing about a token.
    let key = found.unwrap();
    assert!(matches!(proofs.check(headers, target, ("token", key), spender, NOW), Err(ProofError::Claim(_))));
}

#[test]
fn a_numbered_tenant_is_written_in_one_way() {
    let mut settings = settings();
    settings[0].tenants = oauth::Tenants::Numbered { path: vec!["tenant".into()] };
    let verifier: Verifier = verifier_with(settings);
    let tenant = |value: Value| {
        let token = token(|_, claims| claims["tenant"] = value);
        verifier.verify(&token, NOW).map(|verified| verified.token.tenant)
    };
    assert_eq!(tenant("7".into()), Ok(TenantId::new(7)));
    for other in ["", "07", "+7", " 7", "-1", "4294967296", "seven"] {
        assert_eq!(tenant(other.into()), Err(TokenError::Tenant), "{other}");
    }
    assert!(matches!(tenant(7.into()), Err(TokenError::Claim(_))));
    assert!(matches!(verifier.verify(&token(|_, _| {}), NOW), Err(TokenError::Claim(_))), "{ISSUER}");
}
