//! Access tokens of the built-in issuer: how programs get them, what they may do, and how they end.

mod limits;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::credentials::follow;
use crate::harness::{Client, Reply, Server, eventually_within, finaira};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const ASSERTION_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// A running server, its administrator, and what identifies it.
struct Scene {
    server: Server,
    admin: Client,
    origin: String,
}

impl Scene {
    fn start(data: &Path) -> Self {
        let server = Server::start(data);
        let key = server.key.clone().expect("the first start prints an API key");
        Self::of(server, &key)
    }

    fn of(server: Server, key: &str) -> Self {
        let (admin, origin) = (server.client(key), server.address.clone());
        Self { server, admin, origin }
    }

    /// Starts again under the same address, which is the name of the issuer.
    fn restart(self, data: &Path) -> Self {
        let Self { server, admin, origin } = self;
        assert!(server.stop().success());
        let listen = origin.trim_start_matches("http://").to_owned();
        Self::of(Server::start_with(data, &["--listen", &listen]), &admin.key)
    }

    fn register(&self, body: &Value) -> Value {
        let reply = self.admin.post("/v1/clients", body);
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body
    }

    /// Registers a client with a secret. Returns the form with which it asks for a token.
    fn with_secret(&self, id: &str, scopes: &[&str]) -> String {
        let body = json!({
            "client_id": id, "name": id, "scopes": scopes, "authentication": {"method": "client_secret"}
        });
        let secret = self.register(&body)["client_secret"].as_str().expect("a secret").to_owned();
        format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
    }

    fn post_form(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![FORM, ("Authorization", "")];
        all.extend_from_slice(headers);
        self.admin.send(path, &all, form.as_bytes())
    }

    fn ask(&self, form: &str) -> Reply {
        self.post_form("/oauth/token", form, &[])
    }

    fn token(&self, form: &str) -> String {
        let reply = self.ask(form);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text("access_token").to_owned()
    }

    fn client(&self, token: &str) -> Client {
        self.server.client(token)
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of a client")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hash(bytes: &[u8]) -> String {
    text(digest(&SHA256, bytes).as_ref())
}

/// A key pair of a client.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
    }

    fn thumbprint(&self) -> String {
        let members: BTreeMap<String, Value> = serde_json::from_value(self.jwk()).expect("an object");
        hash(serde_json::to_string(&members).expect("JSON").as_bytes())
    }

    fn jws(&self, header: &Value, payload: &Value) -> String {
        let signed = format!("{}.{}", text(header.to_string().as_bytes()), text(payload.to_string().as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", text(signature.as_ref()))
    }

    fn assertion(&self, client: &str, audience: &str) -> String {
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": unique(), "iat": now_s(), "exp": now_s() + 300
        });
        self.jws(&json!({"alg": "ES256", "typ": "JWT"}), &claims)
    }

    fn proof(&self, method: &str, uri: &str, nonce: Option<&str>, token: Option<&str>) -> String {
        let mut claims = json!({"jti": unique(), "htm": method, "htu": uri, "iat": now_s()});
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        if let Some(token) = token {
            claims["ath"] = hash(token.as_bytes()).into();
        }
        self.jws(&json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk()}), &claims)
    }
}

fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn by_assertion(assertion: &str) -> String {
    format!("grant_type=client_credentials&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}")
}

#[test]
fn a_program_gets_a_token_and_moves_money() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let form = scene.with_secret("checkout", &["ledger:read", "ledger:write", "transfers:write"]);
    let reply = scene.ask(&form);
    assert_eq!((reply.status, reply.text("token_type"), &reply.body["expires_in"]), (200, "Bearer", &json!(600)));
    assert_eq!(reply.text("scope"), "ledger:read ledger:write transfers:write");
    let client = scene.client(reply.text("access_token"));
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for account in ["10", "11"] {
        let body = json!({"id": account, "ledger": 1, "code": 1});
        assert_eq!(client.post("/v1/accounts", &body).status, 201);
    }
    let transfer =
        json!({"id": "7", "debit_account": "10", "credit_account": "11", "amount": "5", "asset": "EUR/2", "code": 1});
    let made = client.post("/v1/transfers", &transfer);
    assert_eq!(made.status, 201, "{made:?}");
    // What the token does not allow, and where it may not go.
    let refused = client.get("/v1/payments");
    assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
    let narrow = scene.client(&scene.token(&format!("{form}&scope=ledger%3Aread")));
    assert_eq!(narrow.get("/v1/ledgers").status, 200);
    assert_eq!(narrow.post("/v1/ledgers", &json!({"id": 2, "asset": "EUR/2"})).code(), "insufficient_scope");
    // The entries carry the principal of the token's subject.
    let events = scene.admin.get("/v1/events?limit=1000").body;
    let events = events["items"].as_array().expect("events");
    let added = events.iter().find(|event| event["data"]["subject"] == "checkout").expect("a principal");
    assert_eq!((&added["kind"], &added["data"]["issuer"]), (&json!("principal_added"), &json!(scene.origin)));
    let opened = events.iter().find(|event| event["kind"] == "ledger_opened").expect("a ledger");
    assert_eq!(opened["actor"], added["data"]["principal"]);
    assert_eq!(events.iter().filter(|event| event["kind"] == "principal_added").count(), 2);
}

