//! Queries about the past over a real socket: lists of transfers, past balances and sums, statements.

use api::packed::{ResultRecord, TransferRecord};
use serde_json::{Value, json};
use types::Timestamp;

use crate::harness::{Client, Reply, Server, eventually, first_start, payment};

const WORLD: &str = "10";
const WALLET: &str = "20";

fn start() -> (tempfile::TempDir, Server, Client) {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "USD/2"})).status, 201);
    let accounts = json!({"accounts": [
        {"id": WORLD, "ledger": 1, "code": 1},
        {"id": WALLET, "ledger": 1, "code": 2, "address": "customers:c42:wallet"},
    ]});
    assert_eq!(client.post("/v1/accounts/batch", &accounts).status, 200);
    (data, server, client)
}

/// A transfer of 250 to the wallet, changed by `fields`.
fn transfer(id: u32, fields: Value) -> Value {
    let mut body = json!({
        "id": id.to_string(), "debit_account": WORLD, "credit_account": WALLET,
        "amount": "250", "asset": "USD/2", "code": 1,
    });
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().expect("an object").extend(fields);
    body
}

#[track_caller]
fn found(client: &Client, path: &str) -> Value {
    let reply = client.get(path);
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.body
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
}

/// Reads every item of a list, page by page.
#[track_caller]
fn all(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        let mut page = found(client, &format!("{path}{mark}limit={limit}{cursor}"));
        let list = if page["lines"].is_array() { "lines" } else { "items" };
        let Value::Array(more) = page[list].take() else { panic!("a page has items") };
        assert!(more.len() <= limit, "{path}: {} items, {limit} asked", more.len());
        items.extend(more);
        let Some(next) = page["next_cursor"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap_or("-").to_owned()).collect()
}

/// The four balances of an account or of a similar object.
fn sums(of: &Value) -> [String; 4] {
    ["debits_pending", "debits_posted", "credits_pending", "credits_posted"]
        .map(|field| of[field].as_str().unwrap_or("(absent)").to_owned())
}

/// Makes all kinds of transfers with a wallet. Returns the time of each, and the wallet's balances in the response.
fn story(client: &Client) -> Vec<(String, [String; 4])> {
    let mut told = Vec::new();
    let mut make = |body: Value| {
        let reply = client.post("/v1/transfers", &body);
        assert_eq!(reply.status, 201, "{reply:?}");
        let wallet = if reply.text("credit_account").ends_with("14") { "credit_balances" } else { "debit_balances" };
        told.push((reply.text("created_at").to_owned(), sums(&reply.body[wallet])));
    };
    make(transfer(100, json!({"user_data_64": "7"})));
    make(transfer(101, json!({"flags": ["pending"], "code": 2})));
    make(transfer(102, json!({"flags": ["pending"], "timeout_s": 1})));
    make(json!({"id": "103", "pending_id": "101", "amount": "200", "flags": ["post_pending_transfer"]}));
    make(transfer(104, json!({"flags": ["pending"], "amount": "70"})));
    make(json!({"id": "105", "pending_id": "104", "flags": ["void_pending_transfer"], "amount": "0"}));
    make(transfer(106, json!({"debit_account": WALLET, "credit_account": WORLD, "amount": "30"})));
    make(transfer(107, json!({"flags": ["pending"], "amount": "5"})));
    eventually(|| (sums(&client.get("/v1/accounts/20").body)[2] == "5").then_some(()));
    make(transfer(108, json!({"amount": "1"})));
    told
}

