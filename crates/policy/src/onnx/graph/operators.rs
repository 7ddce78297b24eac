//! What each supported operator of a graph calculates.

use super::super::LoadError;
use super::super::program::{CELLS_MAX, COEFFICIENTS_MAX, Each, Fold, How, Operand, Span, Two};
use super::{Found, Loading, ML_DOMAIN, NodeProto, Operator, Transform, Value, too_many_cells, type_name};
use crate::onnx::tensor::{BOOL, DOUBLE, FLOAT, Tensor};
use std::rc::Rc;

use types::shorten;

impl Loading {
    /// Returns what a node's outputs carry.
    pub(super) fn node(&mut self, operator: &mut Operator, node: &NodeProto) -> Result<Vec<Value>, LoadError> {
        let domain = if node.domain == "ai.onnx" { "" } else { node.domain.as_str() };
        let kind = node.op_type.as_str();
        if !is_supported(domain, kind) {
            let dot = if node.domain.is_empty() { "" } else { "." };
            let name = shorten(&format!("{}{dot}{kind}", node.domain));
            return Err(LoadError::Operator { node: operator.name.clone(), operator: name });
        }
        let values: Vec<Option<Value>> = node
            .input
            .iter()
            .map(|name| if name.is_empty() { Ok(None) } else { self.value(operator, name).map(Some) })
            .collect::<Result<_, _>>()?;
        if (domain, kind) == ("", "Constant") {
            return constant(operator).map(|tensor| vec![Value::Constant(Rc::new(tensor))]);
        }
        if let (("", "ConstantOfShape"), Some(Some(Value::Constant(shape)))) = ((domain, kind), values.first()) {
            let tensor = constant_of_shape(operator, shape)?;
            self.count(tensor.values.len())?;
            return Ok(vec![Value::Constant(Rc::new(tensor))]);
        }
        let Some(Some(first)) = values.first().cloned() else { return Err(operator.error("it has no inputs")) };
        if let Some(each) = each(domain, kind, operator) {
            self.only(operator, &values)?;
            return self.each(operator, each, &first).map(|value| vec![value]);
        }
        if let Some(two) = two(kind).filter(|_| domain.is_empty()) {
            return self.two(operator, two, kind, &values).map(|value| vec![value]);
        }
        let value = match (domain, kind) {
            ("", "Identity" | "Dropout") => first,
            ("", "Cast") => self.cast(operator, first)?,
            ("", "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze") => self.reshape(operator, kind, first, &values)?,
            ("", "Shape") => {
                let length = self.cells(operator, &first)?.length;
                #[expect(clippy::cast_precision_loss, reason = "a row has few numbers")]
                let values = vec![1.0, length as f32];
                Value::Constant(Rc::new(Tensor { dims: vec![2], values, is_whole: true }))
            }
            ("", "Clip") => self.clip(operator, &first, &values)?,
            ("", "Where") => self.choose(operator, &values)?,
            ("", "Concat") => {
                check_axis(operator, 1)?;
                self.concat(operator, &values)?
            }
            (ML_DOMAIN, "FeatureVectorizer") => {
                operator.ignore("inputdimensions");
                self.concat(operator, &values)?
            }
            ("", "Gather") | (ML_DOMAIN, "ArrayFeatureExtractor") => self.pick(operator, kind, &first, &values)?,
            ("", "MatMul" | "Gemm") => self.matrix(operator, kind, &first, &values)?,
            ("", "ArgMax" | "ArgMin") => {
                check_axis(operator, 0)?;
                operator.ignore("keepdims");
                if operator.int("select_last_index", 0) != 0 {
                    return Err(operator.error("select_last_index is not supported"));
                }
                let from = self.cells(operator, &first)?;
                Value::Cells(self.push(How::Extreme { is_largest: kind == "ArgMax", from }, 1)?)
            }
            ("", "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd") => {
                self.fold(operator, kind, &first, &values)?
            }
            ("", "Softmax") => {
                check_axis(operator, -1)?;
                let from = self.cells(operator, &first)?;
                Value::Cells(self.push(How::Softmax(from), from.length)?)
            }
            (_, kind) => {
                self.only(operator, &values)?;
                return self.ml(operator, kind, first);
            }
        };
        Ok(vec![value; node.output.len().max(1)])
    }

