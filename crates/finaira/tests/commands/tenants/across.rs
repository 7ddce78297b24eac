//! Every operation of the API, sent with a credential of one tenant and the ids of another.

use std::collections::BTreeSet;

use api::routes::{Body, Method};
use api::{ROUTES, Scope};
use serde_json::{Map, Value, json};

use super::{book, create, live, transfer};
use crate::harness::{Client, Reply, first_start};

const LEDGER: u32 = 978;
const PAYMENT: u128 = 4_711;

/// Fills a tenant with one of everything. `mark` is in all of it, and nowhere else.
fn fill(victim: &Client, mark: &str) {
    book(victim, LEDGER);
    let metadata = json!({"metadata": {"note": mark}});
    for path in ["/v1/accounts/1/metadata", "/v1/transfers/7/metadata"] {
        assert_eq!(victim.post(path, &metadata).status, 200, "{path}");
    }
    let address = victim.post("/v1/accounts/1/address", &json!({"address": mark}));
    assert_eq!(address.status, 200, "{address:?}");
    let reply = victim.activate(fixtures::WALLET);
    assert!(reply.status == 200 || reply.status == 201, "{reply:?}");
    assert_eq!(victim.post("/v1/api-keys", &json!({"name": mark, "principal": 1, "role": "auditor"})).status, 201);
    victim.pay(PAYMENT - 1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert_eq!(victim.pay(PAYMENT, "card", 100, &json!({"customer": "alice"})).status, 201);
    let metadata = victim.post(&format!("/v1/payments/{PAYMENT}/metadata"), &json!({"metadata": {"note": mark}}));
    assert_eq!(metadata.status, 200, "{metadata:?}");
    let import = json!({"id": "5", "ledger": 979, "content": "0".repeat(64)});
    let _may_be_refused = victim.post("/v1/imports", &import);
}

/// The schema that a reference leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let one_of = schema["oneOf"].as_array().into_iter().flatten().find(|part| part["$ref"].is_string());
    let reference = one_of.unwrap_or(schema)["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

/// A body that fits a schema, with the victim's ids where a field has the name of one.
fn body(document: &Value, (name, mark): (&str, &str), schema: &Value) -> Value {
    let schema = resolved(document, schema);
    match name {
        "id" | "import" => return json!("7"),
        "transfer" | "pending_id" | "pending" => return json!("7"),
        "payment" => return json!(PAYMENT.to_string()),
        "account" | "debit_account" | "credit_account" | "debit_account_id" | "credit_account_id" => return json!("1"),
        "ledger" => return json!(LEDGER),
        "address" => return json!(mark),
        _ => {}
    }
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(properties) = schema["properties"].as_object() {
        let fields = properties.iter().map(|(name, schema)| (name.clone(), body(document, (name, mark), schema)));
        return fields.collect::<Map<_, _>>().into();
    }
    match schema["type"].as_str() {
        Some("array") => json!([body(document, ("", mark), &schema["items"])]),
        Some("integer") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("7"),
    }
}

/// Paths of a route with the victim's ids.
fn paths(template: &str, mark: &str) -> Vec<String> {
    let ids: &[&str] = match template.split('/').nth(2) {
        Some("ledgers") => &["978"],
        Some("accounts" | "packed") => &["1", mark],
        Some("payments") => &["4711"],
        Some("tenants") => &["1", "2", "3"],
        _ => &["1", "2", "5", "7"],
    };
    let mut paths = Vec::new();
    for id in ids {
        let mut path = String::new();
        for (place, part) in template.split('/').enumerate() {
            if place > 0 {
                path.push('/');
            }
            path.push_str(match part {
                "{tile}" => "tile/0/000.p/1",
                "{name}" | "{kind}" => "customer",
                part if part.starts_with('{') => id,
                part => part,
            });
        }
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// The kinds of all entries.
fn entries(client: &Client) -> usize {
    client.get("/v1/events?limit=1000").body["items"].as_array().map_or(0, Vec::len)
}

fn send(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Reply {
    let binary = |status: u16, bytes: &[u8]| {
        let text = || Value::String(String::from_utf8_lossy(bytes).into_owned());
        let body = serde_json::from_slice(bytes).unwrap_or_else(|_not_json| text());
        Reply { status, body, replayed: false, retry_after: None, tag: None, nonce: None }
    };
    match (method, body) {
        // What is not text succeeded.
        (Method::Get, _) => client.try_get(path).unwrap_or_else(|| binary(200, &client.bytes(path))),
        (Method::Post, Some(body)) => {
            let headers = [("Idempotency-Key", "across"), ("Content-Type", "application/json")];
            let reply = client.send(path, &headers, &serde_json::to_vec(body).expect("JSON"));
            // Some routes take no such header.
            if reply.code() == "invalid_header" { client.post(path, body) } else { reply }
        }
        (Method::Put, body) => client.put(path, body.unwrap_or(&Value::Null)),
        (Method::Post, None) => {
            let (status, bytes) = client.packed_once(path, &[1; 128]).expect("the server answers");
            binary(status, &bytes)
        }
    }
}

/// Sends every operation as the attacker, and checks that nothing of the victim is seen or changed.
fn attack(attacker: &Client, (victim, mark): (&Client, &str), is_of_first: bool) {
    let document: Value = serde_json::from_str(&api::openapi_json()).expect("JSON");
    let before = entries(victim);
    let mut tried = BTreeSet::new();
    for route in ROUTES {
        let Some(scope) = route.scope else { continue };
        if is_of_first && Scope::INSTALLATION.contains(scope) {
            continue;
        }
        let method = format!("{:?}", route.method).to_lowercase();
        let schema = &document["paths"][route.path][&method]["requestBody"]["content"]["application/json"]["schema"];
        let body = match route.body {
            Body::Json(_) | Body::Batch(_) | Body::Empty(_) => Some(body(&document, ("", mark), schema)),
            Body::None => Some(json!({})),
            Body::Archive | Body::Packed { .. } | Body::Form(_) => None,
        };
        for path in paths(route.path, mark) {
            let reply = send(attacker, route.method, &path, body.as_ref());
            let shown = format!("{:?} {path}: {reply:?}", route.method);
            assert!(reply.status < 500, "{shown}");
            // An address or a name that the attacker sent may come back in the detail of a refusal.
            assert!(reply.status >= 400 || !reply.body.to_string().contains(mark), "{shown}");
            if Scope::INSTALLATION.contains(scope) {
                assert_eq!((reply.status, reply.code()), (403, "first_tenant_only"), "{shown}");
            }
        }
        tried.insert(route.operation.name());
    }
    assert!(tried.len() > 60, "{tried:?}");
    // The attacker may have opened accounts of the same numbers in its own books: the victim's did not change.
    assert_eq!(entries(victim), before, "nothing was written");
    let account = victim.get("/v1/accounts/1").body;
    assert_eq!((&account["debits_posted"], &account["metadata"]["note"]), (&json!("100"), &json!(mark)), "{account}");
    assert_eq!(victim.post("/v1/transfers", &transfer(7, LEDGER)).status, 200, "its transfer is still the one");
}

#[test]
fn no_operation_reaches_another_tenant() {
    let (_data, server, first) = first_start(&[]);
    let (a, b) = (create(&first, &live("A")), create(&first, &live("B")));
    let (a, b) = (server.client(&a.key), server.client(&b.key));
    fill(&first, "only-of-the-first");
    attack(&a, (&first, "only-of-the-first"), false);
    fill(&b, "only-of-b");
    attack(&first, (&b, "only-of-b"), true);
    assert_eq!(a.get("/v1/tenants").code(), "first_tenant_only");
    assert_eq!(a.post("/v1/clock/confirm", &json!({})).code(), "first_tenant_only", "the clock is everybody's");
    assert!(server.stop().success());
}
