//! Increments of holds over a real socket: the policy decides them with everything that the payment was asked for with.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, first_start};

/// Rules that read the value of an entity and of a personal attribute, which no entry has in the clear.
fn policy() -> String {
    let personal = "subject = \"customer\"\n[payments.card.attributes]\nemail = { type = \"string\", personal = true, required = false }\n";
    WALLET.replace("[payments.card.attributes]\n", personal)
        + r#"
[[rules]]
name = "by_email"
when = "has(payment.email) && payment.email == 'mallory@example.org' && payment.amount > 2000"
then = { decline = true }
payments = ["card"]
[[rules]]
name = "by_name"
when = "payment.customer == 'bob' && payment.amount > 1500"
then = { review = true }
payments = ["card"]
"#
}

fn increment(client: &Client, payment: u128, key: &str, amount: u64) -> Reply {
    client.part(payment, "increment", key, &json!({"amount": amount.to_string()}))
}

/// What the last increment came to: whether the hold was raised, the verdict, and the reasons or the refusal.
fn last(reply: &Reply) -> String {
    let last = reply.body["increments"].as_array().and_then(|all| all.last()).unwrap_or(&Value::Null);
    let reasons: Vec<&str> =
        last["reasons"].as_array().into_iter().flatten().filter_map(|one| one["code"].as_str()).collect();
    let refusal = last["refusal"]["code"].as_str().unwrap_or_default();
    let verdict = last["verdict"].as_str().unwrap_or_default();
    format!("{} {verdict} {}{refusal}", last["raised"], reasons.join(" ")).trim_end().to_owned()
}

#[test]
fn the_policy_decides_an_increment_like_a_new_payment() {
    let (data, server, client) = first_start(&[]);
    let active = client.activate(&policy());
    assert_eq!(active.status, 201, "{active:?}");
    for (id, customer) in [(1, "alice"), (2, "bob")] {
        assert_eq!(client.pay(id, "top_up", 5_000, &json!({"customer": customer})).text("status"), "posted");
    }
    let mallory = json!({"customer": "alice", "email": "mallory@example.org"});
    assert_eq!(client.pay(3, "card", 1_000, &mallory).text("status"), "held");
    let dry = client.send(
        "/v1/payments/3/increment?dry_run=true",
        &[("Idempotency-Key", "dry"), ("Content-Type", "application/json")],
        br#"{"amount": "500"}"#,
    );
    assert_eq!((dry.status, dry.text("amount"), &*last(&dry)), (200, "1500", "true approve"), "{dry:?}");
    assert_eq!(client.get("/v1/payments/3").text("amount"), "1000");

    let raised = increment(&client, 3, "i1", 500);
    assert_eq!((raised.status, raised.text("amount"), &*last(&raised)), (200, "1500", "true approve"), "{raised:?}");
    assert_eq!(client.wallet("alice"), (5_000, 1_515));
    assert_eq!(last(&increment(&client, 3, "i2", 1_000)), "false decline by_email");
    assert_eq!(client.pay(4, "card", 1_000, &json!({"customer": "bob"})).text("status"), "held");
    assert_eq!(last(&increment(&client, 4, "i1", 400)), "true approve");
    let reviewed = increment(&client, 4, "i2", 200);
    assert_eq!((reviewed.text("status"), &*last(&reviewed)), ("held", "false review by_name"), "{reviewed:?}");
    assert_eq!(client.pay(5, "card", 1_000, &json!({"customer": "alice"})).text("status"), "held");
    let refused = increment(&client, 5, "i1", 4_000);
    assert_eq!((refused.status, &*last(&refused)), (200, "false approve exceeds_credits"), "{refused:?}");
    assert_eq!(client.wallet("alice"), (5_000, 1_515 + 1_010));

    // The answers come from the journal after a restart, and a retry changes nothing.
    let before: Vec<Value> = [3, 4, 5].map(|id| client.get(&format!("/v1/payments/{id}")).body).into();
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    let after: Vec<Value> = [3, 4, 5].map(|id| client.get(&format!("/v1/payments/{id}")).body).into();
    assert_eq!(before, after);
    let again = increment(&client, 3, "i1", 500);
    assert!(again.replayed && again.text("amount") == "1500", "{again:?}");
    assert_eq!(increment(&client, 3, "i1", 501).code(), "request_id_reused");

    // Parts are of the raised amount.
    let captured = client.part(3, "capture", "c", &json!({"amount": "1200", "final": true}));
    assert_eq!((captured.text("captured"), captured.text("released")), ("1200", "300"), "{captured:?}");
    assert_eq!(client.wallet("alice"), (5_000 - 1_212, 1_010));
    assert_eq!(increment(&client, 3, "i9", 1).code(), "payment_status_conflict");
    let events = client.get("/v1/events?limit=1000").body;
    let events = events["items"].as_array().expect("a page");
    let decided = events.iter().filter(|event| event["data"]["increment"].is_object());
    let raised: Vec<bool> = decided.filter_map(|event| event["data"]["increment"]["raised"].as_bool()).collect();
    assert_eq!(raised, [true, false, true, false, false]);
}

