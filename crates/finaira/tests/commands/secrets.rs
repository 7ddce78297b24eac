//! Under load with all kinds of requests, no secret and no personal data reaches the log or the metrics.

use std::io::{Read as _, Write as _};

use fixtures::WALLET;
use serde_json::json;

use crate::harness::{Client, Reply};
use crate::tls::authority::Authority;

/// A token as an identity provider signs them, and the proof of its sender. Nobody accepts them here.
const TOKEN: &str =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJzZWNyZXQtc3ViamVjdCJ9.c2VjcmV0LXNpZ25hdHVyZS1vZi10b2tlbg";
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCJ9.eyJqdGkiOiJzZWNyZXQtanRpIn0.c2VjcmV0LXNpZ25hdHVyZS1vZi1wcm9vZg";
/// A key of the right form that does not exist.
const WRONG_KEY: &str = "fin_1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const PERSONAL: [&str; 3] = ["marguerite.delacroix", "mdelacroix@example.org", "recipient-of-marguerite"];
/// The form by which the client `till` asks for a token, without its secret.
const GRANT: &str = "grant_type=client_credentials&client_id=till";
/// Requests of each thread.
const ROUNDS: u32 = 40;

#[test]
fn no_secret_reaches_the_log_or_the_metrics() {
    let authority = Authority::new();
    let pair = authority.issue();
    authority.install(&pair);
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &["--log-level", "debug"]);
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client_over(&key, authority.trust(None));
    assert_eq!(client.activate(WALLET).status, 201);
    let made = client.post("/v1/api-keys", &json!({"name": "other", "principal": 1, "role": "developer"}));
    let other = made.text("key").to_owned();
    let till = json!({
        "client_id": "till", "name": "Till", "role": "developer", "authentication": {"method": "client_secret"}
    });
    let till = client.post("/v1/clients", &till).text("client_secret").to_owned();
    let issued = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, authority, client, till, issued) = (&server, &authority, &client, &till, &issued);
            let clients = [&other, WRONG_KEY, TOKEN].map(|key| server.client_over(key, authority.trust(None)));
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    well_formed(client, thread * 1_000 + round);
                    clients.iter().for_each(|client| broken(client, round));
                    if round % 10 == 0 {
                        let token = issue(client, till);
                        let with_token = server.client_over(&token, authority.trust(None));
                        broken(&with_token, round);
                        with_token.get("/v1/ledgers");
                        asks_about(client, till, &token);
                        assert_eq!(with_token.get("/v1/ledgers").status, 401, "it is revoked");
                        issued.lock().expect("no thread panicked").push(token);
                    }
                    raw(authority.connect(server, &["http/1.1"], None), &key_of(client));
                    // HTTP/2 that breaks off.
                    let mut connection = authority.connect(server, &["h2"], None);
                    drop(connection.get(&format!("/v1/accounts/{}", PERSONAL[1])));
                }
            });
        }
    });
    assert_eq!(client.post("/v1/api-keys/2/revoke", &json!({})).status, 200);
    // The broken pair is reported, without the key.
    authority.write("server.key", &format!("{}{}", pair.key, pair.key.replace("-----END", "----END")));
    authority.write("server.pem", "no certificate");
    server.logs("the new TLS certificate cannot be used");
    let metrics = client.get("/metrics").body.as_str().unwrap_or_default().to_owned();
    assert!(server.client_over(&other, authority.trust(None)).get("/v1/ledgers").code() == "api_key_revoked");
    server.signal("TERM");
    let (status, log) = server.wait_with_log();
    assert!(status.success());
    assert!(log.matches("\"answered\"").count() > 1_000, "the log has every request: {} bytes", log.len());
    assert!(log.contains("seen-in-the-log"), "what may be logged is found");

    let secret_part = |key: &str| key.rsplit_once("_").map_or(String::new(), |(_, secret)| secret.to_owned());
    let issued = issued.into_inner().expect("no thread panicked");
    assert_eq!(issued.len(), 16);
    let mut secrets =
        vec![till, key.clone(), other.clone(), WRONG_KEY.to_owned(), secret_part(&key), secret_part(&other)];
    // All tokens have the same first part, which names the algorithm and the key.
    let parts = issued.iter().flat_map(|token| token.split('.').skip(1));
    secrets.extend(parts.chain([TOKEN, PROOF].iter().flat_map(|token| token.split('.'))).map(str::to_owned));
    secrets.extend(PERSONAL.map(str::to_owned));
    secrets.extend(pair.key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    secrets.push("PRIVATE KEY".to_owned());
    secrets.retain(|secret| secret.len() > 10);
    for secret in secrets {
        for (place, text) in [("log", &log), ("metrics", &metrics)] {
            let found = text.lines().find(|line| line.contains(&secret));
            assert_eq!(found, None, "{secret} is in the {place}");
        }
    }
}

