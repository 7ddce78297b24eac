//! What an `Idempotency-Key` stands for: the content of the whole request. And what `If-Match` names.

use api::{IdSource, IdempotencyKey, entity_tag, if_match};
use engine::{IfMatch, Key};

use crate::support::{NO_KEY, check};

fn key_on(route: &'static str, id: &str, body: &str) -> Key {
    let key = IdempotencyKey::parse(b"order-4711").expect("a key");
    let source = IdSource { key: Some(&key), ..NO_KEY };
    source.key(route, id, body.as_bytes()).expect("a body").expect("the request has a key")
}

fn key(body: &str) -> Key {
    key_on("/v1/transfers/batch", "", body)
}

#[test]
fn the_same_content_has_the_same_parts_however_it_is_written() {
    let first = key(r#"{"transfers": [{"amount": "5", "code": 1}, {"amount": "6"}], "atomic": true}"#);
    let again = key(r#"{"atomic":true,"note":null,"transfers":[{"code":1,"amount":"5"},{"amount":"\u0036"}]}"#);
    assert_eq!((first.id, &first.used), (again.id, &again.used));
    assert_eq!(first.used.items, 2);
    assert_eq!(first.names, ["id", "/atomic", "/transfers/0", "/transfers/1"]);
    assert_eq!(key("").used, key("{}").used);
}

#[test]
fn other_content_differs_in_the_part_that_is_different() {
    let first = r#"{"metadata": {"a": 1.0, "b": {"c": [1]}}}"#;
    for (other, differs) in [
        (r#"{"metadata": {"a": 1, "b": {"c": [1]}}}"#, "/metadata/a"),
        (r#"{"metadata": {"a": 1.0, "b": {"c": [2]}}}"#, "/metadata/b"),
        (r#"{"metadata": {"a": 1.0, "b": null}}"#, "/metadata/b"),
        (r#"{"metadata": {"a/b": 1.0, "b": {"c": [1]}}}"#, "/metadata/a~1b"),
    ] {
        let (first, other) = (key(first), key(other));
        let place = first.used.parts.iter().zip(&other.used.parts).position(|(first, other)| first != other);
        assert_eq!(place.map(|place| other.names[place].as_str()), Some(differs));
    }
}

#[test]
fn a_key_counts_for_one_route_and_its_parts_contain_the_id_in_the_path() {
    let limits = key_on("/v1/accounts/{id}/limits", "7", "{}");
    assert_ne!(limits.id, key_on("/v1/accounts/{id}/metadata", "7", "{}").id);
    let other = key_on("/v1/accounts/{id}/limits", "8", "{}");
    assert_eq!(limits.id, other.id);
    assert_ne!(limits.used.parts[0], other.used.parts[0]);
}

#[test]
fn entity_tags_name_versions() {
    assert_eq!(entity_tag(0xab), "\"00000000000000ab\"");
    let read = |text: &str| if_match(text.as_bytes());
    assert_eq!(read(" * "), Ok(IfMatch::Any));
    assert_eq!(read(&entity_tag(7)), Ok(IfMatch::OneOf(vec![7])));
    assert_eq!(read("\"00000000000000ab\" , \"x\",W/\"0000000000000001\""), Ok(IfMatch::OneOf(vec![0xab])));
    for bad in ["", "7", "\"7", "\"7\" \"8\"", "7\"", ","] {
        let detail = "expected `*` or entity tags in quotes, separated by commas, as the header `ETag` shows them";
        check(read(bad), "invalid_header", "If-Match", detail);
    }
}
