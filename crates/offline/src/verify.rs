//! Checking everything that a data directory holds, without changing any of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use datadir::{Fold, INDEX, JOURNAL, KEYS, PROOFS, SHARD, TENANT};
use disk::{Directory, DirectoryError};
use engine::{Entry, Fact};
use journal::{Fault, FileJournal, FileReader, Identity, Inspected, Part, Position, StartAt, leaf_hash};
use proof::{Checker, Hash, Tree};
use tempfile::TempDir;
use types::Seq;

use crate::claims::{Claim, read_claims};
use crate::identity_of;
use crate::index_files::{Compared, Comparing};
use crate::keys::check_keys;

pub use crate::claims::CheckpointFile;

/// Leaf hashes that are compared with the files of the proofs at once.
const LEAVES_AT_ONCE: usize = 8_192;

/// A part of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The only truth.
    Journal,
    /// What cannot be derived either.
    Keys,
    /// Derived.
    Index,
    /// Derived.
    Proofs,
    /// What was signed over the journal, kept with the keys or elsewhere.
    Checkpoint,
}

impl Place {
    /// Whether what stands there cannot be derived again.
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

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What, with file, offset and sequence where there are any.
    pub what: String,
    /// What can be done.
    pub advice: &'static str,
}

/// What was checked, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where.
    pub place: Place,
    /// What.
    pub what: &'static str,
    /// How many.
    pub count: u64,
}

/// Everything that was looked at.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// What was checked, in order.
    pub checked: Vec<Checked>,
    /// What does not hold.
    pub findings: Vec<Finding>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// The journal's last entry, and the Merkle root over all.
    pub end: Option<(Seq, Hash)>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A directory; a server runs on it, or it is not there.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is no journal.
    #[error("{0} has no journal")]
    Nothing(PathBuf),
    /// The journal's first bytes cannot be read.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The checkpoint that was given.
    #[error("cannot use the checkpoint {path}: {why}")]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Files of derived things cannot be read or written.
    #[error("cannot {action}: {cause}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system said.
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

const RESTORE: &str = "put the file back from a copy, or restore the journal up to the sequence before: \
                       docs/runbooks/damaged-journal.md";
const DERIVE_INDEX: &str = "delete the file and start the server: it is derived again from the journal";
const DERIVE_PROOFS: &str = "delete the file and start the server: it is derived again from the journal";
const OTHER_RELEASE: &str = "the entries cannot be folded by this release: verify with the release that wrote them, and \
                             report it";

