//! The index against a naive model: lists that are searched from end to end.

use std::collections::BTreeMap;

use journal::{Disk, Position};
use ledger::{
    Account, AccountFlags, AccountPlace, NewAccount, NewTransfer, PastTransfer, PendingState, Transfer, TransferFlags,
    TransferKey, TransferStatus,
};
use proptest::prelude::*;
use types::{AccountId, Amount, Code, Digest, LedgerId, Origin, PaymentId, Seq, Timestamp, TransferId};

use crate::testing::{MemoryDisk, MemoryLog};
use crate::*;

const ORIGIN: Origin = Origin::new(7);

/// An event with the transfer that it created.
#[derive(Debug, Clone, Copy)]
struct Happened {
    placed: Placed,
    transfer: Option<Transfer>,
}

/// A generation as the model remembers it.
#[derive(Debug, Clone, Default)]
struct Era {
    events: Vec<Happened>,
    generation: Option<Generation>,
}

#[derive(Debug)]
struct World {
    disk: MemoryDisk,
    log: MemoryLog,
    index: Index,
    /// The last one is under way.
    eras: Vec<Era>,
    accounts: Vec<Account>,
    changed: BTreeMap<AccountPlace, ()>,
    entries: u64,
    random: u64,
    ordered_ids: bool,
    unresolved: Vec<u128>,
    chosen: u8,
}

