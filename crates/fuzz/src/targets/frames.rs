//! Data on disk: the entries of a frame, and whole journals.

use std::sync::OnceLock;

use disk::{Disk, DiskFile};
use engine::{Entry, Fact, Header};
use journal::{DurableLog, FileJournal, Frame, FrameBuilder, Layout, PAYLOAD_BYTES_MAX, Reader, SegmentStore};
use sim::SimDisk;
use types::{Origin, Seq, Timestamp};

use crate::desk::{HISTORY, SHARD, past};
use crate::{Verdict, check_line};

/// The input starts with the count of entries (4 bytes), the first sequence (8) and the base time (8), before the
/// payload.
const FRAME_HEAD_BYTES: usize = 20;

/// The payload of a frame. Decoded entries must encode to a form that decodes to the same entries and encodes to
/// itself.
pub(super) fn entries(bytes: &[u8]) -> Verdict {
    let Some(frame) = frame(bytes) else { return Verdict::no_input() };
    let entries = match frame.entries() {
        Ok(entries) => entries,
        Err(error) => return check_line(error),
    };
    assert_eq!(entries.len(), frame.count as usize, "the number of entries matches the frame's count");
    let placed: Vec<_> = frame.iter().map(|read| read.expect("the entry was read before").1.offset).collect();
    assert!(placed.is_sorted(), "entries are in order of offset");
    let frames = framed(&entries);
    let again: Vec<Entry> =
        frames.iter().flat_map(|frame| frame.entries().expect("encoded frames can be read")).collect();
    assert!(again == entries, "entries read back unchanged");
    assert!(framed(&again) == frames, "entries have one encoding");
    for entry in &entries {
        assert!(!journal::canonical(entry).is_empty() && !journal::kind_name(entry).is_empty());
    }
    Verdict::Accepted
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let (head, payload) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let (count, rest) = head.split_first_chunk::<4>()?;
    let (first, at) = rest.split_first_chunk::<8>()?;
    let (count, first) = (u32::from_le_bytes(*count), u64::from_le_bytes(*first));
    let base_time = Timestamp::from_ns(u64::from_le_bytes(*at.first_chunk()?));
    // A reader checks these properties of a frame's header before it reads the payload.
    let bounded = count > 0 && first.checked_add(u64::from(count)).is_some() && payload.len() <= PAYLOAD_BYTES_MAX;
    bounded.then(|| Frame { first: Seq::new(first), count, base_time, shard: SHARD, payload: payload.to_vec() })
}

fn framed(entries: &[Entry]) -> Vec<Frame> {
    let mut builder = FrameBuilder::default();
    let mut frames = Vec::new();
    for entry in entries {
        if builder.try_push(entry).is_none() {
            frames.extend(builder.finish());
            builder.push(entry);
        }
    }
    frames.extend(builder.finish());
    frames
}

pub(super) fn entry_seeds() -> Vec<(String, Vec<u8>)> {
    let seed = |frame: &Frame| {
        let head =
            [&frame.count.to_le_bytes()[..], &frame.first.get().to_le_bytes(), &frame.base_time.ns().to_le_bytes()];
        [&head.concat(), &frame.payload[..]].concat()
    };
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    // One frame for each kind of entry, and one frame with all entries.
    for entry in &past().entries {
        let name = journal::kind_name(entry).to_owned();
        if seeds.iter().all(|(known, _)| *known != name) {
            seeds.extend(framed(std::slice::from_ref(entry)).iter().map(|frame| (name.clone(), seed(frame))));
        }
    }
    seeds.extend(framed(&past().entries).iter().map(|frame| ("all".to_owned(), seed(frame))));
    seeds
}

const MARK_SLOT_BYTES: usize = 48;
const MARK_STRIDE_BYTES: usize = 4096;
const SEGMENT_HEADER_BYTES: usize = 4096;
const SEGMENT_HEADER_USED_BYTES: usize = 100;
const FRAME_HEADER_BYTES: usize = 128;
const FRAME_MAGIC: &[u8] = b"FNF1";
/// Limits the size of an input, so that each run is fast.
const SEGMENTS_MAX: usize = 4;

