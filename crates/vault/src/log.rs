//! The file of the key store: a header, then records of equal size. Records are only ever appended.
//!
//! Each line below states an offset, a length and the content. Numbers are little-endian. "Sealed" means
//! XChaCha20-Poly1305 under the `WRAP` key of the root key: 24 bytes of nonce, the ciphertext, 16 bytes of tag.
//!
//! ```text
//! header, 128 bytes
//!   0    8  magic "FINVAULT"
//!   8    4  version, 1
//!  12    8  number of the first record of this file
//!  20  104  sealed: 32 bytes of store secret, 32 zero bytes; authenticates bytes 0..20
//! 124    4  CRC-32C of bytes 0..124
//!
//! record, 128 bytes
//!   0  128  sealed: the body; authenticates the record's number (8 bytes), which counts up from the header's number
//!
//! body of a record, 88 bytes
//!   0    4  1: a key was made for a subject; 2: the key was erased
//!   4    4  tenant
//!   8   16  index of the subject (keyed hash of tenant, kind and value)
//!  24   16  token of the subject, 0 when erased
//!  40   32  key of the subject, 0 when erased
//!  72    8  one more than the number of the first record that was saved together with this one, 0 if unknown
//!  80    8  0
//! ```
//!
//! Bytes 72 to 80 were 0 before they had a meaning, and nothing read them, so the version is still 1. In a compacted
//! file they are 0 as well, because all of that file is saved before it replaces the old one.
//!
//! No value is stored, not even encrypted. The sizes keep every record within one disk sector. Because its number is
//! authenticated, a record is valid in one place only: records cannot be left out, repeated or exchanged. Erased keys
//! are really gone only when the file is rewritten without them. The first number of the rewritten file is chosen so
//! that its last record has the same number as the last record of the old file. Later records are therefore appended to
//! either file in the same way.
//!
//! The nonce is the keyed hash of the number and the body (a synthetic nonce, as in SIV). A number is used again after
//! a torn record was cut off or the file was rewritten, and a different body must then get a different nonce.
//!
//! **Torn or damaged.** A crash can leave the last append unfinished in one of three ways. The file ends inside a
//! record. Or it holds only zeros from the tag of a record on, in space that the file system allocated but never
//! filled. Or it holds zeros in place of a record, followed only by records that were saved together with it, because
//! sectors reach a disk in any order. In each case the file is cut at that record, since nothing that was acknowledged
//! depends on it. Anything else that does not open is damage and is refused with its offset. A file that lost whole
//! records at its end looks like an older copy of itself; only somebody who has a newer copy can tell.

use types::{TenantId, Token};

use crate::cipher::{self, NONCE_BYTES, TAG_BYTES};
use crate::secret::{RootKey, Secret, wipe};

pub(crate) const HEADER_BYTES: usize = 128;
pub(crate) const RECORD_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"FINVAULT";
const VERSION: u32 = 1;
const PLAIN_BYTES: usize = 20;
const SECRETS_BYTES: usize = 64;
const CRC_BYTES: usize = 4;
const BODY_BYTES: usize = 88;
const SAVED_FROM_OFFSET: usize = 72;
const _: () = assert!(PLAIN_BYTES + NONCE_BYTES + SECRETS_BYTES + TAG_BYTES + CRC_BYTES == HEADER_BYTES);
const _: () = assert!(NONCE_BYTES + BODY_BYTES + TAG_BYTES == RECORD_BYTES);

const KEY_MADE: u32 = 1;
const KEY_ERASED: u32 = 2;

/// Why the file of a key store cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The magic bytes at the start are missing.
    #[error("not a key store: it does not start with FINVAULT")]
    NotAKeyStore,
    /// The version is unknown to this release, or byte 8 and the following are damaged.
    #[error("key store has version {0}, but this release reads version 1")]
    Version(u32),
    /// The header is intact but does not open with this root key.
    #[error("the root key is not the one this key store was written with")]
    RootKey,
    /// Bytes changed after they were saved. Restore the file: what follows cannot be trusted.
    #[error("key store is damaged in the part that starts at byte {offset}")]
    Damaged {
        /// Start of the header or record that does not open.
        offset: usize,
    },
}

/// The content of a record.
#[derive(Debug)]
pub(crate) enum Record {
    KeyMade { tenant: TenantId, index: u128, token: Token, key: Secret },
    KeyErased { tenant: TenantId, index: u128 },
}

/// Writes and reads the header and the records.
pub(crate) struct Codec {
    wrap: Secret,
    nonce: Secret,
}

impl Codec {
    pub(crate) fn new(root: &RootKey) -> Self {
        Self { wrap: root.wrap_key(), nonce: root.wrap_nonce_key() }
    }

