//! A single value of a file, and its conversion to the types that payments need.

use std::borrow::Cow;
use std::fmt;

use policy::AMOUNT_MAX;
use types::{Amount, Timestamp, shorten};

/// A value as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Text(&'a str),
    /// Bytes that are not UTF-8 text.
    NotUtf8,
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit floating-point number.
    Double(f64),
    /// A 32-bit floating-point number.
    Float(f32),
    /// A boolean.
    Bool(bool),
    /// Nanoseconds since 1970. Negative if the instant does not fit in 63 bits.
    Time(i64),
    /// `unscaled` · 10^−scale.
    Decimal {
        /// The number without its decimal point.
        unscaled: i128,
        /// The number of digits after the decimal point.
        scale: u32,
    },
}

/// How far a double may differ from a whole number of minor units, in minor units.
const MINOR_UNITS_TOLERANCE: f64 = 1e-6;

/// Whole doubles below this limit, 2^53, are exact.
pub(crate) const WHOLE_DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

impl<'a> Cell<'a> {
    /// The value as text, with numbers in their shortest decimal form. An id 7 is the same id whether the file has it
    /// as a number, as text, or as 7.0, which a column with missing values produces.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Cell::Null | Cell::NotUtf8 => None,
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            Cell::Int(number) => Some(Cow::Owned(number.to_string())),
            Cell::Double(number) => Some(Cow::Owned((number + 0.0).to_string())),
            Cell::Float(number) => Some(Cow::Owned((number + 0.0).to_string())),
            Cell::Bool(yes) => Some(Cow::Borrowed(if yes { "true" } else { "false" })),
            Cell::Time(_) => self.time().map(|at| Cow::Owned(at.to_string())),
            Cell::Decimal { unscaled, scale } => Some(Cow::Owned(decimal_text(unscaled, scale))),
        }
    }

    /// The value as an instant: a timestamp, or a text in the form of RFC 3339. The text may lack the seconds or the whole
    /// time of day, which are then zero, and the offset, which is then UTC.
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Cell::Time(ns) => u64::try_from(ns).ok().map(Timestamp::from_ns),
            Cell::Text(text) => {
                // Many files write a space instead of the T of RFC 3339, and no offset, no seconds, or only the date.
                let (date, rest) = text.split_once([' ', 'T', 't']).unwrap_or((text, "00:00"));
                let (time_of_day, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
                let seconds = if time_of_day.len() == "00:00".len() { ":00" } else { "" };
                let offset = if offset.is_empty() { "Z" } else { offset };
                format!("{date}T{time_of_day}{seconds}{offset}").parse().ok()
            }
            Cell::Null
            | Cell::NotUtf8
            | Cell::Int(_)
            | Cell::Double(_)
            | Cell::Float(_)
            | Cell::Bool(_)
            | Cell::Decimal { .. } => None,
        }
    }

    /// The value as a 64-bit integer.
    pub fn int(self) -> Option<i64> {
        match self {
            Cell::Int(number) => Some(number),
            // A column with missing values is often written with decimals, so that 3 is 3.0.
            Cell::Text(text) => text.parse().ok().or_else(|| i64::try_from(exact(text, 0)?).ok()),
            Cell::Double(number) => whole(number),
            Cell::Float(number) => whole(number.into()),
            Cell::Decimal { unscaled, scale } => i64::try_from(rescaled(unscaled, scale, 0)?).ok(),
            Cell::Null | Cell::NotUtf8 | Cell::Bool(_) | Cell::Time(_) => None,
        }
    }

    /// The value as a floating-point number.
    pub fn double(self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "a double attribute has the nearest double")]
            Cell::Int(number) => Some(number as f64),
            Cell::Text(text) => text.parse().ok(),
            Cell::Double(number) => Some(number),
            Cell::Float(number) => Some(number.into()),
            Cell::Decimal { unscaled, scale } => decimal_text(unscaled, scale).parse().ok(),
            Cell::Null | Cell::NotUtf8 | Cell::Bool(_) | Cell::Time(_) => None,
        }
    }

    /// The value as a boolean: a boolean, 1 or 0, or one of these as text.
    pub fn bool(self) -> Option<bool> {
        match (self, self.int()) {
            (Cell::Bool(yes), _) => Some(yes),
            (Cell::Text(text), _) if text.eq_ignore_ascii_case("true") => Some(true),
            (Cell::Text(text), _) if text.eq_ignore_ascii_case("false") => Some(false),
            (_, Some(0)) => Some(false),
            (_, Some(1)) => Some(true),
            (_, _) => None,
        }
    }

    /// The value as an amount in minor units, given in units of 10^`scale` minor units. The conversion is exact for
    /// whole numbers and decimals. A double must be within a millionth of a whole number of minor units. The amount
    /// must be from 0 to [`AMOUNT_MAX`].
    pub fn amount(self, scale: u8) -> Option<Amount> {
        let scale = u32::from(scale);
        let minor = match self {
            Cell::Int(number) => rescaled(number.into(), 0, scale),
            Cell::Decimal { unscaled, scale: digits } => rescaled(unscaled, digits, scale),
            Cell::Double(number) => nearest(number, scale),
            // A 32-bit 12.34 differs too much from 12.34 when converted to 64 bits, so use its shortest decimal form.
            Cell::Float(number) => exact(&number.to_string(), scale),
            // Files written from doubles contain text such as 0.30000000000000004.
            Cell::Text(text) => exact(text, scale).or_else(|| nearest(text.parse().ok()?, scale)),
            Cell::Null | Cell::NotUtf8 | Cell::Bool(_) | Cell::Time(_) => None,
        };
        let amount = Amount::new(u128::try_from(minor?).ok()?);
        (amount <= AMOUNT_MAX).then_some(amount)
    }
}

