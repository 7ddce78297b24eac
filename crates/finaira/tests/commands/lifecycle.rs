//! The behaviour of the routes in normal operation.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Server, eventually, first_start};

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    (data, server, client)
}

#[test]
fn ledgers_accounts_and_transfers_without_any_policy() {
    let (_data, _server, client) = first_start(&[]);
    let ledger = json!({"id": 1, "asset": "USD/2"});
    assert_eq!(client.post("/v1/ledgers", &ledger).status, 201);
    assert_eq!(client.post("/v1/ledgers", &ledger).status, 200);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/3"})).status, 409);
    for (id, flags) in [("10", json!([])), ("20", json!(["debits_must_not_exceed_credits"]))] {
        let opened = client.post("/v1/accounts", &json!({"id": id, "ledger": 1, "code": 7, "flags": flags}));
        assert_eq!(opened.status, 201, "{opened:?}");
    }
    let transfer = |id: &str, debit: &str, credit: &str, amount: &str| json!({"id": id, "debit_account": debit, "credit_account": credit, "amount": amount, "asset": "USD/2", "code": 1});
    let made = client.post("/v1/transfers", &transfer("100", "10", "20", "500"));
    assert_eq!((made.status, made.body["credit_balances"]["credits_posted"].as_str()), (201, Some("500")), "{made:?}");
    assert_eq!(client.post("/v1/transfers", &transfer("100", "10", "20", "500")).status, 200);
    let other = client.post("/v1/transfers", &transfer("100", "10", "20", "501"));
    assert_eq!((other.status, other.code()), (409, "exists_with_different_amount"));
    let refused = client.post("/v1/transfers", &transfer("101", "20", "10", "501"));
    assert_eq!((refused.status, refused.code()), (422, "exceeds_credits"));
    assert_eq!(refused.body["number"], 54);
    let again = client.post("/v1/transfers", &transfer("101", "20", "10", "1"));
    assert_eq!((again.status, again.code()), (409, "id_already_failed"));
    assert_eq!(client.get("/v1/transfers/100").body["amount"], "500");
    assert_eq!(client.get("/v1/accounts/20").body["credits_posted"], "500");
    let totals = client.get("/v1/ledgers/1/trial-balance").body;
    assert_eq!((&totals["debits_posted"], &totals["credits_posted"]), (&json!("500"), &json!("500")));
    let page = client.get("/v1/accounts?limit=1");
    assert_eq!(page.body["items"].as_array().map(Vec::len), Some(1));
    let next = page.body["next_cursor"].as_str().expect("there is another page");
    assert_eq!(client.get(&format!("/v1/accounts?cursor={next}")).body["items"][0]["code"], 7);
}

#[test]
fn an_upload_tells_what_does_not_work_yet() {
    let (_data, _server, client) = first_start(&[]);
    let first = client.activate(WALLET);
    // Before the first payment, every window is complete.
    assert_eq!((first.status, &first.body["warnings"]), (201, &json!([])), "{first:?}");
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    client.pay(2, "card", 100, &json!({"customer": "alice"}));
    let longer = WALLET.replace("window = \"1d\"", "window = \"2d\"");
    let longer = longer.replace("features.cards_1h > 5", "features.cards_1h > 5 || payment.amount < 0 && 1 / 0 == 1");
    let second = client.activate(&longer);
    assert_eq!(second.status, 201, "{second:?}");
    let codes: Vec<&str> =
        second.body["warnings"].as_array().expect("a list").iter().filter_map(|w| w["code"].as_str()).collect();
    assert_eq!(codes, ["never_computed", "window_not_full"], "{second:?}");
    let (never, filling) = (&second.body["warnings"][0], &second.body["warnings"][1]);
    assert_eq!(never["file"], "policy.toml");
    assert!(never["line"].is_u64() && filling.get("line").is_none(), "{second:?}");
    let detail = filling["detail"].as_str().expect("a text");
    assert!(detail.starts_with("features.spent_1d is missing until ") && detail.contains("looks back 2d"), "{detail}");
    assert_eq!(client.get("/v1/policies/active").body.get("warnings"), None);
}

