//! What is wrong with attributes of entities and with features that read them.

use expect_test::expect;
use policy::Policy;

use super::{BASE, check};
use crate::support::{bundle, listed};

#[test]
fn what_is_wrong_with_an_attribute_is_named() {
    let attributes = r#"[entities.customer]
[entities.customer.attributes]
Level = { type = "int" }
level = { type = "integer" }
segment = { type = "string", chars_max = 5 }
kind = {}"#;
    check(
        "[entities.customer]",
        attributes,
        &expect![[r#"
        policy.toml:10:1: entities.customer.attributes.Level: `Level` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
        policy.toml:11:18: entities.customer.attributes.level.type: is `integer`, expected one of string, int, double, bool, timestamp
        policy.toml:12:30: entities.customer.attributes.segment.chars_max: unknown key, expected one of description, type
        policy.toml:13:8: entities.customer.attributes.kind: `type` is missing
    "#]],
    );
    let many: String =
        (0..33).map(|number| format!("[entities.customer.attributes.a{number}]\ntype = \"int\"\n")).collect();
    check(
        "[entities.customer]",
        &format!("[entities.customer]\n{many}"),
        &expect![[r#"
        policy.toml:9:20: entities.customer.attributes: has 33 items, at most 32 are allowed
    "#]],
    );
}

#[test]
fn what_is_wrong_with_a_feature_that_is_an_attribute_is_named() {
    let attributes = "[entities.customer]\n[entities.customer.attributes.level]\ntype = \"int\"\n";
    let document = BASE.replace("[entities.customer]\n", attributes);
    let found = |feature: &str| {
        let problems = Policy::compile(&bundle(&format!("{document}{feature}"))).unwrap_err();
        listed(&problems)
    };
    let features = r#"
[features.a]
attribute = "level"
[features.b]
attribute = "levl"
of = "customer"
[features.c]
attribute = "level"
of = "custmer"
[features.d]
attribute = "level"
of = "country"
[features.e]
attribute = "level"
of = "card"
[features.f]
attribute = "level"
of = "customer"
window = "1d"
[features.g]
attribute = "level"
of = "customer"
stream = "spend"
[features.h]
attribute = "level"
of = "card"
payments = ["topup"]
[features.i]
attribute = 3
of = "customer"
"#;
    expect![[r#"
        policy.toml:68:1: features.a: `of` is missing
        policy.toml:71:13: features.b.attribute: entity `customer` has no attribute `levl`; did you mean `level`?
        policy.toml:75:6: features.c.of: no payment type has an entity attribute `custmer`
        policy.toml:78:6: features.d.of: no payment type has an entity attribute `country`
        policy.toml:80:13: features.e.attribute: entity `card` has no attribute `level`; declare it under [entities.card.attributes]
        policy.toml:85:1: features.f.window: unknown key, expected one of payments, expression, stream, attribute, of
        policy.toml:86:1: features.g: expected exactly one of `stream`, `attribute` and `expression`
        policy.toml:92:6: features.h.of: payment type `topup` has no entity attribute `card`
        policy.toml:95:13: features.i.attribute: is an integer, expected a string
    "#]].assert_eq(&found(features));
    let rules = r#"
[features.level]
attribute = "level"
of = "customer"
[[rules]]
name = "text"
when = "features.level == 'high'"
then = { review = true }
[[rules]]
name = "name"
when = "features.levle > 1"
then = { review = true }
"#;
    expect![[r#"
        policy.toml:73:24: rules[1].when: expected two values of one type to compare, found int and string
        policy.toml:77:9: rules[2].when: 'features.levle' is not declared; did you mean 'features.level'?
    "#]]
    .assert_eq(&found(rules));
}

#[test]
fn what_is_wrong_with_an_attribute_of_a_test_is_named() {
    let attributes = r#"[entities.customer]
[entities.customer.attributes]
level = { type = "int" }
segment = { type = "string" }
limit = { type = "double" }
staff = { type = "bool" }
opened_at = { type = "timestamp" }
"#;
    let test = r#"
[[tests]]
name = "levels"
entities = [
  { entity = "custmer", key = "c", attributes = { level = 1 } },
  { entity = "customer", attributes = {} },
  { entity = "customer", key = "c", before = "9999d", attributes = { level = "1", segment = "", limit = "x" } },
  { entity = "customer", key = "c", attributes = { staff = 1, opened_at = 2026-01-01, levl = 1 } },
  { entity = "card", key = "c", attributes = { level = 1 } },
]
payment = { payment = "topup", amount = 1, attributes = { customer = "c" } }
expect = { verdict = "approve" }
"#;
    let document = BASE.replace("[entities.customer]\n", attributes);
    let problems = Policy::compile(&bundle(&format!("{document}{test}"))).unwrap_err();
    expect![[r#"
        policy.toml:75:14: tests[0].entities[0].entity: there is no entity `custmer`; did you mean `customer`?
        policy.toml:76:3: tests[0].entities[1]: `key` is missing
        policy.toml:77:46: tests[0].entities[2].before: is 9999d, expected a span of time from 0s to 400d
        policy.toml:77:78: tests[0].entities[2].attributes.level: is a string, expected a whole number from -9223372036854775808 to 9223372036854775807
        policy.toml:77:93: tests[0].entities[2].attributes.segment: is empty, expected text
        policy.toml:77:105: tests[0].entities[2].attributes.limit: expected a finite number
        policy.toml:78:60: tests[0].entities[3].attributes.staff: is an integer, expected true or false
        policy.toml:78:75: tests[0].entities[3].attributes.opened_at: `2026-01-01` is not an RFC 3339 time between 1970 and 2262, such as "2026-11-22T17:30:00Z"
        policy.toml:78:87: tests[0].entities[3].attributes.levl: entity `customer` has no such attribute; did you mean `level`?
        policy.toml:79:48: tests[0].entities[4].attributes.level: entity `card` has no such attribute
    "#]].assert_eq(&listed(&problems));
}
