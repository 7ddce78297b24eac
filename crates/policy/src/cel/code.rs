//! Evaluates operators and functions.

use std::cmp::Ordering;

use super::calendar::TimePart;
use super::each::Each;
use super::pattern::Pattern;
use super::room::Context;
use super::typed::{Account, Any, Bool, Double, Duration, Entity, Expr, Int, Kind, Text, Time};
use super::value::{equal, order};
use super::zone::Zone;
use super::{EvalError, Listed, Moment, Slot, Value};

#[derive(Debug)]
pub(super) enum BoolOp {
    Not(Expr<Bool>),
    And(Expr<Bool>, Expr<Bool>),
    Or(Expr<Bool>, Expr<Bool>),
    Bools(Compare<Bool>),
    Ints(Compare<Int>),
    Doubles(Compare<Double>),
    IntDouble(Order, Expr<Int>, Expr<Double>),
    Texts(Compare<Text>),
    Times(Compare<Time>),
    Durations(Compare<Duration>),
    Accounts(Compare<Account>),
    Entities(Compare<Entity>),
    /// The list is sorted.
    InInts(Expr<Int>, Box<[i64]>),
    /// The list is sorted.
    InTexts(Expr<Text>, Box<[Box<str>]>),
    Has(Slot),
    StartsWith(Expr<Text>, Expr<Text>),
    EndsWith(Expr<Text>, Expr<Text>),
    Contains(Expr<Text>, Expr<Text>),
    Matches(Expr<Text>, Box<Pattern>),
    /// Whether two values are equal (true) or different (false).
    Equal(bool, Expr<Any>, Expr<Any>),
    Ordered(Order, Expr<Any>, Expr<Any>),
    /// Whether a list has an element, or a map a key.
    In(Expr<Any>, Expr<Any>),
    /// Whether the list with this number has a text.
    TextListed(Expr<Text>, u16),
    /// Whether the list with this number has an entity.
    EntityListed(Expr<Entity>, u16),
    All(Each, Expr<Bool>),
    Exists(Each, Expr<Bool>),
    ExistsOne(Each, Expr<Bool>),
    IsNan(Expr<Double>),
    IsInfinite(Expr<Double>),
    IsFinite(Expr<Double>),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
impl BoolOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<bool, EvalError> {
        match self {
            Self::Not(value) => value.eval(cx).map(|value| !value),
            Self::And(left, right) => decide(false, left, right, cx),
            Self::Or(left, right) => decide(true, left, right, cx),
            Self::Bools(compare) => compare.run(cx),
            Self::Ints(compare) => compare.run(cx),
            Self::Doubles(compare) => compare.run(cx),
            Self::IntDouble(order, left, right) => Ok(order.holds(compare_int_double(left.eval(cx)?, right.eval(cx)?))),
            Self::Texts(compare) => compare.run(cx),
            Self::Times(compare) => compare.run(cx),
            Self::Durations(compare) => compare.run(cx),
            Self::Accounts(compare) => compare.run(cx),
            Self::Entities(compare) => compare.run(cx),
            Self::InInts(value, list) => Ok(list.binary_search(&value.eval(cx)?).is_ok()),
            Self::InTexts(value, list) => {
                let value = value.eval(cx)?;
                Ok(list.binary_search_by(|item| (**item).cmp(value)).is_ok())
            }
            Self::Has(slot) => Ok(cx.row().get(*slot).is_some()),
            Self::StartsWith(text, part) => Ok(text.eval(cx)?.starts_with(part.eval(cx)?)),
            Self::EndsWith(text, part) => Ok(text.eval(cx)?.ends_with(part.eval(cx)?)),
            Self::Contains(text, part) => Ok(text.eval(cx)?.contains(part.eval(cx)?)),
            Self::Matches(text, pattern) => Ok(pattern.matches(text.eval(cx)?)),
            Self::Equal(wanted, left, right) => Ok(equal(left.eval(cx)?, right.eval(cx)?) == *wanted),
            Self::Ordered(wanted, left, right) => Ok(wanted.holds(order(left.eval(cx)?, right.eval(cx)?)?)),
            Self::In(value, container) => {
                let value = value.eval(cx)?;
                match container.eval(cx)? {
                    Value::List(list) => Ok(list.contains(value)),
                    Value::Map(map) => Ok(map.get(value).is_some()),
                    _ => Err(EvalError::NoOverload),
                }
            }
            Self::TextListed(value, list) => Ok(cx.row().list_has(*list, Listed::Text(value.eval(cx)?))),
            Self::EntityListed(value, list) => Ok(cx.row().list_has(*list, Listed::Entity(value.eval(cx)?.0))),
            Self::All(each, test) => each.decide(false, test, cx),
            Self::Exists(each, test) => each.decide(true, test, cx),
            Self::ExistsOne(each, test) => each.exactly_one(test, cx),
            Self::IsNan(value) => value.eval(cx).map(f64::is_nan),
            Self::IsInfinite(value) => value.eval(cx).map(f64::is_infinite),
            Self::IsFinite(value) => value.eval(cx).map(f64::is_finite),
        }
    }
}

