//! The calculation of a graph for one row, as a list of steps over numbered cells.
//!
//! The first cells are the row. Each step reads cells with smaller numbers than those that it writes, and every number
//! has been checked, so a program can neither fail nor allocate. Its cells are on the stack.

use super::linear::Linear;
use super::maths;
use super::scaler::Scaler;
use super::transform::{Transform, logistic};
use super::trees::Trees;

/// Most cells of a program: 64 KiB of single-precision numbers.
pub(super) const CELLS_MAX: usize = 1 << 14;
/// Most coefficients of all matrices of a program, which bounds the time of their products.
pub(super) const COEFFICIENTS_MAX: usize = 1 << 18;

/// Neighbouring cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
}

impl Span {
    fn of(self, cells: &[f32]) -> &[f32] {
        &cells[self.start..self.start + self.length]
    }
}

/// What a calculation reads: cells, or the same numbers for every row.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Cells(Span),
    Constants(Box<[f32]>),
}

impl Operand {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Cells(span) => span.length,
            Self::Constants(values) => values.len(),
        }
    }

    fn of<'a>(&'a self, cells: &'a [f32]) -> &'a [f32] {
        match self {
            Self::Cells(span) => span.of(cells),
            Self::Constants(values) => values,
        }
    }
}

/// One step. It writes the cells after all those that earlier steps have written.
#[derive(Debug)]
pub(super) struct Step {
    pub how: How,
    /// Where it writes.
    pub to: Span,
}

#[derive(Debug)]
pub(super) enum How {
    /// Copies cells one by one.
    Pick(Box<[usize]>),
    Each(Each, Span),
    /// Combines two operands element by element. One with a single element stands for as many as the other has.
    Two(Two, Operand, Operand),
    /// The second operand where the first is not 0, otherwise the third.
    Choose(Operand, Operand, Operand),
    /// The product of a row with a matrix, one row of coefficients for each of its columns, plus an offset.
    Matrix {
        coefficients: Box<[f32]>,
        offsets: Box<[f32]>,
        from: Span,
    },
    Scale(Scaler, Span),
    /// Replaces one number by another, which depends on the column.
    Impute {
        replaced: f32,
        by: Box<[f32]>,
        from: Span,
    },
    /// The value next to the key that equals each cell. Keys are sorted.
    Look {
        keys: Box<[f32]>,
        values: Box<[f32]>,
        default: f32,
        from: Span,
    },
    /// The constant whose position a cell tells.
    Select {
        values: Box<[f32]>,
        from: Span,
    },
    /// For each cell, 1 at the category that it equals and 0 at others. Without a match it is all 0, or all NaN.
    OneHot {
        categories: Box<[f32]>,
        otherwise: f32,
        from: Span,
    },
    /// The position of the largest or the smallest cell.
    Extreme {
        is_largest: bool,
        from: Span,
    },
    Fold(Fold, Span),
    Softmax(Span),
    Normalise(Norm, Span),
    /// The score of a model.
    Score {
        scorer: Scorer,
        transform: Transform,
        from: Span,
    },
    /// The scores of both classes. Without a model of its own, that of class 0 follows from that of class 1.
    Classes {
        scorer: Scorer,
        zero: Zero,
        transform: Transform,
        from: Span,
    },
}

/// A calculation on each cell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Each {
    Abs,
    Ceil,
    Clip { least: f32, greatest: f32 },
    Exp,
    Floor,
    IsAbove(f32),
    IsNan,
    IsNonZero,
    Leaky(f32),
    Ln,
    Negative,
    Not,
    Reciprocal,
    Relu,
    Sigmoid,
    Sign,
    Softplus,
    SquareRoot,
    Tanh,
    Truncate,
}

/// A calculation on two numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Two {
    Add,
    And,
    Divide,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Max,
    Min,
    Multiply,
    Or,
    Power,
    Subtract,
}

/// One number from all cells.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fold {
    Max,
    Mean,
    Min,
    Product,
    Sum,
}

/// What cells are divided by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Norm {
    Max,
    L1,
    L2,
}

/// The score of class 0 of a classifier, before the transform.
#[derive(Debug)]
pub(super) enum Zero {
    /// It has coefficients of its own.
    Linear(Linear),
    /// 1 less the probability of class 1.
    Rest,
    /// The negative of the score of class 1.
    Negative,
    /// The file does not determine it.
    Unknown,
}

#[derive(Debug)]
pub(super) enum Scorer {
    Trees(Box<Trees>),
    Linear(Linear),
}

impl Scorer {
    /// How many numbers a row reads, at most: coefficients, or nodes of trees.
    pub(super) fn reads(&self) -> usize {
        match self {
            Self::Trees(trees) => trees.node_count(),
            Self::Linear(linear) => linear.coefficient_count(),
        }
    }

