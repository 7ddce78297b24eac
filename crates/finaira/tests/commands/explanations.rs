//! The explanation of a decision, at once, after a restart, and when another policy is active.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, first_start};

/// Gradient boosted trees over six columns, with covers and the names `c0` to `c5`.
const TREES: &[u8] = include_bytes!("../../../policy/testdata/onnx/explained/xgboost.onnx");

/// Six columns without names, and without covers.
const BARE: &[u8] = include_bytes!("../../../policy/testdata/onnx/lightgbm_plain.onnx");

/// What the policy has besides the wallet. The second model has no covers.
const MODELS: &str = r#"
[reasons.high_amount]
text = "The amount is unusually high"
[reasons.many_payments]
text = "The card was used unusually often"
[reasons.new_device]
text = "The device was not used before"

[models.fraud]
file = "models/fraud.onnx"
payments = ["card"]
[models.fraud.inputs]
c0 = "double(payment.amount) / 1000.0 - 1.0"
c1 = "double(features.cards_1h) / 2.0 - 1.0"
c2 = "0.0 / 0.0"
c3 = "double(features.spent_1d) / 5000.0"
c4 = "has(payment.device)"
c5 = "features.cards_1h"
[models.fraud.reasons]
c0 = "high_amount"
c1 = "many_payments"
"features.cards_1h" = "many_payments"
c4 = "new_device"

[models.bare]
file = "models/bare.onnx"
payments = ["card"]
inputs = ["payment.amount", "features.cards_1h", "0", "0", "0", "0"]

[models.sealed]
file = "models/fraud.onnx"
payments = ["transfer"]
inputs = ["size(payment.email)", "0", "0", "0", "0", "0"]

"#;

/// Rules of which each reads something else.
const RULES: &str = r#"[[rules]]
name = "often"
when = "features.cards_1h > 2"
then = { score = 10 }
payments = ["card"]
reason = "many_payments"
[[rules]]
name = "divided"
when = "payment.amount / (features.cards_1h - 1) > 5"
then = { review = true }
payments = ["card"]
[[rules]]
name = "known_device"
when = "payment.device == 'd-1'"
then = { score = 20 }
payments = ["card"]
[[rules]]
name = "known_device_of_a_large_payment"
when = "payment.amount > 900 && payment.device == 'd-1'"
then = { tag = "known" }
payments = ["card"]
[[rules]]
name = "has_email"
when = "has(payment.email)"
then = { tag = "email" }
payments = ["transfer"]

[decision]"#;

fn policy(name: &str) -> Vec<u8> {
    let rules = "name = \"unknown_device\"\nwhen = \"has(payment.device)\"\nthen = { review = true }";
    let harmless = "name = \"with_device\"\nwhen = \"has(payment.device)\"\nthen = { score = 1 }";
    let text = WALLET.replace(rules, harmless).replace("[decision]", RULES);
    let text = text.replacen("[[rules]]", &format!("{MODELS}[[rules]]"), 1);
    let text = text.replace("name = \"wallet\"", &format!("name = \"{name}\""));
    let mut archive = tar::Builder::new(Vec::new());
    let files = [("policy.toml", text.as_bytes()), ("models/fraud.onnx", TREES), ("models/bare.onnx", BARE)];
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).expect("writing to memory succeeds");
    }
    archive.into_inner().expect("writing to memory succeeds")
}

fn activate(client: &Client, name: &str) -> Reply {
    client.send("/v1/policies", &[("Content-Type", "application/x-tar")], &policy(name))
}

