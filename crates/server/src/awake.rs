//! Staying awake for a moment: waking an idle processor costs more than a sync of the journal, so one worker looks for
//! more for a millisecond after the last work. It is the only one that does: the engine thread blocks, and takes its
//! place at once when it is woken, while two that wait awake on one processor keep each other from it. An idle server
//! uses no processor time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Stopwatch;

/// How long after the last work a worker looks for more.
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

    /// Notes that there was work just now.
    pub(crate) fn touch(&self) {
        self.last_us.store(self.now_us(), Ordering::Relaxed);
        if !self.is_awake.load(Ordering::Relaxed) {
            self.begun.notify_one();
        }
    }

    /// Never ends; a task of its own.
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
                // Whoever else could run on this processor goes first, but not before the work that is here.
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
