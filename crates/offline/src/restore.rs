//! Restores a journal from a copy, in full or up to a point, as a new history.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use datadir::{Fold, JOURNAL, ShardPlace, new_origin};
use disk::{Directory, DirectoryError, Disk, DiskFile, create_directory};
use engine::{Applied, DepartedHistory, Entry};
use journal::{
    CopyFault, DurableLog as _, Fault, FileCopy, FileJournal, FileReader, FrameBuilder, Identity, Layout, Position,
    StartAt, leaf_hash,
};
use proof::Tree;
use tempfile::TempDir;
use types::{Digest, Epoch, Seq, ShardId, Timestamp};

use crate::ends::{self, Cut};
use crate::identity_of;

/// The name of the journal's folder until it is completely restored.
const UNFINISHED: &str = "journal.restoring";
/// How much is read from a segment at once.
const PIECE_BYTES: u64 = 8 << 20;
/// The offset of the first frame in a segment, which is one disk block.
const SEGMENT_HEADER_BYTES: u64 = 4096;

/// How much of a journal is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The whole journal.
    End,
    /// The journal up to this entry, inclusive.
    Seq(Seq),
    /// All entries that were decided at this instant or earlier.
    Time(Timestamp),
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// The history that the new one departs from, and how far it was kept.
    pub departed: DepartedHistory,
    /// When its last kept entry was decided.
    pub decided_at: Timestamp,
    /// The new history.
    pub identity: Identity,
    /// The number of entries of the copy that were left out, as far as it is known.
    pub left_out: u64,
    /// Damage of the copy after the point.
    pub damage_behind: Option<Fault>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The copy is damaged before the point, or a disk failed.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The copy cannot be continued.
    #[error(transparent)]
    Copy(#[from] CopyFault),
    /// This point would separate entries that became durable together.
    #[error("entries {} to {after} became durable together: end after {before} or after {after}, not after {seq}", before.next())]
    Inside {
        /// The requested last entry.
        seq: Seq,
        /// The nearest earlier entry after which the journal can end.
        before: Seq,
        /// The nearest later entry after which the journal can end.
        after: Seq,
    },
    /// The index that the replay needs failed.
    #[error("cannot replay the journal: {0}")]
    Index(#[from] index::Fault),
    /// The target directory already has a journal.
    #[error("{0} already has a journal; restore into another directory")]
    Occupied(PathBuf),
    /// The source directory has no journal.
    #[error("{0} has no journal")]
    Nothing(PathBuf),
    /// The requested entry comes after the end of the journal.
    #[error("the journal ends with entry {last}, before entry {wanted}")]
    EndsBefore {
        /// The journal's last entry.
        last: Seq,
        /// The requested last entry.
        wanted: Seq,
    },
    /// No entry was decided by then.
    #[error("the journal has no entry from {0} or earlier")]
    NothingBy(Timestamp),
    /// The file system reported an error.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
}

/// Restores the journal of the data directory `from` into the data directory `to`, which must not have one. First it
/// reads, checks and replays everything that is to be restored, so that an inconsistent copy is found now. It calls
/// `progress` with the number of entries read so far and the approximate total.
///
/// # Errors
/// Fails if there is nothing to restore, if `to` cannot take a journal, if the copy is damaged before the point, or if
/// the point would separate entries that became durable together. In all these cases, `to` has no journal afterwards.
pub fn restore(
    from: &Path,
    to: &Path,
    until: Until,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let source = Directory::open_existing(&from.join(JOURNAL))?;
    let place = ShardPlace::found(from, &source)?;
    let present = identity_of(&source, &place)?.ok_or_else(|| RestoreError::Nothing(from.to_owned()))?;
    check_free(to)?;
    let point = replay((&source, &place), to, until, progress)?;
    let unfinished = to.join(UNFINISHED);
    let copied = copy((&source, place.shard), &unfinished, present, point);
    if copied.is_err() {
        // The incomplete journal is useless. If its removal fails, nothing takes it for a journal because of its name.
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

/// Checks that the restore overwrites nothing except what an interrupted restore left.
fn check_free(to: &Path) -> Result<(), RestoreError> {
    let io = |action, path: PathBuf| move |cause| RestoreError::Io { action, path, cause };
    let journal = to.join(JOURNAL);
    if journal.try_exists().map_err(io("look for", journal.clone()))? {
        return Err(RestoreError::Occupied(to.to_owned()));
    }
    let unfinished = to.join(UNFINISHED);
    if unfinished.try_exists().map_err(io("look for", unfinished.clone()))? {
        // The lock fails if another restore is writing there.
        drop(Directory::open_existing(&unfinished)?);
        std::fs::remove_dir_all(&unfinished).map_err(io("remove", unfinished))?;
    }
    Ok(())
}

/// The state at the point, and what follows it.
struct Point {
    fold: Fold,
    tree: Tree,
    /// The position of the last entry.
    last: Position,
    /// For each segment, the offset at which its last whole frame before the point ends.
    ends: BTreeMap<u64, u64>,
    /// The position after the last whole frame.
    whole: Option<StartAt>,
    left_out: u64,
    damage_behind: Option<Fault>,
    /// Must be the last field, because the index in `fold` writes there until it is dropped.
    _scratch: TempDir,
}

/// Folds the entries to restore, and counts the rest.
fn replay(
    (source, place): (&Directory, &ShardPlace),
    to: &Path,
    until: Until,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Point, RestoreError> {
    let total = FileJournal::marked_before_opening(source)?.map_or(0, |(_, seq)| seq.get());
    let io = |cause| RestoreError::Io { action: "create a directory in", path: to.to_owned(), cause };
    create_directory(to).map_err(io)?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(to).map_err(io)?;
    let index = Directory::open(scratch.path())?;
    let reader = FileReader::before_opening(source.clone(), place.shard);
    let mut fold = Fold::new((place.shard, place.tenant), &index, new_origin(), reader)?;
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
    let inspected = FileJournal::inspect(source, place.shard, &mut visit);
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
        // Damage after the point does not matter, provided it certainly is after the point.
        (Err(fault), Until::Seq(wanted)) if applied == wanted => Some(fault),
        (Err(fault), Until::Time(_)) if left_out > 0 && applied > Seq::ZERO => Some(fault),
        (Err(fault), _) => return Err(fault.into()),
    };
    if damage_behind.is_some() {
        // The rest could not be read, so use the count of the mark.
        left_out = left_out.max(total.saturating_sub(applied.get()));
    }
    Ok(Point { fold, tree, last, ends, whole, left_out, damage_behind, _scratch: scratch })
}

/// Writes the journal up to the point, and the entry that starts the new history.
fn copy(
    (source, shard): (&Directory, ShardId),
    to: &Path,
    present: Identity,
    point: Point,
) -> Result<Restored, RestoreError> {
    let target = Directory::open(to)?;
    let mut journal = copy_entries((source, shard), &target, &point)?;
    let Point { mut fold, tree, left_out, damage_behind, .. } = point;
    let departed = DepartedHistory {
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
    // The new entry has the time of the last restored entry and not of this machine: the first start compares its clock
    // with that time.
    fold.engine.continue_as(decided_at, identity.origin, departed, &mut sink);
    if let Some(frame) = builder.finish() {
        journal.continue_as(identity, &frame)?;
    }
    Ok(Restored { departed, decided_at, identity, left_out, damage_behind })
}

/// Copies whole frames unchanged. If the point is inside a frame, the entries before it are written in a new frame.
fn copy_entries(
    (source, shard): (&Directory, ShardId),
    target: &Directory,
    point: &Point,
) -> Result<FileJournal<Directory>, RestoreError> {
    let seq = point.fold.engine.applied();
    let rest = match point.whole {
        Some(whole) if whole.seq == seq => Vec::new(),
        Some(_) | None => {
            let reader = FileReader::before_opening(source.clone(), shard);
            let frame = reader.frame_at(point.last)?.into_iter().map(|(_, entry)| entry).collect();
            let Cut { kept, nearest } = ends::cut(frame, seq);
            if let Some((before, after)) = nearest {
                return Err(RestoreError::Inside { seq, before, after });
            }
            kept
        }
    };
    let mut copy = FileCopy::open(target.clone(), shard)?;
    for number in 1..=point.last.segment() {
        if number > 1 {
            copy.finish_segment()?;
        }
        copy_segment(source, number, point.ends.get(&number).copied().unwrap_or(SEGMENT_HEADER_BYTES), &mut copy)?;
    }
    copy.sync()?;
    drop(copy);
    let nothing = &mut |_: &Entry, _, _| Ok(());
    let layout = Layout::TINY;
    let opened = FileJournal::open(target.clone(), layout, shard, new_origin, point.whole, nothing)?;
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

/// Copies a segment's file up to the byte `end`.
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
