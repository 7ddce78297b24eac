//! Attributes of entities over a real socket: a value counts for the next payment, is explained, and survives a restart.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, finaira, first_start};

/// The wallet policy with attributes of customers, which a rule reads.
fn policy() -> String {
    WALLET.to_owned()
        + r#"
[entities.customer.attributes]
kyc_level = { type = "int" }
segment = { type = "string" }
opened_at = { type = "timestamp" }
[features.kyc_level]
of = "customer"
attribute = "kyc_level"
[features.account_age]
of = "customer"
attribute = "opened_at"
[[rules]]
name = "low_level"
when = "has(features.kyc_level) && features.kyc_level < 2"
then = { decline = true }
payments = ["card"]
"#
}

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    let active = client.activate(&policy());
    assert_eq!(active.status, 201, "{active:?}");
    for (id, customer) in [(1, "alice"), (2, "bob")] {
        assert_eq!(client.pay(id, "top_up", 50_000, &json!({"customer": customer})).text("status"), "posted");
    }
    (data, server, client)
}

fn set(client: &Client, customer: &str, attributes: &Value) -> Reply {
    client.put(&format!("/v1/entities/customer/{customer}"), &json!({"attributes": attributes}))
}

fn card(client: &Client, id: u128, customer: &str) -> Reply {
    client.pay(id, "card", 100, &json!({"customer": customer}))
}

/// The value of a feature in the decision about a payment, or why it is missing.
fn feature(client: &Client, payment: u128, name: &str) -> Value {
    let decision = client.get(&format!("/v1/payments/{payment}/decision")).body;
    let features = decision["features"].as_array().expect("features");
    let found = features.iter().find(|feature| feature["name"] == name).expect("a feature");
    if found["value"].is_null() { found["missing"].clone() } else { found["value"].clone() }
}

fn named(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.code())
}

#[test]
fn a_value_counts_for_the_very_next_payment_and_is_explained_and_survives_a_restart() {
    let (data, server, client) = start();
    assert_eq!(card(&client, 10, "alice").text("status"), "held");
    assert_eq!(feature(&client, 10, "kyc_level"), "not_set");

    let reply = set(&client, "alice", &json!({"kyc_level": 1, "segment": "business"}));
    assert_eq!((reply.status, reply.text("entity")), (200, "customer"), "{reply:?}");
    let names: Vec<&Value> =
        reply.body["attributes"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["kyc_level", "segment"]);
    assert_eq!(card(&client, 11, "alice").text("status"), "declined");
    assert_eq!(card(&client, 12, "bob").text("status"), "held");
    set(&client, "alice", &json!({"kyc_level": 2}));
    assert_eq!(card(&client, 13, "alice").text("status"), "held");
    // An earlier decision keeps the value that counted for it.
    let found = [10, 11, 12, 13].map(|payment| feature(&client, payment, "kyc_level"));
    assert_eq!(found, [json!("not_set"), json!(1), json!("not_set"), json!(2)]);
    let explained = client.get("/v1/payments/11/explanation").body;
    let rules = explained["rules"].as_array().expect("rules");
    let rule = rules.iter().find(|rule| rule["name"] == "low_level").expect("a rule");
    assert_eq!(rule["outcome"], "held", "{rule}");

    // The event has a token and no name, and the audit says who it was.
    let events = client.get("/v1/events?limit=1000").body;
    let events = events["items"].as_array().expect("a page");
    let event = events.iter().find(|event| event["kind"] == "entity_attributes_set").expect("an event");
    assert_eq!(event["data"]["attributes"], json!({"kyc_level": 1, "segment": "business"}));
    assert!(event["data"]["token"].is_string() && !event.to_string().contains("alice"), "{event}");
    let shown = client.get("/v1/entities/customer/alice").body;
    let level = &shown["attributes"][0];
    assert_eq!((&level["name"], &level["value"]), (&json!("kyc_level"), &json!(2)));
    assert!(level["sequence"].as_u64() > event["sequence"].as_u64(), "{level}");
    assert_eq!(shown["attributes"][1]["sequence"], event["sequence"]);
    let now = shown["features"].as_array().expect("features").iter().find(|feature| feature["name"] == "kyc_level");
    assert_eq!(now.expect("a feature")["value"], 2);

    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    assert_eq!(client.get("/v1/entities/customer/alice").body["attributes"], shown["attributes"]);
    assert_eq!(feature(&client, 11, "kyc_level"), json!(1));
    set(&client, "alice", &json!({"kyc_level": null, "segment": null}));
    assert_eq!(card(&client, 14, "alice").text("status"), "held");
    assert_eq!(feature(&client, 14, "kyc_level"), "not_set");
    assert_eq!(client.get("/v1/entities/customer/alice").body["attributes"], json!([]));
}

