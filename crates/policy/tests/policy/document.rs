//! Broken documents and the exact messages that their authors get.

mod attributes;
mod expressions;
mod models;
mod parts;
mod policy_tests;
mod reasons;

use expect_test::{Expect, expect};
use policy::{Bundle, Policy, Problem};
use proptest::prelude::*;

use crate::support::{EXAMPLE, bundle, listed};

const BASE: &str = r#"name = "shop"
[ledgers.eur]
id = 978
asset = "EUR/2"
[ledgers.usd]
id = 840
asset = "USD/2"
[entities.customer]
[entities.card]
personal = false
[accounts.wallet]
ledger = "eur"
code = 10
per = "customer"
[accounts.bank]
ledger = "eur"
code = 20
[accounts.vault]
ledger = "usd"
code = 30
[payments.card]
ledger = "eur"
subject = "customer"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
card = { type = "entity", entity = "card", required = false }
country = { type = "string" }
phone = { type = "string", personal = true, required = false }
from = { type = "account" }
[[payments.card.legs]]
debit = { account = "wallet", of = "customer" }
credit = { account = "bank" }
code = 1
[payments.topup]
ledger = "eur"
[payments.topup.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.topup.legs]]
debit = { account = "bank" }
credit = { account = "wallet", of = "customer" }
code = 2
[streams.spend]
of = "customer"
[features.spend_1d]
stream = "spend"
aggregate = "sum"
window = "1d"
[models.fraud]
file = "models/fraud.onnx"
inputs = ["payment.amount", "features.spend_1d", "payment.amount > 5"]
[[rules]]
name = "large"
when = "features.spend_1d > 100"
then = { review = true }
[decision]
review_at = 700
decline_at = 900
[file]
payment = "topup"
id = "ID"
time = "TIME"
amount = { column = "AMOUNT", unit = "minor" }
[file.attributes]
customer = "CUSTOMER"
"#;

fn problems(document: &str) -> Vec<Problem> {
    let problems = Policy::compile(&bundle(document)).err();
    assert!(problems.as_ref().is_none_or(|problems| !problems.is_empty()), "a refusal without a reason");
    problems.unwrap_or_default()
}

/// Checks the problems of the base document with the text `from` replaced by `to`.
#[track_caller]
fn check(from: &str, to: &str, expected: &Expect) {
    assert!(BASE.contains(from), "{from}");
    expected.assert_eq(&listed(&problems(&BASE.replacen(from, to, 1))));
}

#[test]
fn the_base_and_the_example_have_no_problems() {
    assert_eq!(listed(&problems(BASE)), "");
    assert_eq!(listed(&problems(EXAMPLE)), "");
}

