//! Reads by position, starts at a place, and the number of open files.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::{Directory, Disk, DiskFile};
use engine::{Entry, Fact, LabelRecorded};
use features::{RecordChange, StreamId, Update};
use journal::{
    CanonicalRun, DurableLog, Fault, FileJournal, FileReader, FrameAt, FrameBuilder, Layout, Position, Reader,
    SegmentStore, StartAt, canonical,
};
use ledger::Transfer;
use types::{PaymentId, Seq, Timestamp, Token};

use crate::support::{Folder, ORIGIN, SHARD, chunk, read_all, seqs, small};

/// Three segments of rows and other entries.
struct Written {
    folder: Folder,
    entries: Vec<Entry>,
    positions: Vec<Position>,
    /// The places where a start can begin: before each frame and after the last.
    places: Vec<StartAt>,
}

fn written() -> Written {
    let folder = Folder::new();
    let mut journal = folder.open().journal;
    let (mut entries, mut positions, mut places) = (Vec::new(), Vec::new(), vec![journal.place()]);
    let sizes = [3, 1, 0, 2, 850, 5, 300, 850, 1, 4];
    for size in sizes {
        let first = entries.len() as u64 + 1;
        let mut new: Vec<Entry> = (first..first + 4).map(small).collect();
        new[1] = chunk(first + 1, size * 1024);
        new[3].fact = label(size);
        let mut builder = FrameBuilder::default();
        let placed: Vec<_> = new.iter().map(|entry| builder.push(entry)).collect();
        let frame = builder.finish().unwrap();
        journal.append(&frame).unwrap();
        journal.sync().unwrap();
        let at = FrameAt::before(journal.place(), &frame);
        positions.extend(placed.into_iter().map(|placed| at.position(placed)));
        entries.extend(new);
        places.push(journal.place());
    }
    journal.mark().unwrap();
    drop(journal);
    assert!(folder.path("segment-00000003").is_file());
    assert!(positions.is_sorted());
    Written { folder, entries, positions, places }
}

/// A label of a payment with this many updates, so that its record takes one or several reads.
fn label(updates: usize) -> Fact {
    let update = |number| Update {
        stream: StreamId::new(1),
        entity: Token::new(number as u128),
        at: Timestamp::ZERO,
        seq: Seq::new(1),
        change: RecordChange::Label { positive: true },
    };
    let label = "fraud".parse().unwrap();
    let updates = (0..updates).map(update).collect();
    Fact::LabelRecorded(LabelRecorded { payment: PaymentId::new(7), label, positive: true, updates })
}

fn transfer(entry: &Entry) -> Option<Transfer> {
    let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &entry.fact else { return None };
    Some(*transfer)
}

#[test]
fn a_start_shows_every_entry_with_its_position() {
    let Written { folder, entries, positions, .. } = written();
    let opened = folder.open();
    assert_eq!(opened.entries, entries);
    assert_eq!(opened.positions, positions);
}

#[track_caller]
fn check_reads_by_position(reader: &FileReader<Directory>, entries: &[Entry], positions: &[Position]) {
    for (entry, &position) in entries.iter().zip(positions) {
        assert_eq!(&reader.entry_at(position).unwrap(), entry);
        assert_eq!(position.is_row(), transfer(entry).is_some());
        let is_of_payment =
            matches!(entry.fact, Fact::PaymentDecided(_) | Fact::PaymentChanged(_) | Fact::LabelRecorded(_));
        assert_eq!(reader.alone_at(position).unwrap().as_ref(), Some(entry).filter(|_| is_of_payment));
        if position.is_row() {
            assert_eq!(Some(reader.transfer_at(position).unwrap()), transfer(entry));
        }
    }
}

#[test]
fn an_entry_is_read_by_its_position_alone() {
    let Written { folder, entries, positions, .. } = written();
    // With three readers: one of a journal that is not open yet, one of a journal that scanned everything, and one of a
    // journal that started at the end.
    let before = FileReader::before_opening(folder.directory(), SHARD);
    check_reads_by_position(&before, &entries, &positions);
    assert!(before.read(Seq::new(1)).unwrap().is_empty());
    drop(before);
    let opened = folder.open();
    check_reads_by_position(&opened.journal.reader(), &entries, &positions);
    let between = Position::new(1, positions[0].offset() + 1, false);
    assert!(matches!(opened.journal.reader().entry_at(between), Err(Fault::Damaged { .. })));
}

