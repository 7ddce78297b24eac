//! Attacks on access tokens: none of them gets in, and none looks like a fault of the server.

use aws_lc_rs::hmac;
use oauth::{Algorithm, TokenError};
use serde_json::{Value, json};

use crate::support::{
    AUDIENCE, ISSUER, NOW, NOW_S, PLAIN, claims, header, plain_claims, plain_token, remove, text, token, verifier,
    world,
};

/// A name, the token, and a part of the reason why it is refused.
type Attack = (&'static str, String, &'static str);

/// Refuses every one of these tokens for its reason, which is never a fault of the server and never quotes the token.
#[track_caller]
fn refuses(attacks: Vec<Attack>) {
    let verifier = verifier();
    for (name, token, reason) in attacks {
        let error = verifier.verify(&token, NOW).map(|verified| verified.token).expect_err(name);
        let message = error.to_string();
        assert!(message.contains(reason), "{name}: {message}");
        assert_eq!((error.code().name(), error.code().http_status()), ("invalid_token", 401), "{name}");
        for part in token.split('.').filter(|part| part.len() > 16) {
            assert!(!message.contains(part), "{name}: the message quotes the token: {message}");
        }
        assert!(message.len() < 400, "{name}: {message}");
    }
}

/// A token with this header and this payload, signed as it should be.
fn raw(header: &str, payload: &str) -> String {
    world().ec.jws(Algorithm::Es256, header, payload)
}

fn with_header(change: impl FnOnce(&mut Value)) -> String {
    token(|header, _| change(header))
}

fn with_claims(change: impl FnOnce(&mut Value)) -> String {
    token(|_, claims| change(claims))
}

