//! The pipeline: what happens between a request and its reply, as a state machine without threads, clock or I/O.
//!
//! ```text
//! Queue ──take──► Decider ──Batch: frames and answers──► Writer ──release──► replies
//!                    │                                      ▲
//!                    └ engine: decide, apply                └ journal: durable position
//! ```
//!
//! [`Queue`] is bounded. [`Decider`] executes whatever waited, expiries first, and makes frames. [`Writer`] makes the
//! frames durable, one step at a time, and keeps every answer back until the entries it rests on are durable: also reads,
//! refusals and "exists", for they show state that a crash could still take away. The server drives the three with threads
//! over a real disk; the simulator runs the same code step by step over a simulated disk, with faults between the steps.
//!
//! [`Gate`] says whether anything may be written at all: not while [`ClockGuard`] doubts the clock, the disk is nearly full
//! or the journal was found damaged. The decider then answers what leaves no entry and refuses the rest.
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
pub use gate::{DiskSpace, Gate};
pub use queue::{Ask, Full, Queue};
pub use writer::{Indexer, KeySaver, MARK_WITHIN, Step, WriteError, Writer};
