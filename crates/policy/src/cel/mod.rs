//! Expressions of a policy: a typed, allocation-free subset of the Common Expression Language (CEL).
//!
//! [`compile`] checks an expression against a [`Schema`] once, when the policy is loaded. The resulting [`Program`]
//! reads the values of one payment through a [`Row`] and allocates nothing.
//!
//! The language is narrower than CEL, and the compiler says so where it matters: there are no `uint`, bytes, null,
//! maps, messages, regular expressions or macros except `has`; lists are allowed only to the right of `in`; no
//! operation builds a string. Where CEL leaves a choice, this implementation does the following:
//!
//! - `int` and `double` compare with each other by their exact values; arithmetic never mixes them.
//! - Arithmetic that overflows, leaves the range of a timestamp (1970 to 2262) or divides by zero is an error.
//! - `&&` and `||` give an answer if one side alone decides, even if the other is an error; of two errors, the left
//!   counts.
//! - Strings are equal, and ordered, byte by byte.
//! - An entity compares with a string by the value that the client gave, and with another entity of its kind.
//! - Times are read in UTC only. Durations can also be written in days: `duration("7d12h")`.
//! - `int(d)` drops the fraction; a double outside the range of `int` is an error.

mod calendar;
mod check;
mod code;
mod parse;
mod program;
mod scan;
mod schema;
#[cfg(test)]
mod tests;
mod typed;

pub use check::compile;
pub use program::Program;
pub use schema::Schema;

use std::fmt;

use types::{AccountId, Timestamp, Token};

/// Length of the longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4096;
/// Deepest nesting of brackets, operators and calls.
pub const DEPTH_MAX: usize = 64;
/// Most values, operators and calls in one expression.
pub const NODES_MAX: usize = 1024;
/// The largest [`Program::cost`].
pub const COST_MAX: u32 = 1024;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// A 64-bit floating point number.
    Double,
    /// A `string`.
    Text,
    /// A `timestamp`, in UTC.
    Time,
    /// A signed `duration` in nanoseconds.
    Duration,
    /// The id of an account. It can only be tested for equality, and for presence with `has`.
    Account,
    /// A value of the entity kind with this index. It can only be tested for equality, within its kind or with a string,
    /// and for presence with `has`.
    Entity(u16),
}

/// Where a [`Row`] keeps the value of a name. Names are numbered from 0 in the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// One value. Text is borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    Time(Timestamp),
    /// In nanoseconds.
    Duration(i64),
    Account(AccountId),
    /// The token, and the value that it stands for.
    Entity(Token, &'a str),
}

/// The values that an expression reads: one payment and its features.
pub trait Row {
    /// The value in `slot`, of the type that was declared for it, or `None` if it is missing. A slot must give the same
    /// answer throughout one evaluation.
    fn get(&self, slot: Slot) -> Option<Value<'_>>;
}

/// Why an expression has no value for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The row has no value in the slot.
    #[error("value {} is missing", .0.0)]
    Missing(Slot),
    /// The row has a value of another type than declared, which is a bug in the row.
    #[error("value {} is not of its declared type", .0.0)]
    Mistyped(Slot),
    /// A result does not fit its type.
    #[error("a result is out of range")]
    Overflow,
    /// An `int` was divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A double that does not fit an `int` was converted to one.
    #[error("a double that is not a number or out of range was converted to int")]
    InvalidConversion,
    /// The caller asked for a value of a type that the program does not give, which is a bug.
    #[error("the expression gives a value of another type")]
    WrongResult,
}

/// Why a source is not an expression over the schema, and where the error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// What was found and what was expected, in one line.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for CompileError {}

impl CompileError {
    /// An error at byte `offset` of `source`.
    fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.get(line_start..).unwrap_or_default().chars().count().saturating_add(1);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { line: number(line), column: number(column), message: message.into() }
    }
}
