//! Evaluates what gives a value that carries its type.

use super::calendar::parse_duration;
use super::code::{Calc, nearest_double, nearest_double_of_uint, to_int, whole_uint};
use super::each::Each;
use super::room::Context;
use super::typed::{Any, Bool, Code, Expr};
use super::value::{List, Map, equal, order};
use super::{EvalError, Moment, Type, Value};

#[derive(Debug)]
pub(super) enum AnyOp {
    /// A value whose type is known.
    Pack(Code),
    List(Box<[Expr<Any>]>),
    /// Keys and values alternate.
    Map(Box<[Expr<Any>]>),
    Calc(Calc, Expr<Any>, Expr<Any>),
    Negate(Expr<Any>),
    Absolute(Expr<Any>),
    /// The element of a list, or the value of a key.
    Index(Expr<Any>, Expr<Any>),
    Convert(Type, Expr<Any>),
    TypeOf(Expr<Any>),
    /// The values of an expression for the elements that pass a test.
    Collect(Each, Option<Expr<Bool>>, Expr<Any>),
    CollectMap(Each, Option<Expr<Bool>>, Expr<Any>),
    /// The smallest or the largest of one list or of several values.
    Extreme(Calc, Box<[Expr<Any>]>),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
impl AnyOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<Value<'a>, EvalError> {
        match self {
            Self::Pack(code) => code.eval(cx),
            Self::List(elements) => Ok(Value::List(List::built(all(elements, cx)?))),
            Self::Map(entries) => {
                let entries = all(entries, cx)?;
                Ok(Value::Map(unique(Map::built(entries))?))
            }
            Self::Calc(calc, left, right) => calculate(*calc, left.eval(cx)?, right.eval(cx)?, cx),
            Self::Negate(value) => match value.eval(cx)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(EvalError::Overflow),
                Value::Double(value) => Ok(Value::Double(-value)),
                Value::Duration(value) => value.checked_neg().map(Value::Duration).ok_or(EvalError::Overflow),
                _ => Err(EvalError::NoOverload),
            },
            Self::Absolute(value) => match value.eval(cx)? {
                Value::Int(value) => value.checked_abs().map(Value::Int).ok_or(EvalError::Overflow),
                Value::Double(value) => Ok(Value::Double(value.abs())),
                Value::Uint(value) => Ok(Value::Uint(value)),
                _ => Err(EvalError::NoOverload),
            },
            Self::Index(container, key) => {
                let container = container.eval(cx)?;
                index(container, key.eval(cx)?)
            }
            Self::Convert(to, value) => convert(*to, value.eval(cx)?),
            Self::TypeOf(value) => Ok(Value::Type(value.eval(cx)?.ty())),
            Self::Collect(each, test, give) => each.collect(test.as_ref(), give, cx).map(Value::List),
            Self::CollectMap(each, test, give) => each.collect_map(test.as_ref(), give, cx).map(Value::Map),
            Self::Extreme(calc, values) => extreme(*calc, values, cx),
        }
    }
}

/// The values of all expressions, in their order.
fn all<'a>(expressions: &'a [Expr<Any>], cx: &'a Context<'a>) -> Result<&'a [Value<'a>], EvalError> {
    let room = cx.take_values(expressions.len())?;
    for (place, expression) in room.iter_mut().zip(expressions) {
        *place = expression.eval(cx)?;
    }
    Ok(room)
}

