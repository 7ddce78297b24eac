//! The file of the key store. Keys are on disk before any entry that needs them.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use disk::{Disk, DiskFile, NotWritten};
use journal::Part;
use pipeline::KeySaver;
use types::{Digest, Origin, Sealed, TenantId, Token};
use vault::{Keys, RootKey, Vault};

use crate::Random;

/// The file of the wrapped keys, in the folder [`crate::KEYS`].
pub const KEY_LOG: &str = "keys.log";
/// The file of the root key, which wraps all other keys.
pub const ROOT_KEY: &str = "root.key";
/// The file with the origin of the journal that the keys belong to.
pub const KEY_OWNER: &str = "journal";
const ROOT_BYTES: usize = 32;
/// A start writes this many bytes at the end of the log again. One save never appends as much: it contains the keys of
/// the requests that waited together.
const WRITTEN_AGAIN_BYTES: usize = 64 * 1024 * 1024;

/// Why the key store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// A file could not be read, written or synced.
    #[error("cannot {action} {file} of the key store: {cause}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        file: &'static str,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The root key does not have 32 bytes.
    #[error("{ROOT_KEY} has {0} bytes, expected {ROOT_BYTES}")]
    RootKey(usize),
    /// The file is not a key store, or the root key does not open it.
    #[error("cannot open the key store: {0}")]
    Vault(#[from] vault::Error),
    /// The journal has entries, but their keys are missing.
    #[error(
        "the key store is empty although the journal has entries: every entity would get a new token; restore the keys directory that belongs to this journal"
    )]
    KeysMissing,
    /// The keys belong to another journal.
    #[error(
        "the keys belong to the journal {found}, but the journal here is {expected}; put the keys and the journal that belong together into one data directory"
    )]
    OtherJournal {
        /// The journal that the keys belong to.
        found: Origin,
        /// The journal in this data directory.
        expected: Origin,
    },
    /// A file of the key store is missing.
    #[error("{0} of the key store is missing although {KEY_LOG} has keys; restore it from a copy")]
    Incomplete(&'static str),
}

/// The vault and its files.
#[derive(Debug)]
pub struct KeyStore<D: Disk> {
    state: Mutex<State>,
    file: Mutex<Saved<D::File>>,
}

struct State {
    vault: Vault,
    random: Random,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.vault.fmt(f)
    }
}

#[derive(Debug)]
struct Saved<F> {
    file: F,
    bytes: u64,
}

impl<D: Disk> KeySaver for KeyStore<D> {
    type Error = KeyStoreError;

    fn save_keys(&self) -> Result<(), KeyStoreError> {
        self.save()
    }
}

impl<D: Disk> KeyStore<D> {
    /// Opens the key store of a journal, or creates one for a journal without entries. `lineage` identifies the journal
    /// by the histories in it, oldest first.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written, or if the keys do not belong to this journal.
    pub fn open(directory: &D, lineage: &[Part], has_entries: bool, mut random: Random) -> Result<Self, KeyStoreError> {
        let io = |action, file| move |cause| KeyStoreError::Io { action, file, cause };
        let file = directory.open(KEY_LOG).map_err(io("open", KEY_LOG))?;
        let length = file.as_ref().map_or(Ok(0), DiskFile::len).map_err(io("measure", KEY_LOG))?;
        if has_entries && length == 0 {
            return Err(KeyStoreError::KeysMissing);
        }
        check_origin(directory, lineage, length > 0)?;
        let root = open_root(directory, length > 0, &mut random)?;
        let mut file = match file {
            Some(file) => file,
            None => directory.create(KEY_LOG).map_err(io("create", KEY_LOG))?,
        };
        let mut log = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_at(&mut log, 0).map_err(io("read", KEY_LOG))?;
        let (vault, accepted) = Vault::open(&root, &log, &mut *random)?;
        if has_entries && accepted == 0 {
            return Err(KeyStoreError::KeysMissing);
        }
        if (accepted as u64) < length {
            tracing::warn!(
                file = KEY_LOG,
                kept = accepted,
                cut = length - accepted as u64,
                "cut off an incompletely written key"
            );
            write_whole(directory, KEY_LOG, log.get(..accepted).unwrap_or_default())?;
            let cut = directory.open(KEY_LOG).map_err(io("open", KEY_LOG))?;
            file = cut.ok_or_else(|| io("open", KEY_LOG)(io::ErrorKind::NotFound.into()))?;
        }
        // After a failed sync, the system may return keys that are not on disk, and will not write them again by
        // itself.
        let again = accepted.saturating_sub(WRITTEN_AGAIN_BYTES);
        if let Some(tail) = log.get(again..accepted).filter(|tail| !tail.is_empty()) {
            file.write_at(tail, again as u64).map_err(io("write", KEY_LOG))?;
            file.sync().map_err(io("sync", KEY_LOG))?;
        }
        directory.sync_directory().map_err(io("sync the directory of", KEY_LOG))?;
        let store = Self {
            state: Mutex::new(State { vault, random }),
            file: Mutex::new(Saved { file, bytes: accepted as u64 }),
        };
        store.save()?;
        Ok(store)
    }

