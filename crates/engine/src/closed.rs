//! Why writes are refused.

use std::sync::Arc;

use types::Timestamp;

/// Why writes are refused at the moment. The condition ends by itself, or when an operator acts. A request that is
/// refused for this reason had no effect and can be sent again unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WritesClosed {
    /// Bytes of the journal are not what was written.
    #[error("the server refuses writes because the journal is damaged: {0}")]
    JournalDamaged(Arc<str>),
    /// The disk has less free space than the reserve.
    #[error(
        "{directory} has {free_bytes} bytes free, fewer than the reserve of {reserve_bytes}; the server refuses writes until there are more"
    )]
    DiskReserveReached {
        /// The directory whose disk is nearly full.
        directory: Arc<str>,
        free_bytes: u64,
        reserve_bytes: u64,
    },
    /// The files of the tenant take more disk than its quota.
    #[error(
        "the files of this tenant take {used_bytes} bytes, and its quota is {quota_bytes}; its writes are refused until the quota is raised"
    )]
    DiskQuotaReached { used_bytes: u64, quota_bytes: u64 },
    /// The wall clock is further ahead or behind than the server believes.
    #[error(
        "the clock shows {wall}, but {expected} is expected, counted from {since}; the server refuses writes until the clock is right, or until an operator confirms it with POST /v1/clock/confirm or `finaira serve --confirm-clock`"
    )]
    ClockNotBelieved {
        /// The time by the wall clock.
        wall: Timestamp,
        /// The time that the server expects.
        expected: Timestamp,
        /// The earlier time that `expected` is based on, in a few words.
        since: &'static str,
    },
}
