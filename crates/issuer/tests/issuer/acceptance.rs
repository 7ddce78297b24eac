//! Valid requests get tokens, and the tokens are accepted.

use issuer::{ClientBinding, Issuer, KeyRing, Replays, Settings, SigningAlgorithm, TOKEN_LIFETIME_DEFAULT};
use oauth::{Algorithm, Confirmation, HttpUri, Scheme, Sender, Target, Thumbprint};
use serde_json::{Value, json};
use types::{Span, TenantId};

use crate::support::{
    NOW, NOW_S, ORIGIN, READ, START, Scene, TOKEN_ENDPOINT, WRITE, basic, by_assertion, by_secret, by_secret_of, key,
    later, request, secret,
};

fn client_of<'a>(scene: &'a mut Scene, id: &str) -> &'a mut issuer::Client {
    std::sync::Arc::get_mut(scene.clients.clients.get_mut(id).unwrap()).unwrap()
}

#[test]
fn a_token_is_what_a_resource_server_accepts() {
    let scene = Scene::new();
    let granted = scene.post(&by_secret("")).unwrap();
    let body: Value = serde_json::from_str(&granted.to_json()).unwrap();
    let expected = json!({
        "access_token": granted.access_token, "token_type": "Bearer", "expires_in": 600,
        "scope": "payments:read payments:write"
    });
    assert_eq!(body, expected);
    let verified = scene.verifier().verify(&granted.access_token, NOW).unwrap().token;
    assert_eq!((&*verified.issuer, &*verified.subject, &*verified.client), (ORIGIN, "checkout", "checkout"));
    assert_eq!((verified.tenant, verified.scopes), (TenantId::new(2), READ.with(WRITE)));
    assert_eq!((verified.id.as_deref(), verified.confirmation), (Some(&*granted.id), Confirmation::default()));
    assert_eq!(verified.expires_at, later(600));
    assert!(scene.issuer.is_current(&verified, &scene.clients));
    assert!(!format!("{granted:?}").contains(&granted.access_token));
    assert_ne!(scene.post(&by_secret("")).unwrap().id, granted.id);
}

