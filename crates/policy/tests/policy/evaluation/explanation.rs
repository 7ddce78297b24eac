//! Scores of models are divided among their inputs, from what a decision keeps.

use expect_test::expect;
use features::Missing;
use policy::{FailureCause, NotExplained};

use super::{card, card_attributes, facts, records, with_model};

#[test]
fn a_score_is_divided_among_the_inputs_of_its_model_long_after_the_decision() {
    let policy = with_model(&[0.03, 0.0001, 0.25]);
    let attributes = card_attributes();
    let evaluation = card(&policy, &attributes, records(3, 1000, 0));
    let explained = |minor| {
        let explanations = policy.explain(&facts(minor, &attributes), &evaluation.features, &evaluation.models);
        let [explanation] = explanations.as_slice() else { panic!("one model, but {explanations:?}") };
        let explained = explanation.answer.clone().expect("an explanation");
        let inputs = explained.inputs.iter().map(|input| {
            assert_eq!(input.column, None);
            format!("{} = {} adds {:.3}\n", input.expression, input.value, input.contribution)
        });
        let text: String = inputs.collect();
        (explanation.name.to_string(), explained.probability, explained.expected, explained.score, text)
    };
    let (name, probability, expected, score, inputs) = explained(2000);
    assert_eq!((name.as_str(), expected), ("fraud", 0.0));
    assert_eq!(probability, evaluation.models[0].1);
    assert!((score - probability.expect("an answer")).abs() < 1e-6, "{score}");
    expect![[r#"
        double(payment.amount) / 100.0 = 20 adds 0.600
        features.customer_spend_1d = 1000 adds 0.100
        features.at_night = 0 adds 0.000
    "#]]
    .assert_eq(&inputs);
    // Another amount is another payment, and this one has no probability.
    let (_, probability, _, score, _) = explained(9000);
    assert_eq!(probability, None);
    assert!((score - 2.8).abs() < 1e-6, "{score}");
}

#[test]
fn a_model_that_was_not_asked_is_not_explained() {
    let policy = with_model(&[0.03, 0.0, 0.0]);
    let attributes = card_attributes();
    let evaluation = card(&policy, &attributes, Err(Missing::UnknownStream));
    let explanations = policy.explain(&facts(2000, &attributes), &evaluation.features, &evaluation.models);
    let cause = FailureCause::Missing("features.customer_spend_1d".into());
    assert_eq!(explanations[0].answer, Err(NotExplained::Input(cause)));
    assert_eq!(evaluation.models[0].1, None);
}

#[test]
#[should_panic(expected = "POL-1: the features are those of the payment's type, in order")]
fn features_of_another_type_are_a_bug() {
    let _ = with_model(&[0.0; 3]).explain(&facts(2000, &card_attributes()), &[], &[]);
}
