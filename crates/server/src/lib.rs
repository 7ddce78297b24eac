//! The server: real threads, a real disk, real sockets around the pipeline.
//!
//! One thread runs the engine, one the journal; HTTP handlers run on tokio and reach the engine through [`Core`]. The
//! engine goes on with the next batch while the journal syncs the one before.

mod awake;
mod background;
mod clock;
mod core;
mod guard;
mod http;
mod metrics;
mod open;
mod past;
mod proofs;
mod scrub;
mod tail;
mod threads;
mod watch;

pub use clock::{Clock, Stopwatch};
pub use core::{Core, Unavailable};
pub use open::{DEFAULT_ADDRESS, OpenError, Opened, Options, Stopped};
pub use past::{PastError, PastReader};
pub use proofs::ProofError;
pub use threads::CommitError;