/// Checks the data directory `data`: segments, frames and their chain, the mark, every entry, the replay from the first
/// entry on with every state digest and all books, the Merkle tree, the index, the keys; and that the journal holds what
/// `checkpoint` says. `progress` is told how many entries were read, of about how many.
///
/// # Errors
/// When nothing can be checked: a server runs, there is no journal, or a disk fails. What does not hold is not an error
/// but a [`Finding`].
pub fn verify(
    data: &Path,
    checkpoint: Option<&CheckpointFile>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, VerifyError> {
    let journal = Directory::open_existing(&data.join(JOURNAL))?;
    let identity = identity_of(&journal)?.ok_or_else(|| VerifyError::Nothing(data.to_owned()))?;
    let existing = |name: &str| match data.join(name) {
        path if path.is_dir() => Directory::open_existing(&path).map(Some),
        _ => Ok(None),
    };
    let (keys, index, proofs) = (existing(KEYS)?, existing(INDEX)?, existing(PROOFS)?);
    let mut all = Verification::default();
    let claims = read_claims(keys.as_ref(), checkpoint, &mut all)?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(data);
    let scratch =
        scratch.or_else(|_read_only| tempfile::tempdir()).map_err(io_error("create a directory to work in"))?;
    let replayed =
        replay(&journal, identity, (index.as_ref(), proofs.as_ref()), &claims, &scratch, progress, &mut all)?;
    check_claims(&claims, &replayed, &mut all);
    if let Some(keys) = &keys {
        check_keys(keys, &replayed.lineage, &mut all)?;
    } else {
        all.notes.push("there are no keys here: a start needs those that belong to this journal".to_owned());
    }
    Ok(all)
}

/// What came of folding the journal.
struct Replayed {
    lineage: Vec<Part>,
    /// Root by number of entries, of those numbers that somebody claims something about.
    roots: BTreeMap<u64, Hash>,
    size: u64,
    /// The journal was read to its end.
    whole: bool,
}

/// Entries seen so far, by what they are.
#[derive(Default)]
struct Counts {
    entries: u64,
    digests: u64,
    histories: u64,
}

/// Folds everything, and compares what is derived from it.
fn replay(
    journal: &Directory,
    identity: Identity,
    (index, proofs): (Option<&Directory>, Option<&Directory>),
    claims: &[Claim],
    scratch: &TempDir,
    progress: &mut dyn FnMut(u64, u64),
    all: &mut Verification,
) -> Result<Replayed, VerifyError> {
    let total = FileJournal::marked_before_opening(journal).ok().flatten().map_or(0, |(_, seq)| seq.get());
    let comparing = Comparing::new(Directory::open(scratch.path())?, index.cloned());
    let reader = FileReader::before_opening(journal.clone(), SHARD);
    let fold = Fold::new((SHARD, TENANT), &comparing, identity.origin, reader);
    let mut fold = fold.map_err(|error| io_error("derive an index")(io::Error::other(error.to_string())))?;
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
            let what = "the history continues another one than stands before it: the Merkle root differs";
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
    // What the fold asserts is what this is here to find out.
    let inspected = catch_unwind(AssertUnwindSafe(|| FileJournal::inspect(journal, SHARD, &mut visit)));
    let (inspected, whole) = match inspected {
        Ok(Ok(inspected)) => (Some(inspected), true),
        Ok(Err(fault)) => {
            report_fault(journal, &fault, all)?;
            (None, false)
        }
        Err(panicked) => {
            let why = panicked.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panicked.downcast_ref::<&str>().map(|&why| why.to_owned())).unwrap_or_default();
            let what = format!("entry {} cannot be folded: {why}", counts.entries + 1);
            all.found(Place::Journal, what, OTHER_RELEASE);
            (None, false)
        }
    };
    report_journal(inspected.as_ref(), &counts, &fold, whole, all);
    all.end = whole.then(|| (Seq::new(tree.size()), tree.root()));
    if let Some(leaves) = leaves {
        leaves.report(whole, all)?;
    }
    compare_index(fold, &comparing, whole, all)?;
    let lineage = inspected.map_or_else(|| vec![Part { identity, first: Seq::new(1) }], |inspected| inspected.lineage);
    Ok(Replayed { lineage, roots, size: tree.size(), whole })
}

fn report_journal(inspected: Option<&Inspected>, counts: &Counts, fold: &Fold, whole: bool, all: &mut Verification) {
    if let Some(Inspected { recovered, marked, segments, frames, bytes, .. }) = inspected {
        all.checked(Place::Journal, "segments, each with its header", *segments);
        all.checked(Place::Journal, "frames, each with checksums and link to the one before", *frames);
        all.checked(Place::Journal, "bytes of frames", *bytes);
        if let Some(torn) = &recovered.torn {
            let what = format!(
                "{} has a torn tail at byte {}, after entry {}: nobody was told of it, and the next start cuts it off",
                torn.file, torn.offset, torn.after
            );
            all.notes.push(what);
        }
        let covered = marked.map_or(Seq::ZERO, |(_, seq)| seq);
        if covered < recovered.last {
            all.notes.push(format!(
                "the mark covers the entries up to {covered}, as after a crash; the last frame behind it counts as long as it is whole"
            ));
        }
    }
    all.checked(Place::Journal, "entries, read, encoded again and replayed", counts.entries);
    all.checked(Place::Journal, "histories that follow one another", counts.histories);
    all.checked(Place::Journal, "state digests", counts.digests);
    if whole {
        // A fold that stopped may have stopped halfway.
        let books = fold.engine.ledgers().len() as u64;
        all.checked(Place::Journal, "books, debits against credits, and sums over all accounts", books);
        for book in fold.engine.unbalanced_books() {
            all.found(Place::Journal, format!("ledger {book} does not balance"), OTHER_RELEASE);
        }
    }
}

