//! Frames: checksummed runs of entries. A frame is the unit of writing.
//!
//! A frame is a header of [`HEADER_BYTES`] bytes and a payload. All numbers are little-endian.
//!
//! | offset | bytes | field |
//! | ---: | ---: | --- |
//! | 0 | 4 | magic `FNF1` |
//! | 4 | 4 | CRC-32C of header bytes 8 to 127 |
//! | 8 | 4 | payload bytes |
//! | 12 | 4 | CRC-32C of the payload |
//! | 16 | 2 | format version |
//! | 18 | 2 | shard |
//! | 20 | 4 | count of entries |
//! | 24 | 8 | sequence of the first entry |
//! | 32 | 8 | durable position known when the frame was written |
//! | 40 | 8 | `decided_at` of the first entry, from which the entries count |
//! | 48 | 16 | origin |
//! | 64 | 8 | epoch |
//! | 72 | 8 | zero |
//! | 80 | 32 | hash of the frame before: BLAKE3 over its header from byte 8 and its payload |
//! | 112 | 16 | zero |

use engine::Entry;
use types::{Epoch, Origin, Seq, ShardId, Timestamp};

use crate::bytes::{DecodeError, Decoder, Encoder};
use crate::canonical::CanonicalRun;
use crate::codec;
use crate::identity::Identity;

/// The version of segments, frames and entry framing that this release writes. It also reads all earlier versions.
/// Version 2 added rows, version 3 histories that continue another one, version 4 principals and their credentials, version 5
/// records that can be read alone.
pub const FORMAT_VERSION: u16 = 5;
/// The first version whose frames are encoded as in this release.
pub(crate) const ENCODED_THE_SAME_SINCE: u16 = 5;
/// The size of a frame's header in bytes.
pub(crate) const HEADER_BYTES: usize = 128;
/// The most bytes of payload in a frame.
pub const PAYLOAD_BYTES_MAX: usize = 900 * 1024;

pub(crate) const MAGIC: [u8; 4] = *b"FNF1";

/// A run of entries, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub first: Seq,
    /// The number of entries, at least one.
    pub count: u32,
    /// The first entry's `decided_at`.
    pub base_time: Timestamp,
    /// The shard of all its entries.
    pub shard: ShardId,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn last(&self) -> Seq {
        Seq::new(self.first.get() + u64::from(self.count) - 1)
    }

    /// The entries in order, each with its offset.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Entry, EntryOffset), DecodeError>> {
        self.view().iter()
    }

    /// Appends the canonical encodings of the entries, which must follow those that `into` already contains.
    ///
    /// # Errors
    /// When anything in the payload is wrong.
    pub fn canonical(&self, into: &mut CanonicalRun) -> Result<(), DecodeError> {
        self.view().canonical((Seq::ZERO, self.last()), into)
    }

    pub fn entries(&self) -> Result<Vec<Entry>, DecodeError> {
        self.view().entries()
    }

    fn view(&self) -> FrameView<'_> {
        let Self { first, count, base_time, shard, payload } = self;
        FrameView { first: *first, count: *count, base_time: *base_time, shard: *shard, payload }
    }
}

/// A frame whose bytes belong to another buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameView<'a> {
    pub(crate) first: Seq,
    pub(crate) count: u32,
    pub(crate) base_time: Timestamp,
    pub(crate) shard: ShardId,
    pub(crate) payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    pub(crate) fn iter(&self) -> Entries<'a> {
        Entries {
            payload_bytes: self.payload.len(),
            decoder: Decoder::new(self.payload),
            context: codec::FrameContext::new(self.shard, self.first, self.base_time),
            run: None,
            left: self.count,
        }
    }

    /// Appends the canonical encodings of the entries from one sequence to another, both included.
    pub(crate) fn canonical(&self, (from, to): (Seq, Seq), into: &mut CanonicalRun) -> Result<(), DecodeError> {
        let mut entries = self.iter();
        while let Some(left) = entries.left.checked_sub(1) {
            entries.left = left;
            let seq = entries.context.next();
            let start = into.bytes.bytes.len();
            entries.read_canonical(&mut into.bytes)?;
            if from <= seq && seq <= to {
                into.end_entry(seq);
            } else {
                into.bytes.bytes.truncate(start);
            }
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> Result<Vec<Entry>, DecodeError> {
        // An entry takes at least one byte, so the payload's size limits the memory that a wrong count can reserve.
        let mut entries = Vec::with_capacity(self.payload.len().min(self.count as usize));
        for entry in self.iter() {
            entries.push(entry?.0);
        }
        Ok(entries)
    }
}

impl FrameView<'_> {
    /// Whether encoding the entries again gives the same bytes. Also true if they cannot be decoded, which is reported
    /// elsewhere.
    pub(crate) fn is_canonical(&self) -> bool {
        let mut builder = FrameBuilder::default();
        for read in self.iter() {
            let Ok((entry, _)) = read else { return true };
            if builder.try_push(&entry).is_none() {
                return false;
            }
        }
        builder.finish().is_some_and(|frame| frame.payload == self.payload)
    }
}