#[test]
fn a_decision_has_its_reasons() {
    let (_data, _server, client) = start();
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    for id in 2..=6 {
        assert_eq!(client.pay(id, "card", 100, &json!({"customer": "alice"})).text("status"), "held");
    }
    let declined = client.pay(7, "card", 100, &json!({"customer": "alice"}));
    assert_eq!((declined.text("status"), declined.text("verdict")), ("declined", "decline"));
    assert_eq!(declined.body["reasons"][0]["code"], "card_velocity");
    let decision = client.get("/v1/payments/7/decision");
    assert_eq!(decision.status, 200, "{decision:?}");
    let text = decision.body.to_string();
    assert!(text.contains("More than five card payments in an hour"), "{text}");
    let feature = decision.body["features"].as_object().map(|features| features["cards_1h"].clone());
    let feature = feature.or_else(|| {
        let features = decision.body["features"].as_array()?;
        features.iter().find(|feature| feature["name"] == "cards_1h").map(|feature| feature["value"].clone())
    });
    assert!(feature.is_some_and(|value| value == 6 || value["value"] == 6), "{text}");
}

#[test]
fn a_verb_changes_a_payment_once() {
    let (_data, _server, client) = start();
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    assert_eq!(client.pay(2, "card", 700, &json!({"customer": "alice"})).text("status"), "held");
    assert_eq!(client.verb("2", "capture", "c-1").text("status"), "posted");
    let again = client.verb("2", "capture", "c-1");
    assert_eq!((again.status, again.text("status")), (200, "posted"));
    assert_eq!(client.verb("2", "capture", "c-2").code(), "payment_status_conflict");
    assert_eq!(client.verb("2", "void", "c-1").status, 409);
    assert_eq!(client.verb("2", "refund", "r-1").text("status"), "refunded");
    assert_eq!(client.wallet("alice"), (500_000, 0));
    assert_eq!(client.verb("99", "capture", "c-1").code(), "payment_not_found");
    let keyless = client.send("/v1/payments/2/capture", &[], b"");
    assert_eq!((keyless.status, keyless.code()), (400, "idempotency_key_required"));
}

#[test]
fn a_deadline_passes_without_any_request() {
    let (_data, _server, client) = start();
    assert_eq!(client.activate(&WALLET.replace("\"30m\"", "\"1s\"")).status, 201);
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    let held = client.pay(2, "transfer", 50_000, &json!({"customer": "alice", "recipient": "bob"}));
    assert_eq!((held.text("status"), client.wallet("alice")), ("in_review", (500_000, 50_000)));
    let expired = |event: &Value| event["kind"] == "payment_changed" && event.to_string().contains("expired");
    // Reading events sends no request to the engine, so only the clock can have caused this event.
    eventually(|| {
        let page = client.get("/v1/events?limit=1000");
        page.body["items"].as_array()?.iter().any(expired).then_some(())
    });
    assert_eq!(client.wallet("alice"), (500_000, 0));
    assert_eq!(client.get("/v1/payments/2").text("status"), "expired");
}

#[test]
fn events_are_paged_and_streamed_in_order() {
    let (_data, server, client) = start();
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    let page = client.get("/v1/events?limit=3");
    let kinds: Vec<&str> =
        page.body["items"].as_array().expect("events").iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["journal_started", "principal_added", "credential_added"]);
    let cursor = page.body["next_cursor"].as_str().expect("there is another page").to_owned();
    let foreign = format!("00000000-0000-0000-0000-000000000001{}", &cursor[36..]);
    let refused = client.get(&format!("/v1/events?cursor={foreign}"));
    assert_eq!((refused.status, refused.code()), (410, "cursor_of_another_origin"));

    let beyond = format!("{}.0.99999", &cursor[..36]);
    let refused = client.get(&format!("/v1/events?cursor={beyond}"));
    assert_eq!((refused.status, refused.code()), (410, "cursor_of_another_origin"), "events are never skipped");

    let mut stream = TcpStream::connect(server.address.trim_start_matches("http://")).expect("a connection");
    let key = server.key.as_deref().expect("a key");
    write!(stream, "GET /v1/events?cursor={cursor} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n").expect("a request");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next_kind = || loop {
        let line = lines.next().expect("the stream continues");
        if let Some(data) = line.strip_prefix("data:") {
            let event: Value = serde_json::from_str(data.trim()).expect("an event is JSON");
            break event["kind"].as_str().expect("a kind").to_owned();
        }
    };
    assert_eq!([next_kind(), next_kind(), next_kind()], ["artifact_stored", "policy_activated", "payment_decided"]);
    client.pay(2, "card", 100, &json!({"customer": "alice"}));
    client.post("/v1/labels", &json!({"payment": "2", "label": "fraud"}));
    assert_eq!([next_kind(), next_kind()], ["payment_decided", "label_recorded"]);
}

