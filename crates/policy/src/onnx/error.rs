//! Why a model file is refused.

/// Why a model file cannot be used. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than a model may be.
    #[error("the model has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
    /// The bytes are not an ONNX file.
    #[error("not an ONNX file: {0}")]
    NotOnnx(#[from] prost::DecodeError),
    /// The graph as a whole is not one that runs here; the text says what it has and what it may have.
    #[error("{0}")]
    Graph(String),
    /// A node is of an operator that does not run here.
    #[error("node {node}: operator {operator} is not supported; {}", super::SUPPORTED)]
    Operator {
        /// The node's name in the file, or its position.
        node: String,
        /// The operator with its domain.
        operator: String,
    },
    /// A node of a supported operator has something that does not run here, or is broken.
    #[error("node {node} ({operator}): {problem}")]
    Node {
        /// The node's name in the file, or its position.
        node: String,
        /// The operator.
        operator: String,
        /// What it has and what it may have.
        problem: String,
    },
}
