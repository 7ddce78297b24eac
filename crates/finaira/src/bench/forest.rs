//! An ONNX file with random complete trees, to measure how long they take.

use crate::demo::random::Random;

/// The wire types of protocol buffers that an ONNX file uses.
const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A `TreeEnsembleClassifier` of complete trees, with random questions about columns of 0..1 and with covers as if every
/// question split its rows in half. Every second question sends missing values to "yes".
pub(super) fn file(trees: u32, depth: u32, columns: u32, random: &mut Random) -> Vec<u8> {
    let branches = (1_u64 << depth) - 1;
    let nodes = 2 * branches + 1;
    let mut lists = Lists::default();
    for tree in 0..u64::from(trees) {
        for node in 0..nodes {
            let is_leaf = node >= branches;
            lists.trees.push(tree);
            lists.nodes.push(node);
            lists.columns.push(if is_leaf { 0 } else { random.between(0, u64::from(columns) - 1) });
            lists.thresholds.push(if is_leaf { 0.0 } else { unit(random) });
            lists.modes.push(if is_leaf { "LEAF" } else { "BRANCH_LT" });
            lists.on_true.push(if is_leaf { 0 } else { 2 * node + 1 });
            lists.on_false.push(if is_leaf { 0 } else { 2 * node + 2 });
            lists.missing.push(random.between(0, 1));
            lists.covers.push(2.0_f32.powi(-(node + 1).ilog2().cast_signed()));
            if is_leaf {
                lists.leaf_trees.push(tree);
                lists.leaf_nodes.push(node);
                lists.leaf_classes.push(0);
                lists.weights.push(unit(random) - 0.5);
            }
        }
    }
    lists.file(columns)
}

/// A random number of 0..1 with 24 bits.
#[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
pub(super) fn unit(random: &mut Random) -> f32 {
    random.between(0, (1 << 24) - 1) as f32 / 16_777_216.0
}

/// The attributes of the ensemble.
#[derive(Default)]
struct Lists {
    trees: Vec<u64>,
    nodes: Vec<u64>,
    columns: Vec<u64>,
    thresholds: Vec<f32>,
    modes: Vec<&'static str>,
    on_true: Vec<u64>,
    on_false: Vec<u64>,
    missing: Vec<u64>,
    covers: Vec<f32>,
    leaf_trees: Vec<u64>,
    leaf_nodes: Vec<u64>,
    leaf_classes: Vec<u64>,
    weights: Vec<f32>,
}

impl Lists {
    /// The numbers of the fields are those of the ONNX project's onnx.proto.
    fn file(&self, columns: u32) -> Vec<u8> {
        let mut node = Message::default();
        for (field, text) in
            [(1, "X"), (2, "label"), (2, "probabilities"), (4, "TreeEnsembleClassifier"), (7, "ai.onnx.ml")]
        {
            node.bytes(field, text.as_bytes());
        }
        let attribute = |name: &str, fill: &dyn Fn(&mut Message)| {
            let mut attribute = Message::default();
            attribute.bytes(1, name.as_bytes());
            fill(&mut attribute);
            attribute.0
        };
        for (name, values) in [
            ("nodes_treeids", &self.trees),
            ("nodes_nodeids", &self.nodes),
            ("nodes_featureids", &self.columns),
            ("nodes_truenodeids", &self.on_true),
            ("nodes_falsenodeids", &self.on_false),
            ("nodes_missing_value_tracks_true", &self.missing),
            ("class_treeids", &self.leaf_trees),
            ("class_nodeids", &self.leaf_nodes),
            ("class_ids", &self.leaf_classes),
            ("classlabels_int64s", &vec![0, 1]),
        ] {
            node.bytes(5, &attribute(name, &|ints| values.iter().for_each(|value| ints.number(8, *value))));
        }
        for (name, values) in
            [("nodes_values", &self.thresholds), ("class_weights", &self.weights), ("nodes_hitrates", &self.covers)]
        {
            node.bytes(5, &attribute(name, &|floats| values.iter().for_each(|value| floats.float(7, *value))));
        }
        node.bytes(
            5,
            &attribute("nodes_modes", &|modes| self.modes.iter().for_each(|mode| modes.bytes(9, mode.as_bytes()))),
        );
        node.bytes(5, &attribute("post_transform", &|transform| transform.bytes(4, b"LOGISTIC")));

        let mut width = Message::default();
        width.number(1, u64::from(columns));
        let mut shape = Message::default();
        shape.bytes(1, &[]);
        shape.bytes(1, &width.0);
        let mut tensor = Message::default();
        tensor.number(1, 1);
        tensor.bytes(2, &shape.0);
        let mut kind = Message::default();
        kind.bytes(1, &tensor.0);
        let mut input = Message::default();
        input.bytes(1, b"X");
        input.bytes(2, &kind.0);
        let mut output = Message::default();
        output.bytes(1, b"probabilities");
        let mut graph = Message::default();
        graph.bytes(1, &node.0);
        graph.bytes(11, &input.0);
        graph.bytes(12, &output.0);
        let mut operators = Message::default();
        operators.bytes(1, b"ai.onnx.ml");
        operators.number(2, 3);
        let mut model = Message::default();
        model.bytes(7, &graph.0);
        model.bytes(8, &operators.0);
        model.0
    }
}

/// A message of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | FOUR_BYTES);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value.to_le_bytes()[0] | 128);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}
