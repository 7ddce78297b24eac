//! `[[tests]]`: what is wrong with them is found when the document is read.

use expect_test::expect;
use policy::Policy;

use super::BASE;
use crate::support::{bundle, listed};

#[test]
fn what_is_wrong_with_a_test_is_named() {
    let tests = r#"
[[tests]]
name = "Bad name"
payment = { payment = "crd", amount = -1 }
expect = { verdict = "refuse" }
[[tests]]
name = "twice"
[[tests]]
name = "twice"
history = [{ payment = "card", amount = 1, attributes = {} }]
payment = { payment = "card", amount = 1, at = "yesterday", attributes = { custmer = "c" } }
expect = { verdict = "decline", score = 1001, reasons = ["larg"], tag = [] }
"#;
    let problems = Policy::compile(&bundle(&format!("{BASE}{tests}"))).unwrap_err();
    expect![[r#"
        policy.toml:67:8: tests[0].name: `Bad name` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
        policy.toml:68:23: tests[0].payment.payment: there is no payment type `crd`; did you mean `card`?
        policy.toml:68:39: tests[0].payment.amount: is -1, expected a whole number from 0 to 9223372036854775807
        policy.toml:69:22: tests[0].expect.verdict: is `refuse`, expected one of approve, review, decline
        policy.toml:70:1: tests[1]: `expect` is missing
        policy.toml:70:1: tests[1]: `payment` is missing
        policy.toml:73:8: tests[2].name: an earlier test already has the name `twice`
        policy.toml:74:12: tests[2].history[0]: `attributes` lacks customer, country, from, which `card` requires
        policy.toml:74:12: tests[2].history[0]: `before` is missing
        policy.toml:75:11: tests[2].payment: `attributes` lacks customer, country, from, which `card` requires
        policy.toml:75:48: tests[2].payment.at: `yesterday` is not an RFC 3339 time between 1970 and 2262, such as "2026-11-22T17:30:00Z"
        policy.toml:75:76: tests[2].payment.attributes.custmer: payment type `card` has no such attribute; did you mean `customer`?
        policy.toml:76:41: tests[2].expect.score: is 1001, expected a whole number from 0 to 1000
        policy.toml:76:58: tests[2].expect.reasons[0]: there is no rule or reason `larg`; did you mean `large`?
        policy.toml:76:67: tests[2].expect.tag: unknown key, expected one of verdict, score, reasons, tags; did you mean `tags`?
    "#]].assert_eq(&listed(&problems));
}
