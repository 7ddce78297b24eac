//! Encodes entries.
//!
//! An entry has two encodings. **Within a frame** it is short: it leaves out the fields that it shares with the entry
//! before it. The **canonical** encoding is complete and does not depend on framing; the leaves of the Merkle tree
//! commit to it. Both contain the same *plain section*: the fields of the entry's kind.
//!
//! Within a frame, client transfers are stored in rows of a fixed size, see `rows`. Any other entry is:
//!
//! | field | encoding |
//! | --- | --- |
//! | bytes that follow | varint, never 0 |
//! | marks | 1 byte: 1 tenant given, 2 actor given, 4 request given, 8 request is the plain section's first 16 bytes, 16 `occurred_at` given, 32 sealed section follows, 64 the record can be read alone, 128 for extensions |
//! | tenant, actor | varint each, where given; otherwise those of the entry before (0 before the first) |
//! | request | 16 bytes, where given; otherwise that of the entry before |
//! | `decided_at` | varint, nanoseconds after the entry before (after the frame's base time for the first) |
//! | `occurred_at` | zigzag varint, nanoseconds after `decided_at`, where given; otherwise equal to it |
//! | kind, version | varint each |
//! | plain section | varint length, bytes |
//! | sealed section | varint count of keys, 16 bytes each; varint length, ciphertext |
//!
//! Entries about payments can be read alone, with one small read, because old ones are looked up. Such a record depends on no entry
//! before it, and ends with a checksum:
//!
//! | field | encoding |
//! | --- | --- |
//! | bytes that follow | varint |
//! | marks | 1 byte: 64, and 4, 8, 16 and 32 as above |
//! | tenant, actor | varint each |
//! | request | 16 bytes with mark 4; without marks 4 and 8, it is 0 |
//! | sequence | varint |
//! | `decided_at` | 8 bytes |
//! | from `occurred_at` to the sealed section | as above |
//! | checksum | 4 bytes: CRC-32C of the record from its marks on |
//!
//! The mark for extensions is reserved for a later release. This release refuses an entry with this mark: a leaf
//! commits to the whole entry, so an unknown extension must not be dropped silently.
//!
//! The version of a kind depends on the fact alone. Reading an entry and writing it again therefore gives the same
//! bytes, and no later version of a kind changes the leaf of an entry that was written before.
//!
//! The canonical encoding has little-endian numbers of fixed width: version of this encoding (1 byte, 1), shard (2),
//! sequence (8), tenant (4), actor (8), request (16), `decided_at` (8), `occurred_at` (8), kind (2), version (2), plain
//! section (4-byte length, bytes), count of keys (4), each key (16), ciphertext (4-byte length, bytes).

mod approvals;
mod compact_features;
mod entity_attributes;
mod fact;
mod identity;
mod imports;
mod ledger_facts;
mod ledger_settings;
mod lists;
mod payment;
mod rows;
mod settings;

use engine::{Entry, Fact, Header};
use sha2::{Digest as _, Sha256};
use types::{ActorId, KeyId, RequestId, Sealed, Seq, ShardId, TenantId, Timestamp};

use crate::bytes::{DecodeError, Decoder, Encoder};
use crate::frame::PAYLOAD_BYTES_MAX;

pub use fact::KIND_NAMES;
pub(crate) use rows::{
    OpenRun, RUN_HEADER_BYTES_MAX, Run, WIDE_ROW_BYTES, canonical_row, decode_row, decode_run, push_row, read_row,
    transfer_of,
};

const TENANT: u8 = 1;
const ACTOR: u8 = 2;
const REQUEST: u8 = 4;
const REQUEST_IS_ID: u8 = 8;
const OCCURRED: u8 = 16;
const SEALED: u8 = 32;
const ALONE: u8 = 64;
const CHECKSUM_BYTES: usize = 4;

/// The fields that an entry of a frame inherits from the entry before it.
#[derive(Debug, Clone)]
pub(crate) struct FrameContext {
    shard: ShardId,
    next: Seq,
    tenant: TenantId,
    actor: ActorId,
    request: RequestId,
    at: Timestamp,
}

