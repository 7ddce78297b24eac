//! Valid tokens are accepted, whatever of the allowed forms they have.

use oauth::{
    Algorithm, Binding, Confirmation, HttpUri, Keys, Need, Proofs, Scheme, Scopes, Sender, SettingsError, Target,
    Tenants, Thumbprint, TokenCache, TokenError, Verifier, presented,
};
use serde_json::{Value, json};
use types::{Span, TenantId, Timestamp};

use crate::support::{
    ADMIN, AUDIENCE, ISSUER, NOW, NOW_S, PLAIN, READ, Signer, WRITE, claims, key_set, plain_token, published_keys,
    settings, token, verifier, verifier_with, world,
};

#[track_caller]
fn accepts(token: &str) -> std::sync::Arc<oauth::VerifiedToken> {
    match verifier().verify(token, NOW) {
        Ok(verified) => verified.token,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_token_says_what_its_claims_say() {
    let found = accepts(&token(|_, _| {}));
    assert_eq!((&*found.issuer, &*found.subject, &*found.client), (ISSUER, "5ba552d67", "s6BhdRkqt3"));
    assert_eq!((found.id.as_deref(), found.tenant), (Some("dbe39bf3a3ba4238"), TenantId::new(1)));
    assert_eq!((found.scopes, found.confirmation), (READ.with(WRITE), Confirmation::default()));
    assert_eq!(found.expires_at, NOW.saturating_add(Span::from_secs(300)));
    assert_eq!(found.require(WRITE), Ok(()));
    let error = found.require(WRITE.with(ADMIN)).unwrap_err();
    assert_eq!((error.code().name(), error.code().http_status()), ("insufficient_scope", 403));
}

#[test]
fn a_request_takes_its_path() {
    fn shared_by_threads<T: Send + Sync>(value: T) -> T {
        value
    }
    let mut verifier = shared_by_threads(Verifier::new(settings()).unwrap());
    let cache = shared_by_threads(TokenCache::new(1_000));
    let proofs = shared_by_threads(Proofs::new(vec![Algorithm::Es256], [1; 32], 100));
    let header = format!("Bearer {}", token(|_, _| {}));
    let (scheme, text) = presented(&[header.as_bytes()]).unwrap();
    assert!(cache.get(text, NOW).is_none());
    // The first token of an issuer makes the caller fetch its keys.
    let error = verifier.verify(text, NOW).unwrap_err();
    assert_eq!(error, TokenError::KeysUnavailable(ISSUER.into()));
    let keys = verifier.keys(ISSUER).unwrap();
    assert!(keys.start_fetch(NOW, Need::UnknownKey));
    keys.fetched(NOW, Some(Keys::parse(&published_keys()).unwrap()));
    cache.insert(text, verifier.verify(text, NOW).unwrap());
    let uri = HttpUri::parse("https://pay.example/v1/payments").unwrap();
    let target = Target { method: "GET", uri: &uri };
    for _ in 0..3 {
        let token = cache.get(text, NOW).unwrap().token;
        let sender = Sender { scheme, certificate: None, proofs: &[], target };
        assert_eq!(sender.check(text, &token, &proofs, NOW), Ok(()));
        assert_eq!(token.require(READ), Ok(()));
    }
}

#[test]
fn every_algorithm_is_accepted_with_a_key_of_its_type() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::generate(algorithm);
        let mut settings = settings();
        settings.truncate(1);
        settings[0].algorithms = vec![algorithm];
        let mut verifier = Verifier::new(settings).unwrap();
        for alg in [None, Some(algorithm.name())] {
            let mut jwk = signer.published("k");
            if let Some(alg) = alg {
                jwk["alg"] = alg.into();
            }
            let keys = Keys::parse(&key_set(&[jwk])).unwrap();
            assert_eq!((keys.usable().len(), keys.skipped.len()), (1, 0));
            verifier.keys(ISSUER).unwrap().fetched(NOW, Some(keys));
            let mut names = vec![algorithm.name()];
            if algorithm == Algorithm::EdDsa {
                names.push("Ed25519");
            }
            for name in names {
                let header = json!({"typ": "at+jwt", "alg": name, "kid": "k"}).to_string();
                let token = signer.jws(algorithm, &header, &claims().to_string());
                assert!(verifier.verify(&token, NOW).is_ok(), "{name}");
            }
            // The same bytes signed by another key of the same type.
            let header = json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": "k"}).to_string();
            let forged = Signer::generate(algorithm).jws(algorithm, &header, &claims().to_string());
            assert_eq!(verifier.verify(&forged, NOW).unwrap_err(), TokenError::Signature);
        }
    }
}

