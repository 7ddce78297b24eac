//! The graph, which leads from its only input through one model operator to an output with the scores.

use super::linear::Linear;
use super::message::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
use super::operator::Operator;
use super::scaler::Scaler;
use super::transform::Transform;
use super::trees::Trees;
use super::{INPUTS_MAX, LoadError, Model, Scorer, classes, decode_list};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use prost::Message;
use types::shorten;

/// Most nodes, inputs, outputs or operator sets of a graph. An exported tree or linear model has about five.
const GRAPH_ITEMS_MAX: usize = 64;
/// The versions of the operator set that define the model operators as they are implemented here: version 4 left them
/// as they were in version 3, and version 5 replaced them.
const ML_VERSIONS: RangeInclusive<i64> = 1..=4;
const ML_DOMAIN: &str = "ai.onnx.ml";
/// ONNX's number for single-precision floats.
const FLOAT: i32 = 1;

/// What a named value of the graph carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Input,
    /// The input after a Scaler.
    Scaled,
    Scores,
    /// The class that the model would choose. It is not used, because our own thresholds choose.
    Label,
}

/// What the nodes of the graph have given so far.
struct Loading {
    inputs: usize,
    values: BTreeMap<String, Value>,
    /// The names of constants that are a single 1.
    ones: Vec<String>,
    scaler: Option<Scaler>,
    model: Option<Found>,
}

/// The model operator.
struct Found {
    scorer: Scorer,
    transform: Transform,
    reads_scaled: bool,
}

pub(super) fn load(file: &ModelProto) -> Result<Model, LoadError> {
    check_operator_sets(file)?;
    let Some(graph) = &file.graph else { return Err(LoadError::Graph("the file has no graph".into())) };
    let nodes = nodes(graph)?;
    let constants = decode_list::<TensorProto>("constants", &graph.initializer, GRAPH_ITEMS_MAX)?;
    let (input, inputs) = input(graph, &constants)?;
    let outputs = decode_list::<ValueInfoProto>("outputs", &graph.output, GRAPH_ITEMS_MAX)?;
    let mut loading = Loading {
        inputs,
        values: BTreeMap::from([(input, Value::Input)]),
        ones: constants.into_iter().filter(is_one).map(|constant| constant.name).collect(),
        scaler: None,
        model: None,
    };
    let needed = needed(&nodes, &outputs);
    let mut produced: BTreeSet<String> = loading.values.keys().cloned().collect();
    for (at, (node, needed)) in nodes.iter().zip(needed).enumerate() {
        let mut operator = Operator::new(name_of(at, node), node)?;
        if let Some(twice) = node.output.iter().find(|name| !name.is_empty() && !produced.insert((*name).clone())) {
            return Err(operator.error(format!("it produces {:?}, which already exists", shorten(twice))));
        }
        if needed {
            let values = loading.run(&mut operator, Kind::of(at, node)?, node)?;
            operator.finish()?;
            loading.values.extend(node.output.iter().cloned().zip(values));
        }
    }
    let Loading { values, scaler, model, .. } = loading;
    match model {
        None => Err(LoadError::Graph(format!("the graph has no model; {}", super::SUPPORTED))),
        Some(_) if !outputs.iter().any(|output| values.get(&output.name) == Some(&Value::Scores)) => {
            Err(LoadError::Graph("no output of the graph carries the model's scores".into()))
        }
        Some(Found { scorer, transform, reads_scaled }) => {
            Ok(Model { inputs, scaler: scaler.filter(|_| reads_scaled), scorer, transform })
        }
    }
}

/// The nodes of the graph. If there are too many, an operator that is not supported is named first: a graph with fewer
/// of them would be refused too.
fn nodes(graph: &GraphProto) -> Result<Vec<NodeProto>, LoadError> {
    if graph.node.len() > GRAPH_ITEMS_MAX {
        for (at, bytes) in graph.node.iter().enumerate() {
            let node = NodeProto::decode(bytes.as_slice())?;
            if !node.op_type.is_empty() {
                Kind::of(at, &node)?;
            }
        }
    }
    decode_list("nodes", &graph.node, GRAPH_ITEMS_MAX)
}

