//! Segment files: their names, headers and preparation.
//!
//! The name of a segment file is `segment-` and the segment's number in eight digits. The file is filled with zeros
//! before its first use, because syncs of a sparse file are several times slower. It starts with a header of
//! [`HEADER_BYTES`] bytes; frames follow without gaps, then zeros. A segment whose header is all zeros was prepared but
//! not used yet.
//!
//! | offset | bytes | field |
//! | ---: | ---: | --- |
//! | 0 | 8 | magic `FINAJRN` and a zero |
//! | 8 | 4 | format version |
//! | 12 | 2 | shard |
//! | 14 | 2 | zero |
//! | 16 | 16 | origin |
//! | 32 | 8 | epoch |
//! | 40 | 8 | number of the segment |
//! | 48 | 8 | sequence of the first entry |
//! | 56 | 8 | bytes of the segment file |
//! | 64 | 32 | hash of the last frame of the segment before |
//! | 96 | 4 | CRC-32C of bytes 0 to 95 |

use std::io;

use types::{Epoch, Origin, Seq, ShardId};

use crate::bytes::{Decoder, Encoder};
use crate::fault::Fault;
use crate::frame::{FORMAT_VERSION, FrameHash};
use crate::identity::Identity;
use disk::{Disk, DiskFile};

/// Bytes before the first frame: one block of the disk.
pub(crate) const HEADER_BYTES: u64 = 4096;
const MAGIC: [u8; 8] = *b"FINAJRN\0";
const CHECKED_BYTES: usize = 96;
/// The used bytes of the header, including the checksum.
pub(crate) const HEADER_BYTES_USED: usize = CHECKED_BYTES + 4;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The fields of a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) shard: ShardId,
    pub(crate) identity: Identity,
    pub(crate) number: u64,
    pub(crate) first: Seq,
    pub(crate) bytes: u64,
    pub(crate) previous: FrameHash,
}

pub(crate) fn file_name(number: u64) -> String {
    format!("segment-{number:08}")
}

/// The number in the name of a segment's file.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("segment-").filter(|digits| digits.len() == 8)?.parse().ok()
}

/// The numbers of a directory's segments, in ascending order.
pub(crate) fn numbers(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// Writes a segment full of zeros and makes it survive a crash.
pub(crate) fn prepare<D: Disk>(disk: &D, number: u64, bytes: u64) -> io::Result<()> {
    let file = disk.create(&file_name(number))?;
    write_zeros(&file, 0, bytes)?;
    file.sync()?;
    disk.sync_directory()
}

/// Prepares a segment, unless an earlier run has already prepared all of it.
pub(crate) fn ensure_prepared<D: Disk>(disk: &D, number: u64, bytes: u64) -> io::Result<()> {
    match disk.open(&file_name(number))? {
        Some(file) if file.len()? >= bytes => Ok(()),
        Some(_) | None => prepare(disk, number, bytes),
    }
}

/// Overwrites a range with zeros.
pub(crate) fn write_zeros(file: &impl DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < to {
        let count = (to - offset).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())], offset)?;
        offset += count;
    }
    Ok(())
}

/// Encodes the header.
pub(crate) fn encode_header(header: &SegmentHeader) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.raw(&MAGIC);
    encoder.u32(u32::from(FORMAT_VERSION));
    encoder.u16(header.shard.get());
    encoder.u16(0);
    encoder.u128(header.identity.origin.get());
    encoder.u64(header.identity.epoch.get());
    encoder.u64(header.number);
    encoder.u64(header.first.get());
    encoder.u64(header.bytes);
    encoder.raw(&header.previous);
    let checksum = crc32c::crc32c(&encoder.bytes);
    encoder.u32(checksum);
    encoder.bytes
}

/// What the first bytes of a segment contain.
pub(crate) enum HeaderFound {
    /// All zeros: prepared but not used.
    Unused,
    /// A valid header of a version that this release reads.
    Used(SegmentHeader),
    /// Anything else.
    Damaged,
}

