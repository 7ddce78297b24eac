//! Orders for accounts and transfers, one by one and in batches, with and without dry runs.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, first_start};

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 2, "asset": "EUR/2"})).status, 201);
    let limited = json!(["debits_must_not_exceed_credits"]);
    let accounts = json!({"accounts": [
        {"id": "10", "ledger": 1, "code": 7},
        {"id": "20", "ledger": 1, "code": 8, "flags": limited, "user_data_64": "5"},
        {"id": "30", "ledger": 1, "code": 8, "flags": limited},
    ]});
    assert_eq!(statuses(&client.post("/v1/accounts/batch", &accounts)), ["created", "created", "created"]);
    (data, server, client)
}

fn transfer(id: u32, debit: u32, credit: u32, amount: u32) -> Value {
    json!({
        "id": id.to_string(), "debit_account": debit.to_string(), "credit_account": credit.to_string(),
        "amount": amount.to_string(), "asset": "USD/2", "code": 1,
    })
}

/// The statuses in the results of a batch.
#[track_caller]
fn statuses(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let results = reply.body["results"].as_array().expect("a batch has results");
    results.iter().map(|result| result["status"].as_str().expect("a result has a status")).collect()
}

/// The number of entries in the journal, counted with the event feed.
fn events(client: &Client) -> usize {
    client.get("/v1/events?limit=1000").body["items"].as_array().expect("a page").len()
}

#[test]
fn every_order_of_a_batch_gets_its_own_result() {
    let (_data, _server, client) = start();
    let mut other_asset = transfer(103, 10, 20, 1);
    other_asset["asset"] = json!("EUR/2");
    let batch = json!({"transfers": [
        transfer(100, 10, 20, 500), transfer(101, 20, 30, 501), transfer(102, 20, 30, 200),
        transfer(100, 10, 20, 500), other_asset,
    ]});
    let reply = client.post("/v1/transfers/batch", &batch);
    assert_eq!(statuses(&reply), ["created", "exceeds_credits", "created", "exists", "asset_mismatch"]);
    let result = |place: usize| &reply.body["results"][place];
    assert_eq!(result(0)["transfer"]["credit_balances"]["credits_posted"], "500");
    assert_eq!(result(0)["timestamp"], result(3)["timestamp"]);
    assert_eq!(
        result(2)["transfer"]["debit_balances"]["debits_posted"],
        "200",
        "an order sees the effects of earlier ones"
    );
    assert_eq!(result(1)["number"], 54);
    assert_eq!(result(1)["title"], "the debits of the debit account would exceed its posted credits");
    assert!(result(1)["detail"].as_str().is_some_and(|detail| detail.contains("500 left, 501 requested")), "{reply:?}");
    assert_eq!(
        (&result(4)["field"], &result(4)["detail"]),
        (&json!("/asset"), &json!("found EUR/2, but ledger 1 has the asset USD/2"))
    );
    assert_eq!(client.get("/v1/accounts/20").body["debits_posted"], "200");
    let again = client.post("/v1/transfers/batch", &batch);
    assert_eq!(statuses(&again), ["exists", "id_already_failed", "exists", "exists", "asset_mismatch"]);
}

#[test]
fn an_atomic_batch_succeeds_completely_or_not_at_all() {
    let (_data, _server, client) = start();
    let atomic = |transfers: &[Value]| {
        let batch = json!({"atomic": true, "transfers": transfers});
        let tried = client.post("/v1/transfers/batch?dry_run=true", &batch);
        let made = client.post("/v1/transfers/batch", &batch);
        assert_eq!(statuses(&tried), statuses(&made), "a dry run predicts the result");
        made
    };
    let before = events(&client);
    let failed = atomic(&[transfer(100, 10, 20, 500), transfer(101, 20, 30, 501), transfer(102, 10, 30, 1)]);
    assert_eq!(statuses(&failed), ["linked_event_failed", "exceeds_credits", "linked_event_failed"]);
    assert_eq!(events(&client), before + 1, "only the id that caused the failure is spent");
    assert_eq!(client.get("/v1/accounts/20").body["credits_posted"], "0");

    let made = atomic(&[transfer(100, 10, 20, 500), transfer(103, 20, 30, 400)]);
    assert_eq!(statuses(&made), ["created", "created"]);
    assert_eq!(
        made.body["results"][0]["transfer"]["credit_balances"]["debits_posted"], "0",
        "the balance at that moment"
    );
    assert_eq!(made.body["results"][1]["transfer"]["debit_balances"]["debits_posted"], "400");

    let mut in_euros = transfer(105, 10, 20, 1);
    in_euros["asset"] = json!("EUR/2");
    assert_eq!(statuses(&atomic(&[transfer(104, 10, 20, 1), in_euros])), ["linked_event_failed", "asset_mismatch"]);
    let mut linked = transfer(106, 10, 20, 1);
    linked["flags"] = json!(["linked"]);
    let open = client.post("/v1/transfers", &linked);
    assert_eq!((open.status, open.code()), (422, "linked_event_chain_open"));
}

