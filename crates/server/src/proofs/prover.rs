//! The thread that keeps the tree and signs checkpoints.

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

/// A checkpoint is far smaller, whatever witnesses add.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// Between two looks at the journal while it grows: a checkpoint is about so old at most.
const PAUSE: Duration = Duration::from_millis(20);
/// How old the newest checkpoint may become while a long way is caught up.
const SIGN_WITHIN: Duration = Duration::from_millis(500);
/// How soon a checkpoint is in its file, whatever happens to the machine then.
const SAVE_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for the tree to catch up; what is missing then is appended at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Before another try when the world failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why nothing can be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The key.
    #[error(transparent)]
    Key(#[from] ProofKeyError),
    /// The tree's files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint's file.
    #[error("cannot {action} the checkpoint of the proofs: {cause}")]
    Checkpoint {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The checkpoint's file is damaged.
    #[error(
        "keys/proof.checkpoint, the last checkpoint that was signed here, cannot be read: it is damaged, or no key of keys/proof.vkeys signed it; whether the journal still holds all that was signed is not known; put the file back from a copy, or compare the journal with a checkpoint that was kept elsewhere (`finaira verify --checkpoint`), then delete the file"
    )]
    Unreadable,
    /// Entries that were signed are gone.
    #[error(
        "the journal holds {held} entries, but a checkpoint of {claimed} was signed: entries that were acknowledged are gone; restore the journal from a copy that has them, or, to go on without them, continue it as a new history with `finaira restore`"
    )]
    EntriesLost {
        /// How many there are.
        held: u64,
        /// How many there were.
        claimed: u64,
    },
    /// Entries that were signed are others now.
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

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Prover {
    keys_directory: Directory,
    store: Store<Directory>,
    keys: Arc<ProofKeys>,
    origin: String,
    latest: watch::Sender<Latest>,
    metrics: Arc<Metrics>,
    /// A checkpoint that was signed before, until the tree is as large again: then its root must be the same.
    claimed: Option<Checkpoint>,
    /// The newest checkpoint that is in the file.
    saved: u64,
    /// Since when a newer one is not.
    unsaved: Option<Stopwatch>,
    run: CanonicalRun,
    leaves: Vec<Hash>,
}

/// Where it all is.
pub(crate) struct Place<'a> {
    pub(crate) proofs: Directory,
    pub(crate) keys: &'a Directory,
    pub(crate) identity: Identity,
    pub(crate) shard: ShardId,
}

/// Looks at the last checkpoint that was signed and takes over the tree as far as it is the one that was signed. A journal
/// that holds less is refused.
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
        tracing::info!(entries = held, "the tree of the proofs is derived from the journal");
    }
    // A note of a key that is retired since is not handed out any more.
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

/// Whether the journal gives the last leaves of the tree. Another journal differs there, if not before; the tree is then
/// derived from it, and its root compared with the one that was signed.
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

/// Refuses a journal that holds less than was signed, for a server that keeps no proofs itself.
pub(crate) fn check(place: Place<'_>, held: Seq) -> Result<(), ProofError> {
    let origin = log_name(place.identity.origin, place.shard);
    let claimed = last_signed(place.keys, &origin)?.map_or(0, |signed| signed.checkpoint.size);
    let held = held.get();
    if claimed > held { Err(ProofError::EntriesLost { held, claimed }) } else { Ok(()) }
}

/// How many entries of which history were signed, before the journal is opened.
pub(crate) fn signed_before_opening(
    journal: &Directory,
    keys: &Directory,
    shard: ShardId,
) -> Result<Option<(Origin, Seq)>, ProofError> {
    let Some(identity) = FileJournal::identity_before_opening(journal, shard)? else { return Ok(None) };
    let signed = last_signed(keys, &log_name(identity.origin, shard))?;
    Ok(signed.map(|signed| (identity.origin, Seq::new(signed.checkpoint.size))))
}

/// The checkpoint in the file, when a key of this history signed it.
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
            tracing::info!(of = signed.checkpoint.origin, "the checkpoint of the proofs is of an earlier history");
            Ok(None)
        }
        None => Err(ProofError::Unreadable),
    }
}

impl Prover {
    /// Works until the log ends, then until everything durable is covered.
    ///
    /// # Errors
    /// When the journal is not the one that was signed before. Other failures are logged and tried again.
    pub(crate) fn run(mut self, core: &Core) -> Result<(), ProofError> {
        let mut follower = core.follow_proofs(Seq::new(self.store.size()));
        loop {
            let stopping = follower.is_log_over();
            let done = self.catch_up(&mut follower).and_then(|grown| self.save(stopping).map(|()| grown));
            match done {
                Ok(_) if stopping => return Ok(()),
                // While the journal grows there is no need to be woken, and it is not held up by waking.
                Ok(true) => follower.pause(PAUSE),
                Ok(false) => {
                    follower.wait(self.unsaved.map(|since| SAVE_WITHIN.saturating_sub(since.elapsed())));
                }
                Err(error @ (ProofError::EntriesChanged(_) | ProofError::EntriesLost { .. })) => return Err(error),
                Err(error) => {
                    if let ProofError::Store(StoreError::Journal(fault)) = &error {
                        core.shared().guard.note_fault(fault);
                    }
                    tracing::error!(%error, "the proofs do not go on; trying again");
                    if stopping {
                        return Ok(());
                    }
                    follower.pause(RETRY_AFTER);
                }
            }
        }
    }

    /// Appends what became durable and signs; says whether there was anything.
    fn catch_up(&mut self, follower: &mut Follower) -> Result<bool, ProofError> {
        let mut signed = Stopwatch::start();
        let before = self.store.size();
        let mut stopping: Option<Stopwatch> = None;
        // What could not be appended is read again.
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

    /// Appends the leaves, in two steps where a checkpoint that was signed before ends among them.
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
        // Before everything is compared that was signed once, nothing is signed again.
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

    /// Puts the newest checkpoint into its file when it is time, or the end.
    fn save(&mut self, stopping: bool) -> Result<(), ProofError> {
        let due = stopping || self.unsaved.is_some_and(|since| since.elapsed() >= SAVE_WITHIN);
        let latest = self.latest.borrow().clone();
        let is_new = |size| stopping || size != self.saved;
        let Some(signed) = latest.filter(|signed| due && is_new(signed.checkpoint.size)) else { return Ok(()) };
        if stopping {
            // The next start need not derive anything again, whatever happens to the machine.
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