impl World {
    fn new(seed: u64, ordered_ids: bool) -> Self {
        let (disk, log) = (MemoryDisk::default(), MemoryLog::default());
        let (index, restored) = Index::open(&disk, ORIGIN, log.clone()).unwrap();
        assert_eq!(restored.end, None);
        Self {
            disk,
            log,
            index,
            eras: vec![Era::default()],
            accounts: Vec::new(),
            changed: BTreeMap::new(),
            entries: 0,
            random: seed,
            ordered_ids,
            unresolved: Vec::new(),
            chosen: 0,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    fn position(&self) -> Position {
        Position::new(1 + self.entries / 50, 4096 + self.entries % 50 * 200, true)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ns(1_000 + self.entries * 10)
    }

    fn fresh_id(&mut self) -> u128 {
        let entry = u128::from(self.entries);
        if self.ordered_ids { entry + 1 } else { entry.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) }
    }

    fn happen(&mut self, event: Event, transfer: Option<Transfer>) -> Happened {
        let placed = Placed { position: self.position(), timestamp: self.now(), event };
        let happened = Happened { placed, transfer };
        if let Some(transfer) = transfer.filter(|transfer| matches!(transfer.key, TransferKey::Client(_))) {
            self.log.push(placed.position, transfer);
        }
        self.eras.last_mut().unwrap().events.push(happened);
        happened
    }

    fn open_account(&mut self) -> Happened {
        let place = AccountPlace(u32::try_from(self.accounts.len()).unwrap());
        let id = AccountId::new(self.fresh_id());
        let new = NewAccount { id, ledger: LedgerId::new(1), code: Code::new(3), ..NewAccount::default() };
        self.accounts.push(Account::open(&new, self.now()));
        self.changed.insert(place, ());
        self.happen(Event::Account { id: id.get(), place }, None)
    }

    fn transfer(&mut self, key: TransferKey, flags: TransferFlags) -> (Transfer, AccountPlace, AccountPlace) {
        let count = self.accounts.len() as u64;
        let debit = self.below(count);
        let credit = (debit + 1 + self.below(count - 1)) % count;
        let place = |number: u64| AccountPlace(u32::try_from(number).unwrap());
        let amount = Amount::new(self.below(100).into());
        for (number, is_debit) in [(debit, true), (credit, false)] {
            let account = &mut self.accounts[usize::try_from(number).unwrap()];
            let posted = if is_debit { &mut account.debits_posted } else { &mut account.credits_posted };
            *posted = posted.checked_add(amount).unwrap();
            self.changed.insert(place(number), ());
        }
        let new = NewTransfer::named(key);
        let transfer = Transfer {
            key,
            debit: self.accounts[usize::try_from(debit).unwrap()].id,
            credit: self.accounts[usize::try_from(credit).unwrap()].id,
            amount,
            pending: None,
            user_data_128: self.below(4).into(),
            user_data_64: self.below(4),
            user_data_32: u32::try_from(self.below(4)).unwrap(),
            timeout_s: new.timeout_s,
            ledger: LedgerId::new(u32::try_from(1 + self.below(2)).unwrap()),
            code: Code::new(u16::try_from(1 + self.below(3)).unwrap()),
            flags,
            timestamp: self.now(),
        };
        (transfer, place(debit), place(credit))
    }

    fn client_transfer(&mut self, is_pending: bool, resolves: Option<(u128, PendingState)>) -> Happened {
        let id = self.fresh_id();
        let flags = if is_pending { TransferFlags::PENDING } else { TransferFlags::NONE };
        let (transfer, debit, credit) = self.transfer(TransferKey::Client(TransferId::new(id)), flags);
        if is_pending {
            self.unresolved.push(id);
        }
        self.happen(Event::Transfer { id, debit, credit, is_pending, resolves }, Some(transfer))
    }

    /// One entry; of some kinds it makes several events.
    fn entry(&mut self) -> Vec<Happened> {
        self.entries += 1;
        let kind = if self.accounts.len() < 2 { 0 } else { self.below(20) };
        match kind {
            0 => vec![self.open_account()],
            1 => {
                let id = self.fresh_id();
                vec![self.happen(Event::Failed { id, status: TransferStatus::ExceedsCredits.number() }, None)]
            }
            2 => (0..3)
                .map(|number| {
                    let key = TransferKey::Leg { payment: PaymentId::new(self.entries.into()), number };
                    let (transfer, debit, credit) = self.transfer(key, TransferFlags::NONE);
                    self.happen(Event::Leg { debit, credit }, Some(transfer))
                })
                .collect(),
            3 => vec![self.happen(Event::Other, None)],
            4 if !self.unresolved.is_empty() => {
                let id = self.unresolved.remove(0);
                vec![self.happen(Event::Expired { id }, None)]
            }
            5 | 6 if !self.unresolved.is_empty() => {
                let place = self.below(self.unresolved.len() as u64);
                let id = self.unresolved.remove(usize::try_from(place).unwrap());
                let state = if kind == 5 { PendingState::Posted } else { PendingState::Voided };
                vec![self.client_transfer(false, Some((id, state)))]
            }
            5..=9 => vec![self.client_transfer(true, None)],
            _ => vec![self.client_transfer(false, None)],
        }
    }

    fn publish(&mut self, entries: u64) {
        let mut batch = Batch::default();
        for _ in 0..entries {
            self.entry().iter().for_each(|happened| batch.push(&happened.placed));
        }
        self.index.publish(batch);
    }

    fn seal(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        let changes = changed.into_keys().map(|place| (place, self.accounts[place.0 as usize])).collect();
        let (seq, segment) = (Seq::new(self.entries), 1 + self.entries / 50);
        let end = GenerationEnd {
            last: seq,
            recorded: self.entries,
            last_timestamp: self.now(),
            resume: StartAt { seq: seq.next(), segment, offset: 5 + self.entries, previous: [9; 32] },
            digest: Digest::of(&self.entries.to_le_bytes()),
        };
        let generation = Generation { end, changes };
        self.eras.last_mut().unwrap().generation = Some(generation.clone());
        self.eras.push(Era::default());
        self.index.seal(generation).unwrap();
    }

    fn choose(&mut self, fields: u8) {
        self.chosen = fields;
        self.index.choose(LedgerId::new(1), fields);
        self.index.drain().unwrap();
    }

    /// Closes the index and opens what it left, on this disk. Feeds what that does not hold.
    fn reopen(&mut self, disk: MemoryDisk) -> usize {
        let (fresh, _) = Index::open(&MemoryDisk::default(), ORIGIN, self.log.clone()).unwrap();
        drop(std::mem::replace(&mut self.index, fresh));
        let (index, restored) = Index::open(&disk, ORIGIN, self.log.clone()).unwrap();
        self.disk = disk;
        let kept = match restored.end {
            None => 0,
            Some(end) => {
                let sealed = self.eras.iter().position(|era| era.generation.as_ref().is_some_and(|is| is.end == end));
                sealed.expect("it ends with a generation") + 1
            }
        };
        self.check_restored(&restored, kept);
        for era in &self.eras[kept..] {
            let mut batch = Batch::default();
            era.events.iter().for_each(|happened| batch.push(&happened.placed));
            index.publish(batch);
            if let Some(generation) = &era.generation {
                index.seal(generation.clone()).unwrap();
            }
        }
        index.choose(LedgerId::new(1), self.chosen);
        self.index = index;
        kept
    }

    fn events(&self) -> impl DoubleEndedIterator<Item = &Happened> {
        self.eras.iter().flat_map(|era| &era.events)
    }

    fn balances_at(&self, place: AccountPlace, generation: usize) -> Option<Balances> {
        let eras = self.eras.iter().enumerate().take(generation + 1).rev();
        let mut images = eras.filter_map(|(number, era)| {
            let changes = &era.generation.as_ref()?.changes;
            let (_, account) = changes.iter().find(|change| change.0 == place)?;
            Some(Balances::of(account, u32::try_from(number).unwrap()))
        });
        images.next()
    }

    fn check_restored(&self, restored: &Restored, kept: usize) {
        let accounts: Vec<Account> = restored.accounts().unwrap().collect::<Result<_, _>>().unwrap();
        let expected =
            (0..).map_while(|place| Some((place, self.balances_at(AccountPlace(place), kept.checked_sub(1)?)?)));
        let expected: Vec<Account> = expected
            .map(|(place, balances)| {
                let account = self.accounts[place as usize];
                let Balances { debits_posted, credits_posted, .. } = balances;
                Account { debits_posted, credits_posted, ..account }
            })
            .collect();
        assert_eq!(accounts, expected);
        let events: Vec<_> =
            self.eras[..kept].iter().flat_map(|era| &era.events).map(|happened| happened.placed).collect();
        let mut pendings = BTreeMap::new();
        for placed in &events {
            match placed.event {
                Event::Transfer { id, is_pending: true, .. } => drop(pendings.insert(id, placed.position)),
                Event::Transfer { resolves: Some((id, _)), .. } | Event::Expired { id } => drop(pendings.remove(&id)),
                _ => {}
            }
        }
        let mut pendings: Vec<_> = pendings.into_values().collect();
        pendings.sort_unstable();
        assert_eq!(restored.pendings().unwrap(), pendings);
        let others = events.iter().filter(|placed| placed.event == Event::Other).map(|placed| placed.position);
        assert_eq!(restored.others().collect::<Result<Vec<_>, _>>().unwrap(), others.collect::<Vec<_>>());
    }

    fn check_positions(&self, expected: &dyn Fn(&Happened) -> bool, query: &dyn Fn(Bounds, bool) -> Positions) {
        let middle = Position::new(1 + self.entries / 100, 4096 + self.entries % 50 * 200, true);
        let half = Timestamp::from_ns(1_000 + self.entries * 5);
        let all = Bounds::default();
        let bounds = [
            all,
            Bounds { after: Some(middle), ..all },
            Bounds { before: Some(middle), ..all },
            Bounds { earliest: half, ..all },
            Bounds { latest: half, ..all },
        ];
        for (bounds, reversed) in bounds.into_iter().flat_map(|bounds| [(bounds, false), (bounds, true)]) {
            let times = bounds.earliest..=bounds.latest;
            let after = |position| bounds.after.is_none_or(|after| after < position);
            let before = |position| bounds.before.is_none_or(|before| position < before);
            let inside = |happened: &&Happened| after(happened.placed.position) && before(happened.placed.position);
            let matching: Vec<&Happened> = self.events().filter(|happened| expected(happened)).filter(inside).collect();
            let mut positions: Vec<Position> = query(bounds, reversed).flat_map(|chunk| chunk.unwrap()).collect();
            if reversed {
                positions.reverse();
            }
            assert!(positions.is_sorted_by(|one, other| one < other), "{positions:?}");
            let mut wanted: Vec<Position> = matching.iter().map(|happened| happened.placed.position).collect();
            wanted.dedup();
            // The index may leave out by time only what is out of bounds.
            let possible: Vec<Position> = positions.clone();
            positions.retain(|position| {
                matching.iter().any(|it| it.placed.position == *position && times.contains(&it.placed.timestamp))
            });
            wanted.retain(|position| {
                matching.iter().any(|it| it.placed.position == *position && times.contains(&it.placed.timestamp))
            });
            assert_eq!(positions, wanted);
            assert!(possible.iter().all(|position| matching.iter().any(|it| it.placed.position == *position)));
        }
    }

    fn check_all(&self) {
        for place in (0..u32::try_from(self.accounts.len()).unwrap()).map(AccountPlace) {
            let id = self.accounts[place.0 as usize].id;
            assert_eq!(self.index.account_place(id).unwrap(), Some(place));
            for sides in [Sides::Both, Sides::Debits, Sides::Credits] {
                let on_side = |happened: &Happened| match happened.placed.event {
                    Event::Transfer { debit, credit, .. } | Event::Leg { debit, credit } => {
                        (debit == place && sides != Sides::Credits) || (credit == place && sides != Sides::Debits)
                    }
                    _ => false,
                };
                self.check_positions(&on_side, &|bounds, reversed| self.index.postings(place, sides, bounds, reversed));
            }
            for generation in 0..self.eras.len() - 1 {
                let found = self.index.balances_at(place, u32::try_from(generation).unwrap()).unwrap();
                assert_eq!(found, self.balances_at(place, generation));
            }
        }
        self.check_ids();
        self.check_generations();
        for field in Field::ALL {
            let ledger = LedgerId::new(1);
            if self.chosen & field.bit() == 0 {
                let refused = self.index.field(field, ledger, 1, Bounds::default(), false);
                assert!(matches!(refused, Err(FieldError::NotChosen { .. })));
                continue;
            }
            self.index.drain().unwrap();
            for value in 1..4 {
                let has = |happened: &Happened| {
                    let transfer = happened.transfer.filter(|it| matches!(it.key, TransferKey::Client(_)));
                    let right = |it: Transfer| field == Field::Ledger || field.of(&it) == Some(value);
                    transfer.is_some_and(|it| it.ledger == ledger && right(it))
                };
                self.check_positions(&has, &|bounds, reversed| {
                    self.index.field(field, ledger, value, bounds, reversed).unwrap()
                });
            }
        }
    }

    fn check_ids(&self) {
        let covered = self.index.covered();
        let past = self.index.past();
        let resolution = |wanted: u128, through: u64| {
            self.events().find_map(|happened| {
                let resolved = match happened.placed.event {
                    Event::Transfer { resolves: Some((id, state)), .. } => (id, state),
                    Event::Expired { id } => (id, PendingState::Expired),
                    _ => return None,
                };
                let is_covered = happened.placed.timestamp <= Timestamp::from_ns(1_000 + through * 10);
                (resolved.0 == wanted && is_covered).then_some((resolved.1, happened.placed.position))
            })
        };
        for happened in self.events() {
            let (id, state) = match happened.placed.event {
                Event::Transfer { id, is_pending: false, .. } => (id, IdState::Created),
                Event::Transfer { id, .. } => (id, IdState::CreatedPending(resolution(id, u64::MAX / 20))),
                Event::Failed { id, status } => (id, IdState::Failed(status)),
                _ => continue,
            };
            let found = self.index.find(TransferId::new(id)).unwrap();
            assert_eq!(found, Some(Found { position: happened.placed.position, state }));
            if happened.placed.timestamp > Timestamp::from_ns(1_000 + covered * 10) {
                continue;
            }
            let expected = match (state, happened.transfer) {
                (IdState::Failed(_), _) | (_, None) => PastTransfer::Failed(TransferStatus::ExceedsCredits),
                (IdState::Created, Some(transfer)) => PastTransfer::Created { transfer, state: None },
                (IdState::CreatedPending(_), Some(transfer)) => {
                    // The background thread may have gone on since.
                    let found = past.find(TransferId::new(id));
                    let covered = resolution(id, covered).map_or(PendingState::Pending, |resolution| resolution.0);
                    let latest = resolution(id, u64::MAX / 20).map_or(PendingState::Pending, |resolution| resolution.0);
                    let with = |state| Some(PastTransfer::Created { transfer, state: Some(state) });
                    assert!(found == with(covered) || found == with(latest), "{found:?}");
                    continue;
                }
            };
            assert_eq!(past.find(TransferId::new(id)), Some(expected));
        }
        for stranger in [0, 5 << 100, u128::MAX] {
            assert_eq!(self.index.find(TransferId::new(stranger)).unwrap(), None);
            assert_eq!(past.find(TransferId::new(stranger)), None);
        }
    }

    fn check_generations(&self) {
        for (number, era) in (0..).zip(&self.eras) {
            let end = era.generation.as_ref().map(|generation| generation.end);
            assert_eq!(self.index.generation(number), end);
            if let Some(end) = end {
                let before = Timestamp::from_ns(end.last_timestamp.ns() - 1);
                let earlier =
                    self.eras.iter().flat_map(|era| &era.generation).filter(|it| it.end.last_timestamp <= before);
                assert_eq!(self.index.generation_at(before), u32::try_from(earlier.count()).unwrap().checked_sub(1));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(u64),
    /// Seals so many generations of so many entries.
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
    fn the_index_answers_like_lists(seed: u64, ordered: bool, steps in prop::collection::vec(step(), 1..14)) {
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

/// Runs of 8, 1 and 1 generations with a chosen field, and something that waits.
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
fn a_missing_file_costs_what_follows_it() {
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
fn another_history_is_not_believed() {
    let world = small_world();
    let disk = world.disk.fork();
    let (_, restored) = Index::open(&disk, Origin::new(8), world.log.clone()).unwrap();
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

/// What a world answers, as far as the index could be read.
fn answers(world: &World, index: &Index, restored: &Restored) -> Result<String, Fault> {
    let mut text = format!("{:?}", restored.accounts()?.collect::<Result<Vec<_>, _>>()?);
    text += &format!("{:?}{:?}", restored.pendings()?, restored.others().collect::<Result<Vec<_>, _>>()?);
    for happened in world.events() {
        if let Event::Transfer { id, .. } | Event::Failed { id, .. } = happened.placed.event {
            text += &format!("{:?}", index.find(TransferId::new(id))?);
        }
    }
    for (place, account) in (0..).map(AccountPlace).zip(&world.accounts) {
        text += &format!("{:?}", index.account_place(account.id)?);
        text += &format!("{:?}{:?}", index.balances_at(place, 3)?, index.balances_at(place, 9)?);
        let positions = index.postings(place, Sides::Both, Bounds::default(), false);
        text += &format!("{:?}", positions.collect::<Result<Vec<_>, _>>()?);
    }
    index.choose(LedgerId::new(1), world.chosen);
    index.drain()?;
    if let Ok(positions) = index.field(Field::UserData64, LedgerId::new(1), 2, Bounds::default(), false) {
        text += &format!("{:?}", positions.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(text)
}

#[test]
fn every_changed_byte_is_noticed() {
    let world = small_world();
    let (index, restored) = Index::open(&world.disk.fork(), ORIGIN, world.log.clone()).unwrap();
    let (intact, end) = (answers(&world, &index, &restored).unwrap(), restored.end);
    for name in world.disk.list().unwrap() {
        let mut length = 0;
        world.disk.edit(&name, |bytes| length = bytes.len());
        // Every byte of a header, and others all over the file, in steps that no size of a row divides.
        for byte in (0..64).chain((64..length).step_by(197)) {
            let disk = world.disk.fork();
            disk.edit(&name, |bytes| bytes[byte] ^= 0x10);
            let (index, restored) = Index::open(&disk, ORIGIN, world.log.clone()).unwrap();
            if restored.end == end {
                match answers(&world, &index, &restored) {
                    Ok(answered) => assert_eq!(answered, intact, "byte {byte} of {name}"),
                    Err(fault) => {
                        assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
                        assert!(!disk.list().unwrap().contains(&name), "{name} is out of the way");
                    }
                }
            } else {
                assert!(name.starts_with("run-"), "byte {byte} of {name}");
            }
        }
    }
}

#[test]
fn flags_come_back_as_they_were() {
    let (disk, log) = (MemoryDisk::default(), MemoryLog::default());
    let (index, _) = Index::open(&disk, ORIGIN, log.clone()).unwrap();
    let mut batch = Batch::default();
    let place = AccountPlace(0);
    let position = Position::new(1, 4096, false);
    batch.push(&Placed { position, timestamp: Timestamp::ZERO, event: Event::Account { id: 5, place } });
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
    let end = GenerationEnd { last, recorded: 3, last_timestamp, resume, digest };
    index.seal(Generation { end, changes: vec![(place, account)] }).unwrap();
    index.drain().unwrap();
    assert_eq!((index.covered(), index.sealed()), (3, Seq::new(1)));
    drop(index);
    let (_, restored) = Index::open(&disk, ORIGIN, log).unwrap();
    assert_eq!(restored.end, Some(end));
    assert_eq!(restored.accounts().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [account]);
}