#[test]
fn every_way_to_authenticate_works() {
    let scene = Scene::new();
    let pair = basic(&format!("checkout:{}", secret().reveal()));
    let lower = String::from_utf8(pair.clone()).unwrap().replace("Basic", "basic ").into_bytes();
    for header in [&pair, &lower] {
        for form in ["grant_type=client_credentials", "grant_type=client_credentials&client_id=checkout"] {
            let authorization: &[&[u8]] = &[header];
            let mut request = request(form);
            request.authorization = authorization;
            assert_eq!(scene.ask(&request).unwrap().client_id, "checkout");
        }
    }
    type Change = fn(&mut Value, &mut Value);
    let variants: [(&str, Change); 14] = [
        ("for the issuer", |_, _| {}),
        ("for the token endpoint", |_, claims| claims["aud"] = TOKEN_ENDPOINT.into()),
        ("a list of one audience", |_, claims| claims["aud"] = json!([ORIGIN])),
        ("both names of this server", |_, claims| claims["aud"] = json!([ORIGIN, TOKEN_ENDPOINT])),
        ("no type", |header, _| drop(header.as_object_mut().unwrap().remove("typ"))),
        ("the type of the new draft", |header, _| header["typ"] = "client-authentication+jwt".into()),
        ("no name of a key", |header, _| drop(header.as_object_mut().unwrap().remove("kid"))),
        ("no time of issue", |_, claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        ("a clock that is 10 s ahead", |_, claims| {
            claims["iat"] = (NOW_S + 10).into();
            claims["nbf"] = (NOW_S + 10).into();
            claims["exp"] = (NOW_S + 310).into();
        }),
        ("a clock that is behind", |_, claims| {
            claims["iat"] = (NOW_S - 50).into();
            claims["exp"] = (NOW_S + 1).into();
        }),
        ("times with fractions", |_, claims| claims["exp"] = json!(1_800_000_000.5)),
        ("a long name", |_, claims| claims["jti"] = "j".repeat(256).into()),
        ("other claims", |_, claims| claims["x"] = json!({"y": [1]})),
        ("the longest life", |_, claims| claims["exp"] = (NOW_S + 300).into()),
    ];
    for (name, change) in variants {
        let granted = scene.post(&by_assertion(&scene.assertion(change)));
        assert_eq!(granted.map(|granted| granted.client_id), Ok("signer".into()), "{name}");
    }
    let two = scene.assertion(|_, claims| (claims["iss"], claims["sub"]) = ("two-keys".into(), "two-keys".into()));
    assert_eq!(scene.post(&by_assertion(&two)).unwrap().client_id, "two-keys");
}

#[test]
fn a_client_asks_for_what_it_may_have() {
    let scene = Scene::new();
    for (more, scope) in [
        ("&scope=payments%3Aread", "payments:read"),
        ("&scope=payments:write+payments:read", "payments:read payments:write"),
        ("&scope=payments:read%20payments:read", "payments:read"),
        ("&scope=", "payments:read payments:write"),
        ("&resource=https%3A%2F%2Fpay.example", "payments:read payments:write"),
        ("&resource=https://pay.example/", "payments:read payments:write"),
        ("&audience=https://pay.example&x=1", "payments:read payments:write"),
    ] {
        assert_eq!(scene.post(&by_secret(more)).unwrap().scope, scope, "{more}");
    }
}

#[test]
fn either_of_two_secrets_counts_while_one_replaces_the_other() {
    let mut scene = Scene::new();
    let new = issuer::ClientSecret::new([8; 32]);
    let hashes = vec![secret().hash("checkout"), new.hash("checkout")];
    client_of(&mut scene, "checkout").authentication = issuer::Authentication::Secrets(hashes);
    let with_new = by_secret("").replace(&secret().reveal(), &new.reveal());
    assert!(scene.post(&by_secret("")).is_ok());
    assert!(scene.post(&with_new).is_ok());
    client_of(&mut scene, "checkout").authentication = issuer::Authentication::Secrets(vec![new.hash("checkout")]);
    assert!(scene.post(&by_secret("")).is_err());
    assert!(scene.post(&with_new).is_ok());
}

#[test]
fn a_client_has_its_own_lifetime_within_the_bounds() {
    let mut scene = Scene::new();
    for (wanted_s, expected_s) in [(60, 60), (3_600, 3_600), (1, 10), (86_400, 3_600)] {
        client_of(&mut scene, "checkout").token_lifetime = Some(Span::from_secs(wanted_s));
        let granted = scene.post(&by_secret("")).unwrap();
        assert_eq!(granted.expires_in_s, expected_s);
        let end = NOW.saturating_add(Span::from_secs(expected_s));
        assert!(scene.verifier().verify(&granted.access_token, later(expected_s - 1)).is_ok());
        assert!(scene.verifier().verify(&granted.access_token, end).is_err());
    }
}

#[test]
fn a_token_is_bound_to_the_key_of_the_proof() {
    let scene = Scene::new();
    for id in ["checkout", "bound"] {
        let (form, proof) = (by_secret_of(id, ""), scene.proof(|_, _| {}));
        let proofs: &[&[u8]] = &[proof.as_bytes()];
        let mut request = request(&form);
        request.proofs = proofs;
        let granted = scene.ask(&request).unwrap();
        assert_eq!(granted.token_type, "DPoP");
        let token = scene.verifier().verify(&granted.access_token, NOW).unwrap().token;
        let expected = Confirmation { dpop_key: Some(scene.signer.thumbprint()), certificate: None };
        assert_eq!(token.confirmation, expected);
        // A request with the token and a proof of the same key passes; one with the token alone does not.
        let address = HttpUri::parse("https://pay.example/v1/payments").unwrap();
        let target = Target { method: "POST", uri: &address };
        let hash = Thumbprint::of(granted.access_token.as_bytes()).to_string();
        let proof = scene.proof(|_, claims| (claims["htu"], claims["ath"]) = (address.as_str().into(), hash.into()));
        let proofs: &[&[u8]] = &[proof.as_bytes()];
        let sender = Sender { scheme: Scheme::Dpop, certificate: None, proofs, target };
        assert_eq!(sender.check(&granted.access_token, &token, &scene.proofs, NOW), Ok(()));
        let bare = Sender { scheme: Scheme::Bearer, certificate: None, proofs: &[], target };
        assert!(bare.check(&granted.access_token, &token, &scene.proofs, NOW).is_err());
    }
}

#[test]
fn a_token_is_bound_to_the_certificate_if_the_client_is_registered_so() {
    let mut scene = Scene::new();
    let certificate = Thumbprint::of(b"certificate");
    let ask = |scene: &Scene, id: &str| {
        let form = by_secret_of(id, "");
        let mut request = request(&form);
        request.certificate = Some(certificate);
        let granted = scene.ask(&request).unwrap();
        assert_eq!(granted.token_type, "Bearer");
        scene.verifier().verify(&granted.access_token, NOW).unwrap().token.confirmation.certificate
    };
    assert_eq!(ask(&scene, "certified"), Some(certificate));
    assert_eq!(ask(&scene, "checkout"), None, "a proxy may have a certificate that is not the client's");
    client_of(&mut scene, "checkout").binding = ClientBinding::Certificate;
    assert_eq!(ask(&scene, "checkout"), Some(certificate));
}

#[test]
fn the_discovery_document_leads_to_the_keys() {
    let scene = Scene::new();
    let text = scene.issuer.metadata(&scene.keys, &scene.proofs);
    let uri = oauth::key_set_uri(ORIGIN, text.as_bytes());
    assert_eq!(uri.as_deref(), Ok("https://pay.example/oauth/jwks"));
    let document: Value = serde_json::from_str(&text).unwrap();
    for (member, expected) in [
        ("issuer", json!(ORIGIN)),
        ("token_endpoint", json!(TOKEN_ENDPOINT)),
        ("grant_types_supported", json!(["client_credentials"])),
        ("response_types_supported", json!([])),
        ("dpop_signing_alg_values_supported", json!(["ES256", "EdDSA"])),
        ("id_token_signing_alg_values_supported", json!(["ES256", "EdDSA"])),
        ("scopes_supported", json!(["payments:read", "payments:write"])),
    ] {
        assert_eq!(document[member], expected, "{member}");
    }
    let algorithms: Vec<Algorithm> =
        serde_json::from_value::<Vec<String>>(document["token_endpoint_auth_signing_alg_values_supported"].clone())
            .unwrap()
            .iter()
            .map(|name| Algorithm::named(name).unwrap())
            .collect();
    assert_eq!(algorithms, issuer::ASSERTION_ALGORITHMS);
}

#[test]
fn both_algorithms_make_tokens_that_count() {
    let mut scene = Scene::new();
    for (active, next, alg) in [
        (SigningAlgorithm::Es256, SigningAlgorithm::Es256, "ES256"),
        (SigningAlgorithm::EdDsa, SigningAlgorithm::EdDsa, "EdDSA"),
    ] {
        scene.keys = KeyRing::new(key(active), key(next), NOW).unwrap();
        let token = scene.post(&by_secret("")).unwrap().access_token;
        let header = oauth::base64url::decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, json!({"alg": alg, "kid": scene.keys.active().kid(), "typ": "at+jwt"}));
        assert!(scene.verifier().verify(&token, NOW).is_ok());
    }
}

