//! The pipeline: everything between a request and its reply, as a state machine without threads, clock or I/O.
//!
//! ```text
//! Queue ──take──► Decider ──Batch: frames and answers──► Writer ──release──► replies
//!                    │                                      ▲
//!                    └ engine: decide, apply                └ journal: durable position
//! ```
//!
//! [`Queue`] is bounded. [`Decider`] executes the waiting requests, after the expiries that are due, and makes frames.
//! [`Writer`] makes the frames durable, one step at a time, and holds every answer until the entries that it depends on
//! are durable. This includes reads, refusals and "exists", because they show state that a crash could still undo. The
//! server drives all three with threads over a real disk; the simulator runs the same code step by step over a
//! simulated disk, with faults between the steps.
//!
//! [`Gate`] says whether anything may be written at all: writes stop while [`ClockGuard`] doubts the clock, the disk is
//! nearly full or the journal is damaged. The decider then answers requests that write no entry and refuses the others.
#![deny(clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod clock_guard;
mod decider;
mod frame_notes;
mod gate;
mod queue;
mod writer;

pub use clock_guard::{ClockBounds, ClockGuard, Doubt, Reading};
pub use decider::{Batch, Decider, EXPIRIES_PER_BATCH_MAX};
pub use frame_notes::{FrameNotes, Notes};
pub use gate::{DiskQuota, DiskSpace, Gate};
pub use queue::{Ask, Full, Queue};
pub use writer::{Indexer, KeySaver, MARK_WITHIN, Step, WriteError, Writer};
