//! Why a model file is refused.

/// Why a model file cannot be used. Nothing of the file is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than a model may be.
    #[error("the model has {bytes} bytes, but the limit is {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// The bytes are not an ONNX file.
    #[error("not an ONNX file: {0}")]
    NotOnnx(#[from] prost::DecodeError),
    /// The graph as a whole is not supported. The text says what it has and what is supported.
    #[error("{0}")]
    Graph(String),
    /// A node has an operator that is not supported.
    #[error("node {node}: operator {operator} is not supported; {}", super::SUPPORTED)]
    Operator {
        /// The node's name in the file, or its position.
        node: String,
        /// The operator with its domain.
        operator: String,
    },
    /// A node of a supported operator has something that is not supported, or is broken.
    #[error("node {node} ({operator}): {problem}")]
    Node {
        /// The node's name in the file, or its position.
        node: String,
        operator: String,
        /// What the node has and what is supported.
        problem: String,
    },
}
