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
//! | marks | 1 byte: 1 tenant given, 2 actor given, 4 request given, 8 request is the plain section's first 16 bytes, 16 `occurred_at` given, 32 sealed section follows, 64 for extensions |
//! | tenant, actor | varint each, where given; otherwise those of the entry before (0 before the first) |
//! | request | 16 bytes, where given; otherwise that of the entry before |
//! | `decided_at` | varint, nanoseconds after the entry before (after the frame's base time for the first) |
//! | `occurred_at` | zigzag varint, nanoseconds after `decided_at`, where given; otherwise equal to it |
//! | kind, version | varint each |
//! | plain section | varint length, bytes |
//! | sealed section | varint count of keys, 16 bytes each; varint length, ciphertext |
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

mod fact;
mod identity;
mod imports;
mod ledger_facts;
mod ledger_settings;
mod payment;
mod rows;

use engine::{Entry, Header};
use sha2::{Digest as _, Sha256};
use types::{ActorId, KeyId, RequestId, Sealed, Seq, ShardId, TenantId, Timestamp};

use crate::bytes::{DecodeError, Decoder, Encoder};

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

/// Encodes an entry as in a frame, without the length before it.
pub(crate) fn encode_entry<'a>(entry: &Entry, context: &FrameContext, scratch: &'a mut Scratch) -> &'a [u8] {
    let header = &entry.header;
    let Scratch { plain, record } = scratch;
    plain.bytes.clear();
    record.bytes.clear();
    let (kind, version) = fact::encode(header, &entry.fact, plain);
    let request_is_id = plain.bytes.first_chunk::<16>() == Some(&header.request.get().to_le_bytes());
    let marks = [
        (TENANT, header.tenant != context.tenant),
        (ACTOR, header.actor != context.actor),
        (REQUEST, header.request != context.request && !request_is_id),
        (REQUEST_IS_ID, header.request != context.request && request_is_id),
        (OCCURRED, header.occurred_at != header.decided_at),
        (SEALED, entry.sealed.is_some()),
    ];
    let marks = marks.iter().filter(|(_, set)| *set).fold(0, |marks, (mark, _)| marks | mark);
    record.u8(marks);
    if marks & TENANT != 0 {
        record.varint(header.tenant.get());
    }
    if marks & ACTOR != 0 {
        record.varint(header.actor.get());
    }
    if marks & REQUEST != 0 {
        record.u128(header.request.get());
    }
    record.varint(header.decided_at.ns() - context.at.ns());
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
    &record.bytes
}

/// Reads an entry of a frame.
pub(crate) fn decode_entry(from: &mut Decoder<'_>, context: &mut FrameContext) -> Result<Entry, DecodeError> {
    let mut record = Decoder::new(from.counted()?);
    let marks = record.u8()?;
    let known = TENANT | ACTOR | REQUEST | REQUEST_IS_ID | OCCURRED | SEALED;
    if marks & !known != 0 {
        return Err(DecodeError::Unknown { what: "set of entry marks", value: u64::from(marks) });
    }
    let tenant = if marks & TENANT != 0 { TenantId::new(record.varint()?) } else { context.tenant };
    let actor = if marks & ACTOR != 0 { ActorId::new(record.varint()?) } else { context.actor };
    let given = if marks & REQUEST != 0 { Some(RequestId::new(record.u128()?)) } else { None };
    let after: u64 = record.varint()?;
    let decided_at = context.at.ns().checked_add(after).map(Timestamp::from_ns).ok_or(DecodeError::Truncated)?;
    let occurred_at = match marks & OCCURRED {
        0 => decided_at,
        _ => Timestamp::from_ns(decided_at.ns().wrapping_add(record.zigzag()?.cast_unsigned())),
    };
    let (kind, version) = (record.varint()?, record.varint()?);
    let plain = record.counted()?;
    let request = match (given, plain.first_chunk::<16>()) {
        (Some(given), _) => given,
        (None, Some(id)) if marks & REQUEST_IS_ID != 0 => RequestId::new(u128::from_le_bytes(*id)),
        (None, _) => context.request,
    };
    let header = Header { shard: context.shard, seq: context.next, tenant, actor, request, decided_at, occurred_at };
    let fact = fact::decode(&header, kind, version, plain)?;
    let sealed = if marks & SEALED != 0 { Some(decode_sealed(&mut record)?) } else { None };
    record.finish()?;
    context.follow(&header);
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

/// The stable name of an entry's kind.
pub fn kind_name(entry: &Entry) -> &'static str {
    fact::kind(&entry.fact).1
}
