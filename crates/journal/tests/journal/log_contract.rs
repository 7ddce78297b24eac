//! Tests of the [`DurableLog`] contract, run on each implementation.

use disk::{Directory, DirectoryError};
use journal::{DurableLog, Fault, FileJournal, Identity, Layout, MemoryJournal, MemoryLog, Reader};
use types::{Epoch, Seq};

use crate::support::{Crashing, Folder, Loss, ORIGIN, SHARD, chunk, frame, read_all, seqs, small, small_frame};

/// The part of a log that survives its writers.
trait Home: Sized {
    type Log: DurableLog;

    /// An empty log.
    fn empty() -> Self;

    /// Claims the log; `None` while the previous writer still holds it.
    fn try_claim(&self) -> Option<Self::Log>;

    fn claim(&self) -> Self::Log {
        self.try_claim().expect("no other writer holds the log")
    }
}

/// A log whose writers can be made to fail.
trait Failing: Home {
    /// Makes the writer's next call fail.
    fn fail(&self);

    /// Removes the cause of the failure.
    fn mend(&self);

    /// The log as the next start finds it after a crash. A log may lose unsynced entries in several ways; the number
    /// selects one.
    fn crashed(&self, way: u64) -> Self;
}

/// Runs the contract's tests on each of these homes.
macro_rules! log_contract {
    ($($name:ident: $home:ty = [$($promise:ident),* $(,)?];)*) => {
        $(mod $name {
            use super::*;

            $(#[test]
            fn $promise() {
                super::$promise(<$home>::empty());
            })*
        })*
    };
}

log_contract!(
    memory: MemoryLog = [
        a_fresh_log_is_empty,
        readers_see_only_durable_entries,
        a_sync_without_anything_new_changes_nothing,
        reads_return_pages_from_any_entry_on,
        readers_see_entries_as_they_become_durable,
        frames_come_in_order,
        two_writers_never_append_to_the_same_end,
        after_an_error_every_later_call_fails,
        durable_entries_survive_a_crash,
    ];
    file: Folder = [
        a_fresh_log_is_empty,
        readers_see_only_durable_entries,
        a_sync_without_anything_new_changes_nothing,
        reads_return_pages_from_any_entry_on,
        readers_see_entries_as_they_become_durable,
        frames_come_in_order,
        two_writers_never_append_to_the_same_end,
    ];
    file_on_a_disk_that_fails: Crashing = [
        after_an_error_every_later_call_fails,
        durable_entries_survive_a_crash,
    ];
);

impl Home for MemoryLog {
    type Log = MemoryJournal;

    fn empty() -> Self {
        Self::new(ORIGIN)
    }

    fn try_claim(&self) -> Option<MemoryJournal> {
        Some(self.claim())
    }
}

/// Nothing fails in memory, but another writer can claim the log.
impl Failing for MemoryLog {
    fn fail(&self) {
        drop(self.claim());
    }

    fn mend(&self) {}

    fn crashed(&self, _: u64) -> Self {
        self.clone()
    }
}

fn open<D: disk::Disk>(disk: D) -> FileJournal<D> {
    let opened = FileJournal::open(disk, Layout::TINY, SHARD, || ORIGIN, None, &mut |_, _, _| Ok(()));
    opened.expect("the journal opens").0
}

impl Home for Folder {
    type Log = FileJournal<Directory>;

    fn empty() -> Self {
        Self::new()
    }

