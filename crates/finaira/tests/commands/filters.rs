//! Lists of payments by every condition, compared with what the test itself knows about its payments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, first_start, payment};

const WALLET: &str = fixtures::WALLET;

/// What the test knows about a payment that no list shows.
#[derive(Debug, Clone, Default)]
struct Known {
    parties: Vec<&'static str>,
    device: Option<&'static str>,
    reasons: Vec<&'static str>,
    tier: Option<&'static str>,
}

/// Makes payments with every status, and returns what is known about each.
fn history(client: &Client) -> BTreeMap<u128, Known> {
    let mut known = BTreeMap::new();
    let mut pay = |id: u128, kind: &str, amount: u64, attributes: Value, about: Known| {
        let made = client.post("/v1/payments", &payment(id, kind, amount, &attributes));
        assert_eq!(made.status, 201, "{made:?}");
        known.insert(id, about);
    };
    for (id, customer) in (1..).zip(["ann", "bob", "cy"]) {
        let about = Known { parties: vec![customer], ..Known::default() };
        pay(id, "top_up", 400_000, json!({"customer": customer}), about);
    }
    for number in 0..30_u64 {
        let id = 100 + u128::from(number);
        let customer = ["ann", "bob"][usize::from(number % 3 == 0)];
        if number % 2 == 0 {
            let device = [None, Some("d1"), Some("d2")][usize::try_from(number % 3).expect("small")];
            let reasons = if device.is_some() { vec!["unknown_device"] } else { vec![] };
            let attributes = json!({"customer": customer, "device": device});
            let attributes = if device.is_some() { attributes } else { json!({"customer": customer}) };
            let about = Known { parties: vec![customer], device, reasons, tier: None };
            pay(id, "card", 100 + number * 37, attributes, about);
        } else {
            let amount = if number % 5 == 0 { 60_000 } else { 1_000 + number };
            let reasons = if amount > 50_000 { vec!["large"] } else { vec![] };
            let about = Known { parties: vec![customer, "cy"], device: None, reasons, tier: None };
            pay(id, "transfer", amount, json!({"customer": customer, "recipient": "cy"}), about);
        }
    }
    // The ledger refuses it, and not the policy.
    let attributes = json!({"customer": "cy", "recipient": "ann", "rate": 0.5});
    pay(200, "transfer", 9_000_000, attributes, Known { parties: vec!["cy", "ann"], ..Known::default() });
    for (id, verb) in [(102, "capture"), (104, "approve"), (106, "void"), (108, "decline"), (101, "refund")] {
        let changed = client.verb(&id.to_string(), verb, "once");
        assert!([200, 409].contains(&changed.status), "{changed:?}");
    }
    for (id, label) in [(100, "fraud"), (103, "legitimate"), (107, "fraud"), (107, "legitimate"), (1, "fraud")] {
        let labelled = client.post("/v1/labels", &json!({"payment": id.to_string(), "label": label}));
        assert_eq!(labelled.status, 201, "{labelled:?}");
    }
    for (id, tier) in [(100, "\"gold\""), (101, "\"gold\""), (102, "\"silver\""), (101, "7")] {
        let body = format!("{{\"metadata\": {{\"tier\": {tier}}}}}");
        let path = format!("/v1/payments/{id}/metadata");
        let set = client.send(&path, &[("Content-Type", "application/json")], body.as_bytes());
        assert_eq!(set.status, 200, "{set:?}");
        known.get_mut(&id).expect("it was made").tier = Some(tier);
    }
    known
}

fn id_of(item: &Value) -> u128 {
    item["id"].as_str().and_then(|id| id.parse::<types::PaymentId>().ok()).expect("an id").get()
}

