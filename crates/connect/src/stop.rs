//! Asks threads to stop.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether the threads that share it should stop.
#[derive(Debug, Default)]
pub struct Stop {
    is_set: Mutex<bool>,
    set: Condvar,
}

impl Stop {
    /// Asks all threads to stop, and wakes those that pause.
    pub fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.set.notify_all();
    }

    pub fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns after this time, or earlier if the threads should stop.
    pub fn pause(&self, time: Duration) {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.set.wait_timeout_while(is_set, time, |is_set| !*is_set));
    }
}
