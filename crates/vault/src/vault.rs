//! The keys of every tenant in memory, and the log of changes that makes them durable.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use foldhash::fast::FixedState;
use types::{Digest, KeyId, Sealed, TenantId, Token};

use crate::Random;
use crate::cipher::{self, NONCE_BYTES};
use crate::log::{Codec, Error, HEADER_BYTES, RECORD_BYTES, Record, is_torn};
use crate::secret::{RootKey, Secret, StoreKeys};

/// The keys of all tenants, in memory, with a log of what changed.
///
/// **Durability.** A new key exists only in memory until the bytes from [`Vault::take_unsaved`] are appended to the key
/// store's file and synced. The caller must do that before it writes an entry with a token or sealed data of this vault
/// to the journal. Otherwise a crash could leave an entry, acknowledged or not, whose key is lost, and the next
/// occurrence of the value would get a different token. An erasure takes effect when its record is synced, and is
/// complete when [`Vault::compacted`] has replaced the file. If an append fails, the end of the file is unknown: the
/// caller must stop and open the file again.
pub struct Vault {
    codec: Codec,
    store: Secret,
    keys: StoreKeys,
    subjects: HashMap<u128, Subject, FixedState>,
    /// The index of a subject by the id of its key, for unsealing.
    indexes: HashMap<KeyId, u128, FixedState>,
    subjects_max: usize,
    /// Number of the next record.
    next: u64,
    unsaved: Vec<u8>,
    /// Number of the first record in `unsaved`.
    unsaved_from: u64,
}

struct Subject {
    tenant: TenantId,
    token: Token,
    key: Secret,
}

/// The store makes no more keys, because [`Vault::subjects_max`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key store holds keys of {subjects_max} subjects, which is its limit, so it makes no key for another subject"
)]
pub struct Full {
    pub subjects_max: usize,
}

/// Why sealed data cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The tenant has no such key, because it was erased.
    #[error("key {0} is erased")]
    KeyErased(KeyId),
    /// The key exists, but the data is not what was sealed with it in this context.
    #[error("the sealed data is damaged or belongs elsewhere")]
    Damaged,
}

impl Vault {
    /// The default of [`Vault::subjects_max`]. At about 200 bytes per subject, it takes 2 GB of memory.
    pub const SUBJECTS_MAX_DEFAULT: usize = 10_000_000;

    /// Reads the file of a key store, `log`. Returns the vault and the number of bytes that it accepted. It does not
    /// accept a torn end, which a crash during an append leaves behind; the caller must cut the file there before it
    /// appends.
    ///
    /// An empty file starts a new store, whose header is the first unsaved part. A caller whose journal has entries
    /// must refuse an empty file instead, because a new store would give every value a different token.
    pub fn open(root: &RootKey, log: &[u8], random: &mut dyn Random) -> Result<(Self, usize), Error> {
        let codec = Codec::new(root);
        let Some((first, store)) = codec.read_header(log)? else {
            let mut vault = Self::new(codec, Secret::random(random), 0);
            vault.codec.write_header(0, &vault.store, &mut vault.unsaved);
            return Ok((vault, 0));
        };
        let mut vault = Self::new(codec, store, first);
        let mut accepted = HEADER_BYTES;
        let mut rest = log.get(accepted..).unwrap_or_default();
        while !is_torn(rest, RECORD_BYTES) && !vault.codec.is_unfinished(vault.next, rest) {
            let damaged = Error::Damaged { offset: accepted };
            let (record, after) = rest.split_first_chunk().ok_or(damaged.clone())?;
            let record = vault.codec.read_record(vault.next, record).ok_or(damaged.clone())?;
            vault.replay(record).ok_or(damaged)?;
            vault.next = vault.next.saturating_add(1);
            accepted = accepted.saturating_add(RECORD_BYTES);
            rest = after;
        }
        Ok((vault, accepted))
    }

    /// Most subjects that may have keys at once.
    pub const fn subjects_max(&self) -> usize {
        self.subjects_max
    }

    /// Sets the most subjects that may have keys at once. Existing keys stay.
    pub const fn set_subjects_max(&mut self, subjects_max: usize) {
        self.subjects_max = subjects_max;
    }

