//! The compiled form: a tree whose types are Rust types, so that evaluation needs no type checks.

use std::convert::Infallible;
use std::fmt::Debug;

use types::{AccountId, Timestamp, Token};

use super::code::{BoolOp, DoubleOp, DurationOp, IntOp, TimeOp};
use super::{EvalError, Row, Slot, Type, Value};

/// A type of the language: the form of its values and the operations that give them.
pub(super) trait Kind: Debug {
    /// A value during evaluation.
    type Value<'a>: Copy + PartialOrd;
    /// A constant inside a program.
    type Const: Debug;
    /// The operators and functions that give values of this type.
    type Op: Debug;

    fn lend(constant: &Self::Const) -> Self::Value<'_>;
    fn unpack(value: Value<'_>) -> Option<Self::Value<'_>>;
    fn run<'a>(op: &'a Self::Op, row: &'a dyn Row) -> Result<Self::Value<'a>, EvalError>;
}

/// An expression that gives a `T`.
#[derive(Debug)]
pub(super) enum Expr<T: Kind> {
    Const(T::Const),
    Slot(Slot),
    /// Condition, then, else.
    If(Box<(Expr<Bool>, Expr<T>, Expr<T>)>),
    Op(Box<T::Op>),
}

impl<T: Kind> Expr<T> {
    pub(super) fn op(op: T::Op) -> Self {
        Self::Op(Box::new(op))
    }

    pub(super) fn choice(condition: Expr<Bool>, then: Self, otherwise: Self) -> Self {
        Self::If(Box::new((condition, then, otherwise)))
    }

    pub(super) fn eval<'a>(&'a self, row: &'a dyn Row) -> Result<T::Value<'a>, EvalError> {
        match self {
            Self::Const(constant) => Ok(T::lend(constant)),
            Self::Slot(slot) => {
                let value = row.get(*slot).ok_or(EvalError::Missing(*slot))?;
                T::unpack(value).ok_or(EvalError::Mistyped(*slot))
            }
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                if condition.eval(row)? { then.eval(row) } else { otherwise.eval(row) }
            }
            Self::Op(op) => T::run(op, row),
        }
    }
}

/// Implements a type whose constants are its values.
macro_rules! kind {
    ($name:ident, $value:ty, $variant:ident, $op:ty) => {
        #[derive(Debug)]
        pub(super) enum $name {}

        impl Kind for $name {
            type Value<'a> = $value;
            type Const = $value;
            type Op = $op;

            fn lend(constant: &$value) -> $value {
                *constant
            }

            fn unpack(value: Value<'_>) -> Option<$value> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }

            fn run<'a>(op: &'a $op, row: &'a dyn Row) -> Result<$value, EvalError> {
                op.run(row)
            }
        }
    };
}

kind!(Bool, bool, Bool, BoolOp);
kind!(Int, i64, Int, IntOp);
kind!(Double, f64, Double, DoubleOp);
kind!(Time, Timestamp, Time, TimeOp);
kind!(Duration, i64, Duration, DurationOp);
kind!(Account, AccountId, Account, Never);

/// The operators of types that have none.
#[derive(Debug)]
pub(super) struct Never(Infallible);

impl Never {
    fn run<T>(&self, _row: &dyn Row) -> Result<T, EvalError> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(super) enum Entity {}

impl Kind for Entity {
    type Value<'a> = (Token, &'a str);
    /// Only clients name entities.
    type Const = Infallible;
    type Op = Never;

    fn lend(constant: &Infallible) -> (Token, &str) {
        match *constant {}
    }

    fn unpack(value: Value<'_>) -> Option<(Token, &str)> {
        if let Value::Entity(token, text) = value { Some((token, text)) } else { None }
    }

    fn run<'a>(op: &'a Never, row: &'a dyn Row) -> Result<(Token, &'a str), EvalError> {
        op.run(row)
    }
}

/// The operator that gives a text: the value of an entity, as the client gave it.
#[derive(Debug)]
pub(super) struct ValueOf(pub(super) Expr<Entity>);

#[derive(Debug)]
pub(super) enum Text {}

impl Kind for Text {
    type Value<'a> = &'a str;
    type Const = Box<str>;
    type Op = ValueOf;

    fn lend(constant: &Box<str>) -> &str {
        constant
    }

    fn unpack(value: Value<'_>) -> Option<&str> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }

    fn run<'a>(op: &'a ValueOf, row: &'a dyn Row) -> Result<&'a str, EvalError> {
        op.0.eval(row).map(|(_, text)| text)
    }
}

/// An expression of any type.
#[derive(Debug)]
pub(super) enum Code {
    Bool(Expr<Bool>),
    Int(Expr<Int>),
    Double(Expr<Double>),
    Text(Expr<Text>),
    Time(Expr<Time>),
    Duration(Expr<Duration>),
    Account(Expr<Account>),
    Entity(u16, Expr<Entity>),
}

impl Code {
    /// Reads the value in `slot`.
    pub(super) fn slot(slot: Slot, ty: Type) -> Self {
        match ty {
            Type::Bool => Self::Bool(Expr::Slot(slot)),
            Type::Int => Self::Int(Expr::Slot(slot)),
            Type::Double => Self::Double(Expr::Slot(slot)),
            Type::Text => Self::Text(Expr::Slot(slot)),
            Type::Time => Self::Time(Expr::Slot(slot)),
            Type::Duration => Self::Duration(Expr::Slot(slot)),
            Type::Account => Self::Account(Expr::Slot(slot)),
            Type::Entity(kind) => Self::Entity(kind, Expr::Slot(slot)),
        }
    }

    /// A constant, if its type has constants.
    pub(super) fn constant(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(Expr::Const(value))),
            Value::Int(value) => Some(Self::Int(Expr::Const(value))),
            Value::Double(value) => Some(Self::Double(Expr::Const(value))),
            Value::Text(value) => Some(Self::Text(Expr::Const(value.into()))),
            Value::Time(value) => Some(Self::Time(Expr::Const(value))),
            Value::Duration(value) => Some(Self::Duration(Expr::Const(value))),
            Value::Account(_) | Value::Entity(..) => None,
        }
    }

    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::Text,
            Self::Time(_) => Type::Time,
            Self::Duration(_) => Type::Duration,
            Self::Account(_) => Type::Account,
            Self::Entity(kind, _) => Type::Entity(*kind),
        }
    }

    pub(super) fn eval<'a>(&'a self, row: &'a dyn Row) -> Result<Value<'a>, EvalError> {
        match self {
            Self::Bool(expr) => expr.eval(row).map(Value::Bool),
            Self::Int(expr) => expr.eval(row).map(Value::Int),
            Self::Double(expr) => expr.eval(row).map(Value::Double),
            Self::Text(expr) => expr.eval(row).map(Value::Text),
            Self::Time(expr) => expr.eval(row).map(Value::Time),
            Self::Duration(expr) => expr.eval(row).map(Value::Duration),
            Self::Account(expr) => expr.eval(row).map(Value::Account),
            Self::Entity(_, expr) => expr.eval(row).map(|(token, text)| Value::Entity(token, text)),
        }
    }
}