/// A token with an HMAC instead of a signature.
fn hmac_token(header: &Value, secret: &[u8], algorithm: hmac::Algorithm) -> String {
    let signed = format!("{}.{}", text(header.to_string().as_bytes()), text(claims().to_string().as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", text(tag.as_ref()))
}

fn swap(token: &str, place: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[place] = part;
    parts.join(".")
}

#[test]
fn another_algorithm_does_not_help() {
    let valid = token(|_, _| {});
    let unsigned = |alg: &str| {
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": "ec"}).to_string();
        format!("{}.{}.", text(header.as_bytes()), text(claims().to_string().as_bytes()))
    };
    let hs256 = json!({"typ": "at+jwt", "alg": "HS256", "kid": "rsa"});
    let hs512 = json!({"typ": "at+jwt", "alg": "HS512", "kid": "rsa"});
    let jwk = world().rsa.jwk().to_string();
    let n = world().rsa.jwk()["n"].as_str().unwrap().to_owned();
    let rsa_header = |alg: &str| json!({"typ": "at+jwt", "alg": alg, "kid": "rsa"}).to_string();
    let rsa = |alg: &str, with| world().rsa.jws(with, &rsa_header(alg), &claims().to_string());
    let signature_of = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    refuses(vec![
        ("none", unsigned("none"), "algorithm is `none`"),
        ("None", unsigned("None"), "algorithm is `None`"),
        ("NONE", unsigned("NONE"), "algorithm is `NONE`"),
        ("nOnE with a signature", swap(&valid, 0, unsigned("nOnE").split('.').next().unwrap()), "algorithm is `nOnE`"),
        ("an empty algorithm", unsigned(""), "algorithm is ``"),
        ("no signature", swap(&valid, 2, ""), "signature of the token is not"),
        ("HMAC with the RSA key as secret", hmac_token(&hs256, jwk.as_bytes(), hmac::HMAC_SHA256), "`HS256`"),
        ("HMAC with the modulus as secret", hmac_token(&hs256, n.as_bytes(), hmac::HMAC_SHA256), "`HS256`"),
        ("HMAC with an empty secret", hmac_token(&hs512, b"", hmac::HMAC_SHA512), "`HS512`"),
        ("PS256 with a key for RS256", rsa("PS256", Algorithm::Ps256), "signed with PS256; expected ES256, RS256"),
        ("RS256 that is PS256", rsa("RS256", Algorithm::Ps256), "signature"),
        ("RS512 that the issuer does not use", rsa("RS512", Algorithm::Rs512), "signed with RS512"),
        ("RS256 with the EC key", with_header(|header| header["alg"] = "RS256".into()), "no key `ec` for RS256"),
        ("ES256 with the RSA key", with_header(|header| header["kid"] = "rsa".into()), "no key `rsa` for ES256"),
        ("ES384 with a P-256 key", with_header(|header| header["alg"] = "ES384".into()), "signed with ES384"),
        ("ES256K", with_header(|header| header["alg"] = "ES256K".into()), "`ES256K`"),
        ("RSA1_5", with_header(|header| header["alg"] = "RSA1_5".into()), "`RSA1_5`"),
        ("a name in lower case", with_header(|header| header["alg"] = "es256".into()), "`es256`"),
        ("a name with a space", with_header(|header| header["alg"] = "ES256 ".into()), "`ES256 `"),
        ("an algorithm that is a list", with_header(|header| header["alg"] = json!(["ES256"])), "a list as `alg`"),
        ("an algorithm that is null", with_header(|header| header["alg"] = Value::Null), "null as `alg`"),
        ("no algorithm", with_header(|header| remove(header, "alg")), "nothing as `alg`"),
        ("an ECDSA signature of zeros", swap(&valid, 2, &text(&[0; 64])), "signature"),
        ("an ECDSA signature in DER", swap(&valid, 2, &text(&[0x30, 6, 2, 1, 1, 2, 1, 1])), "signature"),
        ("a longer signature", format!("{valid}AAAA"), "signature"),
        (
            "the signature of another token",
            swap(&valid, 2, &signature_of(&with_claims(|claims| claims["sub"] = "x".into()))),
            "signature",
        ),
    ]);
}

#[test]
fn a_key_of_the_senders_choice_is_not_used() {
    let world = world();
    let signed_by_attacker = |change: &dyn Fn(&mut Value)| {
        let mut header = header();
        change(&mut header);
        world.attacker.jws(Algorithm::Es256, &header.to_string(), &claims().to_string())
    };
    let kid = |kid: Value| with_header(|header| header["kid"] = kid);
    let refused = |parameter: &'static str| match parameter {
        "jku" => "parameter `jku`",
        "x5u" => "parameter `x5u`",
        _ => "parameter `x5c`",
    };
    let mut attacks = vec![
        ("another key", signed_by_attacker(&|_| {}), "signature"),
        ("an embedded key", signed_by_attacker(&|header| header["jwk"] = world.attacker.jwk()), "parameter `jwk`"),
        ("the issuer's own key, embedded", with_header(|header| header["jwk"] = world.ec.jwk()), "parameter `jwk`"),
        ("a certificate", signed_by_attacker(&|header| header["x5c"] = json!(["MIIB"])), "parameter `x5c`"),
        ("a path", kid("../../../../dev/null".into()), "no key `../../../../dev/null`"),
        ("SQL", kid("x' UNION SELECT 'key'--".into()), "no key `x' UNION"),
        ("a command", kid("/dev/null|curl evil".into()), "no key `/dev/null|curl"),
        ("an address", kid("https://evil.example/jwks#1".into()), "no key `https://evil"),
        ("an empty name", kid("".into()), "no key ``"),
        ("a name in capitals", kid("EC".into()), "no key `EC`"),
        ("a name with a zero byte", kid("ec\u{0}".into()), "no key `ec\u{fffd}`"),
        ("a name that is a number", kid(json!(0)), "a number as `kid`"),
        ("a name that is null", kid(Value::Null), "null as `kid`"),
        ("a name that is a list", kid(json!(["ec"])), "a list as `kid`"),
        ("a long name", kid("k".repeat(257).into()), "a longer text as `kid`"),
        ("a name with lines", kid("a\nforged line of a log\u{1b}[2J".into()), "a\u{fffd}forged"),
        ("a key of another type of the set", kid("q".into()), "no key `q`"),
        (
            "a key for encryption",
            world.encryption.jws(
                Algorithm::Es256,
                &json!({"typ": "at+jwt", "alg": "ES256", "kid": "enc"}).to_string(),
                &claims().to_string(),
            ),
            "no key `enc` for ES256",
        ),
        (
            "a key of another issuer",
            world.ed.jws(
                Algorithm::EdDsa,
                &json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "ed"}).to_string(),
                &claims().to_string(),
            ),
            "signed with EdDSA",
        ),
        (
            "RSA with another key",
            world.attacker_rsa.jws(
                Algorithm::Rs256,
                &json!({"typ": "at+jwt", "alg": "RS256", "kid": "rsa"}).to_string(),
                &claims().to_string(),
            ),
            "signature",
        ),
    ];
    for parameter in ["jku", "x5u"] {
        let fetched = signed_by_attacker(&|header| header[parameter] = "https://evil.example/keys".into());
        attacks.push(("an address of keys", fetched, refused(parameter)));
        let own = with_header(|header| header[parameter] = format!("{ISSUER}/certs").into());
        attacks.push(("an address at the issuer", own, refused(parameter)));
    }
    refuses(attacks);
}

