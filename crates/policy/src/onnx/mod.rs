//! ONNX models, one row at a time: tree ensembles and linear models in an evaluator of our own.
//!
//! A file is checked in full when it is loaded: afterwards every index is in range, every tree ends, and evaluation can
//! neither fail nor allocate. What runs: one model operator ([`SUPPORTED`]) between the graph's only input and one of its
//! outputs, with the harmless nodes that exporters put around it. Anything else is refused by name.
//!
//! Numbers: comparisons in single precision as the file has them; leaf values summed in single precision in the file's
//! tree order, then `base_values` added, as ONNX's reference runtime (onnxruntime) does for a row of a batch; pinned
//! maths for the transform. The same file and row give the same bits on every machine.
//!
//! Where the runtime and the standard differ, the standard is followed: `base_values[k]` belongs to class `k` (with two
//! base values the runtime answers for the wrong class), a regressor's LOGISTIC is applied (the runtime ignores it), and
//! NaN goes where `nodes_missing_value_tracks_true` says, for BRANCH_NEQ too.

mod classes;
mod error;
mod graph;
mod linear;
mod message;
mod operator;
#[cfg(test)]
mod tests;
mod transform;
mod trees;

pub use error::LoadError;

use linear::Linear;
use prost::Message;
use transform::Transform;
use trees::Trees;

/// Bytes of a model file, at most.
pub const MODEL_BYTES_MAX: usize = 16 << 20;
/// Columns of a model's input, at most.
pub const INPUTS_MAX: usize = 4096;
/// Trees of an ensemble, at most.
pub const TREES_MAX: usize = 4096;
/// Nodes of one tree, leaves included, at most.
pub const TREE_NODES_MAX: usize = 1 << 16;
/// Branches from a root to a leaf, at most.
pub const TREE_DEPTH_MAX: usize = 128;
/// By how much a sum of single-precision numbers may miss 0..=1 and still be a probability: a hundred trees that all say 1
/// may add up to 1.0000002.
const ROUNDING: f64 = 1e-5;

/// What a graph may consist of, as shown to those whose model is refused.
pub const SUPPORTED: &str = "supported are TreeEnsembleClassifier, TreeEnsembleRegressor, LinearClassifier and \
     LinearRegressor of ai.onnx.ml, with Identity, Cast to float and ZipMap around them";

/// A model that was checked and is ready to run.
#[derive(Debug)]
pub struct Model {
    inputs: usize,
    scorer: Scorer,
    transform: Transform,
}

#[derive(Debug)]
enum Scorer {
    Trees(Trees),
    Linear(Linear),
}

impl Model {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// When the bytes are no ONNX file, when the graph is not one that runs here, and when something in it is broken or
    /// past a limit ([`MODEL_BYTES_MAX`], [`INPUTS_MAX`], [`TREES_MAX`], [`TREE_NODES_MAX`], [`TREE_DEPTH_MAX`]).
    pub fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        if bytes.len() > MODEL_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max: MODEL_BYTES_MAX });
        }
        graph::load(&message::ModelProto::decode(bytes)?)
    }

    /// The columns of a row, in 1..=[`INPUTS_MAX`].
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The probability of class 1, in 0..=1; `None` when the model's answer is not a number in that range, give or take
    /// `ROUNDING`. NaN in the row is a missing value.
    ///
    /// # Panics
    /// When the row has not one value per input.
    pub fn probability(&self, row: &[f32]) -> Option<f64> {
        assert_eq!(row.len(), self.inputs, "MDL-1: a row has one value per input of the model");
        let score = match &self.scorer {
            Scorer::Trees(trees) => trees.score(row),
            Scorer::Linear(linear) => linear.score(row),
        };
        let probability = self.transform.apply(score);
        (-ROUNDING..=1.0 + ROUNDING).contains(&probability).then(|| probability.clamp(0.0, 1.0))
    }
}

/// Decodes a list of messages once its length is known to be bearable.
fn decode_list<M: Message + Default>(what: &str, list: &[Vec<u8>], count_max: usize) -> Result<Vec<M>, LoadError> {
    if list.len() > count_max {
        return Err(LoadError::Graph(format!("{} {what}, the limit is {count_max}", list.len())));
    }
    Ok(list.iter().map(|bytes| M::decode(bytes.as_slice())).collect::<Result<_, _>>()?)
}
