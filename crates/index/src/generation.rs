//! The state at the end of each generation of a run.

use journal::StartAt;
use types::{Digest, Seq, Timestamp};

use crate::event::{Extent, GenerationEnd};
use crate::fixed::fixed_struct;

/// The stored form of a generation's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GenerationRow {
    last: u64,
    decided_at: u64,
    recorded: u64,
    last_timestamp: u64,
    resume_seq: u64,
    resume_segment: u64,
    resume_offset: u64,
    resume_previous: [u8; 32],
    digest: [u8; 32],
    /// The number of accounts that are open at the end.
    pub(crate) accounts: u64,
    first: u64,
    last_position: u64,
    earliest: u64,
    latest: u64,
}

fixed_struct!(GenerationRow {
    last: u64,
    decided_at: u64,
    recorded: u64,
    last_timestamp: u64,
    resume_seq: u64,
    resume_segment: u64,
    resume_offset: u64,
    resume_previous: [u8; 32],
    digest: [u8; 32],
    accounts: u64,
    first: u64,
    last_position: u64,
    earliest: u64,
    latest: u64,
} spare 0);

impl GenerationRow {
    pub(crate) fn new(end: &GenerationEnd, accounts: u64, extent: Extent) -> Self {
        Self {
            last: end.last.get(),
            decided_at: end.decided_at.ns(),
            recorded: end.recorded,
            last_timestamp: end.last_timestamp.ns(),
            resume_seq: end.resume.seq.get(),
            resume_segment: end.resume.segment,
            resume_offset: end.resume.offset,
            resume_previous: end.resume.previous,
            digest: *end.digest.as_bytes(),
            accounts,
            first: extent.first,
            last_position: extent.last,
            earliest: extent.earliest,
            latest: extent.latest,
        }
    }

    pub(crate) fn end(&self) -> GenerationEnd {
        GenerationEnd {
            last: Seq::new(self.last),
            decided_at: Timestamp::from_ns(self.decided_at),
            recorded: self.recorded,
            last_timestamp: Timestamp::from_ns(self.last_timestamp),
            resume: StartAt {
                seq: Seq::new(self.resume_seq),
                segment: self.resume_segment,
                offset: self.resume_offset,
                previous: self.resume_previous,
            },
            digest: Digest::new(self.digest),
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent { first: self.first, last: self.last_position, earliest: self.earliest, latest: self.latest }
    }
}
