//! Chooses how much is admitted while something is overloaded, so that the wait gets short again.

use types::Span;

/// The least rate that is admitted, however long the wait: units in a second.
pub(super) const LEAST_PER_SECOND: u64 = 50;
/// Within this time, the limit should work off a wait that is too long.
const WORK_OFF_WITHIN: Span = Span::from_ns(500_000_000);
/// After this many windows in which the limit held nobody back, there is none.
const CALM_WINDOWS: u32 = 10;
/// A limit is at least this fraction of what was served before, so that a short pause of a disk does not stop everything.
const LEAST_FRACTION: u64 = 8;

/// What a window of time showed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// The shortest wait in the window. A long one that ended within the window was a burst, and no overload.
    pub wait: Span,
    /// Units in a second that were answered.
    pub served: u64,
    /// Units in a second that were asked for.
    pub offered: u64,
}

/// Controls one rate by one wait: the limit falls below what is served while the wait is longer than the target, and rises when
/// it is shorter than half of the target.
#[derive(Debug, Clone, Default)]
pub(super) struct Controller {
    limit: Option<u64>,
    /// What was served in the last windows.
    served: u64,
    /// The highest rate that was served recently.
    best: u64,
    calm_windows: u32,
}

impl Controller {
    /// The rate in units per second that may be admitted; `None` if there is no limit.
    pub(super) const fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The highest rate that was served recently, in units per second.
    pub(super) const fn best(&self) -> u64 {
        self.best
    }

    /// Learns what a window showed. `target` is the wait that is accepted; zero turns the control off.
    pub(super) fn observe(&mut self, target: Span, observed: Observed) {
        self.served = middle(self.served, observed.served);
        self.best = self.best.saturating_sub(self.best >> 6).max(self.served);
        let goal_ns = target.ns() >> 1;
        if target == Span::ZERO {
            self.limit = None;
        } else if observed.wait > target {
            let excess_ns = observed.wait.ns().saturating_sub(goal_ns).min(WORK_OFF_WITHIN.ns());
            let parts = u128::from(WORK_OFF_WITHIN.ns().saturating_sub(excess_ns));
            let kept = u128::from(self.served).saturating_mul(parts).checked_div(u128::from(WORK_OFF_WITHIN.ns()));
            let kept = kept.and_then(|kept| u64::try_from(kept).ok()).unwrap_or(u64::MAX);
            let least = self.best.checked_div(LEAST_FRACTION).unwrap_or_default().max(LEAST_PER_SECOND);
            self.limit = Some(kept.max(least));
            self.calm_windows = 0;
        } else if let Some(limit) = self.limit {
            let grown = limit.saturating_add((limit >> 5).max(self.best >> 6).max(LEAST_PER_SECOND >> 2));
            let limit = if observed.wait.ns() > goal_ns { limit } else { grown };
            self.calm_windows = if observed.offered < limit { self.calm_windows.saturating_add(1) } else { 0 };
            self.limit = (self.calm_windows < CALM_WINDOWS).then_some(limit);
        }
    }
}

/// The middle of two numbers.
pub(super) const fn middle(a: u64, b: u64) -> u64 {
    (a >> 1).saturating_add(b >> 1).saturating_add(a & b & 1)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::integer_division, reason = "small numbers in tests")]
mod tests {
    use super::*;

    const TARGET: Span = Span::from_ns(100_000_000);
    const WINDOW_S: f64 = 0.1;

    /// Plays seconds of load against a server that serves `capacity` units a second in order, and returns the wait at the end of
    /// each window in milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a simulation"
    )]
    fn play(controller: &mut Controller, capacity: f64, offered: u64, seconds: u32) -> Vec<f64> {
        let mut waiting = 0.0;
        let mut waits_ms = Vec::new();
        for _ in 0..seconds * 10 {
            let admitted = controller.limit().map_or(offered, |limit| limit.min(offered)) as f64 * WINDOW_S;
            let served = (waiting + admitted).min(capacity * WINDOW_S);
            waiting += admitted - served;
            let wait_ms = waiting / capacity * 1_000.0;
            let wait = Span::from_ns((wait_ms * 1e6) as u64);
            controller.observe(TARGET, Observed { wait, served: (served / WINDOW_S) as u64, offered });
            waits_ms.push(wait_ms);
        }
        waits_ms
    }

    #[test]
    fn at_twice_the_capacity_the_wait_stays_near_the_target_and_nothing_stays_behind() {
        for capacity in [300.0, 5_000.0, 100_000.0] {
            let mut controller = Controller::default();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers")]
            let twice = (capacity * 2.0) as u64;
            let waits_ms = play(&mut controller, capacity, twice, 20);
            let longest = waits_ms.iter().fold(0.0_f64, |a, b| a.max(*b));
            assert!(longest < 350.0, "{capacity}/s: the wait reached {longest} ms: {waits_ms:?}");
            let later = waits_ms.iter().skip(100).fold(0.0_f64, |a, b| a.max(*b));
            assert!(later < 200.0, "{capacity}/s: later, the wait reached {later} ms: {waits_ms:?}");
            assert!(controller.limit().is_some());
            play(&mut controller, capacity, twice / 4, 3);
            assert_eq!(controller.limit(), None, "{capacity}/s: the limit ends with the overload");
        }
    }

    #[test]
    fn most_of_the_capacity_is_used_during_an_overload() {
        let mut controller = Controller::default();
        play(&mut controller, 10_000.0, 20_000, 10);
        let mut admitted = 0;
        for _ in 0..100 {
            play(&mut controller, 10_000.0, 20_000, 1);
            admitted += controller.limit().unwrap_or(20_000).min(10_000);
        }
        assert!(admitted / 100 > 8_000, "{}", admitted / 100);
    }

    #[test]
    fn a_pause_in_which_nothing_is_served_leaves_a_part_and_ends() {
        let mut controller = Controller::default();
        play(&mut controller, 8_000.0, 7_000, 3);
        assert_eq!(controller.limit(), None);
        for _ in 0..20 {
            controller.observe(TARGET, Observed { wait: Span::from_secs(2), served: 0, offered: 7_000 });
        }
        assert!(controller.limit().is_some_and(|limit| limit >= 500), "{controller:?}");
        play(&mut controller, 8_000.0, 7_000, 10);
        assert_eq!(controller.limit(), None, "{controller:?}");
        controller.observe(Span::ZERO, Observed { wait: Span::from_secs(2), served: 0, offered: 7_000 });
        assert_eq!(controller.limit(), None, "a target of zero turns it off");
    }
}
