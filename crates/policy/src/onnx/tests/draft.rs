//! A small model written as text, which tests can damage before it is encoded.

use super::super::message::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};
use prost::Message;

/// A graph with one model node and whatever a test adds.
#[derive(Clone)]
pub(super) struct Draft {
    pub nodes: Vec<NodeProto>,
    /// Nodes before those.
    pub before: Vec<NodeProto>,
    /// Attributes of the model node. Encoding puts them into the first node.
    pub attributes: Vec<AttributeProto>,
    /// The constants of the graph.
    pub constants: Vec<TensorProto>,
    pub input: ValueInfoProto,
    pub outputs: Vec<String>,
    /// The element types of the outputs, where the file says them.
    pub output_types: Vec<i32>,
    pub operator_sets: Vec<(&'static str, i64)>,
    pub metadata: Vec<StringStringEntryProto>,
}

impl Draft {
    /// Reads a model. The first line names operator, transform, columns and base values, `classifier LOGISTIC columns=2
    /// base=0.5,0.5`; the last two can be left out. `tree` starts a tree. Its nodes are branches, `0: x1 LEQ 0.5 ? 1 :
    /// 2`, with `missing` at the end if NaN means yes, or leaves with one weight per class and `_` for none: `1: 0.25`,
    /// `2: _ 0.75`.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let head: Vec<&str> = lines.next().expect("a first line").split_whitespace().collect();
        let option = |name: &str| head.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let (operator, prefix) = match head[0] {
            "classifier" => ("TreeEnsembleClassifier", "class"),
            "regressor" => ("TreeEnsembleRegressor", "target"),
            other => panic!("{other} is neither classifier nor regressor"),
        };
        let mut draft = Self::new(operator, option("columns").map_or(1, |columns| columns.parse().expect("a number")));
        draft.set("post_transform", words(&[head[1]]));
        if prefix == "class" {
            draft.set("classlabels_int64s", ints(&[0, 1]));
        }
        if let Some(base) = option("base") {
            draft.set("base_values", floats(&base.split(',').map(number).collect::<Vec<_>>()));
        }
        for (name, empty) in [
            ("nodes_treeids", ints(&[])),
            ("nodes_nodeids", ints(&[])),
            ("nodes_featureids", ints(&[])),
            ("nodes_values", floats(&[])),
            ("nodes_modes", AttributeProto::default()),
            ("nodes_truenodeids", ints(&[])),
            ("nodes_falsenodeids", ints(&[])),
            ("nodes_missing_value_tracks_true", ints(&[])),
        ] {
            draft.set(name, empty);
        }
        for name in ["treeids", "nodeids", "ids", "weights"] {
            draft.set(&format!("{prefix}_{name}"), AttributeProto::default());
        }
        let mut tree = -1;
        for line in lines {
            if line == "tree" {
                tree += 1;
                continue;
            }
            let (id, node) = line.split_once(':').expect("id: node");
            let id: i64 = id.parse().expect("a node number");
            let node: Vec<&str> = node.split_whitespace().collect();
            draft.get("nodes_treeids").ints.push(tree);
            draft.get("nodes_nodeids").ints.push(id);
            if let [column, mode, threshold, "?", yes, ":", no, missing @ ..] = node.as_slice() {
                draft.branch(column, mode, number(threshold), [yes, no], missing == ["missing"]);
            } else {
                draft.branch("x0", "LEAF", 0.0, ["0", "0"], false);
                for (class, weight) in (0..).zip(&node).filter(|(_, weight)| **weight != "_") {
                    draft.get(&format!("{prefix}_treeids")).ints.push(tree);
                    draft.get(&format!("{prefix}_nodeids")).ints.push(id);
                    draft.get(&format!("{prefix}_ids")).ints.push(class);
                    draft.get(&format!("{prefix}_weights")).floats.push(number(weight));
                }
            }
        }
        draft
    }

