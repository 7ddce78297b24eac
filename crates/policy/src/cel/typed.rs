//! The compiled form: a tree whose types are Rust types, so that evaluation needs no type checks.

use std::convert::Infallible;
use std::fmt::Debug;

use types::{AccountId, Token};

use super::code::{BoolOp, DoubleOp, DurationOp, IntOp, TimeOp};
use super::dynamic::AnyOp;
use super::room::Context;
use super::text::TextOp;
use super::value::Const;
use super::{EvalError, Moment, Slot, Type, Value};

/// A type of the language: the form of its values and the operations that give them.
pub(super) trait Kind: Debug {
    /// A value during evaluation.
    type Value<'a>: Copy;
    /// A constant inside a program.
    type Const: Debug;
    /// The operators and functions that give values of this type.
    type Op: Debug;

    fn lend(constant: &Self::Const) -> Self::Value<'_>;
    fn unpack(value: Value<'_>) -> Option<Self::Value<'_>>;
    fn run<'a>(op: &'a Self::Op, cx: &'a Context<'a>) -> Result<Self::Value<'a>, EvalError>;
}

/// An expression that gives a `T`.
#[derive(Debug)]
pub(super) enum Expr<T: Kind> {
    Const(T::Const),
    Slot(Slot),
    /// The variable of a macro.
    Local(u8),
    /// A value whose type is checked when it is evaluated.
    Of(Box<Expr<Any>>),
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

    pub(super) fn of(value: Expr<Any>) -> Self {
        Self::Of(Box::new(value))
    }

    pub(super) fn eval<'a>(&'a self, cx: &'a Context<'a>) -> Result<T::Value<'a>, EvalError> {
        match self {
            Self::Const(constant) => Ok(T::lend(constant)),
            Self::Slot(slot) => {
                let value = cx.row().get(*slot).ok_or(EvalError::Missing(*slot))?;
                T::unpack(value).ok_or(EvalError::Mistyped(*slot))
            }
            Self::Local(index) => T::unpack(cx.local(*index)).ok_or(EvalError::NoOverload),
            Self::Of(value) => T::unpack(value.eval(cx)?).ok_or(EvalError::NoOverload),
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                if condition.eval(cx)? { then.eval(cx) } else { otherwise.eval(cx) }
            }
            Self::Op(op) => T::run(op, cx),
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

            fn run<'a>(op: &'a $op, cx: &'a Context<'a>) -> Result<$value, EvalError> {
                op.run(cx)
            }
        }
    };
}

kind!(Bool, bool, Bool, BoolOp);
kind!(Int, i64, Int, IntOp);
kind!(Double, f64, Double, DoubleOp);
kind!(Time, Moment, Time, TimeOp);
kind!(Duration, i64, Duration, DurationOp);
kind!(Account, AccountId, Account, Never);

/// The operators of types that have none.
#[derive(Debug)]
pub(super) struct Never(Infallible);

impl Never {
    fn run<T>(&self, _cx: &Context<'_>) -> Result<T, EvalError> {
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

    fn run<'a>(op: &'a Never, cx: &'a Context<'a>) -> Result<(Token, &'a str), EvalError> {
        op.run(cx)
    }
}

#[derive(Debug)]
pub(super) enum Text {}

impl Kind for Text {
    type Value<'a> = &'a str;
    type Const = Box<str>;
    type Op = TextOp;

    fn lend(constant: &Box<str>) -> &str {
        constant
    }

    fn unpack(value: Value<'_>) -> Option<&str> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }

    fn run<'a>(op: &'a TextOp, cx: &'a Context<'a>) -> Result<&'a str, EvalError> {
        op.run(cx)
    }
}

/// A value that carries its type: lists, maps, and everything whose type is not known before the evaluation.
#[derive(Debug)]
pub(super) enum Any {}

impl Kind for Any {
    type Value<'a> = Value<'a>;
    type Const = Const;
    type Op = AnyOp;

