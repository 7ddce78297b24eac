//! All streams of a shard: reads windows and applies updates to them.

use std::collections::BTreeMap;
use std::fmt;

use types::{DigestBuilder, Span, Timestamp, Token};

use crate::stream::StreamState;
use crate::{Aggregate, Applied, Change, Missing, Update, Window};

/// A stream of a journal: numbered when a policy is activated, permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The stream with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Which one.
    pub id: StreamId,
    /// How far back from its newest record, of whichever entity, the stream can be asked. The longest window, with its
    /// delay and whatever its clock may lie ahead or behind (`ahead_max + late_max`), must fit.
    pub retention: Span,
    /// Records per entity; the oldest are dropped beyond it. A late insert or a removal takes time in proportion.
    pub records_max: u32,
    /// Entities with something to ask within the retention; records of new ones are dropped beyond it.
    pub entities_max: u32,
    /// What happened before this instant was not recorded: windows that reach there are missing, not short.
    pub recorded_since: Timestamp,
}

/// Every stream of a shard.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    streams: BTreeMap<StreamId, StreamState>,
}

impl Windows {
    /// Starts a stream empty, or widens one: its retention and bounds become the larger of what they were and of
    /// `stream`. What was dropped until now stays dropped, and missing.
    pub fn open(&mut self, stream: &Stream) {
        self.streams
            .entry(stream.id)
            .and_modify(|state| state.widen(stream))
            .or_insert_with(|| StreamState::new(stream.clone()));
    }

    /// What the records of `entity` in `window` add up to at the moment `at`, in time logarithmic in their number.
    ///
    /// `candidate` is the value of the record that is being decided upon, at exactly `at`: it counts as if it were
    /// recorded, which only a window without delay can see. An entity without records has an exact answer, zero.
    ///
    /// # Errors
    /// When a bound has dropped something that the window may need.
    pub fn aggregate(
        &self,
        stream: StreamId,
        entity: Token,
        window: Window,
        at: Timestamp,
        candidate: Option<i64>,
    ) -> Result<Aggregate, Missing> {
        let state = self.streams.get(&stream).ok_or(Missing::UnknownStream)?;
        let recorded = state.aggregate(entity, window, at)?;
        let seen = window.delay == Span::ZERO && window.length > Span::ZERO;
        Ok(candidate.filter(|_| seen).map_or(recorded, |value| recorded.with(value)))
    }

    /// Folds one journaled fact into the windows. Every node and every replay runs exactly this.
    pub fn apply(&mut self, update: &Update) -> Applied {
        match self.streams.get_mut(&update.stream) {
            Some(state) => state.apply(update),
            None => Applied::Dropped(Missing::UnknownStream),
        }
    }

    /// Adds the logical after-image of `update` to a digest: what can be asked about its entity, whether or not older
    /// records still wait in memory to be forgotten.
    ///
    /// In this order: stream, entity, instant (ns) and sequence of the record; 0 and the value of an insert, 1 and 0 of
    /// a removal, 2 and 1 or 0 of a label; then, of all that can still be asked about the entity, the first instant
    /// (ns), the number of records, their sum and the number of positive labels. Entity, value and sum are 16 bytes,
    /// the others 8. Four zeros end the image of a stream that is not open.
    pub fn digest_after(&self, update: &Update, into: &mut DigestBuilder) {
        into.u64(u64::from(update.stream.get())).u128(update.entity.get()).u64(update.at.ns()).u64(update.seq.get());
        match update.change {
            Change::Insert { value } => into.u64(0).i128(i128::from(value)),
            Change::Remove => into.u64(1).i128(0),
            Change::Label { positive } => into.u64(2).i128(i128::from(positive)),
        };
        let state = self.streams.get(&update.stream);
        let (first, held) = state.map(|state| state.whole(update.entity)).unwrap_or_default();
        into.u64(first.ns()).u64(held.count).i128(held.sum).u64(held.positives);
    }

    /// Records in memory, over all streams.
    pub fn records(&self) -> u64 {
        self.streams.values().map(StreamState::records).sum()
    }

    /// Entities in memory, each once per stream that holds it.
    pub fn entities(&self) -> u64 {
        self.streams.values().map(StreamState::entities).sum()
    }
}