#[test]
fn an_issuer_has_a_protected_origin_in_its_normal_form() {
    let new = |origin: &str, lifetime| {
        let settings =
            Settings { origin: origin.into(), scopes: Vec::new(), token_lifetime: lifetime, takes_certificates: false };
        Issuer::new(settings, Replays::new(START, [1; 32])).map(drop).map_err(|error| error.to_string())
    };
    for origin in ["https://pay.example", "https://pay.example:8443", "http://127.0.0.1:7070", "http://localhost"] {
        assert_eq!(new(origin, TOKEN_LIFETIME_DEFAULT), Ok(()), "{origin}");
    }
    let long = format!("https://{}.example", "a".repeat(256));
    for (origin, reason) in [
        ("pay.example", "no scheme"),
        ("https://pay.example/", "normal form"),
        ("https://pay.example/v1", "normal form"),
        ("https://Pay.example", "normal form"),
        ("https://pay.example:443", "normal form"),
        ("https://pay.example?x", "normal form"),
        ("http://pay.example", "not protected"),
        (&long, "expected at most 256"),
    ] {
        let found = new(origin, TOKEN_LIFETIME_DEFAULT);
        assert!(found.as_ref().is_err_and(|error| error.contains(reason)), "{origin}: {found:?}");
    }
    assert!(new(ORIGIN, Span::from_secs(3_601)).is_err());
    assert!(new(ORIGIN, Span::from_secs(9)).is_err());
}