/// Reads the entries of a frame; the last item is an error if anything in the payload is wrong.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    payload_bytes: usize,
    decoder: Decoder<'a>,
    context: codec::FrameContext,
    run: Option<codec::Run>,
    left: u32,
}

impl Entries<'_> {
    fn read(&mut self) -> Result<(Entry, EntryOffset), DecodeError> {
        self.begin_run()?;
        let offset = self.payload_bytes - self.decoder.rest().len();
        let (entry, is_row) = match self.run.take() {
            Some(run) => {
                let (entry, rest) = codec::decode_row(&mut self.decoder, &mut self.context, run)?;
                self.run = rest;
                (entry, true)
            }
            None => (codec::decode_entry(&mut self.decoder, &mut self.context)?, false),
        };
        self.check_end()?;
        Ok((entry, EntryOffset::new(offset, is_row)))
    }

    /// Like [`Entries::read`], for callers that need only the canonical encoding.
    fn read_canonical(&mut self, into: &mut Encoder) -> Result<(), DecodeError> {
        self.begin_run()?;
        match self.run.take() {
            Some(run) => self.run = codec::canonical_row(&mut self.decoder, &mut self.context, run, into)?,
            None => {
                let entry = codec::decode_entry(&mut self.decoder, &mut self.context)?;
                codec::encode_canonical(&entry, into);
            }
        }
        self.check_end()
    }

    fn begin_run(&mut self) -> Result<(), DecodeError> {
        if self.run.is_none() && self.decoder.rest().first() == Some(&0) {
            self.run = Some(codec::decode_run(&mut self.decoder, &self.context)?);
        }
        Ok(())
    }

    /// Fails if bytes remain after the last entry.
    fn check_end(&self) -> Result<(), DecodeError> {
        if self.left > 0 {
            return Ok(());
        }
        if self.run.is_some() {
            return Err(DecodeError::Unknown { what: "count of rows", value: 0 });
        }
        self.decoder.clone().finish()
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Entry, EntryOffset), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}

/// The offset of an entry in the payload of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryOffset {
    /// The byte of the payload where the entry starts.
    pub offset: u32,
    /// True for a client transfer in a row, which can be read without the rest of its frame.
    pub is_row: bool,
}

impl EntryOffset {
    fn new(offset: usize, is_row: bool) -> Self {
        Self { offset: u32::try_from(offset).expect("JRN-2: a payload is at most 900 KiB"), is_row }
    }
}

/// Collects entries into a frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    started: Option<Started>,
    run: Option<codec::OpenRun>,
    count: u32,
    payload: Encoder,
    scratch: codec::Scratch,
    /// The payload size of the previous frame, as an estimate for the next one.
    bytes_before: usize,
}

#[derive(Debug)]
struct Started {
    context: codec::FrameContext,
    first: Seq,
    base_time: Timestamp,
    shard: ShardId,
}

impl FrameBuilder {
    /// The most bytes that a client's transfer takes. A chain of transfers fits in the current frame if
    /// [`FrameBuilder::payload_bytes_left`] is at least this number times the number of transfers.
    pub const TRANSFER_BYTES_MAX: usize = 224;

    /// Adds an entry. The sequences of a frame's entries have no gaps.
    ///
    /// # Panics
    /// When the entry does not follow the previous one (JRN-1, JRN-4) or does not fit (JRN-2).
    pub fn push(&mut self, entry: &Entry) -> EntryOffset {
        let placed = self.try_push(entry);
        placed.unwrap_or_else(|| panic!("JRN-2: a frame holds at most {PAYLOAD_BYTES_MAX} payload bytes"))
    }

