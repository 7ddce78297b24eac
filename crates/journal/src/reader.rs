//! Reads durable entries back, from any thread, while the journal goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use engine::Entry;
use types::Seq;

use crate::contract::{Fault, Reader};
use crate::disk::{Disk, DiskFile};
use crate::frame::{self, Frame};
use crate::segment;

/// Where a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

/// What the writer and the readers of a journal share.
#[derive(Debug)]
pub(crate) struct Shared<D: Disk>(Arc<RwLock<Places<D::File>>>);

#[derive(Debug)]
struct Places<F> {
    segments: BTreeMap<u64, Arc<F>>,
    /// In order of sequence.
    frames: Vec<Located>,
}

impl<D: Disk> Clone for Shared<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> Shared<D> {
    pub(crate) fn new(segments: BTreeMap<u64, Arc<D::File>>, frames: Vec<Located>) -> Self {
        Self(Arc::new(RwLock::new(Places { segments, frames })))
    }

    pub(crate) fn add_segment(&self, number: u64, file: Arc<D::File>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).segments.insert(number, file);
    }

    /// Takes over the frames that became durable.
    pub(crate) fn add_frames(&self, frames: &mut Vec<Located>) {
        if !frames.is_empty() {
            self.0.write().unwrap_or_else(PoisonError::into_inner).frames.append(frames);
        }
    }

    fn find(&self, seq: Seq) -> Option<(Located, Arc<D::File>)> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let place = places.frames.partition_point(|frame| frame.last < seq);
        let located = *places.frames.get(place)?;
        let file = places.segments.get(&located.segment).map(Arc::clone)?;
        Some((located, file))
    }
}

/// Reads the durable entries of a [`crate::FileJournal`].
#[derive(Debug)]
pub struct FileReader<D: Disk> {
    shared: Shared<D>,
    durable: Arc<AtomicU64>,
}

impl<D: Disk> Clone for FileReader<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), durable: Arc::clone(&self.durable) }
    }
}

impl<D: Disk> FileReader<D> {
    pub(crate) fn new(shared: Shared<D>, durable: Arc<AtomicU64>) -> Self {
        Self { shared, durable }
    }
}

impl<D: Disk> Reader for FileReader<D> {
    fn durable(&self) -> Seq {
        Seq::new(self.durable.load(Ordering::Acquire))
    }

    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
        let durable = self.durable();
        let from = from.max(Seq::new(1));
        if from > durable {
            return Ok(Vec::new());
        }
        let Some((located, file)) = self.shared.find(from) else { return Ok(Vec::new()) };
        let mut entries = read_frame(file.as_ref(), &located)?;
        entries.retain(|entry| entry.header.seq >= from && entry.header.seq <= durable);
        Ok(entries)
    }
}

/// Reads a frame where it is known to stand, and checks it again: disks change what nobody wrote.
fn read_frame(file: &impl DiskFile, located: &Located) -> Result<Vec<Entry>, Fault> {
    let name = segment::file_name(located.segment);
    let mut bytes = vec![0; located.bytes];
    let count = file.read_at(&mut bytes, located.offset).map_err(|cause| Fault::Io {
        action: "read",
        file: name.clone(),
        cause,
    })?;
    let damaged = |what: &str| Fault::Damaged {
        file: name.clone(),
        offset: located.offset,
        seq: located.first,
        what: what.to_owned(),
    };
    if count != bytes.len() {
        return Err(damaged("the file is shorter than when it was written"));
    }
    let header = frame::read_header(&bytes).ok_or_else(|| damaged("the frame's header does not match its checksum"))?;
    let payload = bytes.split_off(frame::HEADER_BYTES);
    if header.first != located.first || header.payload_bytes != payload.len() {
        return Err(damaged("another frame stands there"));
    }
    if crc32c::crc32c(&payload) != header.payload_crc {
        return Err(damaged("the frame's payload does not match its checksum"));
    }
    let frame =
        Frame { first: header.first, count: header.count, base_time: header.base_time, shard: header.shard, payload };
    frame.entries().map_err(|cause| Fault::Undecodable { seq: frame.first, cause })
}