#[test]
fn a_client_that_is_revoked_is_refused_at_once_and_after_a_restart() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let (form, other) = (scene.with_secret("a", &["ledger:read"]), scene.with_secret("b", &["ledger:read"]));
    let (token, kept) = (scene.token(&form), scene.token(&other));
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 200);
    let revoked = scene.admin.post("/v1/clients/a/revoke", &json!({}));
    assert_eq!((revoked.status, revoked.text("state")), (200, "revoked"));
    let refused = scene.client(&token).get("/v1/ledgers");
    assert_eq!((refused.status, refused.code()), (401, "invalid_token"));
    assert_eq!((scene.ask(&form).status, scene.ask(&form).text("error")), (401, "invalid_client"));
    // A single token.
    let single = scene.token(&other);
    let ended = scene.post_form("/oauth/revoke", &format!("{other}&token={single}"), &[]);
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(scene.client(&single).get("/v1/ledgers").status, 401);
    let active = |scene: &Scene, token: &str| {
        scene.post_form("/oauth/introspect", &format!("{other}&token={token}"), &[]).body["active"].clone()
    };
    assert_eq!([&token, &single, &kept].map(|token| active(&scene, token)), [false, false, true].map(Value::from));
    let scene = scene.restart(data.path());
    assert_eq!(scene.client(&kept).get("/v1/ledgers").status, 200, "the keys survive a restart");
    assert_eq!([&token, &single, &kept].map(|token| active(&scene, token)), [false, false, true].map(Value::from));
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 401);
    assert_eq!(scene.client(&single).get("/v1/ledgers").status, 401);
    assert_eq!(scene.ask(&form).status, 401);
}

#[test]
fn a_client_signs_assertions_that_count_once() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let (signer, attacker) = (Signer::new(), Signer::new());
    let authentication = json!({"method": "private_key_jwt", "jwks": {"keys": [signer.jwk()]}});
    let body = json!({"client_id": "s", "name": "s", "role": "auditor", "authentication": authentication});
    assert_eq!(scene.register(&body)["client_secret"], Value::Null);
    // Assertions of the first seconds may have been used by an earlier process, as far as the server knows.
    let get = |scene: &Scene| {
        eventually_within(Duration::from_secs(40), || {
            let form = by_assertion(&signer.assertion("s", &format!("{}/oauth/token", scene.origin)));
            let reply = scene.ask(&form);
            assert!([200, 503].contains(&reply.status), "{reply:?}");
            (reply.status == 200).then(|| (form, reply.text("access_token").to_owned()))
        })
    };
    let (form, token) = get(&scene);
    assert_eq!(scene.client(&token).get("/v1/payments").status, 200);
    let again = scene.ask(&form);
    assert_eq!((again.status, again.text("error")), (401, "invalid_client"));
    for foreign in [attacker.assertion("s", &scene.origin), signer.assertion("s", "https://other.example")] {
        assert_eq!(scene.ask(&by_assertion(&foreign)).text("error"), "invalid_client");
    }
    let scene = scene.restart(data.path());
    let again = scene.ask(&form);
    assert_eq!((again.status, again.text("error")), (503, "temporarily_unavailable"));
    assert_eq!(again.retry_after.as_deref(), Some("10"));
    let (_, fresh) = get(&scene);
    assert_eq!(scene.client(&fresh).get("/v1/payments").status, 200);
}

