//! Bad input gets a clear response and changes nothing.

use std::io::Write as _;

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, archive, first_start};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn bad_input_is_answered_clearly_and_changes_nothing() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    assert_eq!(client.pay(1, "top_up", 5_000, &json!({"customer": "alice"})).status, 201);
    let before = events(&client);

    bodies(&client);
    payments(&client);
    headers_and_paths(&client);
    assert_eq!(events(&client), before, "no bad request left an entry");

    // A refusal that spends the id is the only one that creates an entry. No money moves even so.
    let unknown = json!({"id": "5", "debit_account": "98", "credit_account": "99", "amount": "1", "asset": "EUR/2", "ledger": 978, "code": 1});
    expect(
        &client.post("/v1/transfers", &unknown),
        422,
        "debit_account_not_found",
        "00000000-0000-0000-0000-000000000062",
    );
    assert_eq!(client.wallet("alice"), (5_000, 0));
}

#[track_caller]
fn expect(reply: &crate::harness::Reply, status: u16, code: &str, told: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    let text = reply.body.to_string();
    assert!(text.contains(told), "the response contains `{told}`: {text}");
    assert_eq!(reply.body["status"], status);
    assert!(reply.text("type").ends_with(code), "{text}");
    assert!(!reply.text("detail").is_empty());
}

fn events(client: &Client) -> usize {
    client.get("/v1/events?limit=1000").body["items"].as_array().expect("events").len()
}

/// Bodies that every route rejects.
fn bodies(client: &Client) {
    let send = |body: &[u8]| client.send("/v1/ledgers", &[JSON], body);
    expect(&send(b"{\"id\": 5, "), 400, "malformed_json", "");
    expect(&send(b"{\"id\": 5, \"asset\": \"EUR/2\"} x"), 400, "malformed_json", "");
    expect(&send(b"{\"id\": 5, \"asset\": \"EUR/2\"}{}"), 400, "malformed_json", "");
    expect(&send(b""), 400, "malformed_json", "");
    expect(&send(b"[]"), 400, "invalid_field", "object");
    expect(&send(b"{\"id\": 5, \"asset\": \"EUR/2\", \"colour\": 1}"), 400, "unknown_field", "colour");
    expect(&send(b"{\"id\": 5, \"id\": 6, \"asset\": \"EUR/2\"}"), 400, "duplicate_field", "id");
    expect(&send(b"{\"asset\": \"EUR/2\"}"), 400, "missing_field", "id");
    let compressed = client.send("/v1/ledgers", &[JSON, ("Content-Encoding", "gzip")], b"{}");
    expect(&compressed, 415, "unsupported_media_type", "gzip");
    expect(&send(b"{\"id\": 5.5, \"asset\": \"EUR/2\"}"), 400, "invalid_field", "/id");
    expect(&send(b"{\"id\": 5e-1, \"asset\": \"EUR/2\"}"), 400, "invalid_field", "/id");
    expect(&send(b"{\"id\": 4294967296, \"asset\": \"EUR/2\"}"), 400, "invalid_field", "/id");
    expect(&send(b"{\"id\": -1, \"asset\": \"EUR/2\"}"), 400, "invalid_field", "/id");
    expect(&send(b"{\"id\": 5, \"asset\": \"euro\"}"), 400, "invalid_field", "EUR/2");
    expect(&send(b"{\"id\": 5, \"asset\": \"EU\xff/2\"}"), 400, "malformed_json", "");
    expect(&send("[".repeat(60_000).as_bytes()), 400, "malformed_json", "");
    let large = format!("{{\"id\": 5, \"asset\": \"{}\"}}", "A".repeat(1 << 20));
    expect(&send(large.as_bytes()), 413, "body_too_large", "65536");
    let plain = client.send("/v1/ledgers", &[("Content-Type", "text/plain")], b"{\"id\": 5, \"asset\": \"EUR/2\"}");
    expect(&plain, 415, "unsupported_media_type", "application/json");
}

fn with(field: &str, value: Value) -> Value {
    let mut body = json!({
        "id": "50", "type": "transfer", "amount": "10", "asset": "EUR/2",
        "attributes": {"customer": "alice", "recipient": "bob"},
    });
    match field.strip_prefix("attributes.") {
        Some(attribute) => body["attributes"][attribute] = value,
        None => body[field] = value,
    }
    body
}