/// Refuses a map that has a key twice.
fn unique(map: Map<'_>) -> Result<Map<'_>, EvalError> {
    let is_known =
        |(index, (key, _)): (usize, (Value<'_>, Value<'_>))| map.iter().take(index).any(|(other, _)| equal(key, other));
    if map.iter().enumerate().any(is_known) { Err(EvalError::DuplicateKey) } else { Ok(map) }
}

fn calculate<'a>(calc: Calc, left: Value<'a>, right: Value<'a>, cx: &Context<'a>) -> Result<Value<'a>, EvalError> {
    match (calc, left, right) {
        (_, Value::Int(left), Value::Int(right)) => calc.ints(left, right).map(Value::Int),
        (_, Value::Uint(left), Value::Uint(right)) => calc.uints(left, right).map(Value::Uint),
        (Calc::Add | Calc::Subtract | Calc::Multiply | Calc::Divide, Value::Double(left), Value::Double(right)) => {
            Ok(Value::Double(calc.doubles(left, right)))
        }
        (Calc::Add, Value::Text(left), Value::Text(right)) => cx.join(left, right).map(Value::Text),
        (Calc::Add, Value::Bytes(left), Value::Bytes(right)) => {
            let room = cx.take_bytes(left.len() + right.len())?;
            for (place, byte) in room.iter_mut().zip(left.iter().chain(right)) {
                *place = *byte;
            }
            Ok(Value::Bytes(room))
        }
        (Calc::Add, Value::List(left), Value::List(right)) => {
            let room = cx.take_values(left.len() + right.len())?;
            for (place, value) in room.iter_mut().zip(left.iter().chain(right.iter())) {
                *place = value;
            }
            Ok(Value::List(List::built(room)))
        }
        (Calc::Add, Value::Time(time), Value::Duration(by)) | (Calc::Add, Value::Duration(by), Value::Time(time)) => {
            time.plus(by).map(Value::Time).ok_or(EvalError::Overflow)
        }
        (Calc::Add, Value::Duration(left), Value::Duration(right)) => {
            left.checked_add(right).map(Value::Duration).ok_or(EvalError::Overflow)
        }
        (Calc::Subtract, Value::Time(time), Value::Duration(by)) => {
            time.minus(by).map(Value::Time).ok_or(EvalError::Overflow)
        }
        (Calc::Subtract, Value::Time(end), Value::Time(start)) => {
            end.since(start).map(Value::Duration).ok_or(EvalError::Overflow)
        }
        (Calc::Subtract, Value::Duration(left), Value::Duration(right)) => {
            left.checked_sub(right).map(Value::Duration).ok_or(EvalError::Overflow)
        }
        _ => Err(EvalError::NoOverload),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
fn index<'a>(container: Value<'a>, key: Value<'a>) -> Result<Value<'a>, EvalError> {
    match container {
        Value::Map(map) => map.get(key).ok_or(EvalError::NotFound),
        Value::List(list) => {
            let position = match key {
                Value::Int(index) => usize::try_from(index).ok(),
                Value::Uint(index) => usize::try_from(index).ok(),
                Value::Double(index) if index.fract() == 0.0 => {
                    whole_uint(index).and_then(|index| usize::try_from(index).ok())
                }
                _ => return Err(EvalError::NoOverload),
            };
            position.and_then(|position| list.get(position)).ok_or(EvalError::NotFound)
        }
        _ => Err(EvalError::NoOverload),
    }
}

/// `int(value)`, `uint(value)` and so on. A conversion to a string needs room: see
/// [`TextOp::Show`](super::text::TextOp).
fn convert(to: Type, value: Value<'_>) -> Result<Value<'_>, EvalError> {
    let invalid = EvalError::InvalidConversion;
    Ok(match (to, value) {
        (Type::Int, Value::Int(value)) => Value::Int(value),
        (Type::Int, Value::Uint(value)) => Value::Int(i64::try_from(value).or(Err(invalid))?),
        (Type::Int, Value::Double(value)) => Value::Int(to_int(value)?),
        (Type::Int, Value::Text(text)) => Value::Int(text.parse().or(Err(invalid))?),
        (Type::Int, Value::Time(time)) => Value::Int(time.seconds()),
        (Type::Uint, Value::Uint(value)) => Value::Uint(value),
        (Type::Uint, Value::Int(value)) => Value::Uint(u64::try_from(value).or(Err(invalid))?),
        (Type::Uint, Value::Double(value)) => Value::Uint(whole_uint(value).ok_or(invalid)?),
        (Type::Uint, Value::Text(text)) => Value::Uint(text.parse().or(Err(invalid))?),
        (Type::Double, Value::Double(value)) => Value::Double(value),
        (Type::Double, Value::Int(value)) => Value::Double(nearest_double(value)),
        (Type::Double, Value::Uint(value)) => Value::Double(nearest_double_of_uint(value)),
        (Type::Double, Value::Text(text)) => Value::Double(text.parse().or(Err(invalid))?),
        (Type::Bool, Value::Bool(value)) => Value::Bool(value),
        (Type::Bool, Value::Text("1" | "t" | "true" | "TRUE" | "True")) => Value::Bool(true),
        (Type::Bool, Value::Text("0" | "f" | "false" | "FALSE" | "False")) => Value::Bool(false),
        (Type::Bool, Value::Text(_)) => return Err(invalid),
        (Type::Bytes, Value::Bytes(value)) => Value::Bytes(value),
        (Type::Bytes, Value::Text(text)) => Value::Bytes(text.as_bytes()),
        (Type::Time, Value::Time(time)) => Value::Time(time),
        (Type::Time, Value::Int(seconds)) => Value::Time(Moment::from_seconds(seconds).ok_or(EvalError::Overflow)?),
        (Type::Time, Value::Text(text)) => Value::Time(Moment::parse(text).ok_or(invalid)?),
        (Type::Duration, Value::Duration(value)) => Value::Duration(value),
        (Type::Duration, Value::Text(text)) => Value::Duration(parse_duration(text).ok_or(invalid)?),
        _ => return Err(EvalError::NoOverload),
    })
}

/// The smallest (`Calc::Least`) or the largest number. Of two equal ones, the first.
#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
fn extreme<'a>(calc: Calc, values: &'a [Expr<Any>], cx: &'a Context<'a>) -> Result<Value<'a>, EvalError> {
    let mut found: Option<Value<'a>> = None;
    let mut take = |value: Value<'a>| {
        if !matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_)) {
            return Err(EvalError::NoOverload);
        }
        let Some(best) = found else {
            found = Some(value);
            return Ok(());
        };
        let order = order(value, best)?;
        let is_better =
            if calc == Calc::Least { order.is_some_and(|o| o.is_lt()) } else { order.is_some_and(|o| o.is_gt()) };
        if is_better {
            found = Some(value);
        }
        Ok(())
    };
    for value in values {
        match value.eval(cx)? {
            Value::List(list) if values.len() == 1 => list.iter().try_for_each(&mut take)?,
            value => take(value)?,
        }
    }
    found.ok_or(EvalError::NotFound)
}
