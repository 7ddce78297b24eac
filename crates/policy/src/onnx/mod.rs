//! ONNX models, evaluated one row at a time, in an evaluator of our own: tree ensembles, linear models, small neural
//! networks, and the preparations of columns and scores that exporters put around them.
//!
//! A file is checked in full when it is loaded. Afterwards every index is in range, every tree ends, and evaluation can
//! neither fail nor allocate. A graph leads from its inputs to one output with the probability, through operators that
//! are listed in `graph/operators.rs`. Nodes that do not lead to that output are ignored. Anything else is refused by
//! name.
//!
//! Numbers are compared in single precision, as the file has them. Leaf values are added in single precision in the
//! order of the file's trees, and then `base_values`, as ONNX's reference runtime (onnxruntime) does for a row of a
//! batch. A Scaler's (value - offset) * scale is computed in single precision too. Products with matrices and sums of
//! columns are added up in double precision and rounded once. Exponentials and logarithms use pinned maths. The same file
//! and row give the same bits on every machine.
//!
//! Where the runtime and the standard differ, this evaluator follows the standard: `base_values[k]` belongs to class
//! `k` (with two base values the runtime answers for the wrong class), the LOGISTIC transform of a regressor is applied
//! (the runtime ignores it), and NaN goes where `nodes_missing_value_tracks_true` says, for BRANCH_NEQ too.

mod classes;
mod contributions;
mod error;
mod graph;
mod linear;
mod maths;
mod message;
mod operator;
mod program;
mod scaler;
mod tensor;
#[cfg(test)]
mod tests;
mod transform;
mod trees;

pub use contributions::{Contributions, Unexplained};
pub use error::LoadError;

use program::{End, Program, Scorer};
use prost::Message;
use transform::Transform;

/// Most bytes of a model file: 16 MiB.
pub const MODEL_BYTES_MAX: usize = 16 << 20;
/// Most columns of a model's input.
pub const INPUTS_MAX: usize = 4096;
/// Most trees of an ensemble.
pub const TREES_MAX: usize = 4096;
/// Most nodes of one tree, leaves included.
pub const TREE_NODES_MAX: usize = 1 << 16;
/// Most branches from a root to a leaf. A split on a set of categories is a chain of as many branches, so deep trees
/// are usual. The size of a file bounds all trees together: at 16 bytes a node, a row passes at most a million branches.
pub const TREE_DEPTH_MAX: usize = 1024;
/// How far a sum of single-precision numbers may lie outside 0..=1 and still count as a probability: a hundred trees
/// that all say 1 may add up to 1.0000002.
const ROUNDING: f64 = 1e-5;

/// What a graph may consist of, as the messages that refuse a model say it.
pub const SUPPORTED: &str = "supported are tree ensembles, linear models and preparations of columns of ai.onnx.ml, and \
     calculations of rows with each other and with constants, such as MatMul, Gemm, Add, Relu and Softmax; write any \
     other preparation of the columns as expressions in the policy's `inputs`";

/// A model that was checked and is ready to run.
#[derive(Debug)]
pub struct Model {
    inputs: usize,
    columns: Option<Vec<String>>,
    program: Program,
}