/// The files of a journal. The first byte tells whether to correct the checksums, so that the code behind the checks is
/// reached. Then follow the two slots of the mark, and each segment as its length (4 bytes), the used part of its
/// header, and its frames.
///
/// Every input either opens or is rejected. A journal that opens has entries without gaps, reads the same again, and
/// accepts new entries.
pub(super) fn journal(bytes: &[u8]) -> Verdict {
    let Some(disk) = disk(bytes) else { return Verdict::no_input() };
    let (entries, reader) = match open(&disk) {
        Ok(opened) => opened,
        Err(complaint) => return check_line(complaint),
    };
    assert!(
        entries.iter().map(|entry| entry.header.seq.get()).eq(1..=entries.len() as u64),
        "JRN-1: after any damage, sequences have no gaps"
    );
    let mut read: Vec<Entry> = Vec::new();
    loop {
        let page = reader.read(Seq::new(read.len() as u64 + 1)).expect("entries that a start accepted can be read");
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert!(read == entries, "reading gives the entries that the start saw");
    drop(reader);
    let (again, _) = open(&disk).expect("a journal that opened opens again");
    assert!(again == entries, "a second start sees the same entries as the first");
    go_on(&disk, entries);
    Verdict::Accepted
}

type Opened = (Vec<Entry>, journal::FileReader<SimDisk>);

fn open(disk: &SimDisk) -> Result<Opened, journal::Fault> {
    let mut entries = Vec::new();
    let (journal, recovered) = open_with(disk, &mut entries)?;
    assert_eq!(recovered.last.get(), entries.len() as u64, "the reported last entry is the last one visited");
    Ok((entries, journal.reader()))
}

fn open_with(
    disk: &SimDisk,
    entries: &mut Vec<Entry>,
) -> Result<(FileJournal<SimDisk>, journal::Recovered), journal::Fault> {
    let mut visit = |entry: &Entry, _: journal::Position, _: Option<journal::StartAt>| {
        entries.push(entry.clone());
        Ok(())
    };
    FileJournal::open(disk.clone(), Layout::TINY, SHARD, || HISTORY.origin, None, &mut visit)
}

/// Checks that an appended entry is there after the next start.
fn go_on(disk: &SimDisk, mut entries: Vec<Entry>) {
    let mut shown = Vec::new();
    let (mut journal, _) = open_with(disk, &mut shown).expect("a journal that opened opens again");
    let at = entries.last().map_or(Timestamp::ZERO, |last| last.header.decided_at);
    let header = Header {
        shard: SHARD,
        seq: Seq::new(entries.len() as u64 + 1),
        tenant: types::TenantId::new(1),
        actor: types::ActorId::new(1),
        request: types::RequestId::new(1),
        decided_at: at,
        occurred_at: at,
    };
    let entry = Entry { header, fact: Fact::JournalStarted { origin: Origin::new(5) }, sealed: None };
    for frame in framed(std::slice::from_ref(&entry)) {
        journal.append(&frame).expect("the disk has room");
    }
    journal.sync().expect("the disk works");
    journal.mark().expect("the disk works");
    drop(journal);
    entries.push(entry);
    let (again, _) = open(disk).expect("a journal that was written to opens again");
    assert!(again == entries, "the appended entry is there after the next start");
}

fn disk(bytes: &[u8]) -> Option<SimDisk> {
    let (mend, rest) = bytes.split_first()?;
    let mend = mend & 1 != 0;
    let (slots, mut rest) = rest.split_first_chunk::<{ 2 * MARK_SLOT_BYTES }>()?;
    let disk = SimDisk::default();
    let mut mark = vec![0; MARK_STRIDE_BYTES + MARK_SLOT_BYTES];
    for (slot, at) in slots.as_chunks::<MARK_SLOT_BYTES>().0.iter().zip([0, MARK_STRIDE_BYTES]) {
        let mut slot = *slot;
        if mend && slot != [0; MARK_SLOT_BYTES] {
            let checksum = crc32c::crc32c(&slot[8..]);
            slot[4..8].copy_from_slice(&checksum.to_le_bytes());
        }
        mark[at..at + MARK_SLOT_BYTES].copy_from_slice(&slot);
    }
    put(&disk, "mark", &mark);
    let mut previous = [0; 32];
    for number in 1..=SEGMENTS_MAX {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { break };
        let length = (u32::from_le_bytes(*length) as usize).min(after.len());
        let (segment, after) = after.split_at(length);
        rest = after;
        let (header, frames) = segment.split_at(length.min(SEGMENT_HEADER_USED_BYTES));
        let mut file = header.to_vec();
        file.resize(SEGMENT_HEADER_BYTES, 0);
        if mend && header.len() == SEGMENT_HEADER_USED_BYTES {
            file[64..96].copy_from_slice(&previous);
            let checksum = crc32c::crc32c(&file[..96]);
            file[96..100].copy_from_slice(&checksum.to_le_bytes());
        }
        file.extend_from_slice(frames);
        // A segment file is longer than its frames.
        file.resize(file.len() + FRAME_HEADER_BYTES, 0);
        if mend {
            mend_frames(&mut file, &mut previous);
        }
        put(&disk, &format!("segment-{number:08}"), &file);
    }
    disk.sync_directory().expect("the disk works");
    Some(disk)
}

/// Corrects the checksums and the chain of everything that is where a frame should be.
fn mend_frames(file: &mut [u8], previous: &mut [u8; 32]) {
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(header) = file.get_mut(at..at + FRAME_HEADER_BYTES)
        && header.iter().any(|&byte| byte != 0)
    {
        let length = header[8..12].first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        header[..4].copy_from_slice(FRAME_MAGIC);
        header[80..112].copy_from_slice(previous);
        let Some(written) = file.get_mut(at..).and_then(|rest| rest.get_mut(..FRAME_HEADER_BYTES + length)) else {
            break;
        };
        let checksum = crc32c::crc32c(&written[FRAME_HEADER_BYTES..]);
        written[12..16].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&written[8..FRAME_HEADER_BYTES]);
        written[4..8].copy_from_slice(&checksum.to_le_bytes());
        *previous = *blake3::hash(&written[8..]).as_bytes();
        at += written.len();
    }
}