    fn only(&self, operator: &Operator, values: &[Option<Value>]) -> Result<(), LoadError> {
        match values.len() {
            1 => Ok(()),
            count => Err(operator.error(format!("it has {count} inputs, but only 1 is supported"))),
        }
    }

    fn each(&mut self, operator: &Operator, each: Each, value: &Value) -> Result<Value, LoadError> {
        // A sum with a sigmoid after it is a model with a transform, unless something else reads the sum.
        if let (Each::Sigmoid, Value::Scores(model)) = (each, value)
            && !self.shared.contains(model)
            && let Some(Found::Pending { transform: transform @ Transform::None, zero: None, .. }) =
                self.models.get_mut(*model)
        {
            *transform = Transform::Logistic;
            return Ok(value.clone());
        }
        let from = self.cells(operator, value)?;
        Ok(Value::Cells(self.push(How::Each(each, from), from.length)?))
    }

    /// Combines two values, or any number of them from left to right.
    fn two(
        &mut self,
        operator: &mut Operator,
        two: Two,
        kind: &str,
        values: &[Option<Value>],
    ) -> Result<Value, LoadError> {
        // Of old versions of the operators. Without it, a row is combined with a row.
        operator.ignore("axis");
        operator.ignore("broadcast");
        let is_one = |value: &Option<Value>| matches!(value, Some(Value::Constant(tensor)) if tensor.values == [1.0]);
        if let ("Mul", [left, right]) = (kind, values) {
            let same = match (is_one(left), is_one(right)) {
                (true, false) => right,
                (false, true) => left,
                (true, true) | (false, false) => &None,
            };
            if let Some(same) = same {
                return Ok(same.clone());
            }
        }
        if values.iter().all(|value| matches!(value, Some(Value::Constant(_)))) {
            return Err(operator.error("it reads only constants, expected a value of the row among them"));
        }
        let mut operands = Vec::with_capacity(values.len());
        for value in values {
            let Some(value) = value else { return Err(operator.error("an input is left out")) };
            operands.push(self.operand(operator, value)?);
        }
        let is_variadic = matches!(kind, "Sum" | "Max" | "Min" | "Mean");
        if operands.len() != 2 && !is_variadic {
            return Err(operator.error(format!("it has {} inputs, expected 2", operands.len())));
        }
        let count = operands.len();
        let mut operands = operands.into_iter();
        let Some(mut sum) = operands.next() else { return Err(operator.error("it has no inputs")) };
        for operand in operands {
            let length = common_length(operator, &[&sum, &operand])?;
            sum = Operand::Cells(self.push(How::Two(two, sum, operand), length)?);
        }
        if kind == "Mean" {
            let length = sum.length();
            #[expect(clippy::cast_precision_loss, reason = "a node has few inputs")]
            let divisor = Operand::Constants(Box::new([count as f32]));
            sum = Operand::Cells(self.push(How::Two(Two::Divide, sum, divisor), length)?);
        }
        match sum {
            Operand::Cells(span) => Ok(Value::Cells(span)),
            Operand::Constants(_) => Err(operator.error("it reads only constants")),
        }
    }