impl fmt::Display for Cell<'_> {
    /// The value as messages show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.text()) {
            (Cell::Null, _) => f.write_str("no value"),
            (Cell::NotUtf8, _) => f.write_str("bytes that are not UTF-8"),
            (_, None) => f.write_str("a time outside 1970 to 2262"),
            (_, Some(text)) => write!(f, "`{}`", shorten(&text)),
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() <= WHOLE_DOUBLE_MAX;
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 2^53")]
    exact.then_some(number as i64)
}

/// Converts `unscaled` · 10^−`from` to units of 10^−`to`, if the result is a whole number.
fn rescaled(unscaled: i128, from: u32, to: u32) -> Option<i128> {
    match to.checked_sub(from) {
        Some(more) => unscaled.checked_mul(10_i128.checked_pow(more)?),
        None => {
            let divisor = 10_i128.checked_pow(from.checked_sub(to)?)?;
            (unscaled.checked_rem(divisor)? == 0).then(|| unscaled.checked_div(divisor)).flatten()
        }
    }
}

/// Parses a plain decimal, in units of 10^−`scale`.
fn exact(text: &str, scale: u32) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let plain = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let fraction_digits = u32::try_from(fraction.len()).ok().filter(|_| plain)?;
    let shift = 10_i128.checked_pow(fraction_digits)?;
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let unscaled = whole.parse::<i128>().ok()?.checked_mul(shift)?.checked_add(fraction)?;
    rescaled(unscaled.checked_mul(sign)?, fraction_digits, scale)
}

/// The whole number of units of 10^−`scale` that a double stands for.
fn nearest(number: f64, scale: u32) -> Option<i128> {
    const BOUND: f64 = 1e19;
    let scaled = number * 10_f64.powi(i32::try_from(scale).ok()?);
    let rounded = scaled.round();
    let close = (scaled - rounded).abs() <= MINOR_UNITS_TOLERANCE && rounded.abs() < BOUND;
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 10^19")]
    close.then_some(rounded as i128)
}

