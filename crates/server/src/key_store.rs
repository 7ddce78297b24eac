//! The key store's file: keys are on disk before any entry that needs them.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::{Directory, Disk, DiskFile};
use types::{Digest, Sealed, TenantId, Token};
use vault::{RootKey, Vault};

const LOG: &str = "keys.log";
const ROOT: &str = "root.key";
const ROOT_BYTES: usize = 32;

/// Why the key store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// Reading or writing failed.
    #[error("cannot {action} {file} of the key store: {cause}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The root key is not 32 bytes.
    #[error("{ROOT} has {0} bytes, expected {ROOT_BYTES}")]
    RootKey(usize),
    /// The file is not a key store this root key opens.
    #[error("cannot open the key store: {0}")]
    Vault(#[from] vault::Error),
    /// There is a journal, but the keys that belong to it are gone.
    #[error(
        "the key store is empty although the journal has entries: every entity would get another token; restore the keys directory that belongs to this journal"
    )]
    KeysMissing,
}

/// The vault and its file.
#[derive(Debug)]
pub(crate) struct KeyStore {
    vault: Mutex<Vault>,
    file: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    file: std::fs::File,
    bytes: u64,
}

/// The operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("without randomness no key can be made: stopping is the only safe answer");
}

impl KeyStore {
    /// Opens the key store of a directory, or starts one.
    pub(crate) fn open(directory: &Directory) -> Result<Self, KeyStoreError> {
        let io = |action, file| move |cause| KeyStoreError::Io { action, file, cause };
        let root = open_root(directory)?;
        let file = match directory.open(LOG).map_err(io("open", LOG))? {
            Some(file) => file,
            None => directory.create(LOG).map_err(io("create", LOG))?,
        };
        let length = DiskFile::len(&file).map_err(io("measure", LOG))?;
        let mut log = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_at(&mut log, 0).map_err(io("read", LOG))?;
        let (vault, accepted) = Vault::open(&root, &log, &mut random)?;
        file.set_len(accepted as u64).map_err(io("cut", LOG))?;
        directory.sync_directory().map_err(io("sync the directory of", LOG))?;
        let store = Self { vault: Mutex::new(vault), file: Mutex::new(Saved { file, bytes: accepted as u64 }) };
        store.save()?;
        Ok(store)
    }

    /// True before the first key or secret was saved.
    pub(crate) fn is_new(directory: &Directory) -> Result<bool, KeyStoreError> {
        let opened = directory.open(LOG).map_err(|cause| KeyStoreError::Io { action: "open", file: LOG, cause })?;
        let Some(file) = opened else { return Ok(true) };
        DiskFile::is_empty(&file).map_err(|cause| KeyStoreError::Io { action: "measure", file: LOG, cause })
    }

    /// Writes and syncs the keys that were made since the last call. Called before each write to the journal.
    pub(crate) fn save(&self) -> Result<(), KeyStoreError> {
        let unsaved = self.vault().take_unsaved();
        if unsaved.is_empty() {
            return Ok(());
        }
        let io = |action| move |cause| KeyStoreError::Io { action, file: LOG, cause };
        let mut saved = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        saved.file.write_at(&unsaved, saved.bytes).map_err(io("write"))?;
        saved.file.sync().map_err(io("sync"))?;
        saved.bytes += unsaved.len() as u64;
        Ok(())
    }

    pub(crate) fn token(
        &self,
        tenant: TenantId,
        kind: &str,
        value: &str,
        personal: bool,
    ) -> Result<Token, vault::Full> {
        self.vault().token(tenant, kind, value, personal, &mut random)
    }

    pub(crate) fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token> {
        self.vault().known_token(tenant, kind, value, personal)
    }

    pub(crate) fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest {
        self.vault().request_hash(tenant, canonical)
    }

    pub(crate) fn seal(
        &self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, vault::Full> {
        self.vault().seal(tenant, subject, context, plaintext, &mut random)
    }

    pub(crate) fn unseal(
        &self,
        tenant: TenantId,
        context: &[u8],
        sealed: &Sealed,
    ) -> Result<Vec<u8>, vault::UnsealError> {
        self.vault().unseal(tenant, context, sealed)
    }

    fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The root key: drawn on first use, readable by its owner only.
fn open_root(directory: &Directory) -> Result<RootKey, KeyStoreError> {
    let io = |action| move |cause| KeyStoreError::Io { action, file: ROOT, cause };
    if let Some(file) = directory.open(ROOT).map_err(io("open"))? {
        let mut bytes = [0; ROOT_BYTES];
        let length = DiskFile::len(&file).map_err(io("measure"))?;
        let count = file.read_at(&mut bytes, 0).map_err(io("read"))?;
        return match (length, count) {
            (32, ROOT_BYTES) => Ok(RootKey::from_bytes(bytes)),
            (length, _) => Err(KeyStoreError::RootKey(usize::try_from(length).unwrap_or(usize::MAX))),
        };
    }
    let root = RootKey::new(&mut random);
    let name = "root.key.new";
    let file = directory.create(name).map_err(io("create"))?;
    file.write_at(&root.to_bytes(), 0).map_err(io("write"))?;
    file.sync().map_err(io("sync"))?;
    directory.rename(name, ROOT).map_err(io("rename"))?;
    directory.sync_directory().map_err(io("sync the directory of"))?;
    Ok(root)
}
