//! Exact sliding windows over the history of each entity: what features are computed from.
//!
//! A *stream* keeps, per entity, *records* ordered by (instant, sequence). Any window over them is answered exactly or
//! not at all: what a bound has dropped makes the windows that would need it [`Missing`], never silently short.
//! [`Windows::aggregate`] reads and is used to decide; [`Windows::apply`] folds the [`Update`]s of journal entries and
//! gives the same state on every replay. Integers only; no I/O, no clock, no randomness.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod history;
mod stream;
mod update;
mod window;
mod windows;

pub use update::{Applied, Change, Update};
pub use window::{Aggregate, Missing, Window};
pub use windows::{Stream, StreamId, Windows};
