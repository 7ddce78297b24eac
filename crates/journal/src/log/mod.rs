//! What a durable log promises, whether it is a file, memory or, later, several replicas.

use std::fmt;

use engine::Entry;
use types::Seq;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Identity;

pub(crate) mod memory;

/// A durable, ordered log of entries, as the one writer sees that has claimed it.
///
/// * **Order.** Frames are appended in sequence order without gaps; what was appended first is durable first.
/// * **Durability.** An entry is durable when [`DurableLog::sync`] returned a position at or past it. What that means
///   (one disk, several replicas) is the implementation's choice; it survives a crash at any later moment.
/// * **Failure.** After any error nothing is known about what was appended and not yet durable: the next claim finds a part
///   of it, from its beginning, or none. The log is poisoned: every later call fails too. The process stops; the next start
///   continues after the last durable entry.
/// * **Claim.** Each implementation has its own way to claim a log. Two writers never append to the same end: either the
///   second claim is refused while the first writer lives, as a directory's lock does it, or it takes a higher
///   [`types::Epoch`] and fences the first writer, whose appends and syncs answer [`Fault::Fenced`] from then on. A claim
///   finds every entry that was durable, and nothing becomes durable before it afterwards.
/// * **Readers** see durable entries only, from any thread, at any time; also when the log is poisoned.
///
/// Where a frame stands is not the log's business: positions belong to a [`crate::SegmentStore`].
pub trait DurableLog: Send + fmt::Debug {
    /// Reads what is durable.
    type Reader: Reader;

    /// Takes a frame. It is not durable yet.
    fn append(&mut self, frame: &Frame) -> Result<(), Fault>;

    /// Makes everything appended so far durable and returns the last durable sequence.
    fn sync(&mut self) -> Result<Seq, Fault>;

    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// A reader of this log.
    fn reader(&self) -> Self::Reader;

    /// Which history this is, and with which epoch it was claimed.
    fn identity(&self) -> Identity;
}

/// Reads durable entries in order.
pub trait Reader: Clone + Send + Sync + fmt::Debug + 'static {
    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Durable entries from `from` on, in order: at least one if `from` is durable, about as many as one frame holds,
    /// none past the durable position. A sequence of 0 reads from the first entry.
    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault>;
}
