//! The journal: the durable, ordered log of entries, and the only truth.
//!
//! Three parts:
//!
//! * how entries become bytes: [`canonical`], [`FrameBuilder`] and the [`Frame`]s that it makes;
//! * the durable log ([`DurableLog`]): appends frames, makes them durable, has one writer at a time. There is one in files
//!   ([`FileJournal`]) and one in memory ([`MemoryLog`]);
//! * the local segments ([`SegmentStore`]): the files that every process keeps of the log, in which a [`Position`] names an
//!   entry. [`FileReader`] reads them, [`ScrubLog`] remembers when they were checked.
//!
//! Readers that follow the log get decoded entries from a [`Tail`].
//!
//! A [`FileJournal`] is log and segments at once; a [`FileCopy`] keeps the segments of a log that another process writes.
//! The format is documented with the code that writes it (`codec` for entries, `frame`, `segments::segment`,
//! `segments::mark`), and as a whole in `docs/journal-format.md`.

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
pub use codec::{canonical, kind_name, leaf_hash};
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
