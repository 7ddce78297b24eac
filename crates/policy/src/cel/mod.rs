//! Expressions of a policy: the Common Expression Language (CEL), checked when the policy is loaded, and evaluated without
//! allocation.
//!
//! [`compile`] checks an expression against a [`Schema`] once, when the policy is loaded. The resulting [`Program`]
//! reads the values of one payment through a [`Row`] and allocates nothing: what an evaluation makes, such as joined
//! strings and lists, lies in a piece of the stack whose size is known when the program is compiled.
//!
//! # What there is
//!
//! - Types: `bool`, `int`, `uint`, `double`, `string`, `bytes`, `null`, `timestamp`, `duration`, lists, maps, `type` and
//!   `dyn`. Attributes and features of a policy are of the types `bool`, `int`, `double`, `string`, `timestamp`, entity
//!   and account.
//! - Operators: `+ - * / %`, `== != < <= > >=`, `&& || !`, `?:`, `in`, `[]`, and `.` on maps.
//! - Macros: `has`, `all`, `exists`, `exists_one`, `filter` and `map`; with two variables `all`, `exists`, `existsOne`,
//!   `transformList` and `transformMap`.
//! - Functions: `size`, `int`, `uint`, `double`, `string`, `bytes`, `bool`, `timestamp`, `duration`, `type`, `dyn`;
//!   `math.least`, `math.greatest`, `math.abs`, `math.ceil`, `math.floor`, `math.round`, `math.trunc`, `math.sign`,
//!   `math.sqrt`, `math.isNaN`, `math.isInf`, `math.isFinite`.
//! - Methods of strings: `contains`, `startsWith`, `endsWith`, `matches`, `size`, `lowerAscii`, `upperAscii`, `trim`,
//!   `substring`, `charAt`, `replace`.
//! - Methods of times, each with or without a time zone: `getFullYear`, `getMonth`, `getDate`, `getDayOfMonth`,
//!   `getDayOfWeek`, `getDayOfYear`, `getHours`, `getMinutes`, `getSeconds`, `getMilliseconds`. The last four without a
//!   zone also of durations.
//!
//! - Lists that live outside the policy: `payment.country in list("sanctioned")`. The name is a constant, and the list is one that
//!   the schema declares, of strings or of one kind of entity. A list that holds nothing has no value in it.
//!
//! Messages (protocol buffers) are missing, because a policy has none. The conformance tests of the language run in CI;
//! `testdata/cel/unsupported.txt` lists each case that does not pass with its reason.
//!
//! # Where CEL leaves a choice
//!
//! - Every name and type is checked when the expression is compiled. `dyn(x)` puts off the check of one value to the
//!   evaluation; so do lists and maps of mixed types.
//! - Numbers compare with each other by their exact values; arithmetic never mixes them.
//! - Arithmetic that overflows, leaves the range of its type or divides by zero is an error.
//! - `&&` and `||` give an answer if one side alone decides, even if the other is an error; of two errors, the left
//!   counts. `all` and `exists` are the same over the elements of a list.
//! - Strings are equal, and ordered, byte by byte. Their sizes and positions count characters.
//! - An entity compares with a string by the value that the client gave, and with another entity of its kind.
//! - Times are between the years 1 and 9999, and read in UTC unless a time zone is given: an offset such as `+01:00`, or
//!   a name of the IANA database, which is compiled in, so that every machine gives the same answer
//!   ([`time_zone_data`] is its version). Durations can also be written in days: `duration("7d12h")`.
//! - `int(d)` drops the fraction; a double outside the range of `int` is an error.
//! - The pattern of `matches` is a constant in the syntax of RE2. It is compiled to an automaton of at most 256 KiB that
//!   reads each byte of the string once; 256 bytes of it count as a step.
//!
//! # Bounds
//!
//! A source has at most [`SOURCE_BYTES_MAX`] bytes, [`NODES_MAX`] parts and [`DEPTH_MAX`] levels. An evaluation takes at
//! most [`COST_MAX`] steps; the body of a macro counts once per element that its list can have at most. Lists made by an
//! evaluation have at most [`COST_MAX`] elements together, and the strings that it makes have at most
//! [`TEXT_ROOM_BYTES`] bytes together: one more is [`EvalError::TooLong`].

mod calendar;
mod check;
mod code;
mod dynamic;
mod each;
mod moment;
mod parse;
mod pattern;
mod program;
mod room;
mod scan;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod typed;
mod value;
mod zone;

pub use check::compile;
pub use moment::Moment;
pub use program::Program;
pub(crate) use scan::members;
pub use schema::Schema;
pub use value::{List, Map, Value};
pub use zone::time_zone_data;

use std::fmt;

use types::Token;

/// Length of the longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4096;
/// Deepest nesting of brackets, operators and calls.
pub const DEPTH_MAX: usize = 64;
/// Most values, operators and calls in one expression.
pub const NODES_MAX: usize = 1024;
/// The largest [`Program::cost`].
pub const COST_MAX: u32 = 1024;
/// Most bytes of all strings that one evaluation makes.
pub const TEXT_ROOM_BYTES: usize = 2048;
/// Most variables of macros that are visible at one place.
pub const LOCALS_MAX: usize = 8;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    Null,
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// An unsigned 64-bit integer.
    Uint,
    /// A 64-bit floating point number.
    Double,
    /// A `string`.
    Text,
    Bytes,
    /// A `timestamp`, in UTC.
    Time,
    /// A signed `duration` in nanoseconds.
    Duration,
    /// The id of an account. It can only be tested for equality, and for presence with `has`.
    Account,
    /// A value of the entity kind with this index. It can only be tested for equality, within its kind or with a string,
    /// and for presence with `has`.
    Entity(u16),
    /// A type, such as `int`.
    Type,
    List,
    Map,
    /// Any of the others: it is known when the expression is evaluated.
    Dyn,
}

/// Where a [`Row`] keeps the value of a name. Names are numbered from 0 in the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// The values that an expression reads: one payment and its features.
pub trait Row {
    /// The value in `slot`, of the type that was declared for it, or `None` if it is missing. A slot must give the same
    /// answer throughout one evaluation.
    fn get(&self, slot: Slot) -> Option<Value<'_>>;

    /// Whether a list has a value. Lists are numbered from 0 in the order of their declaration; the value is of the kind that was
    /// declared. Must give the same answer throughout one evaluation. A row without lists has no values in them.
    fn list_has(&self, list: u16, value: Listed<'_>) -> bool {
        let _ = (list, value);
        false
    }
}

/// A value that is looked up in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed<'a> {
    Text(&'a str),
    /// The token of an entity.
    Entity(Token),
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
    /// An integer was divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A value cannot be converted to the type: a double that does not fit an `int`, or a string that is not a number.
    #[error("a value cannot be converted to the type")]
    InvalidConversion,
    /// A value whose type was not known before is not of a type that the operation takes.
    #[error("a value is of a type that the operation does not take")]
    NoOverload,
    /// A list has no element at the index, a map no such key, or a string no such position.
    #[error("a list, map or string has nothing at the index or key")]
    NotFound,
    /// A map would have a key twice.
    #[error("a map has a key twice")]
    DuplicateKey,
    /// The strings that the evaluation made are longer than [`TEXT_ROOM_BYTES`] together.
    #[error("the strings that the expression makes are longer than {TEXT_ROOM_BYTES} bytes together")]
    TooLong,
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
