//! Runs `finaira export` beside a running server.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};
use types::Timestamp;

use crate::harness::{Client, eventually, finaira, first_start};

const POLICY: &str = r#"
name = "shop"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[entities.terminal]
personal = false
[accounts.customer]
ledger = "eur"
code = 10
per = "customer"
[accounts.shop]
ledger = "eur"
code = 20
[payments.card]
ledger = "eur"
subject = "customer"
occurred_at = { late_max = "30d", ahead_max = "0s" }
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
terminal = { type = "entity", entity = "terminal", required = false }
phone = { type = "string", chars_max = 20, required = false, personal = true }
country = { type = "string", chars_max = 12, required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "customer" }
credit = { account = "shop" }
code = 1
[payments.refund]
ledger = "eur"
[payments.refund.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.refund.legs]]
debit = { account = "shop" }
credit = { account = "customer", of = "customer" }
code = 2
[streams.by_customer]
of = "customer"
clock = "occurred_at"
counts = "attempted"
[streams.by_terminal]
of = "terminal"
clock = "occurred_at"
counts = "attempted"
payments = ["card"]
[features.spend]
stream = "by_customer"
aggregate = "sum"
window = "2d"
[features.usual]
stream = "by_customer"
aggregate = "mean"
window = "10d"
[features.risk]
stream = "by_terminal"
aggregate = "label_rate"
window = "10d"
payments = ["card"]
[features.country]
expression = "payment.country"
payments = ["card"]
[features.score]
expression = "payment.amount > 5000"
[[rules]]
name = "large"
when = "payment.amount > 100000"
then = { decline = true }
[[rules]]
name = "jump"
when = "double(payment.amount) > 2.0 * features.usual"
then = { score = 70 }
[[rules]]
name = "abroad"
when = "payment.terminal == 't3'"
then = { tag = "abroad" }
payments = ["card"]
[labels]
positive = ["fraud"]
[file]
payment = "card"
id = "id"
time = "time"
amount = { column = "amount", unit = "minor" }
label = { column = "fraud", positive = ["1"], delay = "0s" }
[file.attributes]
customer = "customer"
terminal = "terminal"
country = "country"
"#;

/// A payment by card, and whether it is labelled as fraud right after it.
struct Paid {
    at: Timestamp,
    amount: u64,
    customer: String,
    terminal: Option<&'static str>,
    country: Option<&'static str>,
    is_fraud: bool,
}

/// Payments of the last days, in order of time, such that every feature has several values and is sometimes missing.
fn payments() -> Vec<Paid> {
    let start = now().ns() - 20 * 86_400 * 1_000_000_000;
    let one = |n: u64| Paid {
        at: Timestamp::from_ns(start + n * 7_200 * 1_000_000_000 + n * 1_003),
        amount: if n % 19 == 18 { 100_001 + n } else { 100 + (n * 7_919) % 9_000 },
        customer: format!("customer {}", n % 7),
        terminal: [Some("t1"), Some("t2"), None, Some("t3")][usize::try_from(n % 4).unwrap()],
        country: [Some("NO"), None, Some(""), Some("a, \"b\"")][usize::try_from(n / 3 % 4).unwrap()],
        is_fraud: n.is_multiple_of(5),
    };
    (0..120).map(one).collect()
}

#[expect(clippy::disallowed_methods, reason = "payments are declared a few days before the present time")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_ns(u64::try_from(since.as_nanos()).unwrap())
}

