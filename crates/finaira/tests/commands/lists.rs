//! Lists over a real socket: a change counts for the next payment, survives a restart, and decisions name versions.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, finaira, first_start};

/// The wallet policy with a list of customers and a list of countries.
pub(crate) fn policy() -> String {
    let country = "[payments.card.attributes]\ncountry = { type = \"string\", required = false }\n";
    WALLET.replace("[payments.card.attributes]\n", country)
        + r#"
[lists.blocked_customers]
holds = "customer"
[lists.countries]
holds = "text"
[[rules]]
name = "blocked_customer"
when = "payment.customer in list('blocked_customers')"
then = { decline = true }
payments = ["card"]
[[rules]]
name = "sanctioned"
when = "has(payment.country) && payment.country in list('countries')"
then = { decline = true }
payments = ["card"]
"#
}

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    let active = client.activate(&policy());
    assert_eq!(active.status, 201, "{active:?}");
    for (id, customer) in [(1, "alice"), (2, "bob")] {
        assert_eq!(client.pay(id, "top_up", 50_000, &json!({"customer": customer})).text("status"), "posted");
    }
    (data, server, client)
}

#[track_caller]
fn make(client: &Client, name: &str, holds: &str) {
    let made = client.post("/v1/lists", &json!({"name": name, "holds": holds, "purpose": "block"}));
    assert_eq!((made.status, made.text("name")), (201, name), "{made:?}");
}

/// Adds a value, and returns the version of the list.
#[track_caller]
fn add(client: &Client, list: &str, value: &Value) -> u64 {
    let added = client.post(&format!("/v1/lists/{list}/values"), &json!({"values": [value]}));
    assert_eq!(added.status, 200, "{added:?}");
    added.body["list"]["version"].as_u64().expect("a version")
}

/// The lists that the decision about a payment looked into, with their versions.
fn looked_into(client: &Client, payment: u128) -> Value {
    client.get(&format!("/v1/payments/{payment}/decision")).body["lists"].clone()
}

fn named(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.code())
}

#[test]
fn a_value_that_is_added_declines_the_very_next_payment_also_after_a_restart() {
    let (data, server, client) = start();
    let card = |client: &Client, id: u128, customer: &str| client.pay(id, "card", 100, &json!({"customer": customer}));
    assert_eq!(card(&client, 10, "alice").text("status"), "held");
    assert_eq!(looked_into(&client, 10), json!([{"name": "blocked_customers", "version": 0}]));
    make(&client, "blocked_customers", "customer");
    let version = add(&client, "blocked_customers", &json!({"value": "alice", "reason": "case 4711"}));
    assert_eq!(card(&client, 11, "alice").text("status"), "declined");
    assert_eq!(card(&client, 12, "bob").text("status"), "held");
    for payment in [11, 12] {
        let expected = json!([{"name": "blocked_customers", "version": version}]);
        assert_eq!(looked_into(&client, payment), expected, "payment {payment}");
    }

    // The list shows a token and no name, and so does the event.
    let values = client.get("/v1/lists/blocked_customers/values").body;
    let value = &values["items"][0];
    assert_eq!(
        (&value["reason"], value["token"].is_string(), &value["value"]),
        (&json!("case 4711"), true, &Value::Null)
    );
    assert_eq!(client.get("/v1/lists/blocked_customers/values/alice").body, *value);
    assert_eq!(named(&client.get("/v1/lists/blocked_customers/values/bob")), (404, "list_value_not_found"));
    let events = client.get("/v1/events?limit=1000").body;
    let events = events["items"].as_array().expect("a page");
    let added = events.iter().find(|event| event["kind"] == "list_values_added").expect("an event");
    assert_eq!((&added["sequence"], &added["data"]["values"][0]["token"]), (&json!(version), &value["token"]));
    assert!(!added.to_string().contains("alice"), "{added}");

    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    assert_eq!(client.get("/v1/lists/blocked_customers/values").body, values);
    assert_eq!(card(&client, 13, "alice").text("status"), "declined");
    let removed = client.post("/v1/lists/blocked_customers/remove-values", &json!({"values": ["alice", "nobody"]}));
    assert_eq!((&removed.body["changed"], &removed.body["unchanged"]), (&json!(1), &json!(1)), "{removed:?}");
    assert_eq!(card(&client, 14, "alice").text("status"), "held");
    // A token can be named as well, as the list showed it.
    add(&client, "blocked_customers", &json!({"token": value["token"]}));
    assert_eq!(card(&client, 15, "alice").text("status"), "declined");
}

