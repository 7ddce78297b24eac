//! Following the log: entries are decoded once and shared by all followers that need them.
//!
//! A [`Follower`] is a place in the log. It takes entries from an [`EntryRun`]: up to 128 consecutive entries, each
//! with [what it refers to](EntryInContext). A [`Tail`] keeps the runs that were decoded last and knows which reads are
//! in progress, so that followers that need the same entries cause only one read. It is a state machine: a caller that
//! is told to read calls [`FileReader::runs`](crate::FileReader::runs) and returns the result to the tail.
//!
//! | id | invariant |
//! | --- | --- |
//! | TAL-1 | A follower gets every durable entry after its place once, in order. |

mod context;
mod follower;
mod run;
mod shelf;

use std::collections::BTreeMap;
use std::sync::Arc;

use types::Seq;

use shelf::Shelf;

pub use context::{Context, ContextSource, EntryInContext};
pub use follower::{Follower, Followers};
pub use run::{Decoded, EntryRun};

/// Bounds on the decoded entries that are kept for followers.
#[derive(Debug, Clone, Copy)]
pub struct TailBounds {
    /// The newest entries, shared by the followers at the end of the log.
    pub recent: RunBounds,
    /// Older entries, shared by followers that are behind and near each other.
    pub older: RunBounds,
}

/// Bounds on decoded entries; the one that is reached first counts.
#[derive(Debug, Clone, Copy)]
pub struct RunBounds {
    pub entries: usize,
    /// Approximate bytes of memory.
    pub bytes: usize,
}

impl TailBounds {
    /// 48 MiB of memory in all.
    pub const STANDARD: Self = Self {
        recent: RunBounds { entries: 131_072, bytes: 32 << 20 },
        older: RunBounds { entries: 65_536, bytes: 16 << 20 },
    };
}

/// The decoded runs of a log and the reads in progress. `W` is what a follower uses to wait for the end of a read.
#[derive(Debug)]
pub struct Tail<W> {
    recent: Shelf,
    older: Shelf,
    reads: BTreeMap<Seq, W>,
}

/// How a follower gets the next entry that it needs.
#[derive(Debug)]
pub enum Look<W> {
    /// The entry is already decoded.
    Found(Arc<EntryRun>),
    /// Another follower is reading it.
    Wait(W),
    /// The follower must start a read: see [`Tail::begin`].
    Read,
}

impl<W: Clone> Tail<W> {
    pub fn new(bounds: TailBounds) -> Self {
        Self { recent: Shelf::new(bounds.recent), older: Shelf::new(bounds.older), reads: BTreeMap::new() }
    }

    /// How a follower gets the entry `wanted`.
    pub fn look(&self, wanted: Seq) -> Look<W> {
        if let Some(run) = self.recent.get(wanted).or_else(|| self.older.get(wanted)) {
            return Look::Found(run);
        }
        self.reads.get(&wanted).map_or(Look::Read, |waiter| Look::Wait(waiter.clone()))
    }

    /// Whether an entry is newer than everything that is kept. Followers that keep up need such entries.
    pub fn is_newest(&self, wanted: Seq) -> bool {
        self.recent.last().is_none_or(|newest| wanted > newest)
    }

    /// Begins a read of the entry `wanted`. Until [`Tail::end`], other followers that need it wait with `waiter`.
    pub fn begin(&mut self, wanted: Seq, waiter: W) {
        self.reads.insert(wanted, waiter);
    }

    /// Keeps the result of a read. The oldest runs are removed when a bound is reached.
    pub fn keep(&mut self, runs: Vec<Arc<EntryRun>>) {
        for run in runs {
            let shelf = if self.is_newest(run.first()) { &mut self.recent } else { &mut self.older };
            shelf.put(run);
        }
    }

    /// Ends a read of the entry `wanted`, whether or not it returned anything; `is_it` says whether a waiter waits for
    /// this read.
    pub fn end(&mut self, wanted: Seq, is_it: impl FnOnce(&W) -> bool) {
        if self.reads.get(&wanted).is_some_and(is_it) {
            self.reads.remove(&wanted);
        }
    }

    /// The number of decoded entries that are kept, and the approximate bytes of memory that they take.
    pub fn kept(&self) -> (usize, usize) {
        (self.recent.entries() + self.older.entries(), self.recent.bytes() + self.older.bytes())
    }
}