#[test]
fn there_is_one_form_and_one_reading() {
    let valid = token(|_, _| {});
    let parts: Vec<&str> = valid.split('.').collect();
    let json_form = json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string();
    let claims_text = claims().to_string();
    let twice = |member: &str, value: &str| format!("{},\"{member}\":{value}}}", claims_text.trim_end_matches('}'));
    let header_text = header().to_string();
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let longer = |token: &str| {
        // The last character of a signature of 64 bytes has four unused bits.
        let (rest, last) = token.split_at(token.len() - 1);
        let next = match last {
            "A" => "B",
            "Q" => "R",
            "g" => "h",
            _ => "x",
        };
        format!("{rest}{next}")
    };
    refuses(vec![
        ("nothing", String::new(), "1 parts"),
        ("dots", "..".into(), "header is not valid"),
        ("one part", parts[0].into(), "1 parts"),
        ("two parts", format!("{}.{}", parts[0], parts[1]), "2 parts"),
        ("four parts", format!("{valid}.AA"), "4 parts"),
        ("five parts, as if encrypted", format!("{valid}.AA.AA"), "5 parts"),
        ("the JSON form", json_form, "1 parts"),
        ("a dot at the end", format!("{valid}."), "4 parts"),
        ("padding", format!("{valid}=="), "signature is not base64url"),
        ("padding of the header", swap(&valid, 0, &format!("{}=", parts[0])), "header is not base64url"),
        ("another last character", longer(&valid), "signature is not base64url"),
        ("a space in front", format!(" {valid}"), "header is not base64url"),
        ("a line at the end", format!("{valid}\n"), "signature is not base64url"),
        ("the other alphabet", swap(&valid, 1, &format!("{}+/", parts[1])), "payload is not base64url"),
        ("a zero byte", swap(&valid, 1, &format!("{}\0", parts[1])), "payload is not base64url"),
        ("letters outside ASCII", swap(&valid, 1, "é"), "payload is not base64url"),
        ("too long", raw(&header_text, &twice("x", &format!("\"{}\"", "x".repeat(8_000)))), "expected at most 8192"),
        ("much too long", "a".repeat(10_000_000), "expected at most 8192"),
        ("deep claims", raw(&header_text, &twice("x", &deep(8))), "nested deeper than 8"),
        ("deep claims that never end", raw(&header_text, &"[".repeat(3_000)), "nested deeper than 8"),
        ("a deep header", raw(&header_text.replace("\"ec\"", &deep(2_000)), &claims_text), "nested deeper than 8"),
        ("critical extensions", with_header(|header| header["crit"] = json!(["exp"])), "parameter `crit`"),
        ("an empty list of them", with_header(|header| header["crit"] = json!([])), "parameter `crit`"),
        ("a payload that is not encoded", with_header(|header| header["b64"] = json!(false)), "parameter `b64`"),
        ("compressed", with_header(|header| header["zip"] = "DEF".into()), "parameter `zip`"),
        ("encrypted", with_header(|header| header["enc"] = "A256GCM".into()), "parameter `enc`"),
        (
            "two algorithms",
            raw(&header_text.replace('{', "{\"alg\":\"none\","), &claims_text),
            "member `alg` appears twice",
        ),
        (
            "two algorithms, one of them escaped",
            raw(&header_text.replace('{', "{\"\\u0061lg\":\"none\","), &claims_text),
            "member `alg` appears twice",
        ),
        ("two subjects", raw(&header_text, &twice("sub", "\"admin\"")), "member `sub` appears twice"),
        ("two expiries", raw(&header_text, &twice("exp", "9999999999")), "member `exp` appears twice"),
        ("two issuers", raw(&header_text, &twice("iss", &format!("\"{PLAIN}\""))), "member `iss` appears twice"),
        ("claims that are a list", raw(&header_text, "[]"), "found a list"),
        ("claims that are a text", raw(&header_text, "\"{}\""), "found text"),
        ("no claims", raw(&header_text, ""), "claims of the token are not valid"),
        ("something after the claims", raw(&header_text, &format!("{claims_text}{{}}")), "trailing"),
        ("a mark in front of the claims", raw(&header_text, &format!("\u{feff}{claims_text}")), "expected value"),
        ("a number that is none", raw(&header_text, &twice("x", "NaN")), "claims of the token are not valid"),
        ("a header that is a list", raw("[]", &claims_text), "found a list"),
    ]);
}