    /// Number of subjects that have keys.
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// Returns the token of `value`, an entity of `kind`.
    ///
    /// If `personal`, the value is a subject with a random, erasable key, which is made on first sight unless the store
    /// is [`Full`]. Otherwise the token is derived from the tenant's key and stays the same as long as the store
    /// exists.
    pub fn token(
        &mut self,
        tenant: TenantId,
        kind: &str,
        value: &str,
        personal: bool,
        random: &mut dyn Random,
    ) -> Result<Token, Full> {
        if personal {
            Ok(self.subject(tenant, kind, value, random)?.token)
        } else {
            Ok(self.keys.tenant_token(tenant, kind, value))
        }
    }

    /// Returns the token that [`Vault::token`] would return, without making a key. `None` for a subject that has no
    /// key.
    pub fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token> {
        if personal {
            self.subjects.get(&self.keys.index(tenant, kind, value)).map(|subject| subject.token)
        } else {
            Some(self.keys.tenant_token(tenant, kind, value))
        }
    }

    /// The hash that tells a retry from another request with the same id. It is keyed, because a plain hash of a
    /// request with a phone number could be reversed by trying all phone numbers.
    pub fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest {
        Digest::new(self.keys.request_key(tenant).hash(&[canonical]))
    }

    /// Encrypts `plaintext` so that only this store can decrypt it: with the key of `subject` (kind, value), which is
    /// made on first sight, or with the tenant's data key, which cannot be erased. `context` says where the data
    /// belongs (a payment id, a field). It is authenticated but not stored, and unsealing needs it again.
    pub fn seal(
        &mut self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Sealed, Full> {
        let (key, id) = self.key_of(tenant, subject, random, |key| (key.seal_key(), key.key_id()))?;
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let ciphertext = cipher::seal(&key, &nonce, &in_tenant(tenant, context), plaintext);
        Ok(Sealed { keys: vec![id], ciphertext: ciphertext.into() })
    }

    /// What `read` returns of the key of a subject, which is made on first sight, or of the tenant's data key.
    pub(crate) fn key_of<T>(
        &mut self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        random: &mut dyn Random,
        read: impl FnOnce(&Secret) -> T,
    ) -> Result<T, Full> {
        match subject {
            Some((kind, value)) => Ok(read(&self.subject(tenant, kind, value, random)?.key)),
            None => Ok(read(&self.keys.data_key(tenant))),
        }
    }

    /// Decrypts what was sealed for `tenant` in `context`.
    pub fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, UnsealError> {
        let [key_id] = *sealed.keys.as_slice() else {
            return Err(UnsealError::Damaged);
        };
        let key = self.key_by_id(tenant, key_id).ok_or(UnsealError::KeyErased(key_id))?;
        cipher::open(&key, &in_tenant(tenant, context), &sealed.ciphertext).ok_or(UnsealError::Damaged)
    }

    /// The key with this id for the cipher; `None` if the tenant has no such key, because it was erased.
    pub(crate) fn key_by_id(&self, tenant: TenantId, id: KeyId) -> Option<Secret> {
        let subject = self.indexes.get(&id).and_then(|index| self.subjects.get(index));
        if let Some(subject) = subject.filter(|subject| subject.tenant == tenant) {
            return Some(subject.key.seal_key());
        }
        let data_key = self.keys.data_key(tenant);
        (data_key.key_id() == id).then(|| data_key.seal_key())
    }

    /// Forgets the key of a subject. Returns false if it has none. What was sealed with the key can no longer be read,
    /// its tokens belong to nobody, and a later occurrence of the value is a new subject with another key and another
    /// token.
    pub fn erase(&mut self, tenant: TenantId, kind: &str, value: &str) -> bool {
        let index = self.keys.index(tenant, kind, value);
        let Some(subject) = self.subjects.get_mut(&index) else {
            return false;
        };
        self.indexes.remove(&subject.key.key_id());
        // Wiped in place, because `remove` moves the subject out and would leave its bytes in the table.
        subject.key.wipe();
        self.subjects.remove(&index);
        assert_eq!(self.indexes.len(), self.subjects.len(), "VLT-5: every subject's key has one name");
        self.append(&Record::KeyErased { tenant, index });
        true
    }

    /// Returns the bytes to append to the file, in order. Empty if everything is saved. Each byte is returned only
    /// once.
    pub fn take_unsaved(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unsaved)
    }