#[test]
fn past_balances_are_exact_at_every_instant() {
    let (data, server, client) = start();
    let told = story(&client);
    let check = |client: &Client| {
        for (at, balances) in &told {
            let then = found(client, &format!("/v1/accounts/20/balance?at={at}"));
            assert_eq!((&sums(&then), then["at"].as_str()), (balances, Some(at.as_str())));
            let totals = found(client, &format!("/v1/ledgers/1/trial-balance?at={at}"));
            assert_eq!(totals["accounts"], 2);
            let [debits_pending, debits_posted, credits_pending, credits_posted] = sums(&totals);
            assert_eq!((debits_pending, debits_posted), (credits_pending.clone(), credits_posted));
            assert_eq!(credits_pending, balances[2], "every pending transfer is one into the wallet");
        }
        let rows = all(client, "/v1/accounts/20/balances", 1000);
        assert_eq!(
            rows.iter().map(sums).collect::<Vec<_>>(),
            told.iter().map(|(_, sums)| sums.clone()).collect::<Vec<_>>()
        );
        assert_eq!(all(client, "/v1/accounts/customers:c42:wallet/balances", 2), rows);
        let mut reversed = all(client, "/v1/accounts/20/balances?reversed=true", 3);
        reversed.reverse();
        assert_eq!(reversed, rows);
        let before = found(client, "/v1/accounts/20/balance?at=2020-01-01T00:00:00Z");
        assert_eq!((sums(&before), &before["clock"]), (["0"; 4].map(str::to_owned), &json!("booked")));
        let now = found(client, "/v1/accounts/20/balance");
        assert_eq!(sums(&now), told.last().expect("at least one transfer").1);
        assert_eq!(now["balance"], "421");
        let opened = found(client, "/v1/ledgers/1/trial-balance?at=2020-01-01T00:00:00Z");
        assert_eq!((opened["accounts"].clone(), sums(&opened)), (json!(0), ["0"; 4].map(str::to_owned)));
        // The reservation was released between the expiry and the next transfer.
        let expiry = found(client, "/v1/transfers/102");
        let at = expiry["expires_at"].as_str().expect("the transfer has a timeout").to_owned();
        assert_eq!(expiry["state"], "expired");
        let just_before = &told[7].0;
        assert_eq!(sums(&found(client, &format!("/v1/accounts/20/balance?at={just_before}")))[2], "255");
        assert!(at > *just_before);
    };
    check(&client);
    let key = server.key.clone().expect("a key");
    server.kill();
    let server = Server::start(data.path());
    check(&server.client(&key));
}

#[test]
fn a_row_that_was_imported_after_a_later_expiry_does_not_depend_on_the_other_rows() {
    let (_data, _server, client) = start();
    let make = |body: Value| {
        let reply = client.post("/v1/transfers", &body);
        assert_eq!(reply.status, 201, "{reply:?}");
        (reply.text("created_at").to_owned(), sums(&reply.body["credit_balances"]))
    };
    let hold = make(transfer(100, json!({"flags": ["pending"], "timeout_s": 1, "amount": "50"})));
    eventually(|| (sums(&client.get("/v1/accounts/20").body)[2] == "0").then_some(()));
    let ns = hold.0.parse::<Timestamp>().expect("a time").ns();
    let imported = |id: u32, later_ns: u64| {
        let at = Timestamp::from_ns(ns + later_ns).to_string();
        make(transfer(id, json!({"flags": ["imported"], "timestamp": at, "amount": "7"})))
    };
    let rows = [hold, imported(101, 1_000_000), imported(102, 2_000_000), make(transfer(103, json!({"amount": "1"})))];
    let told: Vec<_> = rows.iter().map(|(_, sums)| sums.clone()).collect();
    assert_eq!(told[1], ["0", "0", "0", "7"].map(str::to_owned));

    let shown = |query: &str| all(&client, &format!("/v1/accounts/20/balances{query}"), 10).iter().map(sums).collect();
    let together: Vec<[String; 4]> = shown("");
    assert_eq!(together, told, "each row shows the balances that the response to its transfer showed");
    for (first, (from, _)) in rows.iter().enumerate() {
        for (last, (to, _)) in rows.iter().enumerate().skip(first) {
            let part: Vec<[String; 4]> = shown(&format!("?min_timestamp={from}&max_timestamp={to}"));
            assert_eq!(part, told[first..=last], "rows {first} to {last}");
        }
        // A statement opens with everything before its first instant.
        let statement = found(&client, &format!("/v1/accounts/20/statement?from={from}"));
        let before = ["0", "0", "7", "14"][first];
        assert_eq!(statement["opening_balance"], before, "from row {first}");
        let at = found(&client, &format!("/v1/accounts/20/balance?at={from}"));
        assert_eq!(at["balance"], ["0", "7", "14", "15"][first], "at row {first}");
    }
}

