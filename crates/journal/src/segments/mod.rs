//! The segments of the log that every process keeps in files of its own, and in which positions mean something.

use std::fmt;

use disk::Disk;

use crate::fault::Fault;

pub(crate) mod content;
pub(crate) mod copy;
pub(crate) mod mark;
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

/// The log in segment files of this process, where index, history, proofs and scrub find entries by position.
///
/// The segments of all processes that keep the same log are the same, byte for byte, so that a position means the same
/// everywhere. How frames get there is the implementation's choice: a [`crate::FileJournal`] writes them as it appends
/// them, a [`crate::FileCopy`] takes them from another process. After any error the store is poisoned: every later call
/// fails too, and the next start finds what was durable.
pub trait SegmentStore: Send + fmt::Debug {
    /// Where the files are.
    type Disk: Disk;

    /// The place behind the last frame that was taken: a later start can begin there, see [`crate::FileJournal::open`].
    /// What it says is of use once that frame is durable.
    fn place(&self) -> StartAt;

    /// Writes down how far the segments are durable, so that a later start can tell damage from a torn tail. Called within
    /// 10 ms of an acknowledgement and at a clean stop.
    fn mark(&mut self) -> Result<(), Fault>;

    /// Reads what is durable, by sequence and by position.
    fn segments(&self) -> FileReader<Self::Disk>;
}
