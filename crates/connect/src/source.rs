//! The local copy of a journal, from which all targets of a tenant are fed.
//!
//! The copy consists of the same segment files as the original. Beside it, the source keeps what is derived from them: the Merkle tree, and
//! the few entries that other entries refer to. Both are read again from the segments if they are missing.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use disk::{Directory, Disk as _, DiskFile as _};
use engine::{Entry, Fact, PolicyActivated};
use journal::{CanonicalRun, ContextSource, Decoded, FileReader, Reader as _, is_referred_to};
use ledger::{Assets, Book, ImportNumber};
use proof::{Checkpoint, Hash, Store, StoreError, Tiles};
use serde::{Deserialize, Serialize};
use types::{Asset, Digest, LedgerId, Origin, Seq, ShardId, Timestamp};

/// The file beside the tree that says how far both have come.
const KNOWN_FILE: &str = "known.json";
/// A limit far above the size of that file.
const KNOWN_BYTES_MAX: u64 = 64 << 20;
/// Entries that are hashed at once.
const ENTRIES_AT_ONCE: usize = 8_192;
/// Most policies that are cached.
const POLICIES_MAX: usize = 16;
/// Entries after which the progress of the tree is saved.
const SAVE_EVERY: u64 = 1 << 20;

/// Why the copy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Journal(#[from] journal::Fault),
    #[error(transparent)]
    Tree(#[from] StoreError),
    #[error("cannot {action} the state of the tree: {cause}")]
    Io { action: &'static str, cause: io::Error },
}

/// A journal that is being copied, and what is derived from it.
#[derive(Debug)]
pub struct Source {
    reader: RwLock<FileReader<Directory>>,
    tiles: Tiles<Directory>,
    growing: Mutex<Growing>,
    known: RwLock<Known>,
    policies: Mutex<VecDeque<(Seq, Arc<PolicyActivated>)>>,
    /// The entries that can be read, and whether no more will arrive.
    arrived: Mutex<Arrived>,
    more: Condvar,
}

/// What the thread that extends the tree uses.
#[derive(Debug)]
struct Growing {
    directory: Directory,
    store: Store<Directory>,
    run: CanonicalRun,
    leaves: Vec<Hash>,
    saved: u64,
}

/// Consecutive frames of one segment, as bytes of its file. The first part of a segment begins with the segment's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The number of the segment.
    pub segment: u64,
    /// The byte in the file of the segment where the part begins.
    pub offset: u64,
    /// The bytes, up to the end of a frame.
    pub bytes: Vec<u8>,
    /// The first entry.
    pub first: Seq,
    /// The last entry.
    pub last: Seq,
    /// When the last entry was decided.
    pub decided_at: Timestamp,
    /// The bytes of the segment's file. Zeros follow the last frame.
    pub file_bytes: u64,
    pub shard: ShardId,
}

/// How many entries have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// The last entry that can be read.
    pub last: Seq,
    /// The last entry of the original; `None` before the original was asked.
    pub original: Option<Seq>,
    /// Whether no more entries will arrive.
    pub is_over: bool,
    /// Until when the copy has all entries of the original; see [`Source::copied_until`].
    pub copied_until: Timestamp,
}

/// What entries refer to.
#[derive(Debug, Default)]
struct Known {
    books: Vec<Book>,
    assets: Arc<Assets>,
    /// The entry that started each import.
    imports: BTreeMap<u16, Seq>,
    /// The first entry of each history.
    histories: Vec<(Seq, Origin)>,
}

/// The file in which [`Known`] is saved.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    size: u64,
    root: String,
    ledgers: Vec<(u32, String, u64)>,
    imports: BTreeMap<u16, u64>,
    histories: Vec<(u64, String)>,
}