    fn cast(&mut self, operator: &mut Operator, value: Value) -> Result<Value, LoadError> {
        // Matters only for casts to eight bits.
        operator.ignore("saturate");
        let to = i32::try_from(operator.int("to", 0)).unwrap_or_default();
        if matches!(value, Value::Label) {
            return Ok(value);
        }
        let each = match to {
            // Numbers have single precision everywhere.
            FLOAT | DOUBLE => return Ok(value),
            BOOL => Each::IsNonZero,
            3 | 5..=7 => Each::Truncate,
            other => {
                let found = type_name(other.into());
                return Err(operator
                    .error(format!("it casts to {found}, but only float, double, int64 and bool are supported")));
            }
        };
        if let Value::Constant(tensor) = &value {
            let cast = |value: &f32| if let Each::IsNonZero = each { f32::from(*value != 0.0) } else { value.trunc() };
            let values = tensor.values.iter().map(cast).collect();
            self.count(tensor.values.len())?;
            return Ok(Value::Constant(Rc::new(Tensor { dims: tensor.dims.clone(), values, is_whole: true })));
        }
        self.each(operator, each, &value)
    }

    /// A row keeps its numbers whatever their shape.
    fn reshape(
        &mut self,
        operator: &mut Operator,
        kind: &str,
        value: Value,
        values: &[Option<Value>],
    ) -> Result<Value, LoadError> {
        for name in ["allowzero", "axes", "axis"] {
            operator.ignore(name);
        }
        let length = match &value {
            Value::Cells(span) => span.length,
            Value::Scores(_) => self.cells(operator, &value)?.length,
            Value::Constant(_) | Value::Label => return Ok(value),
        };
        if kind != "Reshape" {
            return Ok(value);
        }
        let Some(Some(Value::Constant(shape))) = values.get(1) else {
            return Err(operator.error("its shape is not a constant"));
        };
        // The first dimension counts the rows. The others must hold one row.
        let rest = shape.values.get(1..).unwrap_or_default();
        let holds: f32 = rest.iter().product();
        #[expect(clippy::cast_precision_loss, reason = "a row has few numbers")]
        let holds_row = |holds: f32| (holds - length as f32).abs() < 0.5;
        let fits = rest.iter().any(|length| *length <= 0.0) || holds_row(holds);
        if fits || matches!(shape.values.as_slice(), [only] if *only < 0.0 || holds_row(*only)) {
            Ok(value)
        } else {
            Err(operator.error(format!("it makes rows of {holds} numbers from rows of {length}")))
        }
    }

    fn clip(&mut self, operator: &mut Operator, value: &Value, values: &[Option<Value>]) -> Result<Value, LoadError> {
        let mut bounds = [operator.float("min", f32::NEG_INFINITY), operator.float("max", f32::INFINITY)];
        for (bound, value) in bounds.iter_mut().zip(values.iter().skip(1)) {
            match value {
                None => {}
                Some(Value::Constant(tensor)) if tensor.values.len() == 1 => *bound = tensor.values[0],
                Some(_) => return Err(operator.error("its bounds are not constants")),
            }
        }
        let [least, greatest] = bounds;
        self.each(operator, Each::Clip { least, greatest }, value)
    }

    fn choose(&mut self, operator: &Operator, values: &[Option<Value>]) -> Result<Value, LoadError> {
        let [Some(condition), Some(yes), Some(no)] = values else {
            return Err(operator.error(format!("it has {} inputs, expected 3", values.len())));
        };
        let condition = self.operand(operator, condition)?;
        let (yes, no) = (self.operand(operator, yes)?, self.operand(operator, no)?);
        let length = common_length(operator, &[&condition, &yes, &no])?;
        Ok(Value::Cells(self.push(How::Choose(condition, yes, no), length)?))
    }

    fn concat(&mut self, operator: &Operator, values: &[Option<Value>]) -> Result<Value, LoadError> {
        let mut picked = Vec::new();
        for value in values {
            let Some(value) = value else { return Err(operator.error("an input is left out")) };
            let span = self.cells(operator, value)?;
            picked.extend(span.start..span.start + span.length);
            if picked.len() > CELLS_MAX {
                return Err(too_many_cells());
            }
        }
        self.picked(operator, picked)
    }

