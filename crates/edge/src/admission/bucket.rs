//! A token bucket, kept as one time: when it will be full again.

use types::Span;

/// One second, in nanoseconds.
pub(super) const SECOND_NS: u64 = 1_000_000_000;
/// How far one large request may overdraw a bucket. Without a bound, one large batch would lock out a client with a low
/// limit for hours.
const DEBT_MAX_NS: u64 = 10 * SECOND_NS;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Units in a second, at least 1.
    unit_ns: u64,
    window_ns: u64,
}

impl Rate {
    /// A bucket that fills with `per_second` units and holds those of `window`, at least one.
    pub(super) fn new(per_second: u64, window: Span) -> Self {
        let unit_ns = SECOND_NS.checked_div(per_second).unwrap_or(SECOND_NS).max(1);
        Self { unit_ns, window_ns: window.ns().max(unit_ns) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    /// The time at which it is full again, in nanoseconds of the caller's clock.
    full_at_ns: u64,
}

impl Bucket {
    fn used_ns(self, now: Span) -> u64 {
        self.full_at_ns.saturating_sub(now.ns())
    }

    /// Whether there is room for one unit at `now`.
    ///
    /// # Errors
    /// Returns the time until there is, if there is none.
    pub(super) fn check(self, now: Span, rate: Rate) -> Result<(), Span> {
        let excess_ns = self.used_ns(now).saturating_add(rate.unit_ns).saturating_sub(rate.window_ns);
        if excess_ns == 0 { Ok(()) } else { Err(Span::from_ns(excess_ns)) }
    }

    /// Takes units, also more than there are: the time of later requests then pays for them.
    pub(super) fn take(&mut self, now: Span, units: u64, rate: Rate) {
        let used_ns = self.used_ns(now).saturating_add(units.saturating_mul(rate.unit_ns));
        let used_ns = used_ns.min(rate.window_ns.saturating_add(DEBT_MAX_NS));
        self.full_at_ns = now.ns().saturating_add(used_ns);
    }

    /// Takes one unit if there is one. Returns whether there was.
    pub(super) fn try_take(&mut self, now: Span, rate: Rate) -> bool {
        let has_room = self.check(now, rate).is_ok();
        if has_room {
            self.take(now, 1, rate);
        }
        has_room
    }

    /// The units that are left at `now`.
    pub(super) fn left(self, now: Span, rate: Rate) -> u64 {
        rate.window_ns.saturating_sub(self.used_ns(now)).checked_div(rate.unit_ns).unwrap_or_default()
    }

    /// The time until the bucket is full.
    pub(super) fn full_in(self, now: Span) -> Span {
        Span::from_ns(self.used_ns(now))
    }

    pub(super) fn is_full(self, now: Span) -> bool {
        self.used_ns(now) == 0
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::integer_division, reason = "small numbers in tests")]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Span {
        Span::from_ns(ms * 1_000_000)
    }

    #[test]
    fn no_window_admits_more_than_the_rate_and_one_filling() {
        for per_second in [1_u64, 3, 50, 1_000] {
            for step_ms in [1_u64, 7, 100] {
                let rate = Rate::new(per_second, ms(1_000));
                let mut bucket = Bucket::default();
                let admitted = (0..5_000 / step_ms).filter(|step| bucket.try_take(ms(step * step_ms), rate)).count();
                let asked = 5_000 / step_ms;
                let most = per_second * 5 + per_second + 1;
                assert!(admitted as u64 <= most, "{per_second}/s every {step_ms} ms: {admitted} of {asked}");
                assert!(admitted as u64 >= asked.min(per_second * 5), "{per_second}/s every {step_ms} ms: {admitted}");
            }
        }
    }

    #[test]
    fn a_large_request_is_paid_by_the_time_after_it() {
        let rate = Rate::new(10, ms(1_000));
        let mut bucket = Bucket::default();
        assert_eq!((bucket.left(ms(0), rate), bucket.check(ms(0), rate)), (10, Ok(())));
        bucket.take(ms(0), 25, rate);
        assert_eq!(bucket.left(ms(0), rate), 0);
        assert_eq!(bucket.check(ms(0), rate), Err(ms(1_600)));
        assert_eq!(bucket.check(ms(1_599), rate), Err(ms(1)));
        assert_eq!(bucket.check(ms(1_600), rate), Ok(()));
        bucket.take(ms(1_600), u64::MAX, rate);
        assert_eq!(bucket.check(ms(1_600), rate), Err(ms(10_100)), "the debt is bounded");
        assert!(!bucket.is_full(ms(12_599)) && bucket.is_full(ms(12_600)));
    }
}
