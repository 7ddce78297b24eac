//! The bytes of a segment's file, whether they are valid frames or not.

use std::sync::Arc;

use types::Seq;

use crate::fault::Fault;
use crate::frame;
use crate::identity::Identity;
use crate::segments::places::damaged;
use crate::segments::segment;
use disk::{Disk, DiskFile};

pub(crate) const MISSING: &str = "the segment file is missing";

/// The bytes of a segment's file from an offset on.
#[derive(Debug)]
pub(crate) struct Content<F> {
    pub(crate) file: Arc<F>,
    from: u64,
    pub(crate) bytes: Vec<u8>,
}

impl<F: DiskFile> Content<F> {
    pub(crate) fn read<D: Disk<File = F>>(disk: &D, number: u64, from: u64) -> Result<Self, Fault> {
        let (file, end) = open_segment(disk, number)?;
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX)];
        let fault = |cause| Fault::Io { action: "read", file: segment::file_name(number), cause };
        let count = file.read_at(&mut bytes, from).map_err(fault)?;
        bytes.truncate(count);
        Ok(Self { file: Arc::new(file), from, bytes })
    }

    pub(crate) fn after(&self, offset: u64) -> &[u8] {
        let from = usize::try_from(offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
        self.bytes.get(from..).unwrap_or_default()
    }

    pub(crate) fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }
}

pub(crate) fn open_segment<D: Disk>(disk: &D, number: u64) -> Result<(D::File, u64), Fault> {
    let name = segment::file_name(number);
    let opened = disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
    let file = opened.ok_or_else(|| damaged(number, 0, Seq::ZERO, MISSING))?;
    let bytes = file.len().map_err(|cause| Fault::Io { action: "measure", file: name, cause })?;
    Ok((file, bytes))
}

/// The highest durable position in any intact frame header in these bytes. Everything up to that position was durable
/// before such a header was written, even if the bytes before it are lost now. The payload after an intact header is
/// skipped, because clients can store bytes there that look like a header.
pub(crate) fn stated_durable(bytes: &[u8], identity: Option<Identity>) -> Seq {
    let bytes = without_zeros(bytes);
    let mut highest = Seq::ZERO;
    let mut offset = 0;
    while let Some(found) = bytes.get(offset..).and_then(find_magic) {
        offset += found;
        let header = bytes.get(offset..).and_then(frame::read_header);
        let is_ours = |found: Identity| identity.is_none_or(|ours| found == ours || found.continues(ours));
        let ours = header.filter(|header| is_ours(header.identity));
        offset += match ours.filter(|header| header.durable < header.first) {
            Some(header) => {
                highest = highest.max(header.durable);
                frame::HEADER_BYTES + header.payload_bytes
            }
            None => 1,
        };
    }
    highest
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(frame::MAGIC.len()).position(|window| window == frame::MAGIC)
}

/// These bytes without trailing zeros. Most of a segment can be zeros, so this compares whole blocks first.
pub(crate) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let mut used = bytes;
    while let Some((front, block)) = used.split_last_chunk()
        && *block == [0; 4096]
    {
        used = front;
    }
    let end = used.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    used.get(..end).unwrap_or_default()
}
