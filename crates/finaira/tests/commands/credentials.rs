//! The actor of an entry is the principal, whichever of its keys was used.

use serde_json::{Value, json};

use crate::harness::{Client, Server};

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
