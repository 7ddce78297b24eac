//! Limits on who asks for tokens and who uses them: a flood is its sender's own, and a refused request leaves no trace.
#![expect(clippy::disallowed_methods, reason = "the test needs time to pass")]

use std::time::Duration;

use serde_json::json;

use super::{Scene, Signer};
use crate::harness::{Client, Reply, Server, eventually_within};
use crate::limits::answer;

/// More than a client gets in a second, on a slow machine too.
const FLOOD: usize = 200;

fn limited(data: &std::path::Path, per_second: &str) -> Scene {
    let server = Server::start_with(data, &["--client-requests-per-second", per_second]);
    let key = server.key.clone().expect("the first start prints an API key");
    Scene::of(server, &key)
}

/// The first of many requests that is refused.
fn refused(mut ask: impl FnMut() -> Reply) -> Reply {
    let found = (0..FLOOD).map(|_| ask()).find(|reply| reply.status != 200);
    let found = found.expect("so many requests are more than the client may send");
    assert_eq!(
        (found.status, found.code(), found.retry_after.as_deref()),
        (429, "rate_limited", Some("1")),
        "{found:?}"
    );
    found
}

#[test]
fn a_client_that_floods_the_issuer_is_refused_and_others_get_their_tokens() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = limited(data.path(), "5");
    let flooding = scene.with_secret("flooding", &["ledger:read"]);
    let quiet = scene.with_secret("quiet", &["ledger:read"]);
    let token = scene.token(&flooding);
    refused(|| scene.ask(&flooding));
    assert_eq!(scene.ask(&quiet).status, 200, "another client of the same tenant and address");
    // What a client asks of the issuer and what it does with its tokens has one limit.
    let question = format!("{flooding}&token={token}");
    refused(|| scene.post_form("/oauth/introspect", &question, &[]));
    refused(|| scene.client(&token).get("/v1/ledgers"));
    refused(|| scene.post_form("/oauth/revoke", &format!("{flooding}&token=x"), &[]));
    // Whoever does not know the secret uses up nothing of the client's.
    let guessed = quiet.replace("client_secret=", "client_secret=x");
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..30 {
        assert_eq!(scene.ask(&guessed).text("error"), "invalid_client");
    }
    let request = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{quiet}",
        quiet.len()
    );
    let granted = answer(&scene.server, &request);
    assert!(granted.starts_with("http/1.1 200"), "{granted}");
    assert!(granted.contains("\r\nratelimit-policy: \"client\";q=5;w=1\r\n"), "{granted}");
    assert!(granted.contains("\r\nratelimit: \"client\";r="), "{granted}");
}

#[test]
fn an_address_that_sends_wrong_proofs_with_a_known_token_is_limited() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(data.path(), &["--failed-requests-per-second", "1"]);
    let key = server.key.clone().expect("the first start prints an API key");
    let scene = Scene::of(server, &key);
    let form = scene.with_secret("d", &["ledger:read"]);
    let (signer, attacker) = (Signer::new(), Signer::new());
    let endpoint = format!("{}/oauth/token", scene.origin);
    let nonce = scene.post_form("/oauth/token", &form, &[("DPoP", "x")]).nonce.expect("a nonce");
    let proof = signer.proof("POST", &endpoint, Some(&nonce), None);
    let granted = scene.post_form("/oauth/token", &form, &[("DPoP", &proof)]);
    let token = granted.text("access_token").to_owned();
    let ledgers = format!("{}/v1/ledgers", scene.origin);
    let get = |signer: &Signer| {
        let proof = signer.proof("GET", &ledgers, Some(&nonce), Some(&token));
        let request =
            format!("GET /v1/ledgers HTTP/1.1\r\nHost: x\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n");
        answer(&scene.server, &request)
    };
    let first = get(&signer);
    assert!(first.starts_with("http/1.1 200"), "{first}");
    let answers: Vec<_> = (0..40).map(|_| get(&attacker)).collect();
    let count = |status: &str| answers.iter().filter(|answer| answer.starts_with(status)).count();
    assert_eq!(count("http/1.1 401") + count("http/1.1 429"), answers.len(), "{answers:?}");
    assert!(count("http/1.1 429") >= 20, "{answers:?}");
    assert_eq!(scene.admin.get("/v1/ledgers").status, 200, "an API key is still served");
}

/// Asks for a token of a new client of a tenant.
fn token_of(scene: &Scene, tenant: &serde_json::Value, id: &str) -> String {
    let body = json!({
        "client_id": id, "name": id, "scopes": ["ledger:read"], "tenant": tenant, "authentication": {"method": "client_secret"}
    });
    let secret = scene.register(&body)["client_secret"].as_str().expect("a secret").to_owned();
    scene.token(&format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"))
}

/// The subjects of tokens that became principals.
fn admitted(tenant: &Client) -> usize {
    let events = eventually_within(Duration::from_secs(20), || {
        let reply = tenant.get("/v1/events?limit=1000");
        (reply.status == 200).then_some(reply.body)
    });
    let events = events["items"].as_array().expect("events");
    events.iter().filter(|event| event["kind"] == "principal_added" && event["data"]["subject"].is_string()).count()
}

#[test]
fn a_request_that_is_refused_makes_no_principal() {
    let data = tempfile::tempdir().expect("a directory");
    let scene = Scene::start(data.path());
    let created = scene.admin.post("/v1/tenants", &json!({"name": "Shop", "mode": "live"}));
    assert_eq!(created.status, 201, "{created:?}");
    let (tenant, owner) = (created.body["tenant"]["id"].clone(), scene.client(created.text("key")));
    let tokens: Vec<_> = (0..40).map(|number| token_of(&scene, &tenant, &format!("c{number}"))).collect();
    let quotas = |body: &serde_json::Value| {
        assert_eq!(scene.admin.post(&format!("/v1/tenants/{tenant}/quotas"), body).status, 200);
    };
    assert_eq!(admitted(&owner), 0, "a client is no principal before it does something");
    quotas(&json!({"requests_per_second": 1}));
    let answers: Vec<_> = tokens.iter().map(|token| scene.client(token).get("/v1/ledgers").status).collect();
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(count(200) + count(429), answers.len(), "{answers:?}");
    assert!(count(429) > 0, "{answers:?}");
    quotas(&json!({}));
    assert_eq!(admitted(&owner), count(200), "{answers:?}");
    // Nor does one that its token does not allow, and it learns which scope it needs.
    let late = token_of(&scene, &tenant, "late");
    let body = r#"{"id": 1, "asset": "EUR/2"}"#;
    let request = format!(
        "POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {late}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let forbidden = answer(&scene.server, &request);
    assert!(forbidden.starts_with("http/1.1 403"), "{forbidden}");
    let challenge = "\r\nwww-authenticate: bearer error=\"insufficient_scope\", error_description=\"this route needs the scope ledger:write\", scope=\"ledger:write\"\r\n";
    assert!(forbidden.contains(challenge), "{forbidden}");
    assert_eq!(admitted(&owner), count(200));
}
