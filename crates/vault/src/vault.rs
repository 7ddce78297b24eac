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

/// The keys of every tenant, in memory, with a log of what changed.
///
/// **Durability.** A new key exists only in memory until the bytes of [`Vault::take_unsaved`] are appended to the key
/// store's file and synced. The caller does that before an entry with a token or sealed data of this vault is written
/// to the journal: were the journal ahead, a crash would leave an entry whose key nobody has, acknowledged or not,
/// and the next occurrence of the value would be a stranger. An erasure is done when its record is synced, and
/// complete when the file has been replaced by [`Vault::compacted`]. When an append fails the file's end is unknown:
/// the caller stops and opens the file again.
pub struct Vault {
    codec: Codec,
    store: Secret,
    keys: StoreKeys,
    subjects: HashMap<u128, Subject, FixedState>,
    /// For unsealing: the name of a subject's key to its index.
    indexes: HashMap<KeyId, u128, FixedState>,
    subjects_max: usize,
    /// The number of the next record.
    next: u64,
    unsaved: Vec<u8>,
    /// The number of the first record in it.
    unsaved_from: u64,
}

struct Subject {
    tenant: TenantId,
    token: Token,
    key: Secret,
}

/// No more keys: [`Vault::subjects_max`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key store holds keys of {subjects_max} subjects, its limit, and makes none for a new one")]
pub struct Full {
    /// The limit.
    pub subjects_max: usize,
}

/// Why sealed data stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The tenant has no such key, since it was erased.
    #[error("key {0} is erased")]
    KeyErased(KeyId),
    /// The key is there and the data is not what was sealed with it, in this context.
    #[error("the sealed data is damaged or belongs elsewhere")]
    Damaged,
}

impl Vault {
    /// [`Vault::subjects_max`] unless set otherwise: at about 200 bytes a subject, 2 GB of memory.
    pub const SUBJECTS_MAX_DEFAULT: usize = 10_000_000;

    /// Reads a key store's file, `log`: the vault, and how many bytes of the file it accepted. A torn end, which a
    /// crash during an append leaves behind, is not accepted; the caller cuts the file there before it appends.
    ///
    /// An empty file is a new store; its header is the first thing unsaved. A caller whose journal has entries refuses
    /// an empty file instead: a new store would give every value another token.
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

    /// How many subjects may have keys at once.
    pub const fn subjects_max(&self) -> usize {
        self.subjects_max
    }

    /// Sets how many subjects may have keys at once; keys that exist already stay.
    pub const fn set_subjects_max(&mut self, subjects_max: usize) {
        self.subjects_max = subjects_max;
    }

    /// How many subjects have keys.
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// The token of `value`, an entity of `kind`.
    ///
    /// `personal`: the value is a subject with a random, erasable key, made on first sight unless the store is
    /// [`Full`]. Otherwise the token is derived from the tenant's key and stays the same for as long as the store
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

    /// The token that [`Vault::token`] would give without making a key; `None` for a subject that has none.
    pub fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token> {
        if personal {
            self.subjects.get(&self.keys.index(tenant, kind, value)).map(|subject| subject.token)
        } else {
            Some(self.keys.tenant_token(tenant, kind, value))
        }
    }

    /// The hash that tells a retry from another request under the same id. Keyed: a plain hash of a request with a
    /// phone number could be found by trying all phone numbers.
    pub fn request_hash(&self, tenant: TenantId, canonical: &[u8]) -> Digest {
        Digest::new(self.keys.request_key(tenant).hash(&[canonical]))
    }

