//! Requests that get no token: each is refused with the right code, and none with an error of the server.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use issuer::{Code, FORM_BYTES_MAX, Granted, Refusal, Request};
use oauth::{Thumbprint, base64url};
use proptest::prelude::*;
use serde_json::{Value, json};
use types::Timestamp;

use crate::support::{
    ASSERTION_TYPE, FORM, NOW, NOW_S, ORIGIN, Scene, TOKEN_ENDPOINT, basic, by_assertion, by_secret, by_secret_of,
    later, new_issuer, request, secret,
};

/// Asserts how a request is refused.
#[track_caller]
fn refused(name: &str, found: Result<Granted, Refusal>, code: Code) {
    match found {
        Ok(_) => panic!("{name}: got a token"),
        Err(refusal) => {
            let body: BTreeMap<String, String> = serde_json::from_str(&refusal.to_json()).unwrap();
            assert_eq!(refusal.code(), code, "{name}: {refusal}");
            assert_eq!(body["error"], code.name(), "{name}");
            assert!(refusal.code().http_status() < 500, "{name}: {refusal}");
            let text = &body["error_description"];
            assert!(!text.contains(&secret().reveal()), "{name}: {text}");
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'), "{text}");
        }
    }
}

#[test]
fn forms_with_tricks_get_no_token() {
    let scene = Scene::new();
    let key = secret().reveal();
    let good = by_secret("");
    let long = "a".repeat(FORM_BYTES_MAX);
    let invalid = Code::InvalidRequest;
    let table: &[(&str, String, Code)] = &[
        ("nothing", String::new(), Code::InvalidClient),
        ("only a grant", "grant_type=client_credentials".into(), Code::InvalidClient),
        ("only a client", "grant_type=client_credentials&client_id=checkout".into(), Code::InvalidClient),
        ("a secret without a client", format!("grant_type=client_credentials&client_secret={key}"), invalid),
        ("an empty client", good.replace("=checkout", "="), invalid),
        ("an empty secret", good.replace(&key, ""), Code::InvalidClient),
        ("two grants", format!("{good}&grant_type=client_credentials"), invalid),
        ("two clients", format!("{good}&client_id=signer"), invalid),
        ("two clients, one hidden", format!("{good}&client%5fid=signer"), invalid),
        ("two secrets", format!("{good}&client_secret=x"), invalid),
        ("two scopes", format!("{good}&scope=payments:read&scope=payments:write"), invalid),
        ("two resources", format!("{good}&resource={ORIGIN}&resource={ORIGIN}"), invalid),
        ("an unknown parameter twice", format!("{good}&x=1&x=2"), invalid),
        ("a name in brackets is another name", good.replace("grant_type", "grant_type[]"), invalid),
        ("a name in capitals is another name", good.replace("client_id", "CLIENT_ID"), invalid),
        ("separated by semicolons", good.replace('&', ";"), Code::InvalidClient),
        ("a part without a value", format!("{good}&x"), invalid),
        ("an empty part", format!("{good}&"), invalid),
        ("JSON", json!({"grant_type": "client_credentials"}).to_string(), invalid),
        ("a broken escape", format!("{good}&x=%4"), invalid),
        ("bytes that are not UTF-8", format!("{good}&x=%ff"), invalid),
        ("a character with two encodings", format!("{good}&x=%c0%af"), invalid),
        ("a zero byte", good.replace("=checkout", "=checkout%00"), invalid),
        ("a line end", format!("{good}&x=%0d%0aX-Y:%20z"), invalid),
        ("a line end that is not encoded", format!("{good}\r\n"), invalid),
        ("a space in the id", good.replace("=checkout", "=checkout+"), Code::InvalidClient),
        ("too long", format!("{good}&x={long}"), invalid),
        ("too many parameters", (0..40).fold(good.clone(), |form, number| format!("{form}&p{number}=1")), invalid),
        ("another client's secret", by_secret_of("nobody", ""), Code::InvalidClient),
        ("an unknown client", good.replace("checkout", "somebody"), Code::InvalidClient),
        ("the id in capitals", good.replace("checkout", "CHECKOUT"), Code::InvalidClient),
        ("a client that was revoked", by_secret_of("revoked", ""), Code::InvalidClient),
        ("a client without scopes", by_secret_of("powerless", ""), Code::InvalidScope),
        ("a client that signs, with a secret", by_secret_of("signer", ""), Code::InvalidClient),
        ("a secret that is cut off", good.replace(&key, &key[..key.len() - 1]), Code::InvalidClient),
        ("a secret with a tail", good.replace(&key, &format!("{key}A")), Code::InvalidClient),
        (
            "the hash instead of the secret",
            good.replace(&key, &secret().hash("checkout").to_string()),
            Code::InvalidClient,
        ),
        ("an API key", good.replace(&key, &key.replace("fin_cs_", "fin_7_")), Code::InvalidClient),
        ("a client and a name of a table", good.replace("checkout", "checkout'--"), Code::InvalidClient),
        ("no grant", good.replace("grant_type=client_credentials&", ""), invalid),
        ("an empty grant", good.replace("=client_credentials", "="), invalid),
        (
            "a password",
            good.replace("client_credentials", "password&username=a&password=b"),
            Code::UnsupportedGrantType,
        ),
        ("a code", good.replace("client_credentials", "authorization_code&code=a"), Code::UnsupportedGrantType),
        ("a refresh token", good.replace("client_credentials", "refresh_token"), Code::UnsupportedGrantType),
        ("a grant in capitals", good.replace("client_credentials", "Client_Credentials"), Code::UnsupportedGrantType),
        ("a scope that the client may not have", by_secret("&scope=keys:manage"), Code::InvalidScope),
        ("one of two that it may not have", by_secret("&scope=payments:read+keys:manage"), Code::InvalidScope),
        ("a part of a scope's name", by_secret("&scope=payments"), Code::InvalidScope),
        ("a scope in capitals", by_secret("&scope=PAYMENTS:READ"), Code::InvalidScope),
        ("two spaces", by_secret("&scope=payments:read++payments:write"), Code::InvalidScope),
        ("a space at the end", by_secret("&scope=payments:read+"), Code::InvalidScope),
        ("a comma", by_secret("&scope=payments:read,payments:write"), Code::InvalidScope),
        ("quotes", by_secret("&scope=%22payments:read%22"), Code::InvalidScope),
        ("another alphabet", by_secret("&scope=p%D0%B0yments:read"), Code::InvalidScope),
        ("a token for another server", by_secret("&resource=https://other.example"), Code::InvalidTarget),
        ("a part of this server", by_secret("&resource=https://pay.example/v1"), Code::InvalidTarget),
        ("this server unprotected", by_secret("&resource=http://pay.example"), Code::InvalidTarget),
        ("a longer name", by_secret("&resource=https://pay.example.evil"), Code::InvalidTarget),
        ("two servers in one", by_secret("&audience=https://pay.example+https://evil"), Code::InvalidTarget),
        ("an assertion of another type", by_assertion("x").replace("jwt-bearer", "saml2-bearer"), invalid),
        ("an assertion without its type", "grant_type=client_credentials&client_assertion=x".into(), invalid),
        ("a type without an assertion", format!("client_assertion_type={ASSERTION_TYPE}"), invalid),
        ("an assertion and a secret", by_assertion(&scene.assertion(|_, _| {})) + "&client_secret=x", invalid),
        ("an assertion and another client", by_assertion(&scene.assertion(|_, _| {})) + "&client_id=checkout", invalid),
    ];
    for (name, form, code) in table {
        refused(name, scene.post(form), *code);
    }
    assert!(scene.post(&good).is_ok());
}