/// All pages of a list.
fn pages(client: &Client, query: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/payments?{query}&limit={limit}{cursor}"));
        assert_eq!(page.status, 200, "{query}: {page:?}");
        items.extend(page.body["items"].as_array().expect("items").iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

type Fits = Box<dyn Fn(&Value, &Known) -> bool>;

fn check_all(client: &Client, known: &BTreeMap<u128, Known>) {
    let all = pages(client, "", 1_000);
    assert_eq!(all.len(), known.len());
    let amount = |item: &Value| item["amount"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("an amount");
    let middle = all[all.len() / 2]["decided_at"].as_str().expect("a time").to_owned();
    let mut conditions: Vec<(String, Fits)> = Vec::new();
    let mut add = |query: String, fits: Fits| conditions.push((query, fits));
    for status in ["posted", "held", "in_review", "declined", "refused", "voided", "expired", "refunded"] {
        add(format!("status={status}"), Box::new(move |item, _| item["status"] == status));
    }
    for kind in ["card", "transfer", "unheard_of"] {
        add(format!("type={kind}"), Box::new(move |item, _| item["type"] == kind));
    }
    for decision in ["approve", "review", "decline"] {
        add(format!("decision={decision}"), Box::new(move |item, _| item["verdict"] == decision));
    }
    for customer in ["ann", "bob", "cy", "nobody"] {
        add(format!("customer={customer}"), Box::new(move |_, known| known.parties.contains(&customer)));
    }
    add("device=d1".to_owned(), Box::new(|_, known| known.device == Some("d1")));
    for reason in ["unknown_device", "large"] {
        add(format!("reason={reason}"), Box::new(move |_, known| known.reasons.contains(&reason)));
    }
    for label in ["fraud", "legitimate"] {
        add(format!("label={label}"), Box::new(move |item, _| item["label"]["label"] == label));
    }
    for tier in ["\"gold\"", "7"] {
        let value = tier.replace('"', "%22");
        add(format!("metadata.tier={value}"), Box::new(move |_, known| known.tier == Some(tier)));
    }
    add("min_amount=1003&max_amount=1015".to_owned(), Box::new(move |item, _| (1_003..=1_015).contains(&amount(item))));
    add("min_amount=50000".to_owned(), Box::new(move |item, _| amount(item) >= 50_000));
    add("ledger=978".to_owned(), Box::new(|item, _| item["ledger"] == 978));
    let (from, to) = (middle.clone(), middle.clone());
    add(format!("min_timestamp={middle}"), Box::new(move |item, _| item["decided_at"].as_str() >= Some(&from)));
    add(format!("max_timestamp={middle}"), Box::new(move |item, _| item["decided_at"].as_str() <= Some(&to)));

    let expect = |query: &str, fits: &dyn Fn(&Value, &Known) -> bool| {
        let mut expected: Vec<u128> = all.iter().filter(|item| fits(item, &known[&id_of(item)])).map(id_of).collect();
        for (order, limit) in [("", 1_000), ("&reversed=true", 3)] {
            let found: Vec<u128> = pages(client, &format!("{query}{order}"), limit).iter().map(id_of).collect();
            assert_eq!(found, expected, "{query}{order}");
            expected.reverse();
        }
    };
    for (query, fits) in &conditions {
        expect(query, fits);
    }
    // Every pair of conditions that a query can have at once.
    for (place, (query, fits)) in conditions.iter().enumerate() {
        let name = |query: &str| query.split('=').next().unwrap_or_default().to_owned();
        for (other, also) in
            conditions.iter().skip(place + 3).step_by(5).filter(|(other, _)| name(other) != name(query))
        {
            let overlaps = query.contains("min_amount") && other.contains("min_amount");
            if !overlaps {
                expect(&format!("{query}&{other}"), &|item, known| fits(item, known) && also(item, known));
            }
        }
    }
}

#[test]
fn payments_are_found_by_every_condition_also_after_a_restart_and_without_the_index() {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    let known = history(&client);
    check_all(&client, &known);
    let entity = |client: &Client, path: &str| client.get(&format!("/v1/entities/{path}"));
    let shown = entity(&client, "customer/ann?limit=2");
    check_entity(&shown, &client);
    assert_eq!(entity(&client, "customer/nobody").code(), "entity_not_found");
    assert_eq!(entity(&client, "planet/mars").code(), "entity_not_found");
    drop(server);
    let server = Server::start(data.path());
    let client = server.client(&client.key);
    check_all(&client, &known);
    assert_eq!(entity(&client, "customer/ann?limit=2").body["decisions"], shown.body["decisions"]);
    drop(server);
    std::fs::remove_dir_all(data.path().join("index")).expect("it goes");
    let server = Server::start(data.path());
    check_all(&server.client(&client.key), &known);
}

fn check_entity(shown: &Reply, client: &Client) {
    assert_eq!(shown.status, 200, "{shown:?}");
    let all = pages(client, "customer=ann", 1_000);
    let count = |decision: &str| all.iter().filter(|item| item["verdict"] == decision).count();
    assert_eq!(shown.body["payments"], all.len());
    assert_eq!(shown.body["complete"], true);
    assert_eq!(shown.text("first_seen"), all[0]["decided_at"]);
    assert_eq!(shown.text("last_seen"), all[all.len() - 1]["decided_at"]);
    assert_eq!(shown.body["decisions"]["approve"], count("approve"));
    assert_eq!(shown.body["decisions"]["review"], count("review"));
    let newest: Vec<u128> = shown.body["newest"].as_array().expect("a list").iter().map(id_of).collect();
    assert_eq!(newest, all.iter().rev().take(2).map(id_of).collect::<Vec<_>>());
    let features = shown.body["features"].as_array().expect("a list");
    let attempts = features.iter().find(|feature| feature["name"] == "attempts_1h").expect("the policy has it");
    // Payment 200 names it as the recipient, whose attempts the stream does not count.
    let attempted = all.iter().filter(|item| item["type"] != "top_up" && id_of(item) != 200).count();
    assert_eq!(attempts["value"], attempted, "{attempts}");
}

#[test]
fn a_condition_that_is_unknown_or_invalid_is_named() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    for (query, code, named) in [
        ("planet=mars", "unknown_parameter", "device"),
        ("status=paid", "invalid_parameter", "refunded"),
        ("decision=maybe", "invalid_parameter", "approve, review, decline"),
        ("min_amount=2&max_amount=1", "invalid_parameter", "max_amount"),
        ("min_amount=1.5", "invalid_parameter", ""),
        ("metadata.tier=gold", "invalid_parameter", "JSON"),
        ("type=A%20B", "invalid_parameter", ""),
    ] {
        let refused = client.get(&format!("/v1/payments?{query}"));
        assert_eq!((refused.status, refused.code()), (400, code), "{query}: {refused:?}");
        assert!(refused.text("detail").contains(named), "{query}: {refused:?}");
    }
}

/// More than the server examines for one page.
const REFUNDED: u128 = 2_004;

#[test]
fn a_filter_that_would_scan_says_so() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    std::thread::scope(|scope| {
        for first in 1..=4 {
            let client = client.clone();
            scope.spawn(move || {
                for id in (first..=REFUNDED).step_by(4) {
                    let made = client.post("/v1/payments", &payment(id, "top_up", 7, &json!({"customer": "ann"})));
                    assert_eq!(made.status, 201, "{made:?}");
                    assert_eq!(client.verb(&id.to_string(), "refund", "once").status, 200);
                }
            });
        }
    });
    // All of them were posted, and none is.
    let refused = client.get("/v1/payments?status=posted&type=top_up");
    assert_eq!((refused.status, refused.code()), (422, "filter_would_scan"), "{refused:?}");
    assert!(refused.text("detail").contains("`status`, `type`"), "{refused:?}");
    assert_eq!(client.get("/v1/payments?status=posted&customer=bob").body["items"], json!([]));
    assert_eq!(pages(&client, "status=refunded", 1_000).len(), usize::try_from(REFUNDED).expect("small"));
    // A payment behind them is found, from the other end at once and from here with a narrower period.
    let last = client.post("/v1/payments", &payment(9_999, "top_up", 7, &json!({"customer": "ann"})));
    let from = format!("/v1/payments?status=posted&min_timestamp={}", last.text("decided_at"));
    for path in [from.as_str(), "/v1/payments?status=posted&reversed=true&limit=1"] {
        let found = client.get(path);
        assert_eq!(found.body["items"].as_array().map(Vec::len), Some(1), "{path}: {found:?}");
    }
    let entity = client.get("/v1/entities/customer/ann?limit=1");
    assert_eq!((&entity.body["payments"], &entity.body["complete"]), (&json!(2_000), &json!(false)), "{entity:?}");
    assert_eq!(entity.text("last_seen"), last.text("decided_at"));
}

#[test]
fn a_cursor_behind_every_payment_gives_an_empty_page() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    for id in [1, 2] {
        client.pay(id, "top_up", 100, &json!({"customer": "alice"}));
    }
    let first = client.get("/v1/payments?limit=1");
    let cursor = first.text("next_cursor");
    let (before, _) = cursor.split_at(cursor.trim_end_matches(|digit: char| digit.is_ascii_digit()).len());
    let page = client.get(&format!("/v1/payments?cursor={before}{}", u64::MAX));
    assert_eq!((page.status, page.body["items"].as_array().map(Vec::len)), (200, Some(0)), "{page:?}");
    assert_eq!(client.pay(3, "top_up", 100, &json!({"customer": "alice"})).status, 201);
}
