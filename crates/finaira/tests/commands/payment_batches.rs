//! Batches of payments over a real socket: each payment has the result that it would have alone.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, first_start, payment};

fn batch(client: &Client, key: Option<&str>, payments: &[Value]) -> Reply {
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(key.map(|key| ("Idempotency-Key", key)));
    client.send("/v1/payments/batch", &headers, &serde_json::to_vec(&json!({ "payments": payments })).expect("JSON"))
}

fn top_up(id: u128, amount: u64) -> Value {
    payment(id, "top_up", amount, &json!({"customer": "alice"}))
}

/// The status of each result, with the status of the payment or the field of the error.
fn told(reply: &Reply) -> Vec<String> {
    let results = reply.body["results"].as_array().unwrap_or_else(|| panic!("{reply:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |result: &Value| {
        format!("{} {}{}", text(&result["status"]), text(&result["payment"]["status"]), text(&result["field"]))
    };
    results.iter().map(|result| one(result).trim_end().to_owned()).collect()
}

#[test]
fn each_payment_of_a_batch_has_its_own_result() {
    let (data, server, client) = first_start(&[]);
    let nothing = batch(&client, None, &[top_up(1, 100)]);
    assert_eq!((nothing.status, nothing.code()), (409, "no_active_policy"), "{nothing:?}");
    assert_eq!(client.activate(WALLET).status, 201);
    let mixed = [
        top_up(1, 5_000),
        payment(2, "transfer", 6_000, &json!({"customer": "alice", "recipient": "bob"})),
        payment(3, "card", 1_000, &json!({"customer": "alice"})),
        payment(4, "teleport", 1, &json!({})),
        top_up(1, 5_000),
        top_up(1, 5_001),
        payment(6, "top_up", 1, &json!({"customer": "alice", "shoe": 43})),
    ];
    let expected = [
        "created posted",
        "created refused",
        "created held",
        "unknown_payment_type /type",
        "exists posted",
        "payment_exists_with_different_content",
        "unknown_attribute /attributes/shoe",
    ];
    assert_eq!(told(&batch(&client, None, &mixed)), expected);
    // A batch that cannot be read is refused as a whole.
    let unreadable = [top_up(8, 1), json!({"id": "5", "type": "top_up", "asset": "EUR/2"})];
    let refused = batch(&client, None, &unreadable);
    let found = (refused.status, refused.code(), refused.text("field"));
    assert_eq!(found, (400, "missing_field", "/payments/1/amount"), "{refused:?}");
    // The second time, everything that was decided gets its first answer.
    let again = expected.map(|one| one.replace("created", "exists"));
    let second = batch(&client, None, &mixed);
    assert_eq!(told(&second), again);
    assert_eq!(second.body["results"][0]["payment"], client.get("/v1/payments/1").body);
    assert_eq!(client.wallet("alice"), (5_000, 1_010));

    // After a restart, the answers come from the journal.
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    assert_eq!(told(&batch(&client, None, &mixed)), again);
    assert_eq!(client.get("/v1/payments").body["items"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_key_names_one_batch_of_payments() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    let unnamed = |amount: u64| {
        let mut payment = top_up(1, amount);
        payment.as_object_mut().expect("an object").remove("id");
        payment
    };
    let first = [unnamed(100), unnamed(200)];
    assert_eq!(told(&batch(&client, Some("k"), &first)), ["created posted"; 2]);
    assert_eq!(told(&batch(&client, Some("k"), &first)), ["exists posted"; 2]);
    let longer = batch(&client, Some("k"), &[unnamed(100), unnamed(200), unnamed(300)]);
    assert_eq!((longer.status, longer.code()), (409, "request_id_reused"), "{longer:?}");
    assert_eq!(client.wallet("alice"), (300, 0));
    for payments in [vec![], vec![top_up(1, 1); 1_001]] {
        let refused = batch(&client, None, &payments);
        assert_eq!((refused.status, refused.code(), refused.text("field")), (400, "invalid_field", "/payments"));
    }
}

fn verb(payment: u128, verb: &str, key: &str, amount: Option<u64>) -> Value {
    let amount = amount.map(|amount| amount.to_string());
    json!({"payment": payment.to_string(), "verb": verb, "idempotency_key": key, "amount": amount})
}

fn verbs(client: &Client, verbs: &[Value]) -> Reply {
    client.post("/v1/payments/verbs/batch", &json!({ "verbs": verbs }))
}

#[test]
fn each_verb_of_a_batch_has_the_result_that_it_would_have_alone() {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    for payment in [top_up(1, 5_000), payment(2, "card", 1_000, &json!({"customer": "alice"}))] {
        assert_eq!(client.post("/v1/payments", &payment).status, 201);
    }
    assert_eq!(client.part(2, "capture", "k0", &json!({"amount": "100"})).text("captured"), "100");
    let mixed = [
        verb(2, "capture", "k0", Some(100)),
        verb(2, "capture", "k1", Some(400)),
        verb(2, "capture", "k2", Some(501)),
        json!({"payment": "2", "verb": "capture", "idempotency_key": "k3", "amount": "300", "final": true}),
        verb(2, "refund", "k4", Some(50)),
        verb(2, "refund", "k4", Some(60)),
        verb(3, "void", "k5", None),
        verb(1, "approve", "k6", None),
        verb(1, "refund", "k7", Some(70)),
    ];
    let expected = [
        "exists held",
        "changed held",
        "amount_exceeds_held /amount",
        "changed posted",
        "changed posted",
        "request_id_reused",
        "payment_not_found",
        "payment_status_conflict",
        "changed posted",
    ];
    let first = verbs(&client, &mixed);
    assert_eq!(told(&first), expected, "{first:?}");
    let sums = |reply: &Reply, place: usize| {
        let payment = &reply.body["results"][place]["payment"];
        ["captured", "released", "refunded"].map(|sum| payment[sum].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(sums(&first, 1), ["500", "0", "0"]);
    assert_eq!(sums(&first, 4), ["800", "200", "50"]);

    // A retry gets the same outcome, in a batch or alone, also from the journal.
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    let again = verbs(&client, &mixed);
    let expected = expected.map(|one| match one {
        "exists held" | "changed held" => "exists posted".to_owned(),
        one => one.replace("changed", "exists"),
    });
    // The payment is posted by now, so that nothing can be captured.
    let expected = expected.map(|one| one.replace("amount_exceeds_held /amount", "payment_status_conflict"));
    assert_eq!(told(&again), expected, "{again:?}");
    let alone = client.part(2, "refund", "k4", &json!({"amount": "50"}));
    assert_eq!((alone.status, alone.replayed, alone.text("refunded")), (200, true, "50"), "{alone:?}");
}

#[test]
fn a_batch_of_verbs_that_cannot_be_read_is_refused_as_a_whole() {
    let (_data, _server, client) = first_start(&[]);
    let refused = |verb: Value| {
        let reply = verbs(&client, &[json!({"payment": "1", "verb": "void", "idempotency_key": "a"}), verb]);
        assert_eq!(reply.status, 400, "{reply:?}");
        format!("{} {}", reply.code(), reply.text("field"))
    };
    assert_eq!(refused(verb(1, "reverse", "k", None)), "invalid_field /verbs/1/verb");
    assert_eq!(refused(verb(1, "approve", "k", Some(1))), "invalid_field /verbs/1/amount");
    assert_eq!(refused(verb(1, "capture", "k", Some(0))), "invalid_field /verbs/1/amount");
    assert_eq!(refused(verb(1, "capture", "two words", None)), "invalid_field /verbs/1/idempotency_key");
    assert_eq!(refused(json!({"payment": "1", "verb": "void"})), "missing_field /verbs/1/idempotency_key");
    let keyed = client.send(
        "/v1/payments/verbs/batch",
        &[("Content-Type", "application/json"), ("Idempotency-Key", "k")],
        br#"{"verbs": []}"#,
    );
    assert_eq!((keyed.status, keyed.code()), (400, "invalid_header"), "{keyed:?}");
}