impl FrameContext {
    pub(crate) fn new(shard: ShardId, first: Seq, base_time: Timestamp) -> Self {
        Self {
            shard,
            next: first,
            tenant: TenantId::default(),
            actor: ActorId::default(),
            request: RequestId::default(),
            at: base_time,
        }
    }

    /// # Panics
    /// When this entry cannot be the next one of the frame (JRN-1, JRN-4).
    pub(crate) fn expect(&self, header: &Header) {
        assert_eq!(header.seq, self.next, "JRN-1: entries follow one another without gaps");
        assert!(
            header.decided_at >= self.at && header.shard == self.shard,
            "JRN-4: the entries of a frame have one shard, and their times do not go back"
        );
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn follow(&mut self, header: &Header) {
        self.next = header.seq.next();
        self.tenant = header.tenant;
        self.actor = header.actor;
        self.request = header.request;
        self.at = header.decided_at;
    }
}

/// Scratch buffers for encoding an entry, reused to avoid allocations.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    plain: Encoder,
    record: Encoder,
}

/// Whether the entry's record can be read without the rest of its frame.
fn is_read_alone(fact: &Fact) -> bool {
    matches!(fact, Fact::PaymentDecided(_) | Fact::PaymentChanged(_) | Fact::LabelRecorded(_))
}

/// Encodes an entry as in a frame, without the length before it.
pub(crate) fn encode_entry<'a>(entry: &Entry, context: &FrameContext, scratch: &'a mut Scratch) -> &'a [u8] {
    let header = &entry.header;
    let Scratch { plain, record } = scratch;
    plain.bytes.clear();
    record.bytes.clear();
    let (kind, version) = fact::encode(header, &entry.fact, plain);
    let alone = is_read_alone(&entry.fact);
    let request_before = if alone { RequestId::default() } else { context.request };
    let request_is_id = plain.bytes.first_chunk::<16>() == Some(&header.request.get().to_le_bytes());
    let marks = [
        (TENANT, !alone && header.tenant != context.tenant),
        (ACTOR, !alone && header.actor != context.actor),
        (REQUEST, header.request != request_before && !request_is_id),
        (REQUEST_IS_ID, header.request != request_before && request_is_id),
        (OCCURRED, header.occurred_at != header.decided_at),
        (SEALED, entry.sealed.is_some()),
        (ALONE, alone),
    ];
    let marks = marks.iter().filter(|(_, set)| *set).fold(0, |marks, (mark, _)| marks | mark);
    record.u8(marks);
    if marks & (TENANT | ALONE) != 0 {
        record.varint(header.tenant.get());
    }
    if marks & (ACTOR | ALONE) != 0 {
        record.varint(header.actor.get());
    }
    if marks & REQUEST != 0 {
        record.u128(header.request.get());
    }
    if alone {
        record.varint(header.seq.get());
        record.u64(header.decided_at.ns());
    } else {
        record.varint(header.decided_at.ns() - context.at.ns());
    }
    if marks & OCCURRED != 0 {
        record.zigzag(header.occurred_at.ns().wrapping_sub(header.decided_at.ns()).cast_signed());
    }
    record.varint(kind);
    record.varint(version);
    record.counted(&plain.bytes);
    if let Some(sealed) = &entry.sealed {
        record.count(sealed.keys.len());
        for key in &sealed.keys {
            record.u128(key.get());
        }
        record.counted(&sealed.ciphertext);
    }
    if alone {
        let checksum = crc32c::crc32c(&record.bytes);
        record.u32(checksum);
    }
    &record.bytes
}