#[test]
fn a_statement_adds_up_page_by_page() {
    let (_data, _server, client) = start();
    let told = story(&client);
    let whole = found(&client, "/v1/accounts/20/statement");
    let lines = whole["lines"].as_array().expect("lines").clone();
    assert_eq!(texts(&lines, "amount"), ["250", "200", "30", "1"], "pending transfers are not in a statement");
    assert_eq!(texts(&lines, "side"), ["credit", "credit", "debit", "credit"]);
    assert_eq!(texts(&lines, "balance"), ["250", "450", "420", "421"]);
    assert_eq!((&whole["opening_balance"], &whole["closing_balance"]), (&json!("0"), &json!("421")));
    for limit in 1..4 {
        assert_eq!(all(&client, "/v1/accounts/20/statement", limit), lines);
    }
    let first = found(&client, "/v1/accounts/20/statement?limit=3");
    let next = first["next_cursor"].as_str().expect("there is another page");
    let second = found(&client, &format!("/v1/accounts/20/statement?limit=3&cursor={next}"));
    assert_eq!(second["opening_balance"], first["closing_balance"]);
    // Adjacent periods do not overlap.
    let noon = &told[3].0;
    let before = found(&client, &format!("/v1/accounts/20/statement?to={noon}"));
    let after = found(&client, &format!("/v1/accounts/20/statement?from={noon}"));
    assert_eq!((texts(before["lines"].as_array().expect("lines"), "amount")).len(), 1);
    assert_eq!((&before["closing_balance"], &after["opening_balance"]), (&json!("250"), &json!("250")));
    refused(&client.get(&format!("/v1/accounts/20/statement?from={noon}&to={noon}")), 400, "invalid_parameter");
}

#[test]
fn pages_are_consistent_for_every_size_and_during_writes() {
    let (data, server, client) = start();
    assert_eq!(client.activate(fixtures::WALLET).status, 201);
    let (customer, card) = (json!({"customer": "alice"}), json!({"customer": "alice"}));
    assert_eq!(client.pay(1, "top_up", 5_000, &customer).status, 201);
    assert_eq!(client.pay(2, "card", 99, &card).status, 201);
    story(&client);
    assert_eq!(client.verb("2", "capture", "k1").status, 200);
    let lists = ["/v1/transfers", "/v1/transfers?account=20", "/v1/accounts/20/transfers?side=credits"];
    let whole = lists.map(|list| all(&client, list, 1000));
    assert_eq!(whole.each_ref().map(Vec::len), [12, 9, 8]);
    let states = ["-", "posted", "-", "posted", "expired", "-", "voided", "-", "-", "pending", "-", "-"];
    assert_eq!(texts(&whole[0], "state"), states, "payments are in the list of all transfers");
    let check = |client: &Client| {
        for (list, expected) in lists.iter().zip(&whole) {
            for limit in [1, 2, 5] {
                assert_eq!(&all(client, list, limit), expected, "{list} by {limit}");
                let mark = if list.contains('?') { '&' } else { '?' };
                let mut reversed = all(client, &format!("{list}{mark}reversed=true"), limit);
                reversed.reverse();
                assert_eq!(&reversed, expected, "{list} by {limit} reversed");
            }
        }
    };
    check(&client);
    let key = server.key.clone().expect("a key");
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&key);
    check(&client);

    let page = found(&client, "/v1/transfers?account=20&limit=4");
    let back = found(&client, "/v1/transfers?account=20&limit=4&reversed=true");
    for id in 200..220 {
        assert_eq!(client.post("/v1/transfers", &transfer(id, json!({}))).status, 201);
    }
    let next = |page: &Value| page["next_cursor"].as_str().expect("there is another page").to_owned();
    let rest = found(&client, &format!("/v1/transfers?account=20&limit=5&cursor={}", next(&page)));
    assert_eq!(rest["items"].as_array().expect("items")[..], whole[1][4..]);
    let rest = found(&client, &format!("/v1/transfers?account=20&reversed=true&cursor={}", next(&back)));
    assert_eq!(rest["items"].as_array().expect("items").len(), 5, "the cursor excludes later transfers");
    assert_eq!(all(&client, "/v1/transfers", 7).len(), 32);
}

