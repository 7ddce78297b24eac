//! Broken and hostile model files are refused, within bounds on time and memory.

use super::super::message::{AttributeProto, NodeProto, TensorProto};
use super::super::{MODEL_BYTES_MAX, Model, TREE_DEPTH_MAX, TREE_NODES_MAX, TREES_MAX};
use super::draft::{Draft, int, ints, named, node};
use super::{check_draft, refused};
use prost::Message as _;
use std::fmt::Write;

const STUMP: &str = "classifier NONE\n tree\n 0: x0 LT 0.5 ? 1 : 2\n 1: 0.25\n 2: 0.75";

/// Checks the refusal of a stump with one list changed.
fn broken(change: impl FnOnce(&mut Draft), problem: &str) {
    let mut draft = Draft::parse(STUMP);
    change(&mut draft);
    refused(&draft, &format!("node #0 (TreeEnsembleClassifier): {problem}"));
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    broken(
        |draft| draft.get("nodes_truenodeids").ints[0] = 9,
        "node 0 of tree 0 leads to node 9, which does not exist",
    );
    broken(
        |draft| draft.get("nodes_falsenodeids").ints[0] = -1,
        "node 0 of tree 0 leads to node -1, which does not exist",
    );
    broken(
        |draft| draft.get("nodes_featureids").ints[0] = 1,
        "node 0 of tree 0 reads column 1, but the input has 1 columns",
    );
    broken(
        |draft| draft.get("nodes_featureids").ints[0] = -1,
        "node 0 of tree 0 reads column -1, but the input has 1 columns",
    );
    broken(|draft| draft.get("class_nodeids").ints[0] = 9, "a weight is for node 9 of tree 0, which does not exist");
    broken(|draft| draft.get("class_nodeids").ints[0] = 0, "a weight is for node 0 of tree 0, which is not a leaf");
    broken(|draft| draft.get("class_nodeids").ints[0] = 2, "a weight is for node 2 of tree 0, which already has one");
    broken(
        |draft| draft.get("class_ids").ints[0] = 2,
        "a weight is for node 1 of tree 0, class 2, but only 0..2 are supported",
    );
    broken(
        |draft| draft.get("class_ids").ints[0] = -1,
        "a weight is for node 1 of tree 0, class -1, but only 0..2 are supported",
    );
}

#[test]
fn nodes_that_do_not_form_a_tree_are_refused() {
    broken(|draft| draft.get("nodes_truenodeids").ints[0] = 0, "node 0 of tree 0 leads back to itself");
    broken(
        |draft| draft.get("nodes_truenodeids").ints[0] = 2,
        "node 1 of tree 0 cannot be reached from its first node",
    );
    broken(|draft| draft.get("nodes_nodeids").ints[2] = 1, "node 1 of tree 0 appears twice");
    broken(
        |draft| draft.get("nodes_modes").strings[0] = b"LEAF".to_vec(),
        "node 1 of tree 0 cannot be reached from its first node",
    );
    broken(
        |draft| draft.get("nodes_modes").strings[0] = b"BRANCH_NEAR".to_vec(),
        r#"node 0 of tree 0 has mode "BRANCH_NEAR", which ONNX does not define"#,
    );
    let two = "classifier NONE\n tree\n 0: 0.25\n tree\n 0: 0.25\n tree\n 0: 0.25";
    let mut draft = Draft::parse(two);
    draft.set("nodes_treeids", ints(&[0, 1, 0]));
    draft.set("nodes_nodeids", ints(&[0, 0, 1]));
    refused(&draft, "node #0 (TreeEnsembleClassifier): the nodes of tree 0 are not adjacent");
}

#[test]
fn a_detached_ring_is_refused() {
    let ring = "
        classifier NONE
        tree
        0: 0.25
        1: x0 LT 0.5 ? 2 : 3
        2: x0 LT 0.5 ? 1 : 4
        3: 0.25
        4: 0.25
    ";
    refused(
        &Draft::parse(ring),
        "node #0 (TreeEnsembleClassifier): node 1 of tree 0 cannot be reached from its first node",
    );
}