#[test]
fn claims_must_be_there_and_have_their_type() {
    let set = |claim: &'static str, value: Value| with_claims(|claims| claims[claim] = value);
    let without = |claim: &'static str| with_claims(|claims| remove(claims, claim));
    refuses(vec![
        ("no expiry", without("exp"), "claim `exp` is missing"),
        ("an expiry in text", set("exp", (NOW_S + 300).to_string().into()), "claim `exp` is text"),
        ("an expiry that is null", set("exp", Value::Null), "claim `exp` is null"),
        ("an expiry that is true", set("exp", json!(true)), "claim `exp` is true or false"),
        ("an expiry in a list", set("exp", json!([NOW_S + 300])), "claim `exp` is a list"),
        ("an expiry that is an object", set("exp", json!({"$gt": 0})), "claim `exp` is an object"),
        ("an expiry before 1970", set("exp", json!(-1)), "claim `exp` is a number that is no time"),
        ("an expiry after all clocks", set("exp", json!(1e300)), "claim `exp` is a number that is no time"),
        ("an expiry that overflows", set("exp", json!(u64::MAX)), "claim `exp` is a number that is no time"),
        ("an expiry in milliseconds", set("exp", json!(NOW_S * 1_000)), "claim `exp` is a number that is no time"),
        ("not before a text", set("nbf", "0".into()), "claim `nbf` is text"),
        ("not before null", set("nbf", Value::Null), "claim `nbf` is null"),
        ("no time of issue", without("iat"), "claim `iat` is missing"),
        ("issued at a text", set("iat", "now".into()), "claim `iat` is text"),
        ("no subject", without("sub"), "claim `sub` is missing"),
        ("an empty subject", set("sub", "".into()), "claim `sub` is empty"),
        ("a subject that is a number", set("sub", json!(1)), "claim `sub` is a number"),
        ("a long subject", set("sub", "s".repeat(257).into()), "claim `sub` is longer"),
        ("a subject with lines", set("sub", "a\nb".into()), "claim `sub` is text with control"),
        ("no client", without("client_id"), "claim `client_id` is missing"),
        ("a client that is a list", set("client_id", json!(["a"])), "claim `client_id` is a list"),
        ("no id", without("jti"), "claim `jti` is missing"),
        ("an id that is a number", set("jti", json!(7)), "claim `jti` is a number"),
        ("scopes in a list", set("scope", json!(["payments:read"])), "claim `scope` is a list"),
        ("a scope that is null", set("scope", Value::Null), "claim `scope` is null"),
        (
            "roles that are an object",
            plain_token(|_, claims| claims["realm_access"] = json!({"roles": {"reader": 1}})),
            "claim `realm_access.roles` is an object",
        ),
        (
            "roles in a text",
            plain_token(|_, claims| claims["realm_access"] = "reader".into()),
            "claim `realm_access` is text",
        ),
        (
            "a role that is a number",
            plain_token(|_, claims| claims["realm_access"]["roles"] = json!(["reader", 1])),
            "a list with a number in it",
        ),
        ("bound to nothing", set("cnf", json!({})), "claim `cnf` is empty"),
        ("bound to null", set("cnf", Value::Null), "claim `cnf` is null"),
        ("bound to a text", set("cnf", "jkt".into()), "claim `cnf` is text"),
        ("bound to a short hash", set("cnf", json!({"jkt": "AAAA"})), "claim `cnf.jkt`"),
        ("bound to a number", set("cnf", json!({"x5t#S256": 1})), "claim `cnf.x5t#S256` is a number"),
        ("bound to a hash with padding", set("cnf", json!({"jkt": format!("{}=", text(&[0; 32]))})), "claim `cnf.jkt`"),
        ("bound by a key that nobody checks", set("cnf", json!({"jwk": {"kty": "oct"}})), "bound by `cnf.jwk`"),
    ]);
}