    fn lend(constant: &Const) -> Value<'_> {
        constant.lend()
    }

    fn unpack(value: Value<'_>) -> Option<Value<'_>> {
        Some(value)
    }

    fn run<'a>(op: &'a AnyOp, cx: &'a Context<'a>) -> Result<Value<'a>, EvalError> {
        op.run(cx)
    }
}

/// What is known about the type of an expression before it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Static {
    /// Any type but `List` and `Map`.
    Scalar(Type),
    List(Box<Static>),
    /// The types of keys and of values.
    Map(Box<Static>, Box<Static>),
}

impl Static {
    pub(super) const DYN: Self = Self::Scalar(Type::Dyn);

    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    /// The type without those of its elements.
    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Scalar(ty) => *ty,
            Self::List(_) => Type::List,
            Self::Map(..) => Type::Map,
        }
    }

    pub(super) fn is_dyn(&self) -> bool {
        *self == Self::DYN
    }

    /// Whether a value of this type may be an entity or an account, or contain one.
    pub(super) fn is_of_rows_only(&self) -> bool {
        match self {
            Self::Scalar(ty) => matches!(ty, Type::Account | Type::Entity(_)),
            Self::List(element) => element.is_of_rows_only(),
            Self::Map(key, value) => key.is_of_rows_only() || value.is_of_rows_only(),
        }
    }

    /// Whether a value of one type may equal one of the other.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        const NUMBERS: [Type; 3] = [Type::Int, Type::Uint, Type::Double];
        match (self, other) {
            (Self::Scalar(Type::Dyn), _) | (_, Self::Scalar(Type::Dyn)) => true,
            (Self::Scalar(left), Self::Scalar(right)) => {
                left == right || (NUMBERS.contains(left) && NUMBERS.contains(right))
            }
            (Self::List(left), Self::List(right)) => left.may_equal(right),
            (Self::Map(left_key, left), Self::Map(right_key, right)) => {
                left_key.may_equal(right_key) && left.may_equal(right)
            }
            (Self::Scalar(_) | Self::List(_) | Self::Map(..), _) => false,
        }
    }

    /// The type of what may be of either type, or `None` if the two cannot be in one list.
    pub(super) fn either(self, other: Self) -> Option<Self> {
        match (self, other) {
            (left, right) if left == right => Some(left),
            (Self::List(left), Self::List(right)) => left.either(*right).map(Self::list),
            (Self::Map(left_key, left), Self::Map(right_key, right)) => {
                Some(Self::map(left_key.either(*right_key)?, left.either(*right)?))
            }
            (left, right) if left.is_of_rows_only() || right.is_of_rows_only() => None,
            (Self::Scalar(_) | Self::List(_) | Self::Map(..), _) => Some(Self::DYN),
        }
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
    /// The types that have no form of their own.
    Any(Static, Expr<Any>),
}

/// Makes the code of a type that has a form of its own from `$expr`, which is written for each of them, and anything
/// else as a value that carries its type.
macro_rules! code_of {
    ($known:expr, $expr:expr) => {
        match $known {
            Static::Scalar(Type::Bool) => Code::Bool($expr),
            Static::Scalar(Type::Int) => Code::Int($expr),
            Static::Scalar(Type::Double) => Code::Double($expr),
            Static::Scalar(Type::Text) => Code::Text($expr),
            Static::Scalar(Type::Time) => Code::Time($expr),
            Static::Scalar(Type::Duration) => Code::Duration($expr),
            Static::Scalar(Type::Account) => Code::Account($expr),
            Static::Scalar(Type::Entity(kind)) => Code::Entity(kind, $expr),
            known @ (Static::Scalar(
                Type::Null | Type::Uint | Type::Bytes | Type::Type | Type::List | Type::Map | Type::Dyn,
            )
            | Static::List(_)
            | Static::Map(..)) => Code::Any(known, $expr),
        }
    };
}

impl Code {
    /// Reads the value in `slot`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are treated alike")]
    pub(super) fn slot(slot: Slot, ty: Type) -> Self {
        let known = match ty {
            Type::List => Static::list(Static::DYN),
            Type::Map => Static::map(Static::DYN, Static::DYN),
            scalar => Static::Scalar(scalar),
        };
        code_of!(known, Expr::Slot(slot))
    }

