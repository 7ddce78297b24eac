//! The graph, which leads from its inputs to an output with the scores.

use super::linear::Linear;
use super::message::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};
use super::operator::Operator;
use super::program::{CELLS_MAX, End, How, Operand, Program, Scorer, Span, Step, Zero};
use super::tensor::{FLOAT, INT64, Tensor};
use super::transform::Transform;
use super::trees::Trees;
use super::{INPUTS_MAX, LoadError, Model, decode_list};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use prost::Message as _;
use types::shorten;

mod learned;
mod operators;

/// Most nodes of a graph. scikit-learn's exporter writes about thirty per tree of an isolation forest.
const NODES_MAX: usize = 1 << 13;
/// Most constants of a graph.
const CONSTANTS_MAX: usize = 1 << 13;
/// Most outputs, operator sets or entries of metadata.
const ITEMS_MAX: usize = 64;
/// Most numbers that a row reads, nodes of trees included, and that are kept for it. A step takes some nanoseconds for each.
const WORK_MAX: usize = 1 << 20;
/// The versions of the operator set that define the model operators as they are implemented here.
const ML_VERSIONS: RangeInclusive<i64> = 1..=5;
const ML_DOMAIN: &str = "ai.onnx.ml";
/// The names that exporters give the output with the probabilities.
const PROBABILITIES: [&str; 4] = ["probabilities", "probability", "output_probability", "prob"];
/// The key of the metadata that names the columns, one a line.
const FEATURE_NAMES: &str = "feature_names";

/// What a named value of the graph carries.
#[derive(Debug, Clone)]
enum Value {
    Cells(Span),
    Constant(Rc<Tensor>),
    /// The scores of a model, by its position in [`Loading::models`].
    Scores(usize),
    /// The class that a classifier would choose. It is not used, because our own thresholds choose.
    Label,
}

/// A model operator.
enum Found {
    /// Its scores are in no cell yet. If they are the answer, they never have to be.
    Pending {
        scorer: Scorer,
        transform: Transform,
        /// How a classifier's score of class 0 follows. `None` for a regressor.
        zero: Option<Zero>,
        from: Span,
    },
    Written(Span),
}

/// What the nodes of the graph have given so far.
struct Loading {
    values: BTreeMap<String, Value>,
    steps: Vec<Step>,
    /// The column of the row from which alone each cell follows.
    origins: Vec<Option<usize>>,
    models: Vec<Found>,
    /// Coefficients of all matrices.
    coefficients: usize,
    /// What the graph costs so far; see [`Loading::count`].
    work: usize,
    /// How many nodes and outputs read each value.
    readers: BTreeMap<String, usize>,
    /// The models whose scores have several readers, by their position in `models`.
    shared: BTreeSet<usize>,
}

pub(super) fn load(file: &ModelProto) -> Result<Model, LoadError> {
    let Loaded { mut loading, outputs, width, columns } = read(file)?;
    let end = loading.end(&outputs)?;
    let Loading { steps, origins, .. } = loading;
    Ok(Model { inputs: width, columns, program: Program { steps, cells: origins.len(), end, origins } })
}

/// All numbers of an output of a graph, whether they are a probability or not.
#[cfg(test)]
pub(super) fn evaluate(file: &ModelProto, output: &str, row: &[f32]) -> Result<Vec<f32>, LoadError> {
    let Loaded { mut loading, .. } = read(file)?;
    let span = match loading.values.get(output) {
        Some(Value::Cells(span)) => *span,
        Some(Value::Scores(model)) => loading.written(*model)?,
        Some(Value::Constant(_) | Value::Label) | None => return Err(LoadError::Graph("no numbers".into())),
    };
    let Loading { steps, origins, .. } = loading;
    let program = Program { steps, cells: origins.len(), end: End::Cell(0), origins };
    Ok(program.run(row, |cells| cells[span.start..span.start + span.length].to_vec()))
}

/// A graph whose nodes are read.
struct Loaded {
    loading: Loading,
    outputs: Vec<ValueInfoProto>,
    width: usize,
    columns: Option<Vec<String>>,
}

