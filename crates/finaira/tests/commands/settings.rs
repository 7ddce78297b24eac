//! Addresses, metadata, limits and scheduled transfers.

use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, eventually, first_start};

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let accounts = json!({"accounts": [
        {"id": "10", "ledger": 1, "code": 1, "address": "world"},
        {"id": "20", "ledger": 1, "code": 2, "address": "customers:c42:wallet", "metadata": {"tier": "gold", "born": 1999}},
        {"id": "30", "ledger": 1, "code": 2, "address": "customers:c42:savings", "limits": {"min_balance": "-50"}},
        {"id": "40", "ledger": 1, "code": 2},
    ]});
    let opened = client.post("/v1/accounts/batch", &accounts);
    let results = opened.body["results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["status"] == "created"), "{opened:?}");
    (data, server, client)
}

fn transfer(id: u32, debit: &str, credit: &str, amount: u32) -> Value {
    json!({
        "id": id.to_string(), "debit_account": debit, "credit_account": credit,
        "amount": amount.to_string(), "asset": "USD/2", "code": 1,
    })
}

#[track_caller]
fn expect(reply: &Reply, status: u16, code: &str, told: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    assert!(reply.body.to_string().contains(told), "the response contains `{told}`: {reply:?}");
}

#[track_caller]
fn codes(client: &Client, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("/v1/accounts?{query}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["items"].as_array().expect("a page").iter().map(|item| item["address"].clone()).collect()
}

#[test]
fn an_address_can_replace_an_id_everywhere() {
    let (_data, _server, client) = start();
    let made = client.post("/v1/transfers", &transfer(1, "world", "customers:c42:wallet", 500));
    assert_eq!(made.status, 201, "{made:?}");
    let account = client.get("/v1/accounts/customers:c42:wallet");
    assert_eq!((account.text("credits_posted"), account.text("address")), ("500", "customers:c42:wallet"));
    let set = |address: &str| client.post("/v1/accounts/40/address", &json!({"address": address}));
    expect(&set("customers:c42:wallet"), 409, "address_already_taken", "");
    expect(&set("not an address"), 400, "invalid_field", "segments");
    expect(&set("77"), 400, "invalid_field", "can be read as an id");
    expect(&set("0"), 400, "invalid_field", "can be read as an id");
    expect(&client.get("/v1/accounts/0"), 400, "invalid_parameter", "\"id\"");
    expect(&client.get("/v1/transfers?account=0"), 400, "invalid_parameter", "\"account\"");
    assert_eq!(set("customers:c43").text("address"), "customers:c43");
    assert!(set("customers:c43").replayed);
    expect(&set("customers:c44"), 409, "address_must_not_change", "");
    expect(&client.get("/v1/accounts/nobody"), 404, "address_not_found", "nobody");
    expect(&client.post("/v1/transfers", &transfer(2, "world", "nobody", 1)), 404, "address_not_found", "nobody");
    expect(&client.post("/v1/transfers", &transfer(2, "wor ld", "nobody", 1)), 400, "invalid_field", "wor ld");
    assert_eq!(codes(&client, "address_prefix=customers:c42").len(), 2);
    assert_eq!(codes(&client, "address_prefix=customers&limit=1"), ["customers:c42:savings"]);
    let next = client.get("/v1/accounts?address_prefix=customers&limit=1");
    let rest = codes(&client, &format!("address_prefix=customers&cursor={}", next.text("next_cursor")));
    assert_eq!(rest, ["customers:c42:wallet", "customers:c43"]);
    let sums = client.get("/v1/balances?ledger=1&address_prefix=customers");
    assert_eq!((sums.text("balance"), &sums.body["accounts"]), ("500", &json!(3)));
    expect(&client.get("/v1/balances?ledger=1"), 400, "invalid_parameter", "address_prefix");
    expect(&client.get("/v1/balances?ledger=9&address_prefix=a"), 404, "ledger_not_found", "9");
}

#[test]
fn metadata_is_changed_and_found() {
    let (_data, _server, client) = start();
    assert_eq!(codes(&client, "metadata.tier=%22gold%22"), ["customers:c42:wallet"]);
    assert_eq!(codes(&client, "metadata.tier=%22gold%22&metadata.born=1998"), [""; 0]);
    expect(&client.get("/v1/accounts?metadata.tier=gold"), 400, "invalid_parameter", "with its quotes");
    let changed =
        client.post("/v1/accounts/20/metadata", &json!({"metadata": {"tier": null, "tags": [1, {"b": 2, "a": 1}]}}));
    assert_eq!(changed.body["metadata"], json!({"born": 1999, "tags": [1, {"a": 1, "b": 2}]}));
    assert_eq!(codes(&client, "metadata.tier=%22gold%22"), [""; 0]);
    let long = json!({"metadata": {"note": "x".repeat(1_100)}});
    expect(&client.post("/v1/accounts/20/metadata", &long), 400, "invalid_field", "1024");
    expect(&client.post("/v1/accounts/20/metadata", &json!({"metadata": [1]})), 400, "invalid_field", "an array");
    expect(&client.post("/v1/accounts/99/metadata", &json!({"metadata": {"a": 1}})), 404, "account_not_found", "");

    let mut order = transfer(1, "10", "20", 5);
    order["metadata"] = json!({"invoice": "A-17"});
    let made = client.post("/v1/transfers", &order);
    assert_eq!((made.status, &made.body["metadata"]["invoice"]), (201, &json!("A-17")), "{made:?}");
    let changed = client.post("/v1/transfers/1/metadata", &json!({"metadata": {"paid": true}}));
    assert_eq!(changed.body["metadata"], json!({"invoice": "A-17", "paid": true}));
    assert_eq!(client.get("/v1/transfers/1").body["metadata"]["paid"], true);
    expect(&client.post("/v1/transfers/9/metadata", &json!({"metadata": {"a": 1}})), 404, "transfer_not_found", "");
    expect(&client.post("/v1/payments/9/metadata", &json!({"metadata": {"a": 1}})), 404, "payment_not_found", "");
}

#[test]
fn limits_apply_until_they_are_changed() {
    let (_data, _server, client) = start();
    assert_eq!(client.post("/v1/transfers", &transfer(1, "30", "10", 50)).status, 201);
    expect(&client.post("/v1/transfers", &transfer(2, "30", "10", 1)), 422, "exceeds_min_balance", "");
    let limits = |body: Value| client.post("/v1/accounts/customers:c42:savings/limits", &body);
    let changed = limits(json!({"min_balance": "-60", "max_balance": "10"}));
    assert_eq!(changed.body["limits"], json!({"min_balance": "-60", "max_balance": "10"}), "{changed:?}");
    assert_eq!(client.post("/v1/transfers", &transfer(3, "30", "10", 10)).status, 201);
    expect(&client.post("/v1/transfers", &transfer(4, "10", "30", 71)), 422, "exceeds_max_balance", "");
    expect(&limits(json!({"min_balance": "5", "max_balance": "4"})), 422, "min_balance_exceeds_max_balance", "");
    expect(&limits(json!({"min_balance": 5})), 400, "invalid_field", "/min_balance");
    expect(&limits(json!({"min_balance": "5.0"})), 400, "invalid_field", "5.0");
    assert_eq!(limits(json!({})).body.get("limits"), None);
}

#[test]
fn a_scheduled_transfer_fires_once_or_is_cancelled() {
    let (_data, _server, client) = start();
    let scheduled = |id: u32, debit: &str, at: &str| {
        let mut order = transfer(id, debit, "20", 7);
        order["scheduled_at"] = json!(at);
        client.post("/v1/transfers", &order)
    };
    let now = client.get("/v1/events?limit=1000").body["items"].as_array().expect("a page").last().expect("an event")["decided_at"].clone();
    expect(&scheduled(1, "10", now.as_str().expect("a time")), 422, "scheduled_time_must_be_later", "");
    expect(&scheduled(1, "10", "soon"), 400, "invalid_field", "/scheduled_at");
    let waits = scheduled(1, "10", "2200-01-01T00:00:00Z");
    assert_eq!(
        (waits.status, waits.text("state"), waits.text("scheduled_at")),
        (201, "scheduled", "2200-01-01T00:00:00Z")
    );
    let again = scheduled(1, "10", "2200-01-01T00:00:00Z");
    assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
    expect(&scheduled(1, "10", "2201-01-01T00:00:00Z"), 409, "id_already_scheduled", "");
    assert_eq!(client.get("/v1/transfers/1").text("state"), "scheduled");
    assert_eq!(scheduled(2, "10", "2199-01-01T00:00:00Z").status, 201);
    let page = client.get("/v1/transfers/scheduled?limit=1");
    assert_eq!(page.body["items"][0]["scheduled_at"], "2199-01-01T00:00:00Z");
    let rest = client.get(&format!("/v1/transfers/scheduled?cursor={}", page.text("next_cursor")));
    assert_eq!(rest.body["items"].as_array().map(Vec::len), Some(1), "{rest:?}");
    let cancelled = client.send("/v1/transfers/1/cancel", &[], b"");
    assert_eq!((cancelled.status, cancelled.text("state")), (200, "cancelled"), "{cancelled:?}");
    let again = client.send("/v1/transfers/1/cancel", &[], b"");
    assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
    expect(&client.send("/v1/transfers/9/cancel", &[], b""), 404, "scheduled_transfer_not_found", "");

    let at = soon(now.as_str().expect("a time"));
    assert_eq!(scheduled(3, "10", &at).status, 201);
    assert_eq!(scheduled(4, "30", &at).status, 201);
    let made =
        eventually(|| Some(client.get("/v1/transfers/3")).filter(|reply| reply.body.get("created_at").is_some()));
    assert_eq!((made.text("amount"), client.get("/v1/accounts/20").text("credits_posted")), ("7", "14"));
    expect(&client.send("/v1/transfers/3/cancel", &[], b""), 409, "transfer_not_cancellable", "");
}

/// Two seconds after a time that this process measured.
fn soon(now: &str) -> String {
    let at: types::Timestamp = now.parse().expect("a time");
    at.saturating_add(types::Span::from_secs(2)).to_string()
}

#[test]
fn the_indexes_of_a_ledger_are_chosen_by_name() {
    let (_data, _server, client) = start();
    let choose = |fields: Value| client.post("/v1/ledgers/1/indexes", &json!({"fields": fields}));
    assert_eq!(choose(json!(["code", "user_data_64"])).body["fields"], json!(["user_data_64", "code"]));
    assert!(choose(json!(["code", "user_data_64"])).replayed);
    expect(&choose(json!(["colour"])), 400, "invalid_field", "user_data_128");
    expect(&client.post("/v1/ledgers/7/indexes", &json!({"fields": []})), 404, "ledger_not_found", "");
}
