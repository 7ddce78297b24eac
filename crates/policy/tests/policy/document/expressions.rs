//! Features, rules, models, and the expressions in them.

use expect_test::{Expect, expect};
use policy::{Bundle, Policy};

use super::{BASE, check, problems};
use crate::support::{bundle, bundle_with, listed, named_model};

#[test]
fn a_feature_is_one_thing() {
    check(
        "stream = \"spend\"",
        "stream = \"spend\"\nexpression = \"true\"",
        &expect![[r#"
            policy.toml:44:1: features.spend_1d: expected exactly one of `stream`, `attribute` and `expression`
        "#]],
    );
    check(
        "aggregate = \"sum\"",
        "aggregate = \"total\"",
        &expect![[r#"
            policy.toml:46:13: features.spend_1d.aggregate: is `total`, expected one of count, sum, mean, stddev, min, max, median, quantile, last, previous, since_last, since_first, ratio, zscore, count_change, sum_change, distinct, seen, label_count, label_rate
        "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"card\"\n",
        &expect![[r#"
        policy.toml:50:30: models.fraud.inputs[1]: 'features.spend_1d' is not declared (in payment type `topup`; use `payments` to leave it out)
        policy.toml:53:9: rules[0].when: 'features.spend_1d' is not declared (in payment type `topup`; use `payments` to leave it out)
    "#]],
    );
    check(
        "[models.fraud]",
        "[features.f]\nexpression = \"payment.customer\"\npayments = []\n[models.fraud]",
        &expect![[r#"
        policy.toml:50:12: features.f.payments: has 0 items, expected 1 to 32 payment types
    "#]],
    );
}

#[test]
fn lists_are_declared_and_hold_what_is_looked_up() {
    let lists = "[lists.countries]\nholds = \"text\"\n[lists.blocked_cards]\nholds = \"card\"\n[payments.card]";
    let check = |when: &str, expected: &expect_test::Expect| {
        let when = format!("{when}\"\npayments = [\"card\"]");
        let document = BASE.replacen("[payments.card]", lists, 1).replacen("features.spend_1d > 100\"", &when, 1);
        expected.assert_eq(&listed(&problems(&document)));
    };
    check("payment.card in list('blocked_cards')", &expect![[r#""#]]);
    check("payment.type in list('countries') && 'NO' in list(\\\"countries\\\")", &expect![[r#""#]]);
    check(
        "payment.card in list('blocked_card')",
        &expect![[r#"
        policy.toml:57:25: rules[0].when: the policy declares no list 'blocked_card'; did you mean 'blocked_cards'?
    "#]],
    );
    check(
        "payment.card in list('x')",
        &expect![[r#"
        policy.toml:57:25: rules[0].when: the policy declares no list 'x'; declare it under [lists]
    "#]],
    );
    check(
        "payment.customer in list('blocked_cards')",
        &expect![[r#"
        policy.toml:57:9: rules[0].when: list 'blocked_cards' holds values of the type entity(card), found entity(customer)
    "#]],
    );
    check(
        "payment.card in list('countries')",
        &expect![[r#"
        policy.toml:57:9: rules[0].when: list 'countries' holds values of the type string, found entity(card)
    "#]],
    );
    check(
        "payment.amount in list('countries')",
        &expect![[r#"
        policy.toml:57:9: rules[0].when: list 'countries' holds values of the type string, found int
    "#]],
    );
    check(
        "payment.type in list(payment.type)",
        &expect![[r#"
        policy.toml:57:30: rules[0].when: the name of a list must be a constant string, such as list("blocked_devices")
    "#]],
    );
    check(
        "list('countries').size() > 0",
        &expect![[r#"
        policy.toml:57:9: rules[0].when: list(…) can only stand after `in`, as in x in list("name")
    "#]],
    );
    check(
        "payment.type in list()",
        &expect![[r#"
        policy.toml:57:25: rules[0].when: list() takes 1 name, found 0
    "#]],
    );
    check(
        "payment.phone in list('countries')",
        &expect![[r#"
        policy.toml:57:8: rules[0].when: looks the personal attribute `phone` up in a list of texts, which are kept in the clear; make it an entity, whose lists hold tokens
    "#]],
    );
    check(
        "[payment.phone].exists(one, one in list('countries'))",
        &expect![[r#"
        policy.toml:57:8: rules[0].when: looks the personal attribute `phone` up in a list of texts, which are kept in the clear; make it an entity, whose lists hold tokens
    "#]],
    );
    super::check(
        "[payments.card]",
        "[lists.a]\nholds = \"cart\"\n[lists.b]\n[payments.card]",
        &expect![[r#"
        policy.toml:22:9: lists.a.holds: there is no entity `cart`; did you mean `card`?
        policy.toml:23:1: lists.b: `holds` is missing
    "#]],
    );
}

#[test]
fn what_can_never_be_computed_is_refused() {
    check(
        "features.spend_1d > 100",
        "features.spend_1d > 1 / 0",
        &expect![[r#"
        policy.toml:53:29: rules[0].when: the expression can never be computed: division by zero
    "#]],
    );
    check(
        "code = 1\n[payments.topup]",
        "code = 1\namount = \"payment.amount + (9223372036854775807 + 1)\"\n[payments.topup]",
        &expect![[r#"
        policy.toml:34:29: payments.card.legs[0].amount: the expression can never be computed: a result is out of range
    "#]],
    );
    check(
        "code = 1\n[payments.topup]",
        "code = 1\namount = \"2 - 3\"\n[payments.topup]",
        &expect![[r#"
        policy.toml:34:10: payments.card.legs[0].amount: is always -1, but an amount must not be negative
    "#]],
    );
}

#[test]
fn a_part_that_can_never_be_computed_gives_a_warning() {
    let document = BASE.replacen("features.spend_1d > 100", "features.spend_1d > 100 && payment.amount < int(1e19)", 1);
    let policy = Policy::compile(&bundle(&document)).expect("a warning is no problem");
    let warnings: String = policy.warnings().iter().map(|warning| format!("{} {warning}\n", warning.code)).collect();
    expect![[r#"
        never_computed policy.toml:53:53: rules[0].when: this part can never be computed: a value cannot be converted to the type
    "#]].assert_eq(&warnings);
    assert!(Policy::compile(&bundle(BASE)).expect("the base compiles").warnings().is_empty());
}

#[test]
fn a_model_that_may_answer_with_something_else_than_a_probability_is_refused() {
    let bundle = bundle_with(BASE, &[0.0, 0.25, 0.0]);
    expect![[r#"
        policy.toml:49:8: models.fraud.file: cannot be used as a model: the model can answer any number, but a probability from 0 to 1 is expected; if the answers are log odds, export it with LOGISTIC
    "#]].assert_eq(&listed(&Policy::compile(&bundle).unwrap_err()));
}

#[test]
fn a_policy_that_an_earlier_release_accepted_still_compiles() {
    let document = BASE.replacen("features.spend_1d > 100", "1 / 0 > 100", 1);
    let policy = Policy::recompile(&bundle_with(&document, &[0.0, 0.25, 0.0])).expect("an active policy stays active");
    let warnings: String = policy.warnings().iter().map(|warning| format!("{} {warning}\n", warning.code)).collect();
    expect![[r#"
        refused_by_now policy.toml:49:8: models.fraud.file: cannot be used as a model: the model can answer any number, but a probability from 0 to 1 is expected; if the answers are log odds, export it with LOGISTIC
        refused_by_now policy.toml:53:9: rules[0].when: the expression can never be computed: division by zero
    "#]].assert_eq(&warnings);
}

#[test]
fn rules_have_one_effect() {
    check(
        "{ review = true }",
        "{ review = true, score = 5 }",
        &expect![[r#"
        policy.toml:54:8: rules[0].then: expected exactly one effect: decline = true, review = true, score or tag
    "#]],
    );
    check(
        "{ review = true }",
        "{ review = false }",
        &expect![[r#"
        policy.toml:54:19: rules[0].then.review: is false, expected true
    "#]],
    );
    check(
        "{ review = true }",
        "{ score = 1001 }",
        &expect![[r#"
        policy.toml:54:18: rules[0].then.score: is 1001, expected a whole number from -1000 to 1000
    "#]],
    );
    check(
        "{ review = true }",
        "{ tag = \"\" }",
        &expect![[r#"
        policy.toml:54:16: rules[0].then.tag: is empty, expected text
    "#]],
    );
}

#[test]
fn thresholds_are_in_order() {
    check(
        "review_at = 700",
        "review_at = 901",
        &expect![[r#"
        policy.toml:56:13: decision.review_at: is 901, expected at most decline_at, 900
    "#]],
    );
    check(
        "decline_at = 900",
        "decline_at = 1001",
        &expect![[r#"
        policy.toml:57:14: decision.decline_at: is 1001, expected a whole number from 0 to 1000
    "#]],
    );
    check(
        "[file]",
        "[labels]\npositive = []\n[file]",
        &expect![[r#"
        policy.toml:58:1: labels: `positive` is missing or empty, expected a list of label values
    "#]],
    );
}

#[test]
fn models_fit_their_files() {
    check(
        "models/fraud.onnx",
        "models/froud.onnx",
        &expect![[r#"
        policy.toml:49:8: models.fraud.file: there is no file `models/froud.onnx` beside policy.toml
    "#]],
    );
    check(
        "models/fraud.onnx",
        "../fraud.onnx",
        &expect![[r#"
        policy.toml:49:8: models.fraud.file: is not a file name of a bundle, expected at most 128 of a-z 0-9 _ . / - without `..`
    "#]],
    );
    check(
        ", \"payment.amount > 5\"]",
        "]",
        &expect![[r#"
        policy.toml:50:10: models.fraud.inputs: has 2 items, but the model has 3 inputs
    "#]],
    );
    check(
        "\"payment.amount > 5\"]",
        "\"payment.type\"]",
        &expect![[r#"
        policy.toml:50:51: models.fraud.inputs[2]: expected double or int or bool, found string
    "#]],
    );
    let files = [("policy.toml", BASE.as_bytes()), ("models/fraud.onnx", b"not a model")];
    let broken = Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))).unwrap();
    expect![[r#"
        policy.toml:49:8: models.fraud.file: cannot be used as a model: not an ONNX file: failed to decode Protobuf message: invalid wire type value: 6
    "#]].assert_eq(&listed(&Policy::compile(&broken).unwrap_err()));
}

#[test]
fn an_error_in_an_expression_is_placed_inside_its_string() {
    check(
        "\"features.spend_1d > 100\"",
        "\"features.spend_1d > 'x'\"",
        &expect![[r#"
        policy.toml:53:27: rules[0].when: expected two values of one type to compare, found int and string
    "#]],
    );
    check(
        "\"features.spend_1d > 100\"",
        "'''\ntrue &&\n  payment.amont > 5'''",
        &expect![[r#"
        policy.toml:55:3: rules[0].when: 'payment.amont' is not declared; did you mean 'payment.amount'?
    "#]],
    );
    check(
        "\"features.spend_1d > 100\"",
        "\"payment.type == \\\"card\\\" || 5\"",
        &expect![[r#"
        policy.toml:53:37: rules[0].when: expected bool, found int
    "#]],
    );
    check(
        "\"features.spend_1d > 100\"",
        "100",
        &expect![[r#"
        policy.toml:53:8: rules[0].when: is an integer, expected a string
    "#]],
    );
}

#[test]
fn an_error_in_some_payment_types_names_them() {
    check(
        "\"features.spend_1d > 100\"",
        "\"payment.country == 'NO'\"",
        &expect![[r#"
        policy.toml:53:9: rules[0].when: 'payment.country' is not declared; did you mean 'payment.amount'? (in payment type `topup`; use `payments` to leave it out)
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"customer\"\nwhere = \"payment.country == 'NO'\"\n",
        &expect![[r#"
        policy.toml:44:10: streams.spend.where: 'payment.country' is not declared; did you mean 'payment.amount'? (in payment type `topup`; use `payments` to leave it out)
    "#]],
    );
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
    let feature = |expression: &str| {
        format!("[features.f]\nexpression = \"{expression}\"\npayments = [\"card\"]\n[models.fraud]")
    };
    check(
        "[models.fraud]",
        &feature("payment.phone"),
        &expect![[r#"
        policy.toml:49:14: features.f.expression: reads the personal attribute `phone`, but a feature that is not a bool is kept in the clear
    "#]],
    );
    check("[models.fraud]", &feature("payment.phone == '1'"), &expect![[r#""#]]);
    check(
        "[models.fraud]",
        &feature("size(payment.phone)"),
        &expect![[r#"
        policy.toml:49:14: features.f.expression: reads the personal attribute `phone`, but a feature that is not a bool is kept in the clear
    "#]],
    );
    check(
        "code = 1\n",
        "code = 1\namount = \"size(payment.phone)\"\n",
        &expect![[r#"
        policy.toml:34:10: payments.card.legs[0].amount: reads the personal attribute `phone`, but an amount is kept in the clear
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"customer\"\npayments = [\"card\"]\nvalue = \"size(payment.phone)\"\n",
        &expect![[r#"
        policy.toml:45:9: streams.spend.value: reads the personal attribute `phone`, but a record's value is kept in the clear
    "#]],
    );
}

/// Checks the problems of a policy whose model names its columns `amount`, `spend_1d` and `is_large`.
#[track_caller]
fn check_inputs(inputs: &str, expected: &Expect) {
    let from = r#"inputs = ["payment.amount", "features.spend_1d", "payment.amount > 5"]"#;
    assert!(BASE.contains(from));
    let document = BASE.replacen(from, inputs, 1);
    let model = named_model(&[0.0; 3], &["amount", "spend_1d", "is_large"]);
    let files = [("policy.toml", document.into_bytes()), ("models/fraud.onnx", model)];
    let bundle = Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes))).expect("a bundle");
    match Policy::compile(&bundle) {
        Ok(policy) => expected.assert_eq(&format!("{:?}\n", policy.models()[0].inputs)),
        Err(problems) => expected.assert_eq(&listed(&problems)),
    }
}

#[test]
fn inputs_may_be_named_by_the_columns_of_the_model() {
    check_inputs(
        r#"inputs = { is_large = "payment.amount > 5", spend_1d = "features.spend_1d", amount = "payment.amount" }"#,
        &expect![[r#"
            ["payment.amount", "features.spend_1d", "payment.amount > 5"]
        "#]],
    );
    check_inputs(
        r#"inputs = { is_large = "payment.amount > 5", spend = "features.spend_1d", amount = "payment.amount" }"#,
        &expect![[r#"
            policy.toml:50:10: models.fraud.inputs: has no expression for the model's column `spend_1d`
            policy.toml:50:45: models.fraud.inputs.spend: the model has no such column, expected one of amount, spend_1d, is_large
        "#]],
    );
    check_inputs(
        r#"inputs = ["features.spend_1d", "payment.amount", "payment.amount > 5"]"#,
        &expect![[r#"
        policy.toml:50:11: models.fraud.inputs[0]: is `features.spend_1d`, but column 1 of the model is `amount`; `spend_1d` is its column 2
        policy.toml:50:32: models.fraud.inputs[1]: is `payment.amount`, but column 2 of the model is `spend_1d`; `amount` is its column 1
    "#]],
    );
    check_inputs(
        r#"inputs = ["payment.amount", "features.spend_1d"]"#,
        &expect![[r#"
        policy.toml:50:10: models.fraud.inputs: has 2 items, but the model has 3 inputs; the next one is `is_large`
    "#]],
    );
    check_inputs(
        r#"inputs = 5"#,
        &expect![[r#"
        policy.toml:50:10: models.fraud.inputs: is an integer, expected an array
    "#]],
    );
}

#[test]
fn inputs_cannot_be_named_if_the_model_has_no_names() {
    check(
        r#"["payment.amount", "features.spend_1d", "payment.amount > 5"]"#,
        r#"{ amount = "payment.amount" }"#,
        &expect![[r#"
            policy.toml:50:10: models.fraud.inputs: names the columns, but the model's file does not; write a list in their order, or add their names to the file's metadata as `feature_names`
        "#]],
    );
}

#[test]
fn settings_of_aggregates_are_checked() {
    let feature = |settings: &str| format!("[features.spend_1d]\nstream = \"spend\"\n{settings}\nwindow = \"1d\"");
    #[track_caller]
    fn check_feature(settings: &str, expected: &expect_test::Expect) {
        check("aggregate = \"sum\"", settings, expected);
    }
    assert!(BASE.contains(&feature("aggregate = \"sum\"")));
    check_feature(
        "aggregate = \"quantile\"",
        &expect![[r#"
        policy.toml:46:13: features.spend_1d.aggregate: needs `quantile`
    "#]],
    );
    check_feature(
        "aggregate = \"quantile\"\nquantile = 1.5",
        &expect![[r#"
        policy.toml:47:12: features.spend_1d.quantile: is 1.5, expected a share from 0 to 1 with at most 6 decimals, for example 0.95
    "#]],
    );
    check_feature(
        "aggregate = \"quantile\"\nquantile = 0.1234567",
        &expect![[r#"
        policy.toml:47:12: features.spend_1d.quantile: is 0.1234567, expected a share from 0 to 1 with at most 6 decimals, for example 0.95
    "#]],
    );
    check_feature(
        "aggregate = \"quantile\"\nquantile = \"median\"",
        &expect![[r#"
        policy.toml:47:12: features.spend_1d.quantile: is a string, expected a share from 0 to 1 with at most 6 decimals, for example 0.95
    "#]],
    );
    check_feature(
        "aggregate = \"median\"\nquantile = 0.5",
        &expect![[r#"
        policy.toml:44:1: features.spend_1d: `quantile` is not used by this aggregate
    "#]],
    );
    check_feature(
        "aggregate = \"sum\"\ncompare_to = \"1d\"",
        &expect![[r#"
        policy.toml:44:1: features.spend_1d: `compare_to` is not used by this aggregate
    "#]],
    );
    check_feature(
        "aggregate = \"sum_change\"\ncompare_to = \"399d\"\ndelay = \"1d\"",
        &expect![[r#"
        policy.toml:48:9: features.spend_1d.delay: window, delay and compare_to are 401d together, at most 400d are allowed
    "#]],
    );
    check_feature(
        "aggregate = \"distinct\"",
        &expect![[r#"
        policy.toml:46:13: features.spend_1d.aggregate: stream `spend` has no `item`, which this aggregate is about
    "#]],
    );
}

#[test]
fn what_the_records_of_a_stream_are_about_is_checked() {
    check(
        "of = \"customer\"\n",
        "of = []\n",
        &expect![[r#"
        policy.toml:43:6: streams.spend.of: expected one entity attribute, or a list of two different ones
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = [\"customer\", \"customer\"]\n",
        &expect![[r#"
        policy.toml:43:6: streams.spend.of: expected one entity attribute, or a list of two different ones
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = [\"customer\", \"card\", \"from\"]\n",
        &expect![[r#"
        policy.toml:43:6: streams.spend.of: expected one entity attribute, or a list of two different ones
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = [\"customer\", \"country\"]\n",
        &expect![[r#"
            policy.toml:43:19: streams.spend.of[1]: no payment type has an entity attribute `country`
        "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = [\"customer\", \"card\"]\npayments = [\"topup\"]\n",
        &expect![[r#"
        policy.toml:43:19: streams.spend.of[1]: payment type `topup` has no entity attribute `card`
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"customer\"\npayments = [\"card\"]\nitem = \"payment.phone\"\n",
        &expect![[r#"
            policy.toml:45:8: streams.spend.item: reads the personal attribute `phone`, but a record's item is kept in the clear
        "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"customer\"\nitem = \"1.5\"\n",
        &expect![[r#"
        policy.toml:44:9: streams.spend.item: expected string or int or bool or account or entity(customer) or entity(card), found double
    "#]],
    );
    // A feature of groups is for payments that are in one.
    check(
        "of = \"customer\"\n[features.spend_1d]\nstream = \"spend\"\n",
        "of = \"customer\"\npayments = [\"card\"]\ngroup = \"payment.country\"\n[features.spend_1d]\nstream = \"spend\"\npayments = [\"topup\"]\n",
        &expect![[r#"
            policy.toml:46:1: features.spend_1d: payment type `topup` adds no records to stream `spend`, so it has no group
        "#]],
    );
    // Only payments that add records can be compared with them.
    check(
        "of = \"customer\"\n[features.spend_1d]\nstream = \"spend\"\naggregate = \"sum\"\n",
        "of = \"customer\"\npayments = [\"card\"]\n[features.spend_1d]\nstream = \"spend\"\naggregate = \"ratio\"\npayments = [\"topup\"]\n",
        &expect![[r#"
            policy.toml:45:1: features.spend_1d: payment type `topup` adds no records to stream `spend`, so this aggregate has nothing of it to compare
        "#]],
    );
}
