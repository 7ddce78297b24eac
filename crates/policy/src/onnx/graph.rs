//! The graph, which leads from its only input through one model operator to an output with the scores.

use super::linear::Linear;
use super::message::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use super::operator::Operator;
use super::trees::Trees;
use super::{INPUTS_MAX, LoadError, Model, Scorer, classes, decode_list};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use types::shorten;

/// Most nodes, inputs, outputs or operator sets of a graph. An exported tree or linear model has about five.
const GRAPH_ITEMS_MAX: usize = 64;
/// The versions of the operator set that define the model operators as they are implemented here: version 4 left them
/// as they were in version 3, and version 5 replaced them.
const ML_VERSIONS: RangeInclusive<i64> = 1..=4;
const ML_DOMAIN: &str = "ai.onnx.ml";
/// ONNX's number for single-precision floats.
const FLOAT: i64 = 1;

/// What a named value of the graph carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Input,
    Scores,
    /// The class that the model would choose. It is not used, because our own thresholds choose.
    Label,
}

pub(super) fn load(file: &ModelProto) -> Result<Model, LoadError> {
    check_operator_sets(file)?;
    let Some(graph) = &file.graph else { return Err(LoadError::Graph("the file has no graph".into())) };
    let (input, inputs) = input(graph)?;
    let mut values = BTreeMap::from([(input, Value::Input)]);
    let mut model = None;
    for (at, node) in decode_list::<NodeProto>("nodes", &graph.node, GRAPH_ITEMS_MAX)?.into_iter().enumerate() {
        let name = if node.name.is_empty() { format!("#{at}") } else { shorten(&node.name) };
        let mut operator = Operator::new(name, &node)?;
        let produced = run(&mut operator, &node, &values, inputs, &mut model)?;
        operator.finish()?;
        for (name, value) in node.output.into_iter().zip(produced) {
            if values.insert(name.clone(), value).is_some() {
                return Err(operator.error(format!("it produces {:?}, which already exists", shorten(&name))));
            }
        }
    }
    let outputs = decode_list::<ValueInfoProto>("outputs", &graph.output, GRAPH_ITEMS_MAX)?;
    match model {
        None => Err(LoadError::Graph(format!("the graph has no model; {}", super::SUPPORTED))),
        Some(_) if !outputs.iter().any(|output| values.get(&output.name) == Some(&Value::Scores)) => {
            Err(LoadError::Graph("no output of the graph carries the model's scores".into()))
        }
        Some(model) => Ok(model),
    }
}

/// The supported operators.
#[derive(Clone, Copy)]
enum Kind {
    Identity,
    Cast,
    ZipMap,
    TreeClassifier,
    TreeRegressor,
    LinearClassifier,
    LinearRegressor,
}

impl Kind {
    fn of(node: &NodeProto) -> Option<Self> {
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity") => Some(Self::Identity),
            ("" | "ai.onnx", "Cast") => Some(Self::Cast),
            (ML_DOMAIN, "ZipMap") => Some(Self::ZipMap),
            (ML_DOMAIN, "TreeEnsembleClassifier") => Some(Self::TreeClassifier),
            (ML_DOMAIN, "TreeEnsembleRegressor") => Some(Self::TreeRegressor),
            (ML_DOMAIN, "LinearClassifier") => Some(Self::LinearClassifier),
            (ML_DOMAIN, "LinearRegressor") => Some(Self::LinearRegressor),
            _ => None,
        }
    }
}

/// Returns what a node's outputs carry. Puts the model operator into `model`.
fn run(
    operator: &mut Operator,
    node: &NodeProto,
    values: &BTreeMap<String, Value>,
    inputs: usize,
    model: &mut Option<Model>,
) -> Result<Vec<Value>, LoadError> {
    let Some(kind) = Kind::of(node) else {
        let dot = if node.domain.is_empty() { "" } else { "." };
        let kind = shorten(&format!("{}{dot}{}", node.domain, node.op_type));
        return Err(LoadError::Operator { node: operator.name.clone(), operator: kind });
    };
    let [input] = node.input.as_slice() else {
        return Err(operator.error(format!("it has {} inputs, but only 1 is supported", node.input.len())));
    };
    let Some(value) = values.get(input).copied() else {
        return Err(operator.error(format!(
            "it reads {:?}, which is neither the input nor the output of an earlier node",
            shorten(input)
        )));
    };
    let (scorer, transform) = match kind {
        Kind::Identity => return Ok(vec![value]),
        Kind::Cast => return cast(operator, value),
        Kind::ZipMap => return zip_map(operator, value),
        _ if value != Value::Input => {
            return Err(operator.error("it reads the output of another node, but a model must read the graph's input"));
        }
        Kind::TreeClassifier => Trees::classifier(operator, inputs).map(|(trees, how)| (Scorer::Trees(trees), how))?,
        Kind::TreeRegressor => Trees::regressor(operator, inputs).map(|(trees, how)| (Scorer::Trees(trees), how))?,
        Kind::LinearClassifier => Linear::classifier(operator, inputs).map(|(sum, how)| (Scorer::Linear(sum), how))?,
        Kind::LinearRegressor => Linear::regressor(operator, inputs).map(|(sum, how)| (Scorer::Linear(sum), how))?,
    };
    if model.replace(Model { inputs, scorer, transform }).is_some() {
        return Err(operator.error("it is a second model, but only one is supported"));
    }
    let is_classifier = matches!(kind, Kind::TreeClassifier | Kind::LinearClassifier);
    Ok(if is_classifier { vec![Value::Label, Value::Scores] } else { vec![Value::Scores] })
}

fn cast(operator: &mut Operator, value: Value) -> Result<Vec<Value>, LoadError> {
    // Matters only for casts to eight bits.
    operator.ignore("saturate");
    let to = operator.int("to", 0);
    if value != Value::Label && to != FLOAT {
        return Err(operator.error(format!("it casts to type {to}, but only {FLOAT} (float) is supported")));
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

/// Returns the name and the number of columns of the graph's only input.
fn input(graph: &GraphProto) -> Result<(String, usize), LoadError> {
    let inputs = decode_list::<ValueInfoProto>("inputs", &graph.input, GRAPH_ITEMS_MAX)?;
    let [input] = inputs.as_slice() else {
        return Err(LoadError::Graph(format!("the graph has {} inputs, but only 1 is supported", inputs.len())));
    };
    let refuse = |problem: String| Err(LoadError::Graph(format!("input {:?} {problem}", shorten(&input.name))));
    let Some(tensor) = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref()) else {
        return refuse("is not a tensor".into());
    };
    if i64::from(tensor.elem_type) != FLOAT {
        return refuse(format!("has element type {}, but only {FLOAT} (float) is supported", tensor.elem_type));
    }
    let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let [_, columns] = dimensions else {
        return refuse(format!("has {} dimensions, expected 2: rows and columns", dimensions.len()));
    };
    match usize::try_from(columns.dim_value) {
        Ok(columns) if (1..=INPUTS_MAX).contains(&columns) => Ok((input.name.clone(), columns)),
        _ => refuse(format!("has {} columns, expected 1..={INPUTS_MAX}, fixed in the file", columns.dim_value)),
    }
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
