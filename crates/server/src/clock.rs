//! The one place that reads the machine's clocks.

use std::time::{Duration, Instant, SystemTime};

use types::{Span, Timestamp};

/// The wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Now, in UTC. Instants before 1970 read as 1970; the engine never lets time go back.
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    pub fn now(self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ns(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)).min(Timestamp::MAX)
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

/// A span as the standard library has it.
pub(crate) fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.ns())
}