#[test]
fn transfers_are_found_by_their_fields() {
    let (_data, _server, client) = start();
    let told = story(&client);
    let ids = |query: &str| -> Vec<u128> {
        let items = all(&client, &format!("/v1/transfers?{query}"), 2);
        let id = |item: &Value| u128::from_str_radix(&item["id"].as_str().expect("an id").replace('-', ""), 16);
        items.iter().map(|item| id(item).expect("a UUID")).collect()
    };
    assert_eq!(ids("account=20&side=debits"), [106]);
    assert_eq!(ids("account=20&code=2"), [101, 103]);
    assert_eq!(ids("account=customers:c42:wallet&user_data_64=7"), [100]);
    assert_eq!(ids(&format!("account=20&min_timestamp={}&max_timestamp={}", told[2].0, told[4].0)), [102, 103, 104]);
    let times = format!("min_timestamp={}&max_timestamp={}", told[2].0, told[4].0);
    assert_eq!(ids(&times), [102, 103, 104]);
    assert_eq!(ids(&format!("{times}&reversed=true")), [104, 103, 102]);
    assert_eq!(ids("account=20&ledger=2"), [0; 0]);

    let refusal = client.get("/v1/transfers?ledger=1&code=2");
    refused(&refusal, 400, "field_not_indexed");
    let detail = refusal.text("detail");
    for part in ["code is not indexed for ledger 1", "POST /v1/ledgers/1/indexes", "GET /v1/transfers?account="] {
        assert!(detail.contains(part), "{refusal:?}");
    }
    refused(&client.get("/v1/transfers?code=2"), 400, "nothing_to_find");
    assert_eq!(client.post("/v1/ledgers/1/indexes", &json!({"fields": ["code", "ledger"]})).status, 200);
    eventually(|| (client.get("/v1/transfers?ledger=1&code=2").status == 200).then_some(()));
    assert_eq!(ids("ledger=1&code=2"), [101, 103]);
    assert_eq!(ids("ledger=1&reversed=true"), [108, 107, 106, 105, 104, 103, 102, 101, 100]);

    let gold = json!({"metadata": {"order": "gold"}});
    for id in [103, 100, 108] {
        assert_eq!(client.post(&format!("/v1/transfers/{id}/metadata"), &gold).status, 200);
    }
    assert_eq!(ids("metadata.order=%22gold%22"), [100, 103, 108]);
    assert_eq!(ids("metadata.order=%22gold%22&account=20&code=2"), [103]);
    assert_eq!(ids("metadata.order=7"), [0; 0]);

    assert_eq!(texts(&all(&client, "/v1/transfers/pending", 1), "amount"), ["5"], "all others are resolved");
    assert_eq!(client.post("/v1/transfers", &transfer(109, json!({"flags": ["pending"]}))).status, 201);
    for query in ["", "?account=20", "?ledger=1", "?account=10&ledger=1"] {
        let pending = all(&client, &format!("/v1/transfers/pending{query}"), 1);
        assert_eq!(texts(&pending, "amount"), ["5", "250"], "{query}");
        assert_eq!(texts(&pending, "state"), ["pending", "pending"]);
    }
    assert_eq!(all(&client, "/v1/transfers/pending?ledger=2", 9), [Value::Null; 0]);
}

#[test]
fn an_invalid_query_is_rejected_with_the_reason() {
    let (_data, _server, client) = start();
    story(&client);
    let cursor = found(&client, "/v1/transfers?limit=1")["next_cursor"].as_str().expect("more").to_owned();
    for (path, status, code) in [
        ("/v1/transfers?account=99", 404, "account_not_found"),
        ("/v1/transfers?account=no:body", 404, "address_not_found"),
        ("/v1/transfers?account=%20", 400, "invalid_parameter"),
        ("/v1/transfers?side=debits", 400, "invalid_parameter"),
        ("/v1/transfers?account=20&side=left", 400, "invalid_parameter"),
        ("/v1/transfers?colour=red", 400, "unknown_parameter"),
        ("/v1/transfers?metadata.order=gold", 400, "invalid_parameter"),
        ("/v1/transfers?metadata.order=7&reversed=true", 400, "invalid_parameter"),
        (&format!("/v1/transfers?account=20&cursor={cursor}"), 400, "invalid_parameter"),
        (
            "/v1/transfers?min_timestamp=2027-01-01T00:00:00Z&max_timestamp=2026-01-01T00:00:00Z",
            400,
            "invalid_parameter",
        ),
        ("/v1/accounts/99/balances", 404, "account_not_found"),
        ("/v1/accounts/20/balance?at=yesterday", 400, "invalid_parameter"),
        ("/v1/accounts/20/balance?clock=booked", 400, "invalid_parameter"),
        ("/v1/accounts/20/balance?at=2026-01-01T00:00:00Z&clock=sun", 400, "invalid_parameter"),
        ("/v1/ledgers/9/trial-balance?at=2026-01-01T00:00:00Z", 404, "ledger_not_found"),
        ("/v1/transfers/pending?limit=0", 400, "invalid_parameter"),
        ("/v1/accounts/20/statement?limit=1001", 400, "page_size_too_large"),
    ] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.code()), (status, code), "{path}: {reply:?}");
    }
}