#[test]
fn an_entry_is_read_by_its_sequence_alone() {
    let Written { folder, entries, .. } = written();
    let reader = folder.open().journal.reader();
    for entry in &entries {
        assert_eq!(reader.entry(entry.header.seq).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(reader.entry(Seq::ZERO).unwrap(), None);
    assert_eq!(reader.entry(reader.durable().next()).unwrap(), None, "it is not durable");
}

#[test]
fn a_start_may_begin_at_any_place() {
    let Written { folder, entries, positions, places } = written();
    let [last_segment, mark] = ["segment-00000003", "mark"].map(|name| folder.read(name));
    for start in places {
        let skipped = usize::try_from(start.seq.get()).unwrap();
        let mut opened = folder.try_open_at(start).unwrap();
        assert_eq!(opened.entries, entries[skipped..]);
        assert_eq!(opened.positions, positions[skipped..]);
        assert!(positions[..skipped].iter().all(|&position| position < start.position()));
        assert!(positions[skipped..].iter().all(|&position| position >= start.position()));
        assert_eq!((opened.recovered.last.get(), &opened.recovered.torn), (entries.len() as u64, &None));
        // The skipped entries are still readable, and the journal continues.
        let reader = opened.journal.reader();
        assert_eq!(read_all(&reader), entries);
        check_reads_by_position(&reader, &entries, &positions);
        assert_eq!(opened.journal.identity().origin, ORIGIN);
        let next = entries.len() as u64 + 1;
        let mut builder = FrameBuilder::default();
        builder.push(&small(next));
        opened.journal.append(&builder.finish().unwrap()).unwrap();
        assert_eq!(reader.durable().get(), next - 1);
        drop((opened, reader));
        folder.write("segment-00000003", &last_segment);
        folder.write("mark", &mark);
    }
}

#[test]
fn a_start_refuses_a_place_that_is_not_in_the_journal() {
    let Written { folder, places, .. } = written();
    let intact = folder.read("segment-00000002");
    for &place in &places[1..] {
        let wrong = [
            StartAt { seq: place.seq.next(), ..place },
            StartAt { seq: Seq::new(place.seq.get() - 1), ..place },
            StartAt { offset: place.offset + 1, ..place },
            StartAt { offset: place.offset - 1, ..place },
            StartAt { segment: place.segment + 1, ..place },
            StartAt { previous: [7; 32], ..place },
        ];
        for wrong in wrong {
            let opened = folder.try_open_at(wrong);
            assert!(matches!(opened, Err(Fault::Damaged { .. })), "{wrong:?}");
        }
    }
    // Opening checks the headers of the skipped part and the frame before the place.
    let last = places[places.len() - 1];
    for (at, byte) in intact.iter().enumerate().take(100) {
        folder.overwrite("segment-00000002", at, &[byte ^ 1]);
        let opened = folder.try_open_at(last).map(|opened| opened.recovered);
        assert!(matches!(&opened, Err(Fault::Damaged { file, .. }) if file == "segment-00000002"), "{opened:?}");
        folder.overwrite("segment-00000002", at, &[*byte]);
    }
    folder.change("segment-00000003", |bytes| bytes[usize::try_from(last.offset).unwrap() - 1] ^= 1);
    assert!(matches!(folder.try_open_at(last), Err(Fault::Damaged { .. })));
}

#[test]
fn a_start_tells_damage_from_a_torn_tail_after_its_place() {
    let Written { folder, entries, positions, places } = written();
    let start = places[places.len() - 3];
    let intact = folder.read("segment-00000003");
    // With a mark it is damage. Without one it is a torn tail.
    let end = usize::try_from(positions[positions.len() - 1].offset()).unwrap() + 111;
    folder.overwrite("segment-00000003", end, &[intact[end] ^ 1]);
    assert!(matches!(folder.try_open_at(start), Err(Fault::Damaged { .. })));
    folder.overwrite("segment-00000003", end, &[intact[end]]);
    let mut opened = folder.try_open_at(start).unwrap();
    let mark = folder.read("mark");
    let next = entries.len() as u64 + 1;
    let mut builder = FrameBuilder::default();
    builder.push(&small(next));
    opened.journal.append(&builder.finish().unwrap()).unwrap();
    drop(opened);
    folder.write("mark", &mark);
    let torn_at = usize::try_from(places[places.len() - 1].offset).unwrap();
    folder.change("segment-00000003", |bytes| bytes[torn_at + 150] ^= 1);
    let opened = folder.try_open_at(start).unwrap();
    assert_eq!(opened.recovered.torn.map(|torn| torn.offset), Some(torn_at as u64));
    assert_eq!(opened.recovered.last.get(), next - 1);
}

#[test]
fn every_wrong_bit_of_a_row_is_found() {
    let Written { folder, positions, .. } = written();
    let reader = FileReader::before_opening(folder.directory(), SHARD);
    let intact = folder.read("segment-00000001");
    let row = *positions.iter().rfind(|position| position.is_row() && position.segment() == 1).unwrap();
    let from = usize::try_from(row.offset()).unwrap();
    for (at, byte) in intact.iter().enumerate().skip(from).take(112) {
        for bit in 0..8 {
            folder.overwrite("segment-00000001", at, &[byte ^ (1 << bit)]);
            let read = reader.transfer_at(row);
            assert!(matches!(read, Err(Fault::Damaged { .. })), "{at} {bit}: {read:?}");
        }
        folder.overwrite("segment-00000001", at, &[*byte]);
    }
    reader.transfer_at(row).unwrap();
}

#[test]
fn transfers_between_two_positions_are_shown_in_order() {
    let Written { folder, entries, positions, places } = written();
    let opened = folder.try_open_at(places[5]).unwrap();
    let reader = opened.journal.reader();
    let mut bounds: Vec<Position> = positions.clone();
    bounds.extend(places.iter().map(StartAt::position));
    bounds.sort_unstable();
    for &from in &bounds {
        for &to in &bounds {
            let mut shown = BTreeMap::new();
            let mut note = |position, transfer: &Transfer| {
                assert_eq!(shown.insert(position, *transfer), None);
                Ok(())
            };
            reader.rows(from, to, &mut note).unwrap();
            let expected = positions.iter().zip(&entries).filter(|&(&position, _)| position >= from && position < to);
            let expected: BTreeMap<_, _> =
                expected.filter_map(|(&position, entry)| Some((position, transfer(entry)?))).collect();
            assert_eq!(shown, expected, "{from:?} to {to:?}");
        }
    }
    let past = Position::new(3, places[10].offset + 1, false);
    assert!(reader.rows(positions[0], past, &mut |_, _| Ok(())).is_err(), "there is no frame");
    // A missing frame in the middle is not taken for the end of its segment.
    let at = usize::try_from(places[3].offset).unwrap();
    folder.change("segment-00000001", |bytes| bytes[at] ^= 1);
    let to = *positions.last().unwrap();
    assert!(matches!(reader.rows(positions[0], to, &mut |_, _| Ok(())), Err(Fault::Damaged { .. })));
}

/// A directory that counts its open files.
#[derive(Debug, Clone)]
struct Counting {
    inner: Directory,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountedFile {
    inner: std::fs::File,
    open: Arc<AtomicUsize>,
}

impl Counting {
    fn count(&self, inner: std::fs::File) -> CountedFile {
        let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        CountedFile { inner, open: Arc::clone(&self.open) }
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Disk for Counting {
    type File = CountedFile;

    fn open(&self, name: &str) -> io::Result<Option<CountedFile>> {
        Ok(self.inner.open(name)?.map(|file| self.count(file)))
    }

    fn create(&self, name: &str) -> io::Result<CountedFile> {
        Ok(self.count(self.inner.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        DiskFile::read_at(&self.inner, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        DiskFile::write_at(&self.inner, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        DiskFile::sync(&self.inner)
    }

    fn len(&self) -> io::Result<u64> {
        DiskFile::len(&self.inner)
    }
}

#[test]
fn few_files_are_open_for_many_segments() {
    let folder = Folder::new();
    let disk = Counting { inner: folder.directory(), open: Arc::default(), most: Arc::default() };
    let opened = FileJournal::open(disk.clone(), Layout::TINY, SHARD, || ORIGIN, None, &mut |_, _, _| Ok(()));
    let mut journal = opened.unwrap().0;
    let mut positions = Vec::new();
    for seq in 1..=80 {
        let mut builder = FrameBuilder::default();
        let placed = builder.push(&chunk(seq, 850 * 1024));
        let frame = builder.finish().unwrap();
        journal.append(&frame).unwrap();
        journal.sync().unwrap();
        positions.push(FrameAt::before(journal.place(), &frame).position(placed));
    }
    assert_eq!(positions[79].segment(), 80);
    let reader = journal.reader();
    for round in [positions.clone(), positions.iter().rev().copied().collect()] {
        for (seq, position) in round.into_iter().enumerate() {
            reader.entry_at(position).unwrap_or_else(|fault| panic!("{seq}: {fault}"));
        }
    }
    // The readers' files, the file that is being written, and the mark.
    assert!((64..=66).contains(&disk.open.load(Ordering::SeqCst)));
    assert!(disk.most.load(Ordering::SeqCst) <= 68, "{disk:?}");
    assert_eq!(seqs(&read_all(&reader)), (1..=80).collect::<Vec<_>>());
}

#[test]
fn canonical_runs_contain_the_encodings_of_the_entries() {
    let Written { folder, entries, .. } = written();
    let mut opened = folder.open();
    // Appended entries are not shown before they are durable.
    let mut builder = FrameBuilder::default();
    builder.push(&small(entries.len() as u64 + 1));
    opened.journal.append(&builder.finish().unwrap()).unwrap();
    let reader = opened.journal.reader();
    let mut run = CanonicalRun::default();
    for (from, enough) in (0..=entries.len()).flat_map(|from| [1, 5, 1_000].map(|enough| (from, enough))) {
        let mut read = Vec::new();
        loop {
            let next = Seq::new((from.max(1) + read.len()) as u64);
            reader.canonical(next, enough, &mut run).unwrap();
            if run.is_empty() {
                break;
            }
            assert_eq!((run.first(), run.iter().count()), (next, run.len()));
            assert!(run.len() < enough + 4, "no frame more than it takes");
            read.extend(run.iter().map(<[u8]>::to_vec));
        }
        let expected: Vec<_> = entries[from.saturating_sub(1)..].iter().map(canonical).collect();
        assert!(read == expected, "from {from}, {enough} at once");
    }
}