#[test]
fn what_cannot_be_decided_again_is_refused_with_the_reason() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert_eq!(client.pay(2, "card", 1_000, &json!({"customer": "alice"})).text("status"), "held");
    let refused = |key: &str, amount: u64| {
        let reply = increment(&client, 2, key, amount);
        format!("{} {} {}", reply.status, reply.code(), reply.text("field"))
    };
    assert_eq!(refused("a", 0), "400 invalid_field /amount");
    let all = json!({"amount": u128::MAX.to_string()});
    let refusal = client.part(2, "increment", "a", &all);
    assert_eq!((refusal.status, refusal.code(), refusal.text("field")), (422, "amount_too_large", "/amount"));
    assert_eq!(increment(&client, 9, "a", 1).code(), "payment_not_found");
    assert_eq!(last(&increment(&client, 2, "first", 1)), "true approve");
    // Other accounts.
    let other = WALLET.replace(
        "credit = { account = \"cash\" }\ncode = 3",
        "credit = { account = \"wallet\", of = \"customer\" }\ncode = 33",
    );
    assert_eq!(
        client
            .activate(&other.replace(
                "debit = { account = \"wallet\", of = \"customer\" }\ncredit = { account = \"wallet\"",
                "debit = { account = \"cash\" }\ncredit = { account = \"wallet\""
            ))
            .status,
        201
    );
    assert_eq!(refused("c", 1), "409 increment_not_possible (absent)");
    // A policy without the payment type, and one that needs more than the payment has.
    for (from, to) in [
        ("card", "tap"),
        (
            "device = { type = \"entity\", entity = \"device\", required = false }\n[[payments.card",
            "device = { type = \"entity\", entity = \"device\" }\n[[payments.card",
        ),
    ] {
        assert!(WALLET.contains(from), "{from}");
        assert_eq!(client.activate(&WALLET.replace(from, to)).status, 201);
        assert_eq!(refused("b", 1), "409 increment_not_possible (absent)");
        // What was decided earlier keeps its answer.
        assert!(increment(&client, 2, "first", 1).replayed);
    }
    assert_eq!(client.get("/v1/payments/2").text("amount"), "1001");
}

#[test]
fn an_entity_that_the_payment_was_not_decided_with_is_refused() {
    let (_data, _server, client) = first_start(&[]);
    let agent = |kind: &str| {
        WALLET.replace(
            "[payments.card.attributes]\n",
            &format!("[payments.card.attributes]\nagent = {{ {kind}, required = false }}\n"),
        )
    };
    assert_eq!(client.activate(&agent("type = \"string\"")).status, 201);
    client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    let attributes = json!({"customer": "alice", "agent": "bob"});
    assert_eq!(client.pay(2, "card", 1_000, &attributes).text("status"), "held");
    assert_eq!(last(&increment(&client, 2, "same", 1)), "true approve");
    let entity = agent("type = \"entity\", entity = \"agent\"") + "\n[entities.agent]\n";
    assert_eq!(client.activate(&entity).status, 201);
    let refused = increment(&client, 2, "other", 1);
    assert_eq!((refused.status, refused.code()), (409, "increment_not_possible"), "{refused:?}");
    assert_eq!(client.get("/v1/payments/2").text("amount"), "1001");
}