#[test]
fn a_token_that_is_bound_to_a_key_needs_its_proofs() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let form = scene.with_secret("d", &["ledger:read", "ledger:write"]);
    let (signer, attacker) = (Signer::new(), Signer::new());
    let endpoint = format!("{}/oauth/token", scene.origin);
    let proof = signer.proof("POST", &endpoint, None, None);
    let unknown = scene.post_form("/oauth/token", &form, &[("DPoP", &proof)]);
    assert_eq!((unknown.status, unknown.text("error")), (400, "use_dpop_nonce"));
    let nonce = unknown.nonce.expect("a nonce");
    let proof = signer.proof("POST", &endpoint, Some(&nonce), None);
    let granted = scene.post_form("/oauth/token", &form, &[("DPoP", &proof)]);
    assert_eq!((granted.status, granted.text("token_type")), (200, "DPoP"), "{granted:?}");
    let token = granted.text("access_token").to_owned();
    let ledgers = format!("{}/v1/ledgers", scene.origin);
    let open = |proofs: &[&str], scheme: &str| {
        let authorization = format!("{scheme} {token}");
        let mut headers = vec![("Content-Type", "application/json"), ("Authorization", &*authorization)];
        headers.extend(proofs.iter().map(|proof| ("DPoP", *proof)));
        scene.admin.send("/v1/ledgers", &headers, br#"{"id": 1, "asset": "EUR/2"}"#)
    };
    let proof =
        |signer: &Signer, method: &str, uri: &str, token: &str| signer.proof(method, uri, Some(&nonce), Some(token));
    let good = || proof(&signer, "POST", &ledgers, &token);
    for (name, proofs, scheme, code) in [
        ("stolen", vec![], "Bearer", "invalid_token"),
        ("without a proof", vec![], "DPoP", "invalid_dpop_proof"),
        ("as a plain token", vec![good()], "Bearer", "invalid_token"),
        ("two proofs", vec![good(), good()], "DPoP", "invalid_dpop_proof"),
        ("a foreign key", vec![proof(&attacker, "POST", &ledgers, &token)], "DPoP", "invalid_dpop_proof"),
        ("another method", vec![proof(&signer, "GET", &ledgers, &token)], "DPoP", "invalid_dpop_proof"),
        ("another address", vec![proof(&signer, "POST", &endpoint, &token)], "DPoP", "invalid_dpop_proof"),
        ("another token", vec![proof(&signer, "POST", &ledgers, "x")], "DPoP", "invalid_dpop_proof"),
        ("no nonce", vec![signer.proof("POST", &ledgers, None, Some(&token))], "DPoP", "use_dpop_nonce"),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let refused = open(&proofs, scheme);
        assert_eq!((refused.status, refused.code()), (401, code), "{name}: {refused:?}");
    }
    let used = good();
    let opened = open(&[&used], "DPoP");
    assert_eq!(opened.status, 201, "{opened:?}");
    assert!(opened.nonce.is_some(), "every answer has the next nonce");
    assert_eq!(open(&[&used], "DPoP").code(), "invalid_dpop_proof", "a proof counts once");
    assert!(!signer.thumbprint().is_empty());
    // A restart forgets which proofs were used, and ends the nonces with which they were made.
    let unused = good();
    let scene = scene.restart(data.path());
    let headers =
        [("Content-Type", "application/json"), ("Authorization", &*format!("DPoP {token}")), ("DPoP", &*unused)];
    assert_eq!(scene.admin.send("/v1/ledgers", &headers, b"{}").code(), "use_dpop_nonce");
}

