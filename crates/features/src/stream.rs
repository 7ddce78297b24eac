//! The state of one stream: its entities, their records, and how idle entities are dropped.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::FixedState;
use types::{Timestamp, Token};

use crate::entity_records::{EntityRecords, Key};
use crate::window::{after, first_within};
use crate::{
    Aggregate, Candidate, Item, Missing, RecordChange, RestoredRecord, Stream, StreamBounds, Update, UpdateOutcome,
    View, Window,
};

/// How many entities an insert checks to find idle ones. An insert makes at most one more check necessary, or two if
/// its entity is new. Checking more than two therefore keeps up, however many entities become idle at once.
const LOOKS_PER_INSERT: usize = 4;

/// The state of one stream.
///
/// The horizon is the first instant that the retention covers, counted from the newest insert into any entity. Earlier
/// records are gone for every reader at once, whenever their memory is freed. The horizon never moves back.
///
/// An entity is *idle* once nothing about it is left within the retention. It is then as if it had never been seen,
/// whenever its memory is freed. So the state does not depend on when memory is freed, and is the same after a restart.
#[derive(Debug, Clone)]
pub(crate) struct StreamState {
    bounds: Stream,
    horizon: Timestamp,
    /// For an entity that is not held, `entities_max` has refused only records before this instant.
    refused: Timestamp,
    /// Tokens are derived with secret keys at the edge, so nobody can choose them to collide, and a fixed seed is safe.
    entities: HashMap<Token, EntityRecords, FixedState>,
    /// Every entity with its `checked_at`, which is no later than its latest instant. The first are the next that may be idle. An
    /// entity can have later or earlier places in the list as well, which are ignored.
    idle: BinaryHeap<Reverse<(Timestamp, Token)>>,
    records: u64,
    /// Whether entities keep the spread of their records from their next record on. It only makes reading faster, and is not
    /// part of the state.
    keeps_spreads: bool,
}

impl StreamState {
    pub(crate) fn new(bounds: Stream) -> Self {
        Self {
            horizon: bounds.recorded_since,
            bounds,
            refused: Timestamp::ZERO,
            entities: HashMap::default(),
            idle: BinaryHeap::new(),
            records: 0,
            keeps_spreads: false,
        }
    }

    pub(crate) fn widen(&mut self, bounds: &Stream) {
        self.horizon = self.horizon.max(bounds.recorded_since);
        self.bounds.retention = self.bounds.retention.max(bounds.retention);
        self.bounds.records_max = self.bounds.records_max.max(bounds.records_max);
        self.bounds.entities_max = self.bounds.entities_max.max(bounds.entities_max);
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn horizon(&self) -> Timestamp {
        self.horizon
    }

    pub(crate) fn entities(&self) -> u64 {
        self.entities.len() as u64
    }

    pub(crate) fn bounds(&self) -> StreamBounds {
        StreamBounds { stream: self.bounds.id, horizon: self.horizon, refused: self.refused }
    }

    /// The records of an entity that is not idle.
    fn held(&self, entity: Token) -> Option<&EntityRecords> {
        self.entities.get(&entity).filter(|history| history.matters_from(self.horizon))
    }

    pub(crate) fn keep_spreads(&mut self) {
        self.keeps_spreads = true;
    }

    /// The records of an entity in a window as of `at`, without the record `without` and with the value `candidate` at the end.
    pub(crate) fn view(
        &self,
        entity: Token,
        window: Window,
        at: Timestamp,
        (without, candidate): (Option<Key>, Option<Candidate>),
    ) -> Result<View<'_>, Missing> {
        let Some((first, last)) = window.instants(at) else { return Ok(View::empty(at, candidate)) };
        if first < self.horizon {
            return Err(Missing::WindowTruncated);
        }
        match self.held(entity) {
            Some(history) if first < history.reach() => Err(Missing::WindowTruncated),
            Some(history) => {
                let without = without.and_then(|key| history.held_at(key));
                Ok(View::of(history, (first, last), without, (at, candidate)))
            }
            None if first < self.refused => Err(Missing::TooManyEntities),
            None => Ok(View::empty(at, candidate)),
        }
    }

    /// Everything that can still be asked about an entity, and the first instant that it covers.
    pub(crate) fn whole(&self, entity: Token) -> (Timestamp, Aggregate) {
        match self.held(entity) {
            Some(history) => {
                let first = history.reach().max(self.horizon);
                (first, history.aggregate(first, Timestamp::MAX))
            }
            None => (self.refused.max(self.horizon), Aggregate::default()),
        }
    }

    /// The first instant from which every record of an entity is held, if it is after the horizon and an update with this outcome
    /// may have changed it: because it dropped a record, or because the entity is new.
    pub(crate) fn new_reach(&self, entity: Token, outcome: UpdateOutcome) -> Option<Timestamp> {
        if outcome != UpdateOutcome::Trimmed && self.refused <= self.horizon {
            return None;
        }
        self.held(entity).map(EntityRecords::reach).filter(|reach| *reach > self.horizon)
    }

