//! An instant of the language: between the years 1 and 9999, to the nanosecond.

use std::fmt::{self, Write};

use types::Timestamp;

use super::calendar::{Date, SECOND_NS, days_before};

/// 0001-01-01T00:00:00Z.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const SECONDS_MAX: i64 = 253_402_300_799;

/// An instant in UTC from the year 1 to the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z, rounded down.
    seconds: i64,
    /// Below 1,000,000,000.
    nanos: u32,
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        let ns = i128::from(time.ns());
        Self::from_ns(ns).unwrap_or(Self { seconds: SECONDS_MAX, nanos: 0 })
    }
}

impl Moment {
    pub(super) fn from_seconds(seconds: i64) -> Option<Self> {
        (SECONDS_MIN..=SECONDS_MAX).contains(&seconds).then_some(Self { seconds, nanos: 0 })
    }

    fn from_ns(ns: i128) -> Option<Self> {
        let second_ns = i128::from(SECOND_NS);
        let seconds = i64::try_from(ns.div_euclid(second_ns)).ok()?;
        let nanos = u32::try_from(ns.rem_euclid(second_ns)).ok()?;
        Self::from_seconds(seconds).map(|whole| Self { nanos, ..whole })
    }

    fn ns(self) -> i128 {
        i128::from(self.seconds) * i128::from(SECOND_NS) + i128::from(self.nanos)
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Adds a duration in nanoseconds, if the result is in range.
    pub(super) fn plus(self, ns: i64) -> Option<Self> {
        Self::from_ns(self.ns() + i128::from(ns))
    }

    /// Subtracts a duration in nanoseconds, if the result is in range.
    pub(super) fn minus(self, ns: i64) -> Option<Self> {
        Self::from_ns(self.ns() - i128::from(ns))
    }

    /// The nanoseconds from `earlier` to this, if a duration can hold them.
    pub(super) fn since(self, earlier: Self) -> Option<i64> {
        i64::try_from(self.ns() - earlier.ns()).ok()
    }

    /// Reads RFC 3339, such as `2026-11-22T17:30:00.5+01:00`. Digits past the nanosecond are dropped. Allocates nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = Digits(text.as_bytes());
        let year = rest.number(4)?;
        let month = rest.after(b"-")?.number(2)?;
        let day = rest.after(b"-")?.number(2)?;
        let hour = rest.after(b"Tt")?.number(2)?;
        let minute = rest.after(b":")?.number(2)?;
        let second = rest.after(b":")?.number(2)?;
        let nanos = rest.fraction()?;
        let offset = rest.offset()?;
        let days = days_before(year, month, day)?;
        if hour > 23 || minute > 59 || second > 59 || !rest.0.is_empty() {
            return None;
        }
        let local = days * 86_400 + hour * 3600 + minute * 60 + second;
        Self::from_seconds(local - offset).map(|whole| Self { nanos, ..whole })
    }
}

/// The rest of a text that is being read.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// A number of exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let digit = |value: i64, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'));
        number.iter().try_fold(0, digit)
    }

    /// Skips one of these bytes, which must be next.
    fn after(&mut self, wanted: &[u8]) -> Option<&mut Self> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        wanted.contains(first).then_some(self)
    }

    /// The nanoseconds of a fraction, if there is one.
    fn fraction(&mut self) -> Option<u32> {
        let Some((b'.', rest)) = self.0.split_first() else { return Some(0) };
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at_checked(count)?;
        self.0 = rest;
        let places = digits.iter().map(|byte| u32::from(byte - b'0')).chain(std::iter::repeat(0)).take(9);
        (count > 0).then(|| places.fold(0, |nanos, digit| nanos * 10 + digit))
    }

    /// `Z` or an offset such as `+01:00`, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match first {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2)?;
        let minutes = self.after(b":")?.number(2)?;
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

impl fmt::Display for Moment {
    /// Writes RFC 3339 in UTC, without trailing zeros in the fraction of the second. Allocates nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = Date::of(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write_fraction(f, self.nanos)?;
        f.write_char('Z')
    }
}

/// Writes `.5` for 500,000,000 nanoseconds, and nothing for 0.
pub(super) fn write_fraction(into: &mut impl Write, nanos: u32) -> fmt::Result {
    let (mut digits, mut rest) = (9, nanos);
    if nanos == 0 {
        return Ok(());
    }
    while rest % 10 == 0 {
        rest /= 10;
        digits -= 1;
    }
    write!(into, ".{rest:0digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let cases = [
            ("2026-11-22T17:30:00Z", Some("2026-11-22T17:30:00Z")),
            ("2026-11-22t17:30:00.5z", Some("2026-11-22T17:30:00.5Z")),
            ("2026-11-22T00:30:00.000000001+01:00", Some("2026-11-21T23:30:00.000000001Z")),
            ("2026-11-22T23:30:00.12345678999-01:30", Some("2026-11-23T01:00:00.123456789Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.999999999Z", Some("9999-12-31T23:59:59.999999999Z")),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("1900-02-29T00:00:00Z", None),
            ("0001-01-01T00:00:00+00:01", None),
            ("0000-01-01T00:00:00Z", None),
            ("10000-01-01T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-04-00T00:00:00Z", None),
            ("2026-04-30T24:00:00Z", None),
            ("2026-04-30T23:59:60Z", None),
            ("2026-04-30T23:59:59", None),
            ("2026-04-30T23:59:59.Z", None),
            ("2026-04-30T23:59:59+24:00", None),
            ("2026-04-30T23:59:59Z ", None),
            ("2026-04-30 23:59:59Z", None),
            ("2026-04-30", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Moment::parse(text).map(|moment| moment.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn moments_agree_with_timestamps() {
        for ns in [0, 1, 999_999_999, 1_795_368_645_500_000_000, Timestamp::MAX.ns()] {
            let time = Timestamp::from_ns(ns);
            assert_eq!(Moment::from(time).to_string(), time.to_string());
            assert_eq!(Moment::parse(&time.to_string()), Some(time.into()));
        }
    }
}
