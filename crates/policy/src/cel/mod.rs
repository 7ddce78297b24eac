//! Expressions of the policy: a typed, allocation-free subset of the Common Expression Language (CEL).
//!
//! [`compile`] checks an expression against a [`Schema`] once, when the policy is loaded; a [`Program`] then reads the
//! values of one payment through a [`Row`] and allocates nothing.
//!
//! Where the language is narrower than CEL, the compiler says so: no `uint`, bytes, null, maps, messages, regular
//! expressions or macros except `has`; lists only to the right of `in`; no operation that would build a string.
//! Where CEL leaves room, this is what happens here:
//!
//! - `int` and `double` compare with each other by their exact values; arithmetic never mixes them.
//! - Arithmetic that overflows, leaves the range of a timestamp (1970 to 2262) or divides by zero is an error.
//! - `&&` and `||` answer when one side alone decides, even if the other is an error; two errors give the left one.
//! - Times are read in UTC only. Durations may be written in days too: `duration("7d12h")`.
//! - `int(d)` cuts the fraction off; a double outside of the range of `int` is an error.

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

/// The longest source.
pub const SOURCE_BYTES_MAX: usize = 4096;
/// How deep brackets, operators and calls may nest.
pub const DEPTH_MAX: usize = 64;
/// How many values, operators and calls an expression may have.
pub const NODES_MAX: usize = 1024;
/// The largest [`Program::cost`].
pub const COST_MAX: u32 = 1024;

/// What kind of value an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// A signed 64-bit number.
    Int,
    /// A 64-bit floating point number.
    Double,
    /// A `string`.
    Text,
    /// A `timestamp`, in UTC.
    Time,
    /// A signed `duration` in nanoseconds.
    Duration,
    /// The id of an account: can only be compared and tested for with `has`.
    Account,
    /// A value of the entity kind with this index: can only be compared within its kind and tested for with `has`.
    Entity(u16),
}

/// Where a [`Row`] keeps a name's value: names are numbered from 0 in the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// One value, borrowed where it is a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Of [`Type::Bool`].
    Bool(bool),
    /// Of [`Type::Int`].
    Int(i64),
    /// Of [`Type::Double`].
    Double(f64),
    /// Of [`Type::Text`].
    Text(&'a str),
    /// Of [`Type::Time`].
    Time(Timestamp),
    /// Of [`Type::Duration`], in nanoseconds.
    Duration(i64),
    /// Of [`Type::Account`].
    Account(AccountId),
    /// Of [`Type::Entity`].
    Entity(Token),
}

/// The values that an expression reads: one payment and its features.
pub trait Row {
    /// The value in `slot`, of the type that was declared for it; `None` when it is missing. The same slot gives the
    /// same answer for the whole of one evaluation.
    fn get(&self, slot: Slot) -> Option<Value<'_>>;
}

/// Why an expression has no value for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The row has no value in the slot.
    #[error("value {} is missing", .0.0)]
    Missing(Slot),
    /// The row has a value of another type than was declared: a bug of whoever made the row.
    #[error("value {} is not of its declared type", .0.0)]
    Mistyped(Slot),
    /// A result does not fit its type.
    #[error("a result is out of range")]
    Overflow,
    /// An `int` was divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A double that is no `int` was converted to one.
    #[error("a double that is not a number or out of range was converted to int")]
    InvalidConversion,
    /// The program was asked for a value of a type that it does not give: a bug of the caller.
    #[error("the expression gives a value of another type")]
    WrongResult,
}

/// Why a source is not an expression over the schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
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
