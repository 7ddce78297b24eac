//! A durable log without a disk, for tests. Its entries last as long as the process.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use engine::Entry;
use types::{Epoch, Origin, Seq};

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Identity;
use crate::log::{DurableLog, Reader};

/// A log in memory. Clones share the same entries; only the writer with the latest claim may write.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<RwLock<Held>>);

#[derive(Debug)]
struct Held {
    identity: Identity,
    durable: Vec<Frame>,
}

impl MemoryLog {
    /// An empty log that nobody has claimed.
    pub fn new(origin: Origin) -> Self {
        let identity = Identity { origin, epoch: Epoch::new(0) };
        Self(Arc::new(RwLock::new(Held { identity, durable: Vec::new() })))
    }

    /// Claims the log with the next higher epoch, which fences the previous writer.
    pub fn claim(&self) -> MemoryJournal {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.identity.epoch = Epoch::new(held.identity.epoch.get() + 1);
        let identity = held.identity;
        drop(held);
        let reader = MemoryReader(self.clone());
        MemoryJournal { identity, appended: Vec::new(), last: reader.durable(), reader }
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer of a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryJournal {
    identity: Identity,
    appended: Vec<Frame>,
    last: Seq,
    reader: MemoryReader,
}

/// Errors are permanent: epochs never decrease, so a fenced writer stays fenced.
fn check(ours: Identity, held: &Held) -> Result<(), Fault> {
    let by = held.identity.epoch;
    if by == ours.epoch { Ok(()) } else { Err(Fault::Fenced { by }) }
}

impl DurableLog for MemoryJournal {
    type Reader = MemoryReader;

    fn append(&mut self, frame: &Frame) -> Result<(), Fault> {
        check(self.identity, &self.reader.0.read())?;
        assert_eq!(frame.first, self.last.next(), "JRN-1: frames follow one another without gaps");
        self.last = frame.last();
        self.appended.push(frame.clone());
        Ok(())
    }

    fn sync(&mut self) -> Result<Seq, Fault> {
        let mut held = self.reader.0.0.write().unwrap_or_else(PoisonError::into_inner);
        check(self.identity, &held)?;
        held.durable.append(&mut self.appended);
        Ok(self.last)
    }

    fn durable(&self) -> Seq {
        self.reader.durable()
    }

    fn reader(&self) -> MemoryReader {
        self.reader.clone()
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

#[derive(Debug, Clone)]
pub struct MemoryReader(MemoryLog);

impl Reader for MemoryReader {
    fn durable(&self) -> Seq {
        self.0.read().durable.last().map_or(Seq::ZERO, Frame::last)
    }

    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
        let from = from.max(Seq::new(1));
        let held = self.0.read();
        let place = held.durable.partition_point(|frame| frame.last() < from);
        let Some(frame) = held.durable.get(place) else { return Ok(Vec::new()) };
        let mut entries = frame.entries().map_err(|cause| Fault::Undecodable { seq: frame.first, cause })?;
        entries.retain(|entry| entry.header.seq >= from);
        Ok(entries)
    }
}
