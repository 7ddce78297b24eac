//! Runs `finaira backtest` as a user does.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and prints what it skips")]
#![expect(clippy::wildcard_enum_match_arm, reason = "these files use few of Parquet's types")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use tempfile::TempDir;

mod handbook;
mod parquet_input;

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
review_deadline = "1d"
occurred_at = { late_max = "1m", ahead_max = "0s" }
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
terminal = { type = "entity", entity = "terminal", required = false }
country = { type = "string", chars_max = 2, required = false }
items = { type = "int", required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "customer" }
credit = { account = "shop" }
code = 1
[streams.by_customer]
of = "customer"
clock = "occurred_at"
[streams.by_terminal]
of = "terminal"
clock = "occurred_at"
counts = "attempted"
[features.spend]
stream = "by_customer"
aggregate = "sum"
window = "2d"
[features.risk]
stream = "by_terminal"
aggregate = "label_rate"
window = "10d"
[features.country]
expression = "payment.country"
[[rules]]
name = "large"
when = "payment.amount > 100000"
then = { decline = true }
[[rules]]
name = "abroad"
when = "has(payment.country) && payment.country == 'XX'"
then = { review = true }
[[rules]]
name = "bulk"
when = "has(payment.items) && payment.items >= 10"
then = { tag = "bulk" }
[file]
payment = "card"
id = "id"
time = "time"
amount = { column = "amount", unit = "major" }
label = { column = "fraud", positive = ["1"], delay = "1d" }
[file.attributes]
customer = "customer"
terminal = "terminal"
country = "country"
items = "items"
"#;

const HEADER: &str = "id,time,amount,customer,terminal,country,items,fraud\n";

/// Creates a folder with the policy.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policy")).unwrap();
    fs::write(folder.path().join("policy/policy.toml"), POLICY).unwrap();
    folder
}

fn backtest(policy: &Path, input: &Path, output: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.arg("backtest").arg("--policy").arg(policy).arg("--input").arg(input).arg("--output").arg(output);
    command.output().unwrap()
}

fn run(folder: &TempDir, input: &str, content: &[u8]) -> Output {
    let folder = folder.path();
    fs::write(folder.join(input), content).unwrap();
    backtest(&folder.join("policy"), &folder.join(input), &folder.join("out.parquet"))
}

