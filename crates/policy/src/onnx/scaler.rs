//! `Scaler`: shifts and scales each column before a model reads it.

use super::LoadError;
use super::operator::Operator;

#[derive(Debug)]
pub(super) struct Scaler {
    /// Offset and scale of each column.
    columns: Vec<(f32, f32)>,
}

impl Scaler {
    pub(super) fn new(operator: &mut Operator, inputs: usize) -> Result<Self, LoadError> {
        let mut list = |name: &str| {
            let values = operator.floats(name)?;
            match values.as_slice() {
                [value] => Ok(vec![*value; inputs]),
                values if values.len() == inputs => Ok(values.to_vec()),
                values => {
                    Err(operator.error(format!("it has {} values of {name}, expected 1 or {inputs}", values.len())))
                }
            }
        };
        let (offsets, scales) = (list("offset")?, list("scale")?);
        Ok(Self { columns: offsets.into_iter().zip(scales).collect() })
    }

    /// The scaled value of a column. NaN stays NaN.
    pub(super) fn scale(&self, column: usize, value: f32) -> f32 {
        let (offset, scale) = self.columns[column];
        (value - offset) * scale
    }
}