fn decimal_text(unscaled: i128, scale: u32) -> String {
    let places = usize::try_from(scale).unwrap_or_default();
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = places.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
    let fraction = fraction.trim_end_matches('0');
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(cell: Cell<'_>, scale: u8) -> Option<u128> {
        cell.amount(scale).map(Amount::get)
    }

    #[test]
    fn amounts_are_whole_minor_units() {
        for (text, minor) in [
            ("12.50", Some(1250)),
            ("0", Some(0)),
            ("12", Some(1200)),
            ("12.5000", Some(1250)),
            ("92233720368547758.07", Some(9_223_372_036_854_775_807)),
            ("92233720368547758.08", None),
            ("12.505", None),
            ("-1", None),
            ("-0.00", Some(0)),
            ("0.30000000000000004", Some(30)),
            ("1e2", Some(10_000)),
            ("", None),
            (".5", Some(50)),
            ("12,50", None),
            ("NaN", None),
            ("inf", None),
        ] {
            assert_eq!(amount(Cell::Text(text), 2), minor, "{text}");
        }
        assert_eq!(amount(Cell::Double(57.16), 2), Some(5716));
        assert_eq!(amount(Cell::Double(57.161), 2), None);
        assert_eq!(amount(Cell::Double(-57.16), 2), None);
        assert_eq!(amount(Cell::Float(57.16), 2), Some(5716));
        assert_eq!(amount(Cell::Decimal { unscaled: 12_500, scale: 3 }, 2), Some(1250));
        assert_eq!(amount(Cell::Decimal { unscaled: 12_505, scale: 3 }, 2), None);
        assert_eq!(amount(Cell::Int(7), 0), Some(7));
        assert_eq!(amount(Cell::Int(7), 18), Some(7_000_000_000_000_000_000));
        assert_eq!(amount(Cell::Int(70), 18), None);
    }

    #[test]
    fn times_without_an_offset_are_utc() {
        let time = |text| Cell::Text(text).time().map(|at| at.to_string());
        assert_eq!(time("2018-04-01 00:00:31"), Some("2018-04-01T00:00:31Z".to_owned()));
        assert_eq!(time("2018-04-01 00:00:31.500"), Some("2018-04-01T00:00:31.5Z".to_owned()));
        assert_eq!(time("2018-04-01T02:00:31+02:00"), Some("2018-04-01T00:00:31Z".to_owned()));
        assert_eq!(time("2018-04-01"), Some("2018-04-01T00:00:00Z".to_owned()));
        assert_eq!(time("2018-04-01 09:30"), Some("2018-04-01T09:30:00Z".to_owned()));
        assert_eq!(time("2018-04-01T09:30Z"), Some("2018-04-01T09:30:00Z".to_owned()));
        assert_eq!(time("2018-04-01T09:30+02:00"), Some("2018-04-01T07:30:00Z".to_owned()));
        for text in [
            "2018-04-31",
            "2018-4-1",
            "20180401",
            "01.04.2018",
            "1969-12-31",
            "2018-04-01 ",
            "2018-04-01T",
            "2018-04-01 9:30",
            "2018-04-01 24:00",
            "2018-04-01 09",
            "2018-04-01 09:60",
            "2018-04-01+02:00",
            "",
            " ",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(time("1522540831"), None);
        assert_eq!(Cell::Time(-1).time(), None);
        assert_eq!(Cell::Int(1).time(), None);
    }

    #[test]
    fn an_id_has_the_same_text_in_every_form() {
        for cell in [Cell::Int(7), Cell::Double(7.0), Cell::Text("7"), Cell::Decimal { unscaled: 700, scale: 2 }] {
            assert_eq!(cell.text().as_deref(), Some("7"), "{cell:?}");
        }
        assert_eq!(Cell::Decimal { unscaled: -5, scale: 2 }.text().as_deref(), Some("-0.05"));
    }

    #[test]
    fn numbers_are_read_without_loss() {
        assert_eq!(Cell::Double(3.0).int(), Some(3));
        assert_eq!(Cell::Double(3.5).int(), None);
        assert_eq!(Cell::Text("-3").int(), Some(-3));
        assert_eq!(Cell::Text("true").int(), None);
        assert_eq!(Cell::Int(3).double(), Some(3.0));
        assert_eq!(Cell::Text("TRUE").bool(), Some(true));
        assert_eq!(Cell::Int(2).bool(), None);
        for (text, int, bool) in [
            ("3.0", Some(3), None),
            ("1.0", Some(1), Some(true)),
            ("0.0", Some(0), Some(false)),
            ("-3.00", Some(-3), None),
            ("9223372036854775807.0", Some(i64::MAX), None),
            ("3.5", None, None),
            ("1e0", None, None),
            ("false", None, Some(false)),
        ] {
            assert_eq!((Cell::Text(text).int(), Cell::Text(text).bool()), (int, bool), "{text}");
        }
    }
}
