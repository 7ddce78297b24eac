//! Decides which time to believe: the wall clock's, as long as it agrees with the monotonic clock and with the journal.
//!
//! Entries contain the wall clock's time for ever, and deadlines, limits and statements depend on it. A clock that jumps
//! ahead would expire every hold at once, and no later entry could undo that. So the guard does not believe a wall clock
//! that runs ahead of the monotonic clock by more than a bound. Meanwhile its time advances with the monotonic clock, and
//! nothing may be written. The guard believes the wall clock again once it is back within the bound, or when an operator
//! confirms it. After a stop nobody knows how much time passed; then the guard also believes a clock that the kernel reports
//! as synchronised.
//!
//! Time in the journal never goes back. While the wall clock is behind it, the guard's time runs at half speed until the
//! wall clock passes it: it must not stand still, because then no deadline would pass and every event would fall into the
//! same window. That is only good enough for short times, so a wall clock that is behind by more than a bound is not
//! believed either, until an operator confirms it.
//!
//! Slow drift does not count as a jump: every believed reading is the base for the next, so only the change between two
//! readings counts. If the clock jumps back, the base stays, so that a clock that recovers does not look like one that jumps
//! ahead.

use types::{Span, Timestamp};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    /// Time since some fixed moment, which nobody can set. It includes the time while the machine is suspended.
    pub monotonic: Span,
    /// Whether the kernel reports that something, such as NTP, keeps the wall clock right.
    pub is_synchronised: bool,
}

/// How far the wall clock may differ from the expected time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockBounds {
    /// Largest lead over the monotonic clock since the last believed reading.
    pub ahead_max: Span,
    /// Furthest behind the time of the journal.
    pub behind_max: Span,
    /// Largest distance after the last entry at a start, unless the clock is synchronised.
    pub gap_max: Span,
    /// Whether to believe the kernel that a clock is synchronised.
    pub is_sync_trusted: bool,
}

impl ClockBounds {
    /// 10 s, 60 s and 24 h.
    pub const STANDARD: Self = Self {
        ahead_max: Span::from_secs(10),
        behind_max: Span::from_secs(60),
        gap_max: Span::from_secs(24 * 3_600),
        is_sync_trusted: true,
    };
}

/// Why the wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The time that the wall clock shows.
    pub wall: Timestamp,
    /// The time that it should show, at the most if it is ahead and at the least if it is behind.
    pub expected: Timestamp,
    /// The base from which `expected` was computed.
    pub since: &'static str,
}

/// Computes the time that entries get from both clocks.
#[derive(Debug, Clone)]
pub struct ClockGuard {
    bounds: ClockBounds,
    /// The base: a believed time at a reading of the monotonic clock.
    base: Reading,
    /// True until the wall clock is believed for the first time. Until then, the base is the last entry.
    is_starting: bool,
    told: Timestamp,
    /// The monotonic clock when `told` was computed.
    told_at: Span,
    /// How far behind an operator accepted the wall clock.
    accepted_behind: Span,
    doubt: Option<Doubt>,
}

impl ClockGuard {
    /// A guard for a journal whose last entry was made at `last`, or `None` if it has no entry.
    pub fn start(bounds: ClockBounds, last: Option<Timestamp>, reading: Reading) -> Self {
        let (wall, is_starting) = last.map_or((reading.wall, false), |last| (last, true));
        let base = Reading { wall, ..reading };
        let told_at = reading.monotonic;
        let accepted_behind = Span::ZERO;
        let mut guard = Self { bounds, base, is_starting, told: wall, told_at, accepted_behind, doubt: None };
        guard.observe(reading);
        guard
    }

    /// The time to use at a reading; never earlier than a time that an earlier call returned.
    pub fn observe(&mut self, reading: Reading) -> Timestamp {
        let passed = Span::from_ns(reading.monotonic.ns().saturating_sub(self.base.monotonic.ns()));
        let since_told = Span::from_ns(reading.monotonic.ns().saturating_sub(self.told_at.ns()));
        let expected = self.base.wall.saturating_add(passed);
        let (ahead_max, since) = if self.is_starting {
            let is_trusted = reading.is_synchronised && self.bounds.is_sync_trusted;
            let gap_max = if is_trusted { Span::from_ns(u64::MAX) } else { self.bounds.gap_max };
            (gap_max, "the last entry")
        } else {
            (self.bounds.ahead_max, "the last time the clock was believed")
        };
        let behind_max = self.bounds.behind_max.max(self.accepted_behind);
        self.doubt = None;
        if reading.wall > expected.saturating_add(ahead_max) {
            self.doubt = Some(Doubt { wall: reading.wall, expected, since });
            self.told = self.told.max(expected);
        } else if self.told > reading.wall.saturating_add(behind_max) {
            // The time stands still: if the wall clock is right, the journal is far enough ahead already.
            self.doubt = Some(Doubt { wall: reading.wall, expected: self.told, since: "the time of the journal" });
        } else if self.told > reading.wall {
            self.told = self.told.saturating_add(Span::from_ns(since_told.ns() >> 1_u32));
        } else {
            self.believe(reading);
        }
        self.told_at = reading.monotonic;
        self.told
    }