#[test]
fn keys_rotate_while_requests_run() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let form = scene.with_secret("r", &["ledger:read", "events:read"]);
    let old = scene.token(&form);
    let done = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                for token in [&old, &scene.token(&form)] {
                    let reply = scene.client(token).get("/v1/ledgers");
                    assert_eq!(reply.status, 200, "{reply:?}");
                    count += 1;
                }
            }
            count
        });
        for _ in 0..5 {
            let before = scene.admin.get("/oauth/jwks").body["keys"].as_array().map(Vec::len);
            let rotated = scene.admin.post("/v1/signing-keys/rotate", &json!({}));
            assert_eq!(rotated.status, 200, "{rotated:?}");
            let after = scene.admin.get("/oauth/jwks").body["keys"].as_array().map(Vec::len);
            assert_eq!(after, before.map(|keys| keys + 1));
        }
        done.store(true, Ordering::Relaxed);
        requests.join().expect("no request failed")
    });
    assert!(served > 0);
    // A key whose secret became known ends its tokens.
    let token = scene.token(&form);
    let active = scene.admin.post("/v1/signing-keys/rotate", &json!({}));
    let kid = active.body["retired"].as_array().and_then(|retired| retired.last()).and_then(Value::as_str);
    let kid = kid.expect("the key that signed").to_owned();
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 200);
    let mut stream = follow(&scene.server, &token);
    let withdrawn = scene.admin.post(&format!("/v1/signing-keys/{kid}/withdraw"), &json!({}));
    assert_eq!(withdrawn.status, 200, "{withdrawn:?}");
    assert_eq!(scene.client(&token).get("/v1/ledgers").code(), "invalid_token");
    stream.read_to_end(&mut Vec::new()).expect("the stream of such a token ends");
    let last = scene.admin.get("/v1/installation/audit?reversed=true&limit=1").body["items"][0].clone();
    assert_eq!(
        (last["resource"].clone(), last["actor"]["id"].clone()),
        (json!(format!("signing_key:{kid}")), json!(1))
    );
    let fresh = scene.token(&form);
    assert_eq!(scene.client(&fresh).get("/v1/ledgers").status, 200);
    let scene = scene.restart(data.path());
    assert_eq!(scene.client(&old).get("/v1/ledgers").status, 200);
    assert_eq!(scene.client(&fresh).get("/v1/ledgers").status, 200);
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 401);
}

#[test]
fn secrets_rotate_with_an_overlap() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let first = scene.with_secret("c", &["ledger:read"]);
    let rotate = || {
        let reply = scene.admin.post("/v1/clients/c/rotate-secret", &json!({}));
        assert_eq!(reply.status, 200, "{reply:?}");
        format!("grant_type=client_credentials&client_id=c&client_secret={}", reply.text("client_secret"))
    };
    let second = rotate();
    assert_eq!([&first, &second].map(|form| scene.ask(form).status), [200, 200]);
    let third = rotate();
    assert_eq!([&first, &second, &third].map(|form| scene.ask(form).status), [401, 200, 200]);
    let shown = scene.admin.get("/v1/clients/c");
    assert!(!shown.body.to_string().contains("fin_cs_") && shown.body["secrets"] == 2, "{shown:?}");
}

#[test]
fn only_the_first_tenant_administers_and_nobody_gives_more_than_they_have() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let client = |id: &str, scopes: Value| json!({"client_id": id, "name": id, "scopes": scopes, "authentication": {"method": "client_secret"}});
    let form = scene.with_secret("registrar", &["clients:manage", "clients:read", "ledger:read", "roles:manage"]);
    let registrar = scene.client(&scene.token(&form));
    let refused = registrar.post("/v1/clients", &client("big", json!(["ledger:read", "keys:manage"])));
    assert_eq!((refused.status, refused.code()), (403, "scopes_not_held"));
    let role = json!({"name": "boss", "scopes": ["keys:manage"]});
    assert_eq!(registrar.post("/v1/roles", &role).code(), "scopes_not_held");
    assert_eq!(registrar.post("/v1/clients", &client("small", json!(["ledger:read"]))).status, 201);
    assert_eq!(registrar.post("/v1/clients", &client("small", json!(["ledger:read"]))).code(), "setting_exists");
    // Who has a client's secret can do what the client can.
    scene.with_secret("treasury", &["transfers:write"]);
    let rotated = |id: &str| registrar.post(&format!("/v1/clients/{id}/rotate-secret"), &json!({}));
    assert_eq!((rotated("treasury").code(), rotated("small").status), ("scopes_not_held", 200));
    assert_eq!(registrar.get("/v1/issuers").code(), "insufficient_scope");
    let listed = registrar.get("/v1/clients?limit=1");
    let cursor = listed.text("next_cursor");
    let next = registrar.get(&format!("/v1/clients?cursor={cursor}"));
    assert_eq!(
        (listed.body["items"][0]["client_id"].clone(), next.body["items"][0]["client_id"].clone()),
        (json!("registrar"), json!("small"))
    );
    // A client of another tenant acts there, and administers nothing.
    let created = scene.admin.post("/v1/tenants", &json!({"name": "Shop", "mode": "live"}));
    assert_eq!(created.status, 201, "{created:?}");
    let tenant = created.body["tenant"]["id"].clone();
    let mut body = client("shop", json!(["ledger:read", "ledger:write", "clients:manage"]));
    body["tenant"] = tenant;
    let secret = scene.register(&body)["client_secret"].as_str().expect("a secret").to_owned();
    let form = format!("grant_type=client_credentials&client_id=shop&client_secret={secret}");
    let shop = scene.client(&scene.token(&form));
    assert_eq!(shop.post("/v1/ledgers", &json!({"id": 5, "asset": "EUR/2"})).status, 201);
    assert_eq!(scene.admin.get("/v1/ledgers/5").status, 404, "it is in the other tenant");
    assert_eq!(shop.post("/v1/clients", &client("mine", json!(["ledger:read"]))).code(), "first_tenant_only");
}

