//! Restoring a journal from a copy, in full or up to a point, as a history of its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use datadir::{Fold, JOURNAL, SHARD, TENANT, new_origin};
use disk::{Directory, DirectoryError, Disk, DiskFile, create_directory};
use engine::{Applied, Checkpoint, Entry};
use journal::{
    CopyFault, DurableLog as _, Fault, FileCopy, FileJournal, FileReader, FrameBuilder, Identity, Layout, Position,
    Prepare, StartAt, leaf_hash,
};
use proof::Tree;
use tempfile::TempDir;
use types::{Digest, Epoch, Seq, Timestamp};

use crate::ends::{self, Cut};
use crate::identity_of;

/// What a journal is called until it is restored in full.
const UNFINISHED: &str = "journal.restoring";
/// Read from a segment at once.
const PIECE_BYTES: u64 = 8 << 20;
/// Bytes before the first frame of a segment, one block of the disk.
const SEGMENT_HEADER_BYTES: u64 = 4096;

/// How much of a journal is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of it.
    End,
    /// Up to this entry.
    Seq(Seq),
    /// All entries that were decided at this instant or before.
    Time(Timestamp),
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The history that the journal departs from, up to where.
    pub departed: Checkpoint,
    /// When the last entry of it was decided.
    pub decided_at: Timestamp,
    /// The history that it is from here on.
    pub identity: Identity,
    /// Entries of the copy that were left out, as far as they can be read.
    pub left_out: u64,
    /// What is wrong with the copy behind the point.
    pub damage_behind: Option<Fault>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The copy is damaged before the point, or a disk failed.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The copy cannot be taken over.
    #[error(transparent)]
    Copy(#[from] CopyFault),
    /// To end there would take apart what became durable together.
    #[error("entries {} to {after} became durable together: end after {before} or after {after}, not after {seq}", before.next())]
    Inside {
        /// Where it was to end.
        seq: Seq,
        /// The nearest entry before, after which it can end.
        before: Seq,
        /// The nearest entry behind, after which it can end.
        after: Seq,
    },
    /// The index that replaying needs.
    #[error("cannot replay the journal: {0}")]
    Index(#[from] index::Fault),
    /// There is a journal where one is to be restored.
    #[error("{0} has a journal already; restore into another directory")]
    Occupied(PathBuf),
    /// There is none to restore from.
    #[error("{0} has no journal")]
    Nothing(PathBuf),
    /// The point is behind the end.
    #[error("the journal ends with entry {last}, before entry {wanted}")]
    EndsBefore {
        /// Its last entry.
        last: Seq,
        /// The entry up to which it was to be restored.
        wanted: Seq,
    },
    /// No entry was decided by then.
    #[error("the journal has no entry from {0} or before")]
    NothingBy(Timestamp),
    /// The file system refused.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

/// Restores the journal of the data directory `from` into the data directory `to`, which has none. All of what is
/// restored is read, checked and replayed first, so that a copy that does not hold together is found now. `progress` is
/// told how many entries were read, of about how many.
///
/// # Errors
/// When there is nothing to restore from or no room to restore to, when the copy is damaged before the point, and when
/// the point is inside of what became durable together. Nothing is left in the place of the journal then.
pub fn restore(
    from: &Path,
    to: &Path,
    until: Until,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let source = Directory::open_existing(&from.join(JOURNAL))?;
    let present = identity_of(&source)?.ok_or_else(|| RestoreError::Nothing(from.to_owned()))?;
    check_free(to)?;
    let point = replay(&source, to, until, progress)?;
    let unfinished = to.join(UNFINISHED);
    let copied = copy(&source, &unfinished, present, point);
    if copied.is_err() {
        // What is half there must not be taken for a journal. It was no good before either, should this fail.
        drop(std::fs::remove_dir_all(&unfinished));
    }
    let restored = copied?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |cause| RestoreError::Io { action, path, cause }
    };
    std::fs::rename(&unfinished, to.join(JOURNAL)).map_err(io("rename", &unfinished))?;
    let folder = std::fs::File::open(to).map_err(io("open", to))?;
    folder.sync_all().map_err(io("sync", to))?;
    Ok(restored)
}

/// Makes sure that nothing is overwritten but what an interrupted restore left.
fn check_free(to: &Path) -> Result<(), RestoreError> {
    let io = |action, path: PathBuf| move |cause| RestoreError::Io { action, path, cause };
    let journal = to.join(JOURNAL);
    if journal.try_exists().map_err(io("look for", journal.clone()))? {
        return Err(RestoreError::Occupied(to.to_owned()));
    }
    let unfinished = to.join(UNFINISHED);
    if unfinished.try_exists().map_err(io("look for", unfinished.clone()))? {
        // Locked while it is written.
        drop(Directory::open_existing(&unfinished)?);
        std::fs::remove_dir_all(&unfinished).map_err(io("remove", unfinished))?;
    }
    Ok(())
}

/// The state at the point, and what is behind it.
struct Point {
    fold: Fold,
    tree: Tree,
    /// Where the last entry stands.
    last: Position,
    /// Where whole frames end in each segment, up to the point.
    ends: BTreeMap<u64, u64>,
    /// The place behind the last whole frame.
    whole: Option<StartAt>,
    left_out: u64,
    damage_behind: Option<Fault>,
    /// Goes last: the index writes there.
    _scratch: TempDir,
}

/// Folds what is to be restored, and counts the rest.
fn replay(
    source: &Directory,
    to: &Path,
    until: Until,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Point, RestoreError> {
    let total = FileJournal::marked_before_opening(source)?.map_or(0, |(_, seq)| seq.get());
    let io = |cause| RestoreError::Io { action: "create a directory in", path: to.to_owned(), cause };
    create_directory(to).map_err(io)?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(to).map_err(io)?;
    let index = Directory::open(scratch.path())?;
    let reader = FileReader::before_opening(source.clone(), SHARD);
    let mut fold = Fold::new((SHARD, TENANT), &index, new_origin(), reader)?;
    let (mut tree, mut left_out) = (Tree::new(), 0);
    let (mut last, mut ends, mut whole) = (Position::default(), BTreeMap::new(), None);
    let mut visit = |entry: &Entry, position: Position, behind: Option<StartAt>| {
        let seq = entry.header.seq.get();
        if seq.is_multiple_of(1 << 14) {
            progress(seq, total.max(seq));
        }
        let is_behind = match until {
            Until::End => false,
            Until::Seq(last) => entry.header.seq > last,
            Until::Time(last) => entry.header.decided_at > last,
        };
        if is_behind {
            left_out += 1;
            return Ok(());
        }
        fold.take(entry, position, behind)?;
        tree.push(leaf_hash(entry));
        last = position;
        if let Some(behind) = behind {
            ends.insert(behind.segment, behind.offset);
            whole = Some(behind);
        }
        Ok(())
    };
    let inspected = FileJournal::inspect(source, SHARD, &mut visit);
    let applied = fold.engine.applied();
    let damage_behind = match (inspected, until) {
        (Ok(inspected), Until::Seq(wanted)) if applied < wanted => {
            return Err(RestoreError::EndsBefore { last: inspected.recovered.last, wanted });
        }
        (Ok(_), Until::Time(at)) if applied == Seq::ZERO => return Err(RestoreError::NothingBy(at)),
        (Ok(_), _) if applied == Seq::ZERO => {
            return Err(RestoreError::EndsBefore { last: applied, wanted: Seq::new(1) });
        }
        (Ok(_), _) => None,
        // What is damaged behind the point does not matter, as long as it is known that it is behind.
        (Err(fault), Until::Seq(wanted)) if applied == wanted => Some(fault),
        (Err(fault), Until::Time(_)) if left_out > 0 && applied > Seq::ZERO => Some(fault),
        (Err(fault), _) => return Err(fault.into()),
    };
    if damage_behind.is_some() {
        // Not all of it was read.
        left_out = left_out.max(total.saturating_sub(applied.get()));
    }
    Ok(Point { fold, tree, last, ends, whole, left_out, damage_behind, _scratch: scratch })
}

/// Writes the journal up to the point, and the entry with which it goes on.
fn copy(source: &Directory, to: &Path, present: Identity, point: Point) -> Result<Restored, RestoreError> {
    let target = Directory::open(to)?;
    let mut journal = copy_entries(source, &target, &point)?;
    let Point { mut fold, tree, left_out, damage_behind, .. } = point;
    let departed = Checkpoint {
        origin: fold.engine.origin().unwrap_or_default(),
        size: tree.size(),
        root: Digest::new(tree.root()),
    };
    let decided_at = fold.engine.clock();
    let identity = Identity { origin: new_origin(), epoch: Epoch::new(present.epoch.get() + 1) };
    let mut builder = FrameBuilder::default();
    let mut sink = |applied: Applied<'_>| {
        builder.push(applied.entry);
    };
    // The first start doubts its clock by the time of the last entry that was restored, not by that of this machine.
    fold.engine.continue_as(decided_at, identity.origin, departed, &mut sink);
    if let Some(frame) = builder.finish() {
        journal.continue_as(identity, &frame)?;
    }
    Ok(Restored { departed, decided_at, identity, left_out, damage_behind })
}

/// Copies whole frames as they were written, and of a frame that the point falls into what stands before it.
fn copy_entries(source: &Directory, target: &Directory, point: &Point) -> Result<FileJournal<Directory>, RestoreError> {
    let seq = point.fold.engine.applied();
    let rest = match point.whole {
        Some(whole) if whole.seq == seq => Vec::new(),
        Some(_) | None => {
            let reader = FileReader::before_opening(source.clone(), SHARD);
            let frame = reader.frame_at(point.last)?.into_iter().map(|(_, entry)| entry).collect();
            let Cut { kept, nearest } = ends::cut(frame, seq);
            if let Some((before, after)) = nearest {
                return Err(RestoreError::Inside { seq, before, after });
            }
            kept
        }
    };
    let mut copy = FileCopy::open(target.clone(), SHARD)?;
    for number in 1..=point.last.segment() {
        if number > 1 {
            copy.finish_segment()?;
        }
        copy_segment(source, number, point.ends.get(&number).copied().unwrap_or(SEGMENT_HEADER_BYTES), &mut copy)?;
    }
    copy.sync()?;
    drop(copy);
    let nothing = &mut |_: &Entry, _, _| Ok(());
    let layout = Layout { segment_bytes: Layout::SEGMENT_BYTES_MIN, prepare: Prepare::InPlace };
    let opened = FileJournal::open(target.clone(), layout, SHARD, new_origin, point.whole, nothing)?;
    let (mut journal, _) = opened;
    let mut builder = FrameBuilder::default();
    for entry in &rest {
        builder.push(entry);
    }
    if let Some(frame) = builder.finish() {
        journal.append(&frame)?;
    }
    journal.sync()?;
    Ok(journal)
}

/// Copies a segment's file up to a byte.
fn copy_segment(source: &Directory, number: u64, end: u64, copy: &mut FileCopy<Directory>) -> Result<(), RestoreError> {
    let name = format!("segment-{number:08}");
    let io = |action| {
        let file = name.clone();
        move |cause| Fault::Io { action, file, cause }
    };
    let file = source.open(&name).map_err(io("open"))?;
    let file = file.ok_or_else(|| io("open")(io::ErrorKind::NotFound.into()))?;
    let file_bytes = DiskFile::len(&file).map_err(io("measure"))?;
    let mut offset = 0;
    while offset < end {
        let wanted = (end - offset).min(PIECE_BYTES);
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
        let count = file.read_at(&mut bytes, offset).map_err(io("read"))?;
        if count < bytes.len() {
            return Err(io("read")(io::ErrorKind::UnexpectedEof.into()).into());
        }
        copy.take(&bytes, file_bytes)?;
        offset += wanted;
    }
    Ok(())
}