fn pay(client: &Client, number: u128, paid: &Paid) {
    let mut attributes = json!({"customer": paid.customer, "phone": "+47 99887766"});
    if let Some(terminal) = paid.terminal {
        attributes["terminal"] = terminal.into();
    }
    if let Some(country) = paid.country {
        attributes["country"] = country.into();
    }
    let body = json!({
        "id": number.to_string(), "type": "card", "amount": paid.amount.to_string(), "asset": "EUR/2",
        "occurred_at": paid.at.to_string(), "attributes": attributes,
    });
    let reply = client.post("/v1/payments", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
}

fn label(client: &Client, number: u128, label: &str) {
    let reply = client.post("/v1/labels", &json!({"payment": number.to_string(), "label": label}));
    assert_eq!(reply.status, 201, "{reply:?}");
}

fn activate(client: &Client, policy: &str) {
    let reply = client.activate(policy);
    assert_eq!(reply.status, 201, "{reply:?}");
}

/// Exports to a file with this ending. Waits until the mark of the journal covers this many decisions and labels.
#[track_caller]
fn export(data: &Path, name: &str, options: &[&str], rows: usize) -> std::path::PathBuf {
    let output = data.join(name);
    let arguments = ["export", "--data", data.to_str().unwrap(), "--output", output.to_str().unwrap()];
    eventually(|| {
        let (is_done, said) = finaira(&[&arguments, options].concat());
        assert!(is_done, "{said}");
        said.replace(',', "").starts_with(&format!("Exported {rows} decisions with ")).then_some(())
    });
    output
}

/// Waits until the mark covers everything: exports until the text contains this.
#[track_caller]
fn exported(data: &Path, options: &[&str], expected: &str) -> Vec<BTreeMap<String, Value>> {
    let output = data.join("waiting.jsonl");
    let arguments = ["export", "--data-dir", data.to_str().unwrap(), "--output", output.to_str().unwrap()];
    eventually(|| {
        let (is_done, said) = finaira(&[&arguments, options].concat());
        assert!(is_done, "{said}");
        said.contains(expected).then_some(())
    });
    lines(&output)
}

fn lines(file: &Path) -> Vec<BTreeMap<String, Value>> {
    fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(file: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn field(row: &Row, column: &str) -> Field {
    let found = row.get_column_iter().find(|(name, _)| *name == column);
    found.unwrap_or_else(|| panic!("no column {column}")).1.clone()
}

/// The number of the payment in a row.
fn number(row: &BTreeMap<String, Value>) -> u128 {
    row["payment"].as_str().and_then(|id| u128::from_str_radix(&id.replace('-', ""), 16).ok()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[test]
fn the_features_are_those_of_a_backtest_value_for_value() {
    let (data, _server, client) = first_start(&[]);
    activate(&client, POLICY);
    let paid = payments();
    let mut file = "id,time,amount,customer,terminal,country,fraud\n".to_owned();
    for (number, paid) in (1..).zip(&paid) {
        pay(&client, number, paid);
        if paid.is_fraud {
            label(&client, number, "fraud");
        }
        // An empty attribute cannot be told from an absent one in a file, so the file leaves it out.
        let country = paid.country.unwrap_or_default().replace('"', "\"\"");
        let country = if country.is_empty() { country } else { format!("\"{country}\"") };
        let terminal = paid.terminal.unwrap_or_default();
        file += &format!(
            "{number},{},{},{},{terminal},{country},{}\n",
            paid.at,
            paid.amount,
            paid.customer,
            u8::from(paid.is_fraud)
        );
    }

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("policy")).unwrap();
    fs::write(at("policy/policy.toml"), POLICY).unwrap();
    fs::write(at("in.csv"), file).unwrap();
    let mut backtest = Command::new(env!("CARGO_BIN_EXE_finaira"));
    backtest.args(["backtest", "--policy"]).arg(at("policy")).arg("--input").arg(at("in.csv"));
    let ran = backtest.arg("--output").arg(at("out.parquet")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let expected = rows(&at("out.parquet"));

    // The server still runs.
    let found = rows(&export(data.path(), "found.parquet", &[], paid.len()));
    assert_eq!(found.len(), expected.len());
    let (mut values, mut missing) = (0, 0);
    // The feature `score` shares its name with a column of every table.
    let columns = [
        "occurred_at",
        "decision",
        "status",
        "score",
        "reasons",
        "tags",
        "spend",
        "usual",
        "risk",
        "country",
        "feature_score",
    ];
    for ((found, expected), paid) in found.iter().zip(&expected).zip(&paid) {
        let Field::Str(id) = field(expected, "id") else { panic!("the ids of a CSV file are texts") };
        let id: u128 = id.parse().unwrap();
        assert_eq!(field(found, "payment"), Field::Str(format!("00000000-0000-0000-0000-{id:012x}")));
        for column in columns {
            let (found, expected) = (field(found, column), field(expected, column));
            if paid.country == Some("") && column == "country" {
                assert_eq!(found, Field::Str(String::new()));
                continue;
            }
            // A backtest writes scores with 32 bits.
            let expected = if let Field::Int(score) = expected { Field::Long(score.into()) } else { expected };
            assert_eq!(found, expected, "{column} of payment {id}");
            if found == Field::Null {
                missing += 1;
            } else {
                values += 1;
            }
        }
        let label = if paid.is_fraud { Field::Str("fraud".to_owned()) } else { Field::Null };
        assert_eq!(field(found, "label"), label);
    }
    assert!(values > 1_000 && missing > 50, "{values} values, {missing} missing");
    let risky = found.iter().filter(|row| matches!(field(row, "risk"), Field::Double(rate) if rate > 0.0)).count();
    assert!(risky > 40, "labels matter for {risky} payments");

    // The other formats have the same values.
    let lines = lines(&export(data.path(), "found.jsonl", &[], paid.len()));
    let csv = fs::read_to_string(export(data.path(), "found.csv", &[], paid.len())).unwrap();
    let csv = parse_csv(&csv);
    assert_eq!((lines.len(), csv.len()), (found.len(), found.len() + 1));
    for ((row, line), cells) in found.iter().zip(&lines).zip(csv.iter().skip(1)) {
        for (((name, field), heading), cell) in row.get_column_iter().zip(&csv[0]).zip(cells) {
            assert_eq!(heading.as_deref(), Some(name.as_str()));
            let value = &line[name];
            let same = match (field, cell) {
                (Field::Null, None) => value.is_null(),
                (Field::Str(text), Some(cell)) => value == text && cell == text,
                (Field::Long(nanos), Some(cell)) if name.ends_with("_at") => {
                    let at: Timestamp = cell.parse().unwrap();
                    value == cell && at.ns().to_string() == nanos.to_string()
                }
                (Field::Long(number), Some(cell)) => *value == json!(number) && *cell == number.to_string(),
                (Field::Double(number), Some(cell)) => {
                    value.as_f64().map(f64::to_bits) == Some(number.to_bits()) && cell.parse() == Ok(*number)
                }
                (Field::Bool(is_so), Some(cell)) => *value == json!(is_so) && *cell == is_so.to_string(),
                _ => false,
            };
            assert!(same, "{name}: {field:?} in Parquet, {value} in JSON, {cell:?} in CSV");
        }
    }
}

/// The cells of a file; `None` for one without a value.
fn parse_csv(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), None::<String>);
    let (mut is_quoted, mut characters) = (false, text.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                cell.get_or_insert_default().push('"');
                characters.next();
            }
            '"' => {
                cell.get_or_insert_default();
                is_quoted = !is_quoted;
            }
            ',' if !is_quoted => row.push(cell.take()),
            '\n' if !is_quoted => {
                row.push(cell.take());
                rows.push(std::mem::take(&mut row));
            }
            other => cell.get_or_insert_default().push(other),
        }
    }
    rows
}

#[test]
fn a_label_is_known_from_its_own_entry_on() {
    let (data, _server, client) = first_start(&[]);
    activate(&client, POLICY);
    for (number, paid) in (1..).zip(payments().iter().take(4)) {
        pay(&client, number, paid);
    }
    label(&client, 2, "fraud");
    label(&client, 3, "legitimate");
    label(&client, 2, "legitimate");
    let all = exported(data.path(), &[], "Exported 4 decisions with 5 features, 2 of them with a label");
    // Which entry was the last may not be covered by the mark yet, so wait for the label that replaces another.
    let all = eventually(|| {
        let again = exported(data.path(), &[], "Exported 4 decisions");
        (text(&again[1]["label"]) == "legitimate").then_some(again).filter(|again| again.len() == all.len())
    });
    let shown = |rows: &[BTreeMap<String, Value>]| -> Vec<String> {
        rows.iter().map(|row| format!("{} {} {}", number(row), text(&row["label"]), row["label_positive"])).collect()
    };
    assert_eq!(shown(&all), ["1 - null", "2 legitimate false", "3 legitimate false", "4 - null"]);
    assert_eq!([&all[0]["label_known_at"], &all[0]["label_sequence"]], [&Value::Null, &Value::Null]);
    let known = |row: &BTreeMap<String, Value>| text(&row["label_known_at"]).parse::<Timestamp>().unwrap();
    let before = |at: Timestamp| Timestamp::from_ns(at.ns() - 1).to_string();

    // The last label replaced an earlier one; before that, the earlier one was known.
    let cut = before(known(&all[1]));
    let earlier = exported(data.path(), &["--labels-until", &cut], "Exported 4 decisions");
    assert_eq!(shown(&earlier), ["1 - null", "2 fraud true", "3 legitimate false", "4 - null"]);
    assert!(known(&earlier[1]) < known(&all[2]) && known(&all[2]) < known(&all[1]));

    // The instant itself counts; the one before it does not.
    let cut = known(&earlier[1]);
    let one = exported(data.path(), &["--labels-until", &cut.to_string()], "1 of them with a label");
    assert_eq!(shown(&one), ["1 - null", "2 fraud true", "3 - null", "4 - null"]);
    let none = exported(data.path(), &["--labels-until", &before(cut)], "0 of them with a label");
    assert_eq!(shown(&none), ["1 - null", "2 - null", "3 - null", "4 - null"]);
    // What is not known yet does not change what was decided.
    for (one, all) in none.iter().zip(&all) {
        let features = ["spend", "usual", "risk", "country", "feature_score", "score", "sequence", "policy_version"];
        features.iter().for_each(|name| assert_eq!(one[*name], all[*name], "{name}"));
    }
}

#[test]
fn versions_of_a_policy_do_not_mix_and_decisions_are_chosen() {
    let (data, _server, client) = first_start(&[]);
    activate(&client, POLICY);
    let paid = payments();
    (1..).zip(&paid).take(3).for_each(|(number, paid)| pay(&client, number, paid));
    // One feature changes its type, one is gone, and one is new.
    let changed = POLICY
        .replace("expression = \"payment.amount > 5000\"", "expression = \"payment.amount / 100\"")
        .replace("[features.country]", "[features.place]")
        .replace("name = \"shop\"", "name = \"shop_2\"");
    activate(&client, &changed);
    (4..).zip(paid.iter().skip(3)).take(2).for_each(|(number, paid)| pay(&client, number, paid));
    let refund = client.pay(6, "refund", 250, &json!({"customer": "customer 1"}));
    assert_eq!(refund.status, 201, "{refund:?}");

    let all = exported(data.path(), &[], "Exported 6 decisions");
    let column = |name: &str| -> Vec<String> { all.iter().map(|row| row[name].to_string()).collect() };
    let amount = |number: usize| (paid[number].amount / 100).to_string();
    assert_eq!(column("policy"), ["\"shop\"", "\"shop\"", "\"shop\"", "\"shop_2\"", "\"shop_2\"", "\"shop_2\""]);
    let versions = column("policy_version");
    assert!(versions[0] == versions[2] && versions[3] == versions[5] && versions[2] != versions[3], "{versions:?}");
    assert_eq!(column("score_int"), ["null", "null", "null", &amount(3), &amount(4), "2"]);
    assert!(column("score_bool")[..3].iter().all(|value| value == "true" || value == "false"));
    assert_eq!(column("country")[3..], ["null", "null", "null"]);
    assert_eq!(column("place"), ["null", "null", "null", "null", "null", "null"]);

    let chosen = |options: &[&str], count: usize| -> Vec<u128> {
        let rows = exported(data.path(), options, &format!("Exported {count} decisions"));
        rows.iter().map(number).collect()
    };
    assert_eq!(chosen(&["--type", "refund"], 1), [6]);
    assert_eq!(chosen(&["--type", "refund", "--type", "card"], 6).len(), 6);
    let (third, fifth) = (text(&all[2]["decided_at"]), text(&all[4]["decided_at"]));
    assert_eq!(chosen(&["--from", third, "--until", fifth], 2), [3, 4]);
    // Columns are those of the chosen decisions.
    let first = exported(data.path(), &["--until", text(&all[3]["decided_at"])], "Exported 3 decisions");
    assert!(first[0].contains_key("feature_score") && !first[0].contains_key("place"), "{first:?}");
}

#[test]
fn personal_data_is_not_exported() {
    let (data, _server, client) = first_start(&[]);
    activate(&client, POLICY);
    (1..).zip(&payments()).take(5).for_each(|(number, paid)| pay(&client, number, paid));
    let rows = exported(data.path(), &["--attributes"], "Exported 5 decisions");
    let whole = fs::read_to_string(data.path().join("waiting.jsonl")).unwrap();
    assert!(!whole.contains("customer 1") && !whole.contains("99887766"), "{whole}");
    assert!(!rows[0].contains_key("attribute_phone"));
    let tokens: Vec<&str> = rows.iter().map(|row| text(&row["attribute_customer"])).collect();
    assert!(tokens.iter().all(|token| token.len() >= 32) && tokens[0] != tokens[1], "{tokens:?}");
    assert_eq!(rows[0]["attribute_country"], json!("NO"));
    assert_eq!(rows[3]["attribute_country"], Value::Null);
    assert!(!exported(data.path(), &[], "Exported 5 decisions")[0].contains_key("attribute_country"));
}

#[test]
fn a_torn_tail_is_left_out_and_damage_is_reported() {
    let (data, server, client) = first_start(&[]);
    activate(&client, POLICY);
    (1..).zip(&payments()).take(10).for_each(|(number, paid)| pay(&client, number, paid));
    let before = fs::read(export(data.path(), "before.jsonl", &[], 10)).unwrap();
    server.kill();

    // A crash in the middle of a write leaves a part of a frame.
    let segment = data.path().join("journal/segment-00000001");
    let whole = fs::read(&segment).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut torn = whole.clone();
    torn[end..end + 200].copy_from_slice(&whole[4096..4296]);
    fs::write(&segment, &torn).unwrap();
    let after = fs::read(export(data.path(), "after.jsonl", &[], 10)).unwrap();
    assert!(before == after);
    assert!(fs::read(&segment).unwrap() == torn, "the journal is not changed");

    let mut damaged = whole;
    damaged[end - 100] ^= 1;
    fs::write(&segment, damaged).unwrap();
    let output = data.path().join("damaged.csv");
    let arguments = ["export", "--data", data.path().to_str().unwrap(), "--output", output.to_str().unwrap()];
    let (is_done, said) = finaira(&arguments);
    assert!(!is_done && said.contains("segment-00000001 is damaged"), "{said}");
    assert!(fs::metadata(output).is_err());
}

#[test]
fn wrong_arguments_are_named() {
    let (data, _server, _client) = first_start(&[]);
    let (data, empty) = (data.path(), tempfile::tempdir().unwrap());
    let missing = empty.path().join("missing");
    let run = |data: &Path, output: &str, options: &[&str]| {
        let output = data.join(output);
        let arguments = ["export", "--data", data.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let (is_done, said) = finaira(&[&arguments, options].concat());
        assert!(!is_done, "{said}");
        said
    };
    for (said, expected) in [
        (run(data, "out.xlsx", &[]), "expected .parquet, .csv or .jsonl, found "),
        (run(data, "out.csv", &["--tenant", "9"]), "has no tenant 9"),
        (run(empty.path(), "out.csv", &[]), "cannot use "),
        (run(&missing, "out.csv", &[]), "cannot use "),
        (run(data, "out.csv", &["--from", "yesterday"]), "`yesterday` is not an RFC 3339 time"),
        (run(data, "missing/out.csv", &[]), "cannot write to "),
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let created =
        finaira(&["export", "--data", data.to_str().unwrap(), "--output", data.join("none.csv").to_str().unwrap()]);
    assert!(
        created.0 && created.1.starts_with("Exported 0 decisions with 0 features, 0 of them with a label"),
        "{created:?}"
    );
}

#[test]
fn other_tenants_are_exported_by_their_numbers() {
    let (data, server, client) = first_start(&[]);
    let shop = crate::tenants::create(&client, &crate::tenants::live("Shop"));
    let other = server.client(&shop.key);
    activate(&other, POLICY);
    (1..).zip(&payments()).take(2).for_each(|(number, paid)| pay(&other, number, paid));
    let tenant = shop.id.to_string();
    let rows = exported(data.path(), &["--tenant", &tenant], "Exported 2 decisions");
    assert_eq!(rows.iter().map(number).collect::<Vec<_>>(), [1, 2]);
    exported(data.path(), &[], "Exported 0 decisions");
    exported(data.path(), &["--tenant", "1"], "Exported 0 decisions");
}

#[test]
fn every_export_beside_a_busy_server_is_a_prefix_of_the_next() {
    let (data, _server, client) = first_start(&[]);
    activate(&client, POLICY);
    let paid = payments();
    let enough = AtomicBool::new(false);
    let (exports, batches) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut batches = 0;
            // With segments of a mebibyte, the journal moves on to another one several times.
            while batches < 40 || !enough.load(Ordering::Acquire) {
                let payments: Vec<Value> = (1..=200)
                    .map(|n: u128| {
                        let paid = &paid[usize::try_from(n).unwrap() % paid.len()];
                        json!({
                            "id": (batches * 200 + n).to_string(), "type": "card", "amount": paid.amount.to_string(),
                            "asset": "EUR/2", "attributes": {"customer": paid.customer, "terminal": "t1"},
                        })
                    })
                    .collect();
                let reply = client.post("/v1/payments/batch", &json!({"payments": payments}));
                assert_eq!(reply.status, 200, "{reply:?}");
                batches += 1;
            }
            batches
        });
        let mut exports: Vec<Vec<u8>> = Vec::new();
        while exports.len() < 8 && !writer.is_finished() {
            let output = data.path().join("busy.csv");
            let arguments = ["export", "--data", data.path().to_str().unwrap(), "--output", output.to_str().unwrap()];
            let (is_done, said) = finaira(&arguments);
            if !is_done {
                enough.store(true, Ordering::Release);
                panic!("{said}");
            }
            exports.push(fs::read(&output).unwrap());
        }
        enough.store(true, Ordering::Release);
        (exports, writer.join().unwrap())
    });
    let rows = usize::try_from(batches * 200).unwrap();
    let whole = fs::read(export(data.path(), "whole.csv", &[], rows)).unwrap();
    assert!(fs::metadata(data.path().join("journal/segment-00000003")).is_ok(), "the journal has several segments");
    let lengths: Vec<usize> = exports.iter().map(Vec::len).collect();
    assert!(lengths.is_sorted() && lengths.first() < lengths.last(), "{lengths:?}");
    // Before the first decision, there are no columns of features.
    for export in exports.iter().filter(|export| export.iter().filter(|byte| **byte == b'\n').count() > 1) {
        assert!(whole.starts_with(export), "{} of {} bytes", export.len(), whole.len());
    }
}