    /// Returns a file with everything except the erased keys, which must replace the current file atomically. Records
    /// are appended to it in the same way as to the current file, so a replacement that fails does no harm.
    ///
    /// # Panics
    /// If there are unsaved records, because the caller could append them to a file that already has them.
    pub fn compacted(&self) -> Vec<u8> {
        assert!(self.unsaved.is_empty(), "VLT-1: a store is compacted only when everything is saved");
        let mut live: Vec<(&u128, &Subject)> = self.subjects.iter().collect();
        live.sort_unstable_by_key(|&(index, _)| *index);
        let first = self.next.checked_sub(live.len() as u64).expect("VLT-2: every subject has a record");
        let mut file = Vec::with_capacity(HEADER_BYTES.saturating_add(live.len().saturating_mul(RECORD_BYTES)));
        self.codec.write_header(first, &self.store, &mut file);
        for (number, (&index, subject)) in (first..).zip(live) {
            let key = Secret::new(*subject.key.as_bytes());
            let record = Record::KeyMade { tenant: subject.tenant, index, token: subject.token, key };
            // All of this file is saved before it replaces the old one.
            self.codec.write_record(number, None, &record, &mut file);
        }
        file
    }

    fn new(codec: Codec, store: Secret, next: u64) -> Self {
        let keys = StoreKeys::new(&store);
        let (subjects, indexes) = (HashMap::default(), HashMap::default());
        let subjects_max = Self::SUBJECTS_MAX_DEFAULT;
        Self { codec, store, keys, subjects, indexes, subjects_max, next, unsaved: Vec::new(), unsaved_from: next }
    }

    fn subject(
        &mut self,
        tenant: TenantId,
        kind: &str,
        value: &str,
        random: &mut dyn Random,
    ) -> Result<&Subject, Full> {
        let index = self.keys.index(tenant, kind, value);
        if !self.subjects.contains_key(&index) {
            if self.subjects.len() >= self.subjects_max {
                return Err(Full { subjects_max: self.subjects_max });
            }
            let key = Secret::random(random);
            let token = key.subject_token(kind, value);
            self.append(&Record::KeyMade { tenant, index, token, key: Secret::new(*key.as_bytes()) });
            let added = self.add(index, Subject { tenant, token, key });
            assert!(added.is_some(), "VLT-3: no two subjects share a key");
        }
        Ok(self.subjects.get(&index).expect("the subject was there or has just been added"))
    }

    fn append(&mut self, record: &Record) {
        if self.unsaved.is_empty() {
            self.unsaved_from = self.next;
        }
        self.codec.write_record(self.next, Some(self.unsaved_from), record, &mut self.unsaved);
        self.next = self.next.checked_add(1).expect("a store has at most 2^64 - 1 records");
    }

    /// Returns `None` if the record contradicts an earlier one.
    fn replay(&mut self, record: Record) -> Option<()> {
        match record {
            Record::KeyMade { tenant, index, token, key } => self.add(index, Subject { tenant, token, key }),
            Record::KeyErased { tenant, index } => {
                let erased = self.subjects.remove(&index).filter(|subject| subject.tenant == tenant)?;
                self.indexes.remove(&erased.key.key_id()).map(drop)
            }
        }
    }

    /// Returns `None` if the subject or its key is already there.
    fn add(&mut self, index: u128, subject: Subject) -> Option<()> {
        let (Entry::Vacant(by_id), Entry::Vacant(by_index)) =
            (self.indexes.entry(subject.key.key_id()), self.subjects.entry(index))
        else {
            return None;
        };
        by_id.insert(index);
        by_index.insert(subject);
        Some(())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("subjects", &self.subjects.len()).finish_non_exhaustive()
    }
}

/// What sealed data is bound to: the tenant's number (4 bytes), then the caller's context.
pub(crate) fn in_tenant(tenant: TenantId, context: &[u8]) -> Vec<u8> {
    [tenant.get().to_le_bytes().as_slice(), context].concat()
}