fn put(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let file = disk.create(name).expect("the disk works");
    file.write_at(bytes, 0).expect("the disk works");
    file.sync().expect("the disk works");
}

fn contents(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).expect("the disk works")?;
    let mut bytes = vec![0; usize::try_from(file.len().expect("the disk works")).expect("it is in memory")];
    file.read_at(&mut bytes, 0).expect("the disk works");
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Some(bytes)
}

/// A journal with the whole past, one whose last frame is torn, and one without entries. Each comes with and without
/// corrected checksums.
pub(super) fn journal_seeds() -> Vec<(String, Vec<u8>)> {
    static SEEDS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SEEDS
        .get_or_init(|| {
            let marked = written(&past().entries, 3, true);
            let mut torn = written(&past().entries, 3, false);
            torn.truncate(torn.len() - 9);
            let mut seeds = Vec::new();
            for (name, bytes) in [("past", marked), ("torn", torn), ("empty", written(&[], 1, false))] {
                for (form, mend) in [("as-it-is", 0), ("mended", 1)] {
                    if (name, mend) == ("torn", 1) {
                        // With corrected checksums, a torn frame would be a complete frame that cannot be decoded.
                        continue;
                    }
                    seeds.push((format!("{name}-{form}"), [&[mend], &bytes[..]].concat()));
                }
            }
            seeds
        })
        .clone()
}

/// The files of a journal with these entries, `in_a_frame` entries per frame, in the form of an input. If `marked`, the
/// mark covers the last entry.
fn written(entries: &[Entry], in_a_frame: usize, marked: bool) -> Vec<u8> {
    let disk = SimDisk::default();
    let (mut journal, _) = open_with(&disk, &mut Vec::new()).expect("an empty journal opens");
    for entries in entries.chunks(in_a_frame) {
        for frame in framed(entries) {
            journal.append(&frame).expect("the disk works");
        }
        journal.sync().expect("the disk works");
    }
    if marked {
        journal.mark().expect("the disk works");
    }
    drop(journal);
    let mut mark = contents(&disk, "mark").unwrap_or_default();
    mark.resize(MARK_STRIDE_BYTES + MARK_SLOT_BYTES, 0);
    let mut input = [&mark[..MARK_SLOT_BYTES], &mark[MARK_STRIDE_BYTES..]].concat();
    for number in 1..=SEGMENTS_MAX {
        let Some(mut file) = contents(&disk, &format!("segment-{number:08}")).filter(|file| !file.is_empty()) else {
            break;
        };
        if file.len() > SEGMENT_HEADER_BYTES {
            file.drain(SEGMENT_HEADER_USED_BYTES..SEGMENT_HEADER_BYTES);
        }
        input.extend_from_slice(&u32::try_from(file.len()).expect("a small file").to_le_bytes());
        input.extend_from_slice(&file);
    }
    input
}