    /// Adds an entry if it fits; otherwise changes nothing, and the caller must finish the frame first.
    ///
    /// # Panics
    /// When the entry does not follow the previous one (JRN-1, JRN-4).
    pub fn try_push(&mut self, entry: &Entry) -> Option<EntryOffset> {
        let header = &entry.header;
        let started = self.started.get_or_insert_with(|| {
            self.payload.bytes.reserve(self.bytes_before);
            let (shard, first, base_time) = (header.shard, header.seq, header.decided_at);
            Started { context: codec::FrameContext::new(shard, first, base_time), first, base_time, shard }
        });
        started.context.expect(header);
        let left = PAYLOAD_BYTES_MAX - self.payload.bytes.len();
        let placed = match codec::transfer_of(entry) {
            Some(transfer) => {
                if left < codec::RUN_HEADER_BYTES_MAX + codec::WIDE_ROW_BYTES {
                    return None;
                }
                let context = &started.context;
                let offset = codec::push_row(header, transfer, context, &mut self.run, &mut self.payload);
                EntryOffset::new(offset, true)
            }
            None => {
                let record = codec::encode_entry(entry, &started.context, &mut self.scratch);
                if left < COUNT_BYTES_MAX + record.len() {
                    if self.count == 0 {
                        self.started = None;
                    }
                    return None;
                }
                if let Some(run) = self.run.take() {
                    run.close(&mut self.payload);
                }
                let offset = self.payload.bytes.len();
                self.payload.counted(record);
                EntryOffset::new(offset, false)
            }
        };
        started.context.follow(header);
        self.count += 1;
        Some(placed)
    }

    /// The current size of the payload in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload.bytes.len()
    }

    /// The number of payload bytes that still fit.
    pub fn payload_bytes_left(&self) -> usize {
        PAYLOAD_BYTES_MAX - self.payload.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frame, or `None` if no entry was added. Leaves the builder empty.
    pub fn finish(&mut self) -> Option<Frame> {
        let Started { first, base_time, shard, .. } = self.started.take()?;
        if let Some(run) = self.run.take() {
            run.close(&mut self.payload);
        }
        let payload = std::mem::take(&mut self.payload.bytes);
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "JRN-2: a frame holds at most {PAYLOAD_BYTES_MAX} payload bytes");
        self.bytes_before = payload.len();
        let count = std::mem::take(&mut self.count);
        Some(Frame { first, count, base_time, shard, payload })
    }
}

/// The size of the length before an entry, in bytes.
const COUNT_BYTES_MAX: usize = 3;
const _: () = assert!(PAYLOAD_BYTES_MAX < 1 << (7 * COUNT_BYTES_MAX));

/// The header fields that only the journal that writes the frame knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) identity: Identity,
    pub(crate) durable: Seq,
    pub(crate) previous: FrameHash,
}

/// The hash that links a frame to the one before it.
pub(crate) type FrameHash = [u8; 32];

/// Writes header and payload into `written`, in their form on disk; returns the hash for the next frame's header.
pub(crate) fn seal(frame: &Frame, binding: &Binding, written: &mut Vec<u8>) -> FrameHash {
    let mut bytes = Encoder::appending(std::mem::take(written));
    bytes.bytes.clear();
    bytes.raw(&MAGIC);
    bytes.u32(0);
    bytes.u32(u32::try_from(frame.payload.len()).expect("JRN-2: a payload is at most 900 KiB"));
    bytes.u32(crc32c::crc32c(&frame.payload));
    bytes.u16(FORMAT_VERSION);
    bytes.u16(frame.shard.get());
    bytes.u32(frame.count);
    bytes.u64(frame.first.get());
    bytes.u64(binding.durable.get());
    bytes.u64(frame.base_time.ns());
    bytes.u128(binding.identity.origin.get());
    bytes.u64(binding.identity.epoch.get());
    bytes.u64(0);
    bytes.raw(&binding.previous);
    bytes.u128(0);
    debug_assert_eq!(bytes.bytes.len(), HEADER_BYTES);
    let checksum = crc32c::crc32c(&bytes.bytes[8..]);
    bytes.bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes.raw(&frame.payload);
    *written = bytes.bytes;
    hash_of(written)
}

/// The hash of a whole written frame.
pub(crate) fn hash_of(written: &[u8]) -> FrameHash {
    *blake3::hash(written.get(8..).unwrap_or_default()).as_bytes()
}

/// A frame header whose checksum matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) payload_crc: u32,
    pub(crate) format: u16,
    pub(crate) shard: ShardId,
    pub(crate) count: u32,
    pub(crate) first: Seq,
    pub(crate) durable: Seq,
    pub(crate) base_time: Timestamp,
    pub(crate) identity: Identity,
    pub(crate) previous: FrameHash,
}