#[test]
fn transfers_in_the_index_are_returned_like_newer_ones() {
    const BATCHES: u64 = 34;
    let (data, server, client) = start();
    let told = story(&client);
    let blank = TransferRecord::decode(&[0; 128]);
    let times: Vec<String> = (0..BATCHES)
        .map(|batch| {
            let record = |number: u64| TransferRecord {
                id: u128::from(1_000_000 + batch * 8_190 + number),
                debit_account_id: 10,
                credit_account_id: 20,
                amount: 1,
                ledger: 1,
                code: 1,
                ..blank
            };
            let events: Vec<u8> = (0..8_190).flat_map(|number| record(number).encode()).collect();
            let results = client.packed("/v1/packed/create-transfers", &events);
            let (results, _) = results.as_chunks();
            Timestamp::from_ns(ResultRecord::decode(results.last().expect("a result")).timestamp).to_string()
        })
        .collect();
    let index = eventually(|| Some(client.get("/v1/index").body).filter(|index| index["idle"] == true));
    assert!(index["runs"].as_u64().is_some_and(|runs| runs > 0), "a generation ended: {index}");

    let check = |client: &Client| {
        for (at, balances) in &told {
            assert_eq!(&sums(&found(client, &format!("/v1/accounts/20/balance?at={at}"))), balances);
        }
        // The account has more than 200,000 transfers.
        let occurred = client.get(&format!("/v1/accounts/20/balance?at={}&clock=occurred", times[0]));
        refused(&occurred, 422, "too_much_to_add_up");
        assert!(occurred.text("detail").contains("ask with `clock=booked`"), "{occurred:?}");
        for batch in [0, 15, 31, 32, 33] {
            let at = &times[usize::try_from(batch).expect("a batch")];
            let then = found(client, &format!("/v1/accounts/20/balance?at={at}"));
            assert_eq!(then["balance"], (421 + (batch + 1) * 8_190).to_string(), "after batch {batch}");
            let totals = found(client, &format!("/v1/ledgers/1/trial-balance?at={at}"));
            assert_eq!(totals["debits_posted"], (481 + (batch + 1) * 8_190).to_string(), "after batch {batch}");
            assert_eq!((&totals["credits_pending"], &totals["accounts"]), (&json!("5"), &json!(2)));
            let line = found(client, &format!("/v1/accounts/20/statement?from={at}&limit=1"));
            assert_eq!(line["lines"][0]["balance"], then["balance"]);
            for path in ["/v1/transfers?", "/v1/transfers?account=20&", "/v1/accounts/20/balances?"] {
                let span = format!("{path}min_timestamp={at}&max_timestamp={at}");
                let (one, reversed) = (all(client, &span, 2), all(client, &format!("{span}&reversed=true"), 2));
                assert_eq!((one.len(), &one), (1, &reversed), "{span}");
            }
        }
    };
    check(&client);
    let key = server.key.clone().expect("a key");
    server.kill();
    let server = Server::start(data.path());
    check(&server.client(&key));
}

