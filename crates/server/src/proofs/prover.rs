//! The proofs thread, which maintains the tree and signs checkpoints.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use datadir::{CHECKPOINT, KeySource, ProofKeyError, ProofKeys, known_keys, log_name, open_checkpoint};
use disk::{Directory, Disk as _, DiskFile as _};
use journal::{CanonicalRun, Fault, FileJournal, FileReader, Identity, Reader as _};
use proof::{Checkpoint, Hash, SignedCheckpoint, Store, StoreError};
use tokio::sync::watch;
use types::{Origin, Seq, ShardId};

use super::{ENTRIES_AT_ONCE, Latest, Proofs};
use crate::Core;
use crate::clock::{Clock, Stopwatch};
use crate::metrics::Metrics;
use crate::tail::Follower;

/// Most bytes of the checkpoint's file. A checkpoint is far smaller, even with cosignatures of witnesses.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// Pause between two reads of the journal while it grows. A checkpoint is at most about this old.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest time between two checkpoints while the thread catches up.
const SIGN_WITHIN: Duration = Duration::from_millis(500);
/// How soon a checkpoint is written to its file and synced.
const SAVE_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for the tree to catch up. The next start appends what is missing.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Pause before another attempt after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why the proofs thread failed.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Key(#[from] ProofKeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot {action} the checkpoint of the proofs: {cause}")]
    Checkpoint { action: &'static str, cause: io::Error },
    #[error(
        "keys/proof.checkpoint, the last checkpoint that was signed here, cannot be read: it is damaged, or no key of keys/proof.vkeys signed it; whether the journal still holds all that was signed is not known; put the file back from a copy, or compare the journal with a checkpoint that was kept elsewhere (`finaira verify --checkpoint`), then delete the file"
    )]
    Unreadable,
    /// The journal has fewer entries than a signed checkpoint.
    #[error(
        "the journal holds {held} entries, but a checkpoint of {claimed} was signed: entries that were acknowledged are gone; restore the journal from a copy that has them, or, to go on without them, continue it as a new history with `finaira restore`"
    )]
    EntriesLost {
        /// Entries in the journal.
        held: u64,
        /// Entries that were signed.
        claimed: u64,
    },
    /// Entries differ from those that were signed.
    #[error(
        "the first {0} entries of the journal are not those that a checkpoint was signed for: the journal was changed; restore it from a copy, or, to go on with it, continue it as a new history with `finaira restore`"
    )]
    EntriesChanged(u64),
}

impl From<Fault> for ProofError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.into())
    }
}

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Prover {
    keys_directory: Directory,
    store: Store<Directory>,
    keys: Arc<ProofKeys>,
    origin: String,
    latest: watch::Sender<Latest>,
    metrics: Arc<Metrics>,
    /// An earlier signed checkpoint that the rebuilt tree has not reached yet. When it does, the roots must be equal.
    claimed: Option<Checkpoint>,
    /// The newest checkpoint in the file.
    saved: u64,
    /// Since when a newer checkpoint waits to be written.
    unsaved: Option<Stopwatch>,
    run: CanonicalRun,
    leaves: Vec<Hash>,
}

/// The directories of the journal, the tree and the keys.
pub(crate) struct Place<'a> {
    pub(crate) proofs: Directory,
    pub(crate) keys: &'a Directory,
    pub(crate) identity: Identity,
    pub(crate) shard: ShardId,
}

/// Reads the last signed checkpoint and keeps the stored tree as far as it leads to the signed root. A journal with fewer
/// entries is refused.
pub(crate) fn open(
    place: Place<'_>,
    source: &KeySource,
    reader: FileReader<Directory>,
    metrics: Arc<Metrics>,
) -> Result<(Prover, Proofs), ProofError> {
    let origin = log_name(place.identity.origin, place.shard);
    let claimed = last_signed(place.keys, &origin)?;
    let held = reader.durable().get();
    if let Some(claimed) = claimed.as_ref().map(|signed| signed.checkpoint.size).filter(|claimed| *claimed > held) {
        return Err(ProofError::EntriesLost { held, claimed });
    }
    let checkpoint = claimed.as_ref().map(|signed| &signed.checkpoint);
    let keys = Arc::new(ProofKeys::open(place.keys, &origin, source, checkpoint)?);
    let mut store = Store::open(place.proofs.clone(), checkpoint)?;
    if !agrees(&store, &reader)? {
        store = Store::open(place.proofs.clone(), None)?;
    }
    let rebuilt = checkpoint.is_none_or(|checkpoint| checkpoint.size != store.size());
    if rebuilt && held > 0 {
        tracing::info!(entries = held, "rebuilding the Merkle tree from the journal");
    }
    // A checkpoint that a retired key signed is no longer served.
    let signed = claimed.clone().filter(|signed| !rebuilt && signed.note.verify(keys.key.verifier()).is_ok());
    let (latest, checkpoint) = watch::channel(signed.map(Arc::new));
    let proofs = Proofs { tiles: store.tiles(), keys: Arc::clone(&keys), checkpoint, reader };
    let prover = Prover {
        keys_directory: place.keys.clone(),
        store,
        keys,
        origin,
        latest,
        metrics,
        claimed: claimed.map(|signed| signed.checkpoint).filter(|_| rebuilt),
        saved: 0,
        unsaved: None,
        run: CanonicalRun::default(),
        leaves: Vec::new(),
    };
    Ok((prover, proofs))
}

