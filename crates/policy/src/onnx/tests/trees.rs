//! Tree ensembles: branches, missing values, weights, base values and aggregation.

use super::super::Model;
use super::draft::{Draft, floats, ints, words};
use super::{check, check_draft, refused};

/// One branch on the threshold 0.5: 0.25 for yes, 0.75 for no.
fn stump(branch: &str) -> String {
    format!("classifier NONE\n tree\n 0: x0 {branch}\n 1: 0.25\n 2: 0.75")
}

#[test]
fn every_mode_compares_as_the_standard_says_and_nan_goes_where_the_file_says() {
    for (mode, below, at, above) in [
        ("LT", 0.25, 0.75, 0.75),
        ("LEQ", 0.25, 0.25, 0.75),
        ("GT", 0.75, 0.75, 0.25),
        ("GTE", 0.75, 0.25, 0.25),
        ("EQ", 0.75, 0.25, 0.75),
        ("NEQ", 0.25, 0.75, 0.25),
    ] {
        let rows =
            format!("0.49999997 -> {below}\n 0.5 -> {at}\n 0.50000006 -> {above}\n -inf -> {below}\n inf -> {above}");
        check(&stump(&format!("{mode} 0.5 ? 1 : 2")), &format!("{rows}\n nan -> 0.75"));
        check(&stump(&format!("{mode} 0.5 ? 1 : 2 missing")), &format!("{rows}\n nan -> 0.25"));
    }
}

#[test]
fn infinite_thresholds_have_their_meaning_in_every_mode() {
    let values = [f32::NEG_INFINITY, f32::MIN, 0.0, f32::MAX, f32::INFINITY];
    for mode in ["LT", "LEQ", "GT", "GTE", "EQ", "NEQ"] {
        for threshold in [f32::NEG_INFINITY, f32::INFINITY, f32::MIN, f32::MAX] {
            let holds = |value: f32| match mode {
                "LT" => value < threshold,
                "LEQ" => value <= threshold,
                "GT" => value > threshold,
                "GTE" => value >= threshold,
                "EQ" => value.to_bits() == threshold.to_bits(),
                _ => value.to_bits() != threshold.to_bits(),
            };
            let answer = |yes: bool| if yes { 0.25 } else { 0.75 };
            let rows: String = values.iter().map(|value| format!("{value} -> {}\n", answer(holds(*value)))).collect();
            for (missing, is_yes) in [("", false), ("missing", true)] {
                let rows = format!("{rows}nan -> {}", answer(is_yes));
                check(&stump(&format!("{mode} {threshold} ? 1 : 2 {missing}")), &rows);
            }
        }
    }
}

#[test]
fn branches_may_share_what_they_lead_to() {
    // x0 in {1, 3, 5} leads to one subtree, as exporters write splits on categories; the order of children varies.
    let model = "
        classifier NONE columns=2
        tree
        0: x0 EQ 1 ? 4 : 1
        1: x0 EQ 3 ? 4 : 2
        2: x0 NEQ 5 ? 3 : 4
        3: 0.125
        4: x1 LT 0 ? 5 : 6
        5: 0.25
        6: x1 LT 1 ? 7 : 3
        7: 0.5
    ";
    let mut rows = String::new();
    for x0 in 0..7 {
        for (x1, inside) in [(-1.0, 0.25), (0.5, 0.5), (2.0, 0.125)] {
            let expected = if [1, 3, 5].contains(&x0) { inside } else { 0.125 };
            rows += &format!("{x0} {x1} -> {expected}\n");
        }
    }
    check(model, &rows);
}

#[test]
fn negative_zero_equals_zero() {
    check(&stump("LT 0 ? 1 : 2"), "-0 -> 0.75");
    check(&stump("EQ -0 ? 1 : 2"), "0 -> 0.25");
}

#[test]
fn missing_values_mean_no_where_the_file_does_not_say() {
    let mut draft = Draft::parse(&stump("LT 0.5 ? 1 : 2 missing"));
    draft.get("nodes_missing_value_tracks_true").ints.clear();
    check_draft(&draft, "nan -> 0.75");
}