#[test]
fn imported_events_keep_their_original_time() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let account = |id: &str, year: &str| json!({"id": id, "ledger": 1, "code": 1, "flags": ["imported"], "timestamp": format!("{year}-01-01T00:00:00Z")});
    let accounts = json!({"accounts": [account("40", "2001"), account("50", "2002"), account("60", "1999")]});
    let opened = client.post("/v1/accounts/batch", &accounts);
    assert_eq!(statuses(&opened), ["created", "created", "imported_event_timestamp_must_not_regress"]);
    assert_eq!(opened.body["results"][0]["account"]["opened_at"], "2001-01-01T00:00:00Z");
    let mut moved = transfer(100, 40, 50, 7);
    moved["flags"] = json!(["imported"]);
    moved["timestamp"] = json!("2003-05-06T07:08:09Z");
    let made = client.post("/v1/transfers", &moved);
    assert_eq!((made.status, made.text("created_at")), (201, "2003-05-06T07:08:09Z"), "{made:?}");
    let mixed = client.post("/v1/transfers/batch", &json!({"transfers": [moved, transfer(101, 40, 50, 7)]}));
    assert_eq!(statuses(&mixed), ["exists", "imported_event_expected"]);
    let mut timed = transfer(102, 40, 50, 7);
    timed["timestamp"] = json!("2003-05-06T07:08:09Z");
    assert_eq!(client.post("/v1/transfers", &timed).code(), "timestamp_must_be_zero");
    timed["timestamp"] = json!("yesterday");
    assert_eq!(client.post("/v1/transfers", &timed).body["field"], "/timestamp");
}

#[test]
fn a_dry_run_changes_nothing() {
    let (_data, _server, client) = start();
    let before = events(&client);
    let account = client.post("/v1/accounts?dry_run=true", &json!({"id": "40", "ledger": 1, "code": 1}));
    assert_eq!((account.status, &account.body["dry_run"], &account.body["code"]), (200, &json!(true), &json!(1)));
    let made = client.post("/v1/transfers?dry_run=true", &transfer(100, 10, 20, 500));
    assert_eq!((made.status, &made.body["dry_run"]), (200, &json!(true)), "{made:?}");
    assert_eq!(made.body["credit_balances"]["credits_posted"], "500", "balances are those after the transfer");
    let refused = client.post("/v1/transfers?dry_run=true", &transfer(100, 20, 10, 1));
    assert_eq!((refused.status, refused.code()), (422, "exceeds_credits"));
    let batch =
        json!({"transfers": [transfer(100, 10, 20, 500), transfer(101, 20, 30, 500), transfer(102, 20, 30, 1)]});
    let judged = client.post("/v1/transfers/batch?dry_run=true", &batch);
    assert_eq!(statuses(&judged), ["created", "created", "exceeds_credits"]);
    assert_eq!(judged.body["dry_run"], true);

    assert_eq!(events(&client), before, "a dry run leaves no entry");
    assert_eq!((client.get("/v1/accounts/40").status, client.get("/v1/transfers/100").status), (404, 404));
    // A dry run does not even spend the id: an order that was refused in a dry run can still be created.
    assert_eq!(client.post("/v1/transfers", &transfer(100, 10, 20, 500)).status, 201);
    let bad = client.post("/v1/transfers?dry_run=yes", &transfer(100, 10, 20, 500));
    assert_eq!(
        (bad.status, bad.code(), bad.text("detail")),
        (400, "invalid_parameter", "found `yes`, expected true or false")
    );
}

#[test]
fn a_payment_can_be_tried() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    let pay = |path: &str, id: u128, kind: &str, amount: u64, who: &Value| {
        client.post(path, &crate::harness::payment(id, kind, amount, who))
    };
    let before = events(&client);
    let tried = pay("/v1/payments?dry_run=true", 1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert_eq!(
        (tried.status, tried.text("status"), &tried.body["dry_run"]),
        (200, "posted", &json!(true)),
        "{tried:?}"
    );
    let refused = pay("/v1/payments?dry_run=true", 2, "card", 5_000, &json!({"customer": "bob"}));
    assert_eq!((refused.status, refused.text("status")), (200, "refused"), "{refused:?}");
    assert_eq!(events(&client), before);
    assert_eq!(client.get("/v1/payments/1").status, 404);

    assert_eq!(pay("/v1/payments", 1, "top_up", 5_000, &json!({"customer": "alice"})).status, 201);
    let tried = client.send("/v1/payments/1/refund?dry_run=true", &[("Idempotency-Key", "k")], b"");
    assert_eq!((tried.status, tried.text("status")), (200, "refunded"), "{tried:?}");
    assert_eq!(client.get("/v1/payments/1").text("status"), "posted");
}

