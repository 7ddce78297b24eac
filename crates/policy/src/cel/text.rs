//! Evaluates what gives a string.

use std::fmt::{self, Write};

use super::calendar::SECOND_NS;
use super::moment::write_fraction;
use super::room::Context;
use super::typed::{Any, Entity, Expr, Int, Text};
use super::{EvalError, Value};

/// An operation that gives a string. Those that make a new one take room in the context for it.
#[derive(Debug)]
pub(super) enum TextOp {
    /// The value of an entity, as the client gave it.
    ValueOf(Expr<Entity>),
    Join(Expr<Text>, Expr<Text>),
    Show(Expr<Any>),
    /// ASCII letters in one case.
    Lower(Expr<Text>),
    Upper(Expr<Text>),
    /// Without white space at both ends.
    Trim(Expr<Text>),
    /// From one character up to, but not including, another.
    Part(Expr<Text>, Expr<Int>, Option<Expr<Int>>),
    CharAt(Expr<Text>, Expr<Int>),
    /// Text, what to replace, by what.
    Replace(Expr<Text>, Expr<Text>, Expr<Text>),
}

impl TextOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<&'a str, EvalError> {
        match self {
            Self::ValueOf(entity) => entity.eval(cx).map(|(_, text)| text),
            Self::Join(left, right) => {
                let (left, right) = (left.eval(cx)?, right.eval(cx)?);
                match (left, right) {
                    ("", only) | (only, "") => Ok(only),
                    _ => cx.join(left, right),
                }
            }
            Self::Show(value) => show(value.eval(cx)?, cx),
            Self::Lower(text) => {
                let text = text.eval(cx)?;
                cx.text(|into| text.chars().try_for_each(|c| into.write_char(c.to_ascii_lowercase())))
            }
            Self::Upper(text) => {
                let text = text.eval(cx)?;
                cx.text(|into| text.chars().try_for_each(|c| into.write_char(c.to_ascii_uppercase())))
            }
            Self::Trim(text) => Ok(text.eval(cx)?.trim()),
            Self::Part(text, start, end) => {
                let (text, start) = (text.eval(cx)?, start.eval(cx)?);
                let end = end.as_ref().map(|end| end.eval(cx)).transpose()?;
                part(text, start, end).ok_or(EvalError::NotFound)
            }
            Self::CharAt(text, index) => {
                let (text, index) = (text.eval(cx)?, index.eval(cx)?);
                let size = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                let end = if index == size { index } else { index.saturating_add(1) };
                part(text, index, Some(end)).ok_or(EvalError::NotFound)
            }
            Self::Replace(text, from, to) => {
                let (text, from, to) = (text.eval(cx)?, from.eval(cx)?, to.eval(cx)?);
                cx.text(|into| {
                    let mut parts = text.split(from);
                    into.write_str(parts.next().unwrap_or_default())?;
                    parts.try_for_each(|part| {
                        into.write_str(to)?;
                        into.write_str(part)
                    })
                })
            }
        }
    }
}

/// The characters from `start` up to `end`, or to the last one.
fn part(text: &str, start: i64, end: Option<i64>) -> Option<&str> {
    let offset = |index: i64| {
        let index = usize::try_from(index).ok()?;
        text.char_indices().map(|(offset, _)| offset).chain([text.len()]).nth(index)
    };
    text.get(offset(start)?..end.map_or(Some(text.len()), offset)?)
}

/// `string(value)`.
fn show<'a>(value: Value<'a>, cx: &Context<'a>) -> Result<&'a str, EvalError> {
    match value {
        Value::Text(text) | Value::Entity(_, text) => Ok(text),
        Value::Bool(value) => Ok(if value { "true" } else { "false" }),
        Value::Int(value) => cx.text(|into| write!(into, "{value}")),
        Value::Uint(value) => cx.text(|into| write!(into, "{value}")),
        Value::Double(value) => cx.text(|into| write_double(into, value)),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).or(Err(EvalError::InvalidConversion)),
        Value::Time(time) => cx.text(|into| write!(into, "{time}")),
        Value::Duration(ns) => cx.text(|into| write_duration(into, ns)),
        Value::Null | Value::Account(_) | Value::Type(_) | Value::List(_) | Value::Map(_) => Err(EvalError::NoOverload),
    }
}

/// Writes the fewest digits that read back as the same number, with an exponent below 10^-6 and from 10^21 on.
fn write_double(into: &mut impl Write, value: f64) -> fmt::Result {
    let size = value.abs();
    if value.is_nan() {
        into.write_str("NaN")
    } else if size.is_infinite() {
        into.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        write!(into, "{value}")
    } else {
        write!(into, "{value:e}")
    }
}

/// Writes seconds with their fraction: `5400.5s`.
fn write_duration(into: &mut impl Write, ns: i64) -> fmt::Result {
    if ns < 0 {
        into.write_char('-')?;
    }
    let (size, second) = (ns.unsigned_abs(), SECOND_NS.unsigned_abs());
    write!(into, "{}", size / second)?;
    write_fraction(into, u32::try_from(size % second).unwrap_or_default())?;
    into.write_char('s')
}