#[test]
fn a_value_that_has_expired_is_not_in_the_list() {
    let (_data, _server, client) = start();
    make(&client, "countries", "text");
    let card = |id: u128| client.pay(id, "card", 100, &json!({"customer": "alice", "country": "KP"}));
    add(&client, "countries", &json!({"value": "KP", "expires_at": "2020-01-01T00:00:00Z"}));
    assert_eq!(card(10).text("status"), "held");
    assert_eq!(client.get("/v1/lists/countries/values/KP").body["expired"], true);
    add(&client, "countries", &json!({"value": "KP", "expires_at": "2199-01-01T00:00:00Z"}));
    assert_eq!(card(11).text("status"), "declined");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_data, _server, client) = start();
    let post = |path: &str, body: &Value| client.post(path, body);
    let list = |name: &str, holds: &str, purpose: &str| json!({"name": name, "holds": holds, "purpose": purpose});
    assert_eq!(named(&post("/v1/lists", &list("Bad", "text", "block"))), (400, "invalid_field"));
    assert_eq!(named(&post("/v1/lists", &list("a", "text", "ban"))), (400, "invalid_field"));
    assert_eq!(named(&post("/v1/lists", &list("countries", "customer", "block"))), (409, "policy_list_conflict"));
    make(&client, "countries", "text");
    assert!(post("/v1/lists", &list("countries", "text", "block")).replayed);
    let other = post("/v1/lists", &list("countries", "text", "watch"));
    assert_eq!(named(&other), (409, "list_exists_with_different_content"), "{other:?}");
    let values = "/v1/lists/countries/values";
    assert_eq!(named(&post(values, &json!({"values": []}))), (400, "invalid_field"));
    assert_eq!(named(&post(values, &json!({"values": [{"reason": "x"}]}))), (400, "missing_field"));
    let twice = post(values, &json!({"values": [{"value": "NO"}, {"value": "NO"}]}));
    assert_eq!((named(&twice), twice.text("field")), ((400, "invalid_field"), "/values/1"));
    let token = "00000000-0000-0000-0000-000000000007";
    let twice = post("/v1/lists/countries/remove-values", &json!({"values": ["NO"], "tokens": [token, token]}));
    assert_eq!((named(&twice), twice.text("field")), ((400, "invalid_field"), "/tokens/1"), "{twice:?}");
    assert_eq!(
        named(&post("/v1/lists/nothing/values", &json!({"values": [{"value": "NO"}]}))),
        (404, "list_not_found")
    );
    assert_eq!(named(&post("/v1/lists/countries/delete", &json!({}))), (409, "list_in_use"));
    make(&client, "unused", "text");
    assert_eq!(post("/v1/lists/unused/delete", &json!({})).status, 200);
    assert_eq!(named(&client.get("/v1/lists/unused")), (404, "list_not_found"));
    let all = client.get("/v1/lists").body;
    let names: Vec<&str> =
        all["items"].as_array().expect("a page").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["countries"]);
}

