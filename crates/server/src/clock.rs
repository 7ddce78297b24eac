//! The one place that reads the machine's clocks.

use std::time::{Duration, Instant, SystemTime};

use pipeline::Reading;
use rustix::time::{ClockId, clock_gettime};
use types::{Span, Timestamp};

/// Reads both clocks together.
pub(crate) trait Clocks: Send + Sync {
    fn read(&self) -> Reading;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The wall clock, in UTC. A server does not go by it alone: see its guard.
    pub fn now(self) -> Timestamp {
        self.read().wall
    }
}

impl Clocks for Clock {
    /// The wall clock in UTC, instants before 1970 as 1970, and the time since the machine was started, suspended or not.
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn read(&self) -> Reading {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_ns(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)).min(Timestamp::MAX);
        let running = clock_gettime(ClockId::Boottime);
        let seconds = Span::from_secs(u64::try_from(running.tv_sec).unwrap_or_default());
        let monotonic = seconds.saturating_add(Span::from_ns(u64::try_from(running.tv_nsec).unwrap_or_default()));
        Reading { wall, monotonic }
    }
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "durations are measured, never decided with")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A duration as the core has it.
pub(crate) fn span(duration: Duration) -> Span {
    Span::from_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A span as the standard library has it.
pub(crate) fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.ns())
}