#[test]
fn requests_with_tricks_get_no_token() {
    type Change = fn(&mut Request<'_>);
    let table: &[(&str, Change, Code)] = &[
        ("no type", |request| request.content_types = &[], Code::InvalidRequest),
        ("JSON", |request| request.content_types = &[b"application/json"], Code::InvalidRequest),
        (
            "two types",
            |request| {
                request.content_types = &[b"application/x-www-form-urlencoded", b"application/x-www-form-urlencoded"]
            },
            Code::InvalidRequest,
        ),
        (
            "another charset",
            |request| request.content_types = &[b"application/x-www-form-urlencoded;charset=utf-7"],
            Code::InvalidRequest,
        ),
        ("parameters in the address", |request| request.query = Some("client_id=checkout"), Code::InvalidRequest),
        ("a secret in the body and a header", |request| request.authorization = &[b"Basic eDp5"], Code::InvalidRequest),
        (
            "a secret in the body and a token",
            |request| request.authorization = &[b"Bearer a.b.c"],
            Code::InvalidRequest,
        ),
        ("two headers", |request| request.authorization = &[b"Basic eDp5", b"Basic eDp5"], Code::InvalidRequest),
    ];
    let scene = Scene::new();
    let form = by_secret("");
    for (name, change, code) in table {
        let mut request = request(&form);
        change(&mut request);
        refused(name, scene.ask(&request), *code);
    }
}

#[test]
fn headers_with_tricks_get_no_token() {
    let scene = Scene::new();
    let key = secret().reveal();
    let good = String::from_utf8(basic(&format!("checkout:{key}"))).unwrap();
    let table: &[(&str, Vec<u8>)] = &[
        ("empty", b"".into()),
        ("only a scheme", b"Basic".into()),
        ("only a scheme and a space", b"Basic ".into()),
        ("another scheme", good.replace("Basic", "Bearer").into()),
        ("no space", good.replace(' ', "").into()),
        ("a tab", good.replace(' ', "\t").into()),
        ("more after it", format!("{good} x").into()),
        ("two in one", format!("{good}, {good}").into()),
        ("padding that is missing", good.trim_end_matches('=').into()),
        ("more padding", format!("{good}=").into()),
        ("not base64", b"Basic !!!!".into()),
        ("not text", b"Basic \xff".into()),
        ("no colon", basic("checkout")),
        ("an empty secret", basic("checkout:")),
        ("an empty id", basic(&format!(":{key}"))),
        ("an id with a colon", basic(&format!("checkout:x:{key}"))),
        ("a wrong secret", basic("checkout:fin_cs_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")),
        ("an encoded colon", basic(&format!("checkout%3A{key}"))),
        ("a broken escape", basic(&format!("checkout%:{key}"))),
        ("another client's id", basic(&format!("signer:{key}"))),
        ("a revoked client", basic(&format!("revoked:{key}"))),
        ("a zero byte", basic(&format!("checkout\0:{key}"))),
    ];
    assert!(good.ends_with('='), "otherwise the two cases about padding say nothing");
    for (name, header) in table {
        let headers: &[&[u8]] = &[header];
        let mut request = request("grant_type=client_credentials");
        request.authorization = headers;
        refused(name, scene.ask(&request), Code::InvalidClient);
        // With another client in the body, which is the one that counts?
        request.body = b"grant_type=client_credentials&client_id=other";
        assert!(scene.ask(&request).is_err(), "{name}");
    }
    let good: &[&[u8]] = &[good.as_bytes()];
    let mut request = request("grant_type=client_credentials&client_id=other");
    request.authorization = good;
    refused("two clients", scene.ask(&request), Code::InvalidRequest);
}

#[test]
fn assertions_with_tricks_get_no_token() {
    type Change = fn(&mut Value, &mut Value);
    fn without(value: &mut Value, member: &str) {
        assert!(value.as_object_mut().unwrap().remove(member).is_some());
    }
    let table: &[(&str, Change)] = &[
        ("no issuer", |_, claims| without(claims, "iss")),
        ("no subject", |_, claims| without(claims, "sub")),
        ("no audience", |_, claims| without(claims, "aud")),
        ("no expiry", |_, claims| without(claims, "exp")),
        ("no name", |_, claims| without(claims, "jti")),
        ("an empty name", |_, claims| claims["jti"] = "".into()),
        ("a name that is a number", |_, claims| claims["jti"] = 7.into()),
        ("a name that is too long", |_, claims| claims["jti"] = "j".repeat(257).into()),
        ("for somebody else", |_, claims| claims["sub"] = "checkout".into()),
        ("by somebody else", |_, claims| claims["iss"] = "checkout".into()),
        ("of a client with a secret", |_, claims| {
            (claims["iss"], claims["sub"]) = ("checkout".into(), "checkout".into())
        }),
        ("of nobody", |_, claims| (claims["iss"], claims["sub"]) = ("nobody".into(), "nobody".into())),
        ("of a client with other keys", |header, claims| {
            (claims["iss"], claims["sub"]) = ("two-keys".into(), "two-keys".into());
            header["kid"] = "k2".into();
        }),
        ("of a client with several keys, of which it names none", |header, claims| {
            (claims["iss"], claims["sub"]) = ("two-keys".into(), "two-keys".into());
            without(header, "kid");
        }),
        ("for another server", |_, claims| claims["aud"] = "https://other.example".into()),
        ("for another server too", |_, claims| claims["aud"] = json!([ORIGIN, "https://other.example"])),
        ("for nobody", |_, claims| claims["aud"] = json!([])),
        ("an audience in a list in a list", |_, claims| claims["aud"] = json!([[ORIGIN]])),
        ("an audience with a slash", |_, claims| claims["aud"] = format!("{ORIGIN}/").into()),
        ("another endpoint", |_, claims| claims["aud"] = "https://pay.example/oauth/revoke".into()),
        ("this endpoint unprotected", |_, claims| claims["aud"] = TOKEN_ENDPOINT.replace("https", "http").into()),
        ("expired", |_, claims| claims["exp"] = NOW_S.into()),
        ("an expiry that is text", |_, claims| claims["exp"] = (NOW_S + 60).to_string().into()),
        ("an expiry that is null", |_, claims| claims["exp"] = Value::Null),
        ("an expiry before 1970", |_, claims| claims["exp"] = json!(-1)),
        ("an expiry without end", |_, claims| claims["exp"] = json!(1e300)),
        ("too long a life", |_, claims| claims["exp"] = (NOW_S + 311).into()),
        ("not yet", |_, claims| claims["nbf"] = (NOW_S + 11).into()),
        ("made in the future", |_, claims| claims["iat"] = (NOW_S + 11).into()),
        ("a time that is text", |_, claims| claims["iat"] = "now".into()),
        ("the type of an access token", |header, _| header["typ"] = "at+jwt".into()),
        ("the type of a proof", |header, _| header["typ"] = "dpop+jwt".into()),
        ("the type of a logout token", |header, _| header["typ"] = "logout+jwt".into()),
        ("no algorithm", |header, _| without(header, "alg")),
        ("the algorithm none", |header, _| header["alg"] = "none".into()),
        ("HMAC", |header, _| header["alg"] = "HS256".into()),
        ("another algorithm", |header, _| header["alg"] = "ES384".into()),
        ("an algorithm that clients may not use", |header, _| header["alg"] = "RS512".into()),
        ("an algorithm of another key", |header, _| header["alg"] = "EdDSA".into()),
        ("an unknown key", |header, _| header["kid"] = "k9".into()),
        ("a key that is a path", |header, _| header["kid"] = "../../k1".into()),
        ("a key of its own", |header, _| header["jwk"] = json!({"kty": "EC"})),
        ("an address of keys", |header, _| header["jku"] = "https://evil.example/jwks".into()),
        ("an address of certificates", |header, _| header["x5u"] = "https://evil.example/".into()),
        ("a critical extension", |header, _| header["crit"] = json!(["exp"])),
        ("a payload that is not encoded", |header, _| (header["b64"], header["crit"]) = (false.into(), json!(["b64"]))),
        ("compressed", |header, _| header["zip"] = "DEF".into()),
        ("deep", |_, claims| claims["x"] = json!([[[[[[[[[1]]]]]]]]])),
        ("huge", |_, claims| claims["x"] = "x".repeat(8 * 1024).into()),
    ];
    let scene = Scene::new();
    for (name, change) in table {
        let form = by_assertion(&scene.assertion(change));
        refused(name, scene.post(&form), Code::InvalidClient);
        // Naming the client in the body changes nothing.
        assert!(scene.post(&format!("{form}&client_id=signer")).is_err(), "{name}");
    }
    // Every assertion above was refused for what it is, and not because the scene is broken.
    assert!(scene.post(&by_assertion(&scene.assertion(|_, _| {}))).is_ok());
}

#[test]
fn forged_assertions_get_no_token() {
    let scene = Scene::new();
    let good = scene.assertion(|_, _| {});
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
    let (hs256, none) = (part(&json!({"alg": "HS256", "kid": "k1"})), part(&json!({"alg": "none"})));
    let mac = |key: &[u8]| {
        let signed = format!("{hs256}.{payload}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
        format!("{signed}.{}", base64url::encode(tag.as_ref()))
    };
    let jwk = scene.signer.jwk();
    let own = json!({"alg": "ES256", "kid": "k1", "jwk": scene.attacker.jwk()});
    let claims: Value = serde_json::from_slice(&base64url::decode(payload).unwrap()).unwrap();
    let twice = format!(r#"{{"iss":"signer","iss":"checkout",{}"#, &claims.to_string()[1..]);
    let zero = base64url::encode(&[0; 64]);
    let token = scene.post(&by_secret("")).unwrap().access_token;
    let table: &[(&str, String)] = &[
        ("a foreign key", scene.assertion_by(&scene.attacker, |_, _| {})),
        ("a foreign key that it brings along", scene.attacker.jws(&own, &claims)),
        ("no signature", format!("{header}.{payload}.")),
        ("no third part", format!("{header}.{payload}")),
        ("no algorithm and no signature", format!("{none}.{payload}.")),
        ("no algorithm, and the signature of another", format!("{none}.{payload}.{signature}")),
        ("a signature of zeros", format!("{header}.{payload}.{zero}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts, like an encrypted one", format!("{good}.a.b")),
        ("HMAC with the public key", mac(jwk.to_string().as_bytes())),
        ("HMAC with a coordinate", mac(&base64url::decode(jwk["x"].as_str().unwrap()).unwrap())),
        ("HMAC with a secret of a client", mac(secret().reveal().as_bytes())),
        ("HMAC with nothing", mac(b"")),
        ("other claims under the signature", format!("{header}.{}.{signature}", part(&json!({"iss": "signer"})))),
        ("a claim twice", format!("{header}.{}.{signature}", base64url::encode(twice.as_bytes()))),
        ("padding", format!("{header}.{payload}.{signature}=")),
        ("an access token of this server", token),
        ("a DPoP proof", scene.proof(|_, _| {})),
        ("not a token", "x".into()),
    ];
    for (name, assertion) in table {
        refused(name, scene.post(&by_assertion(assertion)), Code::InvalidClient);
    }
    assert!(scene.post(&by_assertion(&good)).is_ok());
}

#[test]
fn an_assertion_counts_once_also_across_a_restart() {
    let mut scene = Scene::new();
    let form = by_assertion(&scene.assertion(|_, claims| claims["jti"] = "one".into()));
    assert!(scene.post(&form).is_ok());
    assert_eq!(scene.post(&form), Err(Refusal::Replayed));
    // The same name in another assertion.
    let same = by_assertion(
        &scene.assertion(|_, claims| (claims["jti"], claims["exp"]) = ("one".into(), (NOW_S + 50).into())),
    );
    refused("the same name", scene.post(&same), Code::InvalidClient);
    assert_eq!(scene.ask_at(&request(&form), later(59)).map(drop), Err(Refusal::Replayed));
    assert!(scene.ask_at(&request(&form), later(60)).is_err());
    // The next process starts at once.
    scene.issuer = new_issuer(NOW);
    let refusal = scene.post(&form).unwrap_err();
    assert_eq!((&refusal, refusal.code().http_status()), (&Refusal::BeforeStart, 503));
    assert!(refusal.retry_after().is_some());
    let fresh = |scene: &Scene, made_s: u64, life_s: u64| {
        let form = by_assertion(&scene.assertion(|_, claims| {
            (claims["iat"], claims["exp"]) = ((NOW_S + made_s).into(), (NOW_S + made_s + life_s).into());
        }));
        scene.ask_at(&request(&form), later(made_s)).map(drop)
    };
    assert_eq!(fresh(&scene, 10, 60), Err(Refusal::BeforeStart));
    assert_eq!(fresh(&scene, 11, 60), Ok(()));
    assert_eq!(fresh(&scene, 11, 300), Ok(()));
    // A client with a secret does not wait.
    assert!(scene.post(&by_secret("")).is_ok());
}

#[test]
fn an_assertion_is_not_used_up_by_a_request_that_fails() {
    let scene = Scene::new();
    let form = by_assertion(&scene.assertion(|_, _| {}));
    assert!(scene.post(&format!("{form}&scope=keys:manage")).is_err());
    let (mut first, proof) = (request(&form), scene.proof(|_, claims| claims["nonce"] = "old".into()));
    let proofs: &[&[u8]] = &[proof.as_bytes()];
    first.proofs = proofs;
    refused("the client does not know the nonce yet", scene.ask(&first), Code::UseDpopNonce);
    let proof = scene.proof(|_, _| {});
    let proofs: &[&[u8]] = &[proof.as_bytes()];
    first.proofs = proofs;
    assert!(scene.ask(&first).is_ok());
}

#[test]
fn proofs_with_tricks_get_no_token() {
    let scene = Scene::new();
    let ask = |client: &str, proofs: &[&[u8]], certificate: Option<Thumbprint>| {
        let form = by_secret_of(client, "");
        let mut request = request(&form);
        (request.proofs, request.certificate) = (proofs, certificate);
        scene.ask(&request)
    };
    type Change = fn(&mut Value, &mut Value);
    let table: &[(&str, Change, Code)] = &[
        ("another method", |_, claims| claims["htm"] = "GET".into(), Code::InvalidDpopProof),
        (
            "another endpoint",
            |_, claims| claims["htu"] = "https://pay.example/v1/payments".into(),
            Code::InvalidDpopProof,
        ),
        (
            "another server",
            |_, claims| claims["htu"] = "https://evil.example/oauth/token".into(),
            Code::InvalidDpopProof,
        ),
        ("too old", |_, claims| claims["iat"] = (NOW_S - 121).into(), Code::InvalidDpopProof),
        ("too early", |_, claims| claims["iat"] = (NOW_S + 31).into(), Code::InvalidDpopProof),
        ("another type", |header, _| header["typ"] = "JWT".into(), Code::InvalidDpopProof),
        ("another algorithm", |header, _| header["alg"] = "RS256".into(), Code::InvalidDpopProof),
        ("HMAC", |header, _| header["alg"] = "HS256".into(), Code::InvalidDpopProof),
        ("a private key", |header, _| header["jwk"]["d"] = "AQ".into(), Code::InvalidDpopProof),
        ("another key", |header, _| header["jwk"] = crate::support::Signer::generate().jwk(), Code::InvalidDpopProof),
        ("no key", |header, _| drop(header.as_object_mut().unwrap().remove("jwk")), Code::InvalidDpopProof),
        ("no name", |_, claims| drop(claims.as_object_mut().unwrap().remove("jti")), Code::InvalidDpopProof),
        ("no nonce", |_, claims| drop(claims.as_object_mut().unwrap().remove("nonce")), Code::UseDpopNonce),
        (
            "an invented nonce",
            |_, claims| claims["nonce"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
            Code::UseDpopNonce,
        ),
    ];
    for (name, change, code) in table {
        let proof = scene.proof(change);
        refused(name, ask("checkout", &[proof.as_bytes()], None), *code);
    }
    let (one, two) = (scene.proof(|_, _| {}), scene.proof(|_, _| {}));
    refused("two proofs", ask("checkout", &[one.as_bytes(), two.as_bytes()], None), Code::InvalidDpopProof);
    assert!(ask("checkout", &[one.as_bytes()], None).is_ok());
    refused("a proof again", ask("checkout", &[one.as_bytes()], None), Code::InvalidDpopProof);
    refused("an empty proof", ask("checkout", &[b""], None), Code::InvalidDpopProof);
    refused("no proof of a client that needs one", ask("bound", &[], None), Code::InvalidRequest);
    refused(
        "no certificate of a client that needs one",
        ask("certified", &[two.as_bytes()], None),
        Code::InvalidRequest,
    );
}

proptest! {
    /// Whatever arrives, it is refused with a status below 500 and without a panic.
    #[test]
    fn nothing_gets_a_token_without_a_secret(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        header in proptest::collection::vec(any::<u8>(), 0..60),
        form in "(grant_type=client_credentials&)?(client_id=checkout&)?(client_secret=|client_assertion=)?[ -~]{0,60}",
        seconds in 0_u64..u64::MAX / 1_000_000_000,
    ) {
        let scene = Scene::new();
        let headers: &[&[u8]] = &[&header];
        for body in [&body, form.as_bytes()] {
            for authorization in [&[], headers] {
                let request = Request {
                    content_types: FORM, query: None, authorization, proofs: authorization, certificate: None, body,
                };
                let refusal = scene.ask_at(&request, Timestamp::from_ns(seconds * 1_000_000_000)).unwrap_err();
                prop_assert!(refusal.code().http_status() < 500);
            }
        }
    }

    /// A changed assertion is refused, wherever it was changed.
    #[test]
    fn a_changed_assertion_gets_no_token(place in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
        let scene = Scene::new();
        let good = scene.assertion(|_, _| {});
        let place = place.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(place..=place, &with);
        prop_assume!(changed != good);
        prop_assert_eq!(scene.post(&by_assertion(&changed)).map_err(|refusal| refusal.code()), Err(Code::InvalidClient));
    }
}