#[test]
fn a_list_is_loaded_in_pieces_and_shown_in_pages() {
    let (data, server, client) = start();
    make(&client, "countries", "text");
    let load = |client: &Client, from: usize, count: usize| {
        let values: Vec<Value> = (from..from + count)
            .map(|number| json!({"value": format!("value {number}"), "reason": "a file"}))
            .collect();
        let reply = client.post("/v1/lists/countries/values", &json!({"values": values}));
        assert_eq!(reply.status, 200, "{reply:?}");
        (reply.body["changed"].clone(), reply.body["list"]["values"].clone())
    };
    for piece in 0..4 {
        assert_eq!(load(&client, piece * 5_000, 5_000), (json!(5_000), json!((piece + 1) * 5_000)));
    }
    // The same file again changes nothing, and leaves no entry.
    let version = client.get("/v1/lists/countries").body["version"].clone();
    assert_eq!(load(&client, 0, 5_000), (json!(0), json!(20_000)));
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    assert_eq!(client.get("/v1/lists/countries").body["version"], version);
    let (mut path, mut seen) = ("/v1/lists/countries/values?limit=1000".to_owned(), std::collections::BTreeSet::new());
    loop {
        let page = client.get(&path).body;
        for item in page["items"].as_array().expect("a page") {
            assert!(seen.insert(item["value"].to_string()), "{item} is shown once");
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/lists/countries/values?limit=1000&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 20_000);
    // A cursor belongs to its list.
    make(&client, "others", "text");
    let cursor = path.rsplit_once("cursor=").expect("the list has several pages").1;
    let other = client.get(&format!("/v1/lists/others/values?cursor={cursor}"));
    assert_eq!((other.status, other.text("field")), (400, "cursor"), "{other:?}");
}

#[test]
fn a_file_of_values_is_loaded_and_replaced_by_the_next_version() {
    let (_data, server, client) = start();
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("values.txt");
    let file = file.to_str().expect("text");
    let load = |list: &str, options: &[&str]| {
        let of_server = ["lists", "load", list, file, "--server", &server.address, "--api-key", &server_key(&server)];
        finaira(&[&of_server[..], options].concat())
    };
    // Texts that do not fit into one request.
    let text = |number: u32| format!("value {number:0>200}\n");
    std::fs::write(file, (0..2_000).map(text).collect::<String>()).expect("the file is written");
    assert!(load("countries", &[]).1.contains("list_not_found"));
    make(&client, "countries", "text");
    make(&client, "blocked_customers", "customer");
    let (is_done, said) = load("countries", &["--reason", "version 1"]);
    assert!(is_done && said.contains("List countries: 2,000 values added or changed, 0 were there"), "{said}");
    let (is_done, said) = load("countries", &["--reason", "version 1"]);
    assert!(is_done && said.contains("0 values added or changed, 2,000 were there"), "{said}");
    std::fs::write(file, (500..2_001).map(text).collect::<String>()).expect("the file is written");
    let (is_done, said) =
        load("countries", &["--reason", "version 2", "--replace", "--expires-at", "2199-01-01T00:00:00Z"]);
    assert!(
        is_done
            && said.contains("1,501 values added or changed")
            && said.contains("500 values with another reason removed"),
        "{said}"
    );
    assert_eq!(client.get("/v1/lists/countries").body["values"], 1_501);

    // Entities, whose tokens nobody knows but the server.
    std::fs::write(file, "alice\nbob\n").expect("the file is written");
    assert!(load("blocked_customers", &["--reason", "a"]).0);
    assert_eq!(client.pay(10, "card", 100, &json!({"customer": "bob"})).text("status"), "declined");
    std::fs::write(file, "alice\n").expect("the file is written");
    let (is_done, said) = load("blocked_customers", &["--reason", "b", "--replace"]);
    assert!(is_done && said.contains("1 values with another reason removed"), "{said}");
    assert_ne!(client.pay(11, "card", 100, &json!({"customer": "bob"})).text("status"), "declined");
    assert_eq!(client.pay(12, "card", 100, &json!({"customer": "alice"})).text("status"), "declined");

    std::fs::write(file, "\n").expect("the file is written");
    for (options, told) in [
        (&["--replace"][..], "--reason"),
        (&["--replace", "--reason", ""], "needs a --reason that is not empty"),
        (&["--expires-at", "soon"], "--expires-at"),
        (&[], "has no values, expected one in each line"),
    ] {
        let (is_done, said) = load("countries", options);
        assert!(!is_done && said.contains(told), "{options:?}: {said}");
    }
    assert!(server.stop().success());
}

fn server_key(server: &Server) -> String {
    server.key.clone().expect("the first start prints an API key")
}