    /// Reads the variable of a macro.
    pub(super) fn local(index: u8, known: Static) -> Self {
        code_of!(known, Expr::Local(index))
    }

    /// A value of this type, computed as one that carries its type.
    pub(super) fn of(known: Static, value: Expr<Any>) -> Self {
        match known {
            known @ (Static::Scalar(
                Type::Null | Type::Uint | Type::Bytes | Type::Type | Type::List | Type::Map | Type::Dyn,
            )
            | Static::List(_)
            | Static::Map(..)) => Self::Any(known, value),
            known @ Static::Scalar(
                Type::Bool
                | Type::Int
                | Type::Double
                | Type::Text
                | Type::Time
                | Type::Duration
                | Type::Account
                | Type::Entity(_),
            ) => code_of!(known, Expr::of(value)),
        }
    }

    /// A constant, if its type has constants.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are treated alike")]
    pub(super) fn constant(value: Value<'_>, known: Static) -> Option<Self> {
        match value {
            Value::Bool(value) if !known.is_dyn() => Some(Self::Bool(Expr::Const(value))),
            Value::Int(value) if !known.is_dyn() => Some(Self::Int(Expr::Const(value))),
            Value::Double(value) if !known.is_dyn() => Some(Self::Double(Expr::Const(value))),
            Value::Text(value) if !known.is_dyn() => Some(Self::Text(Expr::Const(value.into()))),
            Value::Time(value) if !known.is_dyn() => Some(Self::Time(Expr::Const(value))),
            Value::Duration(value) if !known.is_dyn() => Some(Self::Duration(Expr::Const(value))),
            other => Some(Self::Any(known, Expr::Const(Const::of(other)?))),
        }
    }

    /// What is known about its type.
    pub(super) fn known(&self) -> Static {
        match self {
            Self::Any(known, _) => known.clone(),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Duration(_)
            | Self::Account(_)
            | Self::Entity(..) => Static::Scalar(self.ty()),
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
            Self::Any(known, _) => known.ty(),
        }
    }

    /// The same as a value that carries its type.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are treated alike")]
    pub(super) fn into_any(self) -> Expr<Any> {
        match self {
            Self::Any(_, expr) => expr,
            Self::Bool(Expr::Const(value)) => Expr::Const(Const::Bool(value)),
            Self::Int(Expr::Const(value)) => Expr::Const(Const::Int(value)),
            Self::Double(Expr::Const(value)) => Expr::Const(Const::Double(value)),
            Self::Text(Expr::Const(value)) => Expr::Const(Const::Text(value)),
            Self::Time(Expr::Const(value)) => Expr::Const(Const::Time(value)),
            Self::Duration(Expr::Const(value)) => Expr::Const(Const::Duration(value)),
            Self::Bool(Expr::Local(index))
            | Self::Int(Expr::Local(index))
            | Self::Double(Expr::Local(index))
            | Self::Text(Expr::Local(index))
            | Self::Time(Expr::Local(index))
            | Self::Duration(Expr::Local(index))
            | Self::Account(Expr::Local(index))
            | Self::Entity(_, Expr::Local(index)) => Expr::Local(index),
            other => Expr::op(AnyOp::Pack(other)),
        }
    }

    pub(super) fn eval<'a>(&'a self, cx: &'a Context<'a>) -> Result<Value<'a>, EvalError> {
        match self {
            Self::Bool(expr) => expr.eval(cx).map(Value::Bool),
            Self::Int(expr) => expr.eval(cx).map(Value::Int),
            Self::Double(expr) => expr.eval(cx).map(Value::Double),
            Self::Text(expr) => expr.eval(cx).map(Value::Text),
            Self::Time(expr) => expr.eval(cx).map(Value::Time),
            Self::Duration(expr) => expr.eval(cx).map(Value::Duration),
            Self::Account(expr) => expr.eval(cx).map(Value::Account),
            Self::Entity(_, expr) => expr.eval(cx).map(|(token, text)| Value::Entity(token, text)),
            Self::Any(_, expr) => expr.eval(cx),
        }
    }
}
