//! The naive model, lists that are searched from end to end, and its comparison with the index.

use std::collections::BTreeMap;

use features::{Item, Key, RecordChange, RestoredRecord, StreamBounds, StreamId, Update};
use journal::{Position, StartAt};
use ledger::{
    Account, AccountPlace, IndexedFields, NewAccount, NewTransfer, PastTransfer, PendingState, Transfer, TransferFlags,
    TransferKey, TransferStatus, TrialBalance,
};
use types::{AccountId, Amount, Code, Digest, LedgerId, Origin, PaymentId, Seq, Timestamp, Token, TransferId};

use crate::testing::{MemoryDisk, MemoryLog};
use crate::*;

mod payments;

use payments::open_payments;

pub(super) const ORIGIN: Origin = Origin::new(7);

/// An event, and the transfer that it created.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened {
    pub(super) placed: IndexedEntry,
    transfer: Option<Transfer>,
    /// What a payment is found by from here on.
    terms: Option<(Seq, [Term; 3])>,
}

impl Happened {
    fn push_to(&self, batch: &mut IndexUpdate) {
        batch.push(&self.placed);
        if let Some((decided, terms)) = self.terms {
            terms.into_iter().for_each(|term| batch.add_term(term, decided));
        }
    }
}

/// What the model remembers of a generation.
#[derive(Debug, Clone, Default)]
struct Era {
    events: Vec<Happened>,
    generation: Option<Generation>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: MemoryDisk,
    pub(super) log: MemoryLog,
    pub(super) index: Index,
    /// The last one is still open.
    eras: Vec<Era>,
    pub(super) accounts: Vec<Account>,
    changed: BTreeMap<AccountPlace, ()>,
    entries: u64,
    random: u64,
    ordered_ids: bool,
    unresolved: Vec<u128>,
    /// Payments that are open, and all payments.
    open_payments: Vec<u128>,
    payments: Vec<u128>,
    /// The entry that decided each payment, and all terms that it got.
    found_by: BTreeMap<u128, (Seq, Vec<Term>)>,
    /// Every record that a window may contain.
    records: Vec<Update>,
    pub(super) chosen: u8,
}