/// Reads an entry of a frame.
pub(crate) fn decode_entry(from: &mut Decoder<'_>, context: &mut FrameContext) -> Result<Entry, DecodeError> {
    let record = from.counted()?;
    let entry = match record.first() {
        Some(marks) if marks & ALONE != 0 => decode_alone_record(record, context.shard)?,
        _ => decode_record(Decoder::new(record), |marks, record| {
            let tenant = if marks & TENANT != 0 { TenantId::new(record.varint()?) } else { context.tenant };
            let actor = if marks & ACTOR != 0 { ActorId::new(record.varint()?) } else { context.actor };
            let request = if marks & REQUEST != 0 { RequestId::new(record.u128()?) } else { context.request };
            let after: u64 = record.varint()?;
            let decided_at =
                context.at.ns().checked_add(after).map(Timestamp::from_ns).ok_or(DecodeError::Truncated)?;
            let (shard, seq) = (context.shard, context.next);
            Ok(Header { shard, seq, tenant, actor, request, decided_at, occurred_at: decided_at })
        })?,
    };
    let Header { seq, decided_at, .. } = entry.header;
    if seq != context.next {
        return Err(DecodeError::Unknown { what: "next sequence", value: seq.get() });
    }
    if decided_at < context.at {
        return Err(DecodeError::Unknown { what: "later time", value: decided_at.ns() });
    }
    context.follow(&entry.header);
    Ok(entry)
}

/// Reads the entry whose record is at the front of `bytes`, if that record can be read alone. An error says how many bytes the record
/// takes that are not there.
pub(crate) fn decode_alone(bytes: &[u8], shard: ShardId) -> Result<Option<Entry>, usize> {
    let mut from = Decoder::new(bytes);
    let Ok(length) = from.varint::<usize>() else { return Ok(None) };
    let rest = from.rest();
    if rest.first().is_none_or(|marks| marks & ALONE == 0) || length > PAYLOAD_BYTES_MAX {
        return Ok(None);
    }
    let Some(record) = rest.get(..length) else { return Err(length - rest.len()) };
    Ok(decode_alone_record(record, shard).ok())
}

fn decode_alone_record(record: &[u8], shard: ShardId) -> Result<Entry, DecodeError> {
    let (record, checksum) = record.split_last_chunk::<CHECKSUM_BYTES>().ok_or(DecodeError::Truncated)?;
    let checksum = u32::from_le_bytes(*checksum);
    if crc32c::crc32c(record) != checksum {
        return Err(DecodeError::Unknown { what: "checksum of its record", value: u64::from(checksum) });
    }
    let entry = decode_record(Decoder::new(record), |marks, record| {
        if marks & (TENANT | ACTOR) != 0 {
            return Err(DecodeError::Unknown { what: "set of entry marks", value: u64::from(marks) });
        }
        let (tenant, actor) = (TenantId::new(record.varint()?), ActorId::new(record.varint()?));
        let request = if marks & REQUEST != 0 { RequestId::new(record.u128()?) } else { RequestId::default() };
        let seq = Seq::new(record.varint()?);
        let decided_at = Timestamp::from_ns(record.u64()?);
        Ok(Header { shard, seq, tenant, actor, request, decided_at, occurred_at: decided_at })
    })?;
    let what = "kind that can be read alone";
    if is_read_alone(&entry.fact) { Ok(entry) } else { Err(DecodeError::Unknown { what, value: 0 }) }
}

