//! Measures the cost of sealing generations and of lookups in a directory:
//! `cargo bench -p index -- [count] [accounts] [ordered|random] [fields]`.

#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use disk::Directory;
use index::{
    Bounds, GENERATION_ENTRIES, Generation, GenerationEnd, Index, IndexUpdate, IndexedEntry, IndexedFact, Log, Sides,
};
use journal::{Position, StartAt};
use ledger::{Account, AccountPlace, IndexedFields, NewAccount, NewTransfer, Transfer, TransferKey};
use types::{AccountId, Code, Digest, LedgerId, Origin, Seq, Timestamp, TransferId};

const BATCH: u64 = 8_189;
const ROW_BYTES: u64 = 112;
const ROWS_PER_SEGMENT: u64 = 1_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let count: u64 = arguments.next().map_or(10_000_000, |text| text.parse().expect("a count"));
    let accounts: u32 = arguments.next().map_or(10_000, |text| text.parse().expect("a number of accounts"));
    let order = arguments.next().unwrap_or_else(|| "both".to_owned());
    let fields: u8 = arguments.next().map_or(0, |text| text.parse().expect("a sum of fields"));
    for is_random in [false, true] {
        if order == "both" || is_random == (order == "random") {
            measure(count, accounts, is_random, fields);
        }
    }
}

/// A log that generates its transfers.
#[derive(Debug, Clone, Copy)]
struct MadeUp {
    accounts: u32,
    is_random: bool,
}

impl MadeUp {
    fn position(number: u64) -> Position {
        Position::new(1 + number / ROWS_PER_SEGMENT, 4096 + number % ROWS_PER_SEGMENT * ROW_BYTES, true)
    }

    fn number(position: Position) -> u64 {
        (position.segment() - 1) * ROWS_PER_SEGMENT + (position.offset() - 4096) / ROW_BYTES
    }

    fn id(self, number: u64) -> u128 {
        let random = u128::from(mix(number)) << 64 | u128::from(mix(number + (1 << 60)));
        if self.is_random { random } else { u128::from(number) << 64 | random >> 64 }
    }

    fn places(self, number: u64) -> (AccountPlace, AccountPlace) {
        let of = |mixed: u64| u32::try_from(((mixed >> 32) * u64::from(self.accounts)) >> 32).expect("a place");
        let (debit, credit) = (of(mix(number * 2 + 1)), of(mix(number * 3 + (1 << 59))));
        let credit = if debit == credit { (credit + 1) % self.accounts } else { credit };
        (AccountPlace(debit), AccountPlace(credit))
    }

    fn transfer(self, number: u64) -> Transfer {
        let (debit, credit) = self.places(number);
        let new = NewTransfer::named(TransferKey::Client(TransferId::new(self.id(number))));
        Transfer {
            key: new.key,
            debit: AccountId::new(u128::from(debit.0) + 1),
            credit: AccountId::new(u128::from(credit.0) + 1),
            amount: new.amount,
            pending: None,
            user_data_128: u128::from(mix(number)) << 64 | 1,
            user_data_64: mix(number) | 1,
            user_data_32: u32::try_from(mix(number) >> 32).expect("32 bits") | 1,
            timeout_s: 0,
            ledger: LedgerId::new(1),
            code: Code::new(u16::try_from(mix(number) >> 48).expect("16 bits") | 1),
            flags: new.flags,
            timestamp: Timestamp::from_ns(number + 1),
        }
    }
}

impl Log for MadeUp {
    fn entry_at(&self, position: Position) -> Result<engine::Entry, journal::Fault> {
        Err(journal::Fault::damaged_at(position, Seq::ZERO, "only transfers are here"))
    }

    fn transfer_at(&self, position: Position, _id: TransferId) -> Result<Transfer, journal::Fault> {
        Ok(self.transfer(Self::number(position)))
    }

    fn timestamps(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Timestamp),
    ) -> Result<(), journal::Fault> {
        self.transfers(first, last, &mut |_, transfer| visit(transfer.timestamp))
    }

    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), journal::Fault> {
        for number in Self::number(first)..=Self::number(last) {
            visit(Self::position(number), &self.transfer(number));
        }
        Ok(())
    }
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 29)
}

fn account(place: u32) -> Account {
    let new = NewAccount { id: AccountId::new(u128::from(place) + 1), ..NewAccount::default() };
    Account::open(&new, Timestamp::from_ns(1))
}

