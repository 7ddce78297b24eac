//! The local segments: the files in which every process keeps the log. A position refers to these files.

use std::fmt;

use disk::Disk;

use crate::fault::Fault;

pub(crate) mod content;
pub(crate) mod copy;
pub(crate) mod mark;
pub(crate) mod marked;
pub(crate) mod places;
pub(crate) mod position;
pub(crate) mod raw;
pub(crate) mod reader;
pub(crate) mod recover;
pub(crate) mod scrub;
pub(crate) mod segment;
pub(crate) mod writer;

use position::StartAt;
use reader::FileReader;

/// The log in this process's segment files, where the index, history, proofs and the scrub find entries by position.
///
/// All processes that keep the same log have identical segments, byte for byte, so a position means the same in each of
/// them. How frames get there is up to the implementation: a [`crate::FileJournal`] writes them as it appends them; a
/// [`crate::FileCopy`] receives them from another process. After any error the store is poisoned: every later call
/// fails too, and the next start finds what was durable.
pub trait SegmentStore: Send + fmt::Debug {
    /// The directory of the files.
    type Disk: Disk;

    /// The place after the last frame that was written. A later start can begin there, see
    /// [`crate::FileJournal::open`], if that frame is durable by then.
    fn place(&self) -> StartAt;

    /// Writes up to where the segments are durable, so that a later start can tell damage from a torn tail. Must be
    /// called within 10 ms of an acknowledgement, and at a clean stop.
    fn mark(&mut self) -> Result<(), Fault>;

    /// A reader that finds durable entries by sequence and by position.
    fn segments(&self) -> FileReader<Self::Disk>;
}
