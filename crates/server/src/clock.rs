//! The only place that reads the machine's clocks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pipeline::Reading;
use rustix::time::{ClockId, clock_gettime};
use types::{Span, Timestamp};

/// Reads both clocks together.
pub(crate) trait Clocks: std::fmt::Debug + Send + Sync {
    fn read(&self) -> Reading;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The wall clock, in UTC. The server checks it against the monotonic clock; see [`pipeline::ClockGuard`].
    pub fn now(self) -> Timestamp {
        self.read().wall
    }
}

impl Clocks for Clock {
    /// The wall clock in UTC (times before 1970 read as 1970), and the time since boot, including time in suspend.
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn read(&self) -> Reading {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_ns(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)).min(Timestamp::MAX);
        let running = clock_gettime(ClockId::Boottime);
        let seconds = Span::from_secs(u64::try_from(running.tv_sec).unwrap_or_default());
        let monotonic = seconds.saturating_add(Span::from_ns(u64::try_from(running.tv_nsec).unwrap_or_default()));
        Reading { wall, monotonic, is_synchronised: was_synchronised(monotonic) }
    }
}

/// What [`was_synchronised`] remembers: until when, in nanoseconds since boot, and the answer.
static ASK_AGAIN_AT_NS: AtomicU64 = AtomicU64::new(0);
static WAS_SYNCHRONISED: AtomicBool = AtomicBool::new(false);
/// How long the kernel's answer is used.
const ASK_EVERY: Span = Span::from_ns(10_000_000);

/// Whether the wall clock was synchronised in the last 10 ms. Every request reads the clock, and asking the kernel takes about twenty times as long as
/// reading both clocks.
fn was_synchronised(monotonic: Span) -> bool {
    if monotonic.ns() >= ASK_AGAIN_AT_NS.load(Ordering::Acquire) {
        WAS_SYNCHRONISED.store(is_synchronised(), Ordering::Relaxed);
        ASK_AGAIN_AT_NS.store(monotonic.saturating_add(ASK_EVERY).ns(), Ordering::Release);
    }
    WAS_SYNCHRONISED.load(Ordering::Relaxed)
}

/// Whether the kernel reports that the wall clock is synchronised, for example by NTP or by the host of a virtual machine.
#[expect(unsafe_code, reason = "no safe library has this call")]
fn is_synchronised() -> bool {
    // SAFETY: the structure consists of numbers, so zeros are a valid value.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the right type that lives through the call. Without a mode, the call only reads.
    let reported = unsafe { libc::adjtimex(&raw mut state) };
    reported >= 0 && reported != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "durations are measured, never decided with")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since [`Stopwatch::start`].
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Converts a standard duration to the core's type.
pub(crate) fn span(duration: Duration) -> Span {
    Span::from_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// Converts a span to the standard library's type.
pub(crate) fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.ns())
}
