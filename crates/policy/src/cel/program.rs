//! A compiled expression and its evaluation.

use std::cell::Cell;

use super::code::{nearest_double, nearest_double_of_uint};
use super::room::{Context, Room, SMALL_VALUES, with_room};
use super::typed::{Code, Expr};
use super::{COST_MAX, CompileError, EvalError, LOCALS_MAX, Row, Slot, TEXT_ROOM_BYTES, Type, Value};

/// Most elements of lists and maps that one evaluation makes. Each costs at least a step.
const LARGE_VALUES: usize = COST_MAX as usize;

/// A compiled expression. Evaluation allocates nothing and takes at most [`Program::cost`] steps.
#[derive(Debug)]
pub struct Program {
    pub(super) code: Code,
    pub(super) room: Room,
    pub(super) slots: Box<[Slot]>,
    pub(super) listed: Box<[Slot]>,
    pub(super) reads_lists: bool,
    pub(super) read: Box<[Slot]>,
    pub(super) beyond_tokens: Box<[Slot]>,
    pub(super) tested: Box<[Slot]>,
    pub(super) cost: u32,
    pub(super) source: Box<str>,
    pub(super) failures: Box<[CompileError]>,
    pub(super) fails: bool,
}

/// A row without values, with which constants are computed.
pub(super) struct Nowhere;

impl Row for Nowhere {
    fn get(&self, _slot: Slot) -> Option<Value<'_>> {
        None
    }
}

/// Evaluates code with as much room as it needs, and gives the result to a function, because the value may lie in that
/// room.
pub(super) fn evaluate<T>(
    code: &Code,
    room: Room,
    row: &dyn Row,
    read: impl FnOnce(Result<Value<'_>, EvalError>) -> T,
) -> T {
    match room {
        Room::None => {
            let cx = Context::bare(row);
            read(code.eval(&cx))
        }
        Room::Small => evaluate_small(code, row, read),
        Room::Large => evaluate_large(code, row, read),
    }
}

// Each in a function of its own, so that a program takes only as much stack as it needs.

#[inline(never)]
fn evaluate_small<T>(code: &Code, row: &dyn Row, read: impl FnOnce(Result<Value<'_>, EvalError>) -> T) -> T {
    with_room!(SMALL_VALUES, row, cx => read(code.eval(&cx)))
}

#[inline(never)]
fn evaluate_large<T>(code: &Code, row: &dyn Row, read: impl FnOnce(Result<Value<'_>, EvalError>) -> T) -> T {
    with_room!(LARGE_VALUES, row, cx => read(code.eval(&cx)))
}

impl Program {
    /// Evaluates the program for `row`, and gives the result to `read`.
    pub fn eval<T>(&self, row: &dyn Row, read: impl FnOnce(Result<Value<'_>, EvalError>) -> T) -> T {
        evaluate(&self.code, self.room, row, read)
    }

    /// The parts that read nothing and can never be computed, such as `1 / 0`, each with the reason.
    pub fn failures(&self) -> &[CompileError] {
        &self.failures
    }

    /// Whether the program has no value for any row, because of [`Program::failures`].
    pub fn always_fails(&self) -> bool {
        self.fails
    }

    /// The value, if it is the same for every row and an integer.
    pub fn constant_int(&self) -> Option<i64> {
        if let Code::Int(Expr::Const(value)) = &self.code { Some(*value) } else { None }
    }

    /// Evaluates a program of [`Type::Bool`].
    pub fn eval_bool(&self, row: &dyn Row) -> Result<bool, EvalError> {
        if let (Code::Bool(expr), Room::None) = (&self.code, self.room) {
            let cx = Context::bare(row);
            return expr.eval(&cx);
        }
        self.eval(row, |value| if let Value::Bool(value) = value? { Ok(value) } else { Err(EvalError::WrongResult) })
    }

    /// Evaluates a program of [`Type::Int`].
    pub fn eval_int(&self, row: &dyn Row) -> Result<i64, EvalError> {
        if let (Code::Int(expr), Room::None) = (&self.code, self.room) {
            let cx = Context::bare(row);
            return expr.eval(&cx);
        }
        self.eval(row, |value| if let Value::Int(value) = value? { Ok(value) } else { Err(EvalError::WrongResult) })
    }

    /// Evaluates a program of [`Type::Double`], [`Type::Int`] or [`Type::Uint`] (as the nearest double), or
    /// [`Type::Bool`] (as 0 or 1).
    pub fn eval_number(&self, row: &dyn Row) -> Result<f64, EvalError> {
        self.eval(row, |value| match value? {
            Value::Double(value) => Ok(value),
            Value::Int(value) => Ok(nearest_double(value)),
            Value::Uint(value) => Ok(nearest_double_of_uint(value)),
            Value::Bool(value) => Ok(f64::from(value)),
            Value::Null
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::Duration(_)
            | Value::Account(_)
            | Value::Entity(..)
            | Value::Type(_)
            | Value::List(_)
            | Value::Map(_) => Err(EvalError::WrongResult),
        })
    }

    /// Whether it is exactly the integer in this slot.
    pub fn reads_only(&self, slot: Slot) -> bool {
        matches!(&self.code, Code::Int(Expr::Slot(read)) if *read == slot)
    }

    /// The type of its value.
    pub fn ty(&self) -> Type {
        self.code.ty()
    }

    /// All slots that it may read or ask about, sorted and each once.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slots from which it makes texts that it looks up in lists, sorted and each once.
    pub fn listed(&self) -> &[Slot] {
        &self.listed
    }

    /// Whether it looks into a list outside the policy.
    pub fn reads_lists(&self) -> bool {
        self.reads_lists
    }

    /// Whether it may read the value in a slot, and not only ask whether there is one.
    pub fn reads(&self, slot: Slot) -> bool {
        self.read.binary_search(&slot).is_ok()
    }

    /// As [`Program::reads`], unless an entity is in the slot and its token is all that the program takes of it: it looks the entity up
    /// in a list, compares it with another entity, or gives it as its value.
    pub fn reads_beyond_token(&self, slot: Slot) -> bool {
        self.beyond_tokens.binary_search(&slot).is_ok()
    }

    /// The slots that `has` asks about, sorted and each once.
    pub fn tested(&self) -> &[Slot] {
        &self.tested
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