impl ReadHeader {
    pub(crate) fn last(&self) -> Seq {
        Seq::new(self.first.get() + u64::from(self.count) - 1)
    }

    /// The size of header and payload in bytes.
    pub(crate) fn written_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload_bytes) as u64
    }

    pub(crate) fn view<'a>(&self, payload: &'a [u8]) -> FrameView<'a> {
        let Self { first, count, base_time, shard, .. } = *self;
        FrameView { first, count, base_time, shard, payload }
    }
}

/// Reads a header; `None` if the magic, the checksum or a bound is wrong.
pub(crate) fn read_header(bytes: &[u8]) -> Option<ReadHeader> {
    let header = bytes.get(..HEADER_BYTES)?;
    let mut decoder = Decoder::new(header);
    if decoder.array().ok()? != MAGIC || decoder.u32().ok()? != crc32c::crc32c(header.get(8..)?) {
        return None;
    }
    let payload_bytes = usize::try_from(decoder.u32().ok()?).ok()?;
    let payload_crc = decoder.u32().ok()?;
    let format = decoder.u16().ok()?;
    let shard = ShardId::new(decoder.u16().ok()?);
    let count = decoder.u32().ok()?;
    let first = Seq::new(decoder.u64().ok()?);
    let durable = Seq::new(decoder.u64().ok()?);
    let base_time = Timestamp::from_ns(decoder.u64().ok()?);
    let origin = Origin::new(decoder.u128().ok()?);
    let epoch = Epoch::new(decoder.u64().ok()?);
    let _zero = decoder.u64().ok()?;
    let previous = decoder.array().ok()?;
    let bounded =
        payload_bytes <= PAYLOAD_BYTES_MAX && count > 0 && first.get().checked_add(u64::from(count)).is_some();
    bounded.then_some(ReadHeader {
        payload_bytes,
        payload_crc,
        format,
        shard,
        count,
        first,
        durable,
        base_time,
        identity: Identity { origin, epoch },
        previous,
    })
}

/// The written bytes of the frame at `offset`, if header and payload match their checksums.
pub(crate) fn read_whole(content: &[u8], offset: usize) -> Option<(ReadHeader, &[u8])> {
    let rest = content.get(offset..)?;
    let header = read_header(rest)?;
    let written = rest.get(..HEADER_BYTES + header.payload_bytes)?;
    let intact = crc32c::crc32c(written.get(HEADER_BYTES..)?) == header.payload_crc;
    intact.then_some((header, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Frame = Frame {
        first: Seq::new(7),
        count: 2,
        base_time: Timestamp::from_ns(1_000),
        shard: ShardId::new(3),
        payload: Vec::new(),
    };

    fn sealed() -> Vec<u8> {
        let frame = Frame { payload: (0..=255).collect(), ..WRITTEN };
        let identity = Identity { origin: Origin::new(1), epoch: Epoch::new(2) };
        let binding = Binding { identity, durable: Seq::new(6), previous: [9; 32] };
        let mut bytes = vec![1; 9];
        let hash = seal(&frame, &binding, &mut bytes);
        let (header, written) = read_whole(&bytes, 0).expect("a written frame can be read");
        assert_eq!((header.first, header.count, header.shard), (frame.first, frame.count, frame.shard));
        assert_eq!((header.identity, header.durable, header.previous), (identity, Seq::new(6), [9; 32]));
        assert_eq!((header.base_time, header.format), (frame.base_time, FORMAT_VERSION));
        assert_eq!((written, hash_of(written)), (bytes.as_slice(), hash));
        bytes
    }

    #[test]
    fn every_wrong_bit_of_a_written_frame_is_found() {
        let intact = sealed();
        for bit in 0..8 * intact.len() {
            let mut spoilt = intact.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_whole(&spoilt, 0), None, "bit {bit}");
            assert_eq!(hash_of(&spoilt) == hash_of(&intact), bit < 64, "the hash begins after magic and checksum");
        }
    }

    #[test]
    fn a_cut_off_frame_is_none() {
        let intact = sealed();
        for kept in 0..intact.len() {
            assert_eq!(read_whole(&intact[..kept], 0), None, "{kept} bytes");
        }
        assert!(read_whole(&[&intact[..], &[1; 9]].concat(), 0).is_some());
    }
}