impl Source {
    /// Opens what is derived from a copy; `directory` holds it, and `reader` reads the copy.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open(reader: FileReader<Directory>, directory: Directory) -> Result<Self, SourceError> {
        let saved = Self::saved(&directory)?.filter(|(checkpoint, _)| checkpoint.size <= reader.durable().get());
        let mut store = Store::open(directory.clone(), saved.as_ref().map(|(checkpoint, _)| checkpoint))?;
        let mut known = Known::default();
        match saved {
            // What is derived from another copy, or was damaged, is derived again.
            Some((checkpoint, found)) if checkpoint.size == store.size() && agrees(&store, &reader)? => known = found,
            Some(_) | None => store = Store::open(directory.clone(), None)?,
        }
        let size = store.size();
        let growing = Growing { directory, store, run: CanonicalRun::default(), leaves: Vec::new(), saved: size };
        let last = Seq::new(size);
        Ok(Self {
            tiles: growing.store.tiles(),
            reader: RwLock::new(reader),
            growing: Mutex::new(growing),
            known: RwLock::new(known),
            policies: Mutex::default(),
            arrived: Mutex::new(Arrived { last, original: None, is_over: false, copied_until: Timestamp::ZERO }),
            more: Condvar::new(),
        })
    }

    fn saved(directory: &Directory) -> Result<Option<(Checkpoint, Known)>, SourceError> {
        let failed = |cause| SourceError::Io { action: "read", cause };
        let Some(file) = directory.open(KNOWN_FILE).map_err(failed)? else { return Ok(None) };
        let bytes = file.len().map_err(failed)?.min(KNOWN_BYTES_MAX);
        let mut text = vec![0; usize::try_from(bytes).unwrap_or_default()];
        let count = file.read_at(&mut text, 0).map_err(failed)?;
        text.truncate(count);
        // A file that was cut off by a crash is as good as none.
        Ok(serde_json::from_slice::<Saved>(&text).ok().and_then(|saved| saved.read()))
    }

    /// Continues with another reader, because the copy was opened again.
    pub fn reopened(&self, reader: FileReader<Directory>) {
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn reader(&self) -> FileReader<Directory> {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Extends the tree, and shows the entries that have arrived to those who wait for them. `original` is the last entry of the original, if it was asked.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn advance(&self, original: Option<Seq>) -> Result<(), SourceError> {
        let mut growing = lock(&self.growing);
        loop {
            let next = Seq::new(growing.store.size()).next();
            let Growing { store, run, leaves, .. } = &mut *growing;
            self.reader().canonical(next, ENTRIES_AT_ONCE, run)?;
            if run.is_empty() {
                break;
            }
            leaves.clear();
            proof::hash_entries(run.iter(), leaves);
            for (seq, encoding) in (run.first().get()..).map(Seq::new).zip(run.iter()) {
                if is_referred_to(encoding)
                    && let Some(entry) = self.reader().entry(seq)?
                {
                    self.known.write().unwrap_or_else(PoisonError::into_inner).note(&entry);
                }
            }
            store.append(leaves)?;
            let last = Seq::new(store.size());
            if store.size() >= growing.saved.saturating_add(SAVE_EVERY) {
                self.save(&mut growing)?;
            }
            self.show(last, original);
        }
        self.show(Seq::new(growing.store.size()), original);
        Ok(())
    }

    /// Ends the wait for more entries.
    ///
    /// # Errors
    /// When the state of the tree cannot be saved.
    pub fn end(&self) -> Result<(), SourceError> {
        lock(&self.arrived).is_over = true;
        self.more.notify_all();
        self.save(&mut lock(&self.growing))
    }

    fn save(&self, growing: &mut Growing) -> Result<(), SourceError> {
        let failed = |cause| SourceError::Io { action: "write", cause };
        growing.store.sync()?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec(&known.to_save(growing.store.size(), growing.store.root()))
            .map_err(|cause| failed(io::Error::other(cause)))?;
        disk::write_atomically(&growing.directory, KNOWN_FILE, &text)
            .map_err(|cause| failed(io::Error::other(cause)))?;
        growing.saved = growing.store.size();
        Ok(())
    }

    fn show(&self, last: Seq, original: Option<Seq>) {
        let mut arrived = lock(&self.arrived);
        arrived.last = last;
        arrived.original = arrived.original.max(original.map(|original| original.max(last)));
        self.more.notify_all();
    }

    /// Notes that the copy has every entry of the original that was decided until then.
    pub fn copied_until(&self, moment: Timestamp) {
        let mut arrived = lock(&self.arrived);
        arrived.copied_until = arrived.copied_until.max(moment);
    }

    /// How many entries have arrived.
    pub fn arrived(&self) -> Arrived {
        *lock(&self.arrived)
    }

    /// Waits until an entry after `seq` has arrived, or until no more will, but not longer than `time`.
    pub fn wait_after(&self, seq: Seq, time: Duration) -> Arrived {
        let arrived = lock(&self.arrived);
        let waited = self.more.wait_timeout_while(arrived, time, |arrived| arrived.last <= seq && !arrived.is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The root of the tree over the first entries; `None` if they have not all arrived.
    ///
    /// # Errors
    /// When the tree is damaged.
    pub fn root_at(&self, last: Seq) -> Result<Option<Hash>, SourceError> {
        Ok(self.tiles.root_at(last.get())?)
    }

    /// The origin of the history that an entry belongs to.
    pub fn origin_at(&self, seq: Seq) -> Option<Origin> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.histories.iter().rev().find(|(first, _)| *first <= seq).map(|(_, origin)| *origin)
    }

    /// The entry that started an import.
    pub fn import_started(&self, import: ImportNumber) -> Option<Seq> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).imports.get(&import.get()).copied()
    }

    /// The last entry of the segment that the entry after `after` is in; `None` if that segment may get more entries.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub fn end_of_segment(&self, after: Seq) -> Result<Option<Seq>, SourceError> {
        let reader = self.reader();
        let (next, end) = (after.next(), reader.durable_end()?);
        if next > end.seq {
            return Ok(None);
        }
        let number = reader.frame_position(next)?.segment();
        let following = reader.segment_files(number.saturating_add(1), 1, &end)?;
        Ok(following.first().map(|segment| Seq::new(segment.first.get().saturating_sub(1))))
    }

    /// The bytes of the entries after `after` in one segment, up to `until` or to what has arrived; `None` if there is none. `after` and
    /// `until` are the last entries of their frames.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub fn part(&self, after: Seq, until: Option<Seq>) -> Result<Option<Part>, SourceError> {
        let (reader, arrived) = (self.reader(), self.arrived().last);
        let (next, end) = (after.next(), reader.durable_end()?);
        let mut last = until.map_or(arrived, |until| until.min(arrived)).min(end.seq);
        if next > last {
            return Ok(None);
        }
        let begin = reader.frame_position(next)?;
        let number = begin.segment();
        let Some(file) = reader.segment_files(number, 1, &end)?.pop() else { return Ok(None) };
        let following = reader.segment_files(number.saturating_add(1), 1, &end)?;
        if let Some(following) = following.first() {
            last = last.min(Seq::new(following.first.get().saturating_sub(1)));
        }
        let offset = if file.first == next { 0 } else { begin.offset() };
        let behind = if last == end.seq { None } else { Some(reader.frame_position(last.next())?) };
        let to = match behind {
            None => end.offset,
            // The last frame of a segment is followed by nothing.
            Some(place) if place.segment() != number => u64::MAX,
            Some(place) => place.offset(),
        };
        if to != u64::MAX {
            last = reader.last_before(number, to)?;
        }
        let most = usize::try_from(to.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = reader.durable_bytes(number, offset, most)?.unwrap_or_default();
        let Some(entry) = reader.entry(last)?.filter(|_| last >= next && !bytes.is_empty()) else { return Ok(None) };
        let (decided_at, shard) = (entry.header.decided_at, entry.header.shard);
        Ok(Some(Part { segment: number, offset, bytes, first: next, last, decided_at, file_bytes: file.bytes, shard }))
    }

    /// Decodes entries from `from` on, at least `enough` if there are as many in the segment.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub fn read(&self, from: Seq, enough: usize) -> Result<Decoded, SourceError> {
        Ok(self.reader().runs(from, enough, self)?)
    }
}