impl World {
    pub(super) fn new(seed: u64, ordered_ids: bool) -> Self {
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
            open_payments: Vec::new(),
            payments: Vec::new(),
            found_by: BTreeMap::new(),
            records: Vec::new(),
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

    fn happen(&mut self, event: IndexedFact, transfer: Option<Transfer>) -> Happened {
        let placed = IndexedEntry { position: self.position(), timestamp: self.now(), event };
        let terms = self.terms_of(event);
        let happened = Happened { placed, transfer, terms };
        if let Some(transfer) = transfer {
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
        self.happen(IndexedFact::Account { id: id.get(), place, import: None }, None)
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
        self.happen(IndexedFact::Transfer { id, debit, credit, is_pending, resolves }, Some(transfer))
    }

    /// Makes one entry. Some kinds of entry have several events.
    fn entry(&mut self) -> Vec<Happened> {
        self.entries += 1;
        let kind = if self.accounts.len() < 2 { 0 } else { self.below(20) };
        match kind {
            0 => vec![self.open_account()],
            1 => {
                let id = self.fresh_id();
                vec![self.happen(IndexedFact::Failed { id, status: TransferStatus::ExceedsCredits.number() }, None)]
            }
            2 | 10 => self.payment(),
            11 | 12 if !self.payments.is_empty() => self.payment_change(),
            13 if !self.records.is_empty() => self.record_change(),
            3 => vec![self.happen(IndexedFact::Other, None)],
            14 => vec![self.happen(IndexedFact::KeyUsed, None)],
            4 if !self.unresolved.is_empty() => {
                let id = self.unresolved.remove(0);
                vec![self.happen(IndexedFact::Expired { id }, None)]
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

    pub(super) fn publish(&mut self, entries: u64) {
        let mut batch = IndexUpdate::default();
        for _ in 0..entries {
            self.entry().iter().for_each(|happened| happened.push_to(&mut batch));
        }
        self.index.publish(batch);
    }

    pub(super) fn seal(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        let changed: Vec<_> = changed.into_keys().map(|place| (place, self.accounts[place.0 as usize])).collect();
        let mut changes = AccountChanges::default();
        // The later list must win over this stale one.
        let stale = |(place, account): &(AccountPlace, Account)| {
            (*place, Account { debits_posted: Amount::new(1 << 90), ..*account })
        };
        changes.push(changed.iter().step_by(2).map(stale).collect());
        changes.push(changed);
        let (seq, segment) = (Seq::new(self.entries), 1 + self.entries / 50);
        let end = GenerationEnd {
            last: seq,
            decided_at: self.now(),
            recorded: self.entries,
            last_timestamp: self.now(),
            resume: StartAt { seq: seq.next(), segment, offset: 5 + self.entries, previous: [9; 32] },
            digest: Digest::of(&self.entries.to_le_bytes()),
        };
        let generation = Generation { end, totals: self.totals(), changes, streams: self.streams() };
        self.eras.last_mut().unwrap().generation = Some(generation.clone());
        self.eras.push(Era::default());
        self.index.seal(generation).unwrap();
    }

    /// The number of ledgers grows with time.
    fn totals(&self) -> Vec<(LedgerId, TrialBalance)> {
        let of = |ledger: u32| {
            let sum = Amount::new((u128::from(self.entries) << 70) + u128::from(ledger));
            let totals = TrialBalance {
                debits_pending: Amount::ZERO,
                debits_posted: sum,
                credits_pending: Amount::ZERO,
                credits_posted: sum,
                accounts: self.accounts.len(),
            };
            (LedgerId::new(ledger), totals)
        };
        (0..=u32::try_from(self.entries / 100).unwrap()).map(|number| of(number * 7 + 1)).collect()
    }

    pub(super) fn choose(&mut self, fields: u8) {
        self.chosen = fields;
        self.index.choose(LedgerId::new(1), IndexedFields::from_bits(fields.into()));
        self.index.drain().unwrap();
    }

    /// Closes the index and opens the files that it left on this disk. Publishes the events that the files do not
    /// contain.
    pub(super) fn reopen(&mut self, disk: MemoryDisk) -> usize {
        let (fresh, _) = Index::open(&MemoryDisk::default(), ORIGIN, self.log.clone()).unwrap();
        drop(std::mem::replace(&mut self.index, fresh));
        let (index, restored) = Index::open(&disk, ORIGIN, self.log.clone()).unwrap();
        self.disk = disk;
        let kept = match restored.end {
            None => 0,
            Some(end) => {
                let sealed = self.eras.iter().position(|era| era.generation.as_ref().is_some_and(|is| is.end == end));
                sealed.expect("the last sealed entry ends a generation") + 1
            }
        };
        self.check_restored(&restored, kept);
        index.restore_open(open_payments(self.eras[..kept].iter().flat_map(|era| &era.events)).into_iter());
        for era in &self.eras[kept..] {
            let mut batch = IndexUpdate::default();
            era.events.iter().for_each(|happened| happened.push_to(&mut batch));
            index.publish(batch);
            if let Some(generation) = &era.generation {
                index.seal(generation.clone()).unwrap();
            }
        }
        index.choose(LedgerId::new(1), IndexedFields::from_bits(self.chosen.into()));
        self.index = index;
        kept
    }

    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = &Happened> {
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
            if let IndexedFact::Transfer { id, is_pending: true, .. } = placed.event {
                pendings.insert(id, placed.position);
            }
            if let Some((id, _)) = resolution_of(placed.event) {
                pendings.remove(&id);
            }
        }
        let mut pendings: Vec<_> = pendings.into_values().collect();
        pendings.sort_unstable();
        assert_eq!(restored.pendings().unwrap(), pendings);
        let mut open: BTreeMap<u128, Vec<Position>> = BTreeMap::new();
        for placed in &events {
            if let IndexedFact::Payment { id, is_open: true, .. } = placed.event {
                open.insert(id, vec![placed.position]);
            }
            if let IndexedFact::PaymentChanged { id, closes, .. } = placed.event {
                open.entry(id).and_modify(|entries| entries.push(placed.position));
                if closes {
                    open.remove(&id);
                }
            }
        }
        let is_listed = |event| matches!(event, IndexedFact::Other | IndexedFact::KeyUsed);
        let others = events.iter().filter(|placed| is_listed(placed.event)).map(|placed| placed.position);
        let mut entries: Vec<Position> = others.chain(open.into_values().flatten()).collect();
        entries.sort_unstable();
        assert_eq!(restored.entries().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), entries);
        self.check_restored_windows(restored, kept);
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
            // Bounds by time may exclude only positions that are out of bounds.
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

    pub(super) fn check_all(&self) {
        for place in (0..u32::try_from(self.accounts.len()).unwrap()).map(AccountPlace) {
            let id = self.accounts[place.0 as usize].id;
            assert_eq!(self.index.account_place(id).unwrap(), Some(place));
            for sides in [Sides::Both, Sides::Debits, Sides::Credits] {
                let on_side = |happened: &Happened| {
                    accounts_of(happened.placed.event).is_some_and(|(debit, credit)| {
                        (debit == place && sides != Sides::Credits) || (credit == place && sides != Sides::Debits)
                    })
                };
                self.check_positions(&on_side, &|bounds, reversed| self.index.postings(place, sides, bounds, reversed));
            }
            for generation in 0..self.eras.len() - 1 {
                let found = self.index.balances_at(place, u32::try_from(generation).unwrap()).unwrap();
                assert_eq!(found, self.balances_at(place, generation));
            }
        }
        self.check_ids();
        self.check_payments();
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
                let resolved = resolution_of(happened.placed.event)?;
                let is_covered = happened.placed.timestamp <= Timestamp::from_ns(1_000 + through * 10);
                (resolved.0 == wanted && is_covered).then_some((resolved.1, happened.placed.position))
            })
        };
        for happened in self.events() {
            let at = happened.placed.timestamp;
            if happened.transfer.is_some() && at <= Timestamp::from_ns(1_000 + covered * 10) {
                assert!(past.has_timestamp(at), "{happened:?}");
            }
            let Some(id) = id_of(happened.placed.event) else { continue };
            let state = match happened.placed.event {
                IndexedFact::Failed { status, .. } => IdState::Failed(status),
                IndexedFact::Transfer { is_pending: true, .. } => {
                    IdState::CreatedPending(resolution(id, u64::MAX / 20))
                }
                IndexedFact::Transfer { .. }
                | IndexedFact::Staged { .. }
                | IndexedFact::Leg { .. }
                | IndexedFact::Expired { .. }
                | IndexedFact::Account { .. }
                | IndexedFact::Payment { .. }
                | IndexedFact::PaymentChanged { .. }
                | IndexedFact::WindowRecord(_)
                | IndexedFact::WindowReach { .. }
                | IndexedFact::KeyUsed
                | IndexedFact::Other => IdState::Created,
            };
            let found = self.index.find(TransferId::new(id)).unwrap();
            assert_eq!(found, Some(Found { position: happened.placed.position, state, import: None }));
            if happened.placed.timestamp > Timestamp::from_ns(1_000 + covered * 10) {
                continue;
            }
            let at = happened.placed.timestamp;
            assert_eq!(past.has_timestamp(at), happened.transfer.is_some());
            assert!(!past.has_timestamp(Timestamp::from_ns(at.ns() + 1)));
            let expected = match (state, happened.transfer) {
                (IdState::Failed(_), _) | (_, None) => PastTransfer::Failed(TransferStatus::ExceedsCredits),
                (IdState::Created, Some(transfer)) => PastTransfer::Created { transfer, state: None },
                (IdState::CreatedPending(_), Some(transfer)) => {
                    // The background thread may have made progress since.
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
            let totals = era.generation.as_ref().map(|generation| generation.totals.clone());
            assert_eq!(self.index.totals_at(number).unwrap(), totals.unwrap_or_default());
            if let Some(end) = end {
                let before = Timestamp::from_ns(end.last_timestamp.ns() - 1);
                let earlier =
                    self.eras.iter().flat_map(|era| &era.generation).filter(|it| it.end.last_timestamp <= before);
                assert_eq!(self.index.generation_at(before), u32::try_from(earlier.count()).unwrap().checked_sub(1));
            }
        }
    }
}

/// The transfer id that an event uses up.
pub(super) fn id_of(event: IndexedFact) -> Option<u128> {
    if let IndexedFact::Transfer { id, .. } | IndexedFact::Failed { id, .. } = event { Some(id) } else { None }
}

/// The pending transfer that an event resolves, and how.
fn resolution_of(event: IndexedFact) -> Option<(u128, PendingState)> {
    if let IndexedFact::Expired { id } = event {
        return Some((id, PendingState::Expired));
    }
    if let IndexedFact::Transfer { resolves, .. } = event { resolves } else { None }
}

/// The accounts of a transfer or leg.
fn accounts_of(event: IndexedFact) -> Option<(AccountPlace, AccountPlace)> {
    if let IndexedFact::Transfer { debit, credit, .. } | IndexedFact::Leg { debit, credit } = event {
        Some((debit, credit))
    } else {
        None
    }
}