#[test]
fn late_payments_count_from_their_declared_time() {
    let (_data, _server, client) = first_start(&[]);
    let declared = "[payments.top_up]\nledger = \"eur\"\noccurred_at = { late_max = \"30d\", ahead_max = \"0s\" }\n";
    let activated = client.activate(&fixtures::WALLET.replace("[payments.top_up]\nledger = \"eur\"\n", declared));
    assert_eq!(activated.status, 201, "{activated:?}");
    let pay = |id: u128, amount: u64, occurred_at: Option<&str>| {
        let mut body = payment(id, "top_up", amount, &json!({"customer": "alice"}));
        if let Some(at) = occurred_at {
            body["occurred_at"] = json!(at);
        }
        let paid = client.post("/v1/payments", &body);
        assert_eq!(paid.status, 201, "{paid:?}");
    };
    pay(1, 500, None);
    let made = all(&client, "/v1/transfers", 9);
    let booked = made[0]["created_at"].as_str().expect("a time").to_owned();
    let wallet = made[0]["credit_account"].as_str().expect("an account").to_owned();
    let late = Timestamp::from_ns(booked.parse::<Timestamp>().expect("a time").ns() - 3_600_000_000_000).to_string();
    pay(2, 70, Some(&late));
    let balance = |at: &str, clock: &str| {
        found(&client, &format!("/v1/accounts/{wallet}/balance?at={at}&clock={clock}"))["balance"].clone()
    };
    assert_eq!((balance(&late, "booked"), balance(&late, "occurred")), (json!("0"), json!("70")));
    assert_eq!((balance(&booked, "booked"), balance(&booked, "occurred")), (json!("500"), json!("570")));
}

#[test]
fn a_payment_captured_in_parts_has_its_balances_at_every_instant() {
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.activate(fixtures::WALLET).status, 201);
    let attributes = json!({"customer": "alice"});
    let mut told: Vec<(String, [String; 4], [String; 4])> = Vec::new();
    let mut steps: Vec<Box<dyn Fn() -> Reply>> = vec![
        Box::new(|| client.pay(1, "top_up", 5_000, &attributes)),
        Box::new(|| client.pay(2, "card", 1_000, &attributes)),
    ];
    for (number, (verb, portion)) in [
        ("capture", json!({"amount": "333"})),
        ("void", json!({"amount": "50"})),
        ("capture", json!({"amount": "333"})),
        ("capture", json!({"amount": "200", "final": true})),
        ("refund", json!({"amount": "450"})),
        ("refund", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let client = client.clone();
        steps.push(Box::new(move || client.part(2, verb, &format!("k-{number}"), &portion)));
    }
    let mut wallet = String::new();
    for step in &steps {
        let reply = step();
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        let made = all(&client, "/v1/transfers", 100);
        wallet = made[0]["credit_account"].as_str().expect("an account").to_owned();
        let at = made.last().expect("a transfer")["created_at"].as_str().expect("a time").to_owned();
        let now = sums(&found(&client, &format!("/v1/accounts/{wallet}")));
        told.push((at, now, sums(&found(&client, "/v1/ledgers/978/trial-balance"))));
    }
    let paid = client.get("/v1/payments/2").body;
    let amounts = ["amount", "captured", "released", "refunded", "status"].map(|field| paid[field].clone());
    assert_eq!(amounts, ["1000", "866", "134", "866", "refunded"].map(|text| json!(text)));
    let check = |client: &Client| {
        let rows = all(client, &format!("/v1/accounts/{wallet}/balances"), 7);
        for (at, balances, totals) in &told {
            for clock in ["booked", "occurred"] {
                let then = found(client, &format!("/v1/accounts/{wallet}/balance?at={at}&clock={clock}"));
                assert_eq!(&sums(&then), balances, "at {at} by the time it {clock}");
            }
            assert_eq!(&sums(&found(client, &format!("/v1/ledgers/978/trial-balance?at={at}"))), totals, "at {at}");
            let row = rows.iter().find(|row| row["timestamp"] == **at).expect("a row for each transfer");
            assert_eq!(&sums(row), balances, "{row}");
        }
        // What was posted: the top-up; three parts and their fees of 3, 4 and 2; and two refunds with fees of 5 and 4.
        let lines = all(client, &format!("/v1/accounts/{wallet}/statement?from={}", told[0].0), 3);
        let balances = ["5000", "4667", "4664", "4331", "4327", "4127", "4125", "4130", "4580", "4584", "5000"];
        assert_eq!(texts(&lines, "balance"), balances, "{lines:?}");
    };
    check(&client);
    let key = server.key.clone().expect("a key");
    server.kill();
    check(&Server::start(data.path()).client(&key));
}