#[test]
fn the_allowed_variants_are_accepted() {
    type Change = fn(&mut Value, &mut Value);
    let variants: [(&str, Change); 16] = [
        ("the long type", |header, _| header["typ"] = "application/at+jwt".into()),
        ("a type in capitals", |header, _| header["typ"] = "AT+JWT".into()),
        ("header parameters without a meaning", |header, _| header["x"] = json!({"y": [1]})),
        ("the hash of a certificate", |header, _| header["x5t"] = "abc".into()),
        ("a list of audiences", |_, claims| claims["aud"] = json!(["https://other.example", AUDIENCE])),
        ("not before now", |_, claims| claims["nbf"] = NOW_S.into()),
        ("not before 10 s ahead", |_, claims| claims["nbf"] = (NOW_S + 10).into()),
        ("not before 30 s ahead", |_, claims| claims["nbf"] = (NOW_S + 30).into()),
        ("issued 10 s ahead", |_, claims| claims["iat"] = (NOW_S + 10).into()),
        ("times with fractions", |_, claims| claims["exp"] = json!(1_800_000_000.5)),
        ("no scope", |_, claims| drop(claims.as_object_mut().unwrap().remove("scope"))),
        ("an empty scope", |_, claims| claims["scope"] = "".into()),
        ("a subject with other letters", |_, claims| claims["sub"] = "Zoë|日本".into()),
        ("a long subject", |_, claims| claims["sub"] = "s".repeat(256).into()),
        ("claims without a meaning", |_, claims| claims["x"] = json!({"y": [null, true, -1, 1.5, {}]})),
        ("nested as deep as allowed", |_, claims| claims["x"] = json!([[[[[[["x"]]]]]]])),
    ];
    for (name, change) in variants {
        let token = token(change);
        assert!(verifier().verify(&token, NOW).is_ok(), "{name}: {:?}", verifier().verify(&token, NOW));
    }
}

#[test]
fn a_plain_token_is_accepted_where_the_issuer_may_send_it() {
    let found = accepts(&plain_token(|_, _| {}));
    assert_eq!((&*found.issuer, &*found.client, found.id.as_deref()), (PLAIN, "web", None));
    assert_eq!((found.tenant, found.scopes), (TenantId::new(2), READ));
    let roles = |roles: Value| accepts(&plain_token(|_, claims| claims["realm_access"]["roles"] = roles)).scopes;
    assert_eq!(roles(json!(["payments admin", "reader"])), READ.with(ADMIN));
    assert_eq!(roles(json!("reader")), READ);
    assert_eq!(roles(json!(["payments", "admin", "reader x"])), Scopes::default());
    accepts(&plain_token(|header, _| drop(header.as_object_mut().unwrap().remove("typ"))));
    accepts(&plain_token(|header, _| header["typ"] = "at+jwt".into()));
    accepts(&plain_token(|_, claims| claims["typ"] = "DPoP".into()));
    let three = accepts(&plain_token(|_, claims| claims["tenant"] = "three".into()));
    assert_eq!(three.tenant, TenantId::new(3));
}

#[test]
fn a_token_without_a_kid_means_the_only_key_that_fits() {
    let no_kid = token(|header, _| drop(header.as_object_mut().unwrap().remove("kid")));
    accepts(&no_kid);
    let mut verifier = verifier();
    let keys = key_set(&[world().ec.published("ec"), world().attacker.published("ec2")]);
    verifier.keys(ISSUER).unwrap().fetched(NOW, Some(Keys::parse(&keys).unwrap()));
    assert_eq!(verifier.verify(&no_kid, NOW).unwrap_err(), TokenError::AmbiguousKey);
    assert!(verifier.verify(&token(|_, _| {}), NOW).is_ok());
}

#[test]
fn a_token_can_be_bound_to_keys() {
    let (key, certificate) = (Thumbprint::of(b"key"), Thumbprint::of(b"certificate"));
    let cnf = json!({
        "jkt": crate::support::thumbprint_text(b"key"),
        "x5t#S256": crate::support::thumbprint_text(b"certificate"),
    });
    let bound = token(|_, claims| claims["cnf"] = cnf);
    let expected = Confirmation { dpop_key: Some(key), certificate: Some(certificate) };
    assert_eq!(accepts(&bound).confirmation, expected);
    let mut settings = settings();
    settings[0].binding = Binding::Required;
    let verifier = verifier_with(settings);
    assert!(verifier.verify(&bound, NOW).is_ok());
    assert_eq!(verifier.verify(&token(|_, _| {}), NOW).unwrap_err(), TokenError::NotBound);
}

