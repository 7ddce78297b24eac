//! Inspects a journal without changing it.

use std::collections::BTreeSet;

use types::{Seq, ShardId};

use super::FileJournal;
use crate::fault::Fault;
use crate::frame;
use crate::identity::{Identity, Part};
use crate::segments::content::{Content, without_zeros};
use crate::segments::mark::Mark;
use crate::segments::places::{NO_FRAME, damaged};
use crate::segments::recover::{Counts, Recovered, Scan, Visit};
use crate::segments::segment::{self, HeaderFound};
use disk::Disk;

/// The result of inspecting a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What opening the journal would find.
    pub recovered: Recovered,
    /// The histories in this journal, in order; empty for an empty directory.
    pub lineage: Vec<Part>,
    /// The history and the durable position that the mark contains.
    pub marked: Option<(Identity, Seq)>,
    /// The number of segments in use.
    pub segments: u64,
    /// The number of frames in these segments.
    pub frames: u64,
    /// The size of these frames in bytes.
    pub bytes: u64,
}

impl<D: Disk> FileJournal<D> {
    /// Reads the whole journal as [`FileJournal::open`] does, but changes no file. Also encodes each frame again from
    /// its entries and compares the bytes, unless the frame has an older encoding.
    ///
    /// # Errors
    /// When the journal is damaged or the disk fails, or the error that `visit` returned.
    pub fn inspect(disk: &D, shard: ShardId, visit: &mut Visit<'_>) -> Result<Inspected, Fault> {
        let marked = Mark::read(disk)?;
        let mut scan = Scan::new(disk, shard, marked, Some(Counts::default()));
        scan.run(None, visit)?;
        let found = scan.into_found();
        found.check(marked)?;
        let Counts { frames, bytes } = found.counts.unwrap_or_default();
        let segments = found.open.as_ref().map_or(0, |open| open.number);
        let recovered = Recovered { last: found.rest.last, torn: found.rest.torn };
        Ok(Inspected { recovered, lineage: found.rest.lineage, marked, segments, frames, bytes })
    }

    /// Reads each segment after number `after` on its own, to find what is intact after damage: header, checksums and
    /// the hash chain within the segment. Returns the first damage of each segment, or the reason why it cannot be
    /// read.
    ///
    /// # Errors
    /// When the directory cannot be read, or a segment has a later version or belongs to another shard.
    pub fn check_segments_after(disk: &D, shard: ShardId, after: u64) -> Result<Vec<Fault>, Fault> {
        let listed =
            disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
        let numbers: BTreeSet<u64> = segment::numbers(&listed).into_iter().filter(|number| *number > after).collect();
        let mut found = Vec::new();
        for number in numbers {
            match check_segment(disk, shard, number) {
                Ok(()) => {}
                Err(fault) if fault.is_damage() => found.push(fault),
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }
}

fn check_segment<D: Disk>(disk: &D, shard: ShardId, number: u64) -> Result<(), Fault> {
    let content = Content::read(disk, number, 0)?;
    let header = match segment::read_header(content.file.as_ref(), &segment::file_name(number), shard)? {
        HeaderFound::Used(header) if header.number == number => header,
        HeaderFound::Unused if without_zeros(&content.bytes).is_empty() => return Ok(()),
        HeaderFound::Used(_) | HeaderFound::Unused | HeaderFound::Damaged => {
            return Err(damaged(number, 0, Seq::ZERO, "the segment's header is damaged or belongs to another segment"));
        }
    };
    let (mut offset, mut next, mut previous) = (segment::HEADER_BYTES, header.first, header.previous);
    while let Some((frame, written)) = frame::read_whole(content.after(offset), 0)
        && (frame.first, frame.previous, frame.identity) == (next, previous, header.identity)
    {
        (next, previous) = (frame.last().next(), frame::hash_of(written));
        offset += frame.written_bytes();
    }
    if without_zeros(content.after(offset)).is_empty() {
        return Ok(());
    }
    Err(damaged(number, offset, next, NO_FRAME))
}