/// Whether the journal's entries match the last leaves of the tree. If not, the tree is rebuilt from the journal, and its
/// root is compared with the signed one.
fn agrees(store: &Store<Directory>, reader: &FileReader<Directory>) -> Result<bool, ProofError> {
    let Some(last) = store.size().checked_sub(1) else { return Ok(true) };
    let width = u16::try_from(last % 256 + 1).unwrap_or(256);
    let stored = match store.tiles().tile(0, last / 256, width) {
        Err(StoreError::Damaged { .. }) => return Ok(false),
        stored => stored?.unwrap_or_default(),
    };
    let leaves = super::leaf_data(reader, Seq::new(last - last % 256 + 1), usize::from(width))?;
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| proof::leaf_of(leaf)).collect();
    Ok(hashes == stored)
}

/// Refuses a journal with fewer entries than were signed. For a server that runs without proofs.
pub(crate) fn check(place: Place<'_>, held: Seq) -> Result<(), ProofError> {
    let origin = log_name(place.identity.origin, place.shard);
    let claimed = last_signed(place.keys, &origin)?.map_or(0, |signed| signed.checkpoint.size);
    let held = held.get();
    if claimed > held { Err(ProofError::EntriesLost { held, claimed }) } else { Ok(()) }
}

/// The history and the number of entries that were signed last. Read before the journal is opened.
pub(crate) fn signed_before_opening(
    journal: &Directory,
    keys: &Directory,
    shard: ShardId,
) -> Result<Option<(Origin, Seq)>, ProofError> {
    let Some(identity) = FileJournal::identity_before_opening(journal, shard)? else { return Ok(None) };
    let signed = last_signed(keys, &log_name(identity.origin, shard))?;
    Ok(signed.map(|signed| (identity.origin, Seq::new(signed.checkpoint.size))))
}

/// The checkpoint in the file, if a key of this history signed it.
fn last_signed(keys: &Directory, origin: &str) -> Result<Option<SignedCheckpoint>, ProofError> {
    let failed = |action| move |cause| ProofError::Checkpoint { action, cause };
    let Some(file) = keys.open(CHECKPOINT).map_err(failed("open"))? else { return Ok(None) };
    let length = file.len().map_err(failed("measure"))?.min(CHECKPOINT_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0).map_err(failed("read"))?;
    bytes.truncate(count);
    let known = known_keys(keys)?;
    let signed = open_checkpoint(&String::from_utf8_lossy(&bytes), &known);
    match signed {
        Some(signed) if signed.checkpoint.origin == origin => Ok(Some(signed)),
        Some(signed) => {
            let of = signed.checkpoint.origin;
            tracing::info!(of, "the stored checkpoint belongs to an earlier history and is ignored");
            Ok(None)
        }
        None => Err(ProofError::Unreadable),
    }
}

impl Prover {
    /// Runs until the log ends, and then until a checkpoint covers everything durable.
    ///
    /// # Errors
    /// If the journal differs from the one that was signed. Other failures are logged and retried.
    pub(crate) fn run(mut self, core: &Core) -> Result<(), ProofError> {
        let mut follower = core.follow_proofs(Seq::new(self.store.size()));
        loop {
            let stopping = follower.is_log_over();
            let done = self.catch_up(&mut follower).and_then(|grown| self.save(stopping).map(|()| grown));
            match done {
                Ok(_) if stopping => return Ok(()),
                // While the journal grows, the thread polls, so that the writer need not wake it.
                Ok(true) => follower.pause(PAUSE),
                Ok(false) => {
                    follower.wait(self.unsaved.map(|since| SAVE_WITHIN.saturating_sub(since.elapsed())));
                }
                Err(error @ (ProofError::EntriesChanged(_) | ProofError::EntriesLost { .. })) => return Err(error),
                Err(error) => {
                    if let ProofError::Store(StoreError::Journal(fault)) = &error {
                        core.shared().guard.note_fault(fault);
                    }
                    tracing::error!(%error, "extending the proofs failed; the thread tries again");
                    if stopping {
                        return Ok(());
                    }
                    follower.pause(RETRY_AFTER);
                }
            }
        }
    }

