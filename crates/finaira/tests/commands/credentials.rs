//! API keys: the actor of an entry is the principal, whichever of its keys was used; keys are made, expire and are revoked.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use types::{Span, Timestamp};

use crate::harness::{Client, Server, eventually, first_start};

/// Returns the kind, the actor and the data of every event.
fn events(client: &Client) -> Vec<(String, u64, Value)> {
    let page = client.get("/v1/events?limit=1000");
    let events = page.body["items"].as_array().expect("events").iter();
    let read = |event: &Value| {
        let (kind, actor) = (event["kind"].as_str(), event["actor"].as_u64());
        (kind.expect("a kind").to_owned(), actor.expect("an actor"), event["data"].clone())
    };
    events.map(read).collect()
}

#[test]
fn two_keys_of_a_principal_are_one_actor() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let first = server.key.clone().expect("the first start prints an API key");
    assert_eq!(server.client(&first).post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    assert!(server.stop().success());

    let server = Server::start_with(data.path(), &["--new-api-key"]);
    let second = server.key.clone().expect("a new key was requested");
    assert!(first.starts_with("fin_1_") && second.starts_with("fin_2_"));
    assert_eq!(server.client(&second).post("/v1/ledgers", &json!({"id": 2, "asset": "EUR/2"})).status, 201);
    assert_eq!(server.client(&first).post("/v1/ledgers", &json!({"id": 3, "asset": "EUR/2"})).status, 201);
    let forged = second.replace("fin_2_", "fin_1_");
    let refused = server.client(&forged).get("/v1/ledgers");
    assert_eq!((refused.status, refused.code()), (401, "invalid_api_key"));

    let events = events(&server.client(&first));
    let told: Vec<(&str, u64)> = events.iter().map(|(kind, actor, _)| (kind.as_str(), *actor)).collect();
    let expected = [
        ("journal_started", 0),
        ("principal_added", 0),
        ("credential_added", 0),
        ("ledger_opened", 1),
        ("credential_added", 0),
        ("ledger_opened", 1),
        ("ledger_opened", 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(events[1].2, json!({"principal": 1, "kind": "service", "name": "made at start"}));
    for (place, number) in [(2, 1), (4, 2)] {
        let credential = &events[place].2;
        assert_eq!((&credential["credential"], &credential["principal"]), (&json!(number), &json!(1)));
        assert_eq!(credential["kind"], "api_key");
        assert!(credential["scopes"].as_array().is_some_and(|scopes| scopes.contains(&json!("ledger:write"))));
        assert!(credential.get("hash").is_none());
    }
}

/// Creates an API key and returns its number and its text.
fn create(client: &Client, body: &Value) -> (u64, String) {
    let made = client.post("/v1/api-keys", body);
    assert_eq!(made.status, 201, "{:?}", made.body);
    (made.body["api_key"]["id"].as_u64().expect("a number"), made.text("key").to_owned())
}

#[test]
fn a_key_has_the_scopes_that_it_was_given_and_is_shown_once() {
    let (data, server, admin) = first_start(&[]);
    let body = json!({
        "name": "checkout", "new_principal": {"kind": "service", "name": "checkout"},
        "scopes": ["ledger:read", "ledger:write"],
    });
    let text = serde_json::to_vec(&body).expect("JSON");
    let headers = [("Idempotency-Key", "first"), ("Content-Type", "application/json")];
    let made = admin.send("/v1/api-keys", &headers, &text);
    assert_eq!((made.status, &made.body["api_key"]["id"]), (201, &json!(2)));
    let key = made.text("key").to_owned();
    assert!(key.starts_with("fin_2_"));
    let again = admin.send("/v1/api-keys", &headers, &text);
    assert_eq!((again.status, again.replayed, &again.body["key"]), (200, true, &Value::Null));
    assert_eq!(again.body["api_key"]["id"], 2);
    let other = serde_json::to_vec(&json!({"name": "checkout", "principal": 1, "role": "auditor"})).expect("JSON");
    let refused = admin.send("/v1/api-keys", &headers, &other);
    assert_eq!((refused.status, refused.code()), (409, "request_id_reused"));

    let checkout = server.client(&key);
    assert_eq!(checkout.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    let refused = checkout.get("/v1/events");
    assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
    assert!(refused.text("detail").contains("events:read"), "{:?}", refused.body);
    assert_eq!(checkout.get("/v1/api-keys").code(), "insufficient_scope");

    let (_, text) = create(&admin, &json!({"name": "gate", "principal": 2, "scopes": ["keys:manage", "keys:read"]}));
    let gate = server.client(&text);
    let refused = gate.post("/v1/api-keys", &json!({"name": "more", "principal": 2, "role": "auditor"}));
    assert_eq!((refused.status, refused.code()), (403, "scopes_not_held"));
    let listed = gate.get("/v1/api-keys?limit=2");
    let names: Vec<&str> =
        listed.body["items"].as_array().expect("keys").iter().filter_map(|key| key["name"].as_str()).collect();
    assert_eq!(names, ["made at start", "checkout"]);
    let rest = gate.get(&format!("/v1/api-keys?cursor={}", listed.text("next_cursor")));
    assert_eq!((&rest.body["items"][0]["name"], &rest.body["next_cursor"]), (&json!("gate"), &Value::Null));
    assert!(gate.get("/v1/api-keys/2").body["last_used_at"].is_string());
    assert_eq!(gate.get("/v1/api-keys/9").code(), "api_key_not_found");
    let last = gate.post("/v1/api-keys/3/revoke", &json!({}));
    assert_eq!(last.status, 200, "the key of the first start still manages keys");
    let last = admin.post("/v1/api-keys/1/revoke", &json!({}));
    assert_eq!((last.status, last.code()), (409, "last_key_manager"));
    assert!(server.stop().success());

    let server = Server::start(data.path());
    let revoked = server.client(&text).get("/v1/api-keys");
    assert_eq!((revoked.status, revoked.code()), (401, "api_key_revoked"), "a restart remembers it");
    let shown = server.client(&admin.key).get("/v1/api-keys/2");
    assert_eq!((shown.text("status"), &shown.body["last_used_at"]), ("active", &Value::Null));
    let retried = server.client(&admin.key).send("/v1/api-keys", &headers, &serde_json::to_vec(&body).expect("JSON"));
    assert_eq!((retried.status, &retried.body["api_key"]["id"]), (200, &json!(2)), "and it remembers requests");
}

#[test]
fn a_key_expires_by_itself() {
    let (_data, server, admin) = first_start(&[]);
    let past = json!({"name": "late", "principal": 1, "role": "auditor", "expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(admin.post("/v1/api-keys", &past).code(), "expiry_not_later");
    let (_, text) = create(&admin, &json!({"name": "now", "principal": 1, "role": "auditor"}));
    let now: Timestamp = admin.get("/v1/api-keys/2").text("created_at").parse().expect("a time");
    assert_eq!(server.client(&text).get("/v1/ledgers").status, 200);
    let expiry = now.saturating_add(Span::from_secs(3)).to_string();
    let (_, text) = create(&admin, &json!({"name": "brief", "principal": 1, "role": "auditor", "expires_at": expiry}));
    let brief = server.client(&text);
    assert_eq!(brief.get("/v1/ledgers").status, 200);
    let mut stream = follow(&server, &text);
    let expired = eventually(|| Some(brief.get("/v1/ledgers")).filter(|reply| reply.status != 200));
    assert_eq!((expired.status, expired.code()), (401, "api_key_expired"));
    assert!(expired.text("detail").contains(&expiry), "{:?}", expired.body);
    assert_eq!(admin.get("/v1/api-keys/3").text("status"), "expired");
    // Whoever reads the stream sees its end.
    stream.read_to_end(&mut Vec::new()).expect("the stream ends");
}

#[test]
fn a_revoked_key_never_works_after_the_answer() {
    let (_data, server, admin) = first_start(&[]);
    for number in 2..6 {
        let (id, text) = create(&admin, &json!({"name": "used", "principal": 1, "role": "developer"}));
        assert_eq!(id, number);
        let mut stream = follow(&server, &text);
        let revoked = AtomicBool::new(false);
        let accepted = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for thread in 0..3 {
                let (client, revoked, accepted) = (server.client(&text), &revoked, &accepted);
                threads.spawn(move || {
                    for attempt in 0_u64.. {
                        let was_revoked = revoked.load(Ordering::SeqCst);
                        let ledger = number * 100_000 + thread * 30_000 + attempt;
                        let reply = client.post("/v1/ledgers", &json!({"id": ledger, "asset": "EUR/2"}));
                        if was_revoked {
                            assert_eq!((reply.status, reply.code()), (401, "api_key_revoked"));
                            return;
                        }
                        if reply.status == 201 {
                            accepted.fetch_add(1, Ordering::SeqCst);
                        } else {
                            assert_eq!((reply.status, reply.code()), (401, "api_key_revoked"));
                        }
                    }
                });
            }
            eventually(|| (accepted.load(Ordering::SeqCst) > 20).then_some(()));
            assert_eq!(admin.post(&format!("/v1/api-keys/{id}/revoke"), &json!({})).text("status"), "revoked");
            revoked.store(true, Ordering::SeqCst);
        });
        let again = admin.post(&format!("/v1/api-keys/{id}/revoke"), &json!({}));
        assert_eq!((again.status, again.replayed), (200, true));
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        stream.read_to_end(&mut Vec::new()).expect("the stream ends within a second");
    }
    let revocations = events(&admin).into_iter().filter(|(kind, ..)| kind == "credential_revoked");
    let told: Vec<Value> = revocations.map(|(_, _, data)| data["credential"].clone()).collect();
    assert_eq!(told, [2, 3, 4, 5]);
}

/// Opens an event stream from the end of the journal on, and reads the head of its answer.
pub(crate) fn follow(server: &Server, key: &str) -> TcpStream {
    let cursor = server.client(key).get("/v1/events?limit=1000").text("next_cursor").to_owned();
    let request = format!(
        "GET /v1/events?cursor={cursor} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    );
    let mut stream = server.connect(request.as_bytes());
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut head = [0; 15];
    stream.read_exact(&mut head).expect("the head of the answer");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}