#[test]
fn a_transfer_is_reversed_once() {
    let (_data, _server, client) = start();
    assert_eq!(client.post("/v1/transfers", &transfer(100, 10, 20, 500)).status, 201);
    let reverse = |path: &str| client.send(path, &[], b"");
    let first = reverse("/v1/transfers/100/reverse");
    assert_eq!((first.status, first.text("amount")), (201, "500"), "{first:?}");
    assert_eq!(first.body["debit_balances"]["debits_posted"], "500");
    let again = reverse("/v1/transfers/100/reverse");
    assert_eq!((again.status, again.replayed, again.text("id")), (200, true, first.text("id")));
    assert_eq!(client.get("/v1/accounts/20").body["debits_posted"], "500");

    // The reversal fails while the money is spent. Once it is back, the same request succeeds.
    let batch = json!({"transfers": [transfer(101, 10, 20, 50), transfer(102, 20, 30, 50)]});
    assert_eq!(statuses(&client.post("/v1/transfers/batch", &batch)), ["created", "created"]);
    assert_eq!(reverse("/v1/transfers/101/reverse").code(), "exceeds_credits");
    assert_eq!(reverse("/v1/transfers/102/reverse?dry_run=true").status, 200);
    assert_eq!(reverse("/v1/transfers/102/reverse").status, 201);
    assert_eq!(reverse("/v1/transfers/101/reverse").status, 201);

    let mut pending = transfer(103, 10, 20, 5);
    pending["flags"] = json!(["pending"]);
    assert_eq!(client.post("/v1/transfers", &pending).status, 201);
    let refused = reverse("/v1/transfers/103/reverse");
    assert_eq!((refused.status, refused.code()), (409, "transfer_not_reversible"));
    let post = json!({"id": "104", "pending_id": "103", "amount": "max", "flags": ["post_pending_transfer"]});
    assert_eq!(client.post("/v1/transfers", &post).status, 201);
    assert_eq!(reverse("/v1/transfers/104/reverse").text("amount"), "5");
    assert_eq!(reverse("/v1/transfers/999/reverse").code(), "transfer_not_found");
}

#[test]
fn accounts_are_found_by_the_fields_that_the_client_set() {
    let (_data, _server, client) = start();
    let found = |query: &str| {
        let reply = client.get(&format!("/v1/accounts?{query}"));
        assert_eq!(reply.status, 200, "{reply:?}");
        let items = reply.body["items"].as_array().expect("a page").clone();
        items.iter().map(|item| item["id"].as_str().map_or(String::new(), |id| id[34..].to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(found("code=8"), ["14", "1e"]);
    assert_eq!(found("code=8&user_data_64=5"), ["14"]);
    assert_eq!(found("ledger=2"), [""; 0]);
    assert_eq!(found("ledger=1&code=8&limit=1"), ["14"]);
    let first = client.get("/v1/accounts?code=8&limit=1");
    let next = first.text("next_cursor");
    assert_eq!(found(&format!("code=8&limit=1&cursor={next}")), ["1e"]);
    let bad = client.get("/v1/accounts?user_data_64=0");
    assert_eq!((bad.status, bad.code()), (400, "invalid_parameter"));
}

#[test]
fn an_account_whose_address_or_metadata_is_refused_is_not_opened() {
    let (_data, _server, client) = start();
    let account = |id: u32, address: &str| json!({"id": id.to_string(), "ledger": 1, "code": 7, "address": address});
    assert_eq!(client.post("/v1/accounts", &account(40, "shops:s1")).status, 201);
    let before = events(&client);
    let refused = client.post("/v1/accounts", &account(41, "shops:s1"));
    assert_eq!((refused.status, refused.code()), (409, "address_already_taken"), "{refused:?}");
    let batch = json!({"accounts": [account(41, "shops:s1"), account(42, "shops:s2"), account(43, "shops:s2")]});
    let reply = client.post("/v1/accounts/batch", &batch);
    assert_eq!(statuses(&reply), ["address_already_taken", "created", "address_already_taken"]);
    for id in [41, 43] {
        assert_eq!(client.get(&format!("/v1/accounts/{id}")).status, 404, "account {id}");
    }
    assert_eq!(client.get("/v1/accounts/shops:s2").body["id"], client.get("/v1/accounts/42").body["id"]);
    assert_eq!(events(&client), before + 2, "there is one entry for the account and one for its address");
}