#[test]
fn trees_of_different_depth_are_added_up() {
    let model = "
        classifier NONE columns=2 base=0.0625
        tree
        0: x0 LT 0 ? 1 : 4
        1: x1 LT 0 ? 2 : 3
        2: 0.125
        3: 0.25
        4: 0.375
        tree
        0: 0.03125
        tree
        7: x1 GTE 0 ? 3 : 5
        5: 0
        3: 0.5
    ";
    check(
        model,
        "
        -1 -1 -> 0.21875
        -1  1 -> 0.84375
         1 -1 -> 0.46875
         1  1 -> 0.96875
        ",
    );
}

#[test]
fn weights_of_one_class_are_the_score_of_class_1_whatever_its_number() {
    for leaf in ["0.75", "_ 0.75"] {
        check(&format!("classifier NONE\n tree\n 0: {leaf}"), "0 -> 0.75");
        check(&format!("classifier LOGISTIC\n tree\n 0: {leaf}"), "0 -> 0.6791787");
    }
}

#[test]
fn weights_of_two_classes_are_told_apart() {
    check("classifier NONE\n tree\n 0: 0.75 0.25", "0 -> 0.25");
    check("classifier LOGISTIC\n tree\n 0: 0.75 0.25", "0 -> 0.56217650");
    check("classifier SOFTMAX\n tree\n 0: 0.75 0.25", "0 -> 0.37754067");
    check("classifier SOFTMAX\n tree\n 0: 0.75\n tree\n 0: _ 0.25", "0 -> 0.37754067");
}

#[test]
fn a_base_value_belongs_to_the_class_of_its_position() {
    check("classifier NONE base=0.125\n tree\n 0: 0.25", "0 -> 0.375");
    check("classifier NONE base=0.125,0.5\n tree\n 0: 0.25", "0 -> 0.375");
    check("classifier NONE base=0.125\n tree\n 0: _ 0.25", "0 -> 0.25");
    check("classifier NONE base=0.125,0.5\n tree\n 0: _ 0.25", "0 -> 0.75");
    check("classifier NONE base=0.125,0.5\n tree\n 0: 0.75 0.25", "0 -> 0.75");
    check("classifier SOFTMAX base=0.5\n tree\n 0: 0.25 0.25", "0 -> 0.37754067");
    check("classifier SOFTMAX base=0.5,1\n tree\n 0: 0.25 0.25", "0 -> 0.62245933");
}

#[test]
fn a_leaf_without_a_weight_adds_nothing() {
    let mut draft = Draft::parse("classifier NONE base=0.125\n tree\n 0: x0 LT 0 ? 1 : 2\n 1: 0.25\n 2: _");
    check_draft(&draft, "-1 -> 0.375\n 1 -> 0.125");
    for name in ["class_treeids", "class_nodeids", "class_ids", "class_weights"] {
        draft.set(name, ints(&[]));
    }
    refused(&draft, "node #0 (TreeEnsembleClassifier): it has no class_weights");
}