#[test]
fn a_ring_below_the_root_is_refused() {
    let ring = "
        classifier NONE
        tree
        0: x0 LT 0.5 ? 1 : 3
        1: x0 LT 0.25 ? 3 : 2
        2: x0 LT 0.125 ? 3 : 1
        3: 0.25
    ";
    refused(&Draft::parse(ring), "node #0 (TreeEnsembleClassifier): node 1 of tree 0 leads back to itself");
}

#[test]
fn shared_nodes_are_stored_once() {
    // Each level leads twice to the next one, so copies of shared nodes would be 2^1000 leaves.
    let ladder = |levels: usize| {
        let mut text = "classifier NONE\n tree\n".to_owned();
        for at in 0..levels {
            writeln!(text, "{at}: x0 LT {at} ? {} : {}", at + 1, at + 1).expect("text");
        }
        writeln!(text, "{levels}: 0.5").expect("text");
        text
    };
    let model = Model::load(&Draft::parse(&ladder(1000)).encode()).expect("a ladder");
    assert_eq!(model.probability(&[500.0]), Some(0.5));
}

#[test]
fn lists_of_unequal_length_are_refused() {
    for name in ["nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"] {
        broken(|draft| draft.get(name).ints.truncate(2), &format!("{name} has 2 values, but nodes_treeids has 3"));
    }
    broken(|draft| draft.get("nodes_values").floats.truncate(2), "nodes_values has 2 values, but nodes_treeids has 3");
    broken(|draft| draft.get("nodes_modes").strings.truncate(2), "nodes_modes has 2 values, but nodes_treeids has 3");
    broken(|draft| draft.get("class_ids").ints.truncate(1), "class_ids has 1 values, but class_weights has 2");
    broken(
        |draft| draft.get("nodes_missing_value_tracks_true").ints.truncate(2),
        "nodes_missing_value_tracks_true has 2 values, but nodes_treeids has 3",
    );
    broken(
        |draft| draft.set("base_values", super::draft::floats(&[0.0; 3])),
        "it has 3 base_values, expected 0, 1 or 2",
    );
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let problem = format!("class_weights[1] is {shown}, but it must be finite");
        broken(|draft| draft.get("class_weights").floats[1] = value, &problem);
    }
    broken(|draft| draft.get("nodes_values").floats[0] = f32::NAN, "nodes_values[0] is NaN, but it must be a number");
    refused(
        &Draft::parse("classifier SOFTMAX\n tree\n 0: -3e38 3e38"),
        "node #0 (TreeEnsembleClassifier): the difference between a weight of class 1 and that of class 0 is not finite",
    );
}

#[test]
fn trees_are_bounded_in_number_depth_and_size() {
    let load = |text: &str| Model::load(&Draft::parse(text).encode());

    let trees = |count: usize| format!("classifier NONE\n{}", "tree\n 0: 0\n".repeat(count));
    load(&trees(TREES_MAX)).expect("as many trees as allowed");
    let error = load(&trees(TREES_MAX + 1)).expect_err("too many trees").to_string();
    assert_eq!(error, "node #0 (TreeEnsembleClassifier): it has 4097 trees, expected 1..=4096");
    let error = load("classifier NONE").expect_err("no trees").to_string();
    assert_eq!(error, "node #0 (TreeEnsembleClassifier): it has 0 trees, expected 1..=4096");

    // A branch at each level, with a leaf for "no".
    let chain = |depth: usize| {
        let mut text = "classifier NONE\n tree\n".to_owned();
        for level in 0..depth {
            let (at, leaf) = (2 * level, 2 * level + 1);
            writeln!(text, "{at}: x0 LT 0 ? {} : {leaf}\n {leaf}: 0", at + 2).expect("text");
        }
        writeln!(text, "{}: 0.5", 2 * depth).expect("text");
        text
    };
    let deep = load(&chain(TREE_DEPTH_MAX)).expect("as deep as allowed");
    assert_eq!(deep.probability(&[-1.0]), Some(0.5));
    let error = load(&chain(TREE_DEPTH_MAX + 1)).expect_err("too deep").to_string();
    assert_eq!(error, "node #0 (TreeEnsembleClassifier): tree 0 is deeper than the limit of 1024");

    // A complete tree of depth 15 has 2^16 - 1 nodes and is the largest that fits. One more pair of leaves does not
    // fit.
    let complete = |extra: usize| {
        let branches = TREE_NODES_MAX / 2 - 1 + extra;
        let mut text = "classifier NONE\n tree\n".to_owned();
        for at in 0..branches {
            writeln!(text, "{at}: x0 LT {at} ? {} : {}", 2 * at + 1, 2 * at + 2).expect("text");
        }
        for at in branches..=2 * branches {
            writeln!(text, "{at}: {}", if at == 2 * branches { 0.5 } else { 0.0 }).expect("text");
        }
        text
    };
    let large = load(&complete(0)).expect("as large as allowed");
    assert_eq!(large.probability(&[1e9]), Some(0.5));
    let error = load(&complete(1)).expect_err("too large").to_string();
    assert_eq!(error, "node #0 (TreeEnsembleClassifier): tree 0 has 65537 nodes, but the limit is 65536");
}

