//! ONNX models. A model that loads returns probabilities, and contributions unless it says why not.

use policy::onnx::{Contributions, INPUTS_MAX, Model};

use crate::{Verdict, check_line};

pub(super) const LOGISTIC_REGRESSION: &[u8] = include_bytes!("../../../policy/testdata/onnx/logistic_regression.onnx");
const BOOSTED: &[u8] = include_bytes!("../../../policy/testdata/onnx/two_class_xgboost.onnx");
const EXPLAINED: &[u8] = include_bytes!("../../../policy/testdata/onnx/explained/lightgbm_categories.onnx");
const ENSEMBLE: &[u8] = include_bytes!("../../../policy/testdata/onnx/exported/ensemble_5.onnx");
const NETWORK: &[u8] = include_bytes!("../../../policy/testdata/onnx/exported/network_gemm.onnx");
const PIPELINE: &[u8] = include_bytes!("../../../policy/testdata/onnx/exported/pipeline_one_hot.onnx");
const CALIBRATED: &[u8] = include_bytes!("../../../policy/testdata/onnx/exported/calibrated_isotonic.onnx");

pub(super) fn model(bytes: &[u8]) -> Verdict {
    let model = match Model::load(bytes) {
        Ok(model) => model,
        Err(error) => return check_line(error),
    };
    let inputs = model.inputs();
    assert!((1..=INPUTS_MAX).contains(&inputs), "{inputs} inputs");
    let mut contributions = Contributions::new();
    for value in [0.0, -1.5, 3e38, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
        let row = vec![value; inputs];
        let probability = model.probability(&row);
        assert!(probability.is_none_or(|probability| (0.0..=1.0).contains(&probability)), "{probability:?}");
        let again = model.probability(&row);
        assert_eq!(again.map(f64::to_bits), probability.map(f64::to_bits), "the same row gives the same bits");
        let explained = model.contributions(&row, &mut contributions);
        assert_eq!(explained.err(), model.unexplained(), "whether a model is explained does not depend on the row");
        assert_eq!(contributions.columns().len(), if explained.is_ok() { inputs } else { 0 });
    }
    Verdict::Accepted
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    [
        ("linear", LOGISTIC_REGRESSION),
        ("trees", BOOSTED),
        ("explained", EXPLAINED),
        ("ensemble", ENSEMBLE),
        ("network", NETWORK),
        ("pipeline", PIPELINE),
        ("calibrated", CALIBRATED),
    ]
    .map(|(name, file)| (name.to_owned(), file.to_vec()))
    .into()
}