/// Payments that are invalid in themselves or for this policy.
fn payments(client: &Client) {
    let long = "x".repeat(5_000);
    let table = [
        ("id", json!("0"), 400, "invalid_field", "/id"),
        ("id", json!("340282366920938463463374607431768211455"), 400, "invalid_field", "/id"),
        ("id", json!("abc"), 400, "invalid_field", "/id"),
        ("id", json!(50), 400, "invalid_field", "/id"),
        ("id", Value::Null, 400, "id_required", "Idempotency-Key"),
        ("type", json!("tranfser"), 422, "unknown_payment_type", "transfer"),
        ("type", json!(7), 400, "invalid_field", "/type"),
        ("amount", json!(10), 400, "invalid_field", "/amount"),
        ("amount", json!("10.50"), 400, "invalid_field", "/amount"),
        ("amount", json!("-1"), 400, "invalid_field", "/amount"),
        ("amount", json!("1e3"), 400, "invalid_field", "/amount"),
        ("amount", json!("340282366920938463463374607431768211456"), 400, "invalid_field", "/amount"),
        ("asset", json!("USD/2"), 422, "asset_mismatch", "EUR/2"),
        ("asset", json!("EUR"), 400, "invalid_field", "/asset"),
        ("occurred_at", json!("yesterday"), 400, "invalid_field", "/occurred_at"),
        ("occurred_at", json!("2026-01-01T00:00:00Z"), 422, "occurred_not_declared", "transfer"),
        ("attributes", json!([]), 400, "invalid_field", "/attributes"),
        ("attributes", json!({"customer": "alice"}), 422, "missing_attribute", "recipient"),
        ("attributes.colour", json!("red"), 422, "unknown_attribute", "colour"),
        ("attributes.customer", json!(5), 422, "invalid_attribute", "/attributes/customer"),
        ("attributes.customer", json!(""), 422, "invalid_attribute", "/attributes/customer"),
        ("attributes.country", json!("NOR"), 422, "invalid_attribute", "/attributes/country"),
        ("attributes.country", json!(false), 422, "invalid_attribute", "/attributes/country"),
        ("attributes.trusted", json!("yes"), 422, "invalid_attribute", "/attributes/trusted"),
        ("attributes.email", json!(long), 422, "invalid_attribute", "/attributes/email"),
        ("attributes.email", json!("a\u{0}b"), 400, "invalid_field", "/attributes/email"),
        ("attributes.customer", json!("a\u{0}b"), 400, "invalid_field", "/attributes/customer"),
        ("attributes.customer", json!({"id": 5}), 400, "invalid_field", "/attributes/customer"),
    ];
    for (field, value, status, code, told) in table {
        let body = with(field, value);
        let reply = client.post("/v1/payments", &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{body} gave {reply:?}");
        expect(&reply, status, code, told);
    }
    let mut changed = with("amount", json!("11"));
    changed["id"] = json!("1");
    expect(&client.post("/v1/payments", &changed), 409, "payment_exists_with_different_content", "1");
    let twice = client.send(
        "/v1/payments",
        &[JSON, ("Idempotency-Key", "k")],
        &serde_json::to_vec(&with("amount", json!("1"))).expect("JSON"),
    );
    expect(&twice, 400, "id_and_idempotency_key", "");
    expect(&client.verb("1", "capture", "k"), 409, "payment_status_conflict", "posted");
    expect(&client.post("/v1/labels", &json!({"payment": "999", "label": "fraud"})), 404, "payment_not_found", "");
    expect(&client.post("/v1/labels", &json!({"payment": "1", "label": "Not A Name"})), 400, "invalid_field", "/label");
}

fn headers_and_paths(client: &Client) {
    let anonymous = client.send("/v1/ledgers", &[JSON, ("Authorization", "")], b"{}");
    expect(&anonymous, 401, "missing_api_key", "Bearer");
    let basic = client.send("/v1/ledgers", &[JSON, ("Authorization", "Basic abc")], b"{}");
    expect(&basic, 401, "invalid_api_key", "");
    let stranger = format!("Bearer fin_1_{}", "A".repeat(43));
    let wrong = client.send("/v1/ledgers", &[JSON, ("Authorization", &stranger)], b"{}");
    expect(&wrong, 401, "invalid_api_key", "");
    expect(&client.get("/v1/payments?limit=1001"), 400, "page_size_too_large", "1000");
    expect(&client.get("/v1/payments?limit=0"), 400, "invalid_parameter", "limit");
    expect(&client.get("/v1/payments?limit=ten"), 400, "invalid_parameter", "limit");
    expect(&client.get("/v1/payments?page=2"), 400, "unknown_parameter", "page");
    expect(&client.get("/v1/payments?status=paid"), 400, "invalid_parameter", "posted");
    expect(&client.get("/v1/payments?cursor=abc"), 400, "invalid_parameter", "cursor");
    expect(&client.get("/v1/payments/abc"), 400, "invalid_parameter", "");
    expect(&client.get("/v1/payments/77"), 404, "payment_not_found", "");
    expect(&client.get("/v1/accounts/77"), 404, "account_not_found", "");
    expect(&client.get("/v1/transfers/77"), 404, "transfer_not_found", "");
    expect(&client.get("/v1/ledgers/77"), 404, "ledger_not_found", "");
    expect(&client.get("/v1/paymets"), 404, "not_found", "");
    let long = client.get(&format!("/{}", "a".repeat(20_000)));
    expect(&long, 404, "not_found", "…");
    assert!(long.text("detail").len() < 200, "{long:?}");
    expect(&client.send("/v1/policies/active", &[JSON], b"{}"), 405, "method_not_allowed", "GET");

    let archive = client.send("/v1/policies", &[("Content-Type", "application/x-tar")], b"not a tar");
    expect(&archive, 400, "invalid_archive", "");
    let json = client.send("/v1/policies", &[JSON], b"{}");
    expect(&json, 415, "unsupported_media_type", "application/x-tar or application/gzip");
    let broken = client.activate(&WALLET.replace("features.cards_1h > 5", "features.cards_1h > 'five'"));
    expect(&broken, 400, "invalid_policy", "int");
    assert!(broken.body["problems"][0]["line"].as_u64().is_some_and(|line| line > 70), "{broken:?}");
    let misspelt = client.activate(&WALLET.replace("payment.amount >= 50000", "payment.amuont >= 50000"));
    expect(&misspelt, 400, "invalid_policy", "did you mean");
}

#[test]
fn a_policy_may_be_sent_as_a_compressed_archive() {
    let (_data, server, client) = first_start(&[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&archive(WALLET)).unwrap();
    let compressed = encoder.finish().unwrap();
    for (media_type, status) in [("application/gzip", 201), ("application/x-tar", 200)] {
        let reply = client.send("/v1/policies", &[("Content-Type", media_type)], &compressed);
        assert_eq!(reply.status, status, "{media_type}: {reply:?}");
        assert_eq!(reply.text("digest"), client.activate(WALLET).text("digest"), "the same policy");
    }
    assert!(server.stop().success());
}
