//! Runs asynchronous client libraries for targets, which are not asynchronous.

use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Runtime};

use crate::target::Fault;

/// How long the tasks of a client run while there is nothing to write.
#[cfg(feature = "nats")]
const IDLE: Duration = Duration::from_millis(1);

/// A runtime of one connection. Its tasks end with it, and nobody waits for those that hang, such as the lookup of a name.
#[derive(Debug)]
pub(crate) struct Blocking {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Blocking {
    /// The tasks of the client run only while the target waits for something.
    ///
    /// # Errors
    /// When the operating system has no means left.
    #[cfg(any(feature = "cassandra", feature = "mongodb", feature = "nats", feature = "objects"))]
    pub(crate) fn new() -> Result<Self, Fault> {
        Self::built(&mut Builder::new_current_thread())
    }

    /// The tasks of the client run at any time, on a thread with this name.
    ///
    /// # Errors
    /// As [`Blocking::new`].
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn with_thread(name: &str) -> Result<Self, Fault> {
        Self::built(Builder::new_multi_thread().worker_threads(1).thread_name(name))
    }

    fn built(builder: &mut Builder) -> Result<Self, Fault> {
        let runtime = builder.enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Unreachable(format!("cannot start the client: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("RUN-1: a runtime is there until it is dropped")
    }

    /// Waits for the work. Whoever does it limits how long each answer may take, with [`within`] or [`answered`].
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // The future of many statements is too large for the stack.
        self.runtime().block_on(Box::pin(work))
    }

    /// As [`Blocking::run`], for work that fails as targets do.
    ///
    /// # Errors
    /// Those of the work.
    #[cfg(any(feature = "cassandra", feature = "mongodb", feature = "rabbitmq"))]
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        self.run(work)
    }

    /// Makes this the current runtime, for clients that look for one when they are made.
    #[cfg(feature = "objects")]
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for an answer, but not longer than `time`. `what` says what does not happen otherwise.
///
/// # Errors
/// [`Fault::Unreachable`] if there is no answer.
pub(crate) async fn within<T>(time: Duration, what: &str, answer: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(time, pin!(answer))
        .await
        .map_err(|_elapsed| Fault::Unreachable(format!("{what} within {} s", time.as_secs_f64())))
}

/// As [`within`], for work that fails as targets do.
///
/// # Errors
/// Those of the work, and [`Fault::Unreachable`] if there is no answer.
#[cfg(any(feature = "cassandra", feature = "mongodb"))]
pub(crate) async fn answered<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    within(limit, "there was no answer", Box::pin(work)).await?
}

/// Lets the tasks of a client run for a moment.
#[cfg(feature = "nats")]
pub(crate) async fn idle() {
    tokio::time::sleep(IDLE).await;
}

#[cfg(all(test, any(feature = "cassandra", feature = "mongodb")))]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_ever() {
        let blocking = Blocking::new().expect("a runtime");
        let late = blocking.wait(answered(Duration::from_millis(20), std::future::pending::<Result<(), Fault>>()));
        assert_eq!(late, Err(Fault::Unreachable("there was no answer within 0.02 s".to_owned())));
        assert_eq!(blocking.wait(answered(Duration::from_secs(9), async { Ok(7) })), Ok(7));
    }
}
