//! Checks everything in a data directory without changing it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use datadir::{Fold, INDEX, JOURNAL, KEYS, PROOFS, ShardPlace};
use disk::{Directory, DirectoryError};
use engine::{Entry, Fact, SettingKind};
use journal::{Fault, FileJournal, FileReader, Identity, Inspected, Part, Position, StartAt, leaf_hash};
use proof::{Checker, Hash, Tree};
use tempfile::TempDir;
use types::{Seq, SettingName, ShardId, TenantId};

use crate::claims::{Claim, read_claims};
use crate::identity_of;
use crate::index_files::{Compared, Comparing};
use crate::keys::{check_keys, check_signing_keys};
use crate::parts::DataPart;

pub use crate::claims::CheckpointFile;

/// How many leaf hashes are compared with the proof files at once.
const LEAVES_AT_ONCE: usize = 8_192;

/// A part of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The journal: the only source of truth.
    Journal,
    /// The keys, which cannot be rebuilt either.
    Keys,
    /// The index, which is derived.
    Index,
    /// The Merkle tree, which is derived.
    Proofs,
    /// A signed checkpoint, kept with the keys or elsewhere.
    Checkpoint,
}

impl Place {
    /// Whether this part cannot be rebuilt.
    pub const fn is_truth(self) -> bool {
        matches!(self, Self::Journal | Self::Keys | Self::Checkpoint)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => JOURNAL,
            Self::Keys => KEYS,
            Self::Index => INDEX,
            Self::Proofs => PROOFS,
            Self::Checkpoint => "checkpoint",
        })
    }
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    /// What is wrong, with file, offset and sequence if there are any.
    pub what: String,
    /// What the operator can do.
    pub advice: &'static str,
}

/// A kind of check that was done, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub place: Place,
    pub what: &'static str,
    /// The number of objects that were checked.
    pub count: u64,
}

/// The result of a verification.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// What was checked, in order.
    pub checked: Vec<Checked>,
    /// The checks that failed.
    pub findings: Vec<Finding>,
    /// Observations that are not damage.
    pub notes: Vec<String>,
    /// The journal's last entry, and the Merkle root over all entries.
    pub end: Option<(Seq, Hash)>,
    /// Whose journal it is.
    pub tenant: TenantId,
    /// The documents of the tenants, by the names of their settings. Only the system journal has any.
    pub tenants: Vec<(SettingName, Arc<str>)>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory does not exist, or a server runs on it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory has no journal.
    #[error("{0} has no journal")]
    Nothing(PathBuf),
    /// The header of the journal cannot be read.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The caller's checkpoint cannot be used.
    #[error("cannot use the checkpoint {path}: {why}")]
    Checkpoint { path: PathBuf, why: String },
    /// A file that is not the journal cannot be read or written.
    #[error("cannot {action}: {cause}")]
    Io {
        /// The operation that failed.
        action: String,
        /// The error of the operating system.
        cause: io::Error,
    },
}

pub(super) fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> VerifyError {
    let action = action.into();
    move |cause| VerifyError::Io { action, cause }
}

impl Verification {
    pub(super) fn checked(&mut self, place: Place, what: &'static str, count: u64) {
        self.checked.push(Checked { place, what, count });
    }

    pub(super) fn found(&mut self, place: Place, what: impl Into<String>, advice: &'static str) {
        self.findings.push(Finding { place, what: what.into(), advice });
    }
}

const RESTORE: &str = "restore the file from a copy, or restore the journal up to the previous sequence: \
                       docs/runbooks/damaged-journal.md";
const DERIVE_INDEX: &str = "delete the file and start the server, which rebuilds it from the journal";
const DERIVE_PROOFS: &str = "delete the file and start the server, which rebuilds it from the journal";
const OTHER_RELEASE: &str = "this release cannot replay the entries: verify with the release that wrote them, and \
                             report it";

