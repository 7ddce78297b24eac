//! Journal and index on a real disk: whatever happens to the derived files, a start detects it, rebuilds them, and
//! gives the same answers. The generations are short, so that a small journal has several of them and every file is
//! small.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use datadir::{Pace, Started, Terms, recover};
use disk::Directory;
use engine::{Applied, ChooseIndexes, Command, CreateAccounts, CreateTransfers, OpenLedger, Request, query};
use index::{Bounds, Field, Sides};
use journal::{Layout, SegmentStore as _};
use ledger::{AccountFlags, IndexedFields, NewTransfer, TransferFlags};
use pipeline::{Ask, Batch, Decider, KeySaver, Writer};
use types::{AccountId, ActorId, LedgerId, Origin, RequestId, ShardId, Span, TenantId, Timestamp, TransferId};

const TERMS: Terms = Terms {
    layout: Layout::TINY,
    shard: ShardId::new(0),
    tenant: TenantId::new(1),
    pace: Pace::Stepped { digest_entries: 50, generation_entries: 100 },
    signed: None,
};
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);
const LEDGER: LedgerId = LedgerId::new(1);
const ACCOUNTS: u128 = 5;
const TRANSFERS: u128 = 420;
/// The number of damaged places in each block, besides its first and last byte.
const PLACES_IN_A_BLOCK: usize = 2;
const BLOCK_BYTES: usize = 4096;

/// These tests seal no data, so there are no keys to save.
struct NoKeys;

impl KeySaver for NoKeys {
    type Error = Infallible;