/// `&&` (`decisive` is false) and `||` (`decisive` is true). A side with the decisive value determines the answer, even
/// if the other side is an error.
fn decide<'a>(
    decisive: bool,
    left: &'a Expr<Bool>,
    right: &'a Expr<Bool>,
    cx: &'a Context<'a>,
) -> Result<bool, EvalError> {
    match left.eval(cx) {
        Ok(value) if value == decisive => Ok(decisive),
        Ok(_) => right.eval(cx),
        Err(error) => match right.eval(cx) {
            Ok(value) if value == decisive => Ok(decisive),
            Ok(_) | Err(_) => Err(error),
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Whether it holds for two sides that compare as `order`. `None` means that one side is not a number, for which
    /// only `!=` holds.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }

    /// The same comparison with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

#[derive(Debug)]
pub(super) struct Compare<T: Kind> {
    pub(super) order: Order,
    pub(super) left: Expr<T>,
    pub(super) right: Expr<T>,
}

impl<T: Kind> Compare<T> {
    fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<bool, EvalError>
    where
        T::Value<'a>: PartialOrd,
    {
        Ok(self.order.holds(self.left.eval(cx)?.partial_cmp(&self.right.eval(cx)?)))
    }
}

/// 2^63 as a double. The whole part of every double from −2^63 up to, but not including, 2^63 fits an `i64`.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// Compares the exact values. Converting the int to a double first would round it.
pub(super) fn compare_int_double(int: i64, double: f64) -> Option<Ordering> {
    match whole_part(double) {
        // Equal whole parts: the fraction decides.
        Some(whole) => Some(int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&fraction(double)))),
        None => 0.0.partial_cmp(&double),
    }
}

/// As [`compare_int_double`].
pub(super) fn compare_uint_double(uint: u64, double: f64) -> Option<Ordering> {
    match whole_uint(double) {
        Some(whole) => Some(uint.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&fraction(double)))),
        None => 0.0.partial_cmp(&double),
    }
}

/// The fraction of a double with the double's sign, or +0.0 if there is none.
fn fraction(double: f64) -> f64 {
    double.fract() + 0.0
}

/// The double without its fraction, if that fits an `i64`.
#[expect(clippy::cast_possible_truncation, reason = "dropping the fraction is intended; the range is checked")]
fn whole_part(double: f64) -> Option<i64> {
    (-TWO_POW_63..TWO_POW_63).contains(&double).then_some(double as i64)
}

/// The double without its fraction, if that fits a `u64`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
pub(super) fn whole_uint(double: f64) -> Option<u64> {
    (0.0..2.0 * TWO_POW_63).contains(&double).then_some(double as u64)
}

/// `int(double)`. The language excludes the smallest int, because a double cannot tell it from its neighbours.
pub(super) fn to_int(double: f64) -> Result<i64, EvalError> {
    whole_part(double).filter(|_| double > -TWO_POW_63).ok_or(EvalError::InvalidConversion)
}

/// The nearest double, as CEL defines `double(uint)`.
#[expect(clippy::cast_precision_loss, reason = "CEL defines this conversion to round")]
pub(super) fn nearest_double_of_uint(uint: u64) -> f64 {
    uint as f64
}

/// The nearest double, as CEL defines `double(int)`.
#[expect(clippy::cast_precision_loss, reason = "CEL defines this conversion to round")]
pub(super) fn nearest_double(int: i64) -> f64 {
    int as f64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calc {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Least,
    Greatest,
}

impl Calc {
    pub(super) fn ints(self, left: i64, right: i64) -> Result<i64, EvalError> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Remainder if right == 0 => return Err(EvalError::DivisionByZero),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
            Self::Least => Some(left.min(right)),
            Self::Greatest => Some(left.max(right)),
        };
        result.ok_or(EvalError::Overflow)
    }

    pub(super) fn uints(self, left: u64, right: u64) -> Result<u64, EvalError> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Remainder if right == 0 => return Err(EvalError::DivisionByZero),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
            Self::Least => Some(left.min(right)),
            Self::Greatest => Some(left.max(right)),
        };
        result.ok_or(EvalError::Overflow)
    }

    pub(super) fn doubles(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
            Self::Least if right < left => right,
            Self::Greatest if right > left => right,
            Self::Least | Self::Greatest => left,
        }
    }
}