/// Checks the directory of one journal: segments, frames and their chain, the mark, every entry, the replay from the first
/// entry on with every state digest and the balance of all books, the Merkle tree, the index and the keys. Also checks
/// that the journal contains what `checkpoint` says. It calls `progress` with the number of entries read so far and the
/// approximate total.
///
/// # Errors
/// Fails if nothing can be checked because a server runs, there is no journal, or a disk fails. A check that fails is
/// not an error but a [`Finding`].
pub fn verify(
    part: &DataPart,
    checkpoint: Option<&CheckpointFile>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, VerifyError> {
    let data = part.directory.as_path();
    let journal = Directory::open_existing(&data.join(JOURNAL))?;
    let shard = match &part.place {
        Some(place) => place.clone(),
        None => ShardPlace::found(data, &journal)?,
    };
    let identity = identity_of(&journal, &shard)?.ok_or_else(|| VerifyError::Nothing(data.to_owned()))?;
    let existing = |name: &str| match data.join(name) {
        path if path.is_dir() => Directory::open_existing(&path).map(Some),
        _ => Ok(None),
    };
    let (keys, index, proofs) = (existing(KEYS)?, existing(INDEX)?, existing(PROOFS)?);
    let mut all = Verification { tenant: shard.tenant, ..Verification::default() };
    let claims = read_claims(keys.as_ref(), checkpoint, &mut all)?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(data);
    let scratch =
        scratch.or_else(|_read_only| tempfile::tempdir()).map_err(io_error("create a directory to work in"))?;
    let replayed =
        replay(&journal, (&shard, identity), (index.as_ref(), proofs.as_ref()), &claims, &scratch, progress, &mut all)?;
    check_claims(&claims, &replayed, &mut all);
    if shard.shard == ShardPlace::SYSTEM_SHARD {
        check_signing_keys(data, &mut all)?;
    }
    if let Some(keys) = &keys {
        check_keys(keys, (&replayed.lineage, replayed.shard), &mut all)?;
    } else {
        all.notes.push("there are no keys here; the server needs the keys that belong to this journal".to_owned());
    }
    Ok(all)
}

/// The result of replaying the journal.
struct Replayed {
    shard: ShardId,
    lineage: Vec<Part>,
    /// The Merkle root at each number of entries that a checkpoint covers.
    roots: BTreeMap<u64, Hash>,
    size: u64,
    /// Whether the journal was read to its end.
    whole: bool,
}

/// How many entries of each kind have been replayed.
#[derive(Default)]
struct Counts {
    entries: u64,
    digests: u64,
    histories: u64,
}

/// Replays everything, and compares the derived files with the result.
fn replay(
    journal: &Directory,
    (place, identity): (&ShardPlace, Identity),
    (index, proofs): (Option<&Directory>, Option<&Directory>),
    claims: &[Claim],
    scratch: &TempDir,
    progress: &mut dyn FnMut(u64, u64),
    all: &mut Verification,
) -> Result<Replayed, VerifyError> {
    let total = FileJournal::marked_before_opening(journal).ok().flatten().map_or(0, |(_, seq)| seq.get());
    let comparing = Comparing::new(Directory::open(scratch.path())?, index.cloned());
    let reader = FileReader::before_opening(journal.clone(), place.shard);
    let fold = Fold::new((place.shard, place.tenant), &comparing, identity.origin, reader);
    let mut fold = fold.map_err(|error| io_error("rebuild an index")(io::Error::other(error.to_string())))?;
    let mut leaves = match proofs {
        Some(proofs) => Some(Leaves::new(Checker::open(proofs).map_err(store_error)?)),
        None => None,
    };
    let (mut tree, mut roots, mut counts) = (Tree::new(), BTreeMap::new(), Counts::default());
    let mut visit = |entry: &Entry, position: Position, behind: Option<StartAt>| {
        let seq = entry.header.seq.get();
        if seq.is_multiple_of(1 << 14) {
            progress(seq, total.max(seq));
        }
        if let Fact::JournalContinued { departed, .. } = &entry.fact
            && (departed.size, departed.root.as_bytes()) != (tree.size(), &tree.root())
        {
            let what = "the history does not continue the one before it: the Merkle root differs";
            return Err(Fault::damaged_at(position, entry.header.seq, what));
        }
        fold.take(entry, position, behind)?;
        let leaf = leaf_hash(entry);
        tree.push(leaf);
        if let Some(leaves) = &mut leaves {
            leaves.push(leaf)?;
        }
        counts.entries += 1;
        counts.digests += u64::from(matches!(entry.fact, Fact::StateDigest(_)));
        counts.histories +=
            u64::from(matches!(entry.fact, Fact::JournalStarted { .. } | Fact::JournalContinued { .. }));
        if claims.iter().any(|claim| claim.size == tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
        Ok(())
    };
    // A failed assertion of the replay is a finding, not a crash.
    let inspected = catch_unwind(AssertUnwindSafe(|| FileJournal::inspect(journal, place.shard, &mut visit)));
    let (inspected, whole) = match inspected {
        Ok(Ok(inspected)) => (Some(inspected), true),
        Ok(Err(fault)) => {
            report_fault((journal, place.shard), &fault, all)?;
            (None, false)
        }
        Err(panicked) => {
            let why = panicked.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panicked.downcast_ref::<&str>().map(|&why| why.to_owned())).unwrap_or_default();
            let what = format!("entry {} cannot be replayed: {why}", counts.entries + 1);
            all.found(Place::Journal, what, OTHER_RELEASE);
            (None, false)
        }
    };
    report_journal(inspected.as_ref(), &counts, &fold, whole, all);
    all.end = whole.then(|| (Seq::new(tree.size()), tree.root()));
    let tenants = fold.engine.settings().filter(|setting| setting.kind == SettingKind::Tenant);
    all.tenants = tenants.map(|setting| (setting.name.clone(), Arc::clone(&setting.document))).collect();
    if let Some(leaves) = leaves {
        leaves.report(whole, all)?;
    }
    compare_index(fold, &comparing, whole, all)?;
    let lineage = inspected.map_or_else(|| vec![Part { identity, first: Seq::new(1) }], |inspected| inspected.lineage);
    Ok(Replayed { shard: place.shard, lineage, roots, size: tree.size(), whole })
}

fn report_journal(inspected: Option<&Inspected>, counts: &Counts, fold: &Fold, whole: bool, all: &mut Verification) {
    if let Some(Inspected { recovered, marked, segments, frames, bytes, .. }) = inspected {
        all.checked(Place::Journal, "segments, each with its header", *segments);
        all.checked(Place::Journal, "frames, each with checksums and link to the previous frame", *frames);
        all.checked(Place::Journal, "bytes of frames", *bytes);
        if let Some(torn) = &recovered.torn {
            let what = format!(
                "{} has a torn tail at byte {}, after entry {}: it was never acknowledged, and the next start cuts it off",
                torn.file, torn.offset, torn.after
            );
            all.notes.push(what);
        }
        let covered = marked.map_or(Seq::ZERO, |(_, seq)| seq);
        if covered < recovered.last {
            all.notes.push(format!(
                "the mark covers the entries up to {covered}, as is usual after a crash; frames after it count if they are complete"
            ));
        }
    }
    all.checked(Place::Journal, "entries, read, encoded again and replayed", counts.entries);
    all.checked(Place::Journal, "histories that follow one another", counts.histories);
    all.checked(Place::Journal, "state digests", counts.digests);
    if whole {
        // If the replay stopped early, the books may be incomplete.
        let books = fold.engine.ledgers().len() as u64;
        all.checked(Place::Journal, "books, with debits against credits and sums over all accounts", books);
        for book in fold.engine.unbalanced_books() {
            all.found(Place::Journal, format!("ledger {book} does not balance"), OTHER_RELEASE);
        }
    }
}

/// Reports the damage, and checks the later segments as far as they can be checked on their own.
fn report_fault(
    (journal, shard): (&Directory, ShardId),
    fault: &Fault,
    all: &mut Verification,
) -> Result<(), VerifyError> {
    let advice = match fault {
        Fault::Damaged { .. } => RESTORE,
        Fault::StateDiffers { .. } | Fault::Undecodable { .. } | Fault::FormatVersion { .. } => OTHER_RELEASE,
        Fault::Poisoned(_) | Fault::Fenced { .. } | Fault::Io { .. } | Fault::OtherShard { .. } => {
            "check the disk, and verify again"
        }
    };
    let what = fault.to_string();
    all.found(Place::Journal, what.split("; restore the file").next().unwrap_or_default(), advice);
    all.notes.push(
        "entries after the first damage were not replayed, and the files derived from them were not compared"
            .to_owned(),
    );
    if fault.is_damage() {
        for fault in FileJournal::check_segments_after(journal, shard, fault.segment().unwrap_or(0))? {
            let what = fault.to_string();
            all.found(Place::Journal, what.split("; restore the file").next().unwrap_or_default(), RESTORE);
        }
    }
    Ok(())
}

/// Compares the files of the tree with the leaves.
struct Leaves {
    checker: Checker<Directory>,
    waiting: Vec<Hash>,
    wrong: Option<String>,
}

impl Leaves {
    fn new(checker: Checker<Directory>) -> Self {
        Self { checker, waiting: Vec::with_capacity(LEAVES_AT_ONCE), wrong: None }
    }

    fn push(&mut self, leaf: Hash) -> Result<(), Fault> {
        self.waiting.push(leaf);
        if self.waiting.len() < LEAVES_AT_ONCE {
            Ok(())
        } else {
            self.compare().map_err(|error| Fault::Poisoned(error.to_string()))
        }
    }

    fn compare(&mut self) -> Result<(), proof::StoreError> {
        if let Err(mismatch) = self.checker.push(&self.waiting)? {
            let what = mismatch.to_string();
            let what = what.split("; delete").next().unwrap_or_default().to_owned();
            // A wrong hash makes later ones wrong too, so only the first is reported.
            self.wrong.get_or_insert(what);
        }
        self.waiting.clear();
        Ok(())
    }

    fn report(mut self, whole: bool, all: &mut Verification) -> Result<(), VerifyError> {
        self.compare().map_err(store_error)?;
        let (stored, size) = (self.checker.stored(), self.checker.size());
        all.checked(Place::Proofs, "leaves of the Merkle tree, and all hashes above them", stored.min(size));
        if let Some(what) = self.wrong {
            all.found(Place::Proofs, what, DERIVE_PROOFS);
        }
        if whole && stored > size {
            let what = format!("the tree has {stored} leaves, but the journal has {size} entries");
            all.found(Place::Proofs, what, DERIVE_PROOFS);
        }
        if whole && stored < size {
            all.notes.push(format!("the tree files have {stored} of {size} leaves; the next start adds the others"));
        }
        Ok(())
    }
}

fn store_error(error: proof::StoreError) -> VerifyError {
    io_error("read the proofs")(io::Error::other(error.to_string()))
}

/// Compares every file of the index with the one that is rebuilt from the log.
fn compare_index(fold: Fold, comparing: &Comparing, whole: bool, all: &mut Verification) -> Result<(), VerifyError> {
    if whole {
        fold.choose();
    }
    let failed = |error: index::Fault| io_error("rebuild an index")(io::Error::other(error.to_string()));
    fold.index.drain().map_err(failed)?;
    let derived = fold.derived;
    drop(fold);
    let (mut files, mut bytes_same) = (0, 0);
    for (name, compared) in comparing.outcome().map_err(io_error("list the index"))? {
        files += 1;
        match compared {
            Some(Compared::Same { bytes }) => bytes_same += bytes,
            Some(Compared::Differs { offset }) => {
                let what = format!("{name} differs from what the log gives, from byte {offset} on");
                all.found(Place::Index, what, DERIVE_INDEX);
            }
            None if whole => {
                all.found(Place::Index, format!("{name} is not part of the index that the log gives"), DERIVE_INDEX);
            }
            None => {}
        }
    }
    all.checked(Place::Index, "generations rebuilt from the log", derived);
    all.checked(Place::Index, "files, each compared with the rebuilt one", files);
    all.checked(Place::Index, "bytes that are equal", bytes_same);
    Ok(())
}

/// Checks that the journal contains what the checkpoints say.
fn check_claims(claims: &[Claim], replayed: &Replayed, all: &mut Verification) {
    for claim in claims {
        let Claim { file, size, root, origin, .. } = claim;
        let Some(at) = replayed.lineage.iter().position(|part| claim.is_of(part.identity.origin, replayed.shard))
        else {
            let what = format!("{file} is of {origin}, which is not one of this journal's histories");
            all.found(Place::Checkpoint, what, "verify the data directory that the checkpoint belongs to");
            continue;
        };
        // Another history continues from there, and later entries of the checkpoint's history are not in this journal.
        let end = replayed.lineage.get(at + 1).map_or(replayed.size, |next| next.first.get() - 1);
        if *size > end && claim.is_own && at + 1 < replayed.lineage.len() {
            all.notes.push(format!("{file} is of a history that another one continues after {end} entries"));
            continue;
        }
        if *size > end && (replayed.whole || at + 1 < replayed.lineage.len()) {
            let missing = size - end;
            let what = format!(
                "{file} was signed over {size} entries, but the journal has {end} of that history: the last {missing} are missing"
            );
            all.found(Place::Checkpoint, what, "acknowledged entries are lost: restore from a copy that has them");
            continue;
        }
        match replayed.roots.get(size) {
            Some(found) if found == root => {
                all.checked(
                    Place::Checkpoint,
                    "checkpoints, each with a valid signature and the root of its entries",
                    1,
                );
            }
            Some(_) => {
                let what = format!("{file} was signed over {size} entries, but their root differs");
                all.found(
                    Place::Checkpoint,
                    what,
                    "the journal was changed, or the key signed two histories: find out which",
                );
            }
            None => all.notes.push(format!(
                "{file} was not compared: it was signed over {size} entries, but not all of them were replayed"
            )),
        }
    }
}
