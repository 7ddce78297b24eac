//! Following the log: event streams, pages of events, the proofs and copies of the journal all go on from a sequence
//! when the durable position moves.
//!
//! Whoever writes the journal only publishes that position. Entries are decoded when a follower wants them, once for
//! all who want the same ones, by a task of its own: a follower that is not polled any more holds up nobody.

mod blocking;
mod copies;
mod source;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Decoded, EntryInContext, EntryRun, Fault, Followers, Look, TailBounds};
use tokio::sync::{Semaphore, watch};
use types::{ActorId, Seq};

use crate::Core;
use copies::Copies;
use source::Policies;

/// Reads of the newest entries at the same time; more wait.
const NEWEST_READS_MAX: usize = 2;
/// Reads of older entries at the same time. They wait apart, so that they hold up nobody who keeps up.
const OLDER_READS_MAX: usize = 4;
/// Entries that are read at once for a follower, if there are as many.
const STREAM_ENTRIES: usize = 1_024;

/// What a read brought its followers, `None` until it is over.
type Brought = Option<Result<Arc<EntryRun>, Arc<Fault>>>;

/// What all followers of the log share.
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

/// Gets durable entries after a sequence, in order.
#[derive(Debug)]
pub(crate) struct Follower {
    core: Core,
    place: journal::Follower,
    /// How many entries are read at once, if there are as many.
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

    /// Reads about so many entries. The lag does not count such a reader, which goes as far as it was asked to.
    pub(crate) fn entries_after(&self, after: Seq, count: usize) -> Follower {
        Follower { core: self.clone(), place: journal::Follower::after(after), ahead: count }
    }

    /// A copy of the journal holds everything up to the entry `held`.
    pub(crate) fn note_copy(&self, by: ActorId, held: Seq) {
        self.tail().copies.note(by, held);
    }

    /// Says in the metrics how far followers are behind.
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

    /// The run that holds the entry `wanted`, once it is durable; `None` when the log ends before.
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
    /// The last entry that it gave.
    pub(crate) fn given(&self) -> Seq {
        self.place.given()
    }

    /// The next entry, however long it takes until it is durable; `None` when the server stops before.
    ///
    /// Dropping the future loses no entry.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<&EntryInContext>, Arc<Fault>> {
        if self.place.wants_run() {
            let Some(run) = self.core.run_with(self.place.wanted(), self.ahead).await? else { return Ok(None) };
            self.place.enter(run);
        }
        Ok(self.place.take())
    }

    /// The next entry if it is durable already.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn next_durable(&mut self) -> Result<Option<&EntryInContext>, Arc<Fault>> {
        if self.place.wanted() > self.core.durable() { Ok(None) } else { self.next().await }
    }
}

/// A read under way, for all followers that want its first entry.
struct Read {
    core: Core,
    wanted: Seq,
    /// How many entries are read, if there are as many.
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

    /// Waits until the entry is durable; false when the log ends before, or nobody wants it any more.
    async fn becomes_durable(&self) -> bool {
        loop {
            tokio::select! {
                biased;
                durable = self.core.wait_durable_past(Seq::new(self.wanted.get() - 1)) => return durable,
                () = self.followers.closed() => {
                    let mut shared = self.core.tail().lock();
                    // Under the lock nobody else can begin to wait for this read.
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
    /// However it ended, nobody waits for it any more: what it did not bring is read again.
    fn drop(&mut self) {
        self.core.tail().lock().end(self.wanted, |read| read.same_channel(&self.followers));
    }
}
