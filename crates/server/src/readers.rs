//! Runs what reads files on blocking threads, so that the threads that serve connections never wait for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// The pools of a server. Each kind of reading has its own, so that it does not wait for the others.
#[derive(Debug)]
pub(crate) struct Readers {
    /// Look-ups of payments by id.
    pub(crate) lookups: Pool,
    /// Queries about the past.
    pub(crate) queries: Pool,
    /// Copies of the journal's files.
    pub(crate) copies: Pool,
    /// Proofs, and the entries that they prove.
    pub(crate) proofs: Pool,
    /// Explanations of decisions.
    pub(crate) explanations: Pool,
    /// Searches for earlier policies, and tests of uploaded ones.
    pub(crate) policies: Pool,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            lookups: Pool::new(4),
            queries: Pool::new(4),
            copies: Pool::new(2),
            proofs: Pool::new(2),
            explanations: Pool::new(2),
            policies: Pool::new(1),
        }
    }
}

/// Runs at most a number of jobs at the same time. More wait, in order.
#[derive(Debug)]
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
}

impl Pool {
    fn new(jobs_max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(jobs_max)) }
    }

    /// Runs a job on a blocking thread. If the returned future is dropped, because the client closed its connection, a job that
    /// waits does not start, and one that runs learns it through [`Asker`].
    ///
    /// # Errors
    /// If the job panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Asker) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // The semaphore is never closed. Without a permit the job would still run, only unlimited.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let waiting = Waiting(Asker::default());
        let asker = waiting.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job(&asker)
        })
        .await;
        drop(waiting);
        done
    }
}

/// Tells a job whether somebody still waits for its result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    is_gone: Arc<AtomicBool>,
}

impl Asker {
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

/// Marks the asker as gone when it is dropped.
struct Waiting(Asker);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_learns_it_and_makes_room() {
        let pool = Pool::new(1);
        let (ended, end) = std::sync::mpsc::sync_channel(1);
        let job = pool.run(move |asker| {
            while !asker.is_gone() {
                std::thread::yield_now();
            }
            let _sent = ended.send(());
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(50), job).await.is_err(),
            "the job runs while somebody waits"
        );
        assert_eq!(pool.run(|asker| asker.is_gone()).await.ok(), Some(false), "the next job runs");
        assert!(end.try_recv().is_ok(), "the first job ended before it");
    }

    #[tokio::test]
    async fn a_job_that_waits_for_room_does_not_start_without_an_asker() {
        let pool = Pool::new(0);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let job = pool.run(move |_asker| started.send(()).ok());
        assert!(tokio::time::timeout(Duration::from_millis(20), job).await.is_err());
        assert!(start.try_recv().is_err(), "it did not start");
    }
}