fn read(file: &ModelProto) -> Result<Loaded, LoadError> {
    check_operator_sets(file)?;
    let Some(graph) = &file.graph else { return Err(LoadError::Graph("the file has no graph".into())) };
    let nodes = decode_list::<NodeProto>("nodes", &graph.node, NODES_MAX)?;
    let constants = decode_list::<TensorProto>("constants", &graph.initializer, CONSTANTS_MAX)?;
    let inputs = inputs(graph, &constants)?;
    let width = inputs.iter().map(|input| input.width).sum();
    if !(1..=INPUTS_MAX).contains(&width) {
        return Err(LoadError::Graph(format!("the inputs have {width} columns together, expected 1..={INPUTS_MAX}")));
    }
    let columns = columns(file, &inputs, width);
    let outputs = decode_list::<ValueInfoProto>("outputs", &graph.output, ITEMS_MAX)?;
    let mut loading = Loading::new(&inputs, constants)?;
    let needed = needed(&nodes, &outputs);
    let of_nodes = nodes.iter().zip(&needed).filter(|(_, needed)| **needed).flat_map(|(node, _)| &node.input);
    for name in of_nodes.map(String::as_str).chain(candidates(&outputs)) {
        *loading.readers.entry(name.to_owned()).or_default() += 1;
    }
    let mut produced: BTreeSet<String> = loading.values.keys().cloned().collect();
    for (at, (node, needed)) in nodes.iter().zip(needed).enumerate() {
        if let Some(twice) = node.output.iter().find(|name| !name.is_empty() && !produced.insert((*name).clone())) {
            let operator = Operator::new(name_of(at, node), node)?;
            return Err(operator.error(format!("it produces {:?}, which already exists", shorten(twice))));
        }
        if needed {
            let mut operator = Operator::new(name_of(at, node), node)?;
            loading.note_readers(node);
            let values = loading.node(&mut operator, node)?;
            operator.finish()?;
            loading.values.extend(node.output.iter().cloned().zip(values));
        }
    }
    Ok(Loaded { loading, outputs, width, columns })
}

