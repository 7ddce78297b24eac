//! Metadata keeps every value as it was sent, or is refused with the place of what cannot be kept.

use api::responses::{Account, Assets};
use api::{Parameters, changes, filters};
use engine::{AccountName, AccountReply};
use ledger::{Book, Limits, NewAccount};
use types::{AccountId, LedgerId, Timestamp};

use crate::support::check;

const ACCOUNT: AccountName = AccountName::Id(AccountId::new(7));

/// What is stored for the key `k`.
#[track_caller]
fn kept(value: &str, stored: &str) {
    let body = format!(r#"{{"metadata": {{"k": {value}}}}}"#);
    let parsed = changes::account_metadata(ACCOUNT, body.as_bytes()).expect("metadata");
    assert_eq!(parsed.operation.values, [("k".to_owned(), Some(stored.to_owned()))]);
}

#[track_caller]
fn refused(metadata: &str, code: &str, field: &str, detail: &str) {
    let body = format!(r#"{{"metadata": {metadata}}}"#);
    check(changes::account_metadata(ACCOUNT, body.as_bytes()), code, field, detail);
}

#[test]
fn numbers_keep_their_digits() {
    for number in [
        "0",
        "-0",
        "7",
        "1.0",
        "1e0",
        "1E+2",
        "1.50",
        "-18446744073709551616",
        "12345678901234567890123",
        "0.1000000000000000055511151231257827",
        "1e99",
    ] {
        kept(number, number);
    }
    kept(r#" [1.0 , {"b": 2.50 , "a" : -0}]"#, r#"[1.0,{"a":-0,"b":2.50}]"#);
}

#[test]
fn texts_keep_their_characters() {
    kept(r#""\u00e9\/\u0001\n \ud83d\ude00""#, "\"é/\\u0001\\n 😀\"");
    kept(r#"[ ]"#, "[]");
    kept(r#"{ }"#, "{}");
    kept(r#"[true,false ,null]"#, "[true,false,null]");
}

#[test]
fn what_cannot_be_kept_is_refused() {
    const NUL: &str = "found the character U+0000, which cannot be kept";
    refused(r#"{"k": "a\u0000"}"#, "invalid_field", "/metadata/k", NUL);
    refused(r#"{"k": [1, {"a/b": "\u0000"}]}"#, "invalid_field", "/metadata/k/1/a~1b", NUL);
    refused(r#"{"k": {"\u0000": 1}}"#, "invalid_field", "/metadata/k", NUL);
    let beyond = "found -1e999, which is beyond the range of a double";
    refused(r#"{"k": [1, -1e999]}"#, "invalid_field", "/metadata/k/1", beyond);
    refused(
        r#"{"\u0000": 1}"#,
        "invalid_field",
        "/metadata/\u{fffd}",
        "found a key with the character U+0000, which cannot be kept",
    );
    let twice = "the object contains the field `a` twice";
    refused(r#"{"k": {"a": 1, "b": 2, "a": 1}}"#, "duplicate_field", "/metadata/k/a", twice);
    refused(r#"{"k": [{"x": {"a": 1, "a": 2}}]}"#, "duplicate_field", "/metadata/k/0/x/a", twice);
}

#[test]
fn a_value_is_found_by_exactly_its_characters() {
    let read = |query: &str| filters::metadata(&Parameters::parse(query, &["metadata.<key>"]).expect("parameters"));
    for (given, found) in [
        ("12345678901234567890123", "12345678901234567890123"),
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e0", "1e0"),
        ("%7B%22b%22:+1.50,%22a%22:2%7D", r#"{"a":2,"b":1.50}"#),
    ] {
        assert_eq!(read(&format!("metadata.k={given}")), Ok(vec![("k".to_owned(), found.to_owned())]));
    }
    let detail = "found `gold`, expected JSON, such as \"gold\" with its quotes, or 7";
    check(read("metadata.k=gold"), "invalid_parameter", "metadata.k", detail);
    let detail = "the object contains the field `a` twice";
    check(read("metadata.k=%7B%22a%22:1,%22a%22:1%7D"), "invalid_parameter", "metadata.k", detail);
}

#[test]
fn a_value_is_shown_as_it_was_sent() {
    let book = Book { id: LedgerId::new(978), asset: "EUR/2".parse().expect("an asset"), opened_at: Timestamp::ZERO };
    let new = NewAccount { id: AccountId::new(7), ledger: book.id, ..NewAccount::default() };
    let reply = AccountReply {
        account: ledger::Account::open(&new, Timestamp::ZERO),
        address: None,
        limits: Limits::NONE,
        metadata: [("k".to_owned(), "[12345678901234567890123,1.50,1e99]".to_owned())].into(),
    };
    let shown = Account::with_details(&reply, &Assets::new(&[book])).expect("a known ledger");
    let text = serde_json::to_string(&shown).expect("JSON");
    assert!(text.contains(r#""metadata":{"k":[12345678901234567890123,1.50,1e99]}"#), "{text}");
}