fn measure(count: u64, accounts: u32, is_random: bool, fields: u8) {
    let folder = tempfile::tempdir().expect("a directory");
    let disk = Directory::open(folder.path()).expect("a directory");
    let log = MadeUp { accounts, is_random };
    let (index, _) = Index::open(&disk, Origin::new(1), log).expect("the index opens");
    index.choose(LedgerId::new(1), IndexedFields::from_bits(fields.into()));
    println!("{count} transfers, {accounts} accounts, ids {}", if is_random { "random" } else { "ordered" });

    let started = now();
    let (mut publishing, mut sealing) = (Duration::ZERO, Duration::ZERO);
    let mut opened = IndexUpdate::default();
    for place in 0..accounts {
        let event = IndexedFact::Account { id: u128::from(place) + 1, place: AccountPlace(place), import: None };
        opened.push(&IndexedEntry { position: Position::new(1, 4096, false), timestamp: Timestamp::ZERO, event });
    }
    index.publish(opened);
    let mut changed: Vec<bool> = vec![true; accounts as usize];
    let mut number = 0;
    while number < count {
        let end = (number + BATCH).min(count).min((number / GENERATION_ENTRIES + 1) * GENERATION_ENTRIES);
        let placed: Vec<IndexedEntry> = (number..end).map(|number| place(log, number)).collect();
        let began = now();
        let mut batch = IndexUpdate::with_capacity(placed.len());
        placed.iter().for_each(|placed| batch.push(placed));
        index.publish(batch);
        publishing += began.elapsed();
        for number in number..end {
            let (debit, credit) = log.places(number);
            changed[debit.0 as usize] = true;
            changed[credit.0 as usize] = true;
        }
        number = end;
        if number % GENERATION_ENTRIES == 0 {
            let places = (0..accounts).filter(|&place| std::mem::take(&mut changed[place as usize]));
            let changes = places.map(|place| (AccountPlace(place), account(place))).collect::<Vec<_>>().into();
            let resume = StartAt { seq: Seq::new(number + 1), segment: 1, offset: 4096, previous: [0; 32] };
            let last_timestamp = Timestamp::from_ns(number);
            let digest = Digest::of(b"");
            let (last, decided_at) = (Seq::new(number), last_timestamp);
            let end = GenerationEnd { last, decided_at, recorded: number, last_timestamp, resume, digest };
            let began = now();
            index.seal(Generation { end, totals: Vec::new(), changes, streams: Vec::new() }).expect("sealed");
            sealing += began.elapsed();
        }
    }
    let before_drain = now();
    index.drain().expect("drained");
    let thread = thread_time("index");
    println!("  publish {} ns/transfer, waiting for seals {:.2?}", per(publishing, count), sealing);
    println!("  total {:.2?}, of which draining {:.2?}", started.elapsed(), before_drain.elapsed());
    println!("  background thread {} ns CPU/transfer", per(thread, count));
    let status = index.status();
    println!("  {status:?}");
    let bytes = |bytes: u64| bytes / number;
    println!(
        "  bytes/transfer on disk {}, ids {}, postings {}, balances {}, fields {}",
        bytes(status.disk_bytes),
        bytes(status.ids_bytes),
        bytes(status.postings_bytes),
        bytes(status.balances_bytes),
        bytes(status.fields_bytes)
    );
    look_up(&index, log, index.covered());
    let (place, _) = log.places(5);
    for reversed in [false, true] {
        let began = now();
        let positions = index.postings(place, Sides::Both, Bounds::default(), reversed);
        let found: usize = positions.take(8).map(|chunk| chunk.expect("readable").len()).sum();
        println!("  postings of an account: {found} in {:.2?}", began.elapsed());
    }
    let began = now();
    drop(index);
    println!("  closed in {:.2?}", began.elapsed());
    let began = now();
    let (_index, restored) = Index::open(&disk, Origin::new(1), log).expect("an index");
    let opening = began.elapsed();
    let restored = restored.accounts().expect("accounts").filter(|account| account.is_ok()).count();
    println!("  opened in {opening:.2?}, {restored} accounts after {:.2?}", began.elapsed());
}

fn place(log: MadeUp, number: u64) -> IndexedEntry {
    let (debit, credit) = log.places(number);
    let event = IndexedFact::Transfer { id: log.id(number), debit, credit, is_pending: false, resolves: None };
    IndexedEntry { position: MadeUp::position(number), timestamp: Timestamp::from_ns(number + 1), event }
}

fn look_up(index: &Index, log: MadeUp, covered: u64) {
    const LOOK_UPS: u64 = 1_000_000;
    let past = index.past();
    let random = MadeUp { is_random: true, ..log };
    let measure = |name: &str, count: u64, id: &dyn Fn(u64) -> u128| {
        let began = now();
        let found = (0..count).filter(|&number| black_box(past.find(TransferId::new(id(number)))).is_some()).count();
        println!("  {name}: {} ns each, {found} of {count} found", per(began.elapsed(), count));
    };
    measure("fresh ordered ids", LOOK_UPS, &|number| u128::MAX - u128::from(LOOK_UPS - number));
    measure("fresh random ids", LOOK_UPS, &|number| random.id(number + (1 << 50)));
    measure("known ids", LOOK_UPS / 10, &|number| log.id(mix(number) % covered));
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn per(time: Duration, count: u64) -> u128 {
    time.as_nanos() / u128::from(count)
}

/// The CPU time of a thread of this process, found by name.
fn thread_time(name: &str) -> Duration {
    let tasks = std::fs::read_dir(Path::new("/proc/self/task")).expect("tasks");
    let mut total = Duration::ZERO;
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let ns = read("schedstat").split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
            total += Duration::from_nanos(ns);
        }
    }
    total
}
