//! Evaluates operators and functions.

use std::cmp::Ordering;

use types::Timestamp;

use super::calendar::TimePart;
use super::typed::{Bool, Double, Duration, Expr, Int, Kind, Text, Time};
use super::{EvalError, Row, Slot};

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
    Accounts(Compare<super::typed::Account>),
    Entities(Compare<super::typed::Entity>),
    /// The list is sorted.
    InInts(Expr<Int>, Box<[i64]>),
    /// The list is sorted.
    InTexts(Expr<Text>, Box<[Box<str>]>),
    Has(Slot),
    StartsWith(Expr<Text>, Expr<Text>),
    EndsWith(Expr<Text>, Expr<Text>),
    Contains(Expr<Text>, Expr<Text>),
}

impl BoolOp {
    pub(super) fn run(&self, row: &dyn Row) -> Result<bool, EvalError> {
        match self {
            Self::Not(value) => value.eval(row).map(|value| !value),
            Self::And(left, right) => decide(false, left, right, row),
            Self::Or(left, right) => decide(true, left, right, row),
            Self::Bools(compare) => compare.run(row),
            Self::Ints(compare) => compare.run(row),
            Self::Doubles(compare) => compare.run(row),
            Self::IntDouble(order, left, right) => {
                Ok(order.holds(compare_int_double(left.eval(row)?, right.eval(row)?)))
            }
            Self::Texts(compare) => compare.run(row),
            Self::Times(compare) => compare.run(row),
            Self::Durations(compare) => compare.run(row),
            Self::Accounts(compare) => compare.run(row),
            Self::Entities(compare) => compare.run(row),
            Self::InInts(value, list) => Ok(list.binary_search(&value.eval(row)?).is_ok()),
            Self::InTexts(value, list) => {
                let value = value.eval(row)?;
                Ok(list.binary_search_by(|item| (**item).cmp(value)).is_ok())
            }
            Self::Has(slot) => Ok(row.get(*slot).is_some()),
            Self::StartsWith(text, part) => Ok(text.eval(row)?.starts_with(part.eval(row)?)),
            Self::EndsWith(text, part) => Ok(text.eval(row)?.ends_with(part.eval(row)?)),
            Self::Contains(text, part) => Ok(text.eval(row)?.contains(part.eval(row)?)),
        }
    }
}

