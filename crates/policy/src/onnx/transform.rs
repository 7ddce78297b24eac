//! Turns a score into a probability, with the same bits on every machine.

use super::maths;

/// What a model does with its score (ONNX's `post_transform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// The score is the probability.
    None,
    /// The score is the log odds of class 1.
    Logistic,
    /// The score is the log weight of class 1 less that of class 0.
    Softmax,
}

impl Transform {
    /// The words in a file.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("NONE", Self::None), ("LOGISTIC", Self::Logistic), ("SOFTMAX", Self::Softmax)];

    pub(super) fn apply(self, score: f32) -> f64 {
        match self {
            Self::None => f64::from(score),
            Self::Logistic => f64::from(logistic(score)),
            Self::Softmax => softmax(score),
        }
    }
}

/// 1 / (1 + e^-x), in single precision and in the form in which ONNX's reference runtime computes it. Below one half
/// its results carry the rounding of `1 - v` (6e-8), which a better formula would not reproduce.
pub(super) fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + exp_single(-x.abs()));
    if x < 0.0 { 1.0 - v } else { v }
}

/// The share of class 1 if its log weight is above that of class 0 by `x`.
fn softmax(x: f32) -> f64 {
    let e = maths::exp(-f64::from(x.abs()));
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is intended")]
fn exp_single(x: f32) -> f32 {
    maths::exp(f64::from(x)) as f32
}