#[test]
fn a_token_counts_in_its_time() {
    let set = |claim: &'static str, value: u64| with_claims(|claims| claims[claim] = value.into());
    refuses(vec![
        ("expired now", set("exp", NOW_S), "the token expired at"),
        ("expired a second ago", set("exp", NOW_S - 1), "the token expired at"),
        ("expired in 1970", set("exp", 0), "the token expired at 1970"),
        (
            "expired by a fraction",
            with_claims(|claims| claims["exp"] = json!(1_799_999_999.75)),
            "the token expired at",
        ),
        ("not before 31 s ahead", set("nbf", NOW_S + 31), "the token has `nbf`"),
        ("not before 61 s ahead", set("nbf", NOW_S + 61), "the token has `nbf`"),
        ("not before tomorrow", set("nbf", NOW_S + 86_400), "the token has `nbf`"),
        ("issued 61 s ahead", set("iat", NOW_S + 61), "the token has `iat`"),
        ("issued tomorrow", set("iat", NOW_S + 86_400), "the token has `iat`"),
    ]);
}

#[test]
fn a_token_is_for_this_server_from_its_issuer() {
    let set = |claim: &'static str, value: Value| with_claims(|claims| claims[claim] = value);
    let plain = |change: &dyn Fn(&mut Value)| plain_token(|_, claims| change(claims));
    let of_plain_by_ec = || {
        let header = header().to_string();
        world().ec.jws(Algorithm::Es256, &header, &plain_claims().to_string())
    };
    refuses(vec![
        ("no audience", with_claims(|claims| remove(claims, "aud")), "another audience"),
        ("another audience", set("aud", "https://other.example".into()), "another audience"),
        ("other audiences", set("aud", json!(["a", "b"])), "another audience"),
        ("no audiences", set("aud", json!([])), "another audience"),
        ("a longer audience", set("aud", format!("{AUDIENCE}/").into()), "another audience"),
        ("an audience in capitals", set("aud", AUDIENCE.to_uppercase().into()), "another audience"),
        ("audiences in one text", set("aud", format!("{AUDIENCE} a").into()), "another audience"),
        ("an audience that is null", set("aud", Value::Null), "claim `aud` is null"),
        ("an audience that is an object", set("aud", json!({AUDIENCE: 1})), "claim `aud` is an object"),
        ("a list with null", set("aud", json!([AUDIENCE, null])), "a list with null in it"),
        ("the client as audience", set("aud", "s6BhdRkqt3".into()), "another audience"),
        ("no issuer", with_claims(|claims| remove(claims, "iss")), "claim `iss` is missing"),
        ("an unknown issuer", set("iss", "https://evil.example".into()), "issuer `https://evil.example`"),
        ("a longer issuer", set("iss", format!("{ISSUER}/").into()), "which is not configured"),
        ("an issuer in capitals", set("iss", ISSUER.to_uppercase().into()), "which is not configured"),
        ("an issuer in a list", set("iss", json!([ISSUER])), "claim `iss` is a list"),
        ("an issuer with lines", set("iss", format!("{ISSUER}\n").into()), "claim `iss` is text with control"),
        ("the name of another issuer", set("iss", PLAIN.into()), "signed with ES256; expected EdDSA"),
        ("another issuer's claims", of_plain_by_ec(), "signed with ES256; expected EdDSA"),
        ("another issuer's name", plain(&|claims| claims["iss"] = ISSUER.into()), "signed with EdDSA"),
        ("no tenant", plain(&|claims| remove(claims, "tenant")), "claim `tenant` is missing"),
        ("the tenant of another issuer", plain(&|claims| claims["tenant"] = "one".into()), "a tenant that its issuer"),
        ("a tenant by number", plain(&|claims| claims["tenant"] = json!(2)), "claim `tenant` is a number"),
        ("two tenants", plain(&|claims| claims["tenant"] = json!(["two", "three"])), "claim `tenant` is a list"),
        ("a tenant in capitals", plain(&|claims| claims["tenant"] = "TWO".into()), "a tenant that its issuer"),
        ("an empty tenant", plain(&|claims| claims["tenant"] = "".into()), "a tenant that its issuer"),
    ]);
}

