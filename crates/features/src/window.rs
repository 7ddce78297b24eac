//! A window's bounds in time, and the sums over the records inside it.

use types::{Span, Timestamp};

/// A span of time that ends `delay` before the instant at which it is asked for: (t − delay − length, t − delay]. The
/// time before 1970 is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// From the excluded start to the included end. A window of length zero is empty.
    pub length: Span,
    /// From the end to the instant at which the window is asked for.
    pub delay: Span,
}

impl Window {
    /// The first and the last instant inside the window as of `at`, or `None` if all of it lies before 1970. The first
    /// is after the last if the window has no length.
    pub(crate) fn instants(self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let last = at.checked_sub(self.delay)?;
        Some((first_within(self.length, last), last))
    }
}

/// The first instant of (at − length, at].
pub(crate) fn first_within(length: Span, at: Timestamp) -> Timestamp {
    at.checked_sub(length).map_or(Timestamp::ZERO, after)
}

/// The instant that follows `at`. Instants are whole nanoseconds below 2^63, so it always exists.
pub(crate) fn after(at: Timestamp) -> Timestamp {
    Timestamp::from_ns(at.ns().saturating_add(1))
}

/// The aggregate of the records in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aggregate {
    /// Number of records in the window. At most 2^32: the bound on an entity's records, plus a candidate.
    pub count: u64,
    /// Sum of their values. Its magnitude stays within 2^95.
    pub sum: i128,
    /// Number of them that have a positive label now, whenever that became known. Never more than `count`.
    pub positives: u64,
}

impl Aggregate {
    /// This aggregate without the records of another one, all of which are in it.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_sub(other.count),
            sum: self.sum.saturating_sub(other.sum),
            positives: self.positives.saturating_sub(other.positives),
        }
    }

    /// This aggregate with one more record, which has the value `value` and no label.
    pub(crate) fn with(self, value: i64) -> Self {
        Self {
            count: self.count.saturating_add(1),
            sum: self.sum.saturating_add(i128::from(value)),
            positives: self.positives,
        }
    }
}

/// Why a window has no exact answer. The name is the stable reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Missing {
    /// The window starts before what is still held of the entity: before the stream's retention, or at records that
    /// `records_max` has dropped.
    #[error("the window starts before the records that are still held")]
    WindowTruncated,
    /// The entity is not held, and the window reaches back to a time when records of entities beyond `entities_max`
    /// were dropped, possibly records of this one.
    #[error("the stream has dropped records of entities beyond its entities_max")]
    TooManyEntities,
    /// The stream was never opened.
    #[error("the stream is not open")]
    UnknownStream,
}
