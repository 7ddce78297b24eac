//! Which graphs are accepted around a model, and which are refused.

use super::super::message::StringStringEntryProto;
use super::super::{Model, SUPPORTED};
use super::draft::{Draft, constant, floats, int, ints, named, node};
use super::{check_draft, refused};
use prost::Message as _;

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
        r#"node #0 (TreeEnsembleClassifier): it reads "X", which is neither an input, nor a constant of numbers, nor the output of an earlier node"#,
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
fn a_cast_to_whole_numbers_drops_the_fraction_and_one_to_text_is_refused() {
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Cast", &[named("to", int(7))]);
    check_draft(&draft, "0 -> 0\n 1 -> 0");
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Cast", &[named("to", int(9))]);
    check_draft(&draft, "0 -> 1\n 1 -> 1");
    let mut draft = Draft::parse(STUMP);
    draft.then("", "Cast", &[named("to", int(8))]);
    refused(&draft, "node #1 (Cast): it casts to string, but only float, double, int64 and bool are supported");
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
    draft.then("", "Conv", &[]);
    draft.nodes[1].name = "squash".into();
    refused(
        &draft,
        "node squash: operator Conv is not supported; supported are tree ensembles, linear models and preparations of \
         columns of ai.onnx.ml, and calculations of rows with each other and with constants, such as MatMul, Gemm, Add, \
         Relu and Softmax; write any other preparation of the columns as expressions in the policy's `inputs`",
    );
    let mut draft = Draft::parse(STUMP);
    draft.nodes[0].domain = "com.example".into();
    refused(&draft, &format!("node #0: operator com.example.TreeEnsembleClassifier is not supported; {SUPPORTED}"));
}

#[test]
fn a_graph_without_a_calculation_answers_with_its_input() {
    let mut draft = Draft::parse(STUMP);
    draft.nodes[0].input.push("X".into());
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
    check_draft(&draft, "0.25 -> 0.25\n 2 -> none");
}

#[test]
fn a_second_model_may_follow_the_first() {
    let mut draft = Draft::new("LinearRegressor", 1);
    draft.set("coefficients", floats(&[0.5]));
    let mut second = node("ai.onnx.ml", "LinearRegressor", &["X"], &["Q"]);
    second.attribute = draft.attributes.iter().map(prost::Message::encode_to_vec).collect();
    draft.nodes.push(second);
    // A model that leads to no output is not read.
    check_draft(&draft, "0.25 -> 0.125");
    draft.outputs.push("Q".into());
    refused(
        &draft,
        r#"the outputs "P" and "Q" may both be the score, expected one, or one with the name "probabilities""#,
    );
    draft.nodes[1].input[0] = "P".into();
    draft.outputs.remove(0);
    check_draft(&draft, "0.5 -> 0.125");
    // One score under two names is one score.
    draft.nodes.push(node("", "Identity", &["Q"], &["R"]));
    draft.outputs.push("R".into());
    check_draft(&draft, "0.5 -> 0.125");
}

#[test]
fn rows_are_combined_element_by_element_or_with_one_number() {
    let draft = |kind: &str, inputs: &[&str], constants: &[f32]| {
        let mut draft = Draft::new("LinearRegressor", 2);
        draft.set("coefficients", floats(&[1.0, 10.0]));
        draft.constants = vec![constant("c", 0.0)];
        draft.constants[0].float_data = constants.to_vec();
        draft.constants[0].dims = vec![i64::try_from(constants.len()).expect("few")];
        draft.before.push(node("", kind, inputs, &["R"]));
        draft.nodes[0].input[0] = "R".into();
        draft
    };
    check_draft(&draft("Add", &["X", "c"], &[0.25]), "0 0 -> none\n -0.25 -0.25 -> 0\n -0.15 -0.25 -> 0.1");
    check_draft(&draft("Sub", &["c", "X"], &[0.5, 0.01]), "0.5 0 -> 0.1\n 0.25 0.01 -> 0.25");
    check_draft(&draft("Mul", &["X", "X"], &[1.0]), "0.5 0.1 -> 0.35");
    check_draft(&draft("Div", &["X", "c"], &[2.0, 4.0]), "0.5 0.2 -> 0.75\n nan 0 -> none");
    check_draft(&draft("Max", &["X", "c"], &[0.1, 0.02]), "0.5 0 -> 0.7\n nan 0 -> none");
    refused(&draft("Add", &["X", "c"], &[1.0; 3]), "node #0 (Add): it combines rows of 2 and 3 numbers");
    refused(
        &draft("Add", &["c", "c"], &[1.0; 2]),
        "node #0 (Add): it reads only constants, expected a value of the row among them",
    );
}

