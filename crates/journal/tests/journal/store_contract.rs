//! What [`SegmentStore`] promises, run on a journal and on a copy of one.

use disk::Disk;
use journal::{CopyFault, DurableLog, Fault, FileCopy, FileJournal, Frame, Layout, Reader, SegmentStore, StartAt};
use types::Seq;

use crate::support::{Crashing, Loss, ORIGIN, SHARD, Shelf, chunk, frame, read_all, seqs, small_frame};

/// A store that takes frames.
trait Store: SegmentStore<Disk = Crashing> + Sized {
    /// Opens what is there, or begins.
    fn open(disk: &Crashing) -> Self;

    /// Takes a frame, which is not durable yet.
    fn take(&mut self, frame: &Frame) -> Result<(), Fault>;

    /// Makes durable what was taken.
    fn sync(&mut self) -> Result<(), Fault>;
}

macro_rules! store_contract {
    ($($promise:ident),* $(,)?) => {
        mod of_a_journal {
            $(#[test]
            fn $promise() {
                super::$promise::<super::FileJournal<super::Crashing>>();
            })*
        }

        mod of_a_copy {
            $(#[test]
            fn $promise() {
                super::$promise::<super::Copying>();
            })*
        }
    };
}

store_contract!(
    a_place_is_the_same_in_every_store_and_a_start_can_begin_there,
    readers_see_only_what_is_durable,
    a_mark_covers_what_is_durable,
    after_an_error_every_later_call_fails,
);

fn open_journal<D: Disk>(disk: D, start: Option<StartAt>) -> (FileJournal<D>, Vec<u64>) {
    let mut shown = Vec::new();
    let mut visit = |entry: &engine::Entry, _: journal::Position, _: Option<StartAt>| {
        shown.push(entry.header.seq.get());
        Ok(())
    };
    let opened = FileJournal::open(disk, Layout::TINY, SHARD, || ORIGIN, start, &mut visit);
    (opened.expect("the journal opens").0, shown)
}

impl Store for FileJournal<Crashing> {
    fn open(disk: &Crashing) -> Self {
        open_journal(disk.clone(), None).0
    }

    fn take(&mut self, frame: &Frame) -> Result<(), Fault> {
        self.append(frame)
    }

    fn sync(&mut self) -> Result<(), Fault> {
        DurableLog::sync(self).map(drop)
    }
}

/// A copy and the journal that it is of.
#[derive(Debug)]
struct Copying {
    original: FileJournal<Shelf>,
    copy: FileCopy<Crashing>,
}

impl Store for Copying {
    fn open(disk: &Crashing) -> Self {
        let copy = FileCopy::open(disk.clone(), SHARD).expect("the copy opens");
        Self { original: open_journal(Shelf::default(), None).0, copy }
    }

    fn take(&mut self, frame: &Frame) -> Result<(), Fault> {
        if self.original.durable() < frame.first {
            self.original.append(frame)?;
            self.original.sync()?;
        }
        let reader = self.original.segments();
        let end = reader.durable_end()?;
        while self.copy.wanted() != (end.segment, end.offset) {
            let (segment, offset) = self.copy.wanted();
            let bytes = reader.durable_bytes(segment, offset, 1 << 20)?.unwrap();
            let taken = match bytes.is_empty() {
                true => self.copy.finish_segment(),
                false => self.copy.take(&bytes, Layout::TINY.segment_bytes),
            };
            taken.map_err(|fault| match fault {
                CopyFault::Own(fault) => fault,
                CopyFault::Received { .. } | CopyFault::OtherHistory { .. } => panic!("{fault}"),
            })?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Fault> {
        self.copy.sync().map(drop)
    }
}

impl SegmentStore for Copying {
    type Disk = Crashing;

    fn place(&self) -> StartAt {
        self.copy.place()
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.copy.mark()
    }

    fn segments(&self) -> journal::FileReader<Crashing> {
        self.copy.segments()
    }
}

/// Frames that fill three segments.
fn frames() -> Vec<Frame> {
    let mut next = 1;
    let sizes = [0, 500_000, 0, 700_000, 0, 0, 800_000];
    let frame = |bytes| {
        let frame = if bytes == 0 { small_frame(next, 3) } else { frame(&[chunk(next, bytes)]) };
        next = frame.last().get() + 1;
        frame
    };
    sizes.into_iter().map(frame).collect()
}

fn a_place_is_the_same_in_every_store_and_a_start_can_begin_there<S: Store>() {
    let disk = Crashing::default();
    let mut store = S::open(&disk);
    let mut reference = open_journal(Shelf::default(), None).0;
    let mut places = vec![store.place()];
    for frame in frames() {
        store.take(&frame).unwrap();
        store.sync().unwrap();
        reference.append(&frame).unwrap();
        DurableLog::sync(&mut reference).unwrap();
        let place = store.place();
        assert_eq!(place, reference.place());
        let end = store.segments().durable_end().unwrap();
        assert_eq!((end.seq, end.segment, end.offset), (place.seq, place.segment, place.offset));
        places.push(place);
    }
    assert_eq!(store.place().segment, 3);
    store.mark().unwrap();
    drop(store);
    let last = places[places.len() - 1].seq.get();
    for place in places {
        let (_, shown) = open_journal(disk.restarted(Loss::Everything), Some(place));
        assert_eq!(shown, (place.seq.get() + 1..=last).collect::<Vec<_>>());
    }
}

fn readers_see_only_what_is_durable<S: Store>() {
    let mut store = S::open(&Crashing::default());
    let reader = store.segments();
    let mut last = Seq::ZERO;
    for frame in frames() {
        store.take(&frame).unwrap();
        if store.segments().durable() == last {
            assert!(reader.read(last.next()).unwrap().is_empty());
        }
        store.sync().unwrap();
        last = frame.last();
        assert_eq!(reader.durable(), last);
        assert_eq!(seqs(&read_all(&reader)), (1..=last.get()).collect::<Vec<_>>());
    }
}

fn a_mark_covers_what_is_durable<S: Store>() {
    let disk = Crashing::default();
    let mut store = S::open(&disk);
    store.take(&small_frame(1, 2)).unwrap();
    store.sync().unwrap();
    store.take(&small_frame(3, 1)).unwrap();
    store.mark().unwrap();
    store.mark().unwrap();
    let restarted = disk.restarted(Loss::Everything);
    let marked = FileJournal::marked_before_opening(&restarted).unwrap();
    assert_eq!(marked.map(|(identity, seq)| (identity.origin, seq)), Some((ORIGIN, Seq::new(2))));
    assert_eq!(open_journal(restarted, None).1, [1, 2]);
}

fn after_an_error_every_later_call_fails<S: Store>() {
    type Call<S> = fn(&mut S) -> Result<(), Fault>;
    let take: Call<S> = |store| store.take(&small_frame(4, 1));
    for call in [take, S::sync, |store| {
        // The mark changes with what is durable.
        store.sync()?;
        store.mark()
    }] {
        let disk = Crashing::default();
        let mut store = S::open(&disk);
        let reader = store.segments();
        store.take(&small_frame(1, 2)).unwrap();
        store.sync().unwrap();
        store.take(&small_frame(3, 1)).unwrap();
        disk.fail_after(0);
        call(&mut store).unwrap_err();
        disk.mend();
        for _ in 0..2 {
            for later in [S::sync, S::mark] {
                assert!(matches!(later(&mut store), Err(Fault::Poisoned(_))));
            }
        }
        assert!(take(&mut store).is_err());
        assert_eq!(seqs(&read_all(&reader)), [1, 2], "what is durable can still be read");
    }
}
