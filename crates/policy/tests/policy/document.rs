//! Broken documents and the exact lines their authors get.

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
    Policy::compile(&bundle(document)).err().unwrap_or_default()
}

/// The problems of the base document with the text `from` replaced by `to`.
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
        policy.toml:6:6: ledgers.usd.id: is 840, which ledger `eur` has already
        policy.toml:10:12: entities.card.personal: is a string, expected true or false
        policy.toml:13:8: accounts.wallet.code: is 0, expected a whole number from 1 to 65535
        policy.toml:14:1: accounts.wallet.opened: unknown key, expected one of ledger, code, per, flags, open; did you mean `open`?
        policy.toml:48:10: features.spend_1d.window: is an integer, expected a string
    "#]].assert_eq(&listed(&problems(&document)));
}

#[test]
fn a_document_that_is_not_toml_says_where() {
    check("id = 978", "id = ", &expect![[r#"
        policy.toml:3:6: is not TOML: string values must be quoted, expected literal string
    "#]]);
    check("[accounts.bank]", "[accounts.wallet]", &expect![[r#"
        policy.toml:15:11: is not TOML: duplicate key
        policy.toml:16:1: is not TOML: duplicate key
        policy.toml:17:1: is not TOML: duplicate key
    "#]]);
}

#[test]
fn keys_are_known_and_complete() {
    check("name = \"shop\"", "", &expect![[r#"
        policy.toml:1:1: `name` is missing
    "#]]);
    check("name = \"shop\"", "name = \"Shop\"\n", &expect![[r#"
        policy.toml:1:8: name: `Shop` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
    "#]]);
    check("code = 20", "cod = 20", &expect![[r#"
        policy.toml:15:1: accounts.bank: `code` is missing
        policy.toml:17:1: accounts.bank.cod: unknown key, expected one of ledger, code, per, flags, open; did you mean `code`?
    "#]]);
    check("[decision]", "[decisions]", &expect![[r#"
        policy.toml:55:2: decisions: unknown key, expected one of name, description, ledgers, entities, accounts, decision, labels, payments, streams, features, models, rules, file; did you mean `decision`?
    "#]]);
    check("name = \"shop\"", "name = \"shop\"\nrules = 5\n", &expect![[r#"
        policy.toml:53:3: is not TOML: duplicate key
    "#]]);
}

#[test]
fn values_have_their_type_and_bounds() {
    check("id = 978", "id = 4294967296", &expect![[r#"
        policy.toml:3:6: ledgers.eur.id: is 4294967296, expected a whole number from 1 to 4294967295
    "#]]);
    check("id = 978", "id = \"978\"", &expect![[r#"
        policy.toml:3:6: ledgers.eur.id: is a string, expected a whole number from 1 to 4294967295
    "#]]);
    check("asset = \"EUR/2\"", "asset = \"EUR\"", &expect![[r#"
        policy.toml:4:9: ledgers.eur.asset: `EUR` is not an asset with its scale, such as "EUR/2"
    "#]]);
    check("[entities.card]", "[entities.Card]", &expect![[r#"
        policy.toml:9:11: entities.Card: `Card` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
        policy.toml:26:36: payments.card.attributes.card.entity: there is no entity `card`; did you mean `Card`?
    "#]]);
    check("type = \"string\" }", "type = \"text\" }", &expect![[r#"
        policy.toml:27:20: payments.card.attributes.country.type: is `text`, expected one of string, int, double, bool, timestamp, entity, account
    "#]]);
    check("type = \"string\" }", "type = \"string\", chars_max = 5000 }", &expect![[r#"
        policy.toml:27:42: payments.card.attributes.country.chars_max: is 5000, expected a whole number from 1 to 4096
    "#]]);
    check("code = 20", "code = 20\nflags = [\"debits_must_not_exceed_credits\", \"credits_must_not_exceed_debits\"]", &expect![[r#"
        policy.toml:18:44: accounts.bank.flags[1]: excludes the other limit, expected one of them
    "#]]);
    check("code = 20", "code = 20\nflags = [\"hist\"]", &expect![[r#"
        policy.toml:18:10: accounts.bank.flags[0]: is `hist`, expected one of debits_must_not_exceed_credits, credits_must_not_exceed_debits, history
    "#]]);
}

#[test]
fn references_resolve() {
    check("ledger = \"usd\"", "ledger = \"us\"", &expect![[r#"
        policy.toml:19:10: accounts.vault.ledger: there is no ledger `us`; did you mean `usd`?
    "#]]);
    check("per = \"customer\"", "per = \"buyer\"", &expect![[r#"
        policy.toml:14:7: accounts.wallet.per: there is no entity `buyer`
    "#]]);
    check("entity = \"card\"", "entity = \"cart\"", &expect![[r#"
        policy.toml:26:36: payments.card.attributes.card.entity: there is no entity `cart`; did you mean `card`?
    "#]]);
    check("stream = \"spend\"", "stream = \"spent\"", &expect![[r#"
        policy.toml:45:10: features.spend_1d.stream: there is no stream `spent`; did you mean `spend`?
    "#]]);
    check("of = \"customer\"\n", "of = \"merchant\"\n", &expect![[r#"
        policy.toml:43:6: streams.spend.of: no payment type has an entity attribute `merchant`
    "#]]);
    check("of = \"customer\"\n", "of = \"card\"\npayments = [\"topup\", \"crad\"]\n", &expect![[r#"
        policy.toml:43:6: streams.spend.of: payment type `topup` has no entity attribute `card`
        policy.toml:44:22: streams.spend.payments[1]: there is no payment type `crad`; did you mean `card`?
    "#]]);
    check("payment = \"topup\"", "payment = \"top_up\"", &expect![[r#"
        policy.toml:59:11: file.payment: there is no payment type `top_up`; did you mean `topup`?
    "#]]);
}

#[test]
fn names_are_unique() {
    check("id = 840", "id = 978", &expect![[r#"
        policy.toml:6:6: ledgers.usd.id: is 978, which ledger `eur` has already
    "#]]);
    let rule = "[[rules]]\nname = \"large\"\nwhen = \"true\"\nthen = { tag = \"t\" }\n[[rules]]";
    check("[[rules]]", rule, &expect![[r#"
        policy.toml:56:8: rules[1].name: an earlier rule has the name `large` already
    "#]]);
    check("name = \"large\"", "name = \"score_review\"", &expect![[r#"
        policy.toml:52:8: rules[0].name: `score_review` is a reason code of the system, expected another name
    "#]]);
    check("country = {", "amount = {", &expect![[r#"
        policy.toml:27:10: payments.card.attributes.amount: every payment has `amount` already, expected another name
    "#]]);
}

#[test]
fn legs_move_money_between_two_accounts_of_the_ledger() {
    check("credit = { account = \"bank\" }", "credit = { account = \"vault\" }", &expect![[r#"
        policy.toml:32:22: payments.card.legs[0].credit.account: account `vault` is in another ledger than the payment type
    "#]]);
    check("credit = { account = \"bank\" }", "credit = { account = \"wallet\", of = \"customer\" }", &expect![[r#"
        policy.toml:30:1: payments.card.legs[0]: debit and credit are the same account, expected two different ones
    "#]]);
    check("credit = { account = \"bank\" }", "credit = { account = \"wallet\" }", &expect![[r#"
        policy.toml:32:22: payments.card.legs[0].credit.account: `of` is missing: account `wallet` is one of many
    "#]]);
    check("credit = { account = \"bank\" }", "credit = { account = \"bank\", of = \"customer\" }", &expect![[r#"
        policy.toml:32:35: payments.card.legs[0].credit.of: account `bank` is a single one, expected no `of`
    "#]]);
    check("credit = { account = \"bank\" }", "credit = { account = \"wallet\", of = \"card\" }", &expect![[r#"
        policy.toml:32:37: payments.card.legs[0].credit.of: `card` is not an attribute of entity `customer`, which account `wallet` is per
        policy.toml:32:37: payments.card.legs[0].credit.of: `card` is optional, a leg needs a required attribute
    "#]]);
    check("credit = { account = \"bank\" }", "credit = { attribute = \"country\" }", &expect![[r#"
        policy.toml:32:24: payments.card.legs[0].credit.attribute: is not an account attribute, expected one of type "account"
    "#]]);
    check("credit = { account = \"bank\" }", "credit = {}", &expect![[r#"
        policy.toml:32:10: payments.card.legs[0].credit: does not name one account, expected `account`, `account` with `of`, or `attribute` alone
    "#]]);
    check("code = 1\n", "code = 1\namount = \"double(payment.amount)\"\n", &expect![[r#"
        policy.toml:34:11: payments.card.legs[0].amount: expected int, found double
    "#]]);
    let legs = "[[payments.topup.legs]]\ndebit = { account = \"bank\" }\ncredit = { account = \"wallet\", of = \"customer\" }\ncode = 2\n";
    check(legs, "", &expect![[r#"
        policy.toml:34:1: payments.topup: there is no leg, expected at least one `[[payments.topup.legs]]`
    "#]]);
}

#[test]
fn the_subject_has_an_erasable_key() {
    check("subject = \"customer\"", "subject = \"card\"", &expect![[r#"
        policy.toml:23:11: payments.card.subject: is `card`, expected a required attribute of a personal entity
    "#]]);
    check("subject = \"customer\"", "subject = \"country\"", &expect![[r#"
        policy.toml:23:11: payments.card.subject: is `country`, expected a required attribute of a personal entity
    "#]]);
    check("subject = \"customer\"\n", "", &expect![[r#"
        policy.toml:21:1: payments.card: `subject` is missing: its key seals the personal attribute `phone`
    "#]]);
    check("required = false }\ncountry", "personal = true }\ncountry", &expect![[r#"
        policy.toml:26:55: payments.card.attributes.card.personal: is true, expected false: values of entities and accounts are opaque already
    "#]]);
}

#[test]
fn deadlines_and_windows_are_bounded() {
    check("subject = \"customer\"", "subject = \"customer\"\ncapture = \"manual\"", &expect![[r#"
        policy.toml:21:1: payments.card: `capture_deadline` is missing
    "#]]);
    check("subject = \"customer\"", "subject = \"customer\"\ncapture_deadline = \"7d\"", &expect![[r#"
        policy.toml:24:20: payments.card.capture_deadline: has no meaning without `capture = "manual"`
    "#]]);
    check("subject = \"customer\"", "subject = \"customer\"\nreview_deadline = \"0s\"", &expect![[r#"
        policy.toml:24:19: payments.card.review_deadline: is 0s, expected a span of time from 1ns to 400d
    "#]]);
    check("subject = \"customer\"", "subject = \"customer\"\noccurred_at = { late_max = \"401d\" }", &expect![[r#"
        policy.toml:24:15: payments.card.occurred_at: `ahead_max` is missing
        policy.toml:24:28: payments.card.occurred_at.late_max: is 401d, expected a span of time from 0s to 400d
    "#]]);
    check("window = \"1d\"", "window = \"0s\"", &expect![[r#"
        policy.toml:47:10: features.spend_1d.window: is 0s, expected a span of time from 1ns to 400d
    "#]]);
    check("window = \"1d\"", "window = \"400d\"\ndelay = \"1ns\"", &expect![[r#"
        policy.toml:48:9: features.spend_1d.delay: window and delay are 34560000000000001ns together, at most 400d are allowed
    "#]]);
    check("window = \"1d\"", "window = \"1 day\"", &expect![[r#"
        policy.toml:47:10: features.spend_1d.window: `1 day` is not a span of time such as "30d", "90m" or "250ms" (units d h m s ms us ns)
    "#]]);
}

#[test]
fn a_feature_is_one_thing() {
    check("stream = \"spend\"", "stream = \"spend\"\nexpression = \"true\"", &expect![[r#"
        policy.toml:44:1: features.spend_1d: is neither one nor the other, expected either `stream` or `expression`
    "#]]);
    check("aggregate = \"sum\"", "aggregate = \"total\"", &expect![[r#"
        policy.toml:46:13: features.spend_1d.aggregate: is `total`, expected one of count, sum, mean, label_count, label_rate
    "#]]);
    check("of = \"customer\"\n", "of = \"card\"\n", &expect![[r#"
        policy.toml:50:30: models.fraud.inputs[1]: 'features.spend_1d' is not declared (in payment type `topup`)
        policy.toml:53:9: rules[0].when: 'features.spend_1d' is not declared (in payment type `topup`)
    "#]]);
    check("[models.fraud]", "[features.f]\nexpression = \"payment.customer\"\npayments = []\n[models.fraud]", &expect![[r#"
        policy.toml:50:12: features.f.payments: has 0 items, expected 1 to 32 payment types
    "#]]);
}

#[test]
fn rules_have_one_effect() {
    check("{ review = true }", "{ review = true, score = 5 }", &expect![[r#"
        policy.toml:54:8: rules[0].then: expected exactly one effect: decline = true, review = true, score or tag
    "#]]);
    check("{ review = true }", "{ review = false }", &expect![[r#"
        policy.toml:54:19: rules[0].then.review: is false, expected true
    "#]]);
    check("{ review = true }", "{ score = 1001 }", &expect![[r#"
        policy.toml:54:8: rules[0].then: expected exactly one effect: decline = true, review = true, score or tag
        policy.toml:54:18: rules[0].then.score: is 1001, expected a whole number from -1000 to 1000
    "#]]);
    check("{ review = true }", "{ tag = \"\" }", &expect![[r#"
        policy.toml:54:8: rules[0].then: expected exactly one effect: decline = true, review = true, score or tag
        policy.toml:54:16: rules[0].then.tag: is empty, expected text
    "#]]);
}

#[test]
fn thresholds_are_in_order() {
    check("review_at = 700", "review_at = 901", &expect![[r#"
        policy.toml:56:13: decision.review_at: is 901, expected at most decline_at, 900
    "#]]);
    check("decline_at = 900", "decline_at = 1001", &expect![[r#"
        policy.toml:57:14: decision.decline_at: is 1001, expected a whole number from 0 to 1000
    "#]]);
    check("[file]", "[labels]\npositive = []\n[file]", &expect![[r#"
        policy.toml:58:1: labels: `positive` is missing or empty, expected a list of label values
    "#]]);
}

#[test]
fn models_fit_their_files() {
    check("models/fraud.onnx", "models/froud.onnx", &expect![[r#"
        policy.toml:49:8: models.fraud.file: there is no file `models/froud.onnx` beside policy.toml
    "#]]);
    check("models/fraud.onnx", "../fraud.onnx", &expect![[r#"
        policy.toml:49:8: models.fraud.file: is not a file name of a bundle, expected at most 128 of a-z 0-9 _ . / - without `..`
    "#]]);
    check(", \"payment.amount > 5\"]", "]", &expect![[r#"
        policy.toml:50:10: models.fraud.inputs: has 2 items, the model has 3 inputs
    "#]]);
    check("\"payment.amount > 5\"]", "\"payment.type\"]", &expect![[r#"
        policy.toml:50:51: models.fraud.inputs[2]: expected double or int or bool, found string
    "#]]);
    let files = [("policy.toml", BASE.as_bytes()), ("models/fraud.onnx", b"not a model")];
    let broken = Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))).unwrap();
    expect![[r#"
        policy.toml:49:8: models.fraud.file: cannot be used as a model: not an ONNX file: failed to decode Protobuf message: invalid wire type value: 6
    "#]].assert_eq(&listed(&Policy::compile(&broken).unwrap_err()));
}

#[test]
fn an_error_in_an_expression_is_placed_inside_its_string() {
    check("\"features.spend_1d > 100\"", "\"features.spend_1d > 'x'\"", &expect![[r#"
        policy.toml:53:27: rules[0].when: expected two values of one type to compare, found int and string
    "#]]);
    check("\"features.spend_1d > 100\"", "'''\ntrue &&\n  payment.amont > 5'''", &expect![[r#"
        policy.toml:55:3: rules[0].when: 'payment.amont' is not declared; did you mean 'payment.amount'?
    "#]]);
    check("\"features.spend_1d > 100\"", "\"payment.type == \\\"card\\\" || 5\"", &expect![[r#"
        policy.toml:53:37: rules[0].when: expected bool, found int
    "#]]);
    check("\"features.spend_1d > 100\"", "100", &expect![[r#"
        policy.toml:53:8: rules[0].when: is an integer, expected a string
    "#]]);
}

#[test]
fn an_error_in_some_payment_types_names_them() {
    check("\"features.spend_1d > 100\"", "\"payment.country == 'NO'\"", &expect![[r#"
        policy.toml:53:9: rules[0].when: 'payment.country' is not declared; did you mean 'payment.amount'? (in payment type `topup`)
    "#]]);
    check("of = \"customer\"\n", "of = \"customer\"\nwhere = \"payment.country == 'NO'\"\n", &expect![[r#"
        policy.toml:44:10: streams.spend.where: 'payment.country' is not declared; did you mean 'payment.amount'? (in payment type `topup`)
    "#]]);
}

#[test]
fn a_problem_does_not_make_others_of_what_refers_to_it() {
    let feature = "[features.bad]\nexpression = \"payment.amount +\"\n";
    let rule = "[[rules]]\nname = \"other\"\nwhen = \"features.bad > 1\"\nthen = { score = 5 }\n";
    check("[models.fraud]", &format!("{feature}{rule}[models.fraud]"), &expect![[r#"
        policy.toml:49:31: features.bad.expression: expected a value, found the end
    "#]]);
}

#[test]
fn one_feature_has_one_type() {
    let attributes = "[payments.topup.attributes]\ncountry = { type = \"int\" }";
    let document = BASE
        .replace("[payments.topup.attributes]", attributes)
        .replace("customer = \"CUSTOMER\"", "customer = \"CUSTOMER\"\ncountry = \"COUNTRY\"")
        .replace("[models.fraud]", "[features.where]\nexpression = \"payment.country\"\n[models.fraud]");
    expect![[r#"
        policy.toml:50:14: features.where.expression: is string in one payment type and int in another, expected one type
    "#]].assert_eq(&listed(&problems(&document)));
}

#[test]
fn what_is_kept_in_the_clear_is_not_personal() {
    let feature = |expression: &str| format!("[features.f]\nexpression = \"{expression}\"\npayments = [\"card\"]\n[models.fraud]");
    check("[models.fraud]", &feature("payment.phone"), &expect![[r#"
        policy.toml:49:14: features.f.expression: reads the personal attribute `phone`, but a feature that is not a bool is kept in the clear
    "#]]);
    check("[models.fraud]", &feature("payment.phone == '1'"), &expect![[r#""#]]);
    check("[models.fraud]", &feature("size(payment.phone)"), &expect![[r#"
        policy.toml:49:14: features.f.expression: reads the personal attribute `phone`, but a feature that is not a bool is kept in the clear
    "#]]);
    check("code = 1\n", "code = 1\namount = \"size(payment.phone)\"\n", &expect![[r#"
        policy.toml:34:10: payments.card.legs[0].amount: reads the personal attribute `phone`, but an amount is kept in the clear
    "#]]);
    check("of = \"customer\"\n", "of = \"customer\"\npayments = [\"card\"]\nvalue = \"size(payment.phone)\"\n", &expect![[r#"
        policy.toml:45:9: streams.spend.value: reads the personal attribute `phone`, but a record's value is kept in the clear
    "#]]);
}

#[test]
fn a_file_has_columns_for_what_is_required() {
    check("customer = \"CUSTOMER\"\n", "", &expect![[r#"
        policy.toml:58:1: file: the required attribute `customer` has no column, expected one under `[file.attributes]`
    "#]]);
    check("customer = \"CUSTOMER\"\n", "customer = \"CUSTOMER\"\ncountry = \"C\"\n", &expect![[r#"
        policy.toml:65:1: file.attributes.country: payment type `topup` has no such attribute
    "#]]);
    check("unit = \"minor\"", "unit = \"cents\"", &expect![[r#"
        policy.toml:62:38: file.amount.unit: is `cents`, expected one of major, minor
    "#]]);
    check("time = \"TIME\"", "label = { column = \"FRAUD\" }", &expect![[r#"
        policy.toml:58:1: file: `time` is missing
        policy.toml:61:9: file.label: `positive` is missing or empty, expected a list of label values
    "#]]);
}

#[test]
fn a_list_past_its_bound_is_named_with_the_bound() {
    let entities: String = (0..63).map(|number| format!("[entities.e{number}]\n")).collect();
    check("[entities.card]", &format!("{entities}[entities.card]"), &expect![[r#"
        policy.toml:8:2: entities: has 65 items, at most 64 are allowed
        policy.toml:89:36: payments.card.attributes.card.entity: there is no entity `card`
    "#]]);
    let rules: String = (0..256).map(|number| format!("[[rules]]\nname = \"r{number}\"\nwhen = \"true\"\nthen = {{ tag = \"t\" }}\n")).collect();
    check("[[rules]]", &format!("{rules}[[rules]]"), &expect![[r#"
        policy.toml:51:1: rules: has 257 items, at most 256 are allowed
    "#]]);
    let long = format!("\"{}\"", "payment.amount > 1 && ".repeat(40).trim_end_matches("&& "));
    let rule = format!("[[rules]]\nname = \"NAME\"\nwhen = {long}\nthen = {{ tag = \"t\" }}\n");
    let rules: String = (0..255).map(|number| rule.replace("NAME", &format!("r{number}"))).collect();
    check("[[rules]]", &format!("{rules}[[rules]]"), &expect![[r#""#]]);
}

#[test]
fn a_document_must_be_text_of_bearable_size() {
    let of = |bytes: Vec<u8>| Policy::compile(&Bundle::new([("policy.toml".to_owned(), bytes)]).unwrap()).unwrap_err();
    expect![[r#"
        policy.toml:1:1: is not UTF-8: invalid utf-8 sequence of 1 bytes from index 8
    "#]].assert_eq(&listed(&of(b"name = \"\xff\"".to_vec())));
    expect![[r#"
        policy.toml:1:1: has 1048577 bytes, at most 1048576 are allowed
    "#]].assert_eq(&listed(&of(vec![b'\n'; (1 << 20) + 1])));
    expect![[r#"
        policy.toml:1:1: `name` is missing
        policy.toml:1:1: there is no payment type, expected at least one `[payments.<name>]`
    "#]].assert_eq(&listed(&of(Vec::new())));
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
