//! Which graphs are accepted around a model, and which are refused.

use super::super::SUPPORTED;
use super::draft::{Draft, constant, floats, int, ints, named, node};
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
    refused(&draft, "node #1 (Cast): it casts to int64, but only float is supported");
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
         LinearClassifier and LinearRegressor of ai.onnx.ml, with one Scaler before them and Identity, Cast to float, \
         Mul by 1 and ZipMap around them; write any other preparation of the columns as expressions in the policy's \
         `inputs`",
    );
    let mut draft = Draft::parse(STUMP);
    draft.nodes[0].domain = "com.example".into();
    refused(&draft, &format!("node #0: operator com.example.TreeEnsembleClassifier is not supported; {SUPPORTED}"));
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
    refused(&draft, &format!("the graph has no model; {SUPPORTED}"));
}

#[test]
fn a_second_model_is_refused() {
    let mut draft = Draft::new("LinearRegressor", 1);
    draft.set("coefficients", floats(&[1.0]));
    let mut second = node("ai.onnx.ml", "LinearRegressor", &["X"], &["Q"]);
    second.attribute = draft.attributes.iter().map(prost::Message::encode_to_vec).collect();
    draft.nodes.push(second);
    // A model that leads to no output is not read.
    check_draft(&draft, "0.25 -> 0.25");
    draft.outputs.push("Q".into());
    refused(&draft, "node #1 (LinearRegressor): it is a second model, but only one is supported");
    draft.nodes[1].input[0] = "P".into();
    refused(
        &draft,
        "node #1 (LinearRegressor): it reads the output of another node, but a model must read the graph's input",
    );
}

#[test]
fn what_leads_to_no_output_of_scores_is_ignored() {
    let mut draft = Draft::parse(STUMP);
    draft.nodes.push(node("", "ArgMax", &["P"], &["best"]));
    draft.nodes.push(node("", "Add", &["L", "other"], &["label"]));
    draft.constants.push(constant("other", 2.0));
    check_draft(&draft, ANSWERS);
    // Whole numbers are no scores, so what leads to them is not read either.
    draft.outputs = vec!["label".into(), "P".into()];
    draft.output_types = vec![7, 1];
    check_draft(&draft, ANSWERS);
    draft.output_types = vec![1, 1];
    refused(&draft, &format!("node #2: operator Add is not supported; {SUPPORTED}"));
}

#[test]
fn a_product_with_the_constant_1_changes_nothing() {
    let product = |factor: f32, inputs: [&str; 2]| {
        let mut draft = Draft::parse(STUMP);
        draft.constants = vec![constant("factor", factor)];
        draft.nodes.push(node("", "Mul", &inputs, &["Q"]));
        draft.outputs = vec!["Q".into()];
        draft
    };
    check_draft(&product(1.0, ["P", "factor"]), ANSWERS);
    check_draft(&product(1.0, ["factor", "P"]), ANSWERS);
    let mut raw = product(1.0, ["P", "factor"]);
    raw.constants[0].float_data.clear();
    raw.constants[0].raw_data = 1.0_f32.to_le_bytes().to_vec();
    raw.constants[0].dims = vec![1, 1];
    check_draft(&raw, ANSWERS);
    let refusal = "node #1 (Mul): it multiplies by something other than the constant 1";
    refused(&product(2.0, ["P", "factor"]), refusal);
    refused(&product(1.0, ["P", "P"]), refusal);
    refused(&product(1.0, ["factor", "factor"]), refusal);
    raw.constants[0].dims = vec![2];
    refused(&raw, refusal);
}

#[test]
fn a_scaler_shifts_and_scales_each_column() {
    let scaled = |offset: &[f32], scale: &[f32]| {
        let mut draft = Draft::parse("classifier NONE columns=2\n tree\n 0: x1 LEQ 0.5 ? 1 : 2\n 1: 0.25\n 2: 0.75");
        draft.nodes[0].input[0] = "scaled".into();
        let mut scaler = node("ai.onnx.ml", "Scaler", &["X"], &["scaled"]);
        let attributes = [named("offset", floats(offset)), named("scale", floats(scale))];
        scaler.attribute = attributes.iter().map(prost::Message::encode_to_vec).collect();
        draft.before.push(scaler);
        draft
    };
    check_draft(
        &scaled(&[100.0, 1.0], &[7.0, 0.5]),
        "0 2 -> 0.25\n 0 2.0000002 -> 0.75\n 0 nan -> 0.75\n 0 -inf -> 0.25",
    );
    check_draft(&scaled(&[1.0], &[-0.5]), "0 0 -> 0.25\n 0 -0.0000001 -> 0.75\n 0 3 -> 0.25");
    refused(&scaled(&[1.0, 2.0, 3.0], &[1.0]), "node #0 (Scaler): it has 3 values of offset, expected 1 or 2");
    refused(&scaled(&[1.0], &[]), "node #0 (Scaler): it has 0 values of scale, expected 1 or 2");
    let mut twice = scaled(&[1.0], &[1.0]);
    twice.before.push(node("ai.onnx.ml", "Scaler", &["scaled"], &["again"]));
    twice.nodes[0].input[0] = "again".into();
    refused(&twice, "node #1 (Scaler): it reads the output of another node, but a scaler must read the graph's input");
}

#[test]
fn an_input_with_a_constant_is_no_input() {
    let mut draft = Draft::parse(STUMP);
    draft.constants = vec![constant("X", 1.0)];
    refused(&draft, "the graph has 0 inputs, but only 1 is supported");
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
    refused(&with(draft.clone(), Some(double)), r#"input "X" has element type double, but only float is supported"#);

    let mut open = original.clone();
    open.shape.as_mut().expect("a shape").dim[1].dim_value = 0;
    refused(
        &with(draft.clone(), Some(open)),
        r#"input "X" has a number of columns that the file does not fix, expected 1..=4096"#,
    );

    let mut wide = original.clone();
    wide.shape.as_mut().expect("a shape").dim[1].dim_value = 4097;
    refused(&with(draft.clone(), Some(wide)), r#"input "X" has 4097 columns, expected 1..=4096"#);

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
