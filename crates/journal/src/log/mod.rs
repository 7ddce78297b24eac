//! What every journal promises, whatever it is made of.

use std::fmt;

use engine::Entry;
use types::Seq;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Identity;
use crate::segments::position::FrameAt;

pub(crate) mod memory;

/// A durable, ordered log of entries with one writer.
///
/// * **Order.** Frames are appended in sequence order without gaps; what was appended first is durable first.
/// * **Durability.** An entry is durable when [`Journal::sync`] returned a position at or past it. What that means
///   (one disk, several replicas) is the implementation's choice; it survives a crash at any later moment.
/// * **Failure.** After any error nothing is known about what was not yet durable. The journal is poisoned: every later
///   call fails too. The process stops; the next start continues after the last durable entry.
/// * **Readers** see durable entries only, from any thread, at any time.
pub trait Journal: Send + fmt::Debug {
    /// Reads what is durable.
    type Reader: Reader;

    /// Takes a frame and says where it stands. It is not durable yet.
    fn append(&mut self, frame: &Frame) -> Result<FrameAt, Fault>;

    /// Makes everything appended so far durable and returns the last durable sequence.
    fn sync(&mut self) -> Result<Seq, Fault>;

    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Writes down how far the journal was acknowledged, so that a later start can tell damage from a torn tail.
    /// Called within 10 ms of an acknowledgement and at a clean stop.
    fn mark(&mut self) -> Result<(), Fault>;

    /// A reader of this journal.
    fn reader(&self) -> Self::Reader;

    /// Which history this is.
    fn identity(&self) -> Identity;
}

/// Reads durable entries of a journal.
pub trait Reader: Clone + Send + Sync + fmt::Debug + 'static {
    /// The last durable sequence.
    fn durable(&self) -> Seq;

    /// Durable entries from `from` on, in order: at least one if `from` is durable, about as many as one frame holds,
    /// none past the durable position. A sequence of 0 reads from the first entry.
    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault>;
}
