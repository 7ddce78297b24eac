//! Follows the log. Event streams, pages of events, the proofs and copies of the journal all continue from a sequence when
//! the durable position advances.
//!
//! The writer only publishes that position. Entries are decoded when a follower wants them, once for all followers that want
//! the same entries. A separate task decodes them, so a follower that is no longer polled delays nobody.

mod blocking;
mod copies;
mod source;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Decoded, EntryInContext, EntryRun, Fault, Followers, Look, TailBounds};
use tokio::sync::{Semaphore, watch};
use types::Seq;

use crate::Core;
use copies::{Copies, Keeper};
use source::Policies;

/// Most concurrent reads of the newest entries. More wait.
const NEWEST_READS_MAX: usize = 2;
/// Most concurrent reads of older entries. They have a limit of their own so that they do not delay followers that keep up.
const OLDER_READS_MAX: usize = 4;
/// Entries per read for a follower, if there are as many.
const STREAM_ENTRIES: usize = 1_024;

/// The result of a read, shared by its followers; `None` until it has finished.
type Brought = Option<Result<Arc<EntryRun>, Arc<Fault>>>;

/// The state that all followers share.
#[derive(Debug)]
pub(crate) struct Tail {
    shared: Mutex<journal::Tail<watch::Sender<Brought>>>,
    newest_reads: Semaphore,
    older_reads: Semaphore,
    policies: Policies,
    events: Followers,
    proofs: Followers,
    copies: Copies,
}

impl Tail {
    pub(crate) fn new(bounds: TailBounds) -> Self {
        Self {
            shared: Mutex::new(journal::Tail::new(bounds)),
            newest_reads: Semaphore::new(NEWEST_READS_MAX),
            older_reads: Semaphore::new(OLDER_READS_MAX),
            policies: Policies::default(),
            events: Followers::default(),
            proofs: Followers::default(),
            copies: Copies::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, journal::Tail<watch::Sender<Brought>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns durable entries after a sequence, in order.
#[derive(Debug)]
pub(crate) struct Follower {
    core: Core,
    place: journal::Follower,
    /// Entries per read, if there are as many.
    ahead: usize,
}

impl Core {
    /// Follows the log for an event stream.
    pub(crate) fn follow_events(&self, after: Seq) -> Follower {
        Follower { core: self.clone(), place: self.tail().events.join(after), ahead: STREAM_ENTRIES }
    }

    /// Follows the log for the proofs.
    pub(crate) fn follow_proofs(&self, after: Seq) -> Follower {
        Follower { core: self.clone(), place: self.tail().proofs.join(after), ahead: STREAM_ENTRIES }
    }

    /// Reads about `entries` entries for a page. The lag metric does not count such a reader, which stops at the end of its page.
    pub(crate) fn entries_after(&self, after: Seq, count: usize) -> Follower {
        Follower { core: self.clone(), place: journal::Follower::after(after), ahead: count }
    }

    /// Records that a copy of the journal contains everything up to the entry `held`.
    pub(crate) fn note_copy(&self, by: Keeper, held: Seq) {
        self.tail().copies.note(by, held);
    }

    /// Updates the metrics on how far followers are behind.
    pub(crate) fn note_lag(&self) {
        let (tail, durable) = (self.tail(), self.durable());
        let metrics = &self.shared().metrics;
        metrics.set_tail_lag("events", tail.events.lag_entries(durable));
        metrics.set_tail_lag("proofs", tail.proofs.lag_entries(durable));
        metrics.set_tail_lag("segments", tail.copies.lag_entries(durable));
    }

    fn tail(&self) -> &Tail {
        &self.shared().tail
    }

    /// Waits until the entry `wanted` is durable and returns the run that contains it; `None` if the log ends first.
    async fn run_with(&self, wanted: Seq, ahead: usize) -> Result<Option<Arc<EntryRun>>, Arc<Fault>> {
        let mut brought = {
            let mut shared = self.tail().lock();
            match shared.look(wanted) {
                Look::Found(run) => return Ok(Some(run)),
                Look::Wait(read) => read.subscribe(),
                Look::Read => {
                    let (followers, brought) = watch::channel(None);
                    shared.begin(wanted, followers.clone());
                    tokio::spawn(Read { core: self.clone(), wanted, ahead, followers }.run());
                    brought
                }
            }
        };
        match brought.wait_for(Option::is_some).await {
            Ok(brought) => brought.clone().transpose(),
            Err(_no_more) => Ok(None),
        }
    }
}

impl Follower {
    /// The last entry that this follower returned.
    pub(crate) fn given(&self) -> Seq {
        self.place.given()
    }

    /// Waits for the next durable entry; `None` if the server stops first. Dropping the future loses no entry.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<&EntryInContext>, Arc<Fault>> {
        if self.place.wants_run() {
            let Some(run) = self.core.run_with(self.place.wanted(), self.ahead).await? else { return Ok(None) };
            self.place.enter(run);
        }
        Ok(self.place.take())
    }

    /// The next entry, if it is already durable.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn next_durable(&mut self) -> Result<Option<&EntryInContext>, Arc<Fault>> {
        if self.place.wanted() > self.core.durable() { Ok(None) } else { self.next().await }
    }
}

/// A read in progress, for all followers that want its first entry.
struct Read {
    core: Core,
    wanted: Seq,
    /// Entries to read, if there are as many.
    ahead: usize,
    followers: watch::Sender<Brought>,
}

impl Read {
    async fn run(self) {
        let tail = self.core.tail();
        if !self.becomes_durable().await {
            return;
        }
        let is_newest = tail.lock().is_newest(self.wanted);
        let reads = if is_newest { &tail.newest_reads } else { &tail.older_reads };
        // The semaphores are never closed.
        let permit = reads.acquire().await.ok();
        let (core, wanted, ahead) = (self.core.clone(), self.wanted, self.ahead);
        let reading = tokio::task::spawn_blocking(move || core.shared().reader.runs(wanted, ahead, &core));
        let read = reading.await.unwrap_or_else(|panicked| Err(Fault::Poisoned(panicked.to_string())));
        drop(permit);
        let brought = match read.inspect_err(|fault| self.core.shared().guard.note_fault(fault)) {
            Ok(Decoded { runs, frames }) => {
                self.core.shared().metrics.tail_decoded_frames.inc_by(frames);
                let run = runs.iter().find(|run| run.get(wanted).is_some()).cloned();
                tail.lock().keep(runs);
                run.map(Ok)
            }
            Err(fault) => Some(Err(Arc::new(fault))),
        };
        self.followers.send_replace(brought);
    }

    /// Waits until the entry is durable. Returns false if the log ends first, or if no follower wants the entry any more.
    async fn becomes_durable(&self) -> bool {
        loop {
            tokio::select! {
                biased;
                durable = self.core.wait_durable_past(Seq::new(self.wanted.get() - 1)) => return durable,
                () = self.followers.closed() => {
                    let mut shared = self.core.tail().lock();
                    // Under the lock, no other follower can start to wait for this read.
                    if self.followers.is_closed() {
                        shared.end(self.wanted, |read| read.same_channel(&self.followers));
                        return false;
                    }
                }
            }
        }
    }
}

impl Drop for Read {
    /// Ends the read, whatever its result, so that nobody waits for it. Followers read missing entries again.
    fn drop(&mut self) {
        self.core.tail().lock().end(self.wanted, |read| read.same_channel(&self.followers));
    }
}
