//! Exact sliding windows over the history of each entity, from which features are computed.
//!
//! A *stream* keeps, per entity, *records* ordered by (instant, sequence). A window over them is answered exactly or
//! not at all: if a bound has dropped records that a window needs, that window is [`Missing`], never silently short.
//! [`Windows::aggregate`] only reads and is used to decide. [`Windows::apply`] applies the [`Update`]s of journal
//! entries and gives the same state on every replay. This crate uses integers only, does no I/O and
//! reads no clock or randomness.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod entity_records;
mod stream;
mod update;
mod window;
mod windows;

pub use update::{RecordChange, Update, UpdateOutcome};
pub use window::{Aggregate, Missing, Window};
pub use windows::{Stream, StreamId, Windows};