fn key_of(client: &Client) -> String {
    client.key.clone()
}

/// Requests that the server accepts, or refuses for what they ask.
fn well_formed(client: &Client, number: u32) {
    let [name, email, recipient] = PERSONAL;
    let person = json!({"customer": name});
    let id = u128::from(number) * 10;
    client.pay(id + 1, "top_up", 5_000, &person);
    client.pay(id + 2, "transfer", 700, &json!({"customer": name, "recipient": recipient, "email": email}));
    client.pay(id + 3, "transfer", 700, &json!({"customer": name, "recipient": recipient, "surprise": email}));
    client.get(&format!("/v1/payments/{}/personal-data", id + 2));
    client.get(&format!("/v1/payments?customer={name}"));
    client.get(&format!("/v1/entities/customer/{name}"));
    client.get(&format!("/v1/accounts/{email}"));
    let headers = [("X-Request-Id", "seen-in-the-log"), ("Content-Type", "application/json")];
    client.send("/v1/payments", &headers, format!("{{\"id\": \"{email}\", ").as_bytes());
}

/// Requests with credentials that are not accepted, or not for this.
fn broken(client: &Client, round: u32) {
    let authorization =
        [format!("Bearer {}", client.key), format!("DPoP {}", client.key), format!("bearer  {}", client.key)];
    let scheme = authorization[round as usize % authorization.len()].as_str();
    let headers = [("Authorization", scheme), ("DPoP", PROOF), ("Content-Type", "application/json")];
    client.send("/v1/ledgers", &headers, br#"{"id": 1, "asset": "EUR/2", "extra": 1}"#);
    client.get(&format!("/v1/events?access_token={}", client.key));
    client.get(&format!("/v1/{}", client.key));
}

/// Asks the built-in issuer for a token, with the right and with a wrong secret.
fn issue(client: &Client, secret: &str) -> String {
    let wrong = form(client, "/oauth/token", &format!("{GRANT}&client_secret={secret}x"));
    assert_eq!(wrong.status, 401, "{wrong:?}");
    let granted = form(client, "/oauth/token", &format!("{GRANT}&client_secret={secret}"));
    assert_eq!(granted.status, 200, "{granted:?}");
    granted.text("access_token").to_owned()
}

/// Asks the issuer whether a token counts, and revokes it.
fn asks_about(client: &Client, secret: &str, token: &str) {
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let answer = form(client, path, &format!("client_id=till&client_secret={secret}&token={token}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn form(client: &Client, path: &str, body: &str) -> Reply {
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "")];
    client.send(path, &headers, body.as_bytes())
}

/// Messages that are no HTTP.
fn raw(mut connection: crate::tls::authority::Connection, key: &str) {
    drop(connection.shake_hands());
    let head = format!(
        "GET /v1/ledgers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\nno colon {key}\r\n\r\n"
    );
    drop(connection.0.write_all(head.as_bytes()));
    let mut answer = Vec::new();
    drop(connection.0.read_to_end(&mut answer));
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert!(!String::from_utf8_lossy(&answer).contains(key), "the answer does not repeat the key");
}
