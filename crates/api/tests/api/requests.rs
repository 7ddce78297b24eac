//! An invalid request gets a code, a place, and a message with what was found and what was expected.

use api::requests;
use api::{CursorOrigin, IdempotencyKey, List, Parameters};
use engine::{Portion, Verb};
use types::{Amount, Origin, ShardId};

use crate::support::{NO_KEY, check};

#[track_caller]
fn ledger(body: &str, code: &str, field: &str, detail: &str) {
    check(requests::ledger(&NO_KEY, body.as_bytes()), code, field, detail);
}

#[test]
fn a_body_is_one_json_object_of_known_fields() {
    ledger("", "malformed_json", "-", "the body is empty; send JSON");
    ledger(" \n", "malformed_json", "-", "the body is empty; send JSON");
    ledger(r#"{"id": NaN}"#, "malformed_json", "-", "expected value at line 1 column 8, found `NaN`");
    ledger("{\n'id': 1}", "malformed_json", "-", "key must be a string at line 2 column 1, found `'id`");
    ledger("id=1&asset=x", "malformed_json", "-", "expected value at line 1 column 1, found `id`");
    ledger("<a/>", "malformed_json", "-", "expected value at line 1 column 1, found `<a`");
    for (first, what) in [
        (&b"\xef\xbb\xbf{}"[..], "the body begins with a byte order mark; send it without"),
        (b"\xff\xfe{\0}\0", "the body is not UTF-8 but looks like UTF-16; send it as UTF-8"),
        (b"\0{\0}", "the body is not UTF-8 but looks like UTF-16; send it as UTF-8"),
        (b"\x1f\x8b\x08\0", "the body is compressed (gzip); send it uncompressed"),
        (b"\x28\xb5\x2f\xfd\0", "the body is compressed (zstd); send it uncompressed"),
        (b"PK\x03\x04", "the body is a zip archive; send JSON"),
    ] {
        check(requests::ledger(&NO_KEY, first), "malformed_json", "-", what);
    }
    ledger(r#"{"id": 1"#, "malformed_json", "-", "EOF while parsing an object at line 1 column 8");
    ledger(r#"{"id": 1} x"#, "malformed_json", "-", "trailing characters at line 1 column 11");
    ledger(r#"{"id": 1}{}"#, "malformed_json", "-", "trailing characters at line 1 column 10");
    ledger(r#"{"id": 01}"#, "malformed_json", "-", "invalid number at line 1 column 9");
    let half = "the string at byte 10 has an escape that is half of a surrogate pair";
    ledger(r#"{"asset": "\ud800"}"#, "malformed_json", "-", half);
    check(
        requests::ledger(&NO_KEY, b"{\"asset\": \"\xff\"}"),
        "malformed_json",
        "-",
        "the body is not UTF-8 after byte 11",
    );
    ledger("[]", "invalid_field", "", "found an array, expected an object");
    ledger("7", "invalid_field", "", "found the number 7, expected an object");
    ledger(
        r#"{"id": 1, "colour": 2}"#,
        "unknown_field",
        "/colour",
        "there is no field `colour`, expected one of id, asset",
    );
    ledger(r#"{"a/b~c": 2}"#, "unknown_field", "/a~1b~0c", "there is no field `a/b~c`, expected one of id, asset");
    ledger(r#"{"id": 1, "id": 1}"#, "duplicate_field", "/id", "the object contains the field `id` twice");
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let too_deep = "arrays and objects are nested deeper than 127";
    ledger(&nested(127), "invalid_field", "", "found an array, expected an object");
    ledger(&nested(128), "malformed_json", "-", too_deep);
    ledger(&nested(100_000), "malformed_json", "-", too_deep);
    let many: Vec<String> = (0..257).map(|field| format!("\"{field}\": 0")).collect();
    let many = format!("{{{}}}", many.join(","));
    ledger(&many, "invalid_field", "", "found an object of 257 fields, expected at most 256");
}

#[test]
fn numbers_are_whole_and_in_range() {
    const EXPECTED: &str = "expected a whole number from 1 to 4294967295";
    for (id, found) in [
        ("0", "0"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("9007199254740994.0", "9007199254740994.0"),
        ("1e999", "1e999"),
        ("4294967296", "4294967296"),
        ("\"978\"", "a string"),
        ("true", "true"),
        ("[1]", "an array"),
    ] {
        let body = format!(r#"{{"id": {id}, "asset": "EUR/2"}}"#);
        ledger(&body, "invalid_field", "/id", &format!("found {found}, {EXPECTED}"));
    }
    for id in ["978.0", "9.78e2"] {
        let body = format!(r#"{{"id": {id}, "asset": "EUR/2"}}"#);
        assert_eq!(requests::ledger(&NO_KEY, body.as_bytes()).expect("a ledger").operation.id.get(), 978);
    }
    ledger(r#"{"asset": "EUR/2"}"#, "missing_field", "/id", "the field `id` is required");
    ledger(r#"{"id": null, "asset": "EUR/2"}"#, "missing_field", "/id", "the field `id` is required");
}

#[test]
fn texts_have_bounded_length_and_no_control_characters() {
    let asset = |text: &str, detail: &str| {
        ledger(&format!(r#"{{"id": 1, "asset": {text}}}"#), "invalid_field", "/asset", detail);
    };
    const EXPECTED: &str = "expected a string with an asset and its scale, such as \"EUR/2\"";
    asset("2", &format!("found the number 2, {EXPECTED}"));
    asset("\"EUR\"", "`EUR` is not an asset with its scale, such as \"EUR/2\"");
    asset("\"EUR/\\u00002\"", &format!("found a string with the control character U+0000, {EXPECTED}"));
    asset("\"\\u0085\"", &format!("found a string with the control character U+0085, {EXPECTED}"));
    asset(
        &format!("\"{}\"", "A".repeat(300)),
        &format!("found a string of 300 bytes, more than the limit of 256, {EXPECTED}"),
    );
}

#[test]
fn a_capture_void_or_refund_may_be_of_a_part() {
    let (all, five) = (Portion::All, Amount::new(5));
    for (verb, body, expected) in [
        (Verb::Capture, "", all),
        (Verb::Capture, "{}", all),
        (Verb::Capture, r#"{"amount": null, "final": null}"#, all),
        (Verb::Capture, r#"{"final": true}"#, all),
        (Verb::Capture, r#"{"final": false}"#, all),
        (Verb::Capture, r#"{"amount": "5"}"#, Portion::Part(five)),
        (Verb::Capture, r#"{"amount": "5", "final": false}"#, Portion::Part(five)),
        (Verb::Capture, r#"{"amount": "5", "final": true}"#, Portion::Last(five)),
        (Verb::Void, r#"{"amount": "5"}"#, Portion::Part(five)),
        (Verb::Refund, r#"{"amount": "5"}"#, Portion::Part(five)),
        (Verb::Refund, " {} ", all),
        (Verb::Decline, "{}", all),
    ] {
        assert_eq!(requests::portion(verb, body.as_bytes()).unwrap(), expected, "{verb:?} {body}");
    }
    for (verb, body, code, field, detail) in [
        (
            Verb::Void,
            r#"{"final": true}"#,
            "unknown_field",
            "/final",
            "there is no field `final`, expected one of amount",
        ),
        (
            Verb::Decline,
            r#"{"amount": "5"}"#,
            "unknown_field",
            "/amount",
            "there is no field `amount`, expected no fields",
        ),
        (
            Verb::Capture,
            r#"{"amount": "5", "all": true}"#,
            "unknown_field",
            "/all",
            "there is no field `all`, expected one of amount, final",
        ),
        (Verb::Refund, r#"{"amount": "0"}"#, "invalid_field", "/amount", "found 0, expected at least 1 minor unit"),
        (
            Verb::Refund,
            r#"{"amount": 5}"#,
            "invalid_field",
            "/amount",
            "found the number 5, expected a string with a whole number of minor units, such as \"1250\"",
        ),
        (Verb::Capture, r#"{"final": 1}"#, "invalid_field", "/final", "found the number 1, expected true or false"),
    ] {
        check(requests::portion(verb, body.as_bytes()), code, field, detail);
    }
}

#[test]
fn a_verb_needs_a_key_and_has_no_fields() {
    check(
        NO_KEY.verb(),
        "idempotency_key_required",
        "Idempotency-Key",
        "every verb on a payment needs its own Idempotency-Key, so that the server recognises a retry",
    );
    check(
        requests::verb(br#"{"amount": "5"}"#),
        "unknown_field",
        "/amount",
        "there is no field `amount`, expected no fields",
    );
    check(
        requests::portion(Verb::Approve, br#"{"amount": "5"}"#),
        "unknown_field",
        "/amount",
        "there is no field `amount`, expected no fields",
    );
    assert!(requests::verb(b"").is_ok() && requests::verb(b" {} ").is_ok());
    for (key, found) in
        [(&b""[..], "0 bytes"), (b"a b", "the byte 0x20"), (b"a\xffb", "the byte 0xff"), (&[b'x'; 256], "256 bytes")]
    {
        let detail = format!("found {found}, expected 1 to 255 visible ASCII characters");
        check(IdempotencyKey::parse(key), "invalid_header", "Idempotency-Key", &detail);
    }
}

#[test]
fn a_label_is_a_name() {
    let body = br#"{"payment": "7", "label": "Not A Name"}"#;
    let detail = "`Not A Name` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter";
    check(requests::label(&NO_KEY, body), "invalid_field", "/label", detail);
}

#[test]
fn parameters_are_known_and_given_once() {
    let known = ["limit", "status"];
    let parse = |query: &str| Parameters::parse(query, &known);
    check(parse("page=2"), "unknown_parameter", "page", "there is no parameter `page`, expected one of limit, status");
    check(Parameters::parse("a", &[]), "unknown_parameter", "a", "there is no parameter `a`, expected none");
    check(parse("limit=1&limit=1"), "invalid_parameter", "limit", "the parameter is given twice");
    check(parse("status=%f"), "invalid_parameter", "status", "the value `%f` is not percent-encoded UTF-8");
    check(parse("status=%ff"), "invalid_parameter", "status", "the value `%ff` is not percent-encoded UTF-8");
    check(parse("status=%00"), "invalid_parameter", "status", "found a string with the control character U+0000");
    assert_eq!(parse("status=a+b%C3%A9&").expect("parameters").get("status"), Some("a bé"));
    for (text, code) in [
        ("0", "invalid_parameter"),
        ("", "invalid_parameter"),
        ("+5", "invalid_parameter"),
        ("ten", "invalid_parameter"),
        ("1001", "page_size_too_large"),
    ] {
        let problem =
            parse(&format!("limit={}", text.replace('+', "%2B"))).expect("parameters").limit().expect_err("refused");
        assert_eq!((problem.code().as_str(), problem.field()), (code, Some("limit")), "{text}");
    }
    assert_eq!(parse("").expect("no parameters").limit(), Ok(100));
    assert_eq!(parse("limit=1000").expect("parameters").limit(), Ok(1_000));
}

#[test]
fn a_cursor_belongs_to_one_list_of_one_history() {
    let history = CursorOrigin { origin: Origin::new(7), shard: ShardId::new(0) };
    let cursor = history.cursor(List::Payments, 12);
    assert_eq!(cursor, "00000000-0000-0000-0000-000000000007.0.p12");
    assert_eq!(history.position(&cursor, List::Payments), Ok(12_u64));
    let malformed = "is not a cursor of this list";
    check(history.position::<u64>(&cursor, List::Events), "invalid_parameter", "-", &format!("`{cursor}` {malformed}"));
    for bad in ["", "abc", "7.0.p+1", "7.0.p", "7.0.p1.2", "x.0.p1", "7.-1.p1", "7.0.p99999999999999999999"] {
        check(history.position::<u64>(bad, List::Payments), "invalid_parameter", "-", &format!("`{bad}` {malformed}"));
    }
    let restored = CursorOrigin { origin: Origin::new(8), shard: ShardId::new(0) };
    let problem = restored.position::<u64>(&cursor, List::Payments).expect_err("another history");
    assert_eq!((problem.code().as_str(), problem.status()), ("cursor_of_another_origin", 410));
}
