//! Opens a journal: reads it to its end and continues there, or starts a new one in an empty directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::{Disk, DiskFile};
use types::{Epoch, Origin, Seq, ShardId};

use super::{FileJournal, Layout};
use crate::fault::Fault;
use crate::identity::{Identity, Part};
use crate::segments::content::MISSING;
use crate::segments::mark::Mark;
use crate::segments::places::{Known, Places, damaged};
use crate::segments::position::StartAt;
use crate::segments::recover::{Found, Recovered, Rest, Scan, Tail, Visit};
use crate::segments::segment;
use crate::segments::writer::SegmentWriter;

impl<D: Disk> FileJournal<D> {
    /// The identity of the journal in a directory, read without opening it; `None` if no journal was started there. It
    /// can differ from what opening finds only after a crash during the copy of a continued history.
    ///
    /// # Errors
    /// When a segment cannot be read, has a later format version or belongs to another shard. This does not look for
    /// damage; [`FileJournal::open`] does.
    pub fn identity_before_opening(disk: &D, shard: ShardId) -> Result<Option<Identity>, Fault> {
        segment::last_identity(disk, shard)
    }

    /// The shard of the journal in a directory, read without opening it; `None` if no segment has an intact header.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn shard_before_opening(disk: &D) -> Result<Option<ShardId>, Fault> {
        segment::first_shard(disk)
    }

    /// The history and the durable position that the mark contains, read without opening the journal.
    ///
    /// # Errors
    /// When the mark cannot be read or is damaged.
    pub fn marked_before_opening(disk: &D) -> Result<Option<(Identity, Seq)>, Fault> {
        Mark::read(disk)
    }

    /// Opens the journal of a directory, or starts one with the identity from `origin`. Calls `visit` in order with
    /// every entry after `start`, or with every entry if there is no `start`; an error from `visit` stops the opening.
    ///
    /// # Errors
    /// When the journal is damaged, `start` is not a place in it, or the disk fails.
    pub fn open(
        disk: D,
        layout: Layout,
        shard: ShardId,
        origin: impl FnOnce() -> Origin,
        start: Option<StartAt>,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Recovered), Fault> {
        Self::open_signed(disk, layout, shard, origin, (start, None), visit)
    }

    /// Like [`FileJournal::open`], for a caller who knows from another source how many entries of which history were
    /// durable. A tail that contains any of them counts as damaged, not as torn. If the journal simply ends before
    /// them, this does not fail: the caller has to check.
    ///
    /// # Errors
    /// As [`FileJournal::open`].
    pub fn open_signed(
        disk: D,
        layout: Layout,
        shard: ShardId,
        origin: impl FnOnce() -> Origin,
        (start, signed): (Option<StartAt>, Option<(Origin, Seq)>),
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Recovered), Fault> {
        assert!(
            layout.segment_bytes >= Layout::SEGMENT_BYTES_MIN,
            "JRN-3: a segment has room for at least one frame of the largest size"
        );
        assert!(
            layout.segment_bytes <= Layout::SEGMENT_BYTES_MAX,
            "JRN-6: a position can name every byte of a segment"
        );
        let (mark, marked) = Mark::open(&disk)?;
        let mut scan = Scan::new(&disk, shard, marked, None);
        scan.signed = signed;
        scan.run(start, visit)?;
        let found = scan.into_found();
        found.check(marked)?;
        let Found { open, rest, .. } = found;
        match open {
            Some(open) => reopen(disk, layout, shard, mark, rest, open),
            None => begin(disk, layout, shard, mark, rest, Identity { origin: origin(), epoch: Epoch::new(1) }),
        }
    }

    fn new(layout: Layout, identity: Identity, lineage: Vec<Part>, writer: SegmentWriter<D>) -> Self {
        let mut journal = Self { layout, identity, lineage, writer, preparing: None, written: Vec::new() };
        journal.prepare_ahead();
        journal
    }
}

fn begin<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mark: Mark<D::File>,
    rest: Rest,
    identity: Identity,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let Rest { segments, last, torn, stale, .. } = rest;
    let places = Arc::new(Places::new(disk.clone(), shard, segments, last));
    let mut writer = SegmentWriter::empty(places, mark);
    writer.begin(
        identity,
        segment::prepare(&disk, writer.next_number(), layout.bytes_of(writer.next_number())),
        None,
    )?;
    prepare_again(&disk, layout, &stale)?;
    let lineage = vec![Part { identity, first: Seq::new(1) }];
    Ok((FileJournal::new(layout, identity, lineage, writer), Recovered { last, torn }))
}

/// Makes the accepted tail durable and continues after it.
fn reopen<D: Disk>(
    disk: D,
    layout: Layout,
    shard: ShardId,
    mut mark: Mark<D::File>,
    rest: Rest,
    tail: Tail<D::File>,
) -> Result<(FileJournal<D>, Recovered), Fault> {
    let Rest { mut segments, mut lineage, unmarked, previous, last, torn, stale, .. } = rest;
    let identity = tail.identity;
    if lineage.is_empty() {
        lineage.push(Part { identity, first: Seq::new(1) });
    }
    segments.entry(tail.number).or_insert_with(|| Known::from_the_first_frame(last.next()));
    make_durable(&disk, &unmarked, &tail)?;
    prepare_again(&disk, layout, &stale)?;
    mark.write(identity, last)?;
    let places = Arc::new(Places::new(disk, shard, segments, last));
    let writer = SegmentWriter::resumed(places, mark, tail, previous);
    Ok((FileJournal::new(layout, identity, lineage, writer), Recovered { last, torn }))
}

/// Prepares the segments again that were begun after the end of the journal.
fn prepare_again<D: Disk>(disk: &D, layout: Layout, stale: &[u64]) -> Result<(), Fault> {
    for &number in stale {
        let fault = |cause| Fault::Io { action: "prepare", file: segment::file_name(number), cause };
        segment::prepare(disk, number, layout.bytes_of(number)).map_err(fault)?;
    }
    // A killed process may have created files without syncing the directory.
    let fault = |cause| Fault::Io { action: "sync", file: "the directory".to_owned(), cause };
    disk.sync_directory().map_err(fault)
}

/// The frames above the mark may be only in memory (after a killed process) or lost (after a failed sync). They are
/// written again, the bytes after them are zeroed, and everything is synced before the journal serves anyone.
fn make_durable<D: Disk>(disk: &D, unmarked: &BTreeMap<u64, (u64, u64)>, tail: &Tail<D::File>) -> Result<(), Fault> {
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
    Ok(())
}