    /// Cells in a new order. Neighbours need not be copied.
    fn picked(&mut self, operator: &Operator, picked: Vec<usize>) -> Result<Value, LoadError> {
        let Some(start) = picked.first().copied() else { return Err(operator.error("it picks no columns")) };
        let length = picked.len();
        if picked.iter().copied().eq(start..start + length) {
            return Ok(Value::Cells(Span { start, length }));
        }
        Ok(Value::Cells(self.push(How::Pick(picked.into()), length)?))
    }

    fn pick(
        &mut self,
        operator: &mut Operator,
        kind: &str,
        first: &Value,
        values: &[Option<Value>],
    ) -> Result<Value, LoadError> {
        let axis = if kind == "Gather" { operator.int("axis", 0) } else { -1 };
        let [_, Some(second)] = values else { return Err(operator.error("it has no indices")) };
        match (first, second) {
            (Value::Constant(table), at) => {
                let from = self.cells(operator, at)?;
                self.count(table.values.len())?;
                let Some(values) = table.row().map(Box::from) else {
                    return Err(operator.error(format!("its table has dimensions {:?}, expected a row", table.dims)));
                };
                Ok(Value::Cells(self.push(How::Select { values, from }, from.length)?))
            }
            (Value::Cells(_) | Value::Scores(_) | Value::Label, Value::Constant(indices)) => {
                if axis != 1 && axis != -1 {
                    return Err(operator.error(format!("it picks along axis {axis}, but only columns are supported")));
                }
                let span = self.cells(operator, first)?;
                let mut picked = Vec::with_capacity(indices.values.len());
                for index in &indices.values {
                    #[expect(clippy::cast_possible_truncation, reason = "whole numbers up to 2^24")]
                    let index = *index as i64;
                    let length = i64::try_from(span.length).unwrap_or_default();
                    let at = usize::try_from(if index < 0 { index + length } else { index }).unwrap_or(usize::MAX);
                    if at >= span.length {
                        return Err(operator.error(format!("it picks column {index} of {length}")));
                    }
                    picked.push(span.start + at);
                }
                self.picked(operator, picked)
            }
            _ => Err(operator.error("its indices are not constants")),
        }
    }

