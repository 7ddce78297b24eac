//! A retry never changes or hides anything: `Idempotency-Key` and `If-Match` over a real socket, and across a restart.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, archive, first_start};

fn send(client: &Client, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    client.send(path, &headers, &serde_json::to_vec(body).expect("JSON"))
}

fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> Reply {
    send(client, path, &[("Idempotency-Key", key)], body)
}

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    assert_eq!(keyed(&client, "/v1/ledgers", "open", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let accounts = json!({"accounts": [{"id": "10", "ledger": 1, "code": 1}, {"id": "20", "ledger": 1, "code": 1}]});
    assert_eq!(client.post("/v1/accounts/batch", &accounts).status, 200);
    (data, server, client)
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, field: &str, told: &str) {
    let found = (reply.status, reply.code(), reply.text("field"));
    assert_eq!(found, (status, code, field), "{reply:?}");
    assert!(reply.text("detail").contains(told), "the response contains `{told}`: {reply:?}");
}

fn moved(client: &Client) -> String {
    client.get("/v1/accounts/20").text("credits_posted").to_owned()
}

#[test]
fn a_key_names_one_batch_even_after_a_restart() {
    let (data, mut server, mut client) = start();
    let transfers = |amounts: &[u32]| {
        let one = |amount: &u32| json!({"debit_account": "10", "credit_account": "20", "amount": amount.to_string(), "asset": "USD/2", "code": 1});
        json!({"transfers": amounts.iter().map(one).collect::<Vec<_>>()})
    };
    let batch = |client: &Client, amounts: &[u32]| keyed(client, "/v1/transfers/batch", "payroll", &transfers(amounts));
    let statuses = |reply: &Reply| {
        let results = reply.body["results"].as_array().expect("results").clone();
        results.iter().map(|result| result["status"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&batch(&client, &[100, 100, 100])), ["created"; 3]);
    for _ in 0..2 {
        assert_eq!(statuses(&batch(&client, &[100, 100, 100])), ["exists"; 3]);
        let longer = batch(&client, &[100, 100, 100, 100]);
        refused(&longer, 409, "request_id_reused", "(absent)", "had 3 items, this one has 4");
        refused(&batch(&client, &[100]), 409, "request_id_reused", "(absent)", "had 3 items, this one has 1");
        refused(&batch(&client, &[100, 7, 100]), 409, "request_id_reused", "/transfers/1", "/transfers/1");
        assert_eq!(moved(&client), "300");
        server.kill();
        server = Server::start(data.path());
        client = server.client(&client.key.clone());
    }
}

#[test]
fn a_late_retry_of_a_setting_changes_nothing() {
    let (_data, _server, client) = start();
    let path = "/v1/accounts/10/limits";
    let first = keyed(&client, path, "a", &json!({"min_balance": "-1"}));
    assert_eq!((first.status, first.replayed), (200, false), "{first:?}");
    assert_eq!(keyed(&client, path, "b", &json!({"min_balance": "-2"})).status, 200);
    let late = keyed(&client, path, "a", &json!({"min_balance": "-1"}));
    assert_eq!((late.status, late.replayed), (200, true), "{late:?}");
    assert_eq!(late.body["limits"]["min_balance"], "-2");
    let other = keyed(&client, path, "a", &json!({"min_balance": "-3"}));
    refused(&other, 409, "request_id_reused", "/min_balance", "/min_balance");
    let other = keyed(&client, "/v1/accounts/20/limits", "a", &json!({"min_balance": "-1"}));
    refused(&other, 409, "request_id_reused", "id", "differs in id");
    let metadata = keyed(&client, "/v1/accounts/10/metadata", "a", &json!({"metadata": {"k": 1}}));
    assert_eq!((metadata.status, metadata.replayed), (200, false), "a key counts for one route: {metadata:?}");
}

#[test]
fn a_change_may_name_the_version_that_it_is_based_on() {
    let (_data, _server, client) = start();
    let tag = client.get("/v1/accounts/10").tag.expect("an account has a version");
    let set = |tag: &str, limit: &str| {
        send(&client, "/v1/accounts/10/limits", &[("If-Match", tag)], &json!({"min_balance": limit}))
    };
    let changed = set(&tag, "-1");
    assert_eq!(changed.status, 200, "{changed:?}");
    let now = changed.tag.expect("the new version");
    refused(&set(&tag, "-2"), 412, "precondition_failed", "If-Match", &now);
    assert_eq!(client.get("/v1/accounts/10").tag.as_deref(), Some(now.as_str()));
    assert_eq!(set(&format!("\"other\", {now}"), "-2").status, 200);
    assert_eq!(set("*", "-3").status, 200);
    refused(&set("7", "-4"), 400, "invalid_header", "If-Match", "entity tags");
}

#[test]
fn a_header_that_a_route_would_ignore_is_refused() {
    let (_data, _server, client) = start();
    let address = json!({"address": "a:b"});
    let matched = send(&client, "/v1/accounts/10/address", &[("If-Match", "*")], &address);
    refused(&matched, 400, "invalid_header", "If-Match", "takes no header If-Match");
    let import = keyed(&client, "/v1/imports", "k", &json!({}));
    refused(&import, 400, "invalid_header", "Idempotency-Key", "takes no header Idempotency-Key");
    let packed = [("Content-Type", "application/octet-stream"), ("Idempotency-Key", "k")];
    let packed = client.send("/v1/packed/create-transfers", &packed, b"");
    refused(&packed, 400, "invalid_header", "Idempotency-Key", "takes no header Idempotency-Key");
}

#[test]
fn an_account_and_a_transfer_are_made_again_only_as_they_were_made() {
    let (_data, _server, client) = start();
    let open = |more: Value| {
        let mut body = json!({"id": "30", "ledger": 1, "code": 1, "limits": {"min_balance": "-5"}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client.post("/v1/accounts", &body)
    };
    assert_eq!(open(json!({})).status, 201);
    let limits = json!({"limits": {"min_balance": "-6"}});
    refused(&open(limits.clone()), 409, "exists_with_different_limits", "/limits", "other limits");
    refused(&open(json!({"address": "a:b"})), 409, "exists_with_different_address", "/address", "another address");
    let metadata = json!({"metadata": {"k": 1}});
    refused(&open(metadata), 409, "exists_with_different_metadata", "/metadata", "other metadata");
    assert_eq!(client.post("/v1/accounts/30/limits", &limits["limits"]).status, 200);
    let again = open(json!({}));
    assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
    assert_eq!(again.body["limits"]["min_balance"], "-6");
    assert_eq!(again.text("address"), "(absent)");

    let transfer = |metadata: Value| {
        let mut body = json!({
            "id": "1", "debit_account": "10", "credit_account": "20", "amount": "5", "asset": "USD/2", "code": 1,
        });
        body["metadata"] = metadata;
        client.post("/v1/transfers", &body)
    };
    assert_eq!(transfer(json!({"k": 1})).status, 201);
    refused(&transfer(json!({"k": 2})), 409, "exists_with_different_metadata", "/metadata", "other metadata");
    assert!(transfer(json!({"k": 1})).replayed);
}

#[test]
fn a_late_retry_activates_no_older_policy_and_restores_no_older_label() {
    let (_data, _server, client) = first_start(&[]);
    let newer = WALLET.replacen("name = \"wallet\"", "name = \"newer\"", 1);
    let activate = |policy: &str, key: &str| {
        let headers = [("Content-Type", "application/x-tar"), ("Idempotency-Key", key)];
        client.send("/v1/policies", &headers, &archive(policy))
    };
    assert_eq!(activate(WALLET, "a").status, 201);
    assert_eq!(activate(&newer, "b").status, 201);
    let late = activate(WALLET, "a");
    assert_eq!((late.status, late.replayed, late.text("name")), (200, true, "newer"), "{late:?}");
    assert_eq!(client.get("/v1/policies/active").text("name"), "newer");
    refused(&activate(&newer, "a"), 409, "request_id_reused", "the archive", "the archive");
    assert_eq!(client.pay(1, "top_up", 500, &json!({"customer": "alice"})).status, 201);

    let label = |label: &str, key: &str| keyed(&client, "/v1/labels", key, &json!({"payment": "1", "label": label}));
    let version = client.get("/v1/payments/1").tag.expect("a payment has a version");
    assert_eq!(label("fraud", "a").status, 201);
    let labelled = label("genuine", "b");
    assert_eq!(labelled.status, 201);
    let late = label("fraud", "a");
    assert_eq!((late.status, late.replayed, late.text("label")), (200, true, "genuine"), "{late:?}");
    let stale = send(&client, "/v1/payments/1/metadata", &[("If-Match", &version)], &json!({"metadata": {"k": 1}}));
    refused(&stale, 412, "precondition_failed", "If-Match", &labelled.tag.expect("the version after the label"));
}
