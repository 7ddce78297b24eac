//! What the journal is about to offer, until it does.

use types::Seq;

/// Where reading the journal can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartAt {
    /// The first sequence there.
    pub seq: Seq,
    /// The segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
    /// The hash of the frame before.
    pub previous: [u8; 32],
}
