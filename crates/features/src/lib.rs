//! Exact sliding windows over the history of each entity, from which features are computed.
//!
//! A *stream* keeps, per entity, *records* ordered by (instant, sequence). A window over them is answered exactly or
//! not at all: if a bound has dropped records that a window needs, that window is [`Missing`], never silently short.
//! [`Windows::aggregate`] only reads and is used to decide. [`Windows::apply`] applies the [`Update`]s of journal
//! entries and gives the same state on every replay. A restart restores the windows from stored records
//! ([`Windows::restore`]), which gives the same state too. This crate uses integers only, does no I/O and reads no clock or
//! randomness.
//!
//! | id | invariant | checked |
//! | --- | --- | --- |
//! | FEA-1 | Only records that are held have a label. | when records are forgotten |
//! | FEA-2 | The sequence of a record is below 2^48. | when it is inserted |
//! | FEA-3 | An entity is held once. | when it enters or is restored |
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod blocks;
mod entity_records;
mod items;
mod stream;
mod update;
mod view;
mod wide;
mod window;
mod windows;

pub use entity_records::Key;
pub use items::Item;
pub use update::{RecordChange, StoredUpdate, Update, UpdateOutcome};
pub use view::{Candidate, Moments, Quantile, View};
pub use wide::Wide;
pub use window::{Aggregate, Missing, Window};
pub use windows::{RestoredRecord, Stream, StreamBounds, StreamId, Windows};
