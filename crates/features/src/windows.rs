//! All streams of a shard: reads windows and applies updates to them.

use std::collections::BTreeMap;
use std::fmt;

use types::{DigestBuilder, Span, Timestamp, Token};

use crate::entity_records::Key;
use crate::stream::StreamState;
use crate::{Aggregate, Candidate, Item, Missing, RecordChange, StoredUpdate, Update, UpdateOutcome, View, Window};

/// Number of a stream. It is assigned when a policy is activated and is permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a stream keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub id: StreamId,
    /// How far back from its newest record, of any entity, the stream can be asked. It must cover the longest window
    /// with its delay, plus how far its clock may be ahead or behind (`ahead_max + late_max`).
    pub retention: Span,
    /// Most records per entity. Beyond it the oldest are dropped. A late insert or a removal takes time in proportion
    /// to it, and so does an insert with an item that is new to the entity.
    pub records_max: u32,
    /// Most entities with records within the retention. Beyond it, records of new entities are dropped.
    pub entities_max: u32,
    /// Nothing before this instant was recorded. Windows that reach back before it are missing, not short.
    pub recorded_since: Timestamp,
}

/// What a stream covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamBounds {
    pub stream: StreamId,
    /// The first instant within the retention.
    pub horizon: Timestamp,
    /// For an entity that is not held, `entities_max` has refused only records before this instant.
    pub refused: Timestamp,
}

/// A record as it is stored for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredRecord {
    pub key: Key,
    /// What the record adds to a sum.
    pub value: i64,
    /// What the record is about besides that, if the stream remembers it.
    pub item: Option<Item>,
    /// Whether its label is positive.
    pub positive: bool,
}

/// All streams of a shard.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    streams: BTreeMap<StreamId, StreamState>,
}

impl Windows {
    /// Opens a new, empty stream, or widens an existing one: its retention and bounds become the larger of the old ones
    /// and those of `stream`. What was dropped before stays dropped, and windows that need it stay missing.
    pub fn open(&mut self, stream: &Stream) {
        self.streams
            .entry(stream.id)
            .and_modify(|state| state.widen(stream))
            .or_insert_with(|| StreamState::new(stream.clone()));
    }

    /// Closes a stream and frees its records. Updates for it change nothing from now on.
    pub fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// The first instant from which on the stream covers every record, unless a bound dropped some of an entity. `None`
    /// if the stream is not open.
    pub fn covered_since(&self, stream: StreamId) -> Option<Timestamp> {
        self.streams.get(&stream).map(StreamState::horizon)
    }

    /// Aggregates the records of `entity` in `window` as of `at`, in time logarithmic in their number.
    ///
    /// `candidate` is the value of the record that is being decided on, at exactly `at`. It counts as if it were
    /// recorded, which only a window without delay can see. An entity without records has an exact answer: zero.
    ///
    /// # Errors
    /// If a bound has dropped something that the window may need.
    pub fn aggregate(
        &self,
        stream: StreamId,
        entity: Token,
        window: Window,
        at: Timestamp,
        candidate: Option<i64>,
    ) -> Result<Aggregate, Missing> {
        let candidate = candidate.map(|value| Candidate { value, item: None });
        self.view(stream, entity, window, at, (None, candidate)).map(|view| view.aggregate())
    }

