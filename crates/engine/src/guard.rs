//! Guards: a request is carried out once for each `Idempotency-Key`, and only on the version of a setting that it expects.
//!
//! A change of a setting has no id by which a retry could be recognised, so a late retry would undo what others set in
//! the meantime. An entry therefore records the key of each request that has one, together with digests of its
//! content. The memory of keys is bounded: the engine forgets the oldest ones first.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use types::{RequestId, Timestamp};

use crate::change::{CancelScheduled, SetAddress};
use crate::command::Execute;
use crate::decide::{OpenLedger, Recording};
use crate::entry::Fact;
use crate::order::{CreateTransferBatch, OpenAccountBatch};
use crate::{Answered, Engine, Refusal, Request, ReverseTransfer, Sink};

/// The most keys that the engine remembers.
pub const KEYS_MAX: usize = 65_536;
/// The most parts of contents that it remembers with them.
pub const KEY_PARTS_MAX: usize = 1 << 21;
/// An upper bound of the bytes of one change in a frame, together with its key.
const CHANGE_BYTES_MAX: usize = 128 * 1024;

/// Under which conditions a request is carried out.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    pub key: Option<Key>,
    pub if_match: Option<IfMatch>,
}

/// An `Idempotency-Key`, and what the request with it asks for.
#[derive(Debug, Clone)]
pub struct Key {
    /// Derived from the key and the route.
    pub id: RequestId,
    pub used: KeyUsed,
    /// The name of each part, for error messages.
    pub names: Vec<String>,
}

/// A request with an `Idempotency-Key` was carried out. The request of the entry's header is derived from the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsed {
    /// The number of items of a batch; 0 for other requests.
    pub items: u32,
    /// The start of a digest of each part of the content.
    pub parts: Box<[u64]>,
}

/// The versions of a setting on which a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any version, as long as there is one.
    Any,
    OneOf(Vec<u64>),
}

/// An operation that takes effect only if its guard lets it through.
#[derive(Debug, Clone)]
pub struct Guarded<O> {
    pub guard: Guard,
    pub operation: O,
}

/// The keys that the engine remembers, and the contents that they were used with.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    used: HashMap<RequestId, KeyUsed, RandomState>,
    /// The oldest first.
    order: VecDeque<RequestId>,
    parts_count: usize,
}

impl Keys {
    pub(crate) fn note(&mut self, id: RequestId, used: &KeyUsed) {
        self.parts_count = self.parts_count.saturating_add(used.parts.len());
        self.order.push_back(id);
        let replaced = self.used.insert(id, used.clone());
        assert!(replaced.is_none(), "ENG-24: a key that the engine remembers is used once");
        while self.order.len() > KEYS_MAX || self.parts_count > KEY_PARTS_MAX {
            let Some(oldest) = self.order.pop_front().and_then(|id| self.used.remove(&id)) else { return };
            self.parts_count = self.parts_count.saturating_sub(oldest.parts.len());
        }
    }

    /// Whether a request with this key and content was carried out.
    ///
    /// # Errors
    /// If the key was used with other content.
    fn is_known(&self, key: &Key) -> Result<bool, Refusal> {
        let Some(first) = self.used.get(&key.id) else { return Ok(false) };
        if *first == key.used {
            return Ok(true);
        }
        if first.items != key.used.items {
            return Err(Refusal::KeyUsedWithOtherItems { first: first.items, now: key.used.items });
        }
        let same = first.parts.iter().zip(&key.used.parts).take_while(|(first, now)| first == now).count();
        let differs = key.names.get(same).or(key.names.last()).cloned().unwrap_or_default();
        Err(Refusal::KeyUsedWithOtherContent(differs))
    }
}

/// An operation that can have a guard.
pub(crate) trait Guarding: Execute {
    /// Whether it may make several entries. If a crash keeps only some of them, a retry makes the others.
    const MAKES_MANY: bool = false;

    /// The answer to a request that was carried out before, and may since have been superseded by another one. `None` if
    /// carrying it out again changes nothing.
    fn view(&self, engine: &Engine, at: Timestamp) -> Option<Answered<Self>> {
        let _ = (engine, at);
        None
    }

    /// The version of the setting that it changes, if that has versions.
    fn version(&self, engine: &Engine, at: Timestamp) -> Result<Option<u64>, Refusal> {
        let _ = (engine, at);
        Ok(None)
    }
}

/// Carries an operation out if its guard lets it through.
pub(crate) fn execute<O: Guarding>(
    operation: &O,
    guard: &Guard,
    engine: &mut Engine,
    now: Timestamp,
    request: &Request,
    sink: &mut dyn Sink,
) -> Answered<O> {
    let at = engine.next_instant(now);
    if guard.was_let_through(engine)? {
        let view = operation.view(engine, at);
        return view.unwrap_or_else(|| operation.execute(engine, now, request, sink));
    }
    guard.check_version(operation.version(engine, at)?)?;
    if let Some(key) = &guard.key {
        if !O::MAKES_MANY {
            if let Some(Err(refusal)) = operation.without_entry(engine, at, request) {
                return Err(refusal);
            }
            sink.hold_together(2, CHANGE_BYTES_MAX);
        }
        let used = Recording::of(Fact::KeyUsed(key.used.clone()));
        engine.commit(now, request.actor, key.id, used, sink);
    }
    operation.execute(engine, now, request, sink)
}

/// Like [`Execute::without_entry`], if its guard lets the operation through.
pub(crate) fn without_entry<O: Guarding>(
    operation: &O,
    guard: &Guard,
    engine: &Engine,
    at: Timestamp,
    request: &Request,
) -> Option<Answered<O>> {
    let again = match guard.was_let_through(engine) {
        Ok(again) => again,
        Err(refusal) => return Some(Err(refusal)),
    };
    if again {
        return operation.view(engine, at).or_else(|| operation.without_entry(engine, at, request));
    }
    let version = operation.version(engine, at).and_then(|version| guard.check_version(version));
    match version {
        Err(refusal) => Some(Err(refusal)),
        Ok(()) => operation.without_entry(engine, at, request).filter(|answer| guard.key.is_none() || answer.is_err()),
    }
}

impl Guard {
    /// Whether the same request was carried out before.
    ///
    /// # Errors
    /// If another request with the same key was carried out before.
    fn was_let_through(&self, engine: &Engine) -> Result<bool, Refusal> {
        self.key.as_ref().map_or(Ok(false), |key| engine.state.keys.is_known(key))
    }

    fn check_version(&self, version: Option<u64>) -> Result<(), Refusal> {
        match (&self.if_match, version) {
            (Some(IfMatch::OneOf(expected)), Some(version)) if !expected.contains(&version) => {
                Err(Refusal::PreconditionFailed(version))
            }
            _ => Ok(()),
        }
    }
}

impl Guarding for OpenLedger {}
impl Guarding for ReverseTransfer {}
impl Guarding for CancelScheduled {}
impl Guarding for SetAddress {}

impl Guarding for OpenAccountBatch {
    const MAKES_MANY: bool = true;
}

impl Guarding for CreateTransferBatch {
    const MAKES_MANY: bool = true;
}