    fn matrix(
        &mut self,
        operator: &mut Operator,
        kind: &str,
        first: &Value,
        values: &[Option<Value>],
    ) -> Result<Value, LoadError> {
        let from = self.cells(operator, first)?;
        let Some(Some(Value::Constant(matrix))) = values.get(1) else {
            return Err(operator.error("its matrix is not a constant"));
        };
        let is_transposed = operator.int("transB", 0) != 0;
        if operator.int("transA", 0) != 0 {
            return Err(operator.error("transA is not supported"));
        }
        let (alpha, beta) = (operator.float("alpha", 1.0), operator.float("beta", 1.0));
        let (rows, columns) = match matrix.dims.as_slice() {
            [rows] => (*rows, 1),
            [columns, rows] if is_transposed => (*rows, *columns),
            [rows, columns] => (*rows, *columns),
            dims => {
                return Err(operator.error(format!("its matrix has dimensions {dims:?}, expected rows and columns")));
            }
        };
        if rows != from.length || columns == 0 {
            return Err(operator.error(format!("its matrix has {rows} rows, but it reads {} columns", from.length)));
        }
        self.coefficients += rows * columns;
        if self.coefficients > COEFFICIENTS_MAX {
            return Err(operator.error(format!("the matrices have more than {COEFFICIENTS_MAX} coefficients together")));
        }
        let place =
            |row: usize, column: usize| if is_transposed { column * rows + row } else { row * columns + column };
        let coefficients = (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(|(row, column)| matrix.values[place(row, column)] * alpha)
            .collect();
        let offsets: Box<[f32]> = match values.get(2) {
            None | Some(None) => vec![0.0; columns].into(),
            Some(Some(Value::Constant(offsets))) if kind == "Gemm" => match offsets.row() {
                Some([only]) => vec![only * beta; columns].into(),
                Some(offsets) if offsets.len() == columns => offsets.iter().map(|offset| offset * beta).collect(),
                Some(_) | None => return Err(operator.error(format!("its offsets are not {columns} numbers"))),
            },
            Some(Some(_)) => return Err(operator.error("its offsets are not constants")),
        };
        Ok(Value::Cells(self.push(How::Matrix { coefficients, offsets, from }, columns)?))
    }

    fn fold(
        &mut self,
        operator: &mut Operator,
        kind: &str,
        first: &Value,
        values: &[Option<Value>],
    ) -> Result<Value, LoadError> {
        operator.ignore("keepdims");
        operator.ignore("noop_with_empty_axes");
        let axes = operator.ints("axes");
        let axes_fit = match values.get(1) {
            Some(Some(Value::Constant(axes))) => {
                matches!(axes.values.as_slice(), [axis] if (axis.abs() - 1.0).abs() < 0.5)
            }
            Some(Some(_)) => false,
            Some(None) | None => matches!(axes.as_slice(), [1 | -1]),
        };
        if !axes_fit {
            return Err(operator.error("it reduces along other axes than the columns"));
        }
        let fold = match kind {
            "ReduceSum" => Fold::Sum,
            "ReduceMean" => Fold::Mean,
            "ReduceMax" => Fold::Max,
            "ReduceMin" => Fold::Min,
            _ => Fold::Product,
        };
        let from = self.cells(operator, first)?;
        Ok(Value::Cells(self.push(How::Fold(fold, from), 1)?))
    }
}

/// Refuses an axis other than that of the columns.
fn check_axis(operator: &mut Operator, default: i64) -> Result<(), LoadError> {
    match operator.int("axis", default) {
        1 | -1 => Ok(()),
        axis => Err(operator.error(format!("its axis is {axis}, but only 1, the columns, is supported"))),
    }
}

fn common_length(operator: &Operator, operands: &[&Operand]) -> Result<usize, LoadError> {
    let length = operands.iter().map(|operand| operand.length()).max().unwrap_or_default();
    match operands.iter().map(|operand| operand.length()).find(|found| *found != 1 && *found != length) {
        None if length > 0 => Ok(length),
        _ => {
            let lengths: Vec<String> = operands.iter().map(|operand| operand.length().to_string()).collect();
            Err(operator.error(format!("it combines rows of {} numbers", lengths.join(" and "))))
        }
    }
}

fn is_supported(domain: &str, kind: &str) -> bool {
    match domain {
        "" => {
            two(kind).is_some()
                || matches!(
                    kind,
                    "Abs"
                        | "ArgMax"
                        | "ArgMin"
                        | "Cast"
                        | "Ceil"
                        | "Clip"
                        | "Concat"
                        | "Constant"
                        | "ConstantOfShape"
                        | "Dropout"
                        | "Exp"
                        | "Flatten"
                        | "Floor"
                        | "Gather"
                        | "Gemm"
                        | "Identity"
                        | "IsNaN"
                        | "LeakyRelu"
                        | "Log"
                        | "MatMul"
                        | "Neg"
                        | "Not"
                        | "Reciprocal"
                        | "ReduceMax"
                        | "ReduceMean"
                        | "ReduceMin"
                        | "ReduceProd"
                        | "ReduceSum"
                        | "Relu"
                        | "Reshape"
                        | "Shape"
                        | "Sigmoid"
                        | "Sign"
                        | "Softmax"
                        | "Softplus"
                        | "Sqrt"
                        | "Squeeze"
                        | "Tanh"
                        | "Unsqueeze"
                        | "Where"
                )
        }
        ML_DOMAIN => matches!(
            kind,
            "ArrayFeatureExtractor"
                | "Binarizer"
                | "FeatureVectorizer"
                | "Imputer"
                | "LabelEncoder"
                | "LinearClassifier"
                | "LinearRegressor"
                | "Normalizer"
                | "OneHotEncoder"
                | "Scaler"
                | "TreeEnsemble"
                | "TreeEnsembleClassifier"
                | "TreeEnsembleRegressor"
                | "ZipMap"
        ),
        _ => false,
    }
}

fn each(domain: &str, kind: &str, operator: &mut Operator) -> Option<Each> {
    Some(match (domain, kind) {
        ("", "Abs") => Each::Abs,
        ("", "Ceil") => Each::Ceil,
        ("", "Exp") => Each::Exp,
        ("", "Floor") => Each::Floor,
        ("", "IsNaN") => Each::IsNan,
        ("", "LeakyRelu") => Each::Leaky(operator.float("alpha", 0.01)),
        ("", "Log") => Each::Ln,
        ("", "Neg") => Each::Negative,
        ("", "Not") => Each::Not,
        ("", "Reciprocal") => Each::Reciprocal,
        ("", "Relu") => Each::Relu,
        ("", "Sigmoid") => Each::Sigmoid,
        ("", "Sign") => Each::Sign,
        ("", "Softplus") => Each::Softplus,
        ("", "Sqrt") => Each::SquareRoot,
        ("", "Tanh") => Each::Tanh,
        (ML_DOMAIN, "Binarizer") => Each::IsAbove(operator.float("threshold", 0.0)),
        _ => return None,
    })
}

fn two(kind: &str) -> Option<Two> {
    Some(match kind {
        "Add" | "Sum" | "Mean" => Two::Add,
        "And" => Two::And,
        "Div" => Two::Divide,
        "Equal" => Two::Equal,
        "Greater" => Two::Greater,
        "GreaterOrEqual" => Two::GreaterOrEqual,
        "Less" => Two::Less,
        "LessOrEqual" => Two::LessOrEqual,
        "Max" => Two::Max,
        "Min" => Two::Min,
        "Mul" => Two::Multiply,
        "Or" => Two::Or,
        "Pow" => Two::Power,
        "Sub" => Two::Subtract,
        _ => return None,
    })
}

fn constant(operator: &mut Operator) -> Result<Tensor, LoadError> {
    if let Some(tensor) = operator.tensor("value")? {
        return Ok(tensor);
    }
    if operator.has("value_float") {
        return Ok(Tensor { dims: Vec::new(), values: vec![operator.float("value_float", 0.0)], is_whole: false });
    }
    if operator.has("value_floats") {
        let values = operator.any_floats("value_floats");
        return Ok(Tensor { dims: vec![values.len()], values, is_whole: false });
    }
    #[expect(clippy::cast_precision_loss, reason = "shapes and positions are small")]
    let whole = |values: Vec<i64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    if operator.has("value_int") {
        let values = whole(vec![operator.int("value_int", 0)]);
        return Ok(Tensor { dims: Vec::new(), values, is_whole: true });
    }
    let values = whole(operator.ints("value_ints"));
    Ok(Tensor { dims: vec![values.len()], values, is_whole: true })
}

/// A constant of as many equal numbers as a row has. `Shape` gives rows a height of 1.
fn constant_of_shape(operator: &mut Operator, shape: &Tensor) -> Result<Tensor, LoadError> {
    let value = match operator.tensor("value")?.map(|tensor| tensor.values) {
        None => 0.0,
        Some(values) => values.first().copied().unwrap_or_default(),
    };
    let [height, length] = shape.values.as_slice() else {
        return Err(operator.error(format!("its shape has {} numbers, expected 2", shape.values.len())));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as bounded as a row")]
    let length = (height * length).max(0.0) as usize;
    if length > CELLS_MAX {
        return Err(operator.error(format!("it makes {length} numbers, but the limit is {CELLS_MAX}")));
    }
    Ok(Tensor { dims: vec![1, length], values: vec![value; length], is_whole: false })
}
