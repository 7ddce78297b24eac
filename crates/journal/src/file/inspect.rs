//! Looking at a journal without changing it.

use types::{Seq, ShardId};

use super::FileJournal;
use super::recover::{Counts, Recovered, Scan, Visit};
use crate::contract::{Fault, Identity, Part};
use crate::disk::Disk;
use crate::mark::Mark;

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
}