    /// Encrypts `plaintext` so that only this store opens it: with the key of `subject` (kind, value), made on first
    /// sight, or with the tenant's data key, which cannot be erased. `context` says where the data belongs (a payment
    /// id, a field); it is authenticated, not stored, and must be given again to unseal.
    pub fn seal(
        &mut self,
        tenant: TenantId,
        subject: Option<(&str, &str)>,
        context: &[u8],
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Sealed, Full> {
        let data_key;
        let key = match subject {
            Some((kind, value)) => &self.subject(tenant, kind, value, random)?.key,
            None => {
                data_key = self.keys.data_key(tenant);
                &data_key
            }
        };
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let ciphertext = cipher::seal(&key.seal_key(), &nonce, &in_tenant(tenant, context), plaintext);
        Ok(Sealed { keys: vec![key.key_id()], ciphertext: ciphertext.into() })
    }

    /// What was sealed for `tenant` in `context`.
    pub fn unseal(&self, tenant: TenantId, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, UnsealError> {
        let [key_id] = *sealed.keys.as_slice() else {
            return Err(UnsealError::Damaged);
        };
        let data_key;
        let key = match self.indexes.get(&key_id).and_then(|index| self.subjects.get(index)) {
            Some(subject) if subject.tenant == tenant => &subject.key,
            _ => {
                data_key = self.keys.data_key(tenant);
                &data_key
            }
        };
        if key.key_id() != key_id {
            return Err(UnsealError::KeyErased(key_id));
        }
        cipher::open(&key.seal_key(), &in_tenant(tenant, context), &sealed.ciphertext).ok_or(UnsealError::Damaged)
    }

    /// Forgets the key of a subject: false when there is none. What was sealed with it is noise from now on, its tokens
    /// belong to nobody, and a later occurrence of the value is a new subject with another key and another token.
    pub fn erase(&mut self, tenant: TenantId, kind: &str, value: &str) -> bool {
        let index = self.keys.index(tenant, kind, value);
        let Some(subject) = self.subjects.get_mut(&index) else {
            return false;
        };
        self.indexes.remove(&subject.key.key_id());
        // In place: removing moves the subject out and would leave its bytes in the table.
        subject.key.wipe();
        self.subjects.remove(&index);
        assert_eq!(self.indexes.len(), self.subjects.len(), "VLT-5: every subject's key has one name");
        self.append(&Record::KeyErased { tenant, index });
        true
    }

    /// The bytes to append to the file, in order; empty when everything is saved. They are handed out once.
    pub fn take_unsaved(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unsaved)
    }

    /// A file with everything but the erased keys, to take the place of the present one, atomically. Records are
    /// appended to it just as they would have been to the present file, so a replacement that fails does no harm.
    ///
    /// # Panics
    /// When there are unsaved records, which the caller might then append to a file that has them already.
    pub fn compacted(&self) -> Vec<u8> {
        assert!(self.unsaved.is_empty(), "VLT-1: a store is compacted when all is saved");
        let mut live: Vec<(&u128, &Subject)> = self.subjects.iter().collect();
        live.sort_unstable_by_key(|&(index, _)| *index);
        let first = self.next.checked_sub(live.len() as u64).expect("VLT-2: every subject has a record");
        let mut file = Vec::with_capacity(HEADER_BYTES.saturating_add(live.len().saturating_mul(RECORD_BYTES)));
        self.codec.write_header(first, &self.store, &mut file);
        for (number, (&index, subject)) in (first..).zip(live) {
            let key = Secret::new(*subject.key.as_bytes());
            let record = Record::KeyMade { tenant: subject.tenant, index, token: subject.token, key };
            // All of this file is saved before it takes the place of the other.
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
        Ok(self.subjects.get(&index).expect("it was there or has just been made"))
    }

    fn append(&mut self, record: &Record) {
        if self.unsaved.is_empty() {
            self.unsaved_from = self.next;
        }
        self.codec.write_record(self.next, Some(self.unsaved_from), record, &mut self.unsaved);
        self.next = self.next.checked_add(1).expect("a store has at most 2^64 - 1 records");
    }

    /// `None` when the record contradicts those before it.
    fn replay(&mut self, record: Record) -> Option<()> {
        match record {
            Record::KeyMade { tenant, index, token, key } => self.add(index, Subject { tenant, token, key }),
            Record::KeyErased { tenant, index } => {
                let erased = self.subjects.remove(&index).filter(|subject| subject.tenant == tenant)?;
                self.indexes.remove(&erased.key.key_id()).map(drop)
            }
        }
    }

    /// `None` when the subject or its key is there already.
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

/// What sealed data is bound to: the tenant (4 bytes), then the caller's context.
fn in_tenant(tenant: TenantId, context: &[u8]) -> Vec<u8> {
    [tenant.get().to_le_bytes().as_slice(), context].concat()
}