impl Model {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// If the bytes are not an ONNX file, if the graph is not supported, or if something in it is broken or past a
    /// limit ([`MODEL_BYTES_MAX`], [`INPUTS_MAX`], [`TREES_MAX`], [`TREE_NODES_MAX`], [`TREE_DEPTH_MAX`]).
    pub fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        if bytes.len() > MODEL_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max: MODEL_BYTES_MAX });
        }
        graph::load(&message::ModelProto::decode(bytes)?)
    }

    /// Number of values in a row, in 1..=[`INPUTS_MAX`].
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The names of the columns, in order, if the file has them: `feature_names` in its metadata, one a line, or the names
    /// of its inputs if each has one column.
    pub fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The probability of class 1, in 0..=1. `None` if the model's answer is not a number in that range, give or take
    /// `ROUNDING`. NaN in the row is a missing value.
    ///
    /// # Panics
    /// If the row does not have exactly one value per input.
    pub fn probability(&self, row: &[f32]) -> Option<f64> {
        assert_eq!(row.len(), self.inputs, "MDL-1: a row has one value per input of the model");
        let probability = self.program.answer(row);
        is_probability(probability).then(|| probability.clamp(0.0, 1.0))
    }

    /// Computes how much each column contributed to the score of a row, exactly. The score is the one before the
    /// transform into a probability.
    ///
    /// For trees these are path-dependent Shapley values (TreeSHAP), as XGBoost's `pred_contribs` and LightGBM's
    /// `pred_contrib` give them. For a linear model a column contributes its coefficient times its value after the
    /// scaler. If a column becomes several, as by one-hot encoding, it gets the contributions of all of them. This takes
    /// a hundred times as long as the score, so it does not belong on the engine's thread.
    ///
    /// # Errors
    /// If the model cannot be explained. Which ones can does not depend on the row.
    ///
    /// # Panics
    /// If the row does not have exactly one value per input.
    pub fn contributions(&self, row: &[f32], out: &mut Contributions) -> Result<(), Unexplained> {
        assert_eq!(row.len(), self.inputs, "MDL-1: a row has one value per input of the model");
        if let Some(unexplained) = self.unexplained() {
            return Err(unexplained);
        }
        let End::Score { scorer, from, .. } = &self.program.end else { return Err(Unexplained::NotASum) };
        let cells = from.start..from.start + from.length;
        let read = out.start(self.inputs, from.length);
        self.program.run(row, |values| read.copy_from_slice(&values[cells.clone()]));
        let parts = out.parts();
        *parts.expected = match scorer {
            Scorer::Trees(trees) => trees.explain(parts.row, parts.raw, parts.scratch)?,
            Scorer::Linear(linear) => linear.explain(parts.row, parts.raw),
        };
        let origins = self.program.origins.get(cells).unwrap_or_default();
        for (origin, contribution) in origins.iter().zip(&*parts.raw) {
            if let Some(column) = origin {
                parts.columns[*column] += contribution;
            }
        }
        Ok(())
    }

    /// Why the model has no contributions, if it has none.
    pub fn unexplained(&self) -> Option<Unexplained> {
        let End::Score { scorer, from, .. } = &self.program.end else { return Some(Unexplained::NotASum) };
        let origins = self.program.origins.get(from.start..from.start + from.length).unwrap_or_default();
        if origins.contains(&None) {
            return Some(Unexplained::NotASum);
        }
        match scorer {
            Scorer::Trees(trees) => trees.unexplained(),
            Scorer::Linear(_) => None,
        }
    }

    /// Why the answers are no probabilities, if that is known from the file alone: it names no transform, and the score
    /// can be outside 0..=1.
    pub fn no_probability(&self) -> Option<String> {
        let End::Score { scorer, transform: Transform::None, .. } = &self.program.end else { return None };
        let (found, [least, greatest]) = match scorer {
            Scorer::Trees(trees) => {
                (format!("from {} to {}", shown(trees.range()[0]), shown(trees.range()[1])), trees.range())
            }
            Scorer::Linear(linear) => ("any number".to_owned(), linear.range()),
        };
        let expected = "a probability from 0 to 1 is expected; if the answers are log odds, export it with LOGISTIC";
        let within = is_probability(least) && is_probability(greatest);
        (!within).then(|| format!("the model can answer {found}, but {expected}"))
    }
}

fn is_probability(score: f64) -> bool {
    (-ROUNDING..=1.0 + ROUNDING).contains(&score)
}

/// A score for people, with as many digits as its single precision has.
#[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
fn shown(score: f64) -> f32 {
    score as f32
}

/// Decodes a list of messages after checking its length.
fn decode_list<M: Message + Default>(what: &str, list: &[Vec<u8>], count_max: usize) -> Result<Vec<M>, LoadError> {
    if list.len() > count_max {
        return Err(LoadError::Graph(format!("{} {what}, but the limit is {count_max}", list.len())));
    }
    Ok(list.iter().map(|bytes| M::decode(bytes.as_slice())).collect::<Result<_, _>>()?)
}