#[test]
fn health_metrics_and_the_api_description_need_no_key() {
    let (_data, server, client) = start();
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    let anonymous = server.client("");
    assert_eq!(anonymous.get("/healthz").status, 200);
    assert_eq!(anonymous.get("/readyz").status, 200);
    let metrics = anonymous.get("/metrics").body.to_string();
    assert!(metrics.contains(r#"finaira_payments_total{verdict=\"approve\",status=\"posted\"} 1"#), "{metrics}");
    let description = anonymous.get("/openapi.json").body;
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(description["paths"]["/v1/payments"]["post"].is_object());
}

#[test]
fn a_new_policy_decides_after_its_activation() {
    let (_data, _server, client) = start();
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    for id in 2..=4 {
        assert_eq!(client.pay(id, "card", 100, &json!({"customer": "alice"})).text("status"), "held");
    }
    assert_eq!(client.activate(WALLET).status, 200, "the same policy again changes nothing");
    let stricter = WALLET.replace("features.cards_1h > 5", "features.cards_1h > 3");
    assert_eq!(client.activate(&stricter).status, 201);
    // The stream continued, so the previous three payments still count.
    assert_eq!(client.pay(5, "card", 100, &json!({"customer": "alice"})).text("status"), "declined");
    assert_eq!(client.get("/v1/policies/active").body["name"], "wallet");
    // A changed stream has not recorded earlier payments, so the feature is missing, which causes a review. It does not
    // count from one.
    let changed = stricter.replace("[streams.cards]", "[streams.cards]\nwhere = \"payment.amount > 1\"");
    assert_eq!(client.activate(&changed).status, 201);
    let unseen = client.pay(6, "card", 100, &json!({"customer": "alice"}));
    assert_eq!((unseen.text("status"), &unseen.body["reasons"][0]["code"]), ("in_review", &json!("feature_missing")));
    assert_eq!(unseen.body["reasons"][0]["failure"]["detail"], "rule card_velocity: features.cards_1h is missing");
}

#[test]
fn a_decision_names_the_rule_and_the_leg_that_failed_wherever_it_is_read() {
    let (_data, _server, client) = start();
    let failing = WALLET
        .replace("\"payment.amount / 100\"", "\"50 - payment.amount\"")
        .replace("features.cards_1h > 5", "payment.amount / (payment.amount - 60) > 5 && payment.customer != 'bob'");
    assert_eq!(client.activate(&failing).status, 201);
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    let leg = json!({"code": "leg_failed", "effect": "decline", "failure":
        {"leg": 1, "cause": "negative_amount", "detail": "legs[1]: the amount -10 is negative"}});
    let rule = json!({"code": "rule_failed", "effect": "review", "failure":
        {"rule": "card_velocity", "cause": "division_by_zero", "detail": "rule card_velocity: division by zero"}});
    let paid = client.pay(2, "card", 60, &json!({"customer": "alice"}));
    let expected = json!([rule, leg]);
    assert_eq!(paid.body["reasons"], expected);
    assert_eq!(client.get("/v1/payments/2").body["reasons"], expected);
    assert_eq!(client.get("/v1/payments/2/decision").body["reasons"], expected);
    let events = client.get("/v1/events?limit=1000");
    assert!(events.body.to_string().contains(&expected.to_string()), "{events:?}");
    // The comparison of the customer decides, so nothing else has to be computed.
    let other = client.pay(3, "card", 60, &json!({"customer": "bob"}));
    assert_eq!(other.body["reasons"], json!([leg]));
}
