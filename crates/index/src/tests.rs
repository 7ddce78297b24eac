//! Compares the index with a naive model, after random histories and all kinds of damage.

mod world;

use disk::Disk;
use journal::{Position, StartAt};
use ledger::{Account, AccountFlags, AccountPlace, IndexedFields};
use proptest::prelude::*;
use types::{AccountId, Amount, Code, Digest, LedgerId, Origin, Seq, Timestamp, TransferId};

use self::world::{ORIGIN, World, id_of};
use crate::testing::{MemoryDisk, MemoryLog};
use crate::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(u64),
    /// Seals `.0` generations of `.1` entries each.
    Seal(u64, u64),
    Drain,
    Reopen,
    Choose(u8),
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1_u64..60).prop_map(Step::Publish),
        5 => (1_u64..12, 1_u64..30).prop_map(|(count, entries)| Step::Seal(count, entries)),
        1 => Just(Step::Drain),
        1 => Just(Step::Reopen),
        1 => (0_u8..32).prop_map(Step::Choose),
        2 => Just(Step::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_index_answers_like_the_naive_model(seed: u64, ordered: bool, steps in prop::collection::vec(step(), 1..14)) {
        let mut world = World::new(seed, ordered);
        for step in steps {
            match step {
                Step::Publish(entries) => world.publish(entries),
                Step::Seal(count, entries) => (0..count).for_each(|_| {
                    world.publish(entries);
                    world.seal();
                }),
                Step::Drain => world.index.drain().unwrap(),
                Step::Reopen => drop(world.reopen(world.disk.clone())),
                Step::Choose(fields) => world.choose(fields),
                Step::Check => world.check_all(),
            }
        }
        world.check_all();
        world.index.drain().unwrap();
        world.check_all();
        world.reopen(world.disk.clone());
        world.check_all();
    }
}

/// Runs of 8, 1 and 1 generations with a chosen field, and events that are not sealed yet.
fn small_world() -> World {
    let mut world = World::new(11, false);
    world.choose(Field::UserData64.bit());
    for _ in 0..10 {
        world.publish(25);
        world.seal();
    }
    world.publish(5);
    world.index.drain().unwrap();
    assert_eq!(world.index.status().runs, 3);
    world
}

#[test]
fn a_missing_file_discards_all_later_runs() {
    let mut world = small_world();
    let names = world.disk.list().unwrap();
    let expected = [
        ("field-user_data_64-00000000-00000007", 10),
        ("field-user_data_64-00000008-00000008", 10),
        ("field-user_data_64-00000009-00000009", 10),
        ("run-00000000-00000007", 0),
        ("run-00000008-00000008", 8),
        ("run-00000009-00000009", 9),
    ];
    assert_eq!(names, expected.map(|(name, _)| name));
    for (name, kept) in expected {
        let disk = world.disk.fork();
        world.index.drain().unwrap();
        let whole = world.disk.clone();
        disk.remove(name).unwrap();
        assert_eq!(world.reopen(disk), kept, "{name}");
        world.check_all();
        world.index.drain().unwrap();
        assert_eq!(world.disk.list().unwrap(), names);
        world.reopen(whole);
    }
}

