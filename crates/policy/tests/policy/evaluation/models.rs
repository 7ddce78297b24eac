//! Several models: rules and other models read their answers, and the policy makes one score of them.

use expect_test::{Expect, expect};
use features::Missing;
use policy::{Evaluation, ModelIdx};

use super::{card, card_attributes, changed, check, facts, judged, records};

/// The example with a second model, for cards too, that answers 0.03 times its first input.
#[track_caller]
fn with_other(inputs: &str, rules: &str) -> policy::Policy {
    let other = format!(
        "[models.other]\nfile = \"models/fraud.onnx\"\npayments = [\"card\"]\ninputs = {inputs}\n{rules}[[rules]] "
    );
    changed("[[rules]] ", &other, &[0.03, 0.0, 0.0])
}

fn rule(when: &str) -> String {
    format!("[[rules]]\nname = \"read\"\npayments = [\"card\"]\nwhen = \"{when}\"\nthen = {{ tag = \"read\" }}\n")
}

#[test]
fn rules_read_the_answer_of_each_model() {
    // The first answers 0.6, the second 0.3. Both calculate with 32 bits.
    for (when, expected) in [
        ("models.fraud > 0.59 && models.fraud < 0.61", expect![[r#"Approve 600 [] ["read"]"#]]),
        ("models.fraud - models.other > 0.29", expect![[r#"Approve 600 [] ["read"]"#]]),
        ("models.other > 0.31", expect!["Approve 600 [] []"]),
    ] {
        check(&with_other("[\"10\", \"0\", \"0\"]", &rule(when)), records(0, 0, 0), &expected);
    }
}

#[test]
fn a_model_reads_the_answers_of_those_above_it() {
    let policy = with_other("[\"models.fraud * 10.0\", \"0\", \"0\"]", "");
    let attributes = card_attributes();
    let evaluation = card(&policy, &attributes, records(0, 0, 0));
    let answers: Vec<_> =
        evaluation.models.iter().map(|(model, answer)| (*model, answer.map(|p| format!("{p:.3}")))).collect();
    assert_eq!(answers, [(ModelIdx::new(0), Some("0.600".to_owned())), (ModelIdx::new(1), Some("0.180".to_owned()))]);
    // The explanation has what the decision had.
    let explanations = policy.explain(&facts(2000, &attributes), &evaluation.features, &evaluation.models);
    let explained = explanations[1].answer.clone().expect("an explanation");
    assert_eq!(
        (explained.probability, explained.inputs[0].expression),
        (evaluation.models[1].1, "models.fraud * 10.0")
    );
}

#[test]
fn a_model_without_an_answer_is_missing_where_it_is_read() {
    let missing = |inputs: &str, when: &str| -> Evaluation {
        card(&with_other(inputs, &rule(when)), &card_attributes(), Err(Missing::WindowTruncated))
    };
    // The first model reads a feature that is missing.
    let evaluation = missing("[\"10\", \"0\", \"0\"]", "!has(models.fraud) && has(models.other)");
    expect![[r#"Review 300 ["feature_missing Review, models.fraud: features.customer_spend_1d is missing"] ["read"]"#]]
        .assert_eq(&judged(&evaluation));
    let evaluation = missing("[\"models.fraud\", \"0\", \"0\"]", "models.other > 0.0");
    assert_eq!(evaluation.models, [(ModelIdx::new(0), None), (ModelIdx::new(1), None)]);
    let policy = with_other("[\"10\", \"0\", \"0\"]", &rule("models.other > 0.0"));
    let tags = card(&policy, &card_attributes(), Err(Missing::WindowTruncated)).tags;
    assert_eq!(tags, ["read"], "the other model has an answer");
}

/// The score of a card payment if `[decision]` has this line.
#[track_caller]
fn scored(line: &str, expected: &Expect) {
    let other =
        "[models.other]\nfile = \"models/fraud.onnx\"\npayments = [\"card\"]\ninputs = [\"10\", \"0\", \"0\"]\n";
    let policy = changed("[decision]", &format!("{other}[decision]\n{line}\n# "), &[0.03, 0.0, 0.0]);
    check(&policy, records(0, 0, 0), expected);
}

#[test]
fn the_policy_makes_one_score_of_those_of_its_models() {
    scored("score = \"0.5 * models.fraud + 0.5 * models.other\"", &expect!["Approve 450 [] []"]);
    scored("score = \"models.other\"", &expect!["Approve 300 [] []"]);
    scored("score = { card = \"models.fraud > models.other ? models.other : 1.0\" }", &expect!["Approve 300 [] []"]);
    // Beyond 0 and 1.
    scored("score = \"models.fraud * 10.0\"", &expect![[r#"Decline 1000 ["score_decline Decline"] []"#]]);
    scored("score = \"models.fraud - 1.0\"", &expect!["Approve 0 [] []"]);
}

#[test]
fn a_score_without_a_value_is_a_model_without_an_answer() {
    scored(
        "score = \"double(payment.amount / (payment.amount - 2000))\"",
        &expect![[r#"Review 0 ["model_failed Review, decision.score: division by zero"] []"#]],
    );
    scored(
        "score = \"(models.fraud - models.fraud) / (models.other - models.other)\"",
        &expect![[r#"Review 0 ["model_failed Review, decision.score: the model gave no number"] []"#]],
    );
    scored(
        "score = \"payment.risk\"",
        &expect![[r#"Review 0 ["feature_missing Review, decision.score: payment.risk is missing"] []"#]],
    );
}
