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
mod commands;
mod connector;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
mod copied;
mod cursor;
mod documents;
mod events;
mod filter;
mod fold;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
mod outgoing;
mod rows;
#[cfg(any(feature = "cassandra", feature = "mongodb", feature = "nats", feature = "objects", feature = "rabbitmq"))]
mod runtime;
mod source;
mod status;
mod stop;
#[cfg(any(feature = "cassandra", feature = "mysql", feature = "postgres"))]
mod tables;
mod target;
mod targets;
#[cfg(feature = "postgres")]
mod tls;
mod verify;
mod verify_events;

#[cfg(feature = "cassandra")]
mod cassandra;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "objects")]
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;

pub use batch::{Batch, Opening};
pub use commands::{Command, Inlet, Message, Place, inlet};
pub use connector::{Connector, Ended, Settings};
pub use cursor::Cursor;
pub use documents::{AccountDocument, Documents, PaymentDocument, TransferDocument, state_name, transfer_key};
pub use events::{CLOUD_EVENT, CloudEvent, event_id, subject};
pub use filter::{Filter, Without};
#[cfg(feature = "objects")]
pub use objects::{ARCHIVE, Archive, StoredPart};
pub use rows::{AccountRow, ChangeRow, LabelRow, MetadataRow, PaymentNow, PaymentRow, Resolved, Rows, TransferRow};
pub use source::{Arrived, Part, Source, SourceError};
pub use status::{Shown, Status};
pub use stop::Stop;
pub use target::{Counts, EachEvent, Fault, Needs, Target, Wanted};
pub use targets::{KINDS, make, secret};
pub use verify::{Findings, Verification, verify};
