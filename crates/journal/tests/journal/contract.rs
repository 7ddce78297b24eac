//! What every journal promises, run on each of them.

use journal::{FileJournal, Identity, Journal, Layout, MemoryJournal, Reader};
use types::{Epoch, Seq};

use crate::support::{Folder, ORIGIN, SHARD, read_all, seqs, small, small_frame};

/// The promises of [`Journal`] as tests; `$start` gives a fresh journal and whatever must live as long as it.
macro_rules! journal_contract {
    ($journal:ident, $start:expr, [$($promise:ident),* $(,)?]) => {
        mod $journal {
            $(#[test]
            fn $promise() {
                let (journal, _keep) = $start;
                super::$promise(journal);
            })*
        }
    };
}

macro_rules! on_every_journal {
    ($($promise:ident),* $(,)?) => {
        journal_contract!(memory, super::memory(), [$($promise),*]);
        journal_contract!(file, super::file(), [$($promise),*]);
    };
}

on_every_journal!(
    a_fresh_journal_is_empty,
    readers_see_only_what_is_durable,
    a_sync_without_anything_new_changes_nothing,
    reading_goes_page_by_page_from_anywhere,
    readers_go_along_with_the_journal,
    frames_come_in_order,
    a_mark_changes_nothing,
);

fn memory() -> (MemoryJournal, ()) {
    (MemoryJournal::new(Identity { origin: ORIGIN, epoch: Epoch::new(1) }), ())
}

fn file() -> (impl Journal, Folder) {
    let folder = Folder::new();
    let opened = FileJournal::open(folder.directory(), Layout::TINY, SHARD, || ORIGIN, None, &mut |_, _, _| Ok(()));
    (opened.expect("a fresh journal opens").0, folder)
}

fn a_fresh_journal_is_empty(journal: impl Journal) {
    assert_eq!(journal.durable(), Seq::ZERO);
    assert_eq!(journal.reader().durable(), Seq::ZERO);
    assert_eq!(journal.identity(), Identity { origin: ORIGIN, epoch: Epoch::new(1) });
    for from in [0, 1, 2, u64::MAX] {
        assert!(journal.reader().read(Seq::new(from)).unwrap().is_empty(), "from {from}");
    }
}

fn readers_see_only_what_is_durable(mut journal: impl Journal) {
    let reader = journal.reader();
    journal.append(&small_frame(1, 3)).unwrap();
    assert_eq!((journal.durable(), reader.durable()), (Seq::ZERO, Seq::ZERO));
    assert!(reader.read(Seq::new(1)).unwrap().is_empty());
    assert_eq!(journal.sync().unwrap(), Seq::new(3));
    assert_eq!((journal.durable(), reader.durable()), (Seq::new(3), Seq::new(3)));
    assert_eq!(reader.read(Seq::new(1)).unwrap(), [small(1), small(2), small(3)]);
}

fn a_sync_without_anything_new_changes_nothing(mut journal: impl Journal) {
    assert_eq!(journal.sync().unwrap(), Seq::ZERO);
    journal.append(&small_frame(1, 2)).unwrap();
    assert_eq!(journal.sync().unwrap(), Seq::new(2));
    assert_eq!(journal.sync().unwrap(), Seq::new(2));
    assert_eq!(seqs(&read_all(&journal.reader())), [1, 2]);
}

fn reading_goes_page_by_page_from_anywhere(mut journal: impl Journal) {
    for first in [1, 4, 7] {
        journal.append(&small_frame(first, 3)).unwrap();
    }
    journal.sync().unwrap();
    let reader = journal.reader();
    for from in 0..=9 {
        let page = reader.read(Seq::new(from)).unwrap();
        assert_eq!(page.first().map(|entry| entry.header.seq.get()), Some(from.max(1)));
        assert!(page.windows(2).all(|pair| pair[0].header.seq.next() == pair[1].header.seq));
    }
    assert!(reader.read(Seq::new(10)).unwrap().is_empty());
    assert_eq!(read_all(&reader), (1..=9).map(small).collect::<Vec<_>>());
}

fn readers_go_along_with_the_journal(mut journal: impl Journal) {
    let reader = journal.reader();
    let told = std::thread::spawn(move || {
        loop {
            let durable = reader.durable();
            if durable > Seq::ZERO {
                // What a reader was told is there.
                assert_eq!(reader.read(durable).unwrap()[0].header.seq, durable);
            }
            if durable == Seq::new(20) {
                return seqs(&read_all(&reader));
            }
            std::thread::yield_now();
        }
    });
    for seq in 1..=20 {
        journal.append(&small_frame(seq, 1)).unwrap();
        journal.sync().unwrap();
    }
    assert_eq!(told.join().unwrap(), (1..=20).collect::<Vec<_>>());
}

fn frames_come_in_order(mut journal: impl Journal) {
    journal.append(&small_frame(1, 2)).unwrap();
    for first in [1, 2, 4] {
        let mut append = || journal.append(&small_frame(first, 1));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut append));
        assert!(refused.is_err(), "JRN-1: {first} after 2");
    }
    journal.append(&small_frame(3, 1)).unwrap();
    assert_eq!(journal.sync().unwrap(), Seq::new(3));
}

fn a_mark_changes_nothing(mut journal: impl Journal) {
    journal.mark().unwrap();
    journal.append(&small_frame(1, 2)).unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.durable(), Seq::ZERO);
    journal.sync().unwrap();
    journal.mark().unwrap();
    assert_eq!(seqs(&read_all(&journal.reader())), [1, 2]);
}