    fn save_keys(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The directories of a server.
struct Data(tempfile::TempDir);

impl Data {
    fn index(&self) -> PathBuf {
        self.0.path().join("index")
    }

    fn start(&self) -> Started<Directory> {
        let journal = Directory::open(&self.0.path().join("journal")).expect("the directory is free");
        let index = Directory::open(&self.index()).expect("the directory is free");
        recover(&journal, &index, TERMS, || Origin::new(7))
            .expect("the journal is intact, and the index can be rebuilt")
    }

    /// Replaces the files of the index with these.
    fn put(&self, files: &BTreeMap<String, Vec<u8>>) {
        for file in std::fs::read_dir(self.index()).expect("a folder") {
            std::fs::remove_file(file.expect("a file").path()).expect("the file can be removed");
        }
        for (name, bytes) in files {
            std::fs::write(self.index().join(name), bytes).expect("the file can be written");
        }
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: PathBuf| (path.file_name().expect("a name").to_string_lossy().into_owned(), std::fs::read(&path));
    let all = std::fs::read_dir(folder).expect("a folder").map(|file| read(file.expect("a file").path()));
    all.map(|(name, bytes)| (name, bytes.expect("the file can be read"))).filter(|(name, _)| name != "lock").collect()
}

/// Creates a data directory with a history.
fn lived() -> Data {
    // The directory is in memory if possible, because hundreds of starts sync and no test here simulates a crash.
    let in_memory = tempfile::tempdir_in("/dev/shm");
    let data = Data(in_memory.or_else(|_| tempfile::tempdir()).expect("a directory"));
    let Started { engine, journal, index, notes, .. } = data.start();
    let mut decider = Decider::new(engine, notes);
    let mut at = START;
    let mut writer = Writer::new(journal);
    let mut write = |batch: Batch<()>| {
        writer.hold(batch);
        while writer.step(Span::ZERO, &NoKeys, &index).expect("the disk works").is_some() {}
        index.work().expect("the disk works");
    };
    write(decider.start(at, Origin::new(7)));
    let mut go_on = |command: Command| {
        at = at.saturating_add(Span::from_ns(1_000_000_000));
        let request = Request { tenant: TERMS.tenant, actor: ActorId::new(1), id: RequestId::default(), command };
        write(decider.work(at, [Ask { request, reply_to: () }]));
    };
    go_on(OpenLedger { id: LEDGER, asset: "EUR/2".parse().expect("an asset") }.into());
    go_on(ChooseIndexes { ledger: LEDGER, fields: IndexedFields::USER_DATA_64 }.into());
    let account = |id| fixtures::account(id, AccountFlags::NONE);
    go_on(CreateAccounts((1..=ACCOUNTS).map(account).collect()).into());
    for first in (1..=TRANSFERS).step_by(7) {
        let events = (first..first + 7).map(transfer).collect();
        go_on(CreateTransfers { events, balances: false }.into());
    }
    writer.mark().expect("the disk works");
    data
}

/// Returns everything that a start can tell about the past, or the damage that it found.
fn answers(started: &mut Started<Directory>) -> Result<String, index::Fault> {
    let Started { engine, journal, index, .. } = started;
    let (reader, ids) = (journal.segments(), (1..=ACCOUNTS).map(AccountId::new));
    let command = query::LookupAccounts(ids.clone().collect()).into();
    let request = Request { tenant: TERMS.tenant, actor: ActorId::new(1), id: RequestId::default(), command };
    let mut text = format!("{:?}", engine.execute(engine.clock(), &request, &mut |_: Applied<'_>| {}));
    text += &format!("{:?}", engine.digest());
    for id in (1..=TRANSFERS).map(TransferId::new) {
        text += &format!("{:?}", index.find(id)?);
    }
    for id in ids {
        let place = index.account_place(id)?.expect("the account exists");
        for positions in index.postings(place, Sides::Both, Bounds::default(), false) {
            for position in positions? {
                text += &format!("{:?}", reader.transfer_at(position).expect("the journal is intact"));
            }
        }
        for generation in 0..4 {
            text += &format!("{:?}", index.balances_at(place, generation)?);
        }
    }
    let positions = index.field(Field::UserData64, LEDGER, 5, Bounds::default(), false);
    for positions in positions.expect("the field is indexed") {
        text += &format!("{:?}", positions?);
    }
    Ok(text)
}

impl Data {
    /// Checks that the answers are the same after this damage: at once, or after a second start if the first one found
    /// damage.
    fn check(&self, files: &BTreeMap<String, Vec<u8>>, expected: &str, damage: &str) {
        self.put(files);
        for _ in 0..2 {
            let mut started = self.start();
            started.index.work().expect("the disk works");
            match answers(&mut started) {
                Ok(answers) => {
                    assert!(answers == expected, "{damage}: the answers differ");
                    return;
                }
                // The damage was detected, and the damaged file was removed.
                Err(fault) => assert!(matches!(fault, index::Fault::Damaged { .. }), "{damage}: {fault}"),
            }
        }
        panic!("{damage}: a second start found the damage again");
    }
}

#[test]
fn answers_are_the_same_whatever_happens_to_the_files_of_the_index() {
    let data = lived();
    let whole = files(&data.index());
    assert!(whole.len() >= 4, "several generations and a field: {:?}", whole.keys());
    // The answers from the journal alone.
    data.put(&BTreeMap::new());
    let mut started = data.start();
    started.index.work().expect("the disk works");
    let expected = answers(&mut started).expect("nothing is damaged");
    drop(started);
    data.check(&whole, &expected, "nothing");

    let names: Vec<&String> = whole.keys().collect();
    for lost in 1_u32..1 << names.len().min(6) {
        let mut rest = whole.clone();
        rest.retain(|name, _| names.iter().position(|known| *known == name).is_none_or(|at| lost >> at & 1 == 0));
        data.check(&rest, &expected, &format!("only {:?} are left", rest.keys()));
    }
    for name in names {
        let length = whole[name].len();
        for at in damaged_places(length) {
            let mut spoilt = whole.clone();
            let bytes = spoilt.get_mut(name).expect("the file exists");
            bytes[at] ^= 1 << (at % 8);
            data.check(&spoilt, &expected, &format!("byte {at} of {name} is changed"));
        }
        for kept in [0, 1, 63, BLOCK_BYTES, length / 2, length - 1] {
            let mut cut = whole.clone();
            cut.get_mut(name).expect("the file exists").truncate(kept);
            data.check(&cut, &expected, &format!("{name} ends at byte {kept}"));
        }
    }
}

/// The first and the last byte of each block, and some between them that differ from block to block.
fn damaged_places(length: usize) -> Vec<usize> {
    let mut places = Vec::new();
    for first in (0..length).step_by(BLOCK_BYTES) {
        let last = (first + BLOCK_BYTES).min(length) - 1;
        places.extend([first, last]);
        let between = |n: usize| first + (first / BLOCK_BYTES * 131 + n * 1_511) % (last - first + 1);
        places.extend((1..=PLACES_IN_A_BLOCK).map(between));
    }
    places.dedup();
    places
}

fn transfer(id: u128) -> NewTransfer {
    let (debit, credit) = (1 + id % ACCOUNTS, 1 + (id + 1 + id / 7 % (ACCOUNTS - 1)) % ACCOUNTS);
    let flags = if id.is_multiple_of(11) { TransferFlags::PENDING } else { TransferFlags::NONE };
    // Some transfers fail permanently.
    let credit = if id.is_multiple_of(29) { 99 } else { credit };
    let user_data_64 = u64::try_from(id % 9).expect("small");
    NewTransfer { user_data_64, flags, ..fixtures::transfer(id, debit, credit, id) }
}
