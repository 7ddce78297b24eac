//! Facts of imports: their rows, reads of single rows, and their encoding.

use engine::{Entry, Fact};
use journal::{
    CanonicalRun, DurableLog as _, FileReader, FrameAt, FrameBuilder, SegmentStore as _, canonical, kind_name,
};
use ledger::{
    Account, AccountPlace, Import, ImportNumber, ImportProgress, ImportState, NewAccount, Places, Transfer,
    TransferFlags,
};
use types::{AccountId, Digest, ImportId, LedgerId, Span, Timestamp};

use crate::support::{Folder, SHARD, header, read_all, small};

const NUMBER: ImportNumber = ImportNumber::MAX;

/// The transfer of entry `seq`, staged with its time in another system. The entries are 1 ns apart.
fn staged(seq: u64) -> Entry {
    let Entry { fact: Fact::Ledger(ledger::Fact::TransferCreated(transfer)), .. } = small(seq) else {
        panic!("a transfer")
    };
    let transfer = Transfer { timestamp: Timestamp::from_ns(seq), flags: TransferFlags::IMPORTED, ..transfer };
    let at = header(0).decided_at.saturating_add(Span::from_ns(seq));
    let header = engine::Header { decided_at: at, occurred_at: at, request: header(7).request, ..header(seq) };
    Entry { header, fact: Fact::Ledger(ledger::Fact::TransferStaged { import: NUMBER, transfer }), sealed: None }
}

fn at(seq: u64, fact: ledger::Fact) -> Entry {
    let header = engine::Header { seq: types::Seq::new(seq), ..staged(seq).header };
    Entry { header, fact: Fact::Ledger(fact), sealed: None }
}

#[test]
fn staged_transfers_are_stored_in_their_own_rows() {
    let folder = Folder::new();
    let mut journal = folder.open().journal;
    let account = Account::open(
        &NewAccount { id: AccountId::new(5), ledger: LedgerId::new(1), user_data_64: 3, ..NewAccount::default() },
        Timestamp::from_ns(9),
    );
    let places = vec![Places { first: AccountPlace(3), count: 200 }, Places { first: AccountPlace(900), count: 1 }];
    let progress = ImportProgress {
        accounts: 201,
        transfers: 5,
        last_account: Timestamp::from_ns(9),
        last_transfer: Timestamp::from_ns(10),
        places,
    };
    let import = Import {
        id: ImportId::new(77),
        number: NUMBER,
        ledger: LedgerId::new(1),
        content: Digest::new([8; 32]),
        started_at: Timestamp::from_ns(99),
    };
    let entries = [
        at(1, ledger::Fact::ImportStarted(import)),
        at(2, ledger::Fact::AccountStaged { import: NUMBER, account }),
        staged(3),
        staged(4),
        staged(5),
        at(6, ledger::Fact::ImportNoted { import: NUMBER, state: ImportState::Staged, progress: Box::new(progress) }),
        staged(7),
        Entry { header: engine::Header { seq: types::Seq::new(8), ..header(8) }, ..small(8) },
    ];
    let mut builder = FrameBuilder::default();
    let placed: Vec<_> = entries.iter().map(|entry| builder.push(entry)).collect();
    let frame = builder.finish().expect("it has entries");
    journal.append(&frame).expect("it is written");
    journal.sync().expect("it is durable");
    let at = FrameAt::before(journal.place(), &frame);
    assert_eq!(read_all(&journal.reader()), entries);
    let names: Vec<_> = entries.iter().map(kind_name).collect();
    assert_eq!(names[..3], ["import_started", "account_staged", "transfer_staged"]);
    assert_eq!(names[5..], ["import_noted", "transfer_staged", "transfer_created"]);
    let rows: Vec<bool> = placed.iter().map(|placed| placed.is_row).collect();
    assert_eq!(rows, [false, false, true, true, true, false, true, true]);
    assert_eq!(placed[4].offset - placed[3].offset, 112, "rows of one run follow one another");

    drop(journal);
    let reader = FileReader::before_opening(folder.directory(), SHARD);
    let mut seen = Vec::new();
    let positions: Vec<_> = placed.iter().map(|placed| at.position(*placed)).collect();
    for (entry, position) in entries.iter().zip(&positions).filter(|(_, position)| position.is_row()) {
        let read = reader.transfer_at(*position).expect("it is intact");
        let Fact::Ledger(ledger::Fact::TransferStaged { transfer, .. } | ledger::Fact::TransferCreated(transfer)) =
            &entry.fact
        else {
            panic!("only transfers stand in rows")
        };
        assert_eq!(read, *transfer);
        seen.push(*position);
    }
    let mut visited = Vec::new();
    let visit = &mut |position, _: &Transfer| {
        visited.push(position);
        Ok(())
    };
    reader.rows(positions[0], journal::Position::from_number(positions[7].get() + 1), visit).expect("it is intact");
    assert_eq!(visited, seen);
}

#[test]
fn the_leaf_of_a_staged_transfer_contains_its_import() {
    let leaf = canonical(&staged(3));
    let mut builder = FrameBuilder::default();
    for seq in 1..5 {
        builder.push(&staged(seq));
    }
    let mut run = CanonicalRun::default();
    builder.finish().unwrap().canonical(&mut run).unwrap();
    assert_eq!(run.iter().nth(2), Some(leaf.as_slice()), "rows give the same");
    let mut other = staged(3);
    let Fact::Ledger(ledger::Fact::TransferStaged { import, .. }) = &mut other.fact else { panic!("a staged one") };
    *import = ImportNumber::new(1).expect("from 1 on");
    assert_ne!(canonical(&other), leaf);
}