    /// Writes and syncs the keys that were generated since the last call. The caller does this before each write to the
    /// journal.
    ///
    /// # Errors
    /// If this fails, entries that need the keys must not be written.
    pub fn save(&self) -> Result<(), KeyStoreError> {
        let unsaved = self.state().vault.take_unsaved();
        if unsaved.is_empty() {
            return Ok(());
        }
        let io = |action| move |cause| KeyStoreError::Io { action, file: KEY_LOG, cause };
        let mut saved = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        saved.file.write_at(&unsaved, saved.bytes).map_err(io("write"))?;
        saved.file.sync().map_err(io("sync"))?;
        saved.bytes += unsaved.len() as u64;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk> Keys for KeyStore<D> {
    fn token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Result<Token, vault::Full> {
        let State { vault, random } = &mut *self.state();
        vault.token(tenant, kind, value, personal, &mut **random)
    }

    fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token> {
        self.state().vault.known_token(tenant, kind, value, personal)
    }

    fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest {
        self.state().vault.request_hash(tenant, canonical)
    }

    fn seal_section(
        &self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        parts: &[vault::Part<'_>],
    ) -> Result<Sealed, vault::Full> {
        let State { vault, random } = &mut *self.state();
        vault.seal_section(tenant, subject, context, parts, &mut **random)
    }

    fn unseal_section(
        &self,
        tenant: TenantId,
        context: &[u8],
        sealed: &Sealed,
    ) -> Result<Vec<vault::OpenedPart>, vault::UnsealError> {
        self.state().vault.unseal_section(tenant, context, sealed)
    }

    fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, vault::UnsealError> {
        self.state().vault.unseal(tenant, context, sealed)
    }
}

/// Checks that the keys belong to this journal: with other keys, every customer would get a new token, and with it new
/// wallets. Keys of a history that this one continues are taken over and belong to this one from now on.
fn check_origin<D: Disk>(directory: &D, lineage: &[Part], in_use: bool) -> Result<(), KeyStoreError> {
    let origin = lineage.last().map_or(Origin::default(), |part| part.identity.origin);
    let io = |action| move |cause| KeyStoreError::Io { action, file: KEY_OWNER, cause };
    if let Some(file) = directory.open(KEY_OWNER).map_err(io("open"))? {
        let mut bytes = [0; 16];
        file.read_at(&mut bytes, 0).map_err(io("read"))?;
        let found = Origin::new(u128::from_le_bytes(bytes));
        if found == origin {
            return Ok(());
        }
        if !lineage.iter().any(|part| part.identity.origin == found) {
            return Err(KeyStoreError::OtherJournal { found, expected: origin });
        }
        tracing::warn!(before = %found, now = %origin, "the keys of the previous history now belong to this history");
    } else if in_use {
        return Err(KeyStoreError::Incomplete(KEY_OWNER));
    }
    write_whole(directory, KEY_OWNER, &origin.get().to_le_bytes())
}

/// Reads the root key, or generates it on first use. Only the owner may read its file.
fn open_root<D: Disk>(directory: &D, in_use: bool, random: &mut Random) -> Result<RootKey, KeyStoreError> {
    let io = |action| move |cause| KeyStoreError::Io { action, file: ROOT_KEY, cause };
    if let Some(file) = directory.open(ROOT_KEY).map_err(io("open"))? {
        let mut bytes = [0; ROOT_BYTES];
        let length = DiskFile::len(&file).map_err(io("measure"))?;
        let count = file.read_at(&mut bytes, 0).map_err(io("read"))?;
        return match (length, count) {
            (32, ROOT_BYTES) => Ok(RootKey::from_bytes(bytes)),
            (length, _) => Err(KeyStoreError::RootKey(usize::try_from(length).unwrap_or(usize::MAX))),
        };
    }
    if in_use {
        return Err(KeyStoreError::Incomplete(ROOT_KEY));
    }
    let root = RootKey::new(&mut **random);
    write_whole(directory, ROOT_KEY, &root.to_bytes())?;
    Ok(root)
}

fn write_whole<D: Disk>(directory: &D, name: &'static str, bytes: &[u8]) -> Result<(), KeyStoreError> {
    let io = |NotWritten { action, cause }| KeyStoreError::Io { action, file: name, cause };
    disk::write_atomically(directory, name, bytes).map_err(io)
}
