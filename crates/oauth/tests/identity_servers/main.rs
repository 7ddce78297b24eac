//! Real identity servers: tokens of oidc-provider and Keycloak are verified while their keys change.
//!
//! Each test is skipped unless a variable says that it must run, because it downloads and starts a server:
//! `FINAIRA_REQUIRE_OIDC_PROVIDER=1` (Node.js, a second) and `FINAIRA_REQUIRE_KEYCLOAK=1` (Java and Maven, a minute or more).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and prints what it skips")]

mod client;
mod keycloak;
mod service;

use std::time::SystemTime;

use oauth::{
    Algorithm, Binding, IssuerSettings, Keys, Need, Profile, Proofs, ScopeRule, Scopes, Sender, SenderError, Target,
    Tenants, TokenCache, TokenError, UNKNOWN_KEY_INTERVAL, Values, VerifiedToken, Verifier,
};
use serde_json::{Value, json};
use types::{Span, TenantId, Timestamp};

use client::ClientKey;
use keycloak::Realm;
use service::Service;

const READ: Scopes = Scopes(1);
const WRITE: Scopes = Scopes(2);
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

#[test]
fn tokens_of_oidc_provider_are_verified_while_its_keys_change() {
    let Some(service) = Service::up("oidc-provider", "FINAIRA_REQUIRE_OIDC_PROVIDER") else { return };
    let rule = |value: &str, scopes| rule(&["scope"], Values::Spaced, value, scopes);
    let mut world = World::new(
        &service,
        Profile::AccessTokenJwt,
        Tenants::Claim {
            path: vec!["tenant".to_owned()],
            tenants: [("acme".to_owned(), TenantId::new(1)), ("globex".to_owned(), TenantId::new(2))].into(),
        },
        vec![rule("payments:read", READ), rule("payments:write", WRITE)],
    );
    let clients =
        [("payments", 1, READ.with(WRITE)), ("reports", 2, READ.with(WRITE)), ("terminal", 1, READ.with(WRITE))];
    world.check_tokens(&clients);
    let post = |command| ureq::post(service.text(command)).send_empty().unwrap();
    world.check_new_keys(
        3,
        || drop(post("/admin/publish")),
        || drop(post("/admin/use")),
        || drop(post("/admin/withdraw")),
    );
}

#[test]
fn tokens_of_keycloak_are_verified_while_its_keys_change() {
    let Some(service) = Service::up("keycloak", "FINAIRA_REQUIRE_KEYCLOAK") else { return };
    let rule = |value: &str, scopes| rule(&["realm_access", "roles"], Values::Listed, value, scopes);
    let mut world = World::new(
        &service,
        Profile::PlainJwt,
        Tenants::Fixed(TenantId::new(1)),
        vec![rule("payments-reader", READ), rule("payments-operator", READ.with(WRITE))],
    );
    world.check_tokens(&[("payments", 1, READ.with(WRITE)), ("terminal", 1, READ)]);
    let realm = Realm { service: &service };
    let mut new_key = service.description["admin"]["new_key"].clone();
    let mut passive = new_key.clone();
    passive["config"]["active"] = json!(["false"]);
    world.check_new_keys(
        1,
        || realm.add(&passive),
        || {
            new_key["id"] = realm.id_of("next").into();
            realm.replace("next", &new_key);
        },
        || realm.remove("rsa-generated"),
    );
}

/// A server, and a verifier that trusts it.
struct World<'a> {
    service: &'a Service,
    settings: IssuerSettings,
    verifier: Verifier,
    keys_uri: String,
    dpop_key: ClientKey,
}

