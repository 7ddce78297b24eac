//! Staying awake for a moment: waking an idle processor costs more than a sync of the journal, so whoever just had work
//! looks for more for a millisecond before it sleeps. An idle server uses no processor time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Stopwatch;

/// How long after its last work a thread looks for more.
const AWAKE: Duration = Duration::from_millis(1);

/// Asks `ready` again and again, at most for a moment.
pub(crate) fn wait_awake<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Stopwatch::start();
    loop {
        let found = ready();
        if found.is_some() || since.elapsed() >= AWAKE {
            return found;
        }
        std::thread::yield_now();
    }
}

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
            while self.now_us().saturating_sub(self.last_us.load(Ordering::Relaxed)) < moment_us {
                tokio::task::yield_now().await;
                std::thread::yield_now();
            }
            self.is_awake.store(false, Ordering::Relaxed);
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
