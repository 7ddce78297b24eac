//! Tenants share nothing: each has its own journal, keys and policy, and no credential of one reaches another.

mod across;
mod admin;
mod crashes;
mod many;
mod open;
mod whole;

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Client, Server, eventually, finaira, first_start};

/// A tenant, and a client with its first API key.
pub(crate) struct Tenant {
    pub(crate) id: u64,
    pub(crate) key: String,
}

/// Creates a tenant.
#[track_caller]
pub(crate) fn create(first: &Client, body: &Value) -> Tenant {
    let reply = first.post("/v1/tenants", body);
    assert_eq!(reply.status, 201, "{reply:?}");
    let id = reply.body["tenant"]["id"].as_u64().expect("a number");
    Tenant { id, key: reply.text("key").to_owned() }
}

pub(crate) fn live(name: &str) -> Value {
    json!({"name": name, "mode": "live"})
}

/// Opens a ledger with two accounts, and moves money.
#[track_caller]
pub(crate) fn book(client: &Client, ledger: u32) {
    assert_eq!(client.post("/v1/ledgers", &json!({"id": ledger, "asset": "EUR/2"})).status, 201);
    for account in [1, 2] {
        let account = json!({"id": account.to_string(), "ledger": ledger, "code": 1});
        let reply = client.post("/v1/accounts", &account);
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    let reply = client.post("/v1/transfers", &transfer(7, ledger));
    assert_eq!(reply.status, 201, "{reply:?}");
}

pub(crate) fn transfer(id: u64, ledger: u32) -> Value {
    json!({
        "id": id.to_string(), "debit_account": "1", "credit_account": "2", "amount": "100", "asset": "EUR/2",
        "ledger": ledger, "code": 1,
    })
}

pub(crate) fn directory(data: &Path, tenant: u64) -> std::path::PathBuf {
    data.join("tenants").join(tenant.to_string())
}

#[track_caller]
fn refused(client: &Client, path: &str, status: u16, code: &str) {
    let reply = client.get(path);
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
}

#[test]
fn tenants_are_created_and_each_has_its_own_ledgers_and_keys() {
    let (data, server, first) = first_start(&[]);
    let shop = create(&first, &live("Shop"));
    assert_eq!(shop.id, 2, "numbers follow one another");
    assert!(shop.key.starts_with("fin_t2_1_"), "the text of a key names its tenant");
    let sandbox = create(&first, &json!({"name": "Shop, sandbox", "mode": "test", "sandbox_of": 2}));
    assert!(sandbox.key.starts_with("fin_test_t3_1_"), "and its mode");

    let shop_client = server.client(&shop.key);
    book(&first, 1);
    book(&shop_client, 1);
    assert_eq!(server.client(&sandbox.key).get("/v1/ledgers").body["items"], json!([]));
    assert_eq!(shop_client.post("/v1/transfers", &transfer(8, 1)).status, 201);
    assert_eq!(first.get("/v1/transfers/8").status, 404, "ids of tenants do not meet");
    let other = shop_client.post("/v1/api-keys", &json!({"name": "b", "principal": 1, "role": "auditor"}));
    assert!(other.text("key").starts_with("fin_t2_2_"), "{other:?}");

    // The text of a key leads to its tenant, where it must be known.
    let secret = |key: &str| key.rsplit_once("_1_").map(|(_, secret)| secret.to_owned()).expect("a first key");
    for wrong in [
        format!("fin_1_{}", secret(&shop.key)),
        format!("fin_t3_1_{}", secret(&shop.key)),
        format!("fin_t2_1_{}", secret(&first.key)),
        format!("fin_t4_1_{}", secret(&shop.key)),
        shop.key.replace("fin_t2_", "fin_test_t2_"),
        sandbox.key.replace("fin_test_t3_", "fin_t3_"),
    ] {
        refused(&server.client(&wrong), "/v1/ledgers", 401, "invalid_api_key");
    }

    let tenants = first.get("/v1/tenants").body["items"].clone();
    let told: Vec<_> =
        tenants.as_array().expect("a list").iter().map(|tenant| (&tenant["id"], &tenant["state"])).collect();
    assert_eq!(told, [(&json!(1), &json!("active")), (&json!(2), &json!("active")), (&json!(3), &json!("active"))]);
    let page = first.get("/v1/tenants?limit=2").body;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    let rest = first.get(&format!("/v1/tenants?cursor={}", page["next_cursor"].as_str().expect("there is more")));
    assert_eq!(rest.body["items"][0]["sandbox_of"], 2);
    assert!(first.get("/v1/tenants/2").body["disk_bytes"].as_u64().is_some_and(|bytes| bytes > 4096));
    assert!(directory(data.path(), 2).join("journal").is_dir());

    server.kill();
    let server = Server::start(data.path());
    let shop_client = server.client(&shop.key);
    assert_eq!(shop_client.get("/v1/transfers/8").status, 200);
    assert_eq!(server.client(&first.key).get("/v1/transfers/8").status, 404);
    assert!(server.stop().success());
}

#[test]
fn a_retry_creates_no_second_tenant_and_shows_no_key() {
    let (_data, server, first) = first_start(&[]);
    let send = |body: &Value| {
        let headers = [("Idempotency-Key", "abc"), ("Content-Type", "application/json")];
        first.send("/v1/tenants", &headers, &serde_json::to_vec(body).expect("JSON"))
    };
    let made = send(&live("Shop"));
    assert_eq!((made.status, made.replayed), (201, false), "{made:?}");
    let again = send(&live("Shop"));
    assert_eq!((again.status, again.replayed, &again.body["key"]), (200, true, &Value::Null), "{again:?}");
    assert_eq!(again.body["tenant"]["id"], made.body["tenant"]["id"]);
    assert_eq!(send(&live("Another")).code(), "request_id_reused");
    for (body, code) in [
        (json!({"name": "x", "mode": "test", "sandbox_of": 9}), "tenant_not_found"),
        (json!({"name": "x", "mode": "live", "sandbox_of": 1}), "invalid_field"),
        (json!({"name": "x"}), "missing_field"),
    ] {
        assert_eq!(first.post("/v1/tenants", &body).code(), code, "{body}");
    }
    assert!(server.stop().success());
}

#[test]
fn a_suspended_tenant_answers_nothing_until_it_is_resumed() {
    let (data, server, first) = first_start(&[]);
    let shop = create(&first, &live("Shop"));
    let client = server.client(&shop.key);
    book(&client, 1);
    let stream = format!(
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        shop.key
    );
    let mut stream = server.connect(stream.as_bytes());
    assert_eq!(first.post("/v1/tenants/2/remove", &json!({})).code(), "tenant_state_conflict", "it is active");

    let suspended = first.post("/v1/tenants/2/suspend", &json!({}));
    assert_eq!((suspended.status, suspended.text("state")), (200, "suspended"));
    refused(&client, "/v1/ledgers", 403, "tenant_suspended");
    assert_eq!(client.post("/v1/transfers", &transfer(9, 1)).code(), "tenant_suspended");
    refused(&server.client(&shop.key.replace("_1_", "_2_")), "/v1/ledgers", 401, "invalid_api_key");
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("the stream ends");
    assert!(first.post("/v1/tenants/2/suspend", &json!({})).replayed, "to repeat it changes nothing");
    assert_eq!(first.get("/v1/ledgers").status, 200, "other tenants go on");

    assert!(server.stop().success());
    let server = Server::start(data.path());
    let (first, client) = (server.client(&first.key), server.client(&shop.key));
    refused(&client, "/v1/ledgers", 403, "tenant_suspended");
    assert_eq!(first.post("/v1/tenants/2/resume", &json!({})).text("state"), "active");
    assert_eq!(client.get("/v1/transfers/7").status, 200, "nothing was lost");
    assert_eq!(client.post("/v1/transfers", &transfer(9, 1)).status, 201);
    for verb in ["suspend", "remove"] {
        let reply = first.post(&format!("/v1/tenants/1/{verb}"), &json!({}));
        assert_eq!(reply.code(), "tenant_state_conflict", "the first tenant stays");
        assert_eq!(first.post(&format!("/v1/tenants/9/{verb}"), &json!({})).code(), "tenant_not_found");
    }
    assert!(server.stop().success());
}

#[test]
fn a_removed_tenant_is_erased_and_its_number_is_not_used_again() {
    let (data, server, first) = first_start(&[]);
    let shop = create(&first, &live("Shop"));
    let client = server.client(&shop.key);
    book(&client, 1);
    assert_eq!(first.post("/v1/tenants/2/suspend", &json!({})).status, 200);
    let removed = first.post("/v1/tenants/2/remove", &json!({}));
    assert_eq!((removed.status, removed.text("state")), (200, "removed"), "{removed:?}");
    assert!(!directory(data.path(), 2).is_dir(), "its directory is erased");
    refused(&client, "/v1/ledgers", 401, "invalid_api_key");
    assert_eq!(first.post("/v1/tenants/2/resume", &json!({})).code(), "tenant_state_conflict");
    assert!(first.post("/v1/tenants/2/remove", &json!({})).replayed);
    server.kill();
    let server = Server::start(data.path());
    let first = server.client(&first.key);
    refused(&server.client(&shop.key), "/v1/ledgers", 401, "invalid_api_key");
    assert_eq!(create(&first, &live("Next")).id, 3);
    assert!(server.stop().success());
}

#[test]
fn a_tenant_without_requests_is_closed_and_the_next_request_opens_it() {
    let (_data, server, first) = first_start(&["--tenant-idle", "1s"]);
    let shop = create(&first, &live("Shop"));
    let client = server.client(&shop.key);
    book(&client, 1);
    let auditor = client.post("/v1/api-keys", &json!({"name": "b", "principal": 1, "role": "auditor"}));
    let auditor = server.client(auditor.text("key"));
    let is_open = |open: bool| first.get("/v1/tenants/2").body["is_open"] == json!(open);
    let wrong = server.client(&shop.key.replace("_1_", "_3_"));
    eventually(|| {
        // Requests without a valid key do not keep it open, and do not open it.
        refused(&wrong, "/v1/ledgers", 401, "invalid_api_key");
        is_open(false).then_some(())
    });
    refused(&wrong, "/v1/ledgers", 401, "invalid_api_key");
    assert_eq!(auditor.post("/v1/ledgers", &json!({"id": 9, "asset": "EUR/2"})).code(), "insufficient_scope");
    assert!(is_open(false), "a request that is refused does not open it either");
    assert_eq!(auditor.get("/v1/ledgers").status, 200);
    eventually(|| is_open(false).then_some(()));
    // A hold that expires while the tenant is closed.
    let mut pending = transfer(8, 1);
    pending["flags"] = json!(["pending"]);
    pending["timeout_s"] = json!(4);
    let reply = client.post("/v1/transfers", &pending);
    assert_eq!(reply.status, 201, "{reply:?}");
    assert!(is_open(true));
    let last_entries = || {
        let events = first_events(&client);
        events.iter().any(|kind| kind == "transfer_expired")
    };
    eventually(|| is_open(false).then_some(()));
    // It was opened by itself when the hold expired, before anybody asked: this looks at the journal's last entry.
    eventually(|| last_entries().then_some(()));
    assert!(server.stop().success());
}

fn first_events(client: &Client) -> Vec<String> {
    let page = client.get("/v1/events?limit=1000");
    let items = page.body["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|event| event["kind"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_data_directory_without_a_system_journal_becomes_the_first_tenant() {
    let (data, server, first) = first_start(&[]);
    book(&first, 1);
    assert!(server.stop().success());
    // This is what earlier releases left.
    std::fs::remove_dir_all(data.path().join("system")).expect("it is there");
    let server = Server::start(data.path());
    assert_eq!(server.key, None, "it has its keys");
    let client = server.client(&first.key);
    assert_eq!(client.get("/v1/transfers/7").status, 200);
    assert_eq!(create(&client, &live("Shop")).id, 2);
    assert!(server.stop().success());
}

#[test]
fn writes_beyond_the_quota_of_disk_are_refused_until_it_is_raised() {
    let (_data, server, first) = first_start(&[]);
    let quota = |bytes: u64| json!({"disk_bytes": bytes});
    let shop = create(&first, &json!({"name": "Shop", "mode": "live", "quotas": quota(4 << 20)}));
    let client = server.client(&shop.key);
    book(&client, 1);
    let mut id = 1_000;
    let full = eventually(|| {
        let batch: Vec<Value> = (0..1_000).map(|place| transfer(id + place, 1)).collect();
        id += 1_000;
        let reply = client.post("/v1/transfers/batch", &json!({"transfers": batch}));
        (reply.status != 200).then_some(reply)
    });
    assert_eq!((full.status, full.code()), (507, "disk_quota_reached"));
    assert_eq!(client.get("/v1/transfers/7").status, 200, "reads go on");
    assert_eq!(first.post("/v1/ledgers", &json!({"id": 5, "asset": "EUR/2"})).status, 201, "so do other tenants");
    let raised = first.post("/v1/tenants/2/quotas", &quota(1 << 30));
    assert_eq!(raised.body["quotas"]["disk_bytes"], json!(1 << 30));
    eventually(|| (client.post("/v1/transfers", &transfer(id, 1)).status == 201).then_some(()));
    assert!(server.stop().success());
}

#[test]
fn an_export_is_a_data_directory_of_its_own() {
    let (data, server, first) = first_start(&[]);
    let shop = create(&first, &live("Shop"));
    let client = server.client(&shop.key);
    book(&client, 1);
    let outside = tempfile::tempdir().expect("a directory");
    let to = outside.path().join("shop");
    let (data_text, to_text) = (data.path().to_str().expect("text"), to.to_str().expect("text"));
    let export = ["admin", "tenant", "export", "2", "--data", data_text, "--to", to_text];
    let (is_done, said) = finaira(&export);
    assert!(!is_done && said.contains("in use by another process"), "{said}");
    assert_eq!(first.post("/v1/tenants/2/suspend", &json!({})).status, 200);
    // It closes once no request uses it.
    eventually(|| finaira(&export).0.then_some(()));
    let (is_done, said) = finaira(&export);
    assert!(!is_done && said.contains("exists"), "{said}");
    let (is_intact, said) = finaira(&["verify", to_text]);
    assert!(is_intact, "{said}");
    assert!(server.stop().success());

    let server = Server::start(&to);
    assert_eq!(server.key, None);
    let client = server.client(&shop.key);
    assert_eq!(client.get("/v1/transfers/7").status, 200, "the copy has what the tenant had, and its keys");
    // There it is the first tenant, and administers the installation.
    assert_eq!(create(&client, &live("Next")).id, 3);
    assert!(server.stop().success());
}
