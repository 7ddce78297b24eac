//! Payments and window records in the model.

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
            change: RecordChange::Insert { value: i64::try_from(self.below(100)).unwrap() - 50 },
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
        vec![self.happen(IndexedFact::PaymentChanged { id, closes }, None)]
    }

    /// Changes a record, held or removed.
    pub(super) fn record_change(&mut self) -> Vec<Happened> {
        let count = self.records.len() as u64;
        let place = usize::try_from(self.below(count)).unwrap();
        let record = self.records[place];
        let change = match self.below(4) {
            0 => RecordChange::Remove,
            1 => RecordChange::Insert { value: 1_000 },
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
        for ((stream, entity, key), (value, positive)) in windows_of(events()) {
            if horizon(stream).is_some_and(|horizon| key.at >= horizon) {
                let records = &mut expected.entry((stream, entity)).or_default().1;
                records.push(RestoredRecord { key, value, positive });
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
        let middle = order.get(order.len() / 2).map(|(seq, _)| *seq);
        for (after, reversed, limit) in [None, middle]
            .into_iter()
            .flat_map(|after| [(after, false, 7), (after, true, 7), (after, false, 9_999), (after, true, 9_999)])
        {
            let mut expected = order.clone();
            if reversed {
                expected.retain(|(seq, _)| after.is_none_or(|after| *seq < after));
                expected.reverse();
            } else {
                expected.retain(|(seq, _)| after.is_none_or(|after| *seq > after));
            }
            expected.truncate(limit);
            assert_eq!(self.index.payments(after, reversed, limit).unwrap(), expected, "{after:?} {reversed} {limit}");
        }
    }
}

type RecordKey = (StreamId, Token, Key);

fn key_of(update: &Update) -> RecordKey {
    (update.stream, update.entity, Key { at: update.at, seq: update.seq })
}

/// The records that are held after these events: value and label.
fn windows_of<'a>(events: impl Iterator<Item = &'a Happened>) -> BTreeMap<RecordKey, (i64, bool)> {
    let mut records: BTreeMap<RecordKey, (i64, bool)> = BTreeMap::new();
    for happened in events {
        let IndexedFact::WindowRecord(update) = happened.placed.event else { continue };
        match update.change {
            RecordChange::Insert { value } => records.entry(key_of(&update)).or_default().0 = value,
            RecordChange::Remove => drop(records.remove(&key_of(&update))),
            RecordChange::Label { positive } => records.get_mut(&key_of(&update)).unwrap().1 = positive,
        }
    }
    records
}
