//! Small models of every kind that is supported must answer as onnxruntime does.

use super::super::{Contributions, Model, Unexplained};

/// Checks the models of `testdata/onnx/exported`.
macro_rules! exported {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(
                    include_bytes!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/exported/", stringify!($name), ".onnx"
                    )),
                    include_str!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/exported/", stringify!($name), ".csv"
                    )),
                );
            }
        )*
    };
}

fn check(file: &[u8], table: &str) {
    let model = Model::load(file).expect("the model loads");
    assert_eq!(table.lines().count(), 20);
    for line in table.lines() {
        let mut row: Vec<f32> = line.split(',').map(|value| value.parse().expect("a number")).collect();
        let expected = f64::from(row.pop().expect("a probability"));
        let answer = model.probability(&row).expect("an answer");
        assert!((answer - expected).abs() <= 1e-6, "{line}, but it answers {answer}");
    }
}

exported! {
    ada_boost calibrated_isotonic calibrated_logistic calibrated_sigmoid catboost decision_tree ensemble_5
    ensemble_5_classes extra_trees forest_regressor histogram_gradient_boosting isolation_forest lightgbm
    lightgbm_forest linear_regression named_columns network_gemm network_logistic network_relu network_tanh
    pipeline_bins pipeline_imputed pipeline_max_abs pipeline_min_max pipeline_min_max_clipped pipeline_normalised
    pipeline_one_hot pipeline_ordinal pipeline_power pipeline_robust stacking stochastic_gradient voting xgboost
    xgboost_forest
}

macro_rules! load {
    ($name:literal) => {
        Model::load(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/exported/", $name, ".onnx")))
            .expect("the model loads")
    };
}

#[test]
fn inputs_of_one_column_each_name_the_columns() {
    let names = ["amount", "ratio", "speed", "age", "kind"].map(str::to_owned);
    assert_eq!(load!("named_columns").columns(), Some(names.as_slice()));
    assert_eq!(load!("xgboost").columns(), None);
}

#[test]
fn a_column_that_became_several_gets_the_contributions_of_all() {
    let model = load!("pipeline_one_hot");
    let mut found = Contributions::new();
    let row = [0.5, -0.25, 1.5, f32::NAN, 2.0];
    model.contributions(&row, &mut found).expect("contributions");
    assert_eq!(found.columns().len(), 5);
    let probability = 1.0 / (1.0 + (-found.score()).exp());
    assert!((model.probability(&row).expect("an answer") - probability).abs() < 1e-6);
    // The mean stands for what is missing, and a scaler makes it zero.
    assert!(found.columns()[3].abs() < 1e-6, "{:?}", found.columns());
}

#[test]
fn what_is_not_one_sum_is_not_explained() {
    for model in [load!("network_relu"), load!("voting"), load!("pipeline_normalised")] {
        assert_eq!(model.unexplained(), Some(Unexplained::NotASum));
        let row = vec![0.5; model.inputs()];
        assert_eq!(model.contributions(&row, &mut Contributions::new()), Err(Unexplained::NotASum));
    }
}

#[test]
fn damaged_files_are_refused_or_answer_but_never_panic() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/onnx/exported");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the models").map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    assert!(paths.len() >= 35, "{} models", paths.len());
    let mut random = 1_u64;
    let mut next = |below: usize| {
        // Knuth's MMIX generator. Its high bits are good enough to choose places to damage.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    let (mut loaded, mut found) = (0, Contributions::new());
    for path in paths {
        let file = std::fs::read(path).expect("a model");
        for _ in 0..200 {
            let mut damaged = file.clone();
            for _ in 0..=next(3) {
                let at = next(damaged.len());
                damaged[at] ^= u8::try_from(1 + next(255)).expect("a byte");
            }
            if let Ok(model) = Model::load(&damaged) {
                loaded += 1;
                let row: Vec<f32> =
                    [0.5, f32::NAN, -1.0, f32::INFINITY].iter().copied().cycle().take(model.inputs()).collect();
                let _answer = model.probability(&row);
                let _explained = model.contributions(&row, &mut found);
            }
        }
    }
    assert!(loaded > 500, "{loaded} loaded");
}