impl<'a> World<'a> {
    fn new(service: &'a Service, profile: Profile, tenants: Tenants, rules: Vec<ScopeRule>) -> Self {
        let settings = IssuerSettings {
            issuer: service.text("/issuer").to_owned(),
            audience: service.text("/audience").to_owned(),
            algorithms: ALGORITHMS.to_vec(),
            profile,
            tenants,
            rules,
            binding: Binding::Optional,
        };
        let verifier = Verifier::new(vec![settings.clone()]).unwrap();
        let document = client::get(&oauth::discovery_uri(&settings.issuer));
        let keys_uri = oauth::key_set_uri(&settings.issuer, &document).unwrap();
        assert_eq!(keys_uri, service.text("/jwks_uri"));
        Self { service, settings, verifier, keys_uri, dpop_key: ClientKey::generate() }
    }

    /// Fetches the keys, and returns how many left the set, or `None` if it is not the time to fetch them.
    fn fetch_keys(&mut self, now: Timestamp, need: Need) -> Option<usize> {
        let set = self.verifier.keys(&self.settings.issuer).unwrap();
        set.start_fetch(now, need).then(|| set.fetched(now, Some(Keys::parse(&client::get(&self.keys_uri)).unwrap())))
    }

    fn clients(&self) -> &'a [Value] {
        self.service.description["clients"].as_array().unwrap()
    }

    fn token(&self, client: &Value) -> String {
        client::token(&self.settings.issuer, self.service.text("/token_endpoint"), client, &self.dpop_key)
    }

    /// Each client gets a token that says what it should, and that counts for this audience, time and sender only.
    fn check_tokens(&mut self, expected: &[(&str, u32, Scopes)]) {
        let first = self.token(&self.clients()[0]);
        let unfetched = self.verifier.verify(&first, now()).unwrap_err();
        assert!(matches!(unfetched, TokenError::KeysUnavailable(_)), "{unfetched}");
        assert_eq!(self.fetch_keys(now(), Need::Age), Some(0));
        let found: Vec<&str> = self.clients().iter().map(|client| client["client_id"].as_str().unwrap()).collect();
        assert_eq!(found, expected.iter().map(|(id, ..)| *id).collect::<Vec<_>>());

        let mut elsewhere = self.settings.clone();
        elsewhere.audience = "https://elsewhere.test".to_owned();
        let mut elsewhere = Verifier::new(vec![elsewhere]).unwrap();
        let keys = elsewhere.keys(&self.settings.issuer).unwrap();
        assert!(keys.start_fetch(now(), Need::Age));
        keys.fetched(now(), Some(Keys::parse(&client::get(&self.keys_uri)).unwrap()));

        for (client, (id, tenant, scopes)) in self.clients().iter().zip(expected) {
            let text = self.token(client);
            let token = self.verifier.verify(&text, now()).unwrap().token;
            assert_eq!((token.client.as_str(), token.tenant), (*id, TenantId::new(*tenant)));
            assert_eq!(token.scopes, *scopes, "{id}");
            assert!(!token.subject.is_empty() && token.id.is_some(), "{token:?}");
            let seconds = self.service.description["token_seconds"].as_u64().unwrap();
            let left = token.expires_at.since(now());
            assert!(left <= Span::from_secs(seconds) && left > Span::from_secs(seconds / 2), "{left}");
            let late = self.verifier.verify(&text, token.expires_at).unwrap_err();
            assert!(matches!(late, TokenError::Expired { .. }), "{late}");
            let stray = elsewhere.verify(&text, now()).unwrap_err();
            assert!(matches!(stray, TokenError::Audience(_)), "{stray}");
            self.check_sender(client["dpop"] == true, &text, &token);
        }
    }

    /// A token that is bound to a key counts with a proof of it, once; another one counts for whoever has it.
    fn check_sender(&self, dpop: bool, text: &str, token: &VerifiedToken) {
        let proofs = Proofs::new(ALGORITHMS.to_vec(), [7; 32], 16);
        let address = "https://finaira.test/v1/payments";
        let uri = oauth::HttpUri::parse(address).unwrap();
        let target = Target { method: "POST", uri: &uri };
        let header = format!("Bearer {text}");
        let (scheme, presented) = oauth::presented(&[header.as_bytes()]).unwrap();
        let bearer = Sender { scheme, certificate: None, proofs: &[], target };
        if !dpop {
            return bearer.check(presented, token, &proofs, now()).unwrap();
        }
        assert_eq!(bearer.check(presented, token, &proofs, now()), Err(SenderError::Downgraded));
        let send = |key: &ClientKey, nonce: Option<&str>| {
            let proof = key.proof("POST", address, nonce, Some(text));
            let proofs_sent = [proof.as_bytes()];
            let sender = Sender { scheme: oauth::Scheme::Dpop, certificate: None, proofs: &proofs_sent, target };
            [(); 2].map(|()| sender.check(text, token, &proofs, now()).map_err(|error| error.code().name()))
        };
        let nonce = proofs.nonce(now());
        assert_eq!(send(&self.dpop_key, None), [Err("use_dpop_nonce"); 2]);
        assert_eq!(send(&ClientKey::generate(), Some(&nonce)), [Err("invalid_dpop_proof"); 2]);
        assert_eq!(send(&self.dpop_key, Some(&nonce)), [Ok(()), Err("invalid_dpop_proof")]);
    }

    /// A new key counts after one more fetch, and an old one until it is withdrawn. `count` keys are replaced.
    fn check_new_keys(&mut self, count: usize, publish: impl FnOnce(), sign: impl FnOnce(), withdraw: impl FnOnce()) {
        let cache = TokenCache::new(16);
        let tokens = |world: &Self| world.clients().iter().map(|client| world.token(client)).collect::<Vec<_>>();
        let verify = |world: &Self, tokens: &[String], now| {
            tokens.iter().map(|token| world.verifier.verify(token, now).map(drop)).collect::<Result<Vec<_>, _>>()
        };
        let unknown = |world: &Self, tokens: &[String], now| {
            for token in tokens {
                let error = world.verifier.verify(token, now).unwrap_err();
                assert!(matches!(error, TokenError::UnknownKey { .. }), "{error}");
            }
        };
        let old = tokens(self);
        verify(self, &old, now()).unwrap();

        // Published, but not in use.
        publish();
        verify(self, &tokens(self), now()).unwrap();

        // In use. The first token makes the server fetch the keys, but not at any time: anyone can invent a `kid`.
        sign();
        let new = tokens(self);
        unknown(self, &new, now());
        assert_eq!(self.fetch_keys(now(), Need::UnknownKey), None);
        let later = now().saturating_add(UNKNOWN_KEY_INTERVAL);
        assert_eq!(self.fetch_keys(later, Need::UnknownKey), Some(0));
        verify(self, &new, later).unwrap();
        verify(self, &old, later).unwrap();
        for token in old.iter().chain(&new) {
            cache.insert(token, self.verifier.verify(token, later).unwrap());
            assert!(cache.get(token, later).is_some());
        }

        // Withdrawn: even the tokens that were verified before are refused.
        withdraw();
        let latest = later.saturating_add(UNKNOWN_KEY_INTERVAL);
        assert_eq!(self.fetch_keys(latest, Need::UnknownKey), Some(count));
        unknown(self, &old, latest);
        verify(self, &new, latest).unwrap();
        assert!(old.iter().all(|token| cache.get(token, latest).is_none()));
        assert!(new.iter().all(|token| cache.get(token, latest).is_some()));
    }
}

fn rule(path: &[&str], values: Values, value: &str, scopes: Scopes) -> ScopeRule {
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    ScopeRule { path, values, value: value.to_owned(), scopes }
}

fn now() -> Timestamp {
    Timestamp::from_ns(since_1970().as_nanos().try_into().unwrap())
}

fn seconds_now() -> u64 {
    since_1970().as_secs()
}

/// The real time, which is in the tokens of a real server.
fn since_1970() -> std::time::Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}