#[test]
fn repeating_a_request_makes_no_entry_and_an_entity_without_payments_is_shown() {
    let (_data, _server, client) = start();
    let level = json!({"kyc_level": 3});
    let first = set(&client, "carol", &level);
    let entries = |client: &Client| client.get("/v1/events?limit=1000").body["items"].as_array().map_or(0, Vec::len);
    let count = entries(&client);
    let again = set(&client, "carol", &level);
    assert_eq!((again.status, &again.body, entries(&client)), (200, &first.body, count));
    let shown = client.get("/v1/entities/customer/carol").body;
    assert_eq!((&shown["first_seen"], &shown["payments"]), (&Value::Null, &json!(0)), "{shown}");
    assert_eq!(shown["attributes"], first.body["attributes"]);
    // Nothing is known of somebody of whom nothing was set, and removing nothing makes nobody known.
    assert_eq!(set(&client, "dave", &json!({"kyc_level": null})).body["attributes"], json!([]));
    assert_eq!(named(&client.get("/v1/entities/customer/dave")), (404, "entity_not_found"));
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let (_data, server, client) = start();
    let wrong = [
        (json!({"colour": 1}), (422, "unknown_attribute"), "/attributes/colour"),
        (json!({"kyc_level": 1.5}), (422, "invalid_attribute"), "/attributes/kyc_level"),
        (json!({"kyc_level": "1"}), (422, "invalid_attribute"), "/attributes/kyc_level"),
        (json!({"segment": ""}), (422, "invalid_attribute"), "/attributes/segment"),
        (json!({"segment": "x".repeat(257)}), (422, "invalid_attribute"), "/attributes/segment"),
        (json!({"opened_at": "yesterday"}), (422, "invalid_attribute"), "/attributes/opened_at"),
        (json!({"Level": null}), (400, "invalid_field"), "/attributes/Level"),
        (json!({}), (400, "invalid_field"), "/attributes"),
    ];
    for (attributes, expected, field) in wrong {
        let reply = set(&client, "alice", &attributes);
        assert_eq!((named(&reply), reply.text("field")), (expected, field), "{attributes} {reply:?}");
    }
    let body = json!({"attributes": {"kyc_level": 1}});
    assert_eq!(named(&client.put("/v1/entities/device/d", &body)), (422, "unknown_attribute"));
    assert_eq!(named(&client.put("/v1/entities/ship/s", &body)), (404, "entity_not_found"));
    assert_eq!(
        named(&client.put(&format!("/v1/entities/customer/{}", "x".repeat(257)), &body)),
        (400, "invalid_parameter")
    );
    assert_eq!(named(&client.post("/v1/entities/customer/alice", &body)), (405, "method_not_allowed"));
    let key = json!({"name": "payments", "principal": 1, "scopes": ["payments:write", "payments:read"]});
    let other = server.client(client.post("/v1/api-keys", &key).text("key"));
    assert_eq!(named(&set(&other, "alice", &json!({"kyc_level": 3}))), (403, "insufficient_scope"));
    assert_eq!(client.get("/v1/entities/customer/alice").body["attributes"], json!([]));
}

#[test]
fn without_a_policy_nobody_knows_what_an_attribute_is() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(named(&set(&client, "alice", &json!({"kyc_level": 3}))), (409, "no_active_policy"));
}

#[test]
fn tests_in_a_policy_set_attributes() {
    let folder = tempfile::tempdir().expect("a folder");
    let tests = r#"
[[tests]]
name = "low_level"
entities = [{ entity = "customer", key = "ann", attributes = { kyc_level = 1 } }]
payment = { payment = "card", amount = 100, attributes = { customer = "ann" } }
expect = { verdict = "decline", reasons = ["low_level"] }
[[tests]]
name = "raised_level"
entities = [
  { entity = "customer", key = "ann", attributes = { kyc_level = 1 } },
  { entity = "customer", key = "ann", before = "5m", attributes = { kyc_level = 2 } },
]
payment = { payment = "card", amount = 100, attributes = { customer = "ann" } }
expect = { verdict = "approve" }
"#;
    std::fs::write(folder.path().join("policy.toml"), policy() + tests).expect("a file");
    let (is_ok, output) = finaira(&["policy", "test", &folder.path().to_string_lossy()]);
    assert!(is_ok && output.contains("low_level") && output.contains("raised_level"), "{output}");
}