fn explanation(client: &Client, payment: u128) -> Value {
    let reply = client.get(&format!("/v1/payments/{payment}/explanation"));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().and_then(|list| list.iter().find(|item| item["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Checks everything that does not depend on the payment: sums, order, and that the rules agree with the decision.
#[track_caller]
fn check(client: &Client, payment: u128) -> Value {
    let (explained, decision) =
        (explanation(client, payment), client.get(&format!("/v1/payments/{payment}/decision")).body);
    for same in
        ["payment", "verdict", "score", "reasons", "tags", "features", "decided_at", "occurred_at", "late", "sequence"]
    {
        assert_eq!(without_descriptions(&explained[same]), without_descriptions(&decision[same]), "{same}");
    }
    assert_eq!(explained["policy"], decision["policy"]);
    assert_eq!(explained.get("policy_unavailable"), None, "{explained}");
    for model in explained["models"].as_array().expect("a list") {
        let decided = named(&decision["models"], model["name"].as_str().expect("a name"));
        assert_eq!(model["probability"], decided["probability"]);
        let Some(inputs) = model["inputs"].as_array() else {
            assert!(model["not_explained"]["code"].is_string(), "{model}");
            continue;
        };
        let contributions: Vec<f64> = inputs.iter().map(|input| number(&input["contribution"])).collect();
        assert!(contributions.is_sorted_by(|a, b| a.abs() >= b.abs()), "{contributions:?}");
        let (sum, margin) = (number(&model["expected"]) + contributions.iter().sum::<f64>(), number(&model["margin"]));
        assert!((sum - margin).abs() < 1e-9, "{sum} is not {margin}");
        let of_margin = 1.0 / (1.0 + (-margin).exp());
        assert!((of_margin - number(&model["probability"])).abs() < 1e-6, "{model}");
        for input in inputs {
            assert!(input["reason"].is_null() || number(&input["contribution"]) > 0.0, "{input}");
        }
    }
    let reasons = decision["reasons"].as_array().expect("a list");
    for rule in explained["rules"].as_array().expect("a list") {
        let is_reason = reasons.iter().any(|reason| reason["code"] == rule["name"]);
        if rule["effect"] != "tag" {
            assert_eq!(rule["outcome"] == "held", is_reason, "{rule}");
        }
        assert_ne!(rule["why"]["code"], "not_reproduced", "{rule}");
    }
    explained
}

/// Reasons without the descriptions of their rules, which a decision has only while its policy is active.
fn without_descriptions(value: &Value) -> Value {
    let mut value = value.clone();
    for item in value.as_array_mut().into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.remove("description");
        }
    }
    value
}

/// The outcomes of rules, in order.
fn outcomes(explained: &Value) -> Vec<String> {
    let rules = explained["rules"].as_array().expect("a list");
    let text = |rule: &Value| {
        let why = rule["why"]["code"].as_str().map(|code| format!(" ({code})")).unwrap_or_default();
        format!("{} {}{why}", rule["name"].as_str().unwrap_or_default(), rule["outcome"].as_str().unwrap_or_default())
    };
    rules.iter().map(text).collect()
}

#[test]
fn a_decision_is_explained_at_once_after_a_restart_and_under_another_policy() {
    let (data, server, client) = first_start(&[]);
    let activated = activate(&client, "first");
    assert_eq!(activated.status, 201, "{activated:?}");
    client.pay(1, "top_up", 500_000, &json!({"customer": "alice"}));
    client.pay(2, "card", 700, &json!({"customer": "alice"}));
    client.pay(3, "card", 800, &json!({"customer": "alice", "device": "d-1"}));
    client.pay(4, "card", 1900, &json!({"customer": "alice", "device": "d-2"}));
    client.pay(5, "transfer", 100, &json!({"customer": "alice", "recipient": "bob", "email": "a@example.com"}));

    let first = check(&client, 2);
    assert_eq!(first["policy"]["name"], "first");
    assert_eq!((&first["type"], &first["thresholds"]["decline_at"]), (&json!("card"), &json!(900)));
    assert_eq!(
        outcomes(&first),
        [
            "card_velocity not_held",
            "daily_limit not_held",
            "with_device not_held",
            "often not_held",
            "divided no_value (division_by_zero)",
            "known_device no_value (missing)",
            "known_device_of_a_large_payment not_held",
        ]
    );
    // Whether the payment has a device is not sealed, only which one.
    let second = check(&client, 3);
    assert_eq!(
        outcomes(&second)[2..],
        [
            "with_device held",
            "often not_held",
            "divided held",
            "known_device held (sealed_attribute)",
            "known_device_of_a_large_payment not_held",
        ]
    );
    let third = check(&client, 4);
    assert_eq!(
        outcomes(&third)[2..],
        [
            "with_device held",
            "often held",
            "divided held",
            "known_device not_evaluated (sealed_attribute)",
            "known_device_of_a_large_payment not_evaluated (sealed_attribute)",
        ]
    );
    assert_eq!(named(&third["rules"], "often")["reason"]["code"], "many_payments");
    let model = named(&third["models"], "fraud");
    assert_eq!(model["digest"], types::Digest::of(TREES).to_string());
    let inputs = model["inputs"].as_array().expect("a list");
    let of_column = |column: &str| inputs.iter().find(|input| input["column"] == column).expect("a column");
    assert_eq!(of_column("c5")["expression"], "features.cards_1h");
    assert_eq!((&of_column("c5")["value"], &of_column("c2")["value"]), (&json!(3.0), &Value::Null));
    assert_eq!(named(&third["models"], "bare")["not_explained"]["code"], "no_covers", "{third}");
    let raised: Vec<&Value> = inputs.iter().filter(|input| number(&input["contribution"]) > 0.0).collect();
    assert!(!raised.is_empty(), "{inputs:?}");
    for input in raised {
        let expected = match input["column"].as_str() {
            Some("c0") => json!({"code": "high_amount", "text": "The amount is unusually high"}),
            Some("c1" | "c5") => json!({"code": "many_payments", "text": "The card was used unusually often"}),
            Some("c4") => json!({"code": "new_device", "text": "The device was not used before"}),
            _ => Value::Null,
        };
        assert_eq!(input["reason"], expected, "{input}");
    }
    let transfer = check(&client, 5);
    assert_eq!(outcomes(&transfer), ["large not_held", "has_email not_evaluated (sealed_attribute)"]);
    assert_eq!(named(&transfer["models"], "sealed")["not_explained"]["code"], "sealed_attribute");
    assert!(!transfer.to_string().contains("example.com"), "{transfer}");
    assert_eq!(client.get("/v1/payments/99/explanation").code(), "payment_not_found");

    drop(server);
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    let before = [first, second, third, transfer];
    let again = |client: &Client| [2, 3, 4, 5].map(|payment| check(client, payment));
    assert_eq!(again(&client), before);

    assert_eq!(activate(&client, "second").status, 201);
    client.pay(6, "card", 700, &json!({"customer": "alice"}));
    assert_eq!(again(&client), before);
    assert_eq!(check(&client, 6)["policy"]["name"], "second");
    // The first policy is stored and active again, with another sequence.
    assert_eq!(activate(&client, "first").status, 201);
    assert_eq!(again(&client), before);

    drop(server);
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    assert_eq!(again(&client), before);
    assert_eq!(check(&client, 6)["policy"]["name"], "second");
}
