//! Why nothing is written for a while.

use std::sync::Arc;

use types::Timestamp;

/// Why nothing is written at the moment. It passes by itself or by what an operator does, and a request that is refused
/// for it left no trace: it can be sent again as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WritesClosed {
    /// Bytes of the journal are not what was written.
    #[error("nothing is written since damage was found: {0}")]
    JournalDamaged(Arc<str>),
    /// The disk has less room left than is kept free.
    #[error(
        "{directory} has {free_bytes} bytes free, fewer than the reserve of {reserve_bytes}; nothing is written until there are more"
    )]
    DiskReserveReached {
        /// The directory whose disk it is.
        directory: Arc<str>,
        /// What is left.
        free_bytes: u64,
        /// What is kept free.
        reserve_bytes: u64,
    },
    /// The wall clock is ahead of what can be believed.
    #[error(
        "the clock says {wall}, but {since} and the time that passed since make it {expected}; nothing is written until the clock comes back or an operator confirms it"
    )]
    ClockNotBelieved {
        /// What the wall clock says.
        wall: Timestamp,
        /// What it should say.
        expected: Timestamp,
        /// What that rests on, in a few words.
        since: &'static str,
    },
}