    pub(super) fn score(&self, row: &[f32]) -> f32 {
        match self {
            Self::Trees(trees) => trees.score(row),
            Self::Linear(linear) => linear.score(row),
        }
    }
}

/// Where the answer is when all steps are done.
#[derive(Debug)]
pub(super) enum End {
    /// A model answers.
    Score { scorer: Scorer, transform: Transform, from: Span },
    /// A cell has the probability.
    Cell(usize),
}

#[derive(Debug)]
pub(super) struct Program {
    pub steps: Vec<Step>,
    /// Number of cells, those of the row included.
    pub cells: usize,
    pub end: End,
    /// The column of the row from which alone each cell follows. `None` if it is several or none.
    pub origins: Vec<Option<usize>>,
}

impl Program {
    /// The probability, or what is none.
    pub(super) fn answer(&self, row: &[f32]) -> f64 {
        match &self.end {
            End::Score { scorer, transform, .. } if self.steps.is_empty() && self.cells == row.len() => {
                transform.apply(scorer.score(row))
            }
            End::Score { scorer, transform, from } => {
                self.run(row, |cells| transform.apply(scorer.score(from.of(cells))))
            }
            End::Cell(cell) => self.run(row, |cells| f64::from(cells[*cell])),
        }
    }

    /// Runs all steps. `then` gets all cells.
    pub(super) fn run<T>(&self, row: &[f32], then: impl FnOnce(&[f32]) -> T) -> T {
        // Small programs need not clear as much of the stack.
        match self.cells {
            0..=256 => self.run_in::<256, T>(row, then),
            257..=2048 => self.run_in::<2048, T>(row, then),
            _ => self.run_in::<CELLS_MAX, T>(row, then),
        }
    }

    /// Not inlined, so that only a program with many cells has a large frame on the stack.
    #[inline(never)]
    fn run_in<const CELLS: usize, T>(&self, row: &[f32], then: impl FnOnce(&[f32]) -> T) -> T {
        let mut cells = [0.0; CELLS];
        cells[..row.len()].copy_from_slice(row);
        for Step { how, to } in &self.steps {
            let (before, out) = cells.split_at_mut(to.start);
            how.run(before, &mut out[..to.length]);
        }
        then(&cells[..self.cells])
    }
}

