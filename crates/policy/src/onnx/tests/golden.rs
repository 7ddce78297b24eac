//! Models from common training libraries must answer as those libraries or onnxruntime do.
//!
//! `make_models.py` wrote those with 50 rows. Those with 20 rows came from elsewhere: exports by LightGBM, XGBoost and
//! scikit-learn of graphs that were once refused, with the answers of onnxruntime.

use super::super::Model;

/// A model of `testdata/onnx` and the answers expected from it.
macro_rules! golden {
    ($name:literal) => {
        (
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/", $name, ".onnx")).as_slice(),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/", $name, ".csv")),
        )
    };
}

#[track_caller]
fn check(golden: (&[u8], &str)) {
    check_rows(golden, 50);
}

#[track_caller]
fn check_rows((file, table): (&[u8], &str), count: usize) {
    let model = Model::load(file).expect("the model loads");
    assert_eq!(model.no_probability(), None);
    assert_eq!(table.lines().count(), count);
    for line in table.lines() {
        let mut row: Vec<f32> = line.split(',').map(|value| value.parse().expect("a number")).collect();
        let expected = f64::from(row.pop().expect("a probability"));
        let answer = model.probability(&row).expect("an answer");
        assert!((answer - expected).abs() <= 1e-5 * expected, "{line}, but it answers {answer}");
    }
}

#[test]
fn xgboost_with_missing_values_answers_as_in_the_runtime() {
    check(golden!("xgboost"));
}

#[test]
fn xgboost_with_two_base_values_answers_as_in_xgboost() {
    check(golden!("two_class_xgboost"));
}

#[test]
fn a_random_forest_answers_as_in_the_runtime() {
    check(golden!("forest"));
}

#[test]
fn gradient_boosting_answers_as_in_the_runtime() {
    check(golden!("gradient_boosting"));
}

#[test]
fn logistic_regression_answers_as_in_the_runtime() {
    check(golden!("logistic_regression"));
}

#[test]
fn splits_on_sets_of_categories_answer_as_in_the_runtime() {
    check_rows(golden!("lightgbm_categories"), 20);
    check_rows(golden!("xgboost_categories"), 20);
}

#[test]
fn splits_on_whether_a_value_is_missing_answer_as_in_the_runtime() {
    check_rows(golden!("lightgbm_missing"), 20);
    // The exporter loses where NaN goes, so scikit-learn itself answers one row differently.
    check_rows(golden!("forest_missing"), 20);
}

#[test]
fn models_behind_a_scaler_answer_as_in_the_runtime() {
    check_rows(golden!("scaled_logistic"), 20);
    check_rows(golden!("scaled_xgboost"), 20);
}

#[test]
fn models_with_a_factor_of_1_or_outputs_that_nobody_reads_answer_as_in_the_runtime() {
    check_rows(golden!("lightgbm_plain"), 20);
    check_rows(golden!("forest_classes"), 20);
}

#[test]
fn raw_scores_are_no_probabilities() {
    for (file, found) in [
        (include_bytes!("../../../testdata/onnx/raw_gradient_boosting.onnx").as_slice(), "from -3.8383274 to 5.277907"),
        (include_bytes!("../../../testdata/onnx/raw_xgboost.onnx").as_slice(), "from -1.9265878 to 4.0863733"),
    ] {
        let model = Model::load(file).expect("the model loads");
        let expected = format!(
            "the model can answer {found}, but a probability from 0 to 1 is expected; if the answers are log odds, export \
             it with LOGISTIC"
        );
        assert_eq!(model.no_probability(), Some(expected));
    }
}

#[test]
fn the_score_of_an_isolation_forest_is_read_although_it_is_no_probability() {
    // The exporter's `scores` are 0.5 less the anomaly, so only anomalies below one half are in 0..=1.
    let model = Model::load(include_bytes!("../../../testdata/onnx/isolation_forest.onnx")).expect("the model loads");
    assert_eq!(model.unexplained(), Some(super::super::Unexplained::NotASum));
    let normal = model.probability(&[50.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    assert!(normal.is_some_and(|score| score > 0.0 && score < 0.5), "{normal:?}");
}

#[test]
fn no_prefix_of_a_file_is_a_model() {
    let (file, _) = golden!("two_class_xgboost");
    for length in 0..file.len() {
        // The operator sets follow the graph, and without them the version is not known.
        assert!(Model::load(&file[..length]).is_err(), "the first {length} bytes load");
    }
}

#[test]
fn damaged_files_are_refused_or_answer_but_never_panic() {
    for (file, _) in [golden!("two_class_xgboost"), golden!("logistic_regression"), golden!("gradient_boosting")] {
        let row = [0.5, f32::NAN, -1.0, f32::INFINITY, 2.0];
        let mut random = 1_u64;
        let mut next = |below: usize| {
            // Knuth's MMIX generator. Its high bits are good enough to choose places to damage.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).expect("31 bits") % below
        };
        for _ in 0..3_000 {
            let mut damaged = file.to_vec();
            for _ in 0..=next(3) {
                let at = next(damaged.len());
                damaged[at] ^= u8::try_from(1 + next(255)).expect("a byte");
            }
            if let Ok(model) = Model::load(&damaged)
                && model.inputs() <= row.len()
            {
                let answer = model.probability(&row[..model.inputs()]);
                assert!(answer.is_none_or(|answer| (0.0..=1.0).contains(&answer)));
            }
        }
    }
}
