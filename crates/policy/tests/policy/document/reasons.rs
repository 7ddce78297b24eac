//! Reasons for customers: their texts, and what refers to them.

use expect_test::{Expect, expect};
use policy::{Bundle, Policy};

use super::BASE;
use crate::support::{bundle, compile, listed, named_model};

const TEXTS: &str = "[reasons.spent]\ntext = \"Much was spent\"\n[reasons.amount]\ntext = \"The amount is high\"\n";

fn document(reasons: &str) -> String {
    BASE.replace("[[rules]]", &format!("reasons = {{ {reasons} }}\n{TEXTS}[[rules]]"))
}

#[track_caller]
fn check(document: &str, expected: &Expect) {
    expected.assert_eq(&listed(&Policy::compile(&bundle(document)).err().unwrap_or_default()));
}

/// The codes of the inputs of the only model.
fn codes(policy: &Policy) -> Vec<Option<&str>> {
    let code = |reason: &Option<policy::ReasonIdx>| reason.map(|reason| policy.reasons()[reason.get()].code.as_str());
    policy.models()[0].reasons.iter().map(code).collect()
}

#[test]
fn an_input_gets_its_reason_by_its_expression_or_by_the_name_of_its_column() {
    let by_expression =
        compile(&bundle(&document("\"features.spend_1d\" = \"spent\", ' payment.amount ' = \"amount\"")));
    assert_eq!(codes(&by_expression), [Some("amount"), Some("spent"), None]);
    let named = document("b = \"spent\", \"payment.amount\" = \"amount\"");
    let files = [("policy.toml", named.into_bytes()), ("models/fraud.onnx", named_model(&[0.0; 3], &["a", "b", "c"]))];
    let by_column = compile(&Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes))).unwrap());
    assert_eq!(codes(&by_column), [Some("amount"), Some("spent"), None]);
    assert_eq!(by_column.reasons()[0].text, "Much was spent");
}

#[test]
fn a_reason_that_does_not_fit_is_refused() {
    check(
        &document("\"features.spend_1h\" = \"spent\""),
        &expect![[r#"
        policy.toml:51:13: models.fraud.reasons.features.spend_1h: the model has no such column, and no input is this expression; expected one of `payment.amount`, `features.spend_1d`, `payment.amount > 5`; did you mean `features.spend_1d`?
    "#]],
    );
    check(
        &document("\"features.spend_1d\" = \"spend\""),
        &expect![[r#"
        policy.toml:51:35: models.fraud.reasons.features.spend_1d: there is no reason `spend`; did you mean `spent`?
    "#]],
    );
    check(
        &document("\"features.spend_1d\" = 7"),
        &expect![[r#"
        policy.toml:51:35: models.fraud.reasons.features.spend_1d: is an integer, expected a string
    "#]],
    );
    let named = document("b = \"spent\", \"features.spend_1d\" = \"amount\", bb = \"spent\"");
    let files = [("policy.toml", named.into_bytes()), ("models/fraud.onnx", named_model(&[0.0; 3], &["a", "b", "c"]))];
    let named = Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes))).unwrap();
    expect![[r#"
        policy.toml:51:26: models.fraud.reasons.features.spend_1d: the input `features.spend_1d` already has a reason
        policy.toml:51:58: models.fraud.reasons.bb: the model has no such column, and no input is this expression; expected one of `a`, `b`, `c`, `payment.amount`, `features.spend_1d`, `payment.amount > 5`; did you mean `b`?
    "#]].assert_eq(&listed(&Policy::compile(&named).err().unwrap_or_default()));
}

#[test]
fn a_text_must_be_there_and_its_code_must_be_a_name_of_its_own() {
    check(
        &BASE.replace("[[rules]]", "[reasons.spent]\n[[rules]]"),
        &expect![[r#"
        policy.toml:51:1: reasons.spent: `text` is missing
    "#]],
    );
    check(
        &BASE.replace("[[rules]]", "[reasons.Spent]\ntext = \"t\"\n[[rules]]"),
        &expect![[r#"
        policy.toml:51:10: reasons.Spent: `Spent` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter
    "#]],
    );
    check(
        &BASE.replace("[[rules]]", "[reasons.score_review]\ntext = \"\"\nlang = \"en\"\n[[rules]]"),
        &expect![[r#"
            policy.toml:51:1: reasons.score_review: `score_review` is a reason code of the system, expected another name
            policy.toml:52:8: reasons.score_review.text: is empty, expected text
            policy.toml:53:1: reasons.score_review.lang: unknown key, expected one of text
        "#]],
    );
    check(
        &document("").replace("when = ", "reason = \"spend\"\nwhen = "),
        &expect![[r#"
        policy.toml:58:10: rules[0].reason: there is no reason `spend`; did you mean `spent`?
    "#]],
    );
}