#[test]
fn other_kinds_of_tokens_are_not_access_tokens() {
    let typ = |typ: &'static str| with_header(|header| header["typ"] = typ.into());
    let plain = |claim: &'static str, value: Value| plain_token(|_, claims| claims[claim] = value);
    refuses(vec![
        ("a plain JWT where they are not sent", typ("JWT"), "type of the token is `JWT`; expected `at+jwt`"),
        ("a DPoP proof", typ("dpop+jwt"), "type of the token is `dpop+jwt`"),
        ("an event token", typ("secevent+jwt"), "`secevent+jwt`"),
        ("a logout token", typ("logout+jwt"), "`logout+jwt`"),
        ("a client's assertion", typ("client-authentication+jwt"), "`client-authentication+jwt`"),
        ("an empty type", typ(""), "type of the token is ``"),
        ("half a type", typ("application/"), "type of the token is `application/`"),
        ("twice application", typ("application/application/at+jwt"), "`application/application/at+jwt`"),
        ("no type", with_header(|header| remove(header, "typ")), "type of the token is missing"),
        ("a type that is a list", with_header(|header| header["typ"] = json!(["at+jwt"])), "a list as `typ`"),
        ("an ID token with a nonce", plain("nonce", "n-0S6".into()), "claim `nonce` shows"),
        ("an ID token with a hash", plain("at_hash", "x".into()), "claim `at_hash` shows"),
        ("an ID token by its type", plain("typ", "ID".into()), "claim `typ` shows"),
        ("a refresh token", plain("typ", "Refresh".into()), "claim `typ` shows"),
        ("a type that is null", plain("typ", Value::Null), "claim `typ` is null"),
        ("an ID token by its use", plain("token_use", "id".into()), "claim `token_use` shows"),
        (
            "a logout token without a type",
            plain("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
            "claim `events` shows",
        ),
        ("no client", plain_token(|_, claims| remove(claims, "azp")), "claim `azp` is missing"),
        ("a DPoP proof at a plain issuer", plain_token(|header, _| header["typ"] = "dpop+jwt".into()), "`dpop+jwt`"),
    ]);
}

#[test]
fn an_unknown_key_is_told_apart_so_that_the_keys_can_be_fetched() {
    let error = verifier().verify(&with_header(|header| header["kid"] = "new".into()), NOW).unwrap_err();
    let expected = TokenError::UnknownKey { issuer: ISSUER.into(), kid: "`new`".into(), algorithm: "ES256" };
    assert_eq!(error, expected);
}
