//! The segments that a process keeps, and what can be found in them by position.

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

use crate::segments::position::StartAt;

/// A journal whose frames stand in segments of this process, where they can be found by position.
pub trait SegmentStore {
    /// Where the next frame will stand: a later start can begin there, see [`crate::FileJournal::open`]. What it says is of
    /// use once everything appended so far is durable.
    fn place(&self) -> StartAt;
}