/// Whether the last leaves of the tree are those of the copy.
fn agrees(store: &Store<Directory>, reader: &FileReader<Directory>) -> Result<bool, SourceError> {
    let Some(last) = store.size().checked_sub(1) else { return Ok(true) };
    let width = u16::try_from(last % 256 + 1).unwrap_or(256);
    let stored = match store.tiles().tile(0, last / 256, width) {
        Err(StoreError::Damaged { .. }) => return Ok(false),
        stored => stored?.unwrap_or_default(),
    };
    let (mut run, mut leaves) = (CanonicalRun::default(), Vec::new());
    reader.canonical(Seq::new(last - last % 256 + 1), usize::from(width), &mut run)?;
    proof::hash_entries(run.iter().take(usize::from(width)), &mut leaves);
    Ok(leaves == stored)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ContextSource for Source {
    fn assets(&self) -> Arc<Assets> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).assets)
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, journal::Fault> {
        let mut policies = lock(&self.policies);
        if let Some((_, policy)) = policies.iter().find(|(seq, _)| *seq == activated) {
            return Ok(Some(Arc::clone(policy)));
        }
        let Some(Entry { fact: Fact::PolicyActivated(policy), .. }) = self.reader().entry(activated)? else {
            return Ok(None);
        };
        policies.truncate(POLICIES_MAX - 1);
        policies.push_front((activated, Arc::clone(&policy)));
        Ok(Some(policy))
    }
}