impl How {
    #[expect(clippy::cast_precision_loss, reason = "positions are below 2^24")]
    fn run(&self, cells: &[f32], out: &mut [f32]) {
        match self {
            Self::Pick(picked) => out.iter_mut().zip(picked).for_each(|(out, cell)| *out = cells[*cell]),
            Self::Each(each, from) => {
                out.iter_mut().zip(from.of(cells)).for_each(|(out, value)| *out = each.of(*value));
            }
            Self::Two(two, left, right) => {
                let (left, right) = (left.of(cells), right.of(cells));
                for (at, out) in out.iter_mut().enumerate() {
                    *out = two.of(at_or_only(left, at), at_or_only(right, at));
                }
            }
            Self::Choose(condition, yes, no) => {
                let [condition, yes, no] = [condition, yes, no].map(|operand| operand.of(cells));
                for (at, out) in out.iter_mut().enumerate() {
                    *out = at_or_only(if at_or_only(condition, at) == 0.0 { no } else { yes }, at);
                }
            }
            Self::Matrix { coefficients, offsets, from } => {
                for (at, out) in out.iter_mut().enumerate() {
                    let columns = coefficients.iter().skip(at).step_by(offsets.len());
                    let sum = from
                        .of(cells)
                        .iter()
                        .zip(columns)
                        .fold(0.0, |sum, (value, coefficient)| sum + f64::from(*value) * f64::from(*coefficient));
                    *out = nearest(sum + f64::from(offsets[at]));
                }
            }
            Self::Scale(scaler, from) => {
                for (at, (out, value)) in out.iter_mut().zip(from.of(cells)).enumerate() {
                    *out = scaler.scale(at, *value);
                }
            }
            Self::Impute { replaced, by, from } => {
                for (at, (out, value)) in out.iter_mut().zip(from.of(cells)).enumerate() {
                    *out = if same(*value, *replaced) { at_or_only(by, at) } else { *value };
                }
            }
            Self::Look { keys, values, default, from } => {
                for (out, value) in out.iter_mut().zip(from.of(cells)) {
                    let found = keys.partition_point(|key| order(*key, *value).is_lt());
                    let is_key = keys.get(found).is_some_and(|key| same(*key, *value));
                    *out = if is_key { values[found] } else { *default };
                }
            }
            Self::Select { values, from } => {
                for (out, at) in out.iter_mut().zip(from.of(cells)) {
                    *out = position(*at, values.len()).map_or(f32::NAN, |at| values[at]);
                }
            }
            Self::OneHot { categories, otherwise, from } => {
                for (out, value) in out.chunks_mut(categories.len()).zip(from.of(cells)) {
                    let found = categories.iter().position(|category| same(*category, *value));
                    out.fill(if found.is_some() { 0.0 } else { *otherwise });
                    out.iter_mut().skip(found.unwrap_or(usize::MAX)).take(1).for_each(|out| *out = 1.0);
                }
            }
            Self::Extreme { is_largest, from } => {
                let mut best = (0, f32::NAN);
                for (at, value) in from.of(cells).iter().enumerate() {
                    let is_better = if *is_largest { *value > best.1 } else { *value < best.1 };
                    if at == 0 || is_better {
                        best = (at, *value);
                    }
                }
                out[0] = best.0 as f32;
            }
            Self::Fold(fold, from) => out[0] = fold.of(from.of(cells)),
            Self::Softmax(from) => {
                let from = from.of(cells);
                let greatest = from.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weight = |value: f32| maths::exp(f64::from(value) - f64::from(greatest));
                let sum = from.iter().fold(0.0, |sum, value| sum + weight(*value));
                out.iter_mut().zip(from).for_each(|(out, value)| *out = nearest(weight(*value) / sum));
            }
            Self::Normalise(norm, from) => {
                let from = from.of(cells);
                let divisor = norm.of(from);
                for (out, value) in out.iter_mut().zip(from) {
                    *out = if divisor == 0.0 { *value } else { nearest(f64::from(*value) / divisor) };
                }
            }
            Self::Score { scorer, transform, from } => out[0] = nearest(transform.apply(scorer.score(from.of(cells)))),
            Self::Classes { scorer, zero, transform, from } => {
                let score = scorer.score(from.of(cells));
                let one = nearest(transform.apply(score));
                out[0] = match (zero, transform) {
                    (Zero::Linear(zero), Transform::None | Transform::Logistic) => {
                        nearest(transform.apply(zero.score(from.of(cells))))
                    }
                    (_, Transform::Logistic | Transform::Softmax) | (Zero::Rest, Transform::None) => 1.0 - one,
                    (Zero::Negative, Transform::None) => -one,
                    (Zero::Unknown, Transform::None) => f32::NAN,
                };
                out[1] = one;
            }
        }
    }

    /// How many numbers a row reads for an answer of this length, at most.
    pub(super) fn reads(&self, length: usize) -> usize {
        match self {
            Self::Each(_, from) | Self::Scale(_, from) | Self::Select { from, .. } => from.length,
            Self::Extreme { from, .. } | Self::Fold(_, from) | Self::Softmax(from) | Self::Normalise(_, from) => {
                from.length
            }
            Self::Impute { by, .. } => by.len(),
            // A search among the keys for each cell.
            Self::Look { keys, from, .. } => keys.len().max(2).ilog2() as usize * from.length,
            Self::Matrix { coefficients, .. } => coefficients.len(),
            Self::Pick(_) | Self::Two(..) | Self::Choose(..) | Self::OneHot { .. } => length,
            // Scorers are counted when they are found, because one that gives the answer is in no step.
            Self::Score { .. } | Self::Classes { .. } => 0,
        }
    }

    /// The cells that each cell of the answer follows from, if it is a calculation column by column.
    pub(super) fn origins(&self, origins: &[Option<usize>], to: Span) -> Vec<Option<usize>> {
        let of_span = |span: &Span| origins[span.start..span.start + span.length].to_vec();
        let of_operand = |operand: &Operand| match operand {
            Operand::Cells(span) => Some(of_span(span)),
            Operand::Constants(_) => None,
        };
        let widen = |list: Vec<Option<usize>>| match list.as_slice() {
            [only] => vec![*only; to.length],
            _ => list,
        };
        match self {
            Self::Pick(picked) => picked.iter().map(|cell| origins[*cell]).collect(),
            Self::Each(_, from)
            | Self::Scale(_, from)
            | Self::Impute { from, .. }
            | Self::Look { from, .. }
            | Self::Select { from, .. } => of_span(from),
            Self::Two(_, left, right) => match (of_operand(left), of_operand(right)) {
                (Some(left), Some(right)) => {
                    let both = widen(left).into_iter().zip(widen(right));
                    both.map(|(left, right)| left.filter(|left| Some(*left) == right)).collect()
                }
                (Some(only), None) | (None, Some(only)) => widen(only),
                (None, None) => vec![None; to.length],
            },
            Self::OneHot { categories, from, .. } => {
                of_span(from).into_iter().flat_map(|origin| vec![origin; categories.len()]).collect()
            }
            Self::Choose(..)
            | Self::Matrix { .. }
            | Self::Extreme { .. }
            | Self::Fold(..)
            | Self::Softmax(_)
            | Self::Normalise(..)
            | Self::Score { .. }
            | Self::Classes { .. } => vec![None; to.length],
        }
    }
}

