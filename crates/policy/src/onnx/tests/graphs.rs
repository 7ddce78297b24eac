//! Which graphs are accepted around a model, and which are refused.

use super::draft::{Draft, int, ints, named, node};
use super::{check_draft, refused};

const STUMP: &str = "classifier NONE\n tree\n 0: x0 LT 0.5 ? 1 : 2\n 1: 0.25\n 2: 0.75";
const ANSWERS: &str = "0 -> 0.25\n 1 -> 0.75";

#[test]
fn harmless_nodes_around_the_model_change_nothing() {
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Identity", &[]);
    draft.then("ai.onnx", "Cast", &[named("to", int(1))]);
    draft.then("ai.onnx.ml", "ZipMap", &[named("classlabels_int64s", ints(&[0, 1]))]);
    check_draft(&draft, ANSWERS);

    let mut draft = Draft::parse(STUMP);
    draft.input.name = "raw".into();
    draft.nodes.push(node("", "Identity", &["raw"], &["X"]));
    refused(
        &draft,
        r#"node #0 (TreeEnsembleClassifier): it reads "X", which is neither the input nor the output of an earlier node"#,
    );
}

#[test]
fn the_label_may_be_cast_to_anything() {
    let mut draft = Draft::parse(STUMP);
    draft.outputs.insert(0, "L".into());
    draft.then("", "Cast", &[named("to", int(7))]);
    check_draft(&draft, ANSWERS);
    draft.outputs.remove(1);
    refused(&draft, "no output of the graph carries the model's scores");
}

#[test]
fn scores_may_be_cast_only_to_float() {
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Cast", &[named("to", int(7))]);
    refused(&draft, "node #1 (Cast): it casts to type 7, but only 1 (float) is supported");
}

#[test]
fn a_map_of_other_classes_is_refused() {
    let mut draft = Draft::parse(STUMP);
    draft.then("ai.onnx.ml", "ZipMap", &[named("classlabels_int64s", ints(&[1, 0]))]);
    refused(&draft, "node #1 (ZipMap): its classes are [1, 0], but only [0, 1] is supported");
}

#[test]
fn other_operators_are_refused_by_name() {
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Sigmoid", &[]);
    draft.nodes[1].name = "squash".into();
    refused(
        &draft,
        "node squash: operator Sigmoid is not supported; supported are TreeEnsembleClassifier, TreeEnsembleRegressor, \
         LinearClassifier and LinearRegressor of ai.onnx.ml, with Identity, Cast to float and ZipMap around them",
    );
    let mut draft = Draft::parse(STUMP);
    draft.nodes[0].domain = "com.example".into();
    refused(
        &draft,
        "node #0: operator com.example.TreeEnsembleClassifier is not supported; supported are TreeEnsembleClassifier, \
         TreeEnsembleRegressor, LinearClassifier and LinearRegressor of ai.onnx.ml, with Identity, Cast to float and \
         ZipMap around them",
    );
}

#[test]
fn a_graph_has_one_model_on_one_input() {
    let mut draft = Draft::parse(STUMP);
    draft.nodes[0].input.push("Y".into());
    refused(&draft, "node #0 (TreeEnsembleClassifier): it has 2 inputs, but only 1 is supported");

    let mut draft = Draft::parse(STUMP);
    draft.nodes.insert(0, node("", "Identity", &["X"], &["P"]));
    draft.nodes[1].input[0] = "P".into();
    draft.nodes.swap(0, 1);
    draft.nodes[0].input[0] = "X".into();
    refused(&draft, r#"node #1 (Identity): it produces "P", which already exists"#);

    let mut draft = Draft::parse(STUMP);
    draft.nodes.truncate(0);
    draft.nodes.push(node("", "Identity", &["X"], &["P"]));
    draft.attributes.clear();
    refused(
        &draft,
        "the graph has no model; supported are TreeEnsembleClassifier, TreeEnsembleRegressor, LinearClassifier and \
         LinearRegressor of ai.onnx.ml, with Identity, Cast to float and ZipMap around them",
    );
}

#[test]
fn a_second_model_is_refused() {
    let mut draft = Draft::new("LinearRegressor", 1);
    draft.set("coefficients", super::draft::floats(&[1.0]));
    let mut second = node("ai.onnx.ml", "LinearRegressor", &["X"], &["Q"]);
    second.attribute = draft.attributes.iter().map(prost::Message::encode_to_vec).collect();
    draft.nodes.push(second);
    refused(&draft, "node #1 (LinearRegressor): it is a second model, but only one is supported");
    draft.nodes[1].input[0] = "P".into();
    refused(
        &draft,
        "node #1 (LinearRegressor): it reads the output of another node, but a model must read the graph's input",
    );
}

#[test]
fn the_input_is_a_table_of_floats_with_a_fixed_number_of_columns() {
    let mut draft = Draft::parse(STUMP);
    let tensor =
        |draft: &mut Draft| draft.input.r#type.clone().and_then(|r#type| r#type.tensor_type).expect("a tensor");
    let with = |mut draft: Draft, tensor| {
        draft.input.r#type = Some(super::super::message::TypeProto { tensor_type: tensor });
        draft
    };
    let original = tensor(&mut draft);

    let mut double = original.clone();
    double.elem_type = 11;
    refused(&with(draft.clone(), Some(double)), r#"input "X" has element type 11, but only 1 (float) is supported"#);

    let mut open = original.clone();
    open.shape.as_mut().expect("a shape").dim[1].dim_value = 0;
    refused(&with(draft.clone(), Some(open)), r#"input "X" has 0 columns, expected 1..=4096, fixed in the file"#);

    let mut wide = original.clone();
    wide.shape.as_mut().expect("a shape").dim[1].dim_value = 4097;
    refused(&with(draft.clone(), Some(wide)), r#"input "X" has 4097 columns, expected 1..=4096, fixed in the file"#);

    let mut flat = original;
    flat.shape.as_mut().expect("a shape").dim.remove(0);
    refused(&with(draft.clone(), Some(flat)), r#"input "X" has 1 dimensions, expected 2: rows and columns"#);
    refused(&with(draft, None), r#"input "X" is not a tensor"#);
}

#[test]
fn other_versions_of_the_operators_are_refused() {
    let mut draft = Draft::parse(STUMP);
    draft.operator_sets = vec![("", 22), ("ai.onnx.ml", 5)];
    refused(&draft, "the file uses ai.onnx.ml version 5, but only 1..=4 are supported");
    draft.operator_sets = vec![("", 22), ("ai.onnx.ml", 1), ("ai.onnx.ml", 1)];
    check_draft(&draft, ANSWERS);
}
