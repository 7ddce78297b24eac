//! Connectors: copies of a journal in the systems around it.
//!
//! A [`Connector`] follows a [`Source`], a local copy of a tenant's journal, and writes what happened to a [`Target`]. What a target needs
//! decides what it gets: rows, which a fold computes from the entries and from the rows that are in the target already, or the
//! entries as events. The target keeps a [`Cursor`] in the same atomic unit as the rows. The cursor says how far the copy has come, and with
//! the Merkle root of which journal it is a copy.
//!
//! The targets are modules behind features, because each needs a client library. This crate has no clock and no threads of its own.

mod batch;
mod cache;
mod connector;
mod cursor;
mod fold;
mod rows;
mod source;
mod status;
mod target;

#[cfg(feature = "postgres")]
pub mod postgres;

pub use batch::Batch;
pub use connector::{Connector, Ended, Settings};
pub use cursor::Cursor;
pub use rows::{AccountRow, ChangeRow, LabelRow, MetadataRow, PaymentNow, PaymentRow, Resolved, Rows, TransferRow};
pub use source::{Arrived, Source, SourceError};
pub use status::{Shown, Status};
pub use target::{Fault, Needs, Stored, Target, Wanted};
