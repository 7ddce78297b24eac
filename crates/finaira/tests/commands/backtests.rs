//! Backtests over the journal of a running server, by its API and from the command line.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, archive, eventually, first_start, payment};
use crate::lists::policy;

const TAR: (&str, &str) = ("Content-Type", "application/x-tar");

/// The wallet with lists and a rule for each, and a rule about known fraud.
fn document() -> String {
    policy()
        + r#"[[rules]]
name = "known_fraud"
when = "features.fraud_rate_30d > 0.0"
then = { score = 1 }
"#
}

fn start(client: &Client, policy: &str, query: &str) -> Reply {
    client.send(&format!("/v1/backtests{query}"), &[TAR], &archive(policy))
}

/// Waits until a backtest has ended.
fn ended(client: &Client, id: &str) -> Value {
    eventually(|| {
        let shown = client.get(&format!("/v1/backtests/{id}"));
        assert_eq!(shown.status, 200, "{shown:?}");
        let is_going_on = ["waiting", "running"].contains(&shown.text("status"));
        (!is_going_on).then_some(shown.body)
    })
}

#[track_caller]
fn result(client: &Client, policy: &str, query: &str) -> Value {
    let started = start(client, policy, query);
    assert_eq!((started.status, started.text("id").is_empty()), (202, false), "{started:?}");
    let ended = ended(client, started.text("id"));
    assert_eq!(ended["status"], "done", "{ended}");
    assert_eq!(ended["progress"]["entries_read"], ended["progress"]["entries_total"], "{ended}");
    ended
}

/// The change with this name: how many payments, and their amount.
fn change(result: &Value, name: &str) -> (u64, String) {
    let changes = result["result"]["changes"].as_array().expect("a list");
    let found = changes.iter().find(|change| change["change"] == name);
    found.map_or((0, "0".to_owned()), |found| {
        (found["payments"].as_u64().unwrap_or_default(), found["amount"].as_str().unwrap_or_default().to_owned())
    })
}

fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().and_then(|list| list.iter().find(|item| item["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// Makes payments of every kind, with labels, a list, verbs and a capture.
fn history(client: &Client) {
    assert_eq!(client.activate(&document()).status, 201);
    let alice = json!({"customer": "alice"});
    client.pay(1, "top_up", 1_000_000, &alice);
    client.pay(2, "card", 100, &alice);
    client.pay(3, "card", 900, &alice);
    client.pay(4, "card", 2_000, &json!({"customer": "alice", "country": "KP"}));
    client.pay(5, "card", 700, &json!({"customer": "alice", "device": "d-1"}));
    client.post("/v1/labels", &json!({"payment": "3", "label": "fraud"}));
    assert_eq!(
        client.post("/v1/lists", &json!({"name": "countries", "holds": "text", "purpose": "block"})).status,
        201
    );
    assert_eq!(client.post("/v1/lists/countries/values", &json!({"values": [{"value": "KP"}]})).status, 200);
    let declined = client.pay(6, "card", 50, &json!({"customer": "alice", "country": "KP"}));
    assert_eq!(declined.text("status"), "declined", "{declined:?}");
    client.pay(7, "transfer", 60_000, &json!({"customer": "alice", "recipient": "bob", "email": "a@example.com"}));
    assert_eq!(client.verb("7", "decline", "k-1").status, 200);
    assert_eq!(client.part(2, "increment", "k-2", &json!({"amount": "10"})).status, 200);
    client.post("/v1/labels", &json!({"payment": "5", "label": "fraud"}));
    client.post("/v1/labels", &json!({"payment": "2", "label": "legitimate"}));
    for id in 8..16 {
        client.pay(id, "card", 10, &alice);
    }
}

/// The other policy: declines cards above 8.00 and approves devices and transfers.
fn other() -> String {
    document()
        .replace(
            "when = \"has(payment.device)\"\nthen = { review = true }",
            "when = \"payment.amount > 800\"\nthen = { decline = true }",
        )
        .replace("payment.amount >= 50000", "payment.amount >= 70000")
}

#[test]
fn another_policy_is_compared_payment_by_payment() {
    let (data, server, client) = first_start(&[]);
    history(&client);

    // The same policy changes nothing, also with features, labels and lists.
    let same = result(&client, &document(), "");
    assert_eq!(same["result"]["payments"], 15, "{same}");
    for none in ["changed", "other_reasons", "other_scores", "payments_differing"] {
        assert_eq!(same["result"][none], 0, "{none} of {same}");
    }
    let velocity = named(&same["result"]["reasons"], "card_velocity");
    assert!(velocity["before"].as_u64() > Some(0) && velocity["before"] == velocity["after"], "{velocity}");

    let found = result(&client, &other(), "?segment=customer");
    let id = found["id"].as_str().expect("an id");
    assert_eq!(change(&found, "approve_to_decline"), (2, "2900".to_owned()), "{found}");
    assert_eq!(change(&found, "review_to_approve"), (2, "60700".to_owned()));
    assert_eq!(found["result"]["changed"], 4);
    assert!(found["result"]["note"].as_str().is_some_and(|note| note.starts_with("History is what happened")));
    let rule = named(&found["result"]["reasons"], "unknown_device");
    assert_eq!(
        (&rule["before"], &rule["after"], &rule["fraud"]),
        (&json!(1), &json!(2), &json!({"before": 1, "after": 1}))
    );
    let labelled = &found["result"]["labelled"][0];
    assert_eq!(labelled["asset"], "EUR/2");
    assert_eq!((&labelled["fraud"]["amount"], &labelled["fraud_gained"]["amount"]), (&json!("1600"), &json!("900")));
    assert_eq!(labelled["fraud_lost"], json!({"payments": 1, "amount": "700"}));
    let card = named(&found["result"]["types"], "card");
    assert_eq!((&card["payments"], &card["changed"]), (&json!(13), &json!(3)));
    assert_eq!(found["result"]["segments"].as_array().map(Vec::len), Some(1), "{found}");

    // The payments behind the numbers.
    let payments = |query: &str| {
        let page = client.get(&format!("/v1/backtests/{id}/payments{query}"));
        assert_eq!(page.status, 200, "{page:?}");
        page.body
    };
    let ids = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .expect("a page")
            .iter()
            .map(|item| item["payment"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let uuid = |number: u32| format!("00000000-0000-0000-0000-{number:012}");
    assert_eq!(ids(&payments("?change=approve_to_decline")), [uuid(3), uuid(4)]);
    assert_eq!(ids(&payments("?change=any&label=fraud")), [uuid(3), uuid(5)]);
    assert_eq!(ids(&payments("?rule=large&type=transfer")), [uuid(7)]);
    assert_eq!(ids(&payments("?day=2001-01-31")), Vec::<String>::new());
    let first = payments("?limit=3");
    let rest = payments(&format!("?limit=3&cursor={}", first["next_cursor"].as_str().expect("a cursor")));
    assert_eq!([ids(&first), ids(&rest)].concat(), [3, 4, 5, 7].map(uuid));
    assert_eq!(rest["next_cursor"], Value::Null);
    let wrong = client.get(&format!("/v1/backtests/{id}/payments?change=approve_to_nothing"));
    assert_eq!((wrong.status, wrong.code()), (400, "invalid_parameter"));

    // A part of the time. Earlier payments still count in windows.
    let decided_at = client.get("/v1/payments/6/decision").text("decided_at").to_owned();
    let later = result(&client, &document(), &format!("?from={decided_at}"));
    assert_eq!((&later["result"]["payments"], &later["result"]["changed"]), (&json!(10), &json!(0)), "{later}");

    // The command line says the same, beside the server and after it.
    let beside = command_line(data.path(), &other());
    for line in
        ["approve to decline         2  13.333 %   29.00 EUR", "review to approve          2  13.333 %  607.00 EUR"]
    {
        assert!(beside.contains(line), "{line} in {beside}");
    }
    let listed = client.get("/v1/backtests").body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3), "{listed}");
    assert_eq!(listed["items"][0].get("result"), None);
    drop(server);
    assert_eq!(without_speed(&command_line(data.path(), &other())), without_speed(&beside));

    // Results are derived and in memory only.
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    let gone = client.get(&format!("/v1/backtests/{id}"));
    assert_eq!((gone.status, gone.code()), (404, "backtest_not_found"));
}

/// Runs the backtest of the command line, and returns what it prints.
fn command_line(data: &Path, policy: &str) -> String {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("policy.toml"), policy).expect("a file");
    let output = folder.path().join("changed.parquet");
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.args(["backtest", "--journal"]).arg(data).arg("--policy").arg(folder.path());
    let done = command.arg("--output").arg(&output).output().expect("the binary runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::metadata(&output).expect("an output").len() > 1_000);
    let printed = String::from_utf8(done.stdout).expect("UTF-8");
    printed.replace(&output.display().to_string(), "FILE")
}

/// All lines but the first, which says how long it took and how many entries there are.
fn without_speed(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

#[test]
fn a_policy_that_cannot_be_backtested_is_refused_like_an_upload_or_by_name() {
    let (_data, _server, client) = first_start(&[]);
    history(&client);
    let broken = document().replace("payment.amount >= 50000", "payment.amoun >= 50000");
    let (tested, uploaded) = (start(&client, &broken, ""), client.activate(&broken));
    assert_eq!((tested.status, tested.code()), (400, "invalid_policy"));
    assert_eq!(tested.body, uploaded.body);
    let personal = document().replace("payment.amount >= 50000", "has(payment.email)");
    let refused = start(&client, &personal, "");
    assert_eq!((refused.status, refused.code()), (422, "policy_not_backtestable"));
    assert!(refused.text("detail").contains("`payment.email`, which is personal"), "{refused:?}");
    let ledger = document().replace("EUR/2", "USD/2");
    assert_eq!(start(&client, &ledger, "").code(), client.activate(&ledger).code());
    for (query, name) in [
        ("?from=yesterday", "from"),
        ("?segment=colour", "segment"),
        ("?from=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z", "until"),
    ] {
        let refused = start(&client, &document(), query);
        assert_eq!((refused.status, refused.text("field")), (400, name), "{refused:?}");
    }
    // What an earlier policy did not record is found out in the journal.
    let newer = document().replace(
        "[payments.top_up.attributes]\n",
        "[payments.top_up.attributes]\nchannel = { type = \"string\", required = false }\n",
    ) + "[[rules]]\nname = \"by_channel\"\nwhen = \"has(payment.channel) && payment.channel == 'x'\"\nthen = { review = true }\npayments = [\"top_up\"]\n";
    let started = start(&client, &newer, "");
    let failed = ended(&client, started.text("id"));
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("policy_not_backtestable")));
    let detail = failed["error"]["detail"].as_str().expect("a detail");
    assert!(detail.contains("`payment.channel`, which is not an attribute of the policy `wallet`"), "{detail}");
    let none = client.get(&format!("/v1/backtests/{}/payments", started.text("id")));
    assert_eq!((none.status, none.code()), (409, "backtest_not_done"));
    assert_eq!(client.get("/v1/backtests/7").code(), "backtest_not_found");
}

/// 6,001 payments, so that a backtest takes a while.
fn many_payments(client: &Client) {
    assert_eq!(client.activate(&document()).status, 201);
    client.pay(1, "top_up", 1_000_000_000, &json!({"customer": "alice"}));
    for batch in 0..6_u128 {
        let payments: Vec<Value> = (0..1_000)
            .map(|number| {
                let id = 100 + batch * 1_000 + number;
                payment(id, "card", 10, &json!({"customer": format!("c-{}", id % 700)}))
            })
            .collect();
        assert_eq!(client.post("/v1/payments/batch", &json!({"payments": payments})).status, 200);
    }
}

#[test]
fn backtests_wait_for_each_other_and_can_be_cancelled() {
    let (_data, _server, client) = first_start(&[]);
    many_payments(&client);
    let started: Vec<Reply> = (0..4).map(|_| start(&client, &document(), "")).collect();
    for reply in &started {
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let fifth = start(&client, &document(), "");
    assert_eq!((fifth.status, fifth.code()), (409, "too_many_backtests"), "{fifth:?}");
    let cancelled = |id: &str| client.post(&format!("/v1/backtests/{id}/cancel"), &json!({})).body["status"].clone();
    // The last one waits, and the first one runs.
    assert_eq!(cancelled(started[3].text("id")), "cancelled");
    assert_eq!(cancelled(started[0].text("id")), "cancelled");
    assert_eq!(ended(&client, started[2].text("id"))["status"], "done");
    let stages: Vec<Value> = started.iter().map(|reply| ended(&client, reply.text("id"))["status"].clone()).collect();
    assert_eq!(stages, ["cancelled", "done", "done", "cancelled"]);
    assert_eq!(cancelled(started[1].text("id")), "done");
    let result = ended(&client, started[1].text("id"));
    assert_eq!((&result["result"]["payments"], &result["result"]["changed"]), (&json!(6_001), &json!(0)));
}

#[test]
fn a_suspension_ends_the_backtests_of_the_tenant() {
    let (_data, server, first) = first_start(&[]);
    let made = first.post("/v1/tenants", &json!({"name": "shop", "mode": "live"}));
    assert_eq!(made.status, 201, "{made:?}");
    let shop = server.client(made.text("key"));
    many_payments(&shop);
    let started: Vec<Reply> = (0..4).map(|_| start(&shop, &document(), "")).collect();
    assert_eq!(first.post("/v1/tenants/2/suspend", &json!({})).status, 200);
    // Resumed, so that it can be asked.
    assert_eq!(first.post("/v1/tenants/2/resume", &json!({})).status, 200);
    let last = shop.get(&format!("/v1/backtests/{}", started[3].text("id")));
    assert_eq!(last.text("status"), "cancelled", "{last:?}");
    // Who may not see payments sees no values of them.
    let key = json!({"name": "b", "new_principal": {"kind": "service", "name": "b"}, "scopes": ["policies:write", "policies:read"]});
    let made = shop.post("/v1/api-keys", &key);
    let analyst = server.client(made.text("key"));
    let refused = start(&analyst, &document(), "?segment=customer");
    assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"), "{refused:?}");
    assert_eq!(start(&analyst, &document(), "").status, 202);
}