impl Known {
    fn note(&mut self, entry: &Entry) {
        let seq = entry.header.seq;
        if let Fact::JournalStarted { origin } | Fact::JournalContinued { origin, .. } = &entry.fact {
            self.histories.push((seq, *origin));
        }
        for fact in entry.fact.ledger_facts() {
            if let ledger::Fact::ImportStarted(import) = fact {
                self.imports.insert(import.number.get(), seq);
            }
            if let ledger::Fact::BookOpened(book) = fact {
                self.books.push(*book);
                self.assets = Arc::new(Assets::new(&self.books));
            }
        }
    }

    fn to_save(&self, size: u64, root: Hash) -> Saved {
        Saved {
            size,
            root: hex(&root),
            ledgers: self
                .books
                .iter()
                .map(|book| (book.id.get(), book.asset.to_string(), book.opened_at.ns()))
                .collect(),
            imports: self.imports.iter().map(|(import, seq)| (*import, seq.get())).collect(),
            histories: self.histories.iter().map(|(seq, origin)| (seq.get(), origin.to_string())).collect(),
        }
    }
}

impl Saved {
    /// What was saved; `None` if it cannot be read.
    fn read(&self) -> Option<(Checkpoint, Known)> {
        let book = |(id, asset, opened_at): &(u32, String, u64)| {
            let asset: Asset = asset.parse().ok()?;
            Some(Book { id: LedgerId::new(*id), asset, opened_at: Timestamp::from_ns(*opened_at) })
        };
        let books: Vec<Book> = self.ledgers.iter().map(book).collect::<Option<_>>()?;
        let history = |(seq, origin): &(u64, String)| Some((Seq::new(*seq), origin.parse().ok()?));
        let known = Known {
            assets: Arc::new(Assets::new(&books)),
            books,
            imports: self.imports.iter().map(|(import, seq)| (*import, Seq::new(*seq))).collect(),
            histories: self.histories.iter().map(history).collect::<Option<_>>()?,
        };
        let root = unhex(&self.root)?;
        Some((Checkpoint { origin: String::new(), size: self.size, root, extensions: Vec::new() }, known))
    }
}

/// 64 hexadecimal digits.
pub(crate) fn hex(hash: &Hash) -> String {
    Digest::new(*hash).to_string()
}

/// The hash with these hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
    Some(*text.parse::<Digest>().ok()?.as_bytes())
}
