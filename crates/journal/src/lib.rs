//! The journal: the durable, ordered log of entries, and the only truth.
//!
//! Four parts: how entries become bytes ([`canonical`], [`FrameBuilder`]), what a journal promises ([`Journal`]), the
//! embedded journal in segment files ([`FileJournal`]) over a [`disk::Disk`], and one in memory ([`MemoryJournal`]).
//! The format is documented with the code that writes it (`codec` for entries, `frame`, `segment`, `mark`), and as a whole in
//! `docs/journal-format.md`.

mod bytes;
mod canonical;
mod codec;
mod fault;
mod file;
mod frame;
mod identity;
mod log;
mod segments;

pub use bytes::DecodeError;
pub use canonical::CanonicalRun;
pub use codec::{canonical, kind_name, leaf_hash};
pub use fault::Fault;
pub use file::{FileJournal, Inspected, Layout, Prepare};
pub use frame::{FORMAT_VERSION, Frame, FrameBuilder, PAYLOAD_BYTES_MAX, Placed};
pub use identity::{Identity, Part};
pub use log::memory::{MemoryJournal, MemoryReader};
pub use log::{Journal, Reader};
pub use segments::SegmentStore;
pub use segments::copy::{CopyFault, FileCopy, HeldBytes};
pub use segments::position::{FrameAt, Position, StartAt};
pub use segments::raw::{DurableEnd, SegmentFile};
pub use segments::reader::FileReader;
pub use segments::recover::{Recovered, TornTail, Visit};
pub use segments::scrub::{ScrubLog, SegmentCheck};