#[test]
fn what_leads_to_no_output_of_scores_is_ignored() {
    let mut draft = Draft::parse(STUMP);
    draft.nodes.push(node("", "ArgSort", &["P"], &["best"]));
    draft.nodes.push(node("", "Add", &["best", "other"], &["label"]));
    draft.constants.push(constant("other", 2.0));
    check_draft(&draft, ANSWERS);
    // Whole numbers are no scores, so what leads to them is not read either.
    draft.outputs = vec!["label".into(), "P".into()];
    draft.output_types = vec![7, 1];
    check_draft(&draft, ANSWERS);
    draft.output_types = vec![1, 1];
    refused(&draft, &format!("node #1: operator ArgSort is not supported; {SUPPORTED}"));
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
    check_draft(&product(0.5, ["P", "factor"]), "0 -> 0.125\n 1 -> 0.375");
    check_draft(&product(1.0, ["P", "P"]), "0 -> 0.0625\n 1 -> 0.5625");
    refused(
        &product(1.0, ["factor", "factor"]),
        "node #1 (Mul): it reads only constants, expected a value of the row among them",
    );
    raw.constants[0].dims = vec![2];
    // A constant that is broken cannot be read.
    refused(
        &raw,
        r#"node #1 (Mul): it reads "factor", which is neither an input, nor a constant of numbers, nor the output of an earlier node"#,
    );
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
    let mut twice = scaled(&[1.0], &[-0.5]);
    let mut again = twice.before[0].clone();
    again.input[0] = "scaled".into();
    again.output[0] = "again".into();
    twice.before.push(again);
    twice.nodes[0].input[0] = "again".into();
    // ((x - 1) * -0.5 - 1) * -0.5 is at most 0.5 up to 1.
    check_draft(&twice, "0 1 -> 0.25\n 0 1.001 -> 0.75");
}

#[test]
fn an_input_with_a_constant_is_no_input() {
    let mut draft = Draft::parse(STUMP);
    draft.constants = vec![constant("X", 1.0)];
    refused(&draft, "the graph has no inputs");
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
    refused(
        &with(draft.clone(), Some(double)),
        r#"input "X" has element type double, but only float and int64 are supported"#,
    );

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
    draft.operator_sets = vec![("", 22), ("ai.onnx.ml", 6)];
    refused(&draft, "the file uses ai.onnx.ml version 6, but only 1..=5 are supported");
    draft.operator_sets = vec![];
    refused(&draft, "the file names no operator sets");
    draft.operator_sets = vec![("", 22), ("ai.onnx.ml", 1), ("ai.onnx.ml", 1)];
    check_draft(&draft, ANSWERS);
}

#[test]
fn metadata_names_every_column() {
    let mut draft = Draft::parse("classifier NONE columns=2\n tree\n 0: x1 LT 0.5 ? 1 : 2\n 1: 0.25\n 2: 0.75");
    let mut name = |names: &str| {
        draft.metadata = vec![StringStringEntryProto { key: "feature_names".into(), value: names.into() }];
        Model::load(&draft.encode())
    };
    let model = name("amount\nage").expect("the model loads");
    assert_eq!(model.columns(), Some(["amount".to_owned(), "age".to_owned()].as_slice()));
    let model = name("[\"amount\", \"age\"]").expect("metadata of another program does not matter");
    assert_eq!(model.columns(), None);
}

#[test]
fn a_sigmoid_changes_no_sum_that_others_read() {
    let mut draft = Draft::parse("regressor NONE\n tree\n 0: x0 LT 0.5 ? 1 : 2\n 1: 0\n 2: 0.5");
    let sum = draft.nodes[0].output[0].clone();
    draft.nodes.push(node("", "Identity", &[&sum], &["again"]));
    draft.nodes.push(node("", "Sigmoid", &["again"], &["share"]));
    draft.nodes.push(node("", "Mul", &[&sum, "share"], &["product"]));
    draft.outputs = vec!["product".into()];
    // 0.5 / (1 + e^-0.5).
    check_draft(&draft, "0 -> 0\n 1 -> 0.31122968");
}

#[test]
fn a_reshape_that_makes_rows_of_columns_is_refused() {
    let reshaped = |shape: &[f32]| {
        let mut draft = Draft::new("Relu", 4);
        draft.nodes = vec![
            node("", "Constant", &[], &["shape"]),
            node("", "Reshape", &["X", "shape"], &["reshaped"]),
            node("", "ReduceMax", &["reshaped"], &["largest"]),
        ];
        draft.set("value_floats", floats(shape));
        draft.nodes[2].attribute.push(named("axes", ints(&[1])).encode_to_vec());
        draft.outputs = vec!["largest".into()];
        draft
    };
    check_draft(&reshaped(&[1.0, 4.0]), "0 0.25 0.5 0 -> 0.5");
    check_draft(&reshaped(&[-1.0, 2.0, 2.0]), "0 0.25 0.5 0 -> 0.5");
    refused(&reshaped(&[4.0, 1.0]), "node #1 (Reshape): it makes rows of 1 numbers from rows of 4");
}
