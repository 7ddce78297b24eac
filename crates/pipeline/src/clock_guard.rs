//! Decides which time to believe: the wall clock's, as long as it agrees with the monotonic clock.
//!
//! Entries contain the wall clock's time for ever, and deadlines, limits and statements depend on it. A clock that
//! jumps ahead would expire every hold at once, and no later entry could undo that. So the guard does not believe a
//! wall clock that runs ahead of the monotonic clock by more than a bound. Meanwhile its time advances with the
//! monotonic clock, and nothing may be written. The guard believes the wall clock again once it is back within the
//! bound, or when an operator confirms it.
//!
//! Slow drift does not count as a jump: every believed reading is the base for the next, so only the change between two
//! readings counts. If the clock jumps back, the guard's time stands still until the wall clock passes it. The base
//! also stays, so that a clock that recovers from a jump back does not look like one that jumps ahead.

use types::{Span, Timestamp};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    /// Time since some fixed moment, which nobody can set. It includes the time while the machine is suspended.
    pub monotonic: Span,
}

/// How far the wall clock may be ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockBounds {
    /// Ahead of the monotonic clock, since the last believed reading.
    pub ahead_max: Span,
    /// Ahead of the last entry, at a start.
    pub gap_max: Span,
}

impl ClockBounds {
    /// 10 s and 24 h.
    pub const STANDARD: Self = Self { ahead_max: Span::from_secs(10), gap_max: Span::from_secs(24 * 3_600) };
}

/// Why the wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The time that the wall clock shows.
    pub wall: Timestamp,
    /// The time that it should show.
    pub expected: Timestamp,
    /// The base from which `expected` was computed.
    pub since: &'static str,
}

/// Tells the time.
#[derive(Debug, Clone)]
pub struct ClockGuard {
    bounds: ClockBounds,
    /// The base: a believed time at a reading of the monotonic clock.
    base: Reading,
    /// True until the wall clock is believed for the first time. Until then, the base is the last entry.
    is_starting: bool,
    told: Timestamp,
    doubt: Option<Doubt>,
}

impl ClockGuard {
    /// A guard for a journal whose last entry was made at `last`, or `None` if it has no entry.
    pub fn start(bounds: ClockBounds, last: Option<Timestamp>, reading: Reading) -> Self {
        let (wall, is_starting) = last.map_or((reading.wall, false), |last| (last, true));
        let base = Reading { wall, ..reading };
        let mut guard = Self { bounds, base, is_starting, told: wall, doubt: None };
        guard.observe(reading);
        guard
    }

    /// The time to use at a reading; never earlier than a time that an earlier call returned.
    pub fn observe(&mut self, reading: Reading) -> Timestamp {
        let passed = Span::from_ns(reading.monotonic.ns().saturating_sub(self.base.monotonic.ns()));
        let expected = self.base.wall.saturating_add(passed);
        let (ahead_max, since) = if self.is_starting {
            (self.bounds.gap_max, "the last entry")
        } else {
            (self.bounds.ahead_max, "the last time it was believed")
        };
        if reading.wall > expected.saturating_add(ahead_max) {
            self.doubt = Some(Doubt { wall: reading.wall, expected, since });
            self.told = self.told.max(expected);
        } else {
            self.doubt = None;
            if reading.wall >= self.told {
                self.believe(reading);
            }
        }
        self.told
    }

    /// Why the wall clock is not believed; `None` if it is.
    pub const fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Believes the wall clock, because an operator says that it is right.
    pub fn confirm(&mut self, reading: Reading) {
        self.doubt = None;
        self.believe(Reading { wall: reading.wall.max(self.told), ..reading });
    }

