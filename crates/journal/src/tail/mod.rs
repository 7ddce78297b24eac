//! Following the log: entries that are decoded once and shared by all who want them.
//!
//! A [`Follower`] is a place in the log. It takes entries from an [`EntryRun`]: up to 128 consecutive entries, each
//! with [what it refers to](EntryInContext). A [`Tail`] keeps the runs that were decoded last and knows which reads are
//! under way, so that followers who want the same entries cause one read. It is a state machine: whoever is told to
//! read calls [`FileReader::runs`](crate::FileReader::runs) and brings the result back.
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

/// How much decoded log is kept for followers.
#[derive(Debug, Clone, Copy)]
pub struct TailBounds {
    /// The newest entries, which followers at the end of the log share.
    pub recent: RunBounds,
    /// Older entries, which followers that are behind share when they are near each other.
    pub older: RunBounds,
}

/// The most that is kept of something; whichever is reached first counts.
#[derive(Debug, Clone, Copy)]
pub struct RunBounds {
    pub entries: usize,
    /// Bytes of memory, about.
    pub bytes: usize,
}

impl TailBounds {
    /// 48 MiB of memory in all.
    pub const STANDARD: Self = Self {
        recent: RunBounds { entries: 131_072, bytes: 32 << 20 },
        older: RunBounds { entries: 65_536, bytes: 16 << 20 },
    };
}

/// The decoded runs of a log and the reads that are under way. `W` is what a follower waits with for a read to end.
#[derive(Debug)]
pub struct Tail<W> {
    recent: Shelf,
    older: Shelf,
    reads: BTreeMap<Seq, W>,
}

/// How a follower gets the entry that it wants.
#[derive(Debug)]
pub enum Look<W> {
    /// It was decoded already.
    Found(Arc<EntryRun>),
    /// Somebody else is reading it.
    Wait(W),
    /// The follower has to see to it that it is read: see [`Tail::begin`].
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

    /// Whether an entry comes after all that is kept: whoever keeps up wants such entries.
    pub fn is_newest(&self, wanted: Seq) -> bool {
        self.recent.last().is_none_or(|newest| wanted > newest)
    }

    /// A read of the entry `wanted` begins. Until [`Tail::end`], others who want it wait with `waiter`.
    pub fn begin(&mut self, wanted: Seq, waiter: W) {
        self.reads.insert(wanted, waiter);
    }

    /// Keeps what a read brought. The oldest runs make room where the bounds are reached.
    pub fn keep(&mut self, runs: Vec<Arc<EntryRun>>) {
        for run in runs {
            let shelf = if self.is_newest(run.first()) { &mut self.recent } else { &mut self.older };
            shelf.put(run);
        }
    }

    /// A read of the entry `wanted` is over, whether it brought anything or not; `is_it` says whether the read that others
    /// wait for is this one.
    pub fn end(&mut self, wanted: Seq, is_it: impl FnOnce(&W) -> bool) {
        if self.reads.get(&wanted).is_some_and(is_it) {
            self.reads.remove(&wanted);
        }
    }

    /// How many decoded entries are kept, and about how many bytes of memory they take.
    pub fn kept(&self) -> (usize, usize) {
        (self.recent.entries() + self.older.entries(), self.recent.bytes() + self.older.bytes())
    }
}
