//! The journal: the durable, ordered log of entries, and the only truth.
//!
//! Four parts: how entries become bytes ([`canonical`], [`FrameBuilder`]), what a journal promises ([`Journal`]), the
//! embedded journal in segment files ([`FileJournal`]) over a [`disk::Disk`], and one in memory ([`MemoryJournal`]).
//! Readers that follow the log get decoded entries from a [`Tail`].
//! The format is documented with the code that writes it (`codec` for entries, `frame`, `segment`, `mark`), and as a whole in
//! `docs/journal-format.md`.

mod bytes;
mod canonical;
mod codec;
mod contract;
mod copy;
mod file;
mod frame;
mod mark;
mod memory;
mod places;
mod position;
mod raw;
mod reader;
mod scrub;
mod segment;
mod tail;

pub use bytes::DecodeError;
pub use canonical::CanonicalRun;
pub use codec::{canonical, kind_name, leaf_hash};
pub use contract::{Fault, Identity, Journal, Part, Reader, SegmentStore};
pub use copy::{CopyFault, FileCopy, HeldBytes};
pub use file::{FileJournal, Inspected, Layout, Prepare, Recovered, StartAt, TornTail, Visit};
pub use frame::{FORMAT_VERSION, Frame, FrameBuilder, PAYLOAD_BYTES_MAX, Placed};
pub use memory::{MemoryJournal, MemoryReader};
pub use position::{FrameAt, Position};
pub use raw::{DurableEnd, SegmentFile};
pub use reader::FileReader;
pub use scrub::{ScrubLog, SegmentCheck};
pub use tail::{
    Context, ContextSource, Decoded, EntryInContext, EntryRun, Follower, Followers, Look, RunBounds, Tail, TailBounds,
};
