//! A bundle in memory: the example of the crate's documentation, and a model with the given coefficients.

use policy::{Bundle, Policy};

/// The complete document of the crate's documentation.
pub(crate) const EXAMPLE: &str = include_str!("../../example/policy.toml");

/// A bundle of the document and a `models/fraud.onnx` with these coefficients.
pub(crate) fn bundle_with(document: &str, coefficients: &[f32]) -> Bundle {
    let files = [("policy.toml", document.as_bytes().to_vec()), ("models/fraud.onnx", model(coefficients))];
    Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes))).expect("a bundle")
}

/// A bundle of the document and a model that always answers 0.0.
pub(crate) fn bundle(document: &str) -> Bundle {
    bundle_with(document, &[0.0, 0.0, 0.0])
}

/// Compiles a policy that may have faults which a new one must not have: the models of these tests answer with sums.
#[track_caller]
pub(crate) fn compile(bundle: &Bundle) -> Policy {
    Policy::recompile(bundle).unwrap_or_else(|problems| panic!("{}", listed(&problems)))
}

pub(crate) fn listed(problems: &[policy::Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// An ONNX file whose answer is the sum of its columns, each multiplied by its coefficient.
pub(crate) fn model(coefficients: &[f32]) -> Vec<u8> {
    let columns = u8::try_from(coefficients.len()).expect("few columns");
    let floats: Vec<u8> = coefficients.iter().flat_map(|coefficient| coefficient.to_le_bytes()).collect();
    let attribute = [field(1, b"coefficients"), field(7, &floats)].concat();
    let node = [
        field(1, b"row"),
        field(2, b"scores"),
        field(4, b"LinearRegressor"),
        field(5, &attribute),
        field(7, b"ai.onnx.ml"),
    ];
    let shape = [field(1, &[]), field(1, &[0x08, columns])].concat();
    let tensor = [vec![0x08, 1], field(2, &shape)].concat();
    let input = [field(1, b"row"), field(2, &field(1, &tensor))].concat();
    let graph = [field(1, &node.concat()), field(11, &input), field(12, &field(1, b"scores"))].concat();
    let operators = [field(1, b"ai.onnx.ml"), vec![0x10, 3]].concat();
    [field(7, &graph), field(8, &operators)].concat()
}

/// Like [`model`], with names of the columns in the file's metadata.
pub(crate) fn named_model(coefficients: &[f32], names: &[&str]) -> Vec<u8> {
    let entry = [field(1, b"feature_names"), field(2, names.join("\n").as_bytes())].concat();
    [model(coefficients), field(14, &entry)].concat()
}

/// A length-delimited protobuf field of fewer than 2^14 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bits = |bits: usize| u8::try_from(bits).expect("a short field");
    let (low, high) = (bits(length & 0x7f), bits(length >> 7));
    let mut out = vec![number << 3 | 2];
    out.extend(if high == 0 { vec![low] } else { vec![low | 0x80, high] });
    out.extend_from_slice(content);
    out
}
