//! An issuer with a few clients, and requests to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use issuer::{
    Authentication, Client, ClientBinding, ClientSecret, Granted, Introspection, Issuer, KeyRing, Refusal, Registry,
    Replays, Request, Revocation, Settings, SigningAlgorithm, SigningKey, TOKEN_LIFETIME_DEFAULT,
};
use oauth::{Algorithm, Keys, Need, Proofs, ScopeRule, Scopes, Thumbprint, Values, Verifier, base64url};
use serde_json::{Value, json};
use types::{Span, TenantId, Timestamp};

pub(crate) const ORIGIN: &str = "https://pay.example";
pub(crate) const TOKEN_ENDPOINT: &str = "https://pay.example/oauth/token";
pub(crate) const FORM: &[&[u8]] = &[b"application/x-www-form-urlencoded"];
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The time of the tests, in seconds since 1970: long enough after the start that no assertion is older.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const NOW: Timestamp = Timestamp::from_ns(NOW_S * 1_000_000_000);
pub(crate) const START: Timestamp = Timestamp::from_ns((NOW_S - 3_600) * 1_000_000_000);

/// A key pair on P-256 of a test.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": base64url::encode(x), "y": base64url::encode(y)})
    }

    pub(crate) fn published(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        jwk
    }

    pub(crate) fn thumbprint(&self) -> Thumbprint {
        let members: BTreeMap<String, Value> = serde_json::from_value(self.jwk()).unwrap();
        Thumbprint::of(serde_json::to_string(&members).unwrap().as_bytes())
    }

    pub(crate) fn jws(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(payload));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64url::encode(signature.as_ref()))
    }
}

/// The clients, and which tokens were revoked.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) clients: BTreeMap<String, Arc<Client>>,
    pub(crate) revoked: BTreeSet<String>,
}

impl Registry for Clients {
    fn client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.get(id).cloned()
    }

    fn is_revoked(&self, jti: &str) -> bool {
        self.revoked.contains(jti)
    }
}

/// An issuer, its clients and its keys.
pub(crate) struct Scene {
    pub(crate) issuer: Issuer,
    pub(crate) clients: Clients,
    pub(crate) keys: KeyRing,
    pub(crate) proofs: Proofs,
    /// The key of the clients `signer` and `two-keys`.
    pub(crate) signer: Signer,
    pub(crate) attacker: Signer,
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn key(algorithm: SigningAlgorithm) -> SigningKey {
    SigningKey::generate(algorithm, random()).unwrap()
}

/// The secret of the clients `checkout`, `bound` and `revoked`.
pub(crate) fn secret() -> ClientSecret {
    ClientSecret::new([7; 32])
}

pub(crate) fn client(id: &str, authentication: Authentication) -> Client {
    Client {
        id: id.to_owned(),
        tenant: TenantId::new(2),
        scopes: ["payments:read", "payments:write"].map(Into::into).into(),
        authentication,
        token_lifetime: None,
        binding: ClientBinding::Optional,
        is_revoked: false,
    }
}

pub(crate) fn secrets(id: &str) -> Authentication {
    Authentication::Secrets(vec![secret().hash(id)])
}

pub(crate) fn key_set(keys: &[Value]) -> Keys {
    Keys::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

pub(crate) fn new_issuer(started_at: Timestamp) -> Issuer {
    let settings = Settings {
        origin: ORIGIN.into(),
        scopes: vec!["payments:read".into(), "payments:write".into()],
        token_lifetime: TOKEN_LIFETIME_DEFAULT,
        takes_certificates: true,
    };
    Issuer::new(settings, Replays::new(started_at, random())).unwrap()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (signer, other, attacker) = (Signer::generate(), Signer::generate(), Signer::generate());
        let with = |id: &str, authentication, change: fn(&mut Client)| {
            let mut client = client(id, authentication);
            change(&mut client);
            (id.to_owned(), Arc::new(client))
        };
        let one_key = Authentication::Keys(key_set(&[signer.published("k1")]));
        let two_keys = Authentication::Keys(key_set(&[signer.published("k1"), other.published("k2")]));
        let clients = [
            with("checkout", secrets("checkout"), |_| {}),
            with("other-tenant", secrets("other-tenant"), |client| client.tenant = TenantId::new(3)),
            with("bound", secrets("bound"), |client| client.binding = ClientBinding::Dpop),
            with("certified", secrets("certified"), |client| client.binding = ClientBinding::Certificate),
            with("revoked", secrets("revoked"), |client| client.is_revoked = true),
            with("powerless", secrets("powerless"), |client| client.scopes.clear()),
            with("signer", one_key, |_| {}),
            with("two-keys", two_keys, |_| {}),
        ];
        Self {
            issuer: new_issuer(START),
            clients: Clients { clients: clients.into(), revoked: BTreeSet::new() },
            keys: KeyRing::new(key(SigningAlgorithm::Es256), key(SigningAlgorithm::EdDsa), NOW).unwrap(),
            proofs: Proofs::new(vec![Algorithm::Es256, Algorithm::EdDsa], random(), 100),
            signer,
            attacker,
        }
    }

    pub(crate) fn ask(&self, request: &Request<'_>) -> Result<Granted, Refusal> {
        self.ask_at(request, NOW)
    }

    pub(crate) fn ask_at(&self, request: &Request<'_>, now: Timestamp) -> Result<Granted, Refusal> {
        let asked = self.issuer.authenticate(request, &self.clients, now)?;
        self.issuer.token(&asked, &self.keys, &self.proofs, random(), now)
    }

    pub(crate) fn introspect_at(&self, form: &str, now: Timestamp) -> Result<Introspection, Refusal> {
        let asked = self.issuer.authenticate(&request(form), &self.clients, now)?;
        self.issuer.introspect(&asked, &self.clients, &self.verifier(), now)
    }

    pub(crate) fn revoke(&self, form: &str) -> Result<Option<Revocation>, Refusal> {
        let asked = self.issuer.authenticate(&request(form), &self.clients, NOW)?;
        self.issuer.revoke(&asked, &self.clients, &self.verifier(), NOW)
    }

    /// Asks with a form and nothing else.
    pub(crate) fn post(&self, form: &str) -> Result<Granted, Refusal> {
        self.ask(&request(form))
    }

    /// A valid assertion of the client `signer` with these changes.
    pub(crate) fn assertion(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        self.assertion_by(&self.signer, change)
    }

    pub(crate) fn assertion_by(&self, signer: &Signer, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
        let mut claims = json!({
            "iss": "signer", "sub": "signer", "aud": ORIGIN, "jti": base64url::encode(&random::<16>()),
            "iat": NOW_S, "exp": NOW_S + 60
        });
        change(&mut header, &mut claims);
        signer.jws(&header, &claims)
    }

    /// A DPoP proof for the token endpoint with these changes.
    pub(crate) fn proof(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.signer.jwk()});
        let mut claims = json!({
            "jti": base64url::encode(&random::<16>()), "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": NOW_S,
            "nonce": self.proofs.nonce(NOW)
        });
        change(&mut header, &mut claims);
        self.signer.jws(&header, &claims)
    }

    /// What a resource server makes of the published keys.
    pub(crate) fn verifier(&self) -> Verifier {
        verifier(&self.issuer, &self.keys, NOW)
    }
}