#[test]
fn a_role_gives_what_it_has_at_the_moment() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let role = |scopes: Value| scene.admin.post("/v1/roles", &json!({"name": "clerk", "scopes": scopes}));
    assert_eq!(role(json!(["ledger:read"])).status, 201);
    let body = json!({"client_id": "c", "name": "c", "role": "clerk", "authentication": {"method": "client_secret"}});
    let secret = scene.register(&body)["client_secret"].as_str().expect("a secret").to_owned();
    let form = format!("grant_type=client_credentials&client_id=c&client_secret={secret}");
    assert_eq!(scene.ask(&form).text("scope"), "ledger:read");
    assert_eq!(role(json!(["ledger:read", "payments:read"])).status, 201);
    assert_eq!(scene.ask(&form).text("scope"), "ledger:read payments:read");
    assert_eq!(scene.admin.post("/v1/roles/clerk/remove", &json!({})).status, 200);
    assert_eq!(scene.ask(&form).text("error"), "invalid_scope");
    let unknown =
        json!({"client_id": "d", "name": "d", "role": "clerk", "authentication": {"method": "client_secret"}});
    assert_eq!(scene.admin.post("/v1/clients", &unknown).code(), "invalid_field");
}

#[test]
fn no_attack_gets_in_and_none_is_an_error_of_the_server() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let form = scene.with_secret("a", &["ledger:read"]);
    let token = scene.token(&form);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let part = |value: Value| text(value.to_string().as_bytes());
    let attacker = Signer::new();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON");
    let with = |member: &str, value: Value| {
        let mut claims = claims.clone();
        claims[member] = value;
        part(claims)
    };
    let kid =
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(header).expect("base64")).expect("JSON")["kid"].clone();
    let attacks = [
        String::new(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        format!("{header}.{payload}."),
        format!("{}.{payload}.", part(json!({"alg": "none", "typ": "at+jwt"}))),
        format!("{}.{payload}.{signature}", part(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}))),
        format!("{header}.{}.{signature}", with("tenant", json!("2"))),
        format!("{header}.{}.{signature}", with("scope", json!("keys:manage"))),
        format!("{header}.{}.{signature}", with("exp", json!(9_999_999_999_u64))),
        attacker.jws(&json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}), &claims),
        attacker.jws(&json!({"alg": "ES256", "typ": "at+jwt", "jwk": attacker.jwk()}), &claims),
        attacker.jws(&json!({"alg": "ES256", "typ": "at+jwt", "jku": "https://evil.example"}), &claims),
        attacker.assertion("a", &scene.origin),
        format!("{token}x"),
        format!("{token}.x"),
        format!("{header}.{payload}.{}", "A".repeat(9_000)),
    ];
    for attack in &attacks {
        let refused = scene.client(attack).get("/v1/ledgers");
        assert!([400, 401, 431].contains(&refused.status), "{attack}: {refused:?}");
    }
    let authorization = format!("Bearer {token}");
    for headers in [
        vec![("Authorization", &*authorization), ("Authorization", &*authorization)],
        vec![("Authorization", "Bearer"), FORM],
        vec![("Authorization", "Basic YTpi"), FORM],
    ] {
        let refused = scene.admin.send("/v1/ledgers", &headers, b"{}");
        assert!([400, 401].contains(&refused.status), "{headers:?}: {refused:?}");
    }
    for form in ["", "grant_type=password", "%", "grant_type=client_credentials&grant_type=client_credentials", "\u{0}"]
    {
        assert!((400..500).contains(&scene.ask(form).status), "{form}");
    }
    assert!((400..500).contains(&scene.ask(&"a".repeat(40_000)).status));
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 200);
    let log = scene.server.log();
    let secret = form.rsplit('=').next().expect("a secret");
    assert!(!log.contains(&token) && !log.contains(secret), "no secret is logged");
}

