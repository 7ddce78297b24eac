//! Runs asynchronous clients on the thread of their target.

use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::target::Fault;

/// How long the tasks of a client run while there is nothing to write.
const IDLE: Duration = Duration::from_millis(1);

/// A runtime whose tasks run only while the target waits for something.
pub(crate) fn runtime() -> Result<Runtime, Fault> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Unreachable(format!("cannot start the client: {error}")))
}

/// Waits for an answer, but not longer than `time`. `what` says what does not happen otherwise.
pub(crate) async fn within<T>(time: Duration, what: &str, answer: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(time, pin!(answer))
        .await
        .map_err(|_elapsed| Fault::Unreachable(format!("{what} within {} s", time.as_secs())))
}

/// Lets the tasks of a client run for a moment.
pub(crate) async fn idle() {
    tokio::time::sleep(IDLE).await;
}