pub(crate) fn verifier(issuer: &Issuer, keys: &KeyRing, now: Timestamp) -> Verifier {
    let mut verifier = Verifier::new(vec![issuer.verifier_settings(rules())]).unwrap();
    fetch(&mut verifier, keys, now);
    verifier
}

/// Fetches the published keys.
pub(crate) fn fetch(verifier: &mut Verifier, keys: &KeyRing, now: Timestamp) {
    let set = verifier.keys(ORIGIN).unwrap();
    set.start_fetch(now, Need::Age);
    let keys = Keys::parse(keys.jwks().as_bytes()).unwrap();
    assert!(keys.skipped.is_empty(), "{:?}", keys.skipped);
    set.fetched(now, Some(keys));
}

pub(crate) const READ: Scopes = Scopes(1);
pub(crate) const WRITE: Scopes = Scopes(2);

fn rules() -> Vec<ScopeRule> {
    [("payments:read", READ), ("payments:write", WRITE)]
        .map(|(value, scopes)| ScopeRule {
            path: vec!["scope".into()],
            values: Values::Spaced,
            value: value.into(),
            scopes,
        })
        .into()
}

pub(crate) fn request(form: &str) -> Request<'_> {
    Request {
        content_types: FORM,
        query: None,
        authorization: &[],
        proofs: &[],
        certificate: None,
        body: form.as_bytes(),
    }
}

/// `Authorization: Basic` of this pair, as it is.
pub(crate) fn basic(pair: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(pair)).into_bytes()
}

/// The form of a valid request of `checkout`, with `more` at its end.
pub(crate) fn by_secret(more: &str) -> String {
    by_secret_of("checkout", more)
}

pub(crate) fn by_secret_of(client: &str, more: &str) -> String {
    format!("grant_type=client_credentials&client_id={client}&client_secret={}{more}", secret().reveal())
}

pub(crate) fn by_assertion(assertion: &str) -> String {
    let assertion_type = ASSERTION_TYPE.replace(':', "%3A");
    format!("grant_type=client_credentials&client_assertion_type={assertion_type}&client_assertion={assertion}")
}

pub(crate) fn later(span_s: u64) -> Timestamp {
    NOW.saturating_add(Span::from_secs(span_s))
}
