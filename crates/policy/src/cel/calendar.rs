//! Parts of a time, and the literal form of durations.

use super::Moment;

pub(super) const SECOND_NS: i64 = 1_000_000_000;
pub(super) const MINUTE_NS: i64 = 60 * SECOND_NS;
pub(super) const HOUR_NS: i64 = 60 * MINUTE_NS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    Millisecond,
    Second,
    Minute,
    Hour,
    /// 0 is Sunday.
    DayOfWeek,
    /// The first is 0.
    DayOfMonth,
    /// The first is 1.
    Date,
    /// January 1st is 0.
    DayOfYear,
    /// January is 0.
    Month,
    Year,
}

impl TimePart {
    /// The part of `time` on a clock that is `offset_seconds` ahead of UTC.
    pub(super) fn of(self, time: Moment, offset_seconds: i64) -> i64 {
        let seconds = time.seconds() + offset_seconds;
        let days = seconds.div_euclid(86_400);
        let of_day = seconds.rem_euclid(86_400);
        match self {
            Self::Millisecond => i64::from(time.nanos() / 1_000_000),
            Self::Second => of_day % 60,
            Self::Minute => of_day / 60 % 60,
            Self::Hour => of_day / 3600,
            // 1970-01-01 was a Thursday.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => Date::of(days).day - 1,
            Self::Date => Date::of(days).day,
            Self::DayOfYear => days - days_before_year(Date::of(days).year),
            Self::Month => Date::of(days).month - 1,
            Self::Year => Date::of(days).year,
        }
    }
}

/// A day of the Gregorian calendar. Month and day count from 1.
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

impl Date {
    /// The date that many days after 1970-01-01. Divides the days into eras of 400 years that start on March 1st, as in
    /// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    pub(super) fn of(days: i64) -> Self {
        // 719,468 days lie between 0000-03-01 and 1970-01-01, and an era has 146,097 days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Counted from March, the lengths of the months lie on a straight line of 153 days per five months.
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        Self { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
    }
}

/// Days from 1970-01-01 to January 1st of `year`.
fn days_before_year(year: i64) -> i64 {
    let past = year - 1;
    // 719,162 days lie before 1970 in the calendar extended back to year 1.
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 719_162
}

/// Days from 1970-01-01 to a date, or `None` if there is no such date.
pub(super) fn days_before(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE_MONTH: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = usize::try_from(month).ok()?.checked_sub(1)?;
    let (before, after) = (BEFORE_MONTH.get(index)?, BEFORE_MONTH.get(index + 1)?);
    let length = after - before + i64::from(is_leap && month == 2);
    let leap_day = i64::from(is_leap && month > 2);
    (1..=length).contains(&day).then(|| days_before_year(year) + before + leap_day + day - 1)
}

const UNITS: [(&str, i128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND_NS as i128),
    ("m", MINUTE_NS as i128),
    ("h", HOUR_NS as i128),
    ("d", 24 * HOUR_NS as i128),
];

/// Parses a text such as `1h30m`, `-1.5s` or `7d` into nanoseconds. Fractions of a nanosecond are dropped.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    /// More digits than any duration has, but few enough that nothing below overflows.
    const DIGITS_MAX: usize = 18;
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    let mut parts_count = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        let unit_bytes = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_bytes)?;
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let digits_count = whole.len() + fraction.len();
        if digits_count == 0 || digits_count > DIGITS_MAX || parts_count == UNITS.len() {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).fold(0, |value, byte| value * 10 + i128::from(byte - b'0'));
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total += digits * unit_ns / scale;
        parts_count += 1;
        rest = after;
    }
    let signed = if negative { -total } else { total };
    if parts_count == 0 { None } else { i64::try_from(signed).ok() }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("1h30m", Some(90 * MINUTE_NS)),
            ("-1.5s", Some(-SECOND_NS * 3 / 2)),
            ("7d12h", Some(180 * HOUR_NS)),
            (".5ms", Some(500_000)),
            ("0", Some(0)),
            ("1ms1us1ns", Some(1_001_001)),
            ("106751d23h47m16.854775807s", Some(i64::MAX)),
            ("106751d23h47m16.854775808s", None),
            ("", None),
            ("-", None),
            ("5", None),
            ("h", None),
            (".s", None),
            ("1 h", None),
            ("1w", None),
            ("1H", None),
            ("9999999999999999999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
