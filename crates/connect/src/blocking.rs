//! Runs client libraries that are asynchronous on the thread of a target.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::target::Fault;

/// A runtime of one connection. The tasks of the client library run only while the target waits for an answer, and end with the runtime.
#[derive(Debug)]
pub(crate) struct Blocking {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Blocking {
    /// A runtime on the thread that calls.
    ///
    /// # Errors
    /// When the operating system has no means left.
    pub(crate) fn new() -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Unreachable(format!("cannot start a runtime: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits for the work. Whoever does it limits how long each answer may take, with [`answered`].
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match &self.runtime {
            // The future of many statements is too large for the stack.
            Some(runtime) => runtime.block_on(Box::pin(work)),
            None => Err(Fault::Unreachable("the connection is closed".to_owned())),
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The lookup of a name may hang in a thread of its own. Nobody waits for it.
            runtime.shutdown_background();
        }
    }
}

/// Waits for an answer, but not longer than `limit`.
///
/// # Errors
/// Those of the work, and [`Fault::Unreachable`] if there is no answer.
pub(crate) async fn answered<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, Box::pin(work)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Fault::Unreachable(format!("no answer within {} s", limit.as_secs_f64()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_ever() {
        let blocking = Blocking::new().expect("a runtime");
        let late = blocking.wait(answered(Duration::from_millis(20), std::future::pending::<Result<(), Fault>>()));
        assert_eq!(late, Err(Fault::Unreachable("no answer within 0.02 s".to_owned())));
        assert_eq!(blocking.wait(answered(Duration::from_secs(9), async { Ok(7) })), Ok(7));
    }
}