#[test]
fn a_token_expires_on_the_nanosecond() {
    let (token, verifier) = (token(|_, _| {}), verifier());
    let end = (NOW_S + 300) * 1_000_000_000;
    assert!(verifier.verify(&token, Timestamp::from_ns(end - 1)).is_ok());
    let error = verifier.verify(&token, Timestamp::from_ns(end)).unwrap_err();
    assert_eq!(error.to_string(), "the token expired at 2027-01-15T08:05:00Z; it is 2027-01-15T08:05:00Z");
}

#[test]
fn keys_that_are_missing_or_stale_are_the_servers_fault() {
    let (mut verifier, token) = (Verifier::new(settings()).unwrap(), token(|_, claims| claims["exp"] = json!(2e9)));
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::KeysUnavailable(ISSUER.into()));
    assert!(verifier.keys(ISSUER).unwrap().start_fetch(NOW, Need::Age));
    verifier.keys(ISSUER).unwrap().fetched(NOW, Some(Keys::parse(&published_keys()).unwrap()));
    let stale = NOW.saturating_add(oauth::STALE_AFTER);
    assert!(verifier.verify(&token, Timestamp::from_ns(stale.ns() - 1)).is_ok());
    let error = verifier.verify(&token, stale).unwrap_err();
    assert_eq!((error.code().name(), error.code().http_status()), ("temporarily_unavailable", 503));
}

#[test]
fn the_header_of_a_request_has_a_scheme_and_a_token() {
    let one = |header: &'static str| presented(&[header.as_bytes()]);
    assert_eq!(one("Bearer a.b.c"), Ok((Scheme::Bearer, "a.b.c")));
    assert_eq!(one("bearer  a-._~+/9=="), Ok((Scheme::Bearer, "a-._~+/9==")));
    assert_eq!(one("DPOP a.b.c"), Ok((Scheme::Dpop, "a.b.c")));
    for header in ["", "Bearer", "Bearer ", "Basic a", "Bearer\ta", "Bearer a b", "Bearer a,b", "a.b.c", "Bearer é"] {
        let error = one(header).unwrap_err();
        assert_eq!((error.code().name(), error.code().http_status()), ("invalid_request", 400), "{header}");
    }
    for headers in [&[][..], &[b"Bearer a.b.c".as_slice(), b"Bearer a.b.c"], &[b"Bearer \xff"]] {
        assert_eq!(presented(headers).unwrap_err().code().name(), "invalid_request");
    }
    let long = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    assert_eq!(presented(&[long.as_bytes()]).unwrap_err().code().name(), "invalid_token");
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    #[track_caller]
    fn refuses(change: impl FnOnce(&mut Vec<oauth::IssuerSettings>), expected: &str) {
        let mut settings = settings();
        change(&mut settings);
        let found = Verifier::new(settings).map(|_| ()).map_err(|error: SettingsError| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains(expected)), "{found:?}");
    }
    refuses(|all| all[0].issuer = "http://id.example".into(), "expected https");
    refuses(|all| all[0].issuer = "id.example".into(), "no scheme");
    refuses(|all| all[0].issuer = "https://id.example?a".into(), "neither a query");
    refuses(|all| all[0].audience.clear(), "`audience` is empty");
    refuses(|all| all[0].algorithms.clear(), "`algorithms` is empty");
    refuses(|all| all[0].rules[0].path.clear(), "`path` is empty");
    refuses(|all| all[0].rules[0].value.clear(), "`value` is empty");
    refuses(|all| all[0].rules[0].path = vec!["a".into(); 9], "`path` has 9 items; expected at most 8");
    refuses(|all| all[0].rules = vec![all[0].rules[0].clone(); 257], "`rules` has 257 items");
    refuses(|all| all[1].issuer = all[0].issuer.clone(), "configured twice");
    refuses(|all| *all = vec![all[0].clone(); 65], "65 issuers; expected at most 64");
    refuses(|all| all[1].tenants = Tenants::Claim { path: vec!["t".into()], tenants: [].into() }, "`tenants` is empty");
}