    /// The records that [`Windows::aggregate`] aggregates, for everything that can be computed from them.
    ///
    /// The record `without` counts as if it had not been recorded: a payment that is decided again must not count twice.
    ///
    /// # Errors
    /// As there.
    pub fn view(
        &self,
        stream: StreamId,
        entity: Token,
        window: Window,
        at: Timestamp,
        (without, candidate): (Option<Key>, Option<Candidate>),
    ) -> Result<View<'_>, Missing> {
        let state = self.streams.get(&stream).ok_or(Missing::UnknownStream)?;
        let seen = window.delay == Span::ZERO && window.length > Span::ZERO;
        state.view(entity, window, at, (without, candidate.filter(|_| seen)))
    }

    /// Keeps, of each entity of a stream from its next record on, the minimum, the maximum and the sum of squares of every 32 records.
    /// They take 1.25 bytes a record, and make [`View::moments`] and [`View::extremes`] faster; the results are the same.
    pub fn keep_spreads(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.keep_spreads();
        }
    }

    /// Applies one journaled fact to the windows. Every node and every replay runs exactly this.
    pub fn apply(&mut self, update: &Update) -> UpdateOutcome {
        match self.streams.get_mut(&update.stream) {
            Some(state) => state.apply(update),
            None => UpdateOutcome::Unchanged,
        }
    }

    /// Adds the logical after-image of `update` to a digest: what can still be asked about its entity. Older records
    /// that are still in memory but no longer count are not part of it.
    ///
    /// The order is: stream, entity, instant (ns) and sequence of the record; 0 and the value for an insert, 1 and 0
    /// for a removal, 2 and 1 or 0 for a label, 3 and the value and the item (8 bytes) for an insert with an item; then, for everything that can still be asked about the entity, the
    /// first instant (ns), the number of records, their sum and the number of positive labels. Entity, value and sum
    /// take 16 bytes, the others 8. For a stream that is not open, the last four are zeros.
    pub fn digest_after(&self, update: &Update, into: &mut DigestBuilder) {
        into.u64(u64::from(update.stream.get())).u128(update.entity.get()).u64(update.at.ns()).u64(update.seq.get());
        match update.change {
            RecordChange::Insert { value, item: None } => into.u64(0).i128(i128::from(value)),
            RecordChange::Insert { value, item: Some(item) } => into.u64(3).i128(i128::from(value)).u64(item.get()),
            RecordChange::Remove => into.u64(1).i128(0),
            RecordChange::Label { positive } => into.u64(2).i128(i128::from(positive)),
        };
        let state = self.streams.get(&update.stream);
        let (first, held) = state.map(|state| state.whole(update.entity)).unwrap_or_default();
        into.u64(first.ns()).u64(held.count).i128(held.sum).u64(held.positives);
    }

    /// What every open stream covers, in order of number. A restart needs it.
    pub fn bounds(&self) -> impl Iterator<Item = StreamBounds> {
        self.streams.values().map(StreamState::bounds)
    }

    /// What a restart needs of an update that was just applied; `None` if it changed nothing.
    pub fn stored(&self, update: &Update, outcome: UpdateOutcome) -> Option<StoredUpdate> {
        match outcome {
            UpdateOutcome::Kept | UpdateOutcome::Trimmed => {
                let state = self.streams.get(&update.stream);
                let reach = state.and_then(|state| state.new_reach(update.entity, outcome));
                Some(StoredUpdate { update: *update, reach })
            }
            UpdateOutcome::Unchanged | UpdateOutcome::Dropped(_) => None,
        }
    }

    /// Every record that a window can contain, entity by entity in no particular order, and in order for each entity.
    pub fn all(&self, stream: StreamId) -> impl Iterator<Item = (Token, RestoredRecord)> {
        self.streams.get(&stream).into_iter().flat_map(StreamState::all)
    }

    /// Restores what an open stream covered when its records were stored. This comes before its entities.
    pub fn restore_bounds(&mut self, bounds: &StreamBounds) {
        if let Some(state) = self.streams.get_mut(&bounds.stream) {
            state.restore_bounds(bounds);
        }
    }

    /// Restores an entity of an open stream: `records`, in order, are all that it has from `reach` on. Records before the horizon
    /// of the stream are ignored. If the stream is not open, nothing happens.
    pub fn restore(&mut self, stream: StreamId, entity: Token, reach: Timestamp, records: &[RestoredRecord]) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.restore(entity, reach, records);
        }
    }

    /// Number of records in memory, over all streams.
    pub fn records(&self) -> u64 {
        self.streams.values().map(StreamState::records).sum()
    }

    /// Number of entities in memory. An entity counts once per stream that holds it.
    pub fn entities(&self) -> u64 {
        self.streams.values().map(StreamState::entities).sum()
    }
}
