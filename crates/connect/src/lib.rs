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
mod documents;
mod events;
mod fold;
mod rows;
mod source;
mod status;
mod stop;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tables;
mod target;
mod targets;
#[cfg(feature = "postgres")]
mod tls;
mod verify;

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

pub use batch::Batch;
pub use connector::{Connector, Ended, Settings};
pub use cursor::Cursor;
pub use documents::{AccountDocument, Documents, PaymentDocument, TransferDocument, state_name, transfer_key};
pub use events::{CLOUD_EVENT, CloudEvent, event_id, subject};
pub use rows::{AccountRow, ChangeRow, LabelRow, MetadataRow, PaymentNow, PaymentRow, Resolved, Rows, TransferRow};
pub use source::{Arrived, Source, SourceError};
pub use status::{Shown, Status};
pub use stop::Stop;
pub use target::{Counts, Fault, Needs, Target, Wanted};
pub use targets::{KINDS, make, secret};
pub use verify::{Verification, verify};
