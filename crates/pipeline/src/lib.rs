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
#![deny(clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod committer;
mod decider;
mod feed;
mod queue;

pub use committer::Committer;
pub use decider::{Batch, Decider, EXPIRIES_PER_BATCH_MAX};
pub use feed::{Feed, Notes};
pub use queue::{Ask, Full, Queue};
