//! A journal without a disk, for backtests and tests: durable as long as the process lives.

use std::sync::{Arc, PoisonError, RwLock};

use engine::Entry;
use types::Seq;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Identity;
use crate::log::{Journal, Reader};
use crate::segments::position::FrameAt;

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    identity: Identity,
    appended: Vec<Frame>,
    last: Seq,
    frames: u64,
    durable: Arc<RwLock<Vec<Frame>>>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new(identity: Identity) -> Self {
        Self { identity, appended: Vec::new(), last: Seq::ZERO, frames: 0, durable: Arc::default() }
    }
}

impl Journal for MemoryJournal {
    type Reader = MemoryReader;

    /// Every frame counts as a segment of its own.
    fn append(&mut self, frame: &Frame) -> Result<FrameAt, Fault> {
        assert_eq!(frame.first, self.last.next(), "JRN-1: frames follow one another without gaps");
        self.last = frame.last();
        self.appended.push(frame.clone());
        self.frames += 1;
        Ok(FrameAt { segment: self.frames, offset: 0 })
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        self.durable.write().unwrap_or_else(PoisonError::into_inner).append(&mut self.appended);
        Ok(self.last)
    }

    fn durable(&self) -> Seq {
        self.reader().durable()
    }

    fn mark(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { durable: Arc::clone(&self.durable) }
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

/// Reads a [`MemoryJournal`].
#[derive(Debug, Clone)]
pub struct MemoryReader {
    durable: Arc<RwLock<Vec<Frame>>>,
}

impl Reader for MemoryReader {
    fn durable(&self) -> Seq {
        self.durable.read().unwrap_or_else(PoisonError::into_inner).last().map_or(Seq::ZERO, Frame::last)
    }

    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
        let from = from.max(Seq::new(1));
        let frames = self.durable.read().unwrap_or_else(PoisonError::into_inner);
        let place = frames.partition_point(|frame| frame.last() < from);
        let Some(frame) = frames.get(place) else { return Ok(Vec::new()) };
        let mut entries = frame.entries().map_err(|cause| Fault::Undecodable { seq: frame.first, cause })?;
        entries.retain(|entry| entry.header.seq >= from);
        Ok(entries)
    }
}