    pub(crate) fn write_header(&self, first: u64, store: &Secret, out: &mut Vec<u8>) {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&first.to_le_bytes());
        let mut secrets = [0; SECRETS_BYTES];
        secrets.iter_mut().zip(store.as_bytes()).for_each(|(to, from)| *to = *from);
        let sealed = self.seal(&header, &secrets);
        wipe(&mut secrets);
        header.extend_from_slice(&sealed);
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        assert_eq!(header.len(), HEADER_BYTES, "VLT-4: the parts of the file have their documented sizes");
        out.append(&mut header);
    }

    /// Returns the number of the first record and the store secret, or `None` if the header was never fully written.
    pub(crate) fn read_header(&self, file: &[u8]) -> Result<Option<(u64, Secret)>, Error> {
        let start = file.get(..MAGIC.len()).unwrap_or(file);
        let written = start.iter().rposition(|&byte| byte != 0).and_then(|last| start.get(..=last));
        if !MAGIC.starts_with(written.unwrap_or_default()) {
            return Err(Error::NotAKeyStore);
        }
        if is_torn(file, HEADER_BYTES) {
            return Ok(None);
        }
        if start != MAGIC {
            return Err(Error::NotAKeyStore);
        }
        let (checked, crc) = split_header(file).ok_or(Error::Damaged { offset: 0 })?;
        let (plain, sealed) = checked.split_at(PLAIN_BYTES);
        let mut fields = plain.split_at(MAGIC.len()).1;
        let version = take(&mut fields).map_or(0, u32::from_le_bytes);
        let first = take(&mut fields).map_or(0, u64::from_le_bytes);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        if crc != crc32c::crc32c(checked) {
            return Err(Error::Damaged { offset: 0 });
        }
        let mut secrets = cipher::open(&self.wrap, plain, sealed).ok_or(Error::RootKey)?;
        let store = take(&mut secrets.as_slice()).map(Secret::new);
        wipe(&mut secrets);
        store.map(|store| Some((first, store))).ok_or(Error::Damaged { offset: 0 })
    }

    /// `saved_from` is the number of the first record that is saved together with this one, or `None` if that can never
    /// matter.
    pub(crate) fn write_record(&self, number: u64, saved_from: Option<u64>, record: &Record, out: &mut Vec<u8>) {
        const NONE: &[u8; 32] = &[0; 32];
        let (what, tenant, index, token, key) = match record {
            Record::KeyMade { tenant, index, token, key } => (KEY_MADE, tenant, index, token.get(), key.as_bytes()),
            Record::KeyErased { tenant, index } => (KEY_ERASED, tenant, index, 0, NONE),
        };
        let mut body = Vec::with_capacity(BODY_BYTES);
        body.extend_from_slice(&what.to_le_bytes());
        body.extend_from_slice(&tenant.get().to_le_bytes());
        body.extend_from_slice(&index.to_le_bytes());
        body.extend_from_slice(&token.to_le_bytes());
        body.extend_from_slice(key);
        body.extend_from_slice(&saved_from.map_or(0, |first| first.saturating_add(1)).to_le_bytes());
        body.resize(BODY_BYTES, 0);
        let sealed = self.seal(&number.to_le_bytes(), &body);
        wipe(&mut body);
        assert_eq!(sealed.len(), RECORD_BYTES, "VLT-4: the parts of the file have their documented sizes");
        out.extend_from_slice(&sealed);
    }

    /// Returns `None` if `sealed` is not record `number` as it was written.
    pub(crate) fn read_record(&self, number: u64, sealed: &[u8; RECORD_BYTES]) -> Option<Record> {
        self.read_body(number, sealed, parse_body)
    }

    /// Whether record `number`, at the start of `rest`, was never written although later records were. Those must all
    /// have been saved together with it, by the append that a crash interrupted.
    pub(crate) fn is_unfinished(&self, number: u64, rest: &[u8]) -> bool {
        let Some((hole, later)) = rest.split_first_chunk::<RECORD_BYTES>() else { return false };
        is_torn(hole, RECORD_BYTES)
            && (number.saturating_add(1)..).zip(later.as_chunks().0).all(|(place, record)| {
                record.iter().all(|&byte| byte == 0)
                    || self.read_body(place, record, saved_from).is_some_and(|first| first <= number)
            })
    }

    fn read_body<T>(
        &self,
        number: u64,
        sealed: &[u8; RECORD_BYTES],
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let mut body = cipher::open(&self.wrap, &number.to_le_bytes(), sealed)?;
        let read = read(&body);
        wipe(&mut body);
        read
    }

    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let hash = self.nonce.hash(&[context, plaintext]);
        let nonce = hash.first_chunk().copied().unwrap_or_default();
        cipher::seal(&self.wrap, &nonce, context, plaintext)
    }
}

/// Whether the part of `bytes` bytes at the start of `rest` was never fully written. `rest` must reach to the end of
/// the file.
pub(crate) fn is_torn(rest: &[u8], bytes: usize) -> bool {
    let end = rest.get(bytes.saturating_sub(TAG_BYTES)..).unwrap_or_default();
    rest.len() < bytes || end.iter().all(|&byte| byte == 0)
}

fn split_header(file: &[u8]) -> Option<(&[u8], u32)> {
    let (checked, rest) = file.split_at_checked(HEADER_BYTES.saturating_sub(CRC_BYTES))?;
    Some((checked, u32::from_le_bytes(*rest.first_chunk()?)))
}

/// The number of the first record that was saved together with this one.
fn saved_from(body: &[u8]) -> Option<u64> {
    let mut field = body.get(SAVED_FROM_OFFSET..)?;
    take(&mut field).map(u64::from_le_bytes)?.checked_sub(1)
}

fn parse_body(mut fields: &[u8]) -> Option<Record> {
    let what = take(&mut fields).map(u32::from_le_bytes)?;
    let tenant = TenantId::new(take(&mut fields).map(u32::from_le_bytes)?);
    let index = take(&mut fields).map(u128::from_le_bytes)?;
    let token = Token::new(take(&mut fields).map(u128::from_le_bytes)?);
    let key = Secret::new(take(&mut fields)?);
    match what {
        KEY_MADE => Some(Record::KeyMade { tenant, index, token, key }),
        KEY_ERASED => Some(Record::KeyErased { tenant, index }),
        _ => None,
    }
}

fn take<const BYTES: usize>(fields: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (field, rest) = fields.split_first_chunk()?;
    *fields = rest;
    Some(*field)
}