#[test]
fn a_regressor_sums_or_averages() {
    let mut draft = Draft::parse("regressor NONE base=0.125\n tree\n 0: 0.25\n tree\n 0: 0.5");
    check_draft(&draft, "0 -> 0.875");
    draft.set("aggregate_function", words(&["AVERAGE"]));
    check_draft(&draft, "0 -> 0.5");
    draft.set("post_transform", words(&["LOGISTIC"]));
    check_draft(&draft, "0 -> 0.62245933");
    draft.set("aggregate_function", words(&["MIN"]));
    refused(&draft, r#"node #0 (TreeEnsembleRegressor): aggregate_function is "MIN", expected one of SUM, AVERAGE"#);
}

#[test]
fn what_may_be_no_probability_is_told() {
    let told = |text: &str| Model::load(&Draft::parse(text).encode()).expect("the model loads").no_probability();
    let expected = |found: &str| {
        Some(format!(
            "the model can answer {found}, but a probability from 0 to 1 is expected; if the answers are log odds, export \
             it with LOGISTIC"
        ))
    };
    let two = "tree\n 0: x0 LT 0 ? 1 : 2\n 1: -2.5\n 2: 0.25\n tree\n 0: x0 LT 1 ? 1 : 2\n 1: 0.5\n 2: 1.5";
    assert_eq!(told(&format!("classifier NONE base=0.125\n{two}")), expected("from -1.875 to 1.875"));
    assert_eq!(told(&format!("classifier LOGISTIC base=0.125\n{two}")), None);
    assert_eq!(told("regressor NONE\n tree\n 0: x0 LT 0 ? 1 : 2\n 1: 0\n 2: 1"), None);
    assert_eq!(told("regressor NONE\n tree\n 0: x0 LT 0 ? 1 : 2\n 1: -0.0001\n 2: 1"), expected("from -0.0001 to 1"));
    // A hundred trees that all say 1 miss it only by rounding.
    assert_eq!(
        told(&format!("regressor NONE\n{}", "tree\n 0: 0.0003\n".repeat(3334))),
        expected("from 1.0002 to 1.0002")
    );
    assert_eq!(told(&format!("regressor NONE\n{}", "tree\n 0: 0.01\n".repeat(100))), None);
}

#[test]
fn what_is_not_a_probability_is_no_answer() {
    check("regressor NONE columns=1\n tree\n 0: x0 LT 0 ? 1 : 2\n 1: -0.0001\n 2: 1.0001", "-1 -> none\n 1 -> none");
    check("regressor NONE columns=1\n tree\n 0: x0 LT 0 ? 1 : 2\n 1: 0\n 2: 1", "-1 -> 0\n 1 -> 1");
    let overflow = "tree\n 0: 3e38\n".repeat(2);
    check(&format!("regressor NONE\n{overflow}"), "0 -> none");
    check(&format!("regressor LOGISTIC\n{overflow}"), "0 -> 1");
    let not_a_number = format!("{overflow}{}", "tree\n 0: -3e38\n".repeat(2));
    check(&format!("regressor LOGISTIC base=-3e38\n{not_a_number}"), "0 -> 1");
}

#[test]
fn a_sum_that_misses_1_by_rounding_is_1() {
    check(&format!("classifier NONE\n{}", "tree\n 0: 0.2500005\n".repeat(4)), "0 -> 1");
}

#[test]
fn transforms_that_need_more_than_the_model_has_are_refused() {
    refused(
        &Draft::parse("classifier SOFTMAX\n tree\n 0: 0.25"),
        "node #0 (TreeEnsembleClassifier): SOFTMAX needs weights for both classes",
    );
    refused(
        &Draft::parse("classifier PROBIT\n tree\n 0: 0.25"),
        r#"node #0 (TreeEnsembleClassifier): post_transform is "PROBIT", expected one of NONE, LOGISTIC, SOFTMAX"#,
    );
    refused(
        &Draft::parse("regressor SOFTMAX\n tree\n 0: 0.25"),
        r#"node #0 (TreeEnsembleRegressor): post_transform is "SOFTMAX", expected one of NONE, LOGISTIC"#,
    );
}

#[test]
fn classes_other_than_0_and_1_are_refused() {
    let mut draft = Draft::parse("classifier NONE\n tree\n 0: 0.25");
    draft.set("classlabels_int64s", ints(&[1, 0]));
    refused(&draft, "node #0 (TreeEnsembleClassifier): its classes are [1, 0], but only [0, 1] is supported");
    draft.set("classlabels_int64s", ints(&[0, 1, 2, 3]));
    refused(&draft, "node #0 (TreeEnsembleClassifier): its classes are [0, 1, 2, …], but only [0, 1] is supported");
    draft.set("classlabels_strings", words(&["fraud", "legitimate"]));
    refused(&draft, "node #0 (TreeEnsembleClassifier): its classes are strings; train on the labels 0 and 1");
}

#[test]
fn attributes_that_nobody_reads_are_refused() {
    let mut draft = Draft::parse("classifier NONE\n tree\n 0: 0.25");
    draft.set("nodes_hitrates", floats(&[1.0]));
    check_draft(&draft, "0 -> 0.25");
    draft.set("nodes_values_as_tensor", floats(&[]));
    refused(&draft, r#"node #0 (TreeEnsembleClassifier): attribute "nodes_values_as_tensor" is not supported"#);
}
