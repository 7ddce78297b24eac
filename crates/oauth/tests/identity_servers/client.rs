//! What a client of an identity server does: it gets tokens, as RFC 6749, RFC 7523 and RFC 9449 describe it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::seconds_now;

/// A P-256 key of a client.
pub(crate) struct ClientKey(EcdsaKeyPair);

impl ClientKey {
    pub(crate) fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn from_pkcs8(base64: &str) -> Self {
        let der = STANDARD.decode(base64).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap())
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    fn jws(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A DPoP proof for a request, with the token that it carries if it carries one.
    pub(crate) fn proof(&self, method: &str, uri: &str, nonce: Option<&str>, token: Option<&str>) -> String {
        let mut claims = json!({"jti": unique(), "htm": method, "htu": uri, "iat": seconds_now()});
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        if let Some(token) = token {
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
            claims["ath"] = URL_SAFE_NO_PAD.encode(hash).into();
        }
        self.jws(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()}), &claims)
    }
}

fn unique() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Gets a token for `client`, one of those in the description of a server. A client with DPoP gets one that is bound to `key`.
pub(crate) fn token(issuer: &str, endpoint: &str, client: &Value, key: &ClientKey) -> String {
    let id = client["client_id"].as_str().unwrap();
    let mut form = vec![("grant_type", "client_credentials".to_owned()), ("client_id", id.to_owned())];
    if let Some(scope) = client["scope"].as_str() {
        form.push(("scope", scope.to_owned()));
    }
    let mut request = ureq::post(endpoint);
    match (client["client_secret"].as_str(), client["private_key_pkcs8"].as_str()) {
        (Some(secret), None) => {
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
        }
        (None, Some(pkcs8)) => {
            let now = seconds_now();
            let claims = json!({"iss": id, "sub": id, "aud": issuer, "jti": unique(), "iat": now, "exp": now + 60});
            let assertion = ClientKey::from_pkcs8(pkcs8).jws(&json!({"alg": "ES256", "kid": id}), &claims);
            form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()));
            form.push(("client_assertion", assertion));
        }
        _ => panic!("the client authenticates in no known way: {client}"),
    }
    let dpop = client["dpop"] == true;
    if dpop {
        request = request.header("dpop", key.proof("POST", endpoint, None, None));
    }
    let answer = read(request.config().http_status_as_error(false).build().send_form(form).unwrap());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["token_type"], if dpop { "DPoP" } else { "Bearer" }, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Fetches a document that everybody may read.
pub(crate) fn get(uri: &str) -> Vec<u8> {
    read(ureq::get(uri).call().unwrap())
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Vec<u8> {
    answer.body_mut().read_to_vec().unwrap()
}
