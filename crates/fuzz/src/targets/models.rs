//! ONNX models. A model that loads returns probabilities.

use policy::onnx::{INPUTS_MAX, Model};

use crate::{Verdict, check_line};

pub(super) const LOGISTIC_REGRESSION: &[u8] = include_bytes!("../../../policy/testdata/onnx/logistic_regression.onnx");
const BOOSTED: &[u8] = include_bytes!("../../../policy/testdata/onnx/two_class_xgboost.onnx");

pub(super) fn model(bytes: &[u8]) -> Verdict {
    let model = match Model::load(bytes) {
        Ok(model) => model,
        Err(error) => return check_line(error),
    };
    let inputs = model.inputs();
    assert!((1..=INPUTS_MAX).contains(&inputs), "{inputs} inputs");
    for value in [0.0, -1.5, 3e38, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
        let row = vec![value; inputs];
        let probability = model.probability(&row);
        assert!(probability.is_none_or(|probability| (0.0..=1.0).contains(&probability)), "{probability:?}");
        let again = model.probability(&row);
        assert_eq!(again.map(f64::to_bits), probability.map(f64::to_bits), "the same row gives the same bits");
    }
    Verdict::Accepted
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    vec![("linear".to_owned(), LOGISTIC_REGRESSION.to_vec()), ("trees".to_owned(), BOOSTED.to_vec())]
}
