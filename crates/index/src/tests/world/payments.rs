//! Payments and window records in the model.

use std::collections::BTreeSet;

use super::*;

impl World {
    /// Decides a payment with three legs and a record.
    pub(super) fn payment(&mut self) -> Vec<Happened> {
        let id = self.fresh_id();
        let is_open = self.below(2) == 0;
        if is_open {
            self.open_payments.push(id);
        }
        self.payments.push(id);
        let decided = IndexedFact::Payment { id, seq: Seq::new(self.entries), is_open };
        let mut happened = vec![self.happen(decided, None)];
        for number in 0..3 {
            let key = TransferKey::Leg { payment: PaymentId::new(id), number };
            let (transfer, debit, credit) = self.transfer(key, TransferFlags::NONE);
            happened.push(self.happen(IndexedFact::Leg { debit, credit }, Some(transfer)));
        }
        let record = Update {
            stream: StreamId::new(u32::try_from(1 + self.below(2)).unwrap()),
            entity: Token::new(self.below(5).into()),
            at: Timestamp::from_ns(self.now().ns() - self.below(30)),
            seq: Seq::new(self.entries),
            change: RecordChange::Insert {
                value: i64::try_from(self.below(100)).unwrap() - 50,
                item: Item::new(self.below(4)),
            },
        };
        self.records.push(record);
        happened.push(self.happen(IndexedFact::WindowRecord(record), None));
        if self.below(10) == 0 {
            let reach = Timestamp::from_ns(self.now().ns() - self.below(500));
            let Update { stream, entity, .. } = record;
            happened.push(self.happen(IndexedFact::WindowReach { stream, entity, reach }, None));
        }
        happened
    }

    /// Changes a payment, open or not.
    pub(super) fn payment_change(&mut self) -> Vec<Happened> {
        let closes = self.below(2) == 0 && !self.open_payments.is_empty();
        let from = if closes { &self.open_payments } else { &self.payments };
        let count = from.len() as u64;
        let place = usize::try_from(self.below(count)).unwrap();
        let id = if closes { self.open_payments.remove(place) } else { self.payments[place] };
        let decided = self.found_by[&id].0;
        vec![self.happen(IndexedFact::PaymentChanged { id, decided, closes }, None)]
    }

    /// Changes a record, held or removed.
    pub(super) fn record_change(&mut self) -> Vec<Happened> {
        let count = self.records.len() as u64;
        let place = usize::try_from(self.below(count)).unwrap();
        let record = self.records[place];
        let change = match self.below(4) {
            0 => RecordChange::Remove,
            1 => RecordChange::Insert { value: 1_000, item: Item::new(self.below(3)) },
            label => RecordChange::Label { positive: label == 2 },
        };
        // A label of a removed record is not indexed.
        if matches!(change, RecordChange::Label { .. }) && !windows_of(self.events()).contains_key(&key_of(&record)) {
            return vec![self.happen(IndexedFact::Other, None)];
        }
        vec![self.happen(IndexedFact::WindowRecord(Update { change, ..record }), None)]
    }

    /// Windows of stream 1 reach back a part of all time, those of stream 2 everything.
    pub(super) fn streams(&self) -> Vec<StreamBounds> {
        let horizon = |stream| if stream == 1 { Timestamp::from_ns(1_000 + self.entries * 5) } else { Timestamp::ZERO };
        let bounds = |stream| StreamBounds {
            stream: StreamId::new(stream),
            horizon: horizon(stream),
            refused: Timestamp::from_ns(self.entries),
        };
        [1, 2].map(bounds).to_vec()
    }

    pub(super) fn check_restored_windows(&self, restored: &Restored, kept: usize) {
        let generation = kept.checked_sub(1).and_then(|last| self.eras[last].generation.as_ref());
        let streams = generation.map(|generation| generation.streams.clone()).unwrap_or_default();
        assert_eq!(restored.streams().collect::<Vec<_>>(), streams);
        let horizon = |stream| streams.iter().find(|bounds| bounds.stream == stream).map(|bounds| bounds.horizon);
        let events = || self.eras[..kept].iter().flat_map(|era| &era.events);
        let mut expected: BTreeMap<_, (Timestamp, Vec<RestoredRecord>)> = BTreeMap::new();
        for ((stream, entity, key), (value, item, positive)) in windows_of(events()) {
            if horizon(stream).is_some_and(|horizon| key.at >= horizon) {
                let records = &mut expected.entry((stream, entity)).or_default().1;
                records.push(RestoredRecord { key, value, item, positive });
            }
        }
        for happened in events() {
            if let IndexedFact::WindowReach { stream, entity, reach } = happened.placed.event
                && horizon(stream).is_some_and(|horizon| reach >= horizon)
            {
                let known = &mut expected.entry((stream, entity)).or_default().0;
                *known = reach.max(*known);
            }
        }
        let mut found = BTreeMap::new();
        for restored in restored.window_entities().unwrap() {
            let WindowEntity { stream, entity, reach, mut records } = restored.unwrap();
            let horizon = horizon(stream).expect("the stream is open");
            records.retain(|record| record.key.at >= horizon);
            let reach = if reach >= horizon { reach } else { Timestamp::ZERO };
            if reach > Timestamp::ZERO || !records.is_empty() {
                assert_eq!(found.insert((stream, entity), (reach, records)), None);
            }
        }
        assert_eq!(found, expected);
    }

