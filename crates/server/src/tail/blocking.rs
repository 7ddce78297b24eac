//! Follows the log on a thread without an async runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use journal::{CanonicalRun, Fault};
use types::Seq;

use super::Follower;
use crate::clock::Stopwatch;

impl Follower {
    /// Appends the canonical encodings of the next durable entries to `run`, frame by frame, until it has at least `enough`. It
    /// appends none at the end of the durable log. This is faster than decoding entries, and is not shared with other followers.
    pub(crate) fn next_canonical(&mut self, enough: usize, run: &mut CanonicalRun) -> Result<(), Fault> {
        self.core.shared().reader.canonical(self.place.wanted(), enough, run)?;
        let after = Seq::new(self.place.given().get() + run.len() as u64);
        self.place.go_to(after);
        Ok(())
    }

    /// Continues after the entry `after`.
    pub(crate) fn go_to(&mut self, after: Seq) {
        self.place.go_to(after);
    }

    /// Blocks until a new entry is durable, the log ends, or the time has passed.
    pub(crate) fn wait(&self, at_most: Option<Duration>) {
        block_on(self.core.wait_durable_past(self.place.given()), at_most);
    }

    /// Blocks for this time, even if entries become durable meanwhile. Returns early if the log ends.
    pub(crate) fn pause(&self, time: Duration) {
        let mut running = self.core.shared().running.clone();
        block_on(async move { while running.changed().await.is_ok() {} }, Some(time));
    }

    /// True once the writer has ended.
    pub(crate) fn is_log_over(&self) -> bool {
        self.core.shared().running.has_changed().is_err()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; `None` if the time passes first.
fn block_on<T>(future: impl Future<Output = T>, at_most: Option<Duration>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let begun = Stopwatch::start();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match at_most.map(|at_most| at_most.saturating_sub(begun.elapsed())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn a_thread_wakes_when_there_is_news_and_when_the_time_has_passed() {
        let (sender, mut receiver) = watch::channel(0);
        let short = Duration::from_millis(1);
        assert!(block_on(receiver.wait_for(|seen| *seen > 0), Some(short)).is_none());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=100 {
                    sender.send_replace(number);
                    std::thread::yield_now();
                }
            });
            for number in 1..=100 {
                assert!(block_on(receiver.wait_for(|seen| *seen >= number), None).is_some_and(|seen| seen.is_ok()));
            }
        });
        drop(sender);
        assert!(block_on(receiver.wait_for(|seen| *seen > 100), None).is_some_and(|seen| seen.is_err()));
    }
}
