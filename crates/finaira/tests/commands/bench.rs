//! Small runs of `finaira bench` with the real binary. The command itself checks every result, and that debits and
//! credits of all accounts add up to what was moved. These tests assert nothing about time.

use std::process::Command;

use serde_json::{Value, json};

#[track_caller]
fn run(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    let output = command.args(["bench", "transfers", "--json"]).args(arguments).output().expect("the binary runs");
    let stdout = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}\n{stdout}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(stdout.lines().last().expect("a last line")).expect("the last line is JSON")
}

#[test]
fn batches_of_every_kind_succeed() {
    let figures = run(&["--count", "20000", "--accounts", "100"]);
    let settings = json!({
        "count": 20_000, "accounts": 100, "batch": 8_189, "clients": 1, "ids": "time", "zipf": null, "hot_percent": 0,
        "pending_percent": 0, "index": "standard", "http": false, "queries": 100, "proofs": "on",
        "token": false,
    });
    assert_eq!(figures["settings"], settings);
    for name in ["transfers_per_second", "batch_ms_p50", "batch_ms_p99", "batch_ms_max", "disk_bytes_per_transfer"] {
        assert!(figures[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {figures}");
    }
    assert!(figures["rss_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{figures}");

    let options = ["--ids", "random", "--zipf", "--hot-percent", "20", "--pending-percent", "40", "--clients", "3"];
    let figures = run(&[&["--count", "20000", "--batch", "700"], options.as_slice()].concat());
    assert_eq!(figures["settings"]["zipf"], 0.99);
    assert_eq!(figures["raw_fdatasync_per_second"], Value::Null);
}

#[test]
fn single_transfers_with_access_tokens_succeed() {
    let figures = run(&["--http", "--token", "--count", "2000", "--accounts", "100", "--clients", "4"]);
    assert_eq!((&figures["settings"]["token"], &figures["settings"]["batch"]), (&json!(true), &json!(1)), "{figures}");
    assert!(figures["transfers_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
}

#[test]
fn rules_take_a_part_of_a_decision() {
    let output = Command::new(env!("CARGO_BIN_EXE_finaira"))
        .args(["bench", "rules", "--count", "200", "--json"])
        .output()
        .expect("the binary runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{stdout}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_str(stdout.lines().last().expect("a last line")).expect("JSON");
    assert_eq!((&figures["rules"], &figures["payments"]), (&json!(100), &json!(200)), "{figures}");
    let [with, without, matches] =
        ["with_rules_ns", "without_rules_ns", "matches_milli"].map(|name| figures[name].as_u64().expect("a number"));
    assert!(0 < without && without < with, "100 rules take time: {figures}");
    assert!(matches > 100, "rules match some of the payments: {figures}");
    assert!(stdout.contains("100 rules over 20 features, 200 different payments"), "{stdout}");
}

#[test]
fn access_tokens_are_verified_once_and_then_known() {
    let output = Command::new(env!("CARGO_BIN_EXE_finaira"))
        .args(["bench", "tokens", "--count", "300", "--json"])
        .output()
        .expect("the binary runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{stdout}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_str(stdout.lines().last().expect("a last line")).expect("JSON");
    assert_eq!((&figures["tokens"], &figures["cache_tokens_max"]), (&json!(300), &json!(65_536)), "{figures}");
    let [uncached, cached] = ["uncached_ns", "cached_ns"].map(|name| figures[name].as_u64().expect("a number"));
    assert!(0 < cached && cached < uncached, "a look-up costs less than a signature: {figures}");
    assert!(stdout.contains("300 access tokens") && stdout.contains("room for 65,536 tokens"), "{stdout}");
    let refused = Command::new(env!("CARGO_BIN_EXE_finaira")).args(["bench", "tokens", "--count", "40000"]).output();
    assert!(!refused.expect("the binary runs").status.success(), "not all would fit into the cache");
}

#[test]
fn the_last_line_has_every_figure_with_its_type() {
    let figures = run(&["--count", "20000"]);
    let object = figures.as_object().expect("an object");
    let numbers = [
        "transfers_per_second",
        "batch_ms_p50",
        "batch_ms_p99",
        "batch_ms_max",
        "query_ms_p50",
        "query_ms_p99",
        "query_cold_ms_p50",
        "disk_bytes_per_transfer",
    ];
    for name in numbers {
        assert!(object[name].as_f64().is_some_and(|value| value >= 0.0), "{name}: {figures}");
    }
    // Such a short load may end before any query does.
    for name in ["query_under_load_ms_p50", "query_under_load_ms_p99"] {
        assert!(object[name].is_null() || object[name].is_f64() || object[name].is_u64(), "{name}: {figures}");
    }
    assert!(object["rss_peak_bytes"].is_u64(), "{figures}");
    assert_eq!(object["benchmark"], "transfers");
    let settings = object["settings"].as_object().expect("an object");
    for name in ["count", "accounts", "batch", "clients", "hot_percent", "pending_percent", "queries"] {
        assert!(settings[name].is_u64(), "{name}: {figures}");
    }
    assert_eq!(
        (&settings["accounts"], &settings["batch"], &settings["queries"]),
        (&json!(10_000), &json!(8_189), &json!(100))
    );
    assert!(settings["ids"].is_string() && settings["index"].is_string() && settings["http"].is_boolean());
    assert!(settings.contains_key("zipf"), "{figures}");
}

#[test]
fn single_transfers_succeed_over_both_interfaces() {
    let options = ["--accounts", "10", "--pending-percent", "50", "--clients", "2", "--queries", "0"];
    let packed = run(&[&["--count", "200", "--batch", "1"], options.as_slice()].concat());
    assert!(packed["raw_fdatasync_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{packed}");
    let json = run(&[&["--count", "200", "--http"], options.as_slice()].concat());
    assert_eq!(json["settings"]["batch"], 1);
}

#[test]
fn a_directory_that_is_not_empty_is_rejected() {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("mine"), "").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    let output = command.args(["bench", "transfers", "--count", "1", "--data"]).arg(data.path()).output();
    let output = output.expect("the binary runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"), "{output:?}");
}

#[test]
fn payments_are_decided_alone_and_in_batches_and_survive_a_kill() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
        let output = command.args(["bench", "payments", "--json", "--transfers", "0"]).args(arguments).output();
        let output = output.expect("the binary runs");
        let stdout = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{}\n{stdout}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_str(stdout.lines().last().expect("a last line")).expect("JSON");
        figures
    };
    let small = ["--count", "3000", "--customers", "40", "--terminals", "60"];
    let figures = run(&[small.as_slice(), &["--batch", "200"]].concat());
    let decided = ["approved", "in_review", "declined"].map(|name| figures[name].as_u64().expect("a number"));
    assert_eq!(decided.iter().sum::<u64>(), 3_000, "{figures}");
    assert_eq!(figures["window_records"], 6_000, "{figures}");
    for name in ["payments_per_second", "request_ms_p99", "journal_bytes_per_payment", "restart_seconds"] {
        assert!(figures[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {figures}");
    }
    let figures = run(&[small.as_slice(), &["--batch", "1", "--clients", "8", "--decline-percent", "100"]].concat());
    assert_eq!(figures["declined"], 3_000, "{figures}");

    // A payment that is approved takes three verbs.
    let figures = run(&[small.as_slice(), &["--batch", "200", "--lifecycle"]].concat());
    let approved = figures["approved"].as_u64().expect("a number");
    assert!(approved > 0 && figures["verbs"] == 3 * approved, "{figures}");
    assert!(figures["verbs_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");

    // Half a year of a file counts as the last days.
    let file = tempfile::Builder::new().suffix(".csv").tempfile().expect("a file");
    let mut rows = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n".to_owned();
    for row in 0..90 {
        rows += &format!("{row},2018-0{}-{:02} 10:00:00,{},7,{row}.50,0\n", 4 + row % 6, 1 + row % 30, row % 4);
    }
    std::fs::write(file.path(), rows).expect("a file");
    let input = file.path().to_str().expect("a path");
    let figures = run(&["--input", input, "--batch", "20", "--lifecycle"]);
    let decided = ["approved", "in_review", "declined"].map(|name| figures[name].as_u64().expect("a number"));
    assert_eq!((decided.iter().sum::<u64>(), &figures["settings"]["count"]), (90, &json!(90)), "{figures}");
    assert_eq!(figures["window_records"], 180, "{figures}");
}

#[test]
fn a_model_is_scored_and_explained() {
    for (what, shape) in [("model", ["--trees", "20", "--depth", "5"]), ("explain", ["--trees", "9", "--depth", "7"])] {
        let output = Command::new(env!("CARGO_BIN_EXE_finaira"))
            .args(["bench", what, "--rows", "50", "--columns", "6", "--json"])
            .args(shape)
            .output()
            .expect("the binary runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}\n{stdout}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_str(stdout.lines().last().expect("a last line")).expect("JSON");
        assert_eq!(figures["model"], format!("{} trees of depth {} on 6 columns", shape[1], shape[3]));
        assert!(figures["ns_per_row"].as_u64().is_some_and(|ns| ns > 0), "{figures}");
    }
}
