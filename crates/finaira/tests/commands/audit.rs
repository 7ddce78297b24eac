//! The audit: who did what, reads of personal data included.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, eventually, first_start};
use crate::tenants::{create, live};

/// The items of all pages of the audit that meet these conditions.
fn audit(client: &Client, conditions: &str) -> Vec<Value> {
    pages(client, &format!("/v1/audit?{conditions}"))
}

fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}"));
        assert_eq!(page.status, 200, "{page:?}");
        items.extend(page.body["items"].as_array().expect("items").iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Actor, kind, verb and resource of each item.
fn told(items: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |item: &Value| {
        let actor = format!("{} {}", item["actor"]["id"], text(&item["actor"]["name"]));
        [actor, text(&item["kind"]), text(&item["verb"]), text(&item["resource"])].join(" ")
    };
    items.iter().map(line).collect()
}

fn create_key(admin: &Client, name: &str, role: &str) -> String {
    let body = json!({"name": name, "role": role, "new_principal": {"kind": "person", "name": name}});
    let made = admin.post("/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{made:?}");
    made.text("key").to_owned()
}

/// A payment under review, number 3 of the customer Ann.
fn prepare(admin: &Client) {
    assert_eq!(admin.activate(WALLET).status, 201);
    assert_eq!(admin.pay(1, "top_up", 500_000, &json!({"customer": "ann"})).status, 201);
    let paid =
        admin.pay(3, "transfer", 90_000, &json!({"customer": "ann", "recipient": "bob", "email": "a@example.org"}));
    assert_eq!(paid.text("status"), "in_review", "{paid:?}");
}

const PAYMENT: &str = "payment:00000000-0000-0000-0000-000000000003";

#[test]
fn the_audit_says_who_approved_who_made_keys_and_who_read_personal_data() {
    let (data, server, admin) = first_start(&[]);
    prepare(&admin);
    let rita = server.client(&create_key(&admin, "Rita", "reviewer"));
    let otto = server.client(&create_key(&admin, "Otto", "auditor"));
    let read = rita.get("/v1/payments/3/personal-data");
    assert_eq!((read.status, &read.body["attributes"]["email"]), (200, &json!("a@example.org")));
    assert_eq!(rita.verb("3", "approve", "a1").status, 200);

    let approved = audit(&otto, "kind=payment_changed");
    assert_eq!(told(&approved), [format!("2 Rita payment_changed approve {PAYMENT}")]);
    assert_eq!(approved[0]["actor"], json!({"id": 2, "tenant": 1, "kind": "person", "name": "Rita"}));
    let reads = audit(&otto, "kind=personal_data_read");
    assert_eq!(told(&reads), [format!("2 Rita personal_data_read - {PAYMENT}")]);
    assert_eq!(reads[0]["request"], read.body["request"], "the answer names its entry");
    let keys = audit(&otto, "kind=credential_added,credential_revoked");
    let expected = ["1 made at start credential_added - api_key:2", "1 made at start credential_added - api_key:3"];
    assert_eq!(told(&keys), expected);
    let first = audit(&otto, "actor=0&kind=credential_added");
    assert_eq!(told(&first), ["0 system credential_added - api_key:1"], "the first start made it");
    let of_payment = audit(&otto, "payment=3&reversed=true");
    let expected = [
        format!("2 Rita payment_changed approve {PAYMENT}"),
        format!("2 Rita personal_data_read - {PAYMENT}"),
        format!("1 made at start payment_decided - {PAYMENT}"),
    ];
    assert_eq!(told(&of_payment), expected);
    assert_eq!(told(&audit(&otto, "actor=2")).len(), 2);
    let wallet =
        admin.get("/v1/accounts?template=wallet&holder=bob").body["items"][0]["id"].as_str().map(str::to_owned);
    let of_account = audit(&otto, &format!("account={}", wallet.expect("a wallet")));
    let expected =
        [format!("1 made at start payment_decided - {PAYMENT}"), format!("2 Rita payment_changed approve {PAYMENT}")];
    assert_eq!(told(&of_account), expected);

    // Whoever may not read the audit does not.
    let refused = rita.get("/v1/audit");
    assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
    for bad in ["kind=nothing", "kind=", "since=2026-11-18T00:00:00Z&until=2026-11-17T00:00:00Z", "actor=Rita"] {
        assert_eq!(otto.get(&format!("/v1/audit?{bad}")).code(), "invalid_parameter", "{bad}");
    }
    let all = audit(&otto, "");
    assert!(server.stop().success());
    let server = Server::start(data.path());
    assert_eq!(audit(&server.client(&otto.key), ""), all, "a restart knows the same");
}

#[test]
fn pages_and_times_divide_the_audit_without_loss() {
    let (_data, _server, admin) = first_start(&[]);
    for ledger in 1..=40 {
        assert_eq!(admin.post("/v1/ledgers", &json!({"id": ledger, "asset": "EUR/2"})).status, 201);
    }
    let all = audit(&admin, "");
    assert_eq!(all.len(), 40, "the entries of the first start are the system's");
    assert_eq!(audit(&admin, "limit=7"), all);
    let mut backward = audit(&admin, "limit=7&reversed=true");
    backward.reverse();
    assert_eq!(backward, all);
    let at = |place: usize| all[place]["decided_at"].as_str().expect("a time").to_owned();
    for (from, to) in [(0, 39), (0, 1), (11, 29), (20, 20)] {
        let period = format!("since={}&until={}&limit=6", at(from), at(to));
        assert_eq!(audit(&admin, &period), all[from..to], "{period}");
        let mut backward = audit(&admin, &format!("{period}&reversed=true"));
        backward.reverse();
        assert_eq!(backward, all[from..to], "{period}, reversed");
    }
    assert!(audit(&admin, "until=2020-01-01T00:00:00Z").is_empty());
    assert!(audit(&admin, "since=2100-01-01T00:00:00Z&reversed=true").is_empty());
}

fn reads_of(client: &Client) -> usize {
    audit(client, "kind=personal_data_read").len()
}

#[test]
fn personal_data_is_shown_only_with_an_entry_that_says_so() {
    let (data, server, admin) = first_start(&[]);
    prepare(&admin);
    let otto = server.client(&create_key(&admin, "Otto", "operator"));
    assert_eq!(otto.get("/v1/payments/3/personal-data").code(), "insufficient_scope");
    assert_eq!(admin.get("/v1/payments/4/personal-data").code(), "payment_not_found");
    assert_eq!(reads_of(&admin), 0, "who was refused read nothing");
    assert_eq!(admin.get("/v1/payments/3/personal-data").status, 200);
    assert_eq!(reads_of(&admin), 1);
    assert!(server.stop().success());

    // No disk has that much free space, so nothing can be recorded.
    let server = Server::start_with(data.path(), &["--disk-reserve", "1000000000000000000"]);
    let client = server.client(&admin.key);
    let ledger = |id: u32| client.post("/v1/ledgers", &json!({"id": id, "asset": "EUR/2"}));
    let mut ids = 100..;
    eventually(|| ids.next().filter(|id| ledger(*id).status == 503));
    let refused: Reply = client.get("/v1/payments/3/personal-data");
    assert_eq!((refused.status, refused.code()), (503, "disk_reserve_reached"), "{refused:?}");
    assert!(refused.body.get("attributes").is_none());
    assert_eq!(reads_of(&client), 1);
}

#[test]
fn the_audit_of_the_installation_says_who_made_tenants_roles_and_clients() {
    let of_installation =
        |client: &Client, conditions: &str| pages(client, &format!("/v1/installation/audit?{conditions}"));
    let (data, server, admin) = first_start(&[]);
    let tina = server.client(&create_key(&admin, "Tina", "administrator"));
    let otto = server.client(&create_key(&admin, "Otto", "auditor"));
    assert!(of_installation(&otto, "").is_empty(), "the first start is the system's");
    let shop = create(&tina, &live("Shop"));
    assert_eq!(tina.post("/v1/roles", &json!({"name": "cashier", "scopes": ["payments:write"]})).status, 201);
    let till = json!({
        "client_id": "till", "name": "Till", "role": "cashier", "authentication": {"method": "client_secret"}
    });
    assert_eq!(admin.post("/v1/clients", &till).status, 201);
    assert_eq!(admin.post("/v1/clients/till/revoke", &json!({})).status, 200);
    assert_eq!(tina.post("/v1/roles/cashier/remove", &json!({})).status, 200);

    let all = of_installation(&otto, "");
    let expected = [
        "2 Tina setting_put - tenant:2",
        "2 Tina setting_put - tenant:2",
        "2 Tina setting_put - role:cashier",
        "1 made at start setting_put - client:till",
        "1 made at start setting_put - client:till",
        "2 Tina setting_removed - role:cashier",
    ];
    assert_eq!(told(&all), expected, "a tenant is put once when its creation begins, and once when it is ready");
    assert_eq!(all[0]["actor"], json!({"id": 2, "tenant": 1, "kind": "person", "name": "Tina"}));
    assert_eq!(of_installation(&otto, "actor=1"), all[3..5]);
    assert_eq!(of_installation(&otto, "kind=setting_removed"), all[5..]);
    let at = |place: usize| all[place]["decided_at"].as_str().expect("a time").to_owned();
    assert_eq!(of_installation(&otto, &format!("since={}&until={}", at(2), at(4))), all[2..4]);
    let mut backward = of_installation(&otto, "reversed=true&limit=2");
    backward.reverse();
    assert_eq!((of_installation(&otto, "limit=1"), backward), (all.clone(), all.clone()));
    // What a tenant did in its own journal is not there, and the other way round.
    assert!(audit(&otto, "kind=setting_put,setting_removed").is_empty());
    let cursor = otto.get("/v1/audit?limit=1").text("next_cursor").to_owned();
    assert_eq!(otto.get(&format!("/v1/installation/audit?cursor={cursor}")).status, 410, "a cursor of another journal");

    // Only the first tenant reads it, with both scopes.
    let refused = |key: &str| server.client(key).get("/v1/installation/audit").code().to_owned();
    assert_eq!(refused(&shop.key), "first_tenant_only");
    assert_eq!(refused(&create_key(&admin, "Rita", "reviewer")), "insufficient_scope");
    for scope in ["audit:read", "tenants:read"] {
        let made = admin.post("/v1/api-keys", &json!({"name": scope, "principal": 1, "scopes": [scope]}));
        assert_eq!(refused(made.text("key")), "insufficient_scope", "{scope} alone");
    }
    assert!(server.stop().success());
    let server = Server::start(data.path());
    assert_eq!(of_installation(&server.client(&otto.key), ""), all, "a restart knows the same");
}
