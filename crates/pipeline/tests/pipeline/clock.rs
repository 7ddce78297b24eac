//! PIP-3, with clocks that jump at random: the time never goes backwards, and never gets further ahead of the monotonic
//! clock than the bound unless an operator confirms it.

use pipeline::{ClockBounds, ClockGuard, Reading};
use types::{Span, Timestamp};

/// The bounds of a server: 10 s, and 24 h at a start.
const BOUNDS: ClockBounds = ClockBounds::STANDARD;
const LAST: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

/// A sequence of numbers below a bound that looks random and is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 16) % bound
    }
}

#[test]
fn the_time_never_goes_back_and_stays_within_the_bound() {
    let (mut believed, mut doubted, mut confirmed) = (0, 0, 0);
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let wall = LAST.saturating_add(Span::from_secs(5));
        let mut reading = Reading { wall, monotonic: Span::ZERO, is_synchronised: false };
        let mut guard = ClockGuard::start(BOUNDS, Some(LAST), reading);
        let (mut told, mut base, mut ahead_max) = (LAST, Reading { wall: LAST, ..reading }, BOUNDS.gap_max);
        for _ in 0..300 {
            let passed = Span::from_ns(numbers.below(3_000_000_000));
            reading.monotonic = reading.monotonic.saturating_add(passed);
            reading.wall = reading.wall.saturating_add(passed);
            let jump = Span::from_ns(numbers.below(40_000_000_000));
            match numbers.below(10) {
                0 => reading.wall = reading.wall.saturating_add(jump),
                1 => reading.wall = reading.wall.checked_sub(jump).expect("a time after 1970"),
                _ => {}
            }
            if numbers.below(20) == 0 {
                guard.confirm(reading);
                (base, ahead_max) = (Reading { wall: reading.wall.max(told), ..reading }, BOUNDS.ahead_max);
                confirmed += 1;
            }
            let now = guard.observe(reading);
            assert!(now >= told, "PIP-3: seed {seed}: {now} is before {told}");
            let expected = base.wall.saturating_add(Span::from_ns(reading.monotonic.ns() - base.monotonic.ns()));
            let latest = expected.saturating_add(ahead_max);
            assert!(now <= latest, "PIP-3: seed {seed}: {now} is after {latest}");
            doubted += u32::from(guard.doubt().is_some());
            if guard.doubt().is_none() && now == reading.wall {
                (base, ahead_max) = (reading, BOUNDS.ahead_max);
                believed += 1;
            }
            told = now;
        }
    }
    assert!(believed > 1_000 && doubted > 1_000 && confirmed > 1_000, "{believed} {doubted} {confirmed}");
}