    /// Every record that can still be asked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Token, RestoredRecord)> {
        self.entities.iter().flat_map(|(entity, history)| {
            let records = history.records().filter(|record| record.key.at >= self.horizon);
            records.map(|record| (*entity, record))
        })
    }

    pub(crate) fn apply(&mut self, update: &Update) -> UpdateOutcome {
        let key = Key { at: update.at, seq: update.seq };
        if let RecordChange::Insert { .. } = update.change {
            self.horizon = self.horizon.max(first_within(self.bounds.retention, update.at));
            for _ in 0..LOOKS_PER_INSERT {
                if !self.free_idle() {
                    break;
                }
            }
        }
        if key.at < self.horizon {
            return UpdateOutcome::Unchanged;
        }
        match update.change {
            RecordChange::Insert { value, item } => self.insert(update.entity, key, (value, item)),
            RecordChange::Remove => self.change(update.entity, |history| history.remove(key)),
            RecordChange::Label { positive } => self.change(update.entity, |history| history.label(key, positive)),
        }
    }

    fn insert(&mut self, entity: Token, key: Key, (value, item): (i64, Option<Item>)) -> UpdateOutcome {
        if self.held(entity).is_none() {
            // Some of the refused records may have been this entity's.
            if key.at < self.refused {
                return UpdateOutcome::Dropped(Missing::WindowTruncated);
            }
            if !self.enter(entity) {
                self.refused = after(key.at);
                return UpdateOutcome::Dropped(Missing::TooManyEntities);
            }
        }
        let records_max = room(self.bounds.records_max);
        let Some(history) = self.entities.get_mut(&entity) else {
            unreachable!("FEA-3: an entity that was entered is held")
        };
        // Every window over this record would also need a dropped record.
        if key.at < history.reach() {
            return UpdateOutcome::Dropped(Missing::WindowTruncated);
        }
        let held = history.len() as u64;
        if self.keeps_spreads {
            history.keep_spreads();
        }
        history.insert(key, value, item);
        let trimmed = history.trim(self.horizon, records_max);
        self.records = self.records.saturating_sub(held).saturating_add(history.len() as u64);
        self.check_in_time(entity);
        if trimmed { UpdateOutcome::Trimmed } else { UpdateOutcome::Kept }
    }

    /// Makes room for an entity that is not held. Returns false if there is none.
    fn enter(&mut self, entity: Token) -> bool {
        self.remove(entity);
        let entities_max = room(self.bounds.entities_max);
        if self.entities.len() >= entities_max {
            while self.free_idle() {}
            if self.entities.len() >= entities_max {
                return false;
            }
        }
        self.entities.insert(entity, EntityRecords::starting(self.refused));
        true
    }

    fn change(&mut self, entity: Token, change: impl FnOnce(&mut EntityRecords) -> bool) -> UpdateOutcome {
        let Some(history) = self.entities.get_mut(&entity) else { return UpdateOutcome::Unchanged };
        let held = history.len() as u64;
        let changed = change(history);
        self.records = self.records.saturating_sub(held).saturating_add(history.len() as u64);
        self.check_in_time(entity);
        if changed { UpdateOutcome::Kept } else { UpdateOutcome::Unchanged }
    }

    /// Makes sure that an entity is checked as soon as it can be idle, and forgets it if it is idle already.
    fn check_in_time(&mut self, entity: Token) {
        let Some(history) = self.entities.get_mut(&entity) else { return };
        match history.latest() {
            Some(latest) if latest >= self.horizon => {
                if latest < history.checked_at {
                    history.checked_at = latest;
                    self.idle.push(Reverse((latest, entity)));
                }
            }
            _ => self.remove(entity),
        }
    }

    fn remove(&mut self, entity: Token) {
        if let Some(removed) = self.entities.remove(&entity) {
            self.records = self.records.saturating_sub(removed.len() as u64);
        }
    }

    /// Checks the entity that is the most likely to be idle, and forgets it if it is. Only entities within the retention
    /// count towards `entities_max`. Returns false if no more entities are idle.
    fn free_idle(&mut self) -> bool {
        let due = self.idle.peek().filter(|Reverse((at, _))| *at < self.horizon);
        let Some(Reverse((at, entity))) = due.copied() else { return false };
        self.idle.pop();
        if let Some(history) = self.entities.get_mut(&entity).filter(|history| history.checked_at == at) {
            let records = history.len() as u64;
            history.trim(self.horizon, room(self.bounds.records_max));
            history.shrink();
            history.checked_at = Timestamp::MAX;
            self.records = self.records.saturating_sub(records).saturating_add(history.len() as u64);
            self.check_in_time(entity);
        }
        true
    }

    /// Sets the bounds that the stream had when its records were stored.
    pub(crate) fn restore_bounds(&mut self, bounds: &StreamBounds) {
        self.horizon = self.horizon.max(bounds.horizon);
        self.refused = bounds.refused;
    }

    /// Restores an entity. `records` are in order, and contain all that it has from `reach` on.
    pub(crate) fn restore(&mut self, entity: Token, reach: Timestamp, records: &[RestoredRecord]) {
        let mut history = EntityRecords::starting(reach);
        let first = self.horizon.max(reach);
        let held = records.get(records.partition_point(|record| record.key.at < first)..).unwrap_or_default();
        history.reserve(held.len());
        for RestoredRecord { key, value, item, positive } in held {
            history.insert(*key, *value, *item);
            if *positive {
                history.label(*key, true);
            }
        }
        self.records = self.records.saturating_add(history.len() as u64);
        let replaced = self.entities.insert(entity, history);
        assert!(replaced.is_none(), "FEA-3: an entity is restored once");
        self.check_in_time(entity);
    }
}

fn room(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}