#[test]
fn files_that_would_grow_in_memory_are_refused_first() {
    let error = Model::load(&vec![0; MODEL_BYTES_MAX + 1]).expect_err("too large").to_string();
    assert_eq!(error, "the model has 16777217 bytes, but the limit is 16777216");
    // Empty nodes take two bytes each in the file.
    let mut draft = Draft::parse(STUMP);
    draft.nodes.resize(500_000, NodeProto::default());
    refused(&draft, "500000 nodes, but the limit is 8192");
}

#[test]
fn deeply_nested_files_are_refused() {
    // Groups in groups, a million deep, in a field that nobody reads; and messages in messages.
    assert!(Model::load(&vec![0x0b; 1_000_000]).is_err());
    let mut nested = vec![];
    for _ in 0..200 {
        let length = u8::try_from(nested.len() % 100).expect("small");
        nested.splice(0..0, [0x3a, length]);
    }
    assert!(Model::load(&nested).is_err());
}

/// A `TreeEnsemble` of version 5: one branch on a set and one of order.
fn ensemble() -> Draft {
    let mut draft = Draft::new("TreeEnsemble", 2);
    draft.operator_sets = vec![("ai.onnx.ml", 5)];
    draft.set("tree_roots", ints(&[0]));
    draft.set("nodes_featureids", ints(&[0, 1]));
    draft.set("nodes_splits", tensor(1, &[0.0, 0.5]));
    draft.set("nodes_modes", tensor(2, &[6.0, 1.0]));
    draft.set("nodes_truenodeids", ints(&[0, 1]));
    draft.set("nodes_trueleafs", ints(&[1, 1]));
    draft.set("nodes_falsenodeids", ints(&[1, 2]));
    draft.set("nodes_falseleafs", ints(&[0, 1]));
    draft.set("membership_values", tensor(1, &[2.0, 5.0]));
    draft.set("leaf_targetids", ints(&[0, 0, 0]));
    draft.set("leaf_weights", tensor(1, &[0.25, 0.5, 0.75]));
    draft
}

/// A list as a tensor of floats (1) or bytes (2).
#[expect(clippy::cast_possible_truncation, reason = "the values are small")]
fn tensor(data_type: i32, values: &[f32]) -> AttributeProto {
    let tensor = TensorProto {
        dims: vec![i64::try_from(values.len()).expect("few")],
        data_type,
        float_data: if data_type == 1 { values.to_vec() } else { Vec::new() },
        int32_data: if data_type == 1 { Vec::new() } else { values.iter().map(|value| *value as i32).collect() },
        ..TensorProto::default()
    };
    AttributeProto { t: Some(tensor), ..AttributeProto::default() }
}