/// Whether each node leads to an output that may carry scores. Others, such as those that compute the label or list the
/// classes, are not read.
fn needed(nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> Vec<bool> {
    let may_be_scores = |output: &&ValueInfoProto| {
        let tensor = output.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
        tensor.is_none_or(|tensor| !is_label_type(tensor.elem_type))
    };
    let mut names: BTreeSet<&str> = outputs.iter().filter(may_be_scores).map(|output| output.name.as_str()).collect();
    if names.is_empty() {
        names = outputs.iter().map(|output| output.name.as_str()).collect();
    }
    let mut needed = vec![false; nodes.len()];
    // A node may only read what comes before it, so one pass from the end finds all.
    for (needed, node) in needed.iter_mut().zip(nodes).rev() {
        *needed = node.output.iter().any(|name| names.contains(name.as_str()));
        if *needed {
            names.extend(node.input.iter().map(String::as_str));
        }
    }
    needed
}

/// Whether a constant is a single 1, by which everything can be multiplied.
fn is_one(constant: &TensorProto) -> bool {
    let value = match constant.float_data.as_slice() {
        [] => constant.raw_data.as_slice().try_into().ok().map(f32::from_le_bytes),
        [value] => Some(*value),
        _ => None,
    };
    constant.data_type == FLOAT && constant.dims.iter().all(|length| *length == 1) && value == Some(1.0)
}

fn name_of(at: usize, node: &NodeProto) -> String {
    if node.name.is_empty() { format!("#{at}") } else { shorten(&node.name) }
}

/// The supported operators.
#[derive(Clone, Copy)]
enum Kind {
    Identity,
    Cast,
    Multiply,
    ZipMap,
    Scaler,
    TreeClassifier,
    TreeRegressor,
    LinearClassifier,
    LinearRegressor,
}

impl Kind {
    fn of(at: usize, node: &NodeProto) -> Result<Self, LoadError> {
        Ok(match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity") => Self::Identity,
            ("" | "ai.onnx", "Cast") => Self::Cast,
            ("" | "ai.onnx", "Mul") => Self::Multiply,
            (ML_DOMAIN, "ZipMap") => Self::ZipMap,
            (ML_DOMAIN, "Scaler") => Self::Scaler,
            (ML_DOMAIN, "TreeEnsembleClassifier") => Self::TreeClassifier,
            (ML_DOMAIN, "TreeEnsembleRegressor") => Self::TreeRegressor,
            (ML_DOMAIN, "LinearClassifier") => Self::LinearClassifier,
            (ML_DOMAIN, "LinearRegressor") => Self::LinearRegressor,
            (domain, kind) => {
                let dot = if domain.is_empty() { "" } else { "." };
                let operator = shorten(&format!("{domain}{dot}{kind}"));
                return Err(LoadError::Operator { node: name_of(at, node), operator });
            }
        })
    }
}

impl Loading {
    /// Returns what a node's outputs carry. Keeps the scaler and the model.
    fn run(&mut self, operator: &mut Operator, kind: Kind, node: &NodeProto) -> Result<Vec<Value>, LoadError> {
        let is_one = |name: &&String| self.ones.contains(name);
        let read: Vec<&String> = match (kind, node.input.as_slice()) {
            (Kind::Multiply, [left, right]) => [left, right].into_iter().filter(|name| !is_one(name)).collect(),
            (_, inputs) => inputs.iter().collect(),
        };
        let [input] = read.as_slice() else {
            return Err(operator.error(if matches!(kind, Kind::Multiply) {
                "it multiplies by something other than the constant 1".to_owned()
            } else {
                format!("it has {} inputs, but only 1 is supported", node.input.len())
            }));
        };
        let Some(value) = self.values.get(*input).copied() else {
            return Err(operator.error(format!(
                "it reads {:?}, which is neither the input nor the output of an earlier node",
                shorten(input)
            )));
        };
        let inputs = self.inputs;
        let (scorer, transform) = match kind {
            Kind::Identity | Kind::Multiply => return Ok(vec![value]),
            Kind::Cast => return cast(operator, value),
            Kind::ZipMap => return zip_map(operator, value),
            Kind::Scaler if value != Value::Input => {
                return Err(
                    operator.error("it reads the output of another node, but a scaler must read the graph's input")
                );
            }
            Kind::Scaler => {
                if self.scaler.replace(Scaler::new(operator, inputs)?).is_some() {
                    return Err(operator.error("it is a second scaler, but only one is supported"));
                }
                return Ok(vec![Value::Scaled]);
            }
            _ if !matches!(value, Value::Input | Value::Scaled) => {
                return Err(
                    operator.error("it reads the output of another node, but a model must read the graph's input")
                );
            }
            Kind::TreeClassifier => {
                Trees::classifier(operator, inputs).map(|(trees, how)| (Scorer::Trees(trees), how))?
            }
            Kind::TreeRegressor => {
                Trees::regressor(operator, inputs).map(|(trees, how)| (Scorer::Trees(trees), how))?
            }
            Kind::LinearClassifier => {
                Linear::classifier(operator, inputs).map(|(sum, how)| (Scorer::Linear(sum), how))?
            }
            Kind::LinearRegressor => {
                Linear::regressor(operator, inputs).map(|(sum, how)| (Scorer::Linear(sum), how))?
            }
        };
        let reads_scaled = value == Value::Scaled;
        if self.model.replace(Found { scorer, transform, reads_scaled }).is_some() {
            return Err(operator.error("it is a second model, but only one is supported"));
        }
        let is_classifier = matches!(kind, Kind::TreeClassifier | Kind::LinearClassifier);
        Ok(if is_classifier { vec![Value::Label, Value::Scores] } else { vec![Value::Scores] })
    }
}