#[derive(Debug)]
pub(super) enum IntOp {
    Negate(Expr<Int>),
    Absolute(Expr<Int>),
    Calc(Calc, Expr<Int>, Expr<Int>),
    Whole(Expr<Double>),
    Seconds(Expr<Time>),
    Chars(Expr<Text>),
    /// The length of a string, bytes, a list or a map.
    Size(Expr<Any>),
    TimePart(TimePart, Box<Zone>, Expr<Time>),
    /// How many times this many nanoseconds fit in a duration.
    Units(i64, Expr<Duration>),
    /// The milliseconds within the second.
    Milliseconds(Expr<Duration>),
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
impl IntOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<i64, EvalError> {
        let result = match self {
            Self::Negate(value) => value.eval(cx)?.checked_neg(),
            Self::Absolute(value) => value.eval(cx)?.checked_abs(),
            Self::Calc(calc, left, right) => return calc.ints(left.eval(cx)?, right.eval(cx)?),
            Self::Whole(value) => return to_int(value.eval(cx)?),
            Self::Seconds(time) => Some(time.eval(cx)?.seconds()),
            Self::Chars(text) => i64::try_from(text.eval(cx)?.chars().count()).ok(),
            Self::Size(value) => {
                let size = match value.eval(cx)? {
                    Value::Text(text) => text.chars().count(),
                    Value::Bytes(bytes) => bytes.len(),
                    Value::List(list) => list.len(),
                    Value::Map(map) => map.len(),
                    _ => return Err(EvalError::NoOverload),
                };
                i64::try_from(size).ok()
            }
            Self::TimePart(part, zone, time) => {
                let time = time.eval(cx)?;
                Some(part.of(time, zone.offset_seconds(time)))
            }
            Self::Units(unit_ns, duration) => duration.eval(cx)?.checked_div(*unit_ns),
            Self::Milliseconds(duration) => Some(duration.eval(cx)? / 1_000_000 % 1000),
        };
        result.ok_or(EvalError::Overflow)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    Up,
    Down,
    /// Half away from zero.
    Nearest,
    TowardsZero,
    Sign,
    SquareRoot,
}

#[derive(Debug)]
pub(super) enum DoubleOp {
    Negate(Expr<Double>),
    Absolute(Expr<Double>),
    Calc(Calc, Expr<Double>, Expr<Double>),
    Nearest(Expr<Int>),
    Round(Rounding, Expr<Double>),
}

impl DoubleOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<f64, EvalError> {
        Ok(match self {
            Self::Negate(value) => -value.eval(cx)?,
            Self::Absolute(value) => value.eval(cx)?.abs(),
            Self::Calc(calc, left, right) => calc.doubles(left.eval(cx)?, right.eval(cx)?),
            Self::Nearest(value) => nearest_double(value.eval(cx)?),
            Self::Round(how, value) => {
                let value = value.eval(cx)?;
                match how {
                    Rounding::Up => value.ceil(),
                    Rounding::Down => value.floor(),
                    Rounding::Nearest => value.round(),
                    Rounding::TowardsZero => value.trunc(),
                    Rounding::Sign if value == 0.0 || value.is_nan() => value,
                    Rounding::Sign => value.signum(),
                    Rounding::SquareRoot => value.sqrt(),
                }
            }
        })
    }
}

#[derive(Debug)]
pub(super) enum TimeOp {
    Later(Expr<Time>, Expr<Duration>),
    Earlier(Expr<Time>, Expr<Duration>),
}

impl TimeOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<Moment, EvalError> {
        let shifted = match self {
            Self::Later(time, by) => time.eval(cx)?.plus(by.eval(cx)?),
            Self::Earlier(time, by) => time.eval(cx)?.minus(by.eval(cx)?),
        };
        shifted.ok_or(EvalError::Overflow)
    }
}

#[derive(Debug)]
pub(super) enum DurationOp {
    Sum(Expr<Duration>, Expr<Duration>),
    Difference(Expr<Duration>, Expr<Duration>),
    /// From the second time to the first.
    Between(Expr<Time>, Expr<Time>),
    Negate(Expr<Duration>),
}

impl DurationOp {
    pub(super) fn run<'a>(&'a self, cx: &'a Context<'a>) -> Result<i64, EvalError> {
        let result = match self {
            Self::Sum(left, right) => left.eval(cx)?.checked_add(right.eval(cx)?),
            Self::Difference(left, right) => left.eval(cx)?.checked_sub(right.eval(cx)?),
            Self::Between(end, start) => end.eval(cx)?.since(start.eval(cx)?),
            Self::Negate(value) => value.eval(cx)?.checked_neg(),
        };
        result.ok_or(EvalError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_and_doubles_compare_by_their_exact_values() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            (1, 1.0, Some(Equal)),
            (1, 1.5, Some(Less)),
            (-1, -1.5, Some(Greater)),
            (0, -0.0, Some(Equal)),
            (-3, -3.0, Some(Equal)),
            (0, -0.5, Some(Greater)),
            // The nearest double of this int is 2^53, but the int is one more.
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Some(Greater)),
            (i64::MAX, TWO_POW_63, Some(Less)),
            (i64::MIN, -TWO_POW_63, Some(Equal)),
            (i64::MAX, f64::INFINITY, Some(Less)),
            (i64::MIN, f64::NEG_INFINITY, Some(Greater)),
            (0, f64::NAN, None),
        ];
        for (int, double, expected) in cases {
            assert_eq!(compare_int_double(int, double), expected, "{int} {double}");
        }
    }
}
