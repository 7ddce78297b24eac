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
