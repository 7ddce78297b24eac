//! Spans and timestamps in nanoseconds.

use std::fmt;
use std::str::FromStr;

use crate::shown::shorten;

/// A duration in nanoseconds, at most about 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Span {
    pub const ZERO: Self = Self(0);

    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Saturates at the longest span.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Returns the sum, saturating at the longest span.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl fmt::Display for Span {
    /// Writes a whole number of the largest unit that divides the span: `90m`, `7d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |unit: u64| self.0.checked_rem(unit) == Some(0);
        match UNITS.iter().find(|(_, unit)| self.0 > 0 && divides(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0.checked_div(*unit).unwrap_or_default()),
            None => f.write_str("0s"),
        }
    }
}

/// The string is not a valid [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a span of time such as \"30d\", \"90m\" or \"250ms\" (units d h m s ms us ns)")]
pub struct SpanParseError(String);

impl FromStr for Span {
    type Err = SpanParseError;

    /// Parses a whole number followed by a unit, such as `30d`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || SpanParseError(shorten(text));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (number, suffix) = text.split_at_checked(digits).ok_or_else(malformed)?;
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == suffix).ok_or_else(malformed)?;
        let number: u64 = number.parse().or(Err(malformed()))?;
        number.checked_mul(*unit).map(Self).ok_or_else(malformed)
    }
}

/// An instant in nanoseconds since 1970-01-01T00:00:00Z, up to the year 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);
    /// The latest instant that a ledger can hold, 2^63 − 1 ns.
    pub const MAX: Self = Self(u64::MAX >> 1);

    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Adds `span`, saturating at [`Timestamp::MAX`].
    pub const fn saturating_add(self, span: Span) -> Self {
        let sum = self.0.saturating_add(span.ns());
        if sum > Self::MAX.0 { Self::MAX } else { Self(sum) }
    }

    /// Adds `span`. Returns `None` past [`Timestamp::MAX`].
    pub const fn checked_add(self, span: Span) -> Option<Self> {
        match self.0.checked_add(span.ns()) {
            Some(sum) if sum <= Self::MAX.0 => Some(Self(sum)),
            _ => None,
        }
    }

    /// Subtracts `span`. Returns `None` before 1970.
    pub const fn checked_sub(self, span: Span) -> Option<Self> {
        match self.0.checked_sub(span.ns()) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC, without trailing zeros in the fraction of the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// The string is not a valid [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time between 1970 and 2262, such as \"2026-11-22T17:30:00Z\"")]
pub struct TimestampParseError(String);

impl FromStr for Timestamp {
    type Err = TimestampParseError;

    /// Parses RFC 3339. Date, time and offset are all required.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || TimestampParseError(shorten(text));
        // The library also accepts looser forms of ISO 8601. RFC 3339 requires these separators at these positions.
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        let strict = text.len() <= 40
            && separators.iter().all(|&(position, byte)| text.as_bytes().get(position) == Some(&byte))
            && matches!(text.as_bytes().get(10), Some(b'T' | b't'))
            && offset_in_range(text)
            && !text.contains('[');
        if !strict {
            return Err(malformed());
        }
        let instant: jiff::Timestamp = text.parse().or(Err(malformed()))?;
        let ns = u64::try_from(instant.as_nanosecond()).or(Err(malformed()))?;
        if ns > Self::MAX.0 { Err(malformed()) } else { Ok(Self(ns)) }
    }
}

/// Whether the hours of a numeric offset are below 24. The library does not check this.
fn offset_in_range(text: &str) -> bool {
    let hours = text.rfind(['+', '-']).filter(|place| *place > 10).and_then(|place| text.get(place..)?.get(1..3));
    hours.is_none_or(|hours| hours < "24")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_it_is_written() {
        for text in ["30d", "90m", "1h", "15s", "250ms", "7us", "3ns", "0s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("24h".parse(), Ok(Span::from_secs(86_400)));
        for bad in ["", "5", "d", "1.5h", "-1s", "1 d", "1w", "99999999999999999999d", "300000d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timestamp_reads_as_it_is_written() {
        for text in ["2026-11-22T17:30:00Z", "1970-01-01T00:00:00Z", "2018-04-01T00:00:31.5Z"] {
            assert_eq!(text.parse::<Timestamp>().map(|at| at.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("2026-11-22T18:30:00+01:00".parse::<Timestamp>(), "2026-11-22T17:30:00Z".parse());
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T17:30:00",
            "20261122T173000Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22 17:30:00Z",
            "2026-11-22T17:30:00+25:00",
            "yesterday",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