#[test]
fn an_ensemble_of_version_5_answers_by_set_and_by_order() {
    let answers = "2 9 -> 0.25\n 5 0 -> 0.25\n 4 0 -> 0.5\n 4 0.5 -> 0.75\n nan 0 -> 0.5\n 2 nan -> 0.25";
    check_draft(&ensemble(), answers);
    let mut missing = ensemble();
    missing.set("nodes_missing_value_tracks_true", ints(&[1, 1]));
    check_draft(&missing, "nan 0 -> 0.25\n 4 nan -> 0.5\n 4 1 -> 0.75");
}

#[test]
fn broken_ensembles_of_version_5_are_refused() {
    let broken = |change: &dyn Fn(&mut Draft), problem: &str| {
        let mut draft = ensemble();
        change(&mut draft);
        refused(&draft, &format!("node #0 (TreeEnsemble): {problem}"));
    };
    broken(&|draft| draft.get("nodes_falsenodeids").ints[0] = 0, "node 0 of tree 0 leads back to itself");
    broken(&|draft| draft.get("nodes_falsenodeids").ints[0] = 7, "tree 0 leads to branch 7, but there are 2");
    broken(&|draft| draft.get("nodes_truenodeids").ints[1] = -1, "tree 0 leads to leaf -1, but there are 3");
    broken(&|draft| draft.get("tree_roots").ints[0] = 2, "tree 0 leads to branch 2, but there are 2");
    broken(&|draft| draft.get("tree_roots").ints.clear(), "it has 0 trees, expected 1..=4096");
    broken(&|draft| draft.get("nodes_featureids").ints[1] = 2, "branch 1 reads column 2, but the input has 2 columns");
    broken(&|draft| draft.get("leaf_targetids").ints[2] = 1, "leaf 2 is for target 1 of 1");
    broken(
        &|draft| draft.set("nodes_modes", tensor(2, &[6.0, 6.0])),
        "branch 1 asks for a set that membership_values does not have",
    );
    broken(
        &|draft| draft.set("nodes_modes", tensor(2, &[1.0, 1.0])),
        "membership_values has more sets than branches ask for",
    );
    broken(
        &|draft| draft.set("nodes_splits", tensor(1, &[0.0])),
        "nodes_splits has 1 values, but nodes_featureids has 2",
    );
    broken(
        &|draft| draft.set("leaf_weights", tensor(1, &[0.0, f32::NAN, 0.0])),
        "leaf_weights[1] is NaN, but it must be finite",
    );
    broken(
        &|draft| draft.set("aggregate_function", int(3)),
        "aggregate_function is 3, expected 0 (AVERAGE) or 1 (SUM)",
    );
    broken(&|draft| draft.set("post_transform", int(4)), "post_transform is 4, expected 0 (NONE) or 2 (LOGISTIC)");
    broken(&|draft| draft.set("n_targets", int(0)), "it has 0 targets, expected 1..=64");
}

#[test]
fn small_nodes_that_read_or_make_much_are_refused() {
    let mut draft = Draft::new("Relu", 4096);
    draft.nodes.clear();
    draft.set("axes", ints(&[1]));
    for at in 0..300 {
        let mut sum = node("", "ReduceSum", &["X"], &[&format!("s{at}")]);
        sum.attribute.push(named("axes", ints(&[1])).encode_to_vec());
        draft.nodes.push(sum);
    }
    let sums: Vec<String> = (0..300).map(|at| format!("s{at}")).collect();
    let sums: Vec<&str> = sums.iter().map(String::as_str).collect();
    draft.nodes.push(node("", "Max", &sums, &["largest"]));
    draft.outputs = vec!["largest".into()];
    refused(&draft, "the graph reads or keeps more than 1048576 numbers for each row");

    draft.nodes = vec![node("", "Concat", &["X"; 100_000], &["all"])];
    draft.attributes.clear();
    draft.set("axis", int(1));
    draft.outputs = vec!["all".into()];
    refused(&draft, "the graph calculates more than 16384 values for each row");

    let mut many = ensemble();
    many.set("tree_roots", ints(&[0; 4096]));
    many.set("n_targets", int(64));
    refused(&many, "node #0 (TreeEnsemble): its 64 targets have 1572864 nodes together, expected at most 1048576");
}
