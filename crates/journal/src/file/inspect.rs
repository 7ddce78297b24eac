//! Looking at a journal without changing it.

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

/// What a journal holds that was only looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What opening it would find.
    pub recovered: Recovered,
    /// The histories that follow one another; none in an empty directory.
    pub lineage: Vec<Part>,
    /// How far which history was acknowledged, as the mark says.
    pub marked: Option<(Identity, Seq)>,
    /// Segments that are in use.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
}

impl<D: Disk> FileJournal<D> {
    /// Reads all of a journal as [`FileJournal::open`] does, and leaves every file as it is. Each frame is also encoded
    /// again from its entries and compared, unless it is older than the present encoding.
    ///
    /// # Errors
    /// When the journal is damaged or the disk fails, and what `visit` says.
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

    /// Reads the segments behind number `after` each by itself, as after damage: header, checksums and the chain within.
    /// Says the first damage in each, or that it cannot be read.
    ///
    /// # Errors
    /// When the directory cannot be read, or a segment is of a later version or another shard.
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
            return Err(damaged(number, 0, Seq::ZERO, "the segment's header is not the one that belongs here"));
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