fn rows(file: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn shown(row: &Row, column: &str) -> String {
    let (_, field) = row.get_column_iter().find(|(name, _)| *name == column).unwrap_or_else(|| panic!("no {column}"));
    match field {
        Field::Null => "-".to_owned(),
        Field::Str(text) if text.is_empty() => "''".to_owned(),
        Field::Str(text) => text.clone(),
        Field::Double(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// Runs a CSV file and compares these columns of the output with a text table.
#[track_caller]
fn check(columns: &str, rows_of_file: &str, expected: &str) {
    let folder = folder();
    let lines: Vec<&str> = rows_of_file.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let output = run(&folder, "in.csv", format!("{HEADER}{}\n", lines.join("\n")).as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = rows(&folder.path().join("out.parquet"));
    let found = found.iter().map(|row| {
        let cells: Vec<String> = columns.split_whitespace().map(|column| shown(row, column)).collect();
        cells.join(" ")
    });
    let expected = expected.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let expected: Vec<String> = expected.filter(|line| !line.is_empty()).collect();
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// Runs a file that is rejected at the start, and compares the message.
#[track_caller]
fn check_refused(input: &str, content: &[u8], expected: &str) {
    let folder = folder();
    let output = run(&folder, input, content);
    let message = String::from_utf8(output.stderr).unwrap();
    let path = format!("{}/", folder.path().display());
    assert_eq!(message.replace(&path, "").trim_end(), expected);
    assert!(!output.status.success());
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [input, "policy"], "a failed run leaves no file behind");
}

#[test]
fn every_row_has_its_decision() {
    check(
        "id decision status score spend country reasons failures tags label error",
        "a,2026-01-01T00:00:00Z,12.50,ann,t1,NO,1,0
         b,2026-01-01T00:00:00Z,1000.01,ann,t1,SE,12,1
         c,2026-01-01 00:00:01,7.5,ann,t1,XX,,
         d,2026-01-01 00:00:01.250,0.01,bob,,,10,0",
        "a approve posted    0   1250 NO ''     '' ''   legitimate -
         b decline declined  0 101251 SE large  '' bulk fraud      -
         c review  in_review 0   2000 XX abroad '' ''   -          -
         d approve posted    0      1 -  ''     '' bulk legitimate -",
    );
}

#[test]
fn rows_and_summary_name_the_rule_that_failed() {
    let folder = folder();
    let policy = POLICY
        .replace("has(payment.items) && payment.items >= 10", "100 / (payment.items - 5) > 10")
        .replace("payment.country == 'XX'", "payment.terminal in ['t8', 't9']");
    fs::write(folder.path().join("policy/policy.toml"), policy).unwrap();
    let content = "a,2026-01-01T00:00:00Z,1,ann,t9,NO,5,\nb,2026-01-01T00:00:01Z,1,bob,t1,NO,,\n";
    let output = run(&folder, "in.csv", format!("{HEADER}{content}").as_bytes());
    assert!(output.status.success(), "{output:?}");
    let found = rows(&folder.path().join("out.parquet"));
    let cells = |row| ["reasons", "failures"].map(|column| shown(row, column));
    assert_eq!(cells(&found[0]), ["abroad,rule_failed", "rule bulk: division by zero"]);
    assert_eq!(cells(&found[1]), ["feature_missing", "rule bulk: payment.items is missing"]);
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in ["rule_failed, rule bulk: division by zero", "feature_missing, rule bulk: payment.items is missing"] {
        assert!(summary.contains(line), "{summary}");
    }
}

#[test]
fn values_of_entities_are_normalised_as_the_policy_says() {
    let spends = |normalise: &str| {
        let folder = folder();
        let policy = POLICY.replace("[entities.customer]", &format!("[entities.customer]\n{normalise}"));
        fs::write(folder.path().join("policy/policy.toml"), policy).unwrap();
        let (composed, decomposed) = ("Zo\u{e9}", "zoe\u{301}");
        let rows_of_file = format!(
            "a,2026-01-01T00:00:00Z,1,{composed},,,,0\nb,2026-01-01T00:00:01Z,2,{decomposed},,,,0\n\
             c,2026-01-01T00:00:02Z,4,\"{composed} \",,,,0\n"
        );
        let output = run(&folder, "in.csv", format!("{HEADER}{rows_of_file}").as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        rows(&folder.path().join("out.parquet")).iter().map(|row| shown(row, "spend")).collect::<Vec<_>>()
    };
    assert_eq!(spends(""), ["100", "200", "400"]);
    assert_eq!(spends(r#"normalise = ["nfc", "trim", "lowercase"]"#), ["100", "300", "700"]);
}

#[test]
fn a_bad_row_is_reported_and_does_not_stop_the_run() {
    let time = "expected an instant of 1970 to 2262: a timestamp, RFC 3339, or YYYY-MM-DD, with or without HH:MM or HH:MM:SS, in UTC";
    let amount = "expected a non-negative number with at most 2 decimals, at most 2^63 - 1 minor units";
    check(
        "id status error",
        "a,2026-01-01T00:00:00Z,12.50,ann,t1,NO,1,0
         b,yesterday,1,ann,t1,NO,1,0
         c,2026-01-01T00:00:00Z,-1,ann,t1,NO,1,0
         d,2026-01-01T00:00:00Z,1.005,ann,t1,NO,1,0
         e,2026-01-01T00:00:00Z,,ann,t1,NO,1,0
         f,2026-01-01T00:00:00Z,1,,t1,NO,1,0
         g,2026-01-01T00:00:00Z,1,ann,t1,NOR,1,0
         h,2026-01-01T00:00:00Z,1,ann,t1,NO,one,0
         ,2026-01-01T00:00:00Z,1,ann,t1,NO,1,0
         i,2026-01-01T00:00:00Z,1
         a,2026-01-02T00:00:00Z,1,ann,t1,NO,1,0
         j,2026-01-03T00:00:00Z,1,ann,t1,NO,1,0",
        &format!(
            "a posted -
             b invalid column `time`: found `yesterday`, {time}
             c invalid column `amount`: found `-1`, {amount}
             d invalid column `amount`: found `1.005`, {amount}
             e invalid column `amount`: found no value, {amount}
             f invalid column `customer`: found no value, expected a string of 1 to 256 characters
             g invalid column `country`: found `NOR`, expected a string of at most 2 characters
             h invalid column `items`: found `one`, expected a whole number from -2^63 to 2^63 - 1
             - invalid column `id`: found no value, expected a payment's id
             i invalid the row on line 11 has 3 fields, expected 8
             a invalid an earlier payment of this file has the same id
             j posted -"
        ),
    );
}

#[test]
fn rows_are_decided_in_order_of_time_and_written_in_order_of_the_file() {
    check(
        "id spend",
        "c,2026-01-03T00:00:00Z,3,ann,t1,NO,1,0
         x,,1,ann,t1,NO,1,0
         a,2026-01-01T12:00:00Z,1,ann,t1,NO,1,0
         d,2026-01-03T00:00:00Z,4,ann,t1,NO,1,0
         b,2026-01-02T00:00:00Z,2,ann,t1,NO,1,0",
        "c 600
         x -
         a 100
         d 1000
         b 300",
    );
}

#[test]
fn order_does_not_depend_on_batch_boundaries() {
    let folder = folder();
    let row = |number: u64| {
        let (day, hour) = (1 + number % 28, number % 24);
        format!("{number},2026-01-{day:02} {hour:02}:00:00,1,c{},t{},NO,1,{}\n", number % 50, number % 7, number % 2)
    };
    let content: String = std::iter::once(HEADER.to_owned()).chain((0..20_000).map(row)).collect();
    let output = run(&folder, "in.csv", content.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = rows(&folder.path().join("out.parquet"));
    let ids: Vec<String> = found.iter().map(|row| shown(row, "id")).collect();
    assert_eq!(ids, (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>());

    // The same rows in order of time; rows of the same instant keep their order.
    let mut sorted: Vec<(String, String)> = (0..20_000)
        .map(|number| {
            let row = row(number);
            (row.split(',').nth(1).unwrap().to_owned(), row)
        })
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let content: String = std::iter::once(HEADER.to_owned()).chain(sorted.into_iter().map(|(_, row)| row)).collect();
    assert!(run(&folder, "in.csv", content.as_bytes()).status.success());
    let mut again = rows(&folder.path().join("out.parquet"));
    again.sort_by_key(|row| shown(row, "id").parse::<u64>().unwrap());
    assert_eq!(again, found);
}

#[test]
fn a_label_takes_effect_only_after_its_delay() {
    check(
        "id risk label",
        "a,2026-01-01T00:00:00Z,1,ann,t1,NO,1,1
         b,2026-01-01T00:00:00Z,1,ann,t1,NO,1,0
         c,2026-01-01T23:59:59Z,1,ann,t1,NO,1,
         d,2026-01-02T00:00:00Z,1,ann,t1,NO,1,
         e,2026-01-12T00:00:00Z,1,ann,t1,NO,1,",
        "a 0    fraud
         b 0    legitimate
         c 0    -
         d 0.25 -
         e 0    -",
    );
}

#[test]
fn deadlines_pass_between_the_rows() {
    // The review ends after a day without a decision: the payment expires and no longer counts as spent.
    check(
        "id status spend",
        "a,2026-01-01T00:00:00Z,5,ann,t1,XX,1,
         b,2026-01-01T23:59:59Z,1,ann,t1,NO,1,
         c,2026-01-02T00:00:00Z,1,ann,t1,NO,1,",
        "a in_review 500
         b posted    600
         c posted    200",
    );
}

#[test]
fn the_summary_matches_the_file() {
    let folder = folder();
    let content = "a,2026-01-01T00:00:00Z,12.50,ann,t1,NO,1,0\nb,2026-01-01T00:00:00Z,1000.01,ann,t1,SE,12,1\n\
                   c,2026-01-01 00:00:01,7.5,ann,t1,XX,,1\nd,2026-01-01 00:00:01,x,ann,t1,XX,,1\n";
    let output = run(&folder, "in.csv", format!("{HEADER}{content}").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "4 rows: 3 decided, 1 invalid, in ",
        "first invalid row: 4, column `amount`: found `x`, expected a non-negative number with at most 2 decimals",
        "decline 1 33.333 % 1,000.01 EUR",
        "all 3 100.000 % 1,020.01 EUR",
        "in_review 1 33.333 % 7.50 EUR",
        "large 1 33.333 % 1 100.000 %",
        "bulk 1 33.333 % 1 100.000 %",
        "recall 50.000 % 100.000 %",
        "fraud value missed 7.50 EUR 0.00 EUR",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}\n{text}");
    }
}

/// Runs rows with these labels, and compares the column `label`, the summary of the labels and the warnings.
#[track_caller]
fn check_labels(labels: &[&str], read: &str, summary: &str, warnings: &str) {
    let folder = folder();
    let rows = labels.iter().enumerate().map(|(n, label)| format!("{n},2026-01-01T00:00:00Z,1,ann,t1,NO,1,{label}\n"));
    let output = run(&folder, "in.csv", format!("{HEADER}{}", rows.collect::<String>()).as_bytes());
    let found: Vec<String> = rows_of(&folder).iter().map(|row| shown(row, "label")).collect();
    assert_eq!(found.join(" "), read);
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let section = text.split("\n\n").find_map(|section| section.strip_prefix("Labels\n")).unwrap_or_default();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = |text: &str| text.trim().lines().map(words).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(section), lines(summary));
    assert_eq!(errors.trim_end(), warnings);
}

fn rows_of(folder: &TempDir) -> Vec<Row> {
    rows(&folder.path().join("out.parquet"))
}

#[test]
fn files_of_banks_are_read() {
    let folder = folder();
    let settings = "[file]\ndelimiter = \"tab\"\ndecimal = \",\"";
    let policy = POLICY.replacen("[file]", settings, 1).replacen("chars_max = 2", "chars_max = 5", 1);
    fs::write(folder.path().join("policy/policy.toml"), policy).unwrap();
    let content = "a,2026-01-01,12,50,ann,t1,\"N\nO\",1,1\n\
                   b,2026-01-01 09:30,7,ann,t1,\"N O\",3,0,0,0\n\
                   c,2026-01-01 09:30,7.5,ann,t1,NO,1,0\n";
    // Tabs instead of commas, except in numbers.
    let content = format!("{HEADER}{content}").replace(',', "\t");
    let content = content.replace("12\t50", "12,50").replace("3\t0\t0\t0", "3,0\t0,0");
    let output = run(&folder, "in.csv", content.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let columns = ["id", "occurred_at", "status", "spend", "country", "label", "error"];
    let found: Vec<String> =
        rows_of(&folder).iter().map(|row| columns.map(|column| shown(row, column)).join("|")).collect();
    let expected = [
        "a|1767225600000000000|posted|1250|N O|fraud|-",
        "b|1767259800000000000|posted|1950|N O|legitimate|-",
        "c|1767259800000000000|invalid|-|-|legitimate|column `amount`: found `7.5`, expected a non-negative number \
         with at most 2 decimals, at most 2^63 - 1 minor units, with a decimal comma",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_header_with_another_delimiter_says_so() {
    for (delimiter, shown, setting) in [(";", ";", ";"), ("\t", "\\t", "tab"), ("|", "|", "|")] {
        let names = ["id", "time", "amount"];
        let found = names.join(shown);
        check_refused(
            "in.csv",
            format!("{}\n1\n", names.join(delimiter)).as_bytes(),
            &format!(
                "finaira: in.csv has no column `id`; its columns are `{found}`, where `{shown}` may separate columns: set \
                 delimiter = \"{setting}\" under [file]"
            ),
        );
    }
}

#[test]
fn labels_are_read_in_every_form_and_the_summary_shows_how() {
    check_labels(
        &["0.0", " 1", "True", "", "0.0", "nan"],
        "legitimate fraud fraud - legitimate -",
        "value    rows   read as
         `0.0`       2  negative
         ` 1`        1  positive
         `True`      1  positive
         `nan`       1   missing
         no value    1   missing",
        "",
    );
    check_labels(
        &["N", "Y", "N"],
        "legitimate legitimate legitimate",
        "value  rows   read as
         `N`       2  negative
         `Y`       1  negative",
        "warning: column `fraud` has no positive label; the policy lists `1` as positive",
    );
    check_labels(
        &["0", "1", "2"],
        "legitimate fraud legitimate",
        "value  rows   read as
         `0`       1  negative
         `1`       1  positive
         `2`       1  negative",
        "warning: column `fraud` has 3 different labels; all except `1` count as negative",
    );
}

#[test]
fn the_summary_shows_only_the_most_frequent_labels() {
    let codes: Vec<String> = (100..120).map(|code| code.to_string()).collect();
    let labels: Vec<&str> = codes.iter().map(String::as_str).chain(["1", "0", "0"]).collect();
    let values: String = (100..106).map(|code| format!("`{code}` 1 negative\n")).collect();
    let folder = folder();
    let rows = labels.iter().enumerate().map(|(n, label)| format!("{n},2026-01-01T00:00:00Z,1,ann,t1,NO,1,{label}\n"));
    let output = run(&folder, "in.csv", format!("{HEADER}{}", rows.collect::<String>()).as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = format!("value rows read as\n`0` 2 negative\n`1` 1 positive\n{values}14 more values 14");
    assert!(lines.join("\n").contains(&expected), "{text}");
}

#[test]
fn two_runs_write_the_same_file() {
    let folder = folder();
    let content = format!("{HEADER}a,2026-01-01T00:00:00Z,12.50,ann,t1,NO,1,0\n");
    let mut written = [0, 1].map(|_| {
        assert!(run(&folder, "in.csv", content.as_bytes()).status.success());
        fs::read(folder.path().join("out.parquet")).unwrap()
    });
    let [first, second] = &mut written;
    assert_eq!(first, second);
}

#[test]
fn a_file_that_cannot_be_read_stops_at_the_start() {
    check_refused(
        "in.csv",
        b"id,time,value\n1,2026-01-01T00:00:00Z,1\n",
        "finaira: in.csv has no column `amount`; its columns are `id`, `time`, `value`",
    );
    check_refused("in.csv", b"id,id\n", "finaira: in.csv has more than one column `id`");
    let empty = "finaira: cannot read in.csv: the file is empty; a CSV file starts with a line of column names";
    check_refused("in.csv", b"", empty);
    check_refused(
        "in.txt",
        b"id\n1\n",
        "finaira: cannot determine the format of in.txt: expected a Parquet file, or a CSV file that is not compressed and whose name ends in .csv",
    );
    check_refused("in.parquet", b"id\n1\n", "finaira: in.parquet is not a Parquet file: it does not start with PAR1");
}

#[test]
fn a_quote_that_nobody_closes_is_an_error_and_not_a_shorter_file() {
    let row = |number: u32, country: &str| format!("{number},2026-01-01T00:00:0{number}Z,1,ann,t1,{country},1,0\n");
    let rows = |quoted: &str| [row(1, "NO"), row(2, quoted), row(3, "NO"), row(4, "NO")].concat();
    let error = "finaira: cannot read in.csv: the file ends between quotes that opened on line 3";
    check_refused("in.csv", format!("{HEADER}{}", rows("\"NO")).as_bytes(), error);
    check_refused("in.csv", format!("{HEADER}{}", rows("\"NO")).replace('\n', "\r\n").as_bytes(), error);
    let last = format!("{HEADER}{}", row(1, "NO")) + "2,2026-01-01T00:00:02Z,1,ann,t1,NO,1,\"0\n";
    check_refused("in.csv", last.as_bytes(), error);

    // Quotes that a later quote closes make one broken row of several lines.
    check(
        "id status error",
        &(row(1, "NO") + &row(2, "\"NO") + &row(3, "\"SE\"") + &row(4, "NO") + &row(5, "\"N") + &row(6, "\",O")),
        "1 posted -
         2 invalid the row on lines 3 to 4 has text after a closing quote, expected the end of the field: an earlier \
            quote may not be closed
         4 posted -
         5 invalid the row on lines 6 to 7 has 9 fields, expected 8",
    );
}

#[test]
fn a_file_without_any_payment_fails_with_the_reason() {
    let folder = folder();
    let output = run(&folder, "in.csv", format!("{HEADER}a,2026-01-01T00:00:00Z,x,ann,t1,NO,1,0\n").as_bytes());
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.starts_with("finaira: none of the 1 rows is a payment; row 1: column `amount`: found `x`"),
        "{message}"
    );
    assert_eq!(rows(&folder.path().join("out.parquet")).len(), 1);
}

#[test]
fn a_file_with_only_a_header_has_no_decisions() {
    let folder = folder();
    let output = run(&folder, "in.csv", HEADER.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rows(&folder.path().join("out.parquet")).len(), 0);
}

#[test]
fn the_output_must_be_parquet_and_not_the_input() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("in.csv"), HEADER).unwrap();
    let output = backtest(&path.join("policy"), &path.join("in.csv"), &path.join("out.csv"));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("expected an output file that ends in .parquet"), "{message}");
    assert!(run(&folder, "in.csv", HEADER.as_bytes()).status.success());
    let output = backtest(&path.join("policy"), &path.join("out.parquet"), &path.join("out.parquet"));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("is the input file"), "{message}");
}
