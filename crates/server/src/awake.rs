//! Spinning for a moment before sleeping. Waking an idle processor costs more than a sync of the journal, so one worker
//! polls for more requests for a millisecond after the last one. Only this worker spins: the engine thread blocks and runs
//! at once when it is woken, whereas two spinning threads would compete for a processor. An idle server uses no processor
//! time. See ADR 12.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Stopwatch;

/// How long a worker polls for more after the last request.
const AWAKE: Duration = Duration::from_millis(1);

/// Keeps a worker of the runtime polling its sockets for a moment after each request.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Stopwatch,
    last_us: AtomicU64,
    is_awake: AtomicBool,
    begun: Notify,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            clock: Stopwatch::start(),
            last_us: AtomicU64::new(0),
            is_awake: AtomicBool::new(false),
            begun: Notify::new(),
        }
    }

    /// Records that a request was handled just now.
    pub(crate) fn touch(&self) {
        self.last_us.store(self.now_us(), Ordering::Relaxed);
        if !self.is_awake.load(Ordering::Relaxed) {
            self.begun.notify_one();
        }
    }

    /// Runs forever, as a task of its own.
    pub(crate) async fn stay_awake(&self) -> std::convert::Infallible {
        let moment_us = u64::try_from(AWAKE.as_micros()).unwrap_or(u64::MAX);
        loop {
            self.begun.notified().await;
            self.is_awake.store(true, Ordering::Relaxed);
            let mut seen_us = 0;
            loop {
                let last_us = self.last_us.load(Ordering::Relaxed);
                if self.now_us().saturating_sub(last_us) >= moment_us {
                    break;
                }
                // Yields the processor to other threads, but only after the work that is ready in this runtime.
                if seen_us == last_us {
                    std::thread::yield_now();
                }
                seen_us = last_us;
                tokio::task::yield_now().await;
            }
            self.is_awake.store(false, Ordering::Relaxed);
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