    /// Why the wall clock is not believed; `None` if it is.
    pub const fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// How far a wall clock is behind the time of the journal.
    pub fn behind(&self, wall: Timestamp) -> Span {
        Span::from_ns(self.told.ns().saturating_sub(wall.ns()))
    }

    /// Believes the wall clock, because an operator says that it is right.
    pub fn confirm(&mut self, reading: Reading) {
        self.doubt = None;
        let behind = self.behind(reading.wall);
        if behind > Span::ZERO {
            self.base = reading;
            self.is_starting = false;
            self.accepted_behind = behind;
        } else {
            self.believe(reading);
        }
    }

    const fn believe(&mut self, reading: Reading) {
        self.base = reading;
        self.told = reading.wall;
        self.is_starting = false;
        self.accepted_behind = Span::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: ClockBounds = ClockBounds {
        ahead_max: Span::from_secs(10),
        behind_max: Span::from_secs(60),
        gap_max: Span::from_secs(1_000),
        is_sync_trusted: true,
    };

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
        Reading { wall: seconds(wall), monotonic: Span::from_secs(monotonic), is_synchronised: false }
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
    fn a_short_jump_back_halves_the_speed_of_time_until_the_wall_clock_passes_it() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(10, 5_110, 5_110, true);
        clocks.read(20, 5_090, 5_115, true);
        // The clock recovers: this is not a jump ahead.
        clocks.read(100, 5_200, 5_200, true);
        clocks.read(110, 5_150, 5_205, true);
        // Or it does not recover and passes the guard's time.
        clocks.read(200, 5_240, 5_240, true);
        clocks.read(224, 5_264, 5_264, true);
        // From then on it is the base.
        clocks.read(225, 5_276, 5_265, false);
    }

    #[test]
    fn a_long_jump_back_is_not_believed_until_it_is_confirmed() {
        let mut clocks = Clocks::start(5_100);
        clocks.read(10, 5_110, 5_110, true);
        clocks.read(12, 4_000, 5_110, false);
        assert_eq!(clocks.guard.behind(seconds(4_000)), Span::from_secs(1_110));
        clocks.read(50, 4_038, 5_110, false);
        clocks.guard.confirm(reading(4_038, 50));
        clocks.read(60, 4_048, 5_115, true);
        // It jumps once more.
        clocks.read(61, 3_900, 5_115, false);
        clocks.read(63, 4_051, 5_116, true);
        // Ahead of the confirmed time.
        clocks.read(64, 4_063, 5_116, false);
        // It catches up: half of the time that passes is gained.
        clocks.read(2_200, 6_188, 6_188, true);
        clocks.read(2_201, 6_127, 6_188, false);
    }

    #[test]
    fn a_start_with_a_clock_far_before_the_last_entry_is_not_believed() {
        let mut clocks = Clocks::start(4_900);
        clocks.read(0, 4_900, 5_000, false);
        clocks.read(20, 4_920, 5_000, false);
        clocks.read(44, 4_944, 5_012, true);
        clocks.read(104, 5_004, 5_042, true);
        clocks.read(164, 5_064, 5_064, true);
    }

    #[test]
    fn a_synchronised_clock_is_believed_at_a_start_and_not_after_it() {
        let synchronised = |wall, monotonic| Reading { is_synchronised: true, ..reading(wall, monotonic) };
        let mut guard = ClockGuard::start(BOUNDS, Some(seconds(5_000)), synchronised(900_000, 0));
        assert_eq!((guard.observe(synchronised(900_001, 1)), guard.doubt()), (seconds(900_001), None));
        assert_eq!(guard.observe(synchronised(910_000, 2)), seconds(900_002));
        assert!(guard.doubt().is_some());
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
        clocks.read(30, 30, 5_000, false);
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