#[test]
fn every_problem_is_reported_at_once() {
    let document = BASE
        .replace("id = 978", "id = 840")
        .replace("open", "opened")
        .replace("code = 10", "code = 0\nopened = 1")
        .replace("personal = false", "personal = \"no\"")
        .replace("of = \"customer\" }\ncredit", "of = \"custmer\" }\ncredit")
        .replace("window = \"1d\"", "window = 1")
        .replace("when = \"features.spend_1d > 100\"", "when = \"payment.amount >\"");
    expect![[r#"
        policy.toml:6:6: ledgers.usd.id: is 840, but ledger `eur` already has this id
        policy.toml:10:12: entities.card.personal: is a string, expected true or false
        policy.toml:13:8: accounts.wallet.code: is 0, expected a whole number from 1 to 65535
        policy.toml:14:1: accounts.wallet.opened: unknown key, expected one of ledger, code, per, flags, open; did you mean `open`?
        policy.toml:32:36: payments.card.legs[0].debit.of: there is no attribute `custmer`; did you mean `customer`?
        policy.toml:48:10: features.spend_1d.window: is an integer, expected a string
        policy.toml:54:25: rules[0].when: expected a value, found the end
    "#]].assert_eq(&listed(&problems(&document)));
}

#[test]
fn a_document_that_is_not_toml_says_where() {
    check(
        "id = 978",
        "id = ",
        &expect![[r#"
        policy.toml:3:6: is not TOML: string values must be quoted, expected literal string
    "#]],
    );
    check(
        "[accounts.bank]",
        "[accounts.wallet]",
        &expect![[r#"
        policy.toml:15:11: is not TOML: duplicate key
        policy.toml:16:1: is not TOML: duplicate key
        policy.toml:17:1: is not TOML: duplicate key
    "#]],
    );
}

#[test]
fn keys_are_known_and_complete() {
    check(
        "name = \"shop\"",
        "",
        &expect![[r#"
        policy.toml:1:1: `name` is missing
    "#]],
    );
    check(
        "name = \"shop\"",
        "name = \"Shop\"\n",
        &expect![[r#"
        policy.toml:1:8: name: `Shop` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
    "#]],
    );
    check(
        "code = 20",
        "cod = 20",
        &expect![[r#"
        policy.toml:15:1: accounts.bank: `code` is missing
        policy.toml:17:1: accounts.bank.cod: unknown key, expected one of ledger, code, per, flags, open; did you mean `code`?
    "#]],
    );
    check(
        "[decision]",
        "[decisions]",
        &expect![[r#"
            policy.toml:55:2: decisions: unknown key, expected one of name, description, ledgers, entities, accounts, lists, reasons, labels, payments, streams, features, models, decision, rules, file, tests; did you mean `decision`?
        "#]],
    );
    check(
        "name = \"shop\"",
        "name = \"shop\"\nrules = 5\n",
        &expect![[r#"
        policy.toml:53:3: is not TOML: duplicate key
    "#]],
    );
}

#[test]
fn values_have_their_type_and_bounds() {
    check(
        "id = 978",
        "id = 4294967296",
        &expect![[r#"
        policy.toml:3:6: ledgers.eur.id: is 4294967296, expected a whole number from 1 to 4294967295
    "#]],
    );
    check(
        "id = 978",
        "id = \"978\"",
        &expect![[r#"
        policy.toml:3:6: ledgers.eur.id: is a string, expected a whole number from 1 to 4294967295
    "#]],
    );
    check(
        "asset = \"EUR/2\"",
        "asset = \"EUR\"",
        &expect![[r#"
        policy.toml:4:9: ledgers.eur.asset: `EUR` is not an asset with its scale, such as "EUR/2"
    "#]],
    );
    check(
        "[entities.card]",
        "[entities.Card]",
        &expect![[r#"
        policy.toml:9:11: entities.Card: `Card` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
        policy.toml:26:36: payments.card.attributes.card.entity: there is no entity `card`; did you mean `Card`?
    "#]],
    );
    check(
        "type = \"string\" }",
        "type = \"text\" }",
        &expect![[r#"
        policy.toml:27:20: payments.card.attributes.country.type: is `text`, expected one of string, int, double, bool, timestamp, entity, account
    "#]],
    );
    check(
        "type = \"string\" }",
        "type = \"string\", chars_max = 5000 }",
        &expect![[r#"
        policy.toml:27:42: payments.card.attributes.country.chars_max: is 5000, expected a whole number from 1 to 4096
    "#]],
    );
    check(
        "code = 20",
        "code = 20\nflags = [\"debits_must_not_exceed_credits\", \"credits_must_not_exceed_debits\"]",
        &expect![[r#"
        policy.toml:18:44: accounts.bank.flags[1]: conflicts with the other limit, expected only one of them
    "#]],
    );
    check(
        "code = 20",
        "code = 20\nflags = [\"hist\"]",
        &expect![[r#"
        policy.toml:18:10: accounts.bank.flags[0]: is `hist`, expected one of debits_must_not_exceed_credits, credits_must_not_exceed_debits, history
    "#]],
    );
}

#[test]
fn names_are_unique() {
    check(
        "id = 840",
        "id = 978",
        &expect![[r#"
        policy.toml:6:6: ledgers.usd.id: is 978, but ledger `eur` already has this id
    "#]],
    );
    let rule = "[[rules]]\nname = \"large\"\nwhen = \"true\"\nthen = { tag = \"t\" }\n[[rules]]";
    check(
        "[[rules]]",
        rule,
        &expect![[r#"
        policy.toml:56:8: rules[1].name: an earlier rule already has the name `large`
    "#]],
    );
    check(
        "name = \"large\"",
        "name = \"score_review\"",
        &expect![[r#"
        policy.toml:52:8: rules[0].name: `score_review` is a reason code of the system, expected another name
    "#]],
    );
    check(
        "country = {",
        "amount = {",
        &expect![[r#"
        policy.toml:27:10: payments.card.attributes.amount: every payment already has `amount`, expected another name
    "#]],
    );
}

#[test]
fn references_to_an_item_with_problems_are_not_reported() {
    let feature = "[features.bad]\nexpression = \"payment.amount +\"\n";
    let rule = "[[rules]]\nname = \"other\"\nwhen = \"features.bad > 1\"\nthen = { score = 5 }\n";
    check(
        "[models.fraud]",
        &format!("{feature}{rule}[models.fraud]"),
        &expect![[r#"
        policy.toml:49:31: features.bad.expression: expected a value, found the end
    "#]],
    );
}

#[test]
fn a_value_past_its_bound_is_reported_with_the_bound() {
    let entities: String = (0..63).map(|number| format!("[entities.e{number}]\n")).collect();
    check(
        "[entities.card]",
        &format!("{entities}[entities.card]"),
        &expect![[r#"
        policy.toml:8:2: entities: has 65 items, at most 64 are allowed
    "#]],
    );
    let rules: String = (0..256)
        .map(|number| format!("[[rules]]\nname = \"r{number}\"\nwhen = \"true\"\nthen = {{ tag = \"t\" }}\n"))
        .collect();
    check(
        "[[rules]]",
        &format!("{rules}[[rules]]"),
        &expect![[r#"
        policy.toml:51:1: rules: has 257 items, at most 256 are allowed
    "#]],
    );
    let tag = |bytes: usize| {
        format!("[[rules]]\nname = \"t\"\nwhen = \"true\"\nthen = {{ tag = \"{}\" }}\n[[rules]]", "t".repeat(bytes))
    };
    check("[[rules]]", &tag(64), &expect![""]);
    check(
        "[[rules]]",
        &tag(65),
        &expect![[r#"
        policy.toml:54:16: rules[0].then.tag: has 65 bytes, at most 64 are allowed
    "#]],
    );
    let long = format!("\"{}\"", "payment.amount > 1 && ".repeat(150).trim_end_matches("&& "));
    let rule = format!("[[rules]]\nname = \"NAME\"\nwhen = {long}\nthen = {{ tag = \"t\" }}\n");
    let rules: String = (0..255).map(|number| rule.replace("NAME", &format!("r{number}"))).collect();
    check(
        "[[rules]]",
        &format!("{rules}[[rules]]"),
        &expect![[r#"
        policy.toml:21:1: payments.card: its expressions take 152755 steps together, at most 65536 are allowed
        policy.toml:34:1: payments.topup: its expressions take 152755 steps together, at most 65536 are allowed
    "#]],
    );
}

#[test]
fn a_document_must_be_text_of_limited_size() {
    let of = |bytes: Vec<u8>| Policy::compile(&Bundle::new([("policy.toml".to_owned(), bytes)]).unwrap()).unwrap_err();
    expect![[r#"
        policy.toml:1:1: is not UTF-8: invalid utf-8 sequence of 1 bytes from index 8
    "#]]
    .assert_eq(&listed(&of(b"name = \"\xff\"".to_vec())));
    expect![[r#"
        policy.toml:1:1: has 1048577 bytes, at most 1048576 are allowed
    "#]]
    .assert_eq(&listed(&of(vec![b'\n'; (1 << 20) + 1])));
    expect![[r#"
        policy.toml:1:1: `name` is missing
        policy.toml:1:1: there is no payment type, expected at least one `[payments.<name>]`
    "#]]
    .assert_eq(&listed(&of(Vec::new())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn hostile_documents_are_refused_without_a_panic(at in 0_usize..BASE.len(), length in 0_usize..40, with in "[\\[\\]{}=\"'.a-z0-9 \n\\\\é-]{0,8}") {
        let end = (at + length).min(BASE.len());
        let document = format!("{}{with}{}", &BASE[..at], &BASE[end..]);
        for problem in problems(&document) {
            prop_assert!(problem.line >= 1 && problem.column >= 1);
        }
    }
}
