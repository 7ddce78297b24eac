//! Values: what rows give, what expressions give, and how any two of them compare.

use std::cmp::Ordering;

use types::{AccountId, Token};

use super::code::{compare_int_double, compare_uint_double};
use super::{EvalError, Moment, Type};

/// One value. Text, bytes, lists and maps are borrowed from the row, from the program, or from the working memory of the
/// evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Time(Moment),
    /// In nanoseconds.
    Duration(i64),
    Account(AccountId),
    /// The token, and the value that it stands for.
    Entity(Token, &'a str),
    Type(Type),
    List(List<'a>),
    Map(Map<'a>),
}

/// A list of values.
#[derive(Debug, Clone, Copy)]
pub struct List<'a>(Items<'a>);

/// A map from values to values. Its keys are all different.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a>(Items<'a>);

#[derive(Debug, Clone, Copy)]
enum Items<'a> {
    /// Made by this evaluation.
    Built(&'a [Value<'a>]),
    /// Part of the program.
    Stored(&'a [Const]),
}

impl<'a> Items<'a> {
    fn len(self) -> usize {
        match self {
            Self::Built(values) => values.len(),
            Self::Stored(values) => values.len(),
        }
    }

    fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Built(values) => values.get(index).copied(),
            Self::Stored(values) => values.get(index).map(Const::lend),
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn built(values: &'a [Value<'a>]) -> Self {
        Self(Items::Built(values))
    }

    pub fn len(self) -> usize {
        self.0.len()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn get(self, index: usize) -> Option<Value<'a>> {
        self.0.get(index)
    }

    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).filter_map(move |index| self.get(index))
    }

    /// Whether one of the elements equals `value`.
    pub(super) fn contains(self, value: Value<'_>) -> bool {
        self.iter().any(|item| equal(item, value))
    }
}

impl<'a> Map<'a> {
    /// Keys and values alternate in `entries`. The keys must be different.
    pub(super) fn built(entries: &'a [Value<'a>]) -> Self {
        Self(Items::Built(entries))
    }

    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn entry(self, index: usize) -> Option<(Value<'a>, Value<'a>)> {
        Some((self.0.get(index * 2)?, self.0.get(index * 2 + 1)?))
    }

    pub fn iter(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        (0..self.len()).filter_map(move |index| self.entry(index))
    }

    pub fn get(self, key: Value<'_>) -> Option<Value<'a>> {
        self.iter().find(|(other, _)| equal(*other, key)).map(|(_, value)| value)
    }
}

impl PartialEq for List<'_> {
    /// Compares the elements, in order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl PartialEq for Map<'_> {
    /// Compares the entries, in any order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|entry| other.iter().any(|its| its == entry))
    }
}

impl Value<'_> {
    pub fn ty(self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::Time(_) => Type::Time,
            Self::Duration(_) => Type::Duration,
            Self::Account(_) => Type::Account,
            Self::Entity(..) => Type::Entity(0),
            Self::Type(_) => Type::Type,
            Self::List(_) => Type::List,
            Self::Map(_) => Type::Map,
        }
    }
}

/// Whether two values are equal: values of different types are not, except that numbers compare by their exact values.
/// Lists are equal if their elements are, in order, and maps if they have equal values for equal keys.
pub(super) fn equal(left: Value<'_>, right: Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Account(left), Value::Account(right)) => left == right,
        // Only entities of one kind get here: lists and maps do not mix kinds.
        (Value::Entity(left, _), Value::Entity(right, _)) => left == right,
        (Value::Entity(_, text), Value::Text(other)) | (Value::Text(other), Value::Entity(_, text)) => text == other,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| equal(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            let same = |(key, value)| right.get(key).is_some_and(|other| equal(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        (left, right) => order(left, right) == Ok(Some(Ordering::Equal)),
    }
}

/// How two values compare. `None` means that one is not a number. Types without an order, and two different types that
/// are not both numbers, are an error.
pub(super) fn order(left: Value<'_>, right: Value<'_>) -> Result<Option<Ordering>, EvalError> {
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(&right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (Value::Uint(left), Value::Uint(right)) => Some(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(&right),
        (Value::Int(left), Value::Uint(right)) => Some(i128::from(left).cmp(&i128::from(right))),
        (Value::Uint(left), Value::Int(right)) => Some(i128::from(left).cmp(&i128::from(right))),
        (Value::Int(left), Value::Double(right)) => compare_int_double(left, right),
        (Value::Double(left), Value::Int(right)) => compare_int_double(right, left).map(Ordering::reverse),
        (Value::Uint(left), Value::Double(right)) => compare_uint_double(left, right),
        (Value::Double(left), Value::Uint(right)) => compare_uint_double(right, left).map(Ordering::reverse),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(&right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(&right)),
        _ => return Err(EvalError::NoOverload),
    })
}

/// A value that a program owns.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Time(Moment),
    Duration(i64),
    Type(Type),
    List(Box<[Const]>),
    /// Keys and values alternate.
    Map(Box<[Const]>),
}

impl Const {
    /// Copies a value, unless it contains what only rows can give.
    pub(super) fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Uint(value) => Self::Uint(value),
            Value::Double(value) => Self::Double(value),
            Value::Text(value) => Self::Text(value.into()),
            Value::Bytes(value) => Self::Bytes(value.into()),
            Value::Time(value) => Self::Time(value),
            Value::Duration(value) => Self::Duration(value),
            Value::Account(_) | Value::Entity(..) => return None,
            Value::Type(value) => Self::Type(value),
            Value::List(list) => Self::List(list.iter().map(Self::of).collect::<Option<_>>()?),
            Value::Map(map) => {
                let values = map.iter().flat_map(|(key, value)| [key, value]);
                Self::Map(values.map(Self::of).collect::<Option<_>>()?)
            }
        })
    }

    pub(super) fn lend(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(value) => Value::Text(value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::Time(value) => Value::Time(*value),
            Self::Duration(value) => Value::Duration(*value),
            Self::Type(value) => Value::Type(*value),
            Self::List(values) => Value::List(List(Items::Stored(values))),
            Self::Map(values) => Value::Map(Map(Items::Stored(values))),
        }
    }
}
