//! `LinearClassifier` and `LinearRegressor`: a weighted sum of the columns.

use super::LoadError;
use super::classes;
use super::operator::Operator;
use super::program::Zero;
use super::transform::Transform;

#[derive(Debug)]
pub(super) struct Linear {
    /// One per column.
    coefficients: Vec<f64>,
    intercept: f64,
}

impl Linear {
    pub(super) fn classifier(operator: &mut Operator, inputs: usize) -> Result<(Self, Transform, Zero), LoadError> {
        classes::check(operator, "classlabels_ints")?;
        // Says only how the training treated more than two classes.
        operator.ignore("multi_class");
        let transform = operator.word("post_transform", &Transform::WORDS)?;
        let coefficients = operator.floats("coefficients")?;
        let intercepts = operator.floats("intercepts")?;
        operator.finish()?;
        let rows = row_count(operator, &coefficients, &intercepts, inputs, &[1, 2])?;
        let row = |at: usize| Self::row(&coefficients, &intercepts, inputs, at);
        match (rows, transform) {
            (1, Transform::Softmax) => Err(operator.error("SOFTMAX needs the coefficients of both classes")),
            (1, Transform::None) => Ok((row(0), transform, Zero::Negative)),
            (1, Transform::Logistic) => Ok((row(0), transform, Zero::Rest)),
            (_, Transform::Softmax) => Ok((row(1).minus(&row(0)), transform, Zero::Rest)),
            (_, Transform::None | Transform::Logistic) => Ok((row(1), transform, Zero::Linear(row(0)))),
        }
    }

    pub(super) fn regressor(operator: &mut Operator, inputs: usize) -> Result<(Self, Transform), LoadError> {
        let targets = operator.int("targets", 1);
        if targets != 1 {
            return Err(operator.error(format!("it has {targets} targets, but only 1 is supported")));
        }
        let transform = operator.word("post_transform", &Transform::WORDS[..2])?;
        let coefficients = operator.floats("coefficients")?;
        let intercepts = operator.floats("intercepts")?;
        operator.finish()?;
        row_count(operator, &coefficients, &intercepts, inputs, &[1])?;
        Ok((Self::row(&coefficients, &intercepts, inputs, 0), transform))
    }

    pub(super) fn coefficient_count(&self) -> usize {
        self.coefficients.len()
    }

    /// Adds up in double precision, with the columns in order, and rounds once at the end.
    #[expect(clippy::cast_possible_truncation, reason = "a score has single precision, as in the file")]
    pub(super) fn score(&self, row: &[f32]) -> f32 {
        let terms = self.coefficients.iter().zip(row);
        (terms.fold(0.0, |sum, (coefficient, value)| sum + coefficient * f64::from(*value)) + self.intercept) as f32
    }

    /// Sets each column's contribution to the score. Returns the score of a row of zeros.
    pub(super) fn explain(&self, row: &[f32], contributions: &mut [f64]) -> f64 {
        for ((contribution, coefficient), value) in contributions.iter_mut().zip(&self.coefficients).zip(row) {
            *contribution = coefficient * f64::from(*value);
        }
        self.intercept
    }

    /// The least and the greatest score over all rows.
    pub(super) fn range(&self) -> [f64; 2] {
        match self.coefficients.iter().all(|coefficient| *coefficient == 0.0) {
            true => [self.intercept; 2],
            false => [f64::NEG_INFINITY, f64::INFINITY],
        }
    }

    fn row(coefficients: &[f32], intercepts: &[f32], inputs: usize, at: usize) -> Self {
        let coefficients = coefficients.chunks(inputs).nth(at).unwrap_or_default();
        Self {
            coefficients: coefficients.iter().copied().map(f64::from).collect(),
            intercept: intercepts.get(at).copied().map_or(0.0, f64::from),
        }
    }

    fn minus(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.coefficients.iter_mut().zip(&other.coefficients) {
            *mine -= theirs;
        }
        self.intercept -= other.intercept;
        self
    }
}

/// Number of rows of coefficients. It must be one of `allowed`. Each row has one coefficient per input, and an
/// intercept if there are any.
fn row_count(
    operator: &Operator,
    coefficients: &[f32],
    intercepts: &[f32],
    inputs: usize,
    allowed: &[usize],
) -> Result<usize, LoadError> {
    let rows = allowed.iter().copied().find(|rows| coefficients.len() == rows * inputs);
    let Some(rows) = rows else {
        let expected: Vec<String> = allowed.iter().map(|rows| (rows * inputs).to_string()).collect();
        let expected = expected.join(" or ");
        return Err(operator.error(format!("it has {} coefficients, expected {expected}", coefficients.len())));
    };
    if !intercepts.is_empty() && intercepts.len() != rows {
        return Err(operator.error(format!("it has {} intercepts, expected {rows}", intercepts.len())));
    }
    Ok(rows)
}
