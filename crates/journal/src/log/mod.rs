//! The contract of a durable log, whether it is a file, memory or, later, several replicas.

use std::fmt;

use engine::Entry;
use types::Seq;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Identity;

pub(crate) mod memory;

/// A durable, ordered log of entries, as seen by the one writer that has claimed it.
///
/// * **Order.** Frames are appended in sequence order without gaps, and they become durable in that order.
/// * **Durability.** An entry is durable once [`DurableLog::sync`] has returned a position at or past it; it survives a
///   crash at any later moment. What durable means (one disk, several replicas) is up to the implementation.
/// * **Failure.** After any error, it is unknown whether appended entries that were not yet durable survive: the next
///   claim finds all of them, only the first ones, or none. The log is poisoned: every later call fails too. The
///   process stops; the next start continues after the last entry that it finds.
/// * **Claim.** Each implementation has its own way to claim a log. Two writers never append to the same log: either
///   the second claim is refused while the first writer lives, as a directory's lock does, or the second claim gets a
///   higher [`types::Epoch`] and fences the first writer, whose appends and syncs fail with [`Fault::Fenced`] from then
///   on. A claim finds every entry that was durable, and no earlier writer can make anything durable afterwards.
/// * **Readers** see only durable entries, from any thread, at any time, even if the log is poisoned.
///
/// The log does not know where a frame is stored: positions belong to a [`crate::SegmentStore`].
pub trait DurableLog: Send + fmt::Debug {
    /// The type of this log's readers.
    type Reader: Reader;

    /// Appends a frame, which is not durable yet.
    fn append(&mut self, frame: &Frame) -> Result<(), Fault>;

    /// Makes everything appended so far durable and returns the last durable sequence.
    fn sync(&mut self) -> Result<Seq, Fault>;

    /// The last durable sequence.
    fn durable(&self) -> Seq;

    fn reader(&self) -> Self::Reader;

    /// The history of this log, and the epoch of its claim.
    fn identity(&self) -> Identity;
}

/// Reads durable entries in order.
pub trait Reader: Clone + Send + Sync + fmt::Debug + 'static {
    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Durable entries in order, starting with `from`; 0 means the first entry. Returns at least one entry if `from` is
    /// durable, about as many as one frame contains, and none past the durable position.
    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault>;
}