    pub(super) fn check_payments(&self) {
        let mut payments: BTreeMap<u128, PaymentFound> = BTreeMap::new();
        let mut order = Vec::new();
        for happened in self.events() {
            let decided = happened.placed.position;
            if let IndexedFact::Payment { id, seq, .. } = happened.placed.event {
                order.push((seq, decided));
                payments.insert(id, PaymentFound { decided, changes: Vec::new() });
            }
            if let IndexedFact::PaymentChanged { id, .. } = happened.placed.event {
                payments.get_mut(&id).unwrap().changes.push(decided);
            }
        }
        for (id, payment) in payments {
            assert_eq!(self.index.payment(PaymentId::new(id)).unwrap(), Some(payment));
        }
        assert_eq!(self.index.payment(PaymentId::new(5 << 100)).unwrap(), None);
        self.check_found(&order);
    }

    /// Random terms for an event that is about a payment.
    pub(super) fn terms_of(&mut self, event: IndexedFact) -> Option<(Seq, [Term; 3])> {
        let (IndexedFact::Payment { id, seq: decided, .. } | IndexedFact::PaymentChanged { id, decided, .. }) = event
        else {
            return None;
        };
        let few = TAGS[usize::try_from(self.below(4)).unwrap()];
        let rare = Term::of_ledger(LedgerId::new(u32::try_from(1 + self.below(40)).unwrap()));
        let terms = [Term::of_tag(few), rare, Term::of_type("card")];
        self.found_by.entry(id).or_insert((decided, Vec::new())).1.extend(terms);
        Some((decided, terms))
    }

    /// Compares every kind of search with a scan.
    fn check_found(&self, order: &[(Seq, Position)]) {
        let all: BTreeMap<Seq, &Vec<Term>> = self.found_by.values().map(|(seq, terms)| (*seq, terms)).collect();
        let open = open_payments(self.events());
        let tag = |number: usize| vec![Term::of_tag(TAGS[number])];
        let rare = |number| vec![Term::of_ledger(LedgerId::new(number))];
        let conditions = [
            vec![],
            vec![tag(0)],
            vec![tag(0), tag(1)],
            vec![rare(7), tag(2), vec![Term::of_type("card")]],
            vec![vec![Term::of_tag(TAGS[1]), Term::of_tag(TAGS[3])], rare(9)],
            vec![(1..30).map(|number| Term::of_ledger(LedgerId::new(number))).collect(), tag(3)],
            vec![vec![Term::of_type("none")], tag(0)],
            vec![vec![]],
        ];
        let middle = order.get(order.len() / 2).map_or(Seq::new(1), |(seq, _)| *seq);
        let everything = (Seq::ZERO, Seq::new(u64::MAX));
        let ranges = [everything, (middle, everything.1), (everything.0, middle), (middle, middle)];
        for (conditions, within) in conditions.iter().flat_map(|one| ranges.map(|range| (one, range))) {
            for (is_open, reversed) in [(false, false), (false, true), (true, false), (true, true)] {
                let fits = |(seq, _): &&(Seq, Position)| {
                    let has = |terms: &Vec<Term>| terms.iter().any(|term| all[seq].contains(term));
                    within.0 <= *seq
                        && *seq <= within.1
                        && conditions.iter().all(has)
                        && (!is_open || open.contains(seq))
                };
                let mut expected: Vec<(Seq, Position)> = order.iter().filter(fits).copied().collect();
                if reversed {
                    expected.reverse();
                }
                let wanted = PaymentsWanted { conditions: conditions.clone(), open: is_open, within, reversed };
                assert_eq!(self.found(&wanted, usize::MAX), expected, "{wanted:?}");
                // A search that is often interrupted finds the same.
                assert_eq!(self.found(&wanted, 5), expected, "{wanted:?}");
            }
        }
    }

    /// Everything that searches of `steps` each find, one after the other.
    fn found(&self, wanted: &PaymentsWanted, steps: usize) -> Vec<(Seq, Position)> {
        let mut wanted = wanted.clone();
        let mut all = Vec::new();
        loop {
            let mut found = self.index.find_payments(&wanted);
            let mut left = steps;
            loop {
                match found.next(&mut left).unwrap() {
                    Candidate::At(seq, position) => all.push((seq, position)),
                    Candidate::End => return all,
                    Candidate::Tired(seq) => {
                        let bound = if wanted.reversed { &mut wanted.within.1 } else { &mut wanted.within.0 };
                        *bound = seq;
                        break;
                    }
                }
            }
        }
    }
}

const TAGS: [&str; 4] = ["night", "abroad", "first", "large"];

/// The payments that are open after these events, by the entries that decided them.
pub(super) fn open_payments<'a>(events: impl Iterator<Item = &'a Happened>) -> BTreeSet<Seq> {
    let mut open = BTreeSet::new();
    for happened in events {
        if let IndexedFact::Payment { seq, is_open: true, .. } = happened.placed.event {
            open.insert(seq);
        }
        if let IndexedFact::PaymentChanged { decided, closes: true, .. } = happened.placed.event {
            open.remove(&decided);
        }
    }
    open
}

type RecordKey = (StreamId, Token, Key);

fn key_of(update: &Update) -> RecordKey {
    (update.stream, update.entity, Key { at: update.at, seq: update.seq })
}

/// The records that are held after these events: value, item and label.
fn windows_of<'a>(events: impl Iterator<Item = &'a Happened>) -> BTreeMap<RecordKey, (i64, Option<Item>, bool)> {
    let mut records: BTreeMap<RecordKey, (i64, Option<Item>, bool)> = BTreeMap::new();
    for happened in events {
        let IndexedFact::WindowRecord(update) = happened.placed.event else { continue };
        match update.change {
            RecordChange::Insert { value, item } => {
                let record = records.entry(key_of(&update)).or_default();
                *record = (value, item, record.2);
            }
            RecordChange::Remove => drop(records.remove(&key_of(&update))),
            RecordChange::Label { positive } => records.get_mut(&key_of(&update)).unwrap().2 = positive,
        }
    }
    records
}