#[test]
fn files_of_another_history_are_rejected() {
    let world = small_world();
    let disk = world.disk.fork();
    let (_, restored) = Index::open(&disk, Origin::new(8), world.log).unwrap();
    assert_eq!(restored.end, None);
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn a_discarded_index_is_empty() {
    let world = small_world();
    let disk = world.disk.fork();
    discard(&disk).unwrap();
    assert!(disk.list().unwrap().is_empty());
}

/// Everything that a world answers, as far as its index can be read.
fn answers(world: &World, index: &Index, restored: &Restored) -> Result<String, Fault> {
    let mut text = format!("{:?}", restored.accounts()?.collect::<Result<Vec<_>, _>>()?);
    text += &format!("{:?}{:?}", restored.pendings()?, restored.entries()?.collect::<Result<Vec<_>, _>>()?);
    for happened in world.events() {
        if let Some(id) = id_of(happened.placed.event) {
            text += &format!("{:?}", index.find(TransferId::new(id))?);
        }
    }
    for (place, account) in (0..).map(AccountPlace).zip(&world.accounts) {
        text += &format!("{:?}", index.account_place(account.id)?);
        text += &format!("{:?}{:?}", index.balances_at(place, 3)?, index.balances_at(place, 9)?);
        let positions = index.postings(place, Sides::Both, Bounds::default(), false);
        text += &format!("{:?}", positions.collect::<Result<Vec<_>, _>>()?);
    }
    index.choose(LedgerId::new(1), IndexedFields::from_bits(world.chosen.into()));
    index.drain()?;
    if let Ok(positions) = index.field(Field::UserData64, LedgerId::new(1), 2, Bounds::default(), false) {
        text += &format!("{:?}", positions.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(text)
}

#[test]
fn every_byte_of_a_file_is_checked() {
    let mut world = World::new(13, false);
    world.publish(40);
    world.seal();
    world.index.drain().unwrap();
    let name = run::file_name(0, 0);
    let mut length = 0;
    world.disk.edit(&name, |bytes| length = bytes.len());
    for byte in 0..length {
        let disk = world.disk.fork_of(&name);
        disk.edit(&name, |bytes| bytes[byte] ^= 0x01);
        let label = block::Label { name: name.clone(), origin: ORIGIN, first: 0, last: 0 };
        let mut block = vec![0; block::BLOCK_BYTES];
        let number = (byte / block::BLOCK_BYTES) as u64;
        let read = block::BlockFile::open(&disk, label).and_then(|file| file.unwrap().read_blocks(number, &mut block));
        assert!(matches!(read, Err(Fault::Damaged { .. })), "byte {byte}");
        assert!(disk.list().unwrap().is_empty(), "the file was removed");
    }
}

#[test]
fn a_changed_byte_never_changes_an_answer() {
    let world = small_world();
    let (index, restored) = Index::open(&world.disk.fork(), ORIGIN, world.log.clone()).unwrap();
    let (intact, end) = (answers(&world, &index, &restored).unwrap(), restored.end);
    for name in world.disk.list().unwrap() {
        let mut length = 0;
        world.disk.edit(&name, |bytes| length = bytes.len());
        // Test the first bytes of the header, and bytes all over the file in steps that no row size divides.
        for byte in (0..64).chain((64..length).step_by(197)) {
            let disk = world.disk.fork();
            disk.edit(&name, |bytes| bytes[byte] ^= 0x10);
            let (index, restored) = Index::open(&disk, ORIGIN, world.log.clone()).unwrap();
            if restored.end == end {
                match answers(&world, &index, &restored) {
                    Ok(answered) => assert_eq!(answered, intact, "byte {byte} of {name}"),
                    Err(fault) => {
                        assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
                        assert!(!disk.list().unwrap().contains(&name), "{name} was removed");
                    }
                }
            } else {
                assert!(name.starts_with("run-"), "byte {byte} of {name}");
            }
        }
    }
}

#[test]
fn flags_are_restored_unchanged() {
    let (disk, log) = (MemoryDisk::default(), MemoryLog::default());
    let (index, _) = Index::open(&disk, ORIGIN, log.clone()).unwrap();
    let mut batch = IndexUpdate::default();
    let place = AccountPlace(0);
    let position = Position::new(1, 4096, false);
    batch.push(&IndexedEntry {
        position,
        timestamp: Timestamp::ZERO,
        event: IndexedFact::Account { id: 5, place, import: None },
    });
    index.publish(batch);
    let account = Account {
        id: AccountId::new(5),
        ledger: LedgerId::new(1),
        code: Code::new(2),
        user_data_128: 3 << 70,
        user_data_64: 4 << 40,
        user_data_32: 5,
        flags: AccountFlags::HISTORY | AccountFlags::CLOSED,
        timestamp: Timestamp::from_ns(6 << 40),
        debits_pending: Amount::new(7 << 80),
        debits_posted: Amount::new(8 << 80),
        credits_pending: Amount::new(9 << 80),
        credits_posted: Amount::new(10 << 80),
    };
    let resume = StartAt { seq: Seq::new(2), segment: 1, offset: 4200, previous: [1; 32] };
    let (last, last_timestamp, digest) = (Seq::new(1), account.timestamp, Digest::of(b"x"));
    let decided_at = Timestamp::from_ns(7 << 40);
    let end = GenerationEnd { last, decided_at, recorded: 3, last_timestamp, resume, digest };
    index
        .seal(Generation { end, totals: Vec::new(), changes: vec![(place, account)].into(), streams: Vec::new() })
        .unwrap();
    index.drain().unwrap();
    assert_eq!((index.covered(), index.sealed()), (3, Seq::new(1)));
    drop(index);
    let (_, restored) = Index::open(&disk, ORIGIN, log).unwrap();
    assert_eq!(restored.end, Some(end));
    assert_eq!(restored.accounts().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [account]);
}

/// A log that cannot be read.
#[derive(Debug)]
struct BrokenLog;

impl Log for BrokenLog {
    fn entry_at(&self, _position: Position) -> Result<engine::Entry, journal::Fault> {
        Err(journal::Fault::Poisoned("unplugged".to_owned()))
    }

    fn transfer_at(&self, _position: Position, _id: TransferId) -> Result<ledger::Transfer, journal::Fault> {
        Err(journal::Fault::Poisoned("unplugged".to_owned()))
    }

    fn timestamps(
        &self,
        _first: Position,
        _last: Position,
        _visit: &mut dyn FnMut(Timestamp),
    ) -> Result<(), journal::Fault> {
        Err(journal::Fault::Poisoned("unplugged".to_owned()))
    }

    fn transfers(
        &self,
        _first: Position,
        _last: Position,
        _visit: &mut dyn FnMut(Position, &ledger::Transfer),
    ) -> Result<(), journal::Fault> {
        Err(journal::Fault::Poisoned("unplugged".to_owned()))
    }
}

#[test]
fn a_stopped_background_thread_reports_why() {
    let mut world = small_world();
    let (index, _) = Index::open(&world.disk.fork(), ORIGIN, BrokenLog).unwrap();
    world.index = index;
    world.index.choose(LedgerId::new(1), IndexedFields::CODE);
    let stopped = world.index.drain().unwrap_err().to_string();
    assert!(stopped.contains("unplugged"), "{stopped}");
    // Queries of existing tables still work.
    assert!(world.index.account_place(world.accounts[0].id).unwrap().is_some());
}

/// Waits until the status satisfies `reached`.
fn until(world: &World, reached: impl Fn(&Status) -> bool) {
    while !reached(&world.index.status()) {
        world.index.check().unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_delays_only_the_background_work() {
    let mut world = World::new(5, false);
    for _ in 0..3 {
        world.publish(25);
        world.seal();
    }
    world.index.drain().unwrap();
    world.disk.leave(1_000);
    for _ in 0..2 {
        world.publish(25);
        world.seal();
    }
    // The thread tries to write the run, and removes the incomplete file.
    until(&world, |status| status.generations_waiting == 2);
    world.check_all();
    world.index.check().expect("the thread still runs");
    assert!(matches!(world.index.drain(), Err(Fault::NoRoom(_))), "drain does not wait for disk space");
    world.disk.leave(1 << 40);
    until(&world, |status| status.generations_waiting == 0);
    world.index.drain().unwrap();
    assert_eq!((world.index.status().runs, world.index.status().generations_waiting), (5, 0));
    assert!(world.disk.list().unwrap().iter().all(|name| !name.ends_with(".new")));
    world.check_all();
}

#[test]
fn merges_begin_only_if_they_leave_disk_space() {
    let mut world = World::new(6, false);
    world.index.keep_free(1 << 41);
    for _ in 0..10 {
        world.publish(25);
        world.seal();
    }
    until(&world, |status| status.runs == 10 && status.generations_waiting == 0);
    world.check_all();
    world.index.keep_free(0);
    until(&world, |status| status.runs == 3);
    world.index.drain().unwrap();
    world.check_all();
}

#[test]
fn a_check_reads_every_table_to_its_last_block() {
    let read = |world: &World| -> Result<u64, Fault> {
        let (mut check, mut bytes) = (world.index.check_tables(), 0);
        loop {
            match check.step()? {
                0 => return Ok(bytes),
                step => bytes += step,
            }
        }
    };
    let names = {
        let world = small_world();
        world.index.drain().unwrap();
        assert_eq!(read(&world).unwrap(), world.index.status().disk_bytes);
        world.disk.list().unwrap()
    };
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let world = small_world();
        world.index.drain().unwrap();
        world.disk.edit(&name, |bytes| {
            let last = bytes.len() - 1_000;
            bytes[last] ^= 4;
        });
        let fault = read(&world).expect_err("the check finds the changed byte");
        assert!(fault.as_damage().is_some() && fault.to_string().contains(&name), "{fault}");
        assert!(world.disk.open(&name).unwrap().is_none(), "the damaged file was removed");
    }
}