impl Each {
    fn of(self, x: f32) -> f32 {
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            Self::Abs => x.abs(),
            Self::Ceil => x.ceil(),
            // Unlike `clamp`, this neither panics nor forgets NaN.
            Self::Clip { least, greatest } => {
                if x < least {
                    least
                } else if x > greatest {
                    greatest
                } else {
                    x
                }
            }
            Self::Exp => nearest(maths::exp(f64::from(x))),
            Self::Floor => x.floor(),
            Self::IsAbove(threshold) => truth(x > threshold),
            Self::IsNan => truth(x.is_nan()),
            Self::IsNonZero => truth(x != 0.0),
            Self::Leaky(slope) => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Self::Ln => nearest(maths::ln(f64::from(x))),
            Self::Negative => -x,
            Self::Not => truth(x == 0.0),
            Self::Reciprocal => 1.0 / x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Sigmoid => logistic(x),
            Self::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Self::Softplus => {
                let x = f64::from(x);
                nearest(x.max(0.0) + maths::ln(1.0 + maths::exp(-x.abs())))
            }
            Self::SquareRoot => x.sqrt(),
            Self::Tanh => nearest(maths::tanh(f64::from(x))),
            Self::Truncate => x.trunc(),
        }
    }
}

impl Two {
    #[expect(clippy::float_cmp, reason = "the operators are defined by exact comparison")]
    fn of(self, left: f32, right: f32) -> f32 {
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            Self::Add => left + right,
            Self::And => truth(left != 0.0 && right != 0.0),
            Self::Divide => left / right,
            Self::Equal => truth(left == right),
            Self::Greater => truth(left > right),
            Self::GreaterOrEqual => truth(left >= right),
            Self::Less => truth(left < right),
            Self::LessOrEqual => truth(left <= right),
            Self::Max => {
                if left > right || left.is_nan() {
                    left
                } else {
                    right
                }
            }
            Self::Min => {
                if left < right || left.is_nan() {
                    left
                } else {
                    right
                }
            }
            Self::Multiply => left * right,
            Self::Or => truth(left != 0.0 || right != 0.0),
            Self::Power => nearest(maths::pow(f64::from(left), f64::from(right))),
            Self::Subtract => left - right,
        }
    }
}

impl Fold {
    #[expect(clippy::cast_precision_loss, reason = "a row has few cells")]
    fn of(self, values: &[f32]) -> f32 {
        let sum = || values.iter().fold(0.0, |sum, value| sum + f64::from(*value));
        match self {
            Self::Max => values.iter().copied().reduce(|a, b| Two::Max.of(a, b)).unwrap_or(f32::NAN),
            Self::Mean => nearest(sum() / values.len() as f64),
            Self::Min => values.iter().copied().reduce(|a, b| Two::Min.of(a, b)).unwrap_or(f32::NAN),
            Self::Product => nearest(values.iter().fold(1.0, |product, value| product * f64::from(*value))),
            Self::Sum => nearest(sum()),
        }
    }
}

impl Norm {
    fn of(self, values: &[f32]) -> f64 {
        let values = values.iter().map(|value| f64::from(*value));
        match self {
            Self::Max => values.fold(f64::NEG_INFINITY, f64::max),
            Self::L1 => values.fold(0.0, |sum, value| sum + value.abs()),
            Self::L2 => values.fold(0.0, |sum, value| sum + value * value).sqrt(),
        }
    }
}

fn at_or_only(values: &[f32], at: usize) -> f32 {
    match values {
        [only] => *only,
        values => values[at],
    }
}

/// Whether two numbers are equal, or both missing.
#[expect(clippy::float_cmp, reason = "keys and categories are compared exactly")]
pub(super) fn same(left: f32, right: f32) -> bool {
    left == right || left.is_nan() && right.is_nan()
}

/// The order of keys, in which both zeros are equal and NaN is last.
pub(super) fn order(left: f32, right: f32) -> std::cmp::Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

/// A position below `count`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
#[expect(clippy::cast_precision_loss, reason = "a table has few values")]
fn position(at: f32, count: usize) -> Option<usize> {
    (at >= 0.0 && at < count as f32 && at.fract() == 0.0).then_some(at as usize)
}

#[expect(clippy::cast_possible_truncation, reason = "cells have single precision")]
fn nearest(value: f64) -> f32 {
    value as f32
}
