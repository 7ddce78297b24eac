//! The journal: the durable, ordered log of entries. It is the only source of truth.
//!
//! Three parts:
//!
//! * how entries become bytes: [`canonical`], [`FrameBuilder`] and the [`Frame`]s that it makes;
//! * the durable log ([`DurableLog`]): appends frames, makes them durable and has one writer at a time. It can be
//!   stored in files ([`FileJournal`]) or in memory ([`MemoryLog`]);
//! * the local segments ([`SegmentStore`]): the files in which every process keeps the log. A [`Position`] names an
//!   entry in them. [`FileReader`] reads them, [`ScrubLog`] records when they were checked.
//!
//! Readers that follow the log get decoded entries from a [`Tail`].
//!
//! A [`FileJournal`] is log and segments in one; a [`FileCopy`] keeps the segments of a log that another process
//! writes. The code that writes each part of the format also documents it (`codec` for entries, `frame`,
//! `segments::segment`, `segments::mark`); `docs/journal-format.md` describes the whole format.

mod bytes;
mod canonical;
mod codec;
mod fault;
mod file;
mod frame;
mod identity;
mod log;
mod segments;
mod tail;

pub use bytes::DecodeError;
pub use canonical::CanonicalRun;
pub use codec::{KIND_NAMES, canonical, is_referred_to, kind_name, leaf_hash};
pub use fault::Fault;
pub use file::{FileJournal, Inspected, Layout, Prepare};
pub use frame::{EntryOffset, FORMAT_VERSION, Frame, FrameBuilder, PAYLOAD_BYTES_MAX};
pub use identity::{Identity, Part};
pub use log::memory::{MemoryJournal, MemoryLog, MemoryReader};
pub use log::{DurableLog, Reader};
pub use segments::SegmentStore;
pub use segments::copy::{CopyFault, FileCopy, HeldBytes};
pub use segments::position::{FrameAt, Position, StartAt};
pub use segments::raw::{DurableEnd, SegmentFile};
pub use segments::reader::FileReader;
pub use segments::recover::{Recovered, TornTail, Visit};
pub use segments::scrub::{ScrubLog, SegmentCheck};
pub use tail::{
    Context, ContextSource, Decoded, EntryInContext, EntryRun, Follower, Followers, Look, RunBounds, Tail, TailBounds,
};
