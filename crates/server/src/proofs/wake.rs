//! Waking the thread that keeps the tree, without any cost to whoever wakes it while it does not sleep.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the thread sleeps.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// The thread sleeps, or is about to, until there is news.
    asleep: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    news: bool,
    stopping: bool,
}

impl Wake {
    /// Says that something became durable, after it did.
    pub(crate) fn news(&self) {
        // Together with the other fence: either this sees the thread asleep, or the thread sees what became durable.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.lock().news = true;
            self.changed.notify_one();
        }
    }

    /// Lets the thread finish.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Sleeps for a while, news or none; less when it is time to stop.
    pub(crate) fn pause(&self, pause: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout_while(state, pause, |state| !state.stopping));
    }

    /// Sleeps until there is news or it is time to stop, at most for a while where one is given. There is news already when
    /// `is_behind` says so.
    pub(crate) fn sleep(&self, at_most: Option<Duration>, is_behind: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_behind() {
            let waits = |state: &mut State| !state.stopping && !state.news;
            let state = self.lock();
            match at_most {
                Some(at_most) => drop(self.changed.wait_timeout_while(state, at_most, waits)),
                None => drop(self.changed.wait_while(state, waits)),
            }
        }
        self.asleep.store(false, Ordering::Relaxed);
        self.lock().news = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
