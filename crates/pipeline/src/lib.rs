//! The pipeline: what happens between a request and its reply, as a state machine without threads, clock or I/O.
//!
//! ```text
//! Queue ──take──► Decider ──Batch: frames and answers──► Committer ──release──► replies
//!                    │                                       ▲
//!                    └ engine: decide, apply                 └ durable position of the journal
//! ```
//!
//! [`Queue`] is bounded. [`Decider`] executes whatever waited, expiries first, and makes frames. [`Committer`] keeps
//! every answer back until the entries it rests on are durable: also reads, refusals and "exists", for they show state
//! that a crash could still take away. The server drives the three with threads over a real disk, the simulator with a
//! seed over a simulated one; an answer before durability could only arise here, so it must not exist twice.
//!
//! [`Gate`] says whether anything may be written at all: not while [`ClockGuard`] doubts the clock, the disk is nearly full
//! or the journal was found damaged. The decider then answers what leaves no entry and refuses the rest.
#![deny(clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod clock_guard;
mod committer;
mod decider;
mod feed;
mod gate;
mod queue;

pub use clock_guard::{ClockBounds, ClockGuard, Doubt, Reading};
pub use committer::Committer;
pub use decider::{Batch, Decider, EXPIRIES_PER_BATCH_MAX};
pub use feed::{Feed, Notes};
pub use gate::{DiskSpace, Gate};
pub use queue::{Ask, Full, Queue};
