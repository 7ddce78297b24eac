//! Holds answers back until the entries they depend on are durable.

use std::collections::VecDeque;

use engine::Answer;
use types::Seq;

use crate::decider::Batch;
use crate::feed::Feed;

/// Keeps answers back until what they rest on is durable.
#[derive(Debug)]
pub struct Committer<R> {
    waiting: VecDeque<(R, Seq, Answer)>,
    durable: Seq,
}

impl<R> Committer<R> {
    /// A committer of a journal that is durable up to `durable`.
    pub fn new(durable: Seq) -> Self {
        Self { waiting: VecDeque::new(), durable }
    }

    /// Takes the answers of a batch, in the order of batches, and hands on its frames for the journal.
    pub fn hold(&mut self, batch: Batch<R>) -> Vec<(journal::Frame, Feed)> {
        self.waiting.extend(batch.answers);
        batch.frames
    }

    /// Lets go of every answer whose entries are durable, now that the journal is durable up to `durable`.
    ///
    /// # Panics
    /// When the durable position goes backwards (PIP-1).
    pub fn release(&mut self, durable: Seq) -> impl Iterator<Item = (R, Answer)> {
        assert!(durable >= self.durable, "PIP-1: the durable position never goes back");
        self.durable = durable;
        let ready = self.waiting.partition_point(|(_, needed, _)| *needed <= durable);
        self.waiting.drain(..ready).map(|(reply_to, _, answer)| (reply_to, answer))
    }

    /// How many answers wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