    /// Appends new durable entries and signs a checkpoint. Returns whether there were any.
    fn catch_up(&mut self, follower: &mut Follower) -> Result<bool, ProofError> {
        let mut signed = Stopwatch::start();
        let before = self.store.size();
        let mut stopping: Option<Stopwatch> = None;
        // After a failure, the entries are read again.
        follower.go_to(Seq::new(before));
        loop {
            if follower.is_log_over() && stopping.get_or_insert_with(Stopwatch::start).elapsed() >= STOP_WITHIN {
                break;
            }
            follower.next_canonical(ENTRIES_AT_ONCE, &mut self.run)?;
            if self.run.is_empty() {
                break;
            }
            self.leaves.clear();
            proof::hash_entries(self.run.iter(), &mut self.leaves);
            self.append()?;
            if signed.elapsed() >= SIGN_WITHIN {
                self.sign();
                self.save(false)?;
                signed = Stopwatch::start();
            }
        }
        let covered = self.latest.borrow().as_ref().map(|signed| signed.checkpoint.size);
        if covered != Some(self.store.size()) && self.store.size() > 0 {
            self.sign();
        }
        Ok(self.store.size() > before)
    }

    /// Appends the leaves, in two steps if an earlier signed checkpoint ends among them.
    fn append(&mut self) -> Result<(), ProofError> {
        let Some(claimed) = &self.claimed else { return Ok(self.store.append(&self.leaves)?) };
        let (size, root) = (claimed.size, claimed.root);
        let up_to = usize::try_from(size.saturating_sub(self.store.size())).unwrap_or(usize::MAX);
        let (first, rest) = self.leaves.split_at(up_to.min(self.leaves.len()));
        self.store.append(first)?;
        if self.store.size() >= size {
            if self.store.root() != root {
                return Err(ProofError::EntriesChanged(size));
            }
            self.claimed = None;
        }
        Ok(self.store.append(rest)?)
    }

    fn sign(&mut self) {
        // Nothing is signed before the tree was compared with every earlier signed checkpoint.
        if self.claimed.is_some() {
            return;
        }
        let (size, root) = (self.store.size(), self.store.root());
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root, extensions: Vec::new() };
        let signed = Arc::new(checkpoint.sign(&[&self.keys.key]));
        self.latest.send_replace(Some(signed));
        self.unsaved.get_or_insert_with(Stopwatch::start);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.proofs_entries.set(number(size));
        self.metrics.proofs_disk_bytes.set(number(self.store.tiles().bytes()));
        self.metrics.proofs_checkpoint_time.set(number(Clock.now().ns() / 1_000_000_000));
    }

    /// Writes the newest checkpoint to its file if it is time, or at the end.
    fn save(&mut self, stopping: bool) -> Result<(), ProofError> {
        let due = stopping || self.unsaved.is_some_and(|since| since.elapsed() >= SAVE_WITHIN);
        let latest = self.latest.borrow().clone();
        let is_new = |size| stopping || size != self.saved;
        let Some(signed) = latest.filter(|signed| due && is_new(signed.checkpoint.size)) else { return Ok(()) };
        if stopping {
            // After this the next start need not rebuild anything, even after a power failure.
            self.store.sync()?;
        }
        let failed = |action| move |cause| ProofError::Checkpoint { action, cause };
        let unfinished = format!("{CHECKPOINT}.new");
        let file = self.keys_directory.create(&unfinished).map_err(failed("create"))?;
        file.write_at(signed.note.to_string().as_bytes(), 0).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        self.keys_directory.rename(&unfinished, CHECKPOINT).map_err(failed("rename"))?;
        if stopping {
            self.keys_directory.sync_directory().map_err(failed("sync the directory of"))?;
        }
        (self.saved, self.unsaved) = (signed.checkpoint.size, None);
        Ok(())
    }
}