    fn try_claim(&self) -> Option<FileJournal<Directory>> {
        match self.try_directory() {
            Ok(directory) => Some(open(directory)),
            Err(DirectoryError::InUse(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Home for Crashing {
    type Log = FileJournal<Crashing>;

    fn empty() -> Self {
        Self::default()
    }

    fn try_claim(&self) -> Option<FileJournal<Crashing>> {
        Some(open(self.clone()))
    }
}

impl Failing for Crashing {
    fn fail(&self) {
        self.fail_after(0);
    }

    fn mend(&self) {
        Self::mend(self);
    }

    fn crashed(&self, way: u64) -> Self {
        self.restarted(match way {
            0 => Loss::Everything,
            1 => Loss::Nothing,
            seed => Loss::Some(seed),
        })
    }
}

fn a_fresh_log_is_empty(home: impl Home) {
    let log = home.claim();
    assert_eq!(log.durable(), Seq::ZERO);
    assert_eq!(log.reader().durable(), Seq::ZERO);
    assert_eq!(log.identity(), Identity { origin: ORIGIN, epoch: Epoch::new(1) });
    for from in [0, 1, 2, u64::MAX] {
        assert!(log.reader().read(Seq::new(from)).unwrap().is_empty(), "from {from}");
    }
}

fn readers_see_only_durable_entries(home: impl Home) {
    let mut log = home.claim();
    let reader = log.reader();
    log.append(&small_frame(1, 3)).unwrap();
    assert_eq!((log.durable(), reader.durable()), (Seq::ZERO, Seq::ZERO));
    assert!(reader.read(Seq::new(1)).unwrap().is_empty());
    assert_eq!(log.sync().unwrap(), Seq::new(3));
    assert_eq!((log.durable(), reader.durable()), (Seq::new(3), Seq::new(3)));
    assert_eq!(reader.read(Seq::new(1)).unwrap(), [small(1), small(2), small(3)]);
}

fn a_sync_without_anything_new_changes_nothing(home: impl Home) {
    let mut log = home.claim();
    assert_eq!(log.sync().unwrap(), Seq::ZERO);
    log.append(&small_frame(1, 2)).unwrap();
    assert_eq!(log.sync().unwrap(), Seq::new(2));
    assert_eq!(log.sync().unwrap(), Seq::new(2));
    assert_eq!(seqs(&read_all(&log.reader())), [1, 2]);
}

fn reads_return_pages_from_any_entry_on(home: impl Home) {
    let mut log = home.claim();
    for first in [1, 4, 7] {
        log.append(&small_frame(first, 3)).unwrap();
    }
    log.sync().unwrap();
    let reader = log.reader();
    for from in 0..=9 {
        let page = reader.read(Seq::new(from)).unwrap();
        assert_eq!(page.first().map(|entry| entry.header.seq.get()), Some(from.max(1)));
        assert!(page.windows(2).all(|pair| pair[0].header.seq.next() == pair[1].header.seq));
    }
    assert!(reader.read(Seq::new(10)).unwrap().is_empty());
    assert_eq!(read_all(&reader), (1..=9).map(small).collect::<Vec<_>>());
}

fn readers_see_entries_as_they_become_durable(home: impl Home) {
    let mut log = home.claim();
    let reader = log.reader();
    let told = std::thread::spawn(move || {
        loop {
            let durable = reader.durable();
            if durable > Seq::ZERO {
                // An entry at the position that the reader reported must be there.
                assert_eq!(reader.read(durable).unwrap()[0].header.seq, durable);
            }
            if durable == Seq::new(20) {
                return seqs(&read_all(&reader));
            }
            std::thread::yield_now();
        }
    });
    for seq in 1..=20 {
        log.append(&small_frame(seq, 1)).unwrap();
        log.sync().unwrap();
    }
    assert_eq!(told.join().unwrap(), (1..=20).collect::<Vec<_>>());
}

fn frames_come_in_order(home: impl Home) {
    let mut log = home.claim();
    log.append(&small_frame(1, 2)).unwrap();
    for first in [1, 2, 4] {
        let mut append = || log.append(&small_frame(first, 1));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut append));
        assert!(refused.is_err(), "JRN-1: {first} after 2");
    }
    log.append(&small_frame(3, 1)).unwrap();
    assert_eq!(log.sync().unwrap(), Seq::new(3));
}

fn two_writers_never_append_to_the_same_end(home: impl Home) {
    let mut first = home.claim();
    first.append(&small_frame(1, 2)).unwrap();
    first.sync().unwrap();
    first.append(&small_frame(3, 1)).unwrap();
    let other = chunk(3, 10);
    let mut second = match home.try_claim() {
        Some(second) => {
            let by = second.identity().epoch;
            assert!(by > first.identity().epoch);
            for _ in 0..2 {
                assert!(matches!(first.sync(), Err(Fault::Fenced { by: found }) if found == by));
                let appended = first.append(&small_frame(4, 1));
                assert!(matches!(appended, Err(Fault::Fenced { by: found }) if found == by));
            }
            second
        }
        None => {
            // The first writer continues normally; when it is gone, a second writer can claim the log.
            drop(first);
            home.claim()
        }
    };
    assert!(second.durable() >= Seq::new(2), "a claim finds all durable entries");
    let next = second.durable().next();
    second.append(&frame(&[chunk(next.get(), 10)])).unwrap();
    assert_eq!(second.sync().unwrap(), next);
    let read = read_all(&second.reader());
    assert_eq!(read.last(), Some(&chunk(next.get(), 10)));
    assert_eq!(read.iter().filter(|entry| entry.header.seq == Seq::new(3)).count(), 1);
    assert!(next > Seq::new(3) || read[2] == other);
}

fn after_an_error_every_later_call_fails<H: Failing>(_: H) {
    type Call<L> = fn(&mut L) -> Result<(), Fault>;
    let calls: [Call<H::Log>; 2] = [|log| log.append(&small_frame(4, 1)), |log| log.sync().map(drop)];
    for call in calls {
        let home = H::empty();
        let mut log = home.claim();
        let reader = log.reader();
        log.append(&small_frame(1, 2)).unwrap();
        log.sync().unwrap();
        log.append(&small_frame(3, 1)).unwrap();
        home.fail();
        call(&mut log).unwrap_err();
        home.mend();
        for _ in 0..2 {
            for later in calls {
                let later = later(&mut log);
                assert!(matches!(later, Err(Fault::Poisoned(_) | Fault::Fenced { .. })), "{later:?}");
            }
        }
        assert_eq!((log.durable(), reader.durable()), (Seq::new(2), Seq::new(2)));
        assert_eq!(seqs(&read_all(&reader)), [1, 2], "durable entries can still be read");
    }
}

fn durable_entries_survive_a_crash<H: Failing>(_: H) {
    for way in 0..12 {
        let home = H::empty();
        let mut log = home.claim();
        log.append(&small_frame(1, 3)).unwrap();
        log.sync().unwrap();
        log.append(&small_frame(4, 2)).unwrap();
        log.append(&small_frame(6, 1)).unwrap();
        let home = home.crashed(way);
        let mut log = home.claim();
        let found = read_all(&log.reader());
        let last = log.durable();
        assert_eq!(found, (1..=last.get()).map(small).collect::<Vec<_>>(), "{way}: the first appended entries");
        assert!([3, 5, 6].contains(&last.get()), "{way}: whole frames, including all durable ones");
        log.append(&small_frame(last.get() + 1, 2)).unwrap();
        assert_eq!(log.sync().unwrap().get(), last.get() + 2, "{way}");
    }
}
