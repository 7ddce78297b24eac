//! The state of one stream: its entities, their records, and how idle entities are dropped.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::FixedState;
use types::{Timestamp, Token};

use crate::entity_records::{EntityRecords, Key};
use crate::window::{after, first_within};
use crate::{Aggregate, Missing, RecordChange, Stream, Update, UpdateOutcome, Window};

/// How many entities an insert checks to find idle ones. An insert makes at most one more check necessary, or two if
/// its entity is new. Checking more than two therefore keeps up, however many entities become idle at once.
const LOOKS_PER_INSERT: usize = 4;

/// The state of one stream.
///
/// The horizon is the first instant that the retention covers, counted from the newest insert into any entity. Earlier
/// records are gone for every reader at once, whenever their memory is freed. The horizon never moves back.
#[derive(Debug, Clone)]
pub(crate) struct StreamState {
    bounds: Stream,
    horizon: Timestamp,
    /// For an entity that is not held, `entities_max` has refused only records before this instant.
    refused: Timestamp,
    /// Tokens are derived with secret keys at the edge, so nobody can choose them to collide, and a fixed seed is safe.
    entities: HashMap<Token, EntityRecords, FixedState>,
    /// Each entity once, with an instant no later than its latest one. The first of them are the next that may be idle.
    idle: BinaryHeap<Reverse<(Timestamp, Token)>>,
    records: u64,
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

    pub(crate) fn aggregate(&self, entity: Token, window: Window, at: Timestamp) -> Result<Aggregate, Missing> {
        let Some((first, last)) = window.instants(at) else { return Ok(Aggregate::default()) };
        if first < self.horizon {
            return Err(Missing::WindowTruncated);
        }
        match self.entities.get(&entity) {
            Some(history) if first < history.reach() => Err(Missing::WindowTruncated),
            Some(history) => Ok(history.aggregate(first, last)),
            None if first < self.refused => Err(Missing::TooManyEntities),
            None => Ok(Aggregate::default()),
        }
    }

    /// Everything that can still be asked about an entity, and the first instant that it covers.
    pub(crate) fn whole(&self, entity: Token) -> (Timestamp, Aggregate) {
        match self.entities.get(&entity) {
            Some(history) => {
                let first = history.reach().max(self.horizon);
                (first, history.aggregate(first, Timestamp::MAX))
            }
            None => (self.refused.max(self.horizon), Aggregate::default()),
        }
    }

    pub(crate) fn apply(&mut self, update: &Update) -> UpdateOutcome {
        let key = Key { at: update.at, seq: update.seq };
        if let RecordChange::Insert { .. } = update.change {
            self.horizon = self.horizon.max(first_within(self.bounds.retention, update.at));
            self.free_idle();
        }
        if key.at < self.horizon {
            return UpdateOutcome::Unchanged;
        }
        match update.change {
            RecordChange::Insert { value } => self.insert(update.entity, key, value),
            RecordChange::Remove => self.change(update.entity, |history| history.remove(key)),
            RecordChange::Label { positive } => self.change(update.entity, |history| history.label(key, positive)),
        }
    }

    fn insert(&mut self, entity: Token, key: Key, value: i64) -> UpdateOutcome {
        let full = self.entities.len() >= room(self.bounds.entities_max);
        let history = match self.entities.entry(entity) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(_) if full => {
                self.refused = self.refused.max(after(key.at));
                return UpdateOutcome::Dropped(Missing::TooManyEntities);
            }
            Entry::Vacant(vacant) => {
                self.idle.push(Reverse((key.at, entity)));
                // Some of the refused records may have been this entity's.
                vacant.insert(EntityRecords::starting(self.refused))
            }
        };
        // Every window over this record would also need a dropped record.
        if key.at < history.reach() {
            return UpdateOutcome::Dropped(Missing::WindowTruncated);
        }
        let held = history.len() as u64;
        history.insert(key, value);
        let dropped = history.trim(self.horizon, room(self.bounds.records_max));
        self.records = self.records.saturating_sub(held).saturating_add(history.len() as u64);
        if dropped { UpdateOutcome::Dropped(Missing::WindowTruncated) } else { UpdateOutcome::Kept }
    }

    fn change(&mut self, entity: Token, change: impl FnOnce(&mut EntityRecords) -> bool) -> UpdateOutcome {
        let Some(history) = self.entities.get_mut(&entity) else { return UpdateOutcome::Unchanged };
        let held = history.len() as u64;
        let changed = change(history);
        self.records = self.records.saturating_sub(held).saturating_add(history.len() as u64);
        if changed { UpdateOutcome::Kept } else { UpdateOutcome::Unchanged }
    }

    /// Forgets entities about which nothing can be asked any more, so that only entities within the retention count
    /// towards `entities_max`. An entity whose last record was removed stays until then.
    fn free_idle(&mut self) {
        for _ in 0..LOOKS_PER_INSERT {
            let Some(Reverse((_, entity))) = self.idle.peek().filter(|Reverse((latest, _))| *latest < self.horizon)
            else {
                return;
            };
            let entity = *entity;
            self.idle.pop();
            let Entry::Occupied(mut held) = self.entities.entry(entity) else { continue };
            let history = held.get_mut();
            let records = history.len() as u64;
            history.trim(self.horizon, room(self.bounds.records_max));
            history.shrink();
            self.records = self.records.saturating_sub(records).saturating_add(history.len() as u64);
            match history.latest() {
                latest if latest < self.horizon => drop(held.remove()),
                latest => self.idle.push(Reverse((latest, entity))),
            }
        }
    }
}

fn room(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}
