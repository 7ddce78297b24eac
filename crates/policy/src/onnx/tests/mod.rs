//! Models as text that are encoded as ONNX files, and tables of their answers.

mod conformance;
mod draft;
mod explained;
mod exported;
mod golden;
mod graphs;
mod hostile;
mod linear;
mod property;
mod transform;
mod trees;

use super::Model;
use draft::Draft;

/// Loads a drafted model and checks its answers row by row: `-1 nan -> 0.25`, or `-> none`.
#[track_caller]
fn check(model: &str, rows: &str) {
    check_draft(&Draft::parse(model), rows);
}

#[track_caller]
fn check_draft(draft: &Draft, rows: &str) {
    let model = Model::load(&draft.encode()).expect("the model loads");
    for line in rows.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (row, expected) = line.split_once("->").expect("row -> answer");
        let row: Vec<f32> = row.split_whitespace().map(|value| value.parse().expect("a number")).collect();
        let answer = model.probability(&row);
        match expected.trim() {
            "none" => assert_eq!(answer, None, "{line}"),
            expected => {
                let expected: f64 = expected.parse().expect("a number");
                let answer = answer.unwrap_or_else(|| panic!("no answer to {line}"));
                assert!((answer - expected).abs() <= 1e-7, "{line}, but it answers {answer}");
            }
        }
    }
}

/// Checks the message with which a drafted model is refused.
#[track_caller]
fn refused(draft: &Draft, message: &str) {
    let error = Model::load(&draft.encode()).expect_err("the model is refused");
    assert_eq!(error.to_string(), message);
}