/// Whether each node leads to an output that may carry scores. Others, such as those that compute the label or list the
/// classes, are not read.
fn needed(nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> Vec<bool> {
    let mut names: BTreeSet<&str> = candidates(outputs).into_iter().collect();
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

/// The outputs that may carry the scores: the one that exporters name so, or else all that are not of whole numbers,
/// texts or bools.
fn candidates(outputs: &[ValueInfoProto]) -> Vec<&str> {
    let may_be_scores = |output: &&ValueInfoProto| {
        let tensor = output.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
        tensor.is_none_or(|tensor| !is_label_type(tensor.elem_type))
    };
    let names = || outputs.iter().filter(may_be_scores).map(|output| output.name.as_str());
    if let Some(named) = names().find(|name| PROBABILITIES.contains(name)) {
        return vec![named];
    }
    match names().next() {
        Some(_) => names().collect(),
        None => outputs.iter().map(|output| output.name.as_str()).collect(),
    }
}

fn name_of(at: usize, node: &NodeProto) -> String {
    if node.name.is_empty() { format!("#{at}") } else { shorten(&node.name) }
}

impl Loading {
    fn new(inputs: &[Input], constants: Vec<TensorProto>) -> Result<Self, LoadError> {
        let mut loading = Self {
            values: BTreeMap::new(),
            steps: Vec::new(),
            origins: (0..inputs.iter().map(|input| input.width).sum()).map(Some).collect(),
            models: Vec::new(),
            coefficients: 0,
            work: 0,
            readers: BTreeMap::new(),
            shared: BTreeSet::new(),
        };
        let mut start = 0;
        for input in inputs {
            let span = Span { start, length: input.width };
            start += input.width;
            let value = if input.is_whole {
                let to = Span { start: loading.origins.len(), length: span.length };
                loading.origins.extend((span.start..start).map(Some));
                loading.steps.push(Step { how: How::Each(super::program::Each::Truncate, span), to });
                to
            } else {
                span
            };
            loading.values.insert(input.name.clone(), Value::Cells(value));
        }
        if loading.origins.len() > CELLS_MAX {
            return Err(too_many_cells());
        }
        for proto in constants {
            // Constants that nobody reads may be of any type.
            if let Ok(tensor) = Tensor::read(&proto) {
                loading.values.insert(proto.name, Value::Constant(Rc::new(tensor)));
            }
        }
        Ok(loading)
    }

    /// Counts what the graph costs: the numbers that a row reads, and those that are kept for it. So the file bounds neither the time for a row
    /// nor the memory, because a small node can read or make much.
    fn count(&mut self, work: usize) -> Result<(), LoadError> {
        self.work = self.work.saturating_add(work);
        if self.work <= WORK_MAX {
            return Ok(());
        }
        Err(LoadError::Graph(format!("the graph reads or keeps more than {WORK_MAX} numbers for each row")))
    }

    /// Adds a step. Returns where its answer is.
    fn push(&mut self, how: How, length: usize) -> Result<Span, LoadError> {
        let to = Span { start: self.origins.len(), length };
        self.count(how.reads(length))?;
        if to.start + length > CELLS_MAX {
            return Err(too_many_cells());
        }
        let origins = how.origins(&self.origins, to);
        self.origins.extend(origins);
        self.steps.push(Step { how, to });
        Ok(to)
    }

    /// The value of an input of a node.
    fn value(&self, operator: &Operator, name: &str) -> Result<Value, LoadError> {
        self.values.get(name).cloned().ok_or_else(|| {
            operator.error(format!(
                "it reads {:?}, which is neither an input, nor a constant of numbers, nor the output of an earlier node",
                shorten(name)
            ))
        })
    }

    /// The cells of a value. Scores are written into cells.
    fn cells(&mut self, operator: &Operator, value: &Value) -> Result<Span, LoadError> {
        match value {
            Value::Cells(span) => Ok(*span),
            Value::Constant(_) => Err(operator.error("it reads a constant where a value of the row is expected")),
            Value::Label => {
                Err(operator.error("it reads the class that a model chooses, but only scores are supported"))
            }
            Value::Scores(model) => self.written(*model),
        }
    }

    fn operand(&mut self, operator: &Operator, value: &Value) -> Result<Operand, LoadError> {
        match value {
            Value::Constant(tensor) => match tensor.row() {
                Some(row) => Ok(Operand::Constants(row.into())),
                None => Err(operator.error(format!(
                    "it reads a constant with dimensions {:?}, expected a number or a row of numbers",
                    tensor.dims
                ))),
            },
            Value::Cells(_) | Value::Scores(_) | Value::Label => Ok(Operand::Cells(self.cells(operator, value)?)),
        }
    }

    fn written(&mut self, model: usize) -> Result<Span, LoadError> {
        let placeholder = Found::Written(Span { start: 0, length: 0 });
        let span = match std::mem::replace(&mut self.models[model], placeholder) {
            Found::Written(span) => span,
            Found::Pending { scorer, transform, zero: Some(zero), from } => {
                self.push(How::Classes { scorer, zero, transform, from }, 2)?
            }
            Found::Pending { scorer, transform, zero: None, from } => {
                self.push(How::Score { scorer, transform, from }, 1)?
            }
        };
        self.models[model] = Found::Written(span);
        Ok(span)
    }

    fn found(
        &mut self,
        scorer: Scorer,
        transform: Transform,
        zero: Option<Zero>,
        from: Span,
    ) -> Result<Value, LoadError> {
        self.count(scorer.reads())?;
        self.models.push(Found::Pending { scorer, transform, zero, from });
        Ok(Value::Scores(self.models.len() - 1))
    }

    /// Notes whether another node or an output reads the scores of a model, too.
    fn note_readers(&mut self, node: &NodeProto) {
        for name in &node.input {
            if let (Some(Value::Scores(model)), Some(2..)) = (self.values.get(name), self.readers.get(name)) {
                self.shared.insert(*model);
            }
        }
    }

    /// Finds the output with the scores.
    fn end(&mut self, outputs: &[ValueInfoProto]) -> Result<End, LoadError> {
        let candidates = candidates(outputs);
        let is_scores = |name: &&&str| matches!(self.values.get(**name), Some(Value::Cells(_) | Value::Scores(_)));
        // Several outputs may have the scores of one model.
        let model_of = |name: &&str| match self.values.get(*name) {
            Some(Value::Scores(model)) => Some(*model),
            Some(Value::Cells(_) | Value::Constant(_) | Value::Label) | None => None,
        };
        let mut scores: Vec<_> = candidates.iter().filter(is_scores).collect();
        scores.dedup_by(|later, first| model_of(later).is_some() && model_of(later) == model_of(first));
        let (value, name) = match scores.as_slice() {
            [] => return Err(LoadError::Graph("no output of the graph carries the model's scores".into())),
            [name] => (self.values.get(**name).cloned(), **name),
            [name, other, ..] => {
                return Err(LoadError::Graph(format!(
                    "the outputs {:?} and {:?} may both be the score, expected one, or one with the name {:?}",
                    shorten(name),
                    shorten(other),
                    PROBABILITIES[0]
                )));
            }
        };
        let span = match value {
            Some(Value::Scores(model)) => {
                let placeholder = Found::Written(Span { start: 0, length: 0 });
                match std::mem::replace(&mut self.models[model], placeholder) {
                    Found::Pending { scorer, transform, from, .. } => {
                        return Ok(End::Score { scorer, transform, from });
                    }
                    Found::Written(span) => span,
                }
            }
            Some(Value::Cells(span)) => span,
            Some(Value::Constant(_) | Value::Label) | None => Span { start: 0, length: 0 },
        };
        match span.length {
            1 | 2 => Ok(End::Cell(span.start + span.length - 1)),
            length => Err(LoadError::Graph(format!(
                "the output {:?} has {length} columns, expected 1, or 2 with the probability of class 1 in the second",
                shorten(name)
            ))),
        }
    }
}

fn too_many_cells() -> LoadError {
    LoadError::Graph(format!("the graph calculates more than {CELLS_MAX} values for each row"))
}

/// An input of the graph.
struct Input {
    name: String,
    width: usize,
    is_whole: bool,
}

/// Returns the inputs of the graph. Old files list their constants among them.
fn inputs(graph: &GraphProto, constants: &[TensorProto]) -> Result<Vec<Input>, LoadError> {
    let names: BTreeSet<&str> = constants.iter().map(|constant| constant.name.as_str()).collect();
    let listed = decode_list::<ValueInfoProto>("inputs", &graph.input, INPUTS_MAX + CONSTANTS_MAX)?;
    let inputs = listed.iter().filter(|input| !names.contains(input.name.as_str()));
    let inputs: Vec<Input> = inputs.map(Input::read).collect::<Result<_, _>>()?;
    if inputs.is_empty() {
        return Err(LoadError::Graph("the graph has no inputs".into()));
    }
    Ok(inputs)
}

impl Input {
    fn read(input: &ValueInfoProto) -> Result<Self, LoadError> {
        let refuse = |problem: String| Err(LoadError::Graph(format!("input {:?} {problem}", shorten(&input.name))));
        let Some(tensor) = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref()) else {
            return refuse("is not a tensor".into());
        };
        if tensor.elem_type != FLOAT && tensor.elem_type != INT64 {
            let found = type_name(tensor.elem_type.into());
            return refuse(format!("has element type {found}, but only float and int64 are supported"));
        }
        let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
        let [_, columns] = dimensions else {
            return refuse(format!("has {} dimensions, expected 2: rows and columns", dimensions.len()));
        };
        match usize::try_from(columns.dim_value) {
            Ok(0) => refuse(format!("has a number of columns that the file does not fix, expected 1..={INPUTS_MAX}")),
            Ok(width) if width <= INPUTS_MAX => {
                Ok(Self { name: input.name.clone(), width, is_whole: tensor.elem_type == INT64 })
            }
            _ => refuse(format!("has {} columns, expected 1..={INPUTS_MAX}", columns.dim_value)),
        }
    }
}

/// The names of the columns, if the file has them: in its metadata, or as the names of inputs with one column each. Other
/// programs may use the same key in another format, so metadata that does not name every column names none.
fn columns(file: &ModelProto, inputs: &[Input], width: usize) -> Option<Vec<String>> {
    let metadata = file.metadata_props.iter().take(ITEMS_MAX);
    let mut entries = metadata.filter_map(|entry| StringStringEntryProto::decode(entry.as_slice()).ok());
    if let Some(entry) = entries.find(|entry| entry.key == FEATURE_NAMES) {
        let names: Vec<String> = entry.value.lines().map(str::to_owned).collect();
        if names.len() == width {
            return Some(names);
        }
    }
    let is_named = inputs.len() > 1 && inputs.iter().all(|input| input.width == 1);
    is_named.then(|| inputs.iter().map(|input| input.name.clone()).collect())
}

/// ONNX's name of an element type.
pub(super) fn type_name(number: i64) -> String {
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
    let sets = decode_list::<OperatorSetIdProto>("operator sets", &file.opset_import, ITEMS_MAX)?;
    if sets.is_empty() {
        return Err(LoadError::Graph("the file names no operator sets".into()));
    }
    let mut versions = sets.iter().filter(|set| set.domain == ML_DOMAIN).map(|set| set.version);
    match versions.find(|version| !ML_VERSIONS.contains(version)) {
        Some(version) => Err(LoadError::Graph(format!(
            "the file uses {ML_DOMAIN} version {version}, but only {ML_VERSIONS:?} are supported"
        ))),
        None => Ok(()),
    }
}
