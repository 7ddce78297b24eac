//! Writing goes on where the scan says that the journal ends, or begins in an empty directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Seq, ShardId};

use super::content::MISSING;
use super::recover::{Recovered, Rest, Tail};
use super::{FileJournal, Layout, OpenSegment};
use crate::contract::{Fault, Identity, Part};
use crate::frame::FrameHash;
use crate::mark::Mark;
use crate::places::{Known, Places, damaged};
use crate::segment::{self, SegmentHeader};
use disk::{Disk, DiskFile};

/// Starts a journal in an empty directory.
pub(super) fn begin<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    rest: Rest,
    identity: Identity,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let name = segment::file_name(1);
    let io_fault = |action| {
        let file = name.clone();
        move |cause| Fault::Io { action, file, cause }
    };
    segment::prepare(&disk, 1, layout.segment_bytes).map_err(io_fault("prepare"))?;
    let file = disk.open(&name).map_err(io_fault("open"))?;
    let file = Arc::new(file.ok_or_else(|| io_fault("open")(std::io::ErrorKind::NotFound.into()))?);
    let header = SegmentHeader {
        shard,
        identity,
        number: 1,
        first: Seq::new(1),
        bytes: layout.segment_bytes,
        previous: FrameHash::default(),
    };
    file.write_at(&segment::encode_header(&header), 0).map_err(io_fault("write"))?;
    file.sync().map_err(io_fault("sync"))?;
    mark.write(identity, Seq::ZERO)?;
    let open = Tail { number: 1, file, bytes: layout.segment_bytes, offset: segment::HEADER_BYTES, identity };
    reopen(disk, layout, shard, mark, rest, open)
}

/// Makes the accepted tail durable and continues after it.
pub(super) fn reopen<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    rest: Rest,
    tail: Tail<D::File>,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let Rest { mut segments, mut lineage, unmarked, previous, last, torn, stale, .. } = rest;
    if lineage.is_empty() {
        lineage.push(Part { identity: tail.identity, first: Seq::new(1) });
    }
    segments.entry(tail.number).or_insert_with(|| Known::from_the_first_frame(last.next()));
    make_durable(&disk, layout, &unmarked, &tail, &stale)?;
    mark.write(tail.identity, last)?;
    let mut journal = FileJournal {
        places: Arc::new(Places::new(disk, shard, segments, last)),
        layout,
        identity: tail.identity,
        lineage,
        open: OpenSegment {
            number: tail.number,
            file: tail.file,
            bytes: tail.bytes,
            offset: tail.offset,
            written: false,
        },
        unsynced: Vec::new(),
        preparing: None,
        previous,
        appended: last,
        mark,
        appended_points: Vec::new(),
        written: Vec::new(),
        poisoned: None,
    };
    journal.prepare_ahead();
    Ok((journal, Recovered { last, torn }))
}

/// What stands above the mark may be in memory only (a killed process), or lost to a sync that failed: it is written
/// again, what follows it is zeroed, and all of it is synced before anybody is served.
fn make_durable<D: Disk>(
    disk: &D,
    layout: Layout,
    unmarked: &BTreeMap<u64, (u64, u64)>,
    tail: &Tail<D::File>,
    stale: &[u64],
) -> Result<(), Fault> {
    const PIECE_BYTES: u64 = 1024 * 1024;
    let fault = |action, number| move |cause| Fault::Io { action, file: segment::file_name(number), cause };
    let write_again = |number, file: &D::File, from: u64, to: u64| {
        let mut content = Vec::new();
        let mut offset = from;
        while offset < to {
            let bytes = (to - offset).min(PIECE_BYTES);
            content.resize(usize::try_from(bytes).unwrap_or(0), 0);
            file.read_at(&mut content, offset).map_err(fault("read", number))?;
            file.write_at(&content, offset).map_err(fault("write", number))?;
            offset += bytes;
        }
        Ok(())
    };
    let mut touched = BTreeMap::from([(tail.number, Arc::clone(&tail.file))]);
    for (&number, &(from, to)) in unmarked {
        if number != tail.number {
            let file = disk.open(&segment::file_name(number)).map_err(fault("open", number))?;
            let file = file.ok_or_else(|| damaged(number, 0, Seq::ZERO, MISSING))?;
            touched.insert(number, Arc::new(file));
        }
        if let Some(file) = touched.get(&number) {
            write_again(number, file.as_ref(), from, to)?;
        }
    }
    segment::write_zeros(tail.file.as_ref(), tail.offset, tail.bytes).map_err(fault("write", tail.number))?;
    for (number, file) in touched {
        write_again(number, file.as_ref(), 0, segment::HEADER_BYTES_USED as u64)?;
        file.sync().map_err(fault("sync", number))?;
    }
    for &number in stale {
        segment::prepare(disk, number, layout.segment_bytes).map_err(fault("prepare", number))?;
    }
    // A process that was killed may have created files without getting as far as this.
    disk.sync_directory().map_err(fault("sync the directory of", tail.number))
}