    const fn believe(&mut self, reading: Reading) {
        self.base = reading;
        self.told = reading.wall;
        self.is_starting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: ClockBounds = ClockBounds { ahead_max: Span::from_secs(10), gap_max: Span::from_secs(1_000) };

    /// A guard after an entry at second 5,000, with both clocks in seconds; the monotonic clock starts at 0.
    struct Clocks {
        guard: ClockGuard,
    }

    impl Clocks {
        fn start(wall: u64) -> Self {
            Self { guard: ClockGuard::start(BOUNDS, Some(seconds(5_000)), reading(wall, 0)) }
        }

        /// Reads both clocks; returns the guard's time and whether the wall clock is believed.
        #[track_caller]
        fn read(&mut self, monotonic: u64, wall: u64, told: u64, believed: bool) {
            let now = self.guard.observe(reading(wall, monotonic));
            assert_eq!((now, self.guard.doubt().is_none()), (seconds(told), believed));
        }
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_ns(seconds * 1_000_000_000)
    }

    fn reading(wall: u64, monotonic: u64) -> Reading {
        Reading { wall: seconds(wall), monotonic: Span::from_secs(monotonic) }
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(1, 5_101, 5_101, true);
        clocks.read(3_600, 8_700, 8_700, true);
    }

    #[test]
    fn a_jump_ahead_is_not_believed_until_it_is_taken_back() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(1, 5_111, 5_111, true);
        clocks.read(2, 5_123, 5_112, false);
        clocks.read(7, 5_128, 5_117, false);
        // Back within the bound.
        clocks.read(9, 5_127, 5_127, true);
        clocks.read(10, 5_128, 5_128, true);
    }

    #[test]
    fn an_operator_confirms_a_jump_ahead() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(1, 9_000, 5_101, false);
        clocks.guard.confirm(reading(9_001, 2));
        clocks.read(3, 9_002, 9_002, true);
        // The next jump counts separately.
        clocks.read(4, 9_100, 9_003, false);
    }

    #[test]
    fn drift_is_absorbed_however_long_it_goes_on() {
        let mut clocks = Clocks::start(5_000);
        for minute in 1..1_000 {
            // Nine seconds per minute, far more than any clock drifts.
            clocks.read(60 * minute, 5_000 + 69 * minute, 5_000 + 69 * minute, true);
        }
    }

    #[test]
    fn a_jump_back_never_makes_time_regress() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(10, 5_110, 5_110, true);
        clocks.read(11, 4_000, 5_110, true);
        // The clock recovers: this is not a jump ahead.
        clocks.read(100, 5_200, 5_200, true);
        clocks.read(101, 5_150, 5_200, true);
        // Or it does not recover and passes the guard's time.
        clocks.read(155, 5_204, 5_204, true);
        // From then on it is the base.
        clocks.read(156, 5_255, 5_205, false);
    }

    #[test]
    fn a_start_long_after_the_last_entry_is_not_believed() {
        let mut clocks = Clocks::start(6_001);
        assert_eq!(clocks.guard.doubt().map(|doubt| doubt.since), Some("the last entry"));
        clocks.read(0, 6_001, 5_000, false);
        clocks.read(5, 6_006, 5_005, false);
        clocks.read(6, 6_005, 6_005, true);
        clocks.read(7, 6_100, 6_006, false);
        let mut clocks = Clocks::start(6_000);
        clocks.read(0, 6_000, 6_000, true);
    }

    #[test]
    fn a_machine_that_starts_with_a_clock_long_past_has_the_gap_until_the_clock_is_set() {
        let mut clocks = Clocks::start(0);
        clocks.read(30, 30, 5_000, true);
        clocks.read(40, 5_900, 5_900, true);
        let mut clocks = Clocks::start(0);
        clocks.read(40, 6_041, 5_040, false);
    }

    #[test]
    fn a_journal_without_entries_believes_what_it_finds() {
        let mut guard = ClockGuard::start(BOUNDS, None, reading(1_000_000, 0));
        assert_eq!((guard.observe(reading(1_000_001, 1)), guard.doubt()), (seconds(1_000_001), None));
        assert_eq!(guard.observe(reading(1_000_100, 2)), seconds(1_000_002));
    }
}