/// The identity in the header of the directory's last used segment.
pub(crate) fn last_identity<D: Disk>(disk: &D, shard: ShardId) -> Result<Option<Identity>, Fault> {
    let listed = disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
    for number in numbers(&listed).into_iter().rev() {
        let name = file_name(number);
        let opened = disk.open(&name).map_err(|cause| Fault::Io { action: "open", file: name.clone(), cause })?;
        let Some(file) = opened else { continue };
        if let HeaderFound::Used(header) = read_header(&file, &name, shard)? {
            return Ok(Some(header.identity));
        }
    }
    Ok(None)
}

/// The shard in the header of the directory's first segment with an intact header.
pub(crate) fn first_shard<D: Disk>(disk: &D) -> Result<Option<ShardId>, Fault> {
    let listed = disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
    for number in numbers(&listed) {
        let name = file_name(number);
        let fault = |action| {
            let file = name.clone();
            move |cause| Fault::Io { action, file, cause }
        };
        let Some(file) = disk.open(&name).map_err(fault("open"))? else { continue };
        let mut bytes = [0_u8; HEADER_BYTES_USED];
        let count = file.read_at(&mut bytes, 0).map_err(fault("read"))?;
        if let Some(shard) = bytes.get(..count).and_then(shard_of) {
            return Ok(Some(shard));
        }
    }
    Ok(None)
}

pub(crate) fn read_header(file: &impl DiskFile, name: &str, shard: ShardId) -> Result<HeaderFound, Fault> {
    let io_fault = |cause| Fault::Io { action: "read", file: name.to_owned(), cause };
    let mut bytes = [0_u8; HEADER_BYTES_USED];
    let count = file.read_at(&mut bytes, 0).map_err(io_fault)?;
    decode_header(bytes.get(..count).unwrap_or_default(), name, shard)
}

/// Decodes the first bytes of a segment.
pub(crate) fn decode_header(bytes: &[u8], name: &str, shard: ShardId) -> Result<HeaderFound, Fault> {
    let mut used = [0_u8; HEADER_BYTES_USED];
    let count = bytes.len().min(used.len());
    used[..count].copy_from_slice(&bytes[..count]);
    let bytes = used;
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(HeaderFound::Unused);
    }
    let parsed = (count == bytes.len()).then(|| parse(&bytes)).flatten();
    let Some((format, header)) = parsed else { return Ok(HeaderFound::Damaged) };
    if format > u32::from(FORMAT_VERSION) {
        return Err(Fault::FormatVersion { file: name.to_owned(), found: format, expected: u32::from(FORMAT_VERSION) });
    }
    if header.shard != shard {
        return Err(Fault::OtherShard { file: name.to_owned(), found: header.shard.get(), expected: shard.get() });
    }
    Ok(HeaderFound::Used(header))
}

/// The shard in the header, if the header is intact.
pub(crate) fn shard_of(bytes: &[u8]) -> Option<ShardId> {
    parse(bytes).map(|(_, header)| header.shard)
}

fn parse(bytes: &[u8]) -> Option<(u32, SegmentHeader)> {
    let mut decoder = Decoder::new(bytes);
    let magic: [u8; 8] = decoder.array().ok()?;
    let format = decoder.u32().ok()?;
    let shard = ShardId::new(decoder.u16().ok()?);
    let _zero = decoder.u16().ok()?;
    let origin = Origin::new(decoder.u128().ok()?);
    let epoch = Epoch::new(decoder.u64().ok()?);
    let number = decoder.u64().ok()?;
    let first = Seq::new(decoder.u64().ok()?);
    let bytes_total = decoder.u64().ok()?;
    let previous = decoder.array().ok()?;
    let checksum = decoder.u32().ok()?;
    let intact = magic == MAGIC && checksum == crc32c::crc32c(bytes.get(..CHECKED_BYTES)?);
    let header =
        SegmentHeader { shard, identity: Identity { origin, epoch }, number, first, bytes: bytes_total, previous };
    intact.then_some((format, header))
}
