//! Linear classifiers and regressors.

use super::super::Model;
use super::draft::{Draft, floats, int, ints, words};
use super::{check_draft, refused};

fn draft(operator: &str, coefficients: &[f32], intercepts: &[f32], transform: &str) -> Draft {
    let mut draft = Draft::new(operator, 2);
    draft.set("coefficients", floats(coefficients));
    draft.set("intercepts", floats(intercepts));
    draft.set("post_transform", words(&[transform]));
    if operator == "LinearClassifier" {
        draft.set("classlabels_ints", ints(&[0, 1]));
        draft.set("multi_class", int(0));
    }
    draft
}

#[test]
fn a_classifier_answers_for_class_1() {
    let both = |transform| draft("LinearClassifier", &[-1.0, 2.0, 1.0, -2.0], &[0.5, -0.5], transform);
    check_draft(&both("NONE"), "1.25 0 -> 0.75\n 1 0.125 -> 0.25\n 0 0 -> none");
    check_draft(&both("LOGISTIC"), "1.25 0 -> 0.6791787\n 0 0 -> 0.37754067\n nan 0 -> none");
    check_draft(&both("SOFTMAX"), "1.25 0 -> 0.8175745\n 0 0 -> 0.26894143");
    let one = |transform| draft("LinearClassifier", &[1.0, -2.0], &[-0.5], transform);
    check_draft(&one("LOGISTIC"), "1.25 0 -> 0.6791787\n 0 0 -> 0.37754067");
    refused(&one("SOFTMAX"), "node #0 (LinearClassifier): SOFTMAX needs the coefficients of both classes");
}

#[test]
fn a_regressor_answers_with_its_score() {
    check_draft(&draft("LinearRegressor", &[1.0, -2.0], &[0.5], "NONE"), "0.25 0 -> 0.75\n 0 0.25 -> 0\n 1 0 -> none");
    check_draft(&draft("LinearRegressor", &[1.0, -2.0], &[], "LOGISTIC"), "0.75 0 -> 0.6791787");
    let mut two = draft("LinearRegressor", &[1.0, -2.0], &[], "NONE");
    two.set("targets", int(2));
    refused(&two, "node #0 (LinearRegressor): it has 2 targets, but only 1 is supported");
}

#[test]
fn a_sum_without_a_transform_is_no_probability() {
    let told = |coefficients: &[f32], transform| {
        let draft = draft("LinearRegressor", coefficients, &[0.5], transform);
        Model::load(&draft.encode()).expect("the model loads").no_probability()
    };
    let expected = "the model can answer any number, but a probability from 0 to 1 is expected; if the answers are log \
                    odds, export it with LOGISTIC";
    assert_eq!(told(&[0.0, 0.1], "NONE").as_deref(), Some(expected));
    assert_eq!(told(&[0.0, 0.1], "LOGISTIC"), None);
    assert_eq!(told(&[0.0, 0.0], "NONE"), None);
}

#[test]
fn lists_of_another_length_are_refused() {
    refused(
        &draft("LinearClassifier", &[1.0, 2.0, 3.0], &[], "NONE"),
        "node #0 (LinearClassifier): it has 3 coefficients, expected 2 or 4",
    );
    refused(
        &draft("LinearRegressor", &[1.0, 2.0], &[0.0, 0.0], "NONE"),
        "node #0 (LinearRegressor): it has 2 intercepts, expected 1",
    );
    refused(
        &draft("LinearRegressor", &[1.0, f32::NAN], &[0.0], "NONE"),
        "node #0 (LinearRegressor): coefficients[1] is NaN, but it must be finite",
    );
}
