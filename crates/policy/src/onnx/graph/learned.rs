//! The operators of `ai.onnx.ml`: models, and preparations of columns that were fitted to training data.

use super::super::program::{How, Norm, Scorer, Span, order};
use super::super::scaler::Scaler;
use super::super::{LoadError, classes};
use super::{Linear, Loading, Operator, Trees, Value};

impl Loading {
    /// Operators of the machine-learning set, all of which have one input.
    pub(super) fn ml(&mut self, operator: &mut Operator, kind: &str, value: Value) -> Result<Vec<Value>, LoadError> {
        if kind == "ZipMap" {
            if !matches!(value, Value::Scores(_) | Value::Cells(Span { length: 2, .. })) {
                return Err(operator.error("it names something other than the model's scores"));
            }
            classes::check(operator, "classlabels_int64s")?;
            return Ok(vec![value]);
        }
        let from = self.cells(operator, &value)?;
        let inputs = from.length;
        let span = match kind {
            "Scaler" => {
                let scaler = Scaler::new(operator, inputs)?;
                self.push(How::Scale(scaler, from), inputs)?
            }
            "Imputer" => {
                let how = imputer(operator, from)?;
                self.push(how, inputs)?
            }
            "Normalizer" => {
                let norm = operator.word("norm", &[("MAX", Norm::Max), ("L1", Norm::L1), ("L2", Norm::L2)])?;
                self.push(How::Normalise(norm, from), inputs)?
            }
            "OneHotEncoder" => {
                let how = one_hot(operator, from)?;
                let How::OneHot { categories, .. } = &how else { return Err(operator.error("it has no categories")) };
                let length = categories.len() * inputs;
                self.push(how, length)?
            }
            "LabelEncoder" => {
                let how = look(operator, from)?;
                self.push(how, inputs)?
            }
            "TreeEnsembleClassifier" => {
                let (trees, transform, zero) = Trees::classifier(operator, inputs)?;
                return Ok(vec![
                    Value::Label,
                    self.found(Scorer::Trees(Box::new(trees)), transform, Some(zero), from)?,
                ]);
            }
            "TreeEnsembleRegressor" => {
                let (trees, transform) = Trees::regressor(operator, inputs)?;
                return Ok(vec![self.found(Scorer::Trees(Box::new(trees)), transform, None, from)?]);
            }
            "TreeEnsemble" => {
                let (mut targets, transform) = Trees::ensemble(operator, inputs)?;
                if targets.len() == 1 {
                    let only = targets.remove(0);
                    return Ok(vec![self.found(Scorer::Trees(Box::new(only)), transform, None, from)?]);
                }
                let start = self.origins.len();
                let length = targets.len();
                for trees in targets {
                    let scorer = Scorer::Trees(Box::new(trees));
                    self.count(scorer.reads())?;
                    self.push(How::Score { scorer, transform, from }, 1)?;
                }
                Span { start, length }
            }
            "LinearClassifier" => {
                let (linear, transform, zero) = Linear::classifier(operator, inputs)?;
                return Ok(vec![Value::Label, self.found(Scorer::Linear(linear), transform, Some(zero), from)?]);
            }
            _ => {
                let (linear, transform) = Linear::regressor(operator, inputs)?;
                return Ok(vec![self.found(Scorer::Linear(linear), transform, None, from)?]);
            }
        };
        Ok(vec![Value::Cells(span)])
    }
}

/// A list of numbers that the file has as floats or as whole numbers.
#[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
fn numbers(operator: &mut Operator, floats: &str, ints: &str) -> Result<Vec<f32>, LoadError> {
    let values = operator.any_floats(floats);
    let whole = operator.ints(ints);
    if let Some(value) = whole.iter().find(|value| value.unsigned_abs() > 1 << 24) {
        return Err(operator.error(format!("{ints} has the value {value}, expected at most 2^24")));
    }
    Ok(values.into_iter().chain(whole.into_iter().map(|value| value as f32)).collect())
}

fn imputer(operator: &mut Operator, from: Span) -> Result<How, LoadError> {
    let by = numbers(operator, "imputed_value_floats", "imputed_value_int64s")?;
    let replaced = if operator.has("replaced_value_int64") {
        let replaced = operator.int("replaced_value_int64", 0);
        #[expect(clippy::cast_precision_loss, reason = "a number of a column")]
        let replaced = replaced as f32;
        replaced
    } else {
        operator.float("replaced_value_float", 0.0)
    };
    if by.len() != 1 && by.len() != from.length {
        return Err(operator.error(format!("it has {} values, expected 1 or {}", by.len(), from.length)));
    }
    Ok(How::Impute { replaced, by: by.into(), from })
}

fn one_hot(operator: &mut Operator, from: Span) -> Result<How, LoadError> {
    if !operator.strings("cats_strings").is_empty() {
        return Err(operator.error("its categories are strings, but columns are numbers"));
    }
    let categories = numbers(operator, "cats_floats", "cats_int64s")?;
    if categories.is_empty() {
        return Err(operator.error("it has no categories"));
    }
    let otherwise = if operator.int("zeros", 1) == 0 { f32::NAN } else { 0.0 };
    Ok(How::OneHot { categories: categories.into(), otherwise, from })
}

fn look(operator: &mut Operator, from: Span) -> Result<How, LoadError> {
    for name in ["keys_strings", "values_strings", "classes_strings"] {
        if !operator.strings(name).is_empty() {
            return Err(operator.error(format!("it has {name}, but columns are numbers")));
        }
    }
    operator.ignore("default_string");
    let mut is_whole = operator.has("values_int64s");
    let mut keys = numbers(operator, "keys_floats", "keys_int64s")?;
    let mut values = numbers(operator, "values_floats", "values_int64s")?;
    if let Some(tensor) = operator.tensor("keys_tensor")? {
        keys = tensor.values;
    }
    if let Some(tensor) = operator.tensor("values_tensor")? {
        is_whole |= tensor.is_whole;
        values = tensor.values;
    }
    #[expect(clippy::cast_precision_loss, reason = "a class is a small number")]
    let default =
        if is_whole { operator.int("default_int64", -1) as f32 } else { operator.float("default_float", -0.0) };
    operator.ignore("default_float");
    operator.ignore("default_int64");
    let default = match operator.tensor("default_tensor")?.map(|tensor| tensor.values) {
        None => default,
        Some(values) => match values.as_slice() {
            [only] => *only,
            values => return Err(operator.error(format!("default_tensor has {} values, expected 1", values.len()))),
        },
    };
    if keys.len() != values.len() || keys.is_empty() {
        return Err(operator.error(format!("it has {} keys and {} values", keys.len(), values.len())));
    }
    let mut pairs: Vec<(f32, f32)> = keys.into_iter().zip(values).collect();
    // Of equal keys, the first one counts.
    pairs.sort_by(|(left, _), (right, _)| order(*left, *right));
    pairs.dedup_by(|(later, _), (first, _)| order(*later, *first).is_eq());
    let (keys, values): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    Ok(How::Look { keys: keys.into(), values: values.into(), default, from })
}