/// Reads a record without its checksum. `header` reads what is before `occurred_at`.
fn decode_record(
    mut record: Decoder<'_>,
    header: impl FnOnce(u8, &mut Decoder<'_>) -> Result<Header, DecodeError>,
) -> Result<Entry, DecodeError> {
    let marks = record.u8()?;
    let known = TENANT | ACTOR | REQUEST | REQUEST_IS_ID | OCCURRED | SEALED | ALONE;
    if marks & !known != 0 {
        return Err(DecodeError::Unknown { what: "set of entry marks", value: u64::from(marks) });
    }
    let mut header = header(marks, &mut record)?;
    if marks & OCCURRED != 0 {
        let occurred_at = header.decided_at.ns().wrapping_add(record.zigzag()?.cast_unsigned());
        header.occurred_at = Timestamp::from_ns(occurred_at);
    }
    let (kind, version) = (record.varint()?, record.varint()?);
    let plain = record.counted()?;
    if let (REQUEST_IS_ID, Some(id)) = (marks & (REQUEST | REQUEST_IS_ID), plain.first_chunk::<16>()) {
        header.request = RequestId::new(u128::from_le_bytes(*id));
    }
    let fact = fact::decode(&header, kind, version, plain)?;
    let sealed = if marks & SEALED != 0 { Some(decode_sealed(&mut record)?) } else { None };
    record.finish()?;
    Ok(Entry { header, fact, sealed })
}

fn decode_sealed(from: &mut Decoder<'_>) -> Result<Sealed, DecodeError> {
    let count = from.count()?;
    let keys = (0..count).map(|_| from.u128().map(KeyId::new)).collect::<Result<_, _>>()?;
    Ok(Sealed { keys, ciphertext: from.counted()?.into() })
}

pub fn canonical(entry: &Entry) -> Vec<u8> {
    let mut bytes = Encoder::default();
    encode_canonical(entry, &mut bytes);
    bytes.bytes
}

/// Appends the canonical encoding of an entry.
pub(crate) fn encode_canonical(entry: &Entry, into: &mut Encoder) {
    let start = begin_canonical(&entry.header, into);
    let kind = fact::encode(&entry.header, &entry.fact, into);
    end_canonical(start, kind, entry.sealed.as_ref(), into);
}

/// Appends the fields before the plain section; returns where these fields begin.
fn begin_canonical(header: &Header, into: &mut Encoder) -> usize {
    const VERSION: u8 = 1;
    // One write for all fields: hashing a whole journal spends most of its time here.
    let mut bytes = [0; 63];
    bytes[0] = VERSION;
    bytes[1..3].copy_from_slice(&header.shard.get().to_le_bytes());
    bytes[3..11].copy_from_slice(&header.seq.get().to_le_bytes());
    bytes[11..15].copy_from_slice(&header.tenant.get().to_le_bytes());
    bytes[15..23].copy_from_slice(&header.actor.get().to_le_bytes());
    bytes[23..39].copy_from_slice(&header.request.get().to_le_bytes());
    bytes[39..47].copy_from_slice(&header.decided_at.ns().to_le_bytes());
    bytes[47..55].copy_from_slice(&header.occurred_at.ns().to_le_bytes());
    // Kind, version and length are filled in after the plain section is encoded.
    into.raw(&bytes);
    into.bytes.len()
}

/// Fills in the open fields at `start` and appends the fields after the plain section.
fn end_canonical(start: usize, (kind, version): (u16, u16), sealed: Option<&Sealed>, into: &mut Encoder) {
    let plain_bytes = length(into.bytes.len() - start);
    if let Some(place) = into.bytes.get_mut(start - 8..).and_then(<[u8]>::first_chunk_mut::<8>) {
        let ([a, b], [c, d], [e, f, g, h]) = (kind.to_le_bytes(), version.to_le_bytes(), plain_bytes.to_le_bytes());
        *place = [a, b, c, d, e, f, g, h];
    }
    let (keys, ciphertext): (&[KeyId], &[u8]) = sealed.map_or((&[], &[]), |sealed| (&sealed.keys, &sealed.ciphertext));
    into.u32(length(keys.len()));
    for key in keys {
        into.u128(key.get());
    }
    into.u32(length(ciphertext.len()));
    into.raw(ciphertext);
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("JRN-2: an entry fits in a frame")
}

/// The hash of an entry's leaf in an RFC 6962 tree: SHA-256 of a zero byte and the leaf, which is the SHA-256 of the
/// canonical encoding. Sealed content is hashed as ciphertext, so the hash reveals nothing about it.
pub fn leaf_hash(entry: &Entry) -> [u8; 32] {
    let leaf = Sha256::digest(canonical(entry));
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    hash.finalize().into()
}

/// Whether later entries may refer to the entry with this canonical encoding: it begins a history, opens ledgers, activates a policy or
/// starts an import. Who follows a journal without its index looks out for these, and need not decode the others.
pub fn is_referred_to(canonical: &[u8]) -> bool {
    const KIND_AT: usize = 55;
    let kind = canonical.get(KIND_AT..KIND_AT + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    kind.is_some_and(fact::is_referred_to)
}

/// The stable name of an entry's kind.
pub fn kind_name(entry: &Entry) -> &'static str {
    fact::kind(&entry.fact).1
}
