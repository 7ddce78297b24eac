//! The server: runs the pipeline with threads, a disk and sockets.
//!
//! One thread runs the engine and one the journal. HTTP handlers run on tokio and reach the engine through [`Core`]. The
//! engine decides the next batch while the journal syncs the previous one.

mod awake;
mod background;
mod backtests;
mod clock;
mod core;
mod descriptors;
mod guard;
mod http;
mod identity;
mod local;
mod metrics;
mod open;
mod past;
mod policies;
mod proofs;
mod readers;
mod scrub;
mod shard;
mod tail;
mod tenants;
mod threads;
mod tls;
mod watch;

pub use clock::{Clock, Stopwatch};
pub use core::{Core, Unavailable};
pub use descriptors::raise_limit as raise_descriptor_limit;
pub use edge::admission::Limits;
pub use http::Listening;
pub use identity::{Fetch, TOKENS_MAX};
pub use local::{Local, LocalAnswer};
pub use open::{DEFAULT_ADDRESS, KeyFor, NewKey, OpenError, Opened, Options, Stopped};
pub use past::{PastError, PastReader};
pub use proofs::ProofError;
pub use threads::CommitError;
pub use tls::{ClientAuth, Tls, TlsError, TlsFiles};
