//! A compiled expression and its evaluation.

use super::check::Nowhere;
use super::code::nearest_double;
use super::typed::{Code, Expr};
use super::{CompileError, EvalError, Row, Slot, Type, Value};

/// A compiled expression. Evaluation allocates nothing and takes at most [`Program::cost`] steps.
#[derive(Debug)]
pub struct Program {
    pub(super) code: Code,
    pub(super) slots: Box<[Slot]>,
    pub(super) cost: u32,
    pub(super) source: Box<str>,
    pub(super) failures: Box<[CompileError]>,
    pub(super) fails: bool,
}

impl Program {
    /// Evaluates the program for `row`.
    pub fn eval<'a>(&'a self, row: &'a dyn Row) -> Result<Value<'a>, EvalError> {
        self.code.eval(row)
    }

    /// The parts that read nothing and can never be computed, such as `1 / 0`, each with the reason.
    pub fn failures(&self) -> &[CompileError] {
        &self.failures
    }

    /// Whether the program has no value for any row, because of [`Program::failures`].
    pub fn always_fails(&self) -> bool {
        self.fails
    }

    /// The value, if it is the same for every row.
    pub fn constant(&self) -> Option<Value<'_>> {
        if self.slots.is_empty() { self.code.eval(&Nowhere).ok() } else { None }
    }

    /// Evaluates a program of [`Type::Bool`].
    pub fn eval_bool(&self, row: &dyn Row) -> Result<bool, EvalError> {
        if let Code::Bool(expr) = &self.code { expr.eval(row) } else { Err(EvalError::WrongResult) }
    }

    /// Evaluates a program of [`Type::Int`].
    pub fn eval_int(&self, row: &dyn Row) -> Result<i64, EvalError> {
        if let Code::Int(expr) = &self.code { expr.eval(row) } else { Err(EvalError::WrongResult) }
    }

    /// Evaluates a program of [`Type::Double`], [`Type::Int`] (as the nearest double) or [`Type::Bool`] (as 0 or 1).
    pub fn eval_number(&self, row: &dyn Row) -> Result<f64, EvalError> {
        match self.code.eval(row)? {
            Value::Double(value) => Ok(value),
            Value::Int(value) => Ok(nearest_double(value)),
            Value::Bool(value) => Ok(f64::from(value)),
            Value::Text(_) | Value::Time(_) | Value::Duration(_) | Value::Account(_) | Value::Entity(..) => {
                Err(EvalError::WrongResult)
            }
        }
    }

    /// Whether it is exactly the integer in this slot.
    pub fn reads_only(&self, slot: Slot) -> bool {
        matches!(&self.code, Code::Int(Expr::Slot(read)) if *read == slot)
    }

    /// The type of its value.
    pub fn ty(&self) -> Type {
        self.code.ty()
    }

    /// All slots that it may read, sorted and each once.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The most steps that an evaluation takes, at most [`super::COST_MAX`]. A step is a read, an operator or a
    /// function. One that reads through a text counts as eight, and a search in a list counts as the logarithm of its
    /// length.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// The source it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }
}