#[test]
fn the_discovery_document_leads_to_keys_that_verify_tokens() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let document = scene.admin.get(path).body;
        assert_eq!(
            (&document["issuer"], &document["jwks_uri"]),
            (&json!(scene.origin), &json!(format!("{}/oauth/jwks", scene.origin)))
        );
        assert_eq!(document["token_endpoint"], format!("{}/oauth/token", scene.origin));
    }
    let keys = scene.admin.get("/oauth/jwks").body;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
    assert!(!keys.to_string().contains("\"d\""));
    let file = data.path().join("system/issuer/signing.keys");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).expect("the keys").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tokens_of_another_issuer_are_accepted_as_its_settings_say() {
    let (data, other_data) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (scene, other) = (Scene::start(data.path()), Scene::start(other_data.path()));
    let form = other.with_secret("x", &["ledger:read", "ledger:write"]);
    let token = other.token(&form);
    let ask = |token: &str| scene.client(token).get("/v1/ledgers");
    assert_eq!((ask(&token).status, ask(&token).code().to_owned()), (401, "invalid_token".to_owned()));
    let settings = json!({
        "issuer": other.origin, "audience": other.origin, "algorithms": ["ES256"], "tenants": {"fixed": 1},
        "rules": [{"claim": "scope", "values": "spaced", "value": "ledger:read", "scopes": ["ledger:read"]}]
    });
    let added = scene.admin.post("/v1/issuers", &settings);
    assert_eq!(added.status, 201, "{added:?}");
    // The keys are fetched within a second, or because of the token.
    let served = eventually_within(Duration::from_secs(20), || {
        let reply = ask(&token);
        assert!([200, 503].contains(&reply.status), "{reply:?}");
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(served.status, 200);
    let refused = scene.client(&token).post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"}));
    assert_eq!(refused.code(), "insufficient_scope", "no rule gives that");
    let shown = scene.admin.get("/v1/issuers").body;
    assert!(shown["items"][0]["keys_fetched_at"].is_string(), "{shown}");
    // The keys of the other issuer rotate twice, so that its tokens have a key that this server has not seen.
    for _ in 0..2 {
        assert_eq!(other.admin.post("/v1/signing-keys/rotate", &json!({})).status, 200);
    }
    let fresh = other.token(&form);
    eventually_within(Duration::from_secs(60), || (ask(&fresh).status == 200).then_some(()));
    let path: String = other.origin.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let removed = scene.admin.post(&format!("/v1/issuers/{path}/remove"), &json!({}));
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!([&token, &fresh].map(|token| ask(token).status), [401, 401]);
    // An issuer that nobody can reach is an error of this server, and stops nothing else.
    let mut nobody = settings;
    nobody["issuer"] = "http://127.0.0.1:1".into();
    assert_eq!(scene.admin.post("/v1/issuers", &nobody).status, 201);
    assert_eq!(scene.admin.get("/v1/ledgers").status, 200);
}

#[test]
fn clients_are_administered_from_the_command_line() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let key = data.path().join("api-key");
    std::fs::write(&key, &scene.admin.key).expect("a file");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
    let key = key.to_str().expect("a path").to_owned();
    let admin = |arguments: &[&str]| {
        let target = ["--url", &scene.origin, "--api-key-file", &key];
        let (is_done, said) = finaira(&[&["admin"], arguments, &target].concat());
        assert!(is_done, "{arguments:?}: {said}");
        said
    };
    assert!(admin(&["role", "put", "clerk", "--scope", "ledger:read"]).contains("Role clerk has 1 scopes"));
    let said = admin(&["client", "create", "--id", "till", "--name", "till", "--role", "clerk"]);
    let secret = said.split_whitespace().find(|word| word.starts_with("fin_cs_")).expect("a secret");
    let form = format!("grant_type=client_credentials&client_id=till&client_secret={secret}");
    let token = scene.token(&form);
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 200);
    assert!(admin(&["client", "list"]).contains("till"));
    assert!(admin(&["client", "rotate-secret", "till"]).contains("fin_cs_"));
    assert!(admin(&["client", "revoke", "till"]).contains("Revoked"));
    assert_eq!(scene.client(&token).get("/v1/ledgers").status, 401);
    // Without a server, on the data directory.
    assert!(scene.server.stop().success());
    let (is_done, said) = finaira(&["admin", "client", "list", "--data", data.path().to_str().expect("a path")]);
    assert!(is_done && said.contains("revoked"), "{said}");
}
