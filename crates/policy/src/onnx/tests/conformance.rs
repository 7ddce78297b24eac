//! The ONNX project's own cases of the operators of `ai.onnx.ml`: each passes, or is refused for a reason that is listed
//! here.

use super::super::graph::evaluate;
use super::super::message::{ModelProto, TensorProto, ValueInfoProto};
use super::super::tensor::Tensor;
use prost::Message;
use std::path::{Path, PathBuf};

/// The cases that are refused, with the message.
const REFUSED: [(&str, &str); 6] = [
    ("binarizer", r#"input "X" has 3 dimensions, expected 2: rows and columns"#),
    ("label_encoder_string_int", r#"input "X" has element type string, but only float and int64 are supported"#),
    (
        "label_encoder_string_int_no_default",
        r#"input "X" has element type string, but only float and int64 are supported"#,
    ),
    ("label_encoder_tensor_mapping", r#"input "X" has element type string, but only float and int64 are supported"#),
    (
        "label_encoder_tensor_value_only_mapping",
        r#"input "X" has element type string, but only float and int64 are supported"#,
    ),
    ("tree_ensemble_single_tree", r#"input "X" has element type double, but only float and int64 are supported"#),
];
const PASSED: [&str; 2] = ["array_feature_extractor", "tree_ensemble_set_membership"];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/onnx/conformance").join(case)
}

fn tensor(path: &Path) -> TensorProto {
    TensorProto::decode(std::fs::read(path).expect("the file of the case").as_slice()).expect("a tensor")
}

fn model(case: &str) -> ModelProto {
    let file = std::fs::read(folder(case).join("model.onnx")).expect("the model of the case");
    ModelProto::decode(file.as_slice()).expect("an ONNX file")
}

#[test]
fn every_case_is_listed() {
    let mut listed: Vec<&str> = REFUSED.iter().map(|(case, _)| *case).chain(PASSED).collect();
    listed.sort_unstable();
    let entries = std::fs::read_dir(folder("")).expect("the folder of the cases");
    let entries = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    let mut found: Vec<String> = entries.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    found.sort();
    assert_eq!(found, listed);
}

#[test]
fn cases_that_are_not_supported_are_refused_for_their_reason() {
    for (case, message) in REFUSED {
        let error = evaluate(&model(case), "Y", &[]).expect_err(case);
        assert_eq!(error.to_string(), message, "{case}");
    }
}

#[test]
fn supported_cases_pass() {
    for case in PASSED {
        let mut model = model(case);
        let graph = model.graph.as_mut().expect("a graph");
        let mut names =
            graph.input.iter().map(|input| ValueInfoProto::decode(input.as_slice()).expect("an input").name);
        let first = names.next().expect("an input");
        // What the case gives as a second input, a policy has as a constant.
        for (number, name) in (1..).zip(names) {
            let constant = TensorProto { name, ..tensor(&folder(case).join(format!("input_{number}.pb"))) };
            graph.initializer.push(constant.encode_to_vec());
        }
        let output = ValueInfoProto::decode(graph.output[0].as_slice()).expect("an output").name;
        let rows = Tensor::read(&tensor(&folder(case).join("input_0.pb"))).expect("rows");
        let expected = Tensor::read(&tensor(&folder(case).join("output_0.pb"))).expect("answers");
        let (height, width) = (rows.dims[0], rows.dims[1]);
        assert!(!first.is_empty() && height > 0);
        let wide = expected.values.len() / height;
        for (row, expected) in rows.values.chunks(width).zip(expected.values.chunks(wide)) {
            assert_eq!(evaluate(&model, &output, row).expect(case), expected, "{case}: {row:?}");
        }
    }
}