    /// A model node without attributes, from input `X` to output `P`.
    pub(super) fn new(operator: &str, columns: i64) -> Self {
        let is_classifier = operator.ends_with("Classifier");
        let outputs = if is_classifier { ["L", "P"].as_slice() } else { &["P"] };
        let shape = TensorShapeProto { dim: vec![Dimension { dim_value: 0 }, Dimension { dim_value: columns }] };
        let tensor = TensorType { elem_type: 1, shape: Some(shape) };
        Self {
            nodes: vec![node("ai.onnx.ml", operator, &["X"], outputs)],
            before: Vec::new(),
            attributes: Vec::new(),
            constants: Vec::new(),
            output_types: Vec::new(),
            input: ValueInfoProto { name: "X".into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) },
            outputs: vec!["P".into()],
            operator_sets: vec![("", 22), ("ai.onnx.ml", 3)],
            metadata: Vec::new(),
        }
    }

    /// Adds or replaces an attribute of the model node.
    pub(super) fn set(&mut self, name: &str, mut attribute: AttributeProto) {
        attribute.name = name.into();
        self.attributes.retain(|other| other.name != name);
        self.attributes.push(attribute);
    }

    /// An attribute of the model node.
    pub(super) fn get(&mut self, name: &str) -> &mut AttributeProto {
        self.attributes.iter_mut().find(|attribute| attribute.name == name).expect("the attribute is there")
    }

    /// Adds a node that reads the model's scores. Its output becomes the output of the graph.
    pub(super) fn then(&mut self, domain: &str, operator: &str, attributes: &[AttributeProto]) {
        let input = self.outputs[0].clone();
        self.outputs[0] = format!("{input}'");
        let mut after = node(domain, operator, &[&input], &[&self.outputs[0]]);
        after.attribute = attributes.iter().map(Message::encode_to_vec).collect();
        self.nodes.push(after);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut nodes = self.nodes.clone();
        nodes[0].attribute = self.attributes.iter().map(Message::encode_to_vec).collect();
        let output = |(at, name): (usize, &String)| {
            let tensor = self.output_types.get(at).map(|kind| TensorType { elem_type: *kind, shape: None });
            let r#type = tensor.map(|tensor| TypeProto { tensor_type: Some(tensor) });
            ValueInfoProto { name: name.clone(), r#type }.encode_to_vec()
        };
        let operator_set = |(domain, version): &(&str, i64)| {
            OperatorSetIdProto { domain: (*domain).into(), version: *version }.encode_to_vec()
        };
        let graph = GraphProto {
            node: self.before.iter().chain(&nodes).map(Message::encode_to_vec).collect(),
            initializer: self.constants.iter().map(Message::encode_to_vec).collect(),
            input: vec![self.input.encode_to_vec()],
            output: self.outputs.iter().enumerate().map(output).collect(),
        };
        let opset_import = self.operator_sets.iter().map(operator_set).collect();
        ModelProto {
            graph: Some(graph),
            opset_import,
            metadata_props: self.metadata.iter().map(Message::encode_to_vec).collect(),
        }
        .encode_to_vec()
    }

    fn branch(&mut self, column: &str, mode: &str, threshold: f32, children: [&str; 2], missing: bool) {
        let column = column.strip_prefix('x').expect("a column").parse().expect("a column number");
        let mode = if mode == "LEAF" { mode.into() } else { format!("BRANCH_{mode}") };
        let [yes, no] = children.map(|child| child.parse().expect("a node number"));
        self.get("nodes_featureids").ints.push(column);
        self.get("nodes_modes").strings.push(mode.into_bytes());
        self.get("nodes_values").floats.push(threshold);
        self.get("nodes_truenodeids").ints.push(yes);
        self.get("nodes_falsenodeids").ints.push(no);
        self.get("nodes_missing_value_tracks_true").ints.push(i64::from(missing));
    }
}

/// A node of a graph, without attributes.
pub(super) fn node(domain: &str, operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        input: strings(inputs),
        output: strings(outputs),
        name: String::new(),
        op_type: operator.into(),
        attribute: Vec::new(),
        domain: domain.into(),
    }
}

/// A constant float.
pub(super) fn constant(name: &str, value: f32) -> TensorProto {
    TensorProto { name: name.into(), data_type: 1, float_data: vec![value], ..TensorProto::default() }
}

/// An attribute of another node.
pub(super) fn named(name: &str, mut attribute: AttributeProto) -> AttributeProto {
    attribute.name = name.into();
    attribute
}

pub(super) fn ints(values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn int(value: i64) -> AttributeProto {
    AttributeProto { i: value, ..AttributeProto::default() }
}

pub(super) fn floats(values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..AttributeProto::default() }
}

/// A single word goes into `s`, several into `strings`.
pub(super) fn words(values: &[&str]) -> AttributeProto {
    match values {
        [word] => AttributeProto { s: word.as_bytes().to_vec(), ..AttributeProto::default() },
        words => AttributeProto {
            strings: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            ..AttributeProto::default()
        },
    }
}

fn number(text: &str) -> f32 {
    text.parse().expect("a number")
}