/// Names the damage, and looks at the segments behind it as well as they can be looked at by themselves.
fn report_fault(journal: &Directory, fault: &Fault, all: &mut Verification) -> Result<(), VerifyError> {
    let advice = match fault {
        Fault::Damaged { .. } => RESTORE,
        Fault::StateDiffers { .. } | Fault::Undecodable { .. } | Fault::FormatVersion { .. } => OTHER_RELEASE,
        Fault::Poisoned(_) | Fault::Fenced { .. } | Fault::Io { .. } | Fault::OtherShard { .. } => {
            "see to the disk, and verify again"
        }
    };
    let what = fault.to_string();
    all.found(Place::Journal, what.split("; restore the file").next().unwrap_or_default(), advice);
    all.notes.push(
        "what stands behind the first damage was not replayed, nor was what is derived from it compared".to_owned(),
    );
    if fault.is_damage() {
        for fault in FileJournal::check_segments_after(journal, SHARD, fault.segment().unwrap_or(0))? {
            let what = fault.to_string();
            all.found(Place::Journal, what.split("; restore the file").next().unwrap_or_default(), RESTORE);
        }
    }
    Ok(())
}

/// The files of the tree, compared with the leaves.
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
            // What follows from a wrong hash is wrong too.
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
            let what = format!("the tree has {stored} leaves, the journal {size} entries");
            all.found(Place::Proofs, what, DERIVE_PROOFS);
        }
        if whole && stored < size {
            all.notes
                .push(format!("the tree in the files has {stored} leaves of {size}; the next start adds the others"));
        }
        Ok(())
    }
}

fn store_error(error: proof::StoreError) -> VerifyError {
    io_error("read the proofs")(io::Error::other(error.to_string()))
}

/// Every file of the index, compared with the one that the log leads to.
fn compare_index(fold: Fold, comparing: &Comparing, whole: bool, all: &mut Verification) -> Result<(), VerifyError> {
    if whole {
        fold.choose();
    }
    let failed = |error: index::Fault| io_error("derive an index")(io::Error::other(error.to_string()));
    fold.index.drain().map_err(failed)?;
    let derived = fold.derived;
    drop(fold);
    let (mut files, mut bytes_same) = (0, 0);
    for (name, compared) in comparing.outcome().map_err(io_error("list the index"))? {
        files += 1;
        match compared {
            Some(Compared::Same { bytes }) => bytes_same += bytes,
            Some(Compared::Differs { offset }) => {
                let what = format!("{name} is not what the log says, from byte {offset} on");
                all.found(Place::Index, what, DERIVE_INDEX);
            }
            None if whole => {
                all.found(Place::Index, format!("{name} holds what the log does not lead to"), DERIVE_INDEX);
            }
            None => {}
        }
    }
    all.checked(Place::Index, "generations derived from the log", derived);
    all.checked(Place::Index, "files, each with what was derived", files);
    all.checked(Place::Index, "bytes that are the same", bytes_same);
    Ok(())
}

/// Whether the journal holds what checkpoints say.
fn check_claims(claims: &[Claim], replayed: &Replayed, all: &mut Verification) {
    for claim in claims {
        let Claim { file, size, root, origin, .. } = claim;
        let Some(at) = replayed.lineage.iter().position(|part| claim.is_of(part.identity.origin)) else {
            let what = format!("{file} is of {origin}, which is none of the histories of this journal");
            all.found(Place::Checkpoint, what, "verify the data directory that the checkpoint is of");
            continue;
        };
        // The history was left there; what the checkpoint says of later entries is of the other branch.
        let end = replayed.lineage.get(at + 1).map_or(replayed.size, |next| next.first.get() - 1);
        if *size > end && claim.is_own && at + 1 < replayed.lineage.len() {
            all.notes
                .push(format!("{file} is of the history that was left after {end} entries to go on as another one"));
            continue;
        }
        if *size > end && (replayed.whole || at + 1 < replayed.lineage.len()) {
            let missing = size - end;
            let what = format!(
                "{file} was signed over {size} entries; of that history the journal has {end}: {missing} at the end are missing"
            );
            all.found(
                Place::Checkpoint,
                what,
                "entries that were acknowledged are lost: restore from a copy that has them",
            );
            continue;
        }
        match replayed.roots.get(size) {
            Some(found) if found == root => {
                all.checked(Place::Checkpoint, "checkpoints, each signed and with the root of its entries", 1);
            }
            Some(_) => {
                let what = format!("{file} was signed over {size} entries with another root than these have");
                all.found(
                    Place::Checkpoint,
                    what,
                    "the journal was changed, or the key signed two histories: find out which",
                );
            }
            None => all
                .notes
                .push(format!("{file} was not compared: it was signed over {size} entries, and not all were replayed")),
        }
    }
}