/// `&&` (`decisive` is false) and `||` (`decisive` is true). A side with the decisive value determines the answer, even
/// if the other side is an error.
fn decide(decisive: bool, left: &Expr<Bool>, right: &Expr<Bool>, row: &dyn Row) -> Result<bool, EvalError> {
    match left.eval(row) {
        Ok(value) if value == decisive => Ok(decisive),
        Ok(_) => right.eval(row),
        Err(error) => match right.eval(row) {
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
    fn run<'a>(&'a self, row: &'a dyn Row) -> Result<bool, EvalError> {
        Ok(self.order.holds(self.left.eval(row)?.partial_cmp(&self.right.eval(row)?)))
    }
}

/// 2^63 as a double. The whole part of every double from −2^63 up to, but not including, 2^63 fits an `i64`.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// Compares the exact values. Converting the int to a double first would round it.
fn compare_int_double(int: i64, double: f64) -> Option<Ordering> {
    match whole_part(double) {
        // Equal whole parts: the fraction decides.
        Some(whole) => Some(int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&fraction(double)))),
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

#[derive(Debug)]
pub(super) enum IntOp {
    Negate(Expr<Int>),
    Absolute(Expr<Int>),
    Calc(Calc, Expr<Int>, Expr<Int>),
    Whole(Expr<Double>),
    Seconds(Expr<Time>),
    Chars(Expr<Text>),
    TimePart(TimePart, Expr<Time>),
    /// How many times this many nanoseconds fit in a duration.
    Units(i64, Expr<Duration>),
}

impl IntOp {
    pub(super) fn run(&self, row: &dyn Row) -> Result<i64, EvalError> {
        let result = match self {
            Self::Negate(value) => value.eval(row)?.checked_neg(),
            Self::Absolute(value) => value.eval(row)?.checked_abs(),
            Self::Calc(calc, left, right) => {
                let (left, right) = (left.eval(row)?, right.eval(row)?);
                match calc {
                    Calc::Add => left.checked_add(right),
                    Calc::Subtract => left.checked_sub(right),
                    Calc::Multiply => left.checked_mul(right),
                    Calc::Divide | Calc::Remainder if right == 0 => return Err(EvalError::DivisionByZero),
                    Calc::Divide => left.checked_div(right),
                    Calc::Remainder => left.checked_rem(right),
                    Calc::Least => Some(left.min(right)),
                    Calc::Greatest => Some(left.max(right)),
                }
            }
            Self::Whole(value) => return whole_part(value.eval(row)?).ok_or(EvalError::InvalidConversion),
            Self::Seconds(time) => i64::try_from(time.eval(row)?.ns() / 1_000_000_000).ok(),
            Self::Chars(text) => i64::try_from(text.eval(row)?.chars().count()).ok(),
            Self::TimePart(part, time) => i64::try_from(part.of(time.eval(row)?)).ok(),
            Self::Units(unit_ns, duration) => duration.eval(row)?.checked_div(*unit_ns),
        };
        result.ok_or(EvalError::Overflow)
    }
}

#[derive(Debug)]
pub(super) enum DoubleOp {
    Negate(Expr<Double>),
    Absolute(Expr<Double>),
    Calc(Calc, Expr<Double>, Expr<Double>),
    Nearest(Expr<Int>),
}

impl DoubleOp {
    pub(super) fn run(&self, row: &dyn Row) -> Result<f64, EvalError> {
        Ok(match self {
            Self::Negate(value) => -value.eval(row)?,
            Self::Absolute(value) => value.eval(row)?.abs(),
            Self::Calc(calc, left, right) => {
                let (left, right) = (left.eval(row)?, right.eval(row)?);
                match calc {
                    Calc::Add => left + right,
                    Calc::Subtract => left - right,
                    Calc::Multiply => left * right,
                    Calc::Divide => left / right,
                    Calc::Remainder => left % right,
                    Calc::Least if right < left => right,
                    Calc::Greatest if right > left => right,
                    Calc::Least | Calc::Greatest => left,
                }
            }
            Self::Nearest(value) => nearest_double(value.eval(row)?),
        })
    }
}

#[derive(Debug)]
pub(super) enum TimeOp {
    Later(Expr<Time>, Expr<Duration>),
    Earlier(Expr<Time>, Expr<Duration>),
}

impl TimeOp {
    pub(super) fn run(&self, row: &dyn Row) -> Result<Timestamp, EvalError> {
        let shifted = match self {
            Self::Later(time, by) => signed_ns(time.eval(row)?)?.checked_add(by.eval(row)?),
            Self::Earlier(time, by) => signed_ns(time.eval(row)?)?.checked_sub(by.eval(row)?),
        };
        let ns = shifted.and_then(|ns| u64::try_from(ns).ok());
        ns.map(Timestamp::from_ns).ok_or(EvalError::Overflow)
    }
}

fn signed_ns(time: Timestamp) -> Result<i64, EvalError> {
    i64::try_from(time.ns()).or(Err(EvalError::Overflow))
}

#[derive(Debug)]
pub(super) enum DurationOp {
    Sum(Expr<Duration>, Expr<Duration>),
    Difference(Expr<Duration>, Expr<Duration>),
    /// From the second time to the first.
    Between(Expr<Time>, Expr<Time>),
}

impl DurationOp {
    pub(super) fn run(&self, row: &dyn Row) -> Result<i64, EvalError> {
        let result = match self {
            Self::Sum(left, right) => left.eval(row)?.checked_add(right.eval(row)?),
            Self::Difference(left, right) => left.eval(row)?.checked_sub(right.eval(row)?),
            Self::Between(end, start) => signed_ns(end.eval(row)?)?.checked_sub(signed_ns(start.eval(row)?)?),
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