fn cast(operator: &mut Operator, value: Value) -> Result<Vec<Value>, LoadError> {
    // Matters only for casts to eight bits.
    operator.ignore("saturate");
    let to = operator.int("to", 0);
    if value != Value::Label && to != i64::from(FLOAT) {
        return Err(operator.error(format!("it casts to {}, but only float is supported", type_name(to))));
    }
    Ok(vec![value])
}

/// `ZipMap` names the scores by class.
fn zip_map(operator: &mut Operator, value: Value) -> Result<Vec<Value>, LoadError> {
    if value != Value::Scores {
        return Err(operator.error("it names something other than the model's scores"));
    }
    classes::check(operator, "classlabels_int64s")?;
    Ok(vec![value])
}

/// Returns the name and the number of columns of the graph's only input. Old files list their constants among the
/// inputs.
fn input(graph: &GraphProto, constants: &[TensorProto]) -> Result<(String, usize), LoadError> {
    let mut inputs = decode_list::<ValueInfoProto>("inputs", &graph.input, GRAPH_ITEMS_MAX)?;
    inputs.retain(|input| !constants.iter().any(|constant| constant.name == input.name));
    let [input] = inputs.as_slice() else {
        return Err(LoadError::Graph(format!("the graph has {} inputs, but only 1 is supported", inputs.len())));
    };
    let refuse = |problem: String| Err(LoadError::Graph(format!("input {:?} {problem}", shorten(&input.name))));
    let Some(tensor) = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref()) else {
        return refuse("is not a tensor".into());
    };
    if tensor.elem_type != FLOAT {
        let found = type_name(tensor.elem_type.into());
        return refuse(format!("has element type {found}, but only float is supported"));
    }
    let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let [_, columns] = dimensions else {
        return refuse(format!("has {} dimensions, expected 2: rows and columns", dimensions.len()));
    };
    match usize::try_from(columns.dim_value) {
        Ok(0) => refuse(format!("has a number of columns that the file does not fix, expected 1..={INPUTS_MAX}")),
        Ok(columns) if columns <= INPUTS_MAX => Ok((input.name.clone(), columns)),
        _ => refuse(format!("has {} columns, expected 1..={INPUTS_MAX}", columns.dim_value)),
    }
}

/// ONNX's name of an element type.
fn type_name(number: i64) -> String {
    let names = [
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let name = usize::try_from(number).ok().and_then(|number| names.get(number.checked_sub(1)?));
    name.map_or_else(|| format!("number {number}"), |name| (*name).to_owned())
}

/// Whether an element type is of whole numbers, texts or bools, none of which can be a probability.
fn is_label_type(number: i32) -> bool {
    matches!(number, 2..=9 | 12 | 13)
}

fn check_operator_sets(file: &ModelProto) -> Result<(), LoadError> {
    let sets = decode_list::<OperatorSetIdProto>("operator sets", &file.opset_import, GRAPH_ITEMS_MAX)?;
    let mut versions = sets.iter().filter(|set| set.domain == ML_DOMAIN).map(|set| set.version).peekable();
    if versions.peek().is_none() {
        return Err(LoadError::Graph(format!("the file uses no {ML_DOMAIN} operators; {}", super::SUPPORTED)));
    }
    match versions.find(|version| !ML_VERSIONS.contains(version)) {
        Some(version) => Err(LoadError::Graph(format!(
            "the file uses {ML_DOMAIN} version {version}, but only {ML_VERSIONS:?} are supported"
        ))),
        None => Ok(()),
    }
}
