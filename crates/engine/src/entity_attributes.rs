//! Attributes of entities, such as the level of a customer, which features of the policy read.
//!
//! An attribute exists beside the policy. A change is an entry of its own and takes effect with it: the next payment is decided with the
//! value that the entry set. The decision has the value as a feature.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use policy::limits::{ENTITY_ATTRIBUTES_MAX, ENTITY_TEXT_BYTES_MAX};
use policy::{EntityAttributeType, EntityValue, Policy};
use types::{ActorId, Digest, DigestBuilder, Name, RequestId, Seq, Timestamp, Token};

use crate::command::Look;
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact, Header};
use crate::query::EntityAttributes as Asked;
use crate::{Answered, Engine, Made, Refusal};

/// The most values of attributes that the entities of a tenant have together.
pub const ENTITY_VALUES_MAX: usize = 2_097_152;
/// The most attributes of one entity kind that have values, those that no policy declares any more included. So it is also the most that
/// one entity has.
pub const ENTITY_NAMES_MAX: usize = 64;
/// The most attributes that one request sets or removes.
pub const ENTITY_CHANGES_MAX: usize = ENTITY_NAMES_MAX;

// A policy can be followed by another one with other names.
const _: () = assert!(ENTITY_ATTRIBUTES_MAX <= ENTITY_NAMES_MAX);

/// Set or remove attributes of an entity. What it has already stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetEntityAttributes {
    /// The policy that the values were parsed with, and that says how the entity became a token.
    pub policy: Digest,
    /// The kind of the entity, such as `customer`.
    pub kind: Name,
    pub entity: Token,
    /// Each attribute once, with its value, or with none to remove it. At most [`ENTITY_CHANGES_MAX`].
    pub changes: Vec<(Name, Option<EntityValue>)>,
}

/// Attributes of an entity were set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityAttributesSet {
    /// The kind of the entity, such as `customer`.
    pub kind: Name,
    pub entity: Token,
    /// Each attribute that changed, with its value. `None` if it was removed.
    pub changes: Box<[(Name, Option<EntityValue>)]>,
}

/// The attributes of an entity, in order of name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityAttributesReply {
    pub kind: Name,
    pub attributes: Vec<EntityAttributeReply>,
}

/// An attribute of an entity, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityAttributeReply {
    pub name: Name,
    pub value: EntityValue,
    /// The entry that set it.
    pub set: Seq,
    pub set_at: Timestamp,
    pub set_by: ActorId,
}

/// Why attributes of an entity cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntityRefusal {
    #[error("the active policy declares no entity `{0}`")]
    UnknownKind(Name),
    #[error("the active policy declares no attribute `{attribute}` of the entity `{kind}`")]
    UnknownAttribute { kind: Name, attribute: Name },
    #[error("`{attribute}` of the entity `{kind}` is {}, expected {}", found.as_str(), expected.as_str())]
    OtherType { kind: Name, attribute: Name, found: EntityAttributeType, expected: EntityAttributeType },
    #[error("`{attribute}` has {found} bytes, expected 1 to {ENTITY_TEXT_BYTES_MAX}")]
    TextLength { attribute: Name, found: usize },
    #[error("the request has the attribute `{0}` twice")]
    NamedTwice(Name),
    #[error("the request has {0} attributes, expected 1 to {ENTITY_CHANGES_MAX}")]
    ChangesCount(usize),
    #[error(
        "entities of the kind `{0}` have values of {ENTITY_NAMES_MAX} attributes, which is the limit; remove those that the policy does not declare any more"
    )]
    TooManyNames(Name),
    #[error(
        "the entities have {present} values of attributes together and would have {wanted}, at most {ENTITY_VALUES_MAX} are allowed"
    )]
    TooManyValues { present: usize, wanted: usize },
}

/// A value as the state keeps it.
#[derive(Debug)]
struct Kept {
    value: EntityValue,
    seq: Seq,
    at: Timestamp,
    by: ActorId,
}

/// The values of one attribute, by the tokens of the entities.
type Values = HashMap<Token, Kept, RandomState>;

/// The attributes of all entities: the fold of the facts about them.
#[derive(Debug, Default)]
pub(crate) struct EntityAttributes {
    /// The values by kind of entity and by attribute. None of the maps inside is empty.
    kinds: BTreeMap<Name, BTreeMap<Name, Values>>,
    /// How many values there are.
    count: usize,
}

impl EntityAttributes {
    fn kept(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&Kept> {
        self.kinds.get(kind)?.get(attribute)?.get(&entity)
    }

    /// What an entity has as an attribute.
    pub(crate) fn get(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&EntityValue> {
        self.kept(kind, attribute, entity).map(|kept| &kept.value)
    }

    fn reply(&self, kind: &Name, entity: Token) -> EntityAttributesReply {
        let one = |(name, values): (&Name, &Values)| {
            let Kept { value, seq, at, by } = values.get(&entity)?;
            Some(EntityAttributeReply { name: name.clone(), value: value.clone(), set: *seq, set_at: *at, set_by: *by })
        };
        let attributes = self.kinds.get(kind).into_iter().flatten().filter_map(one).collect();
        EntityAttributesReply { kind: kind.clone(), attributes }
    }

    /// Applies a fact, and adds the new state to a digest.
    pub(crate) fn apply(&mut self, header: &Header, fact: &EntityAttributesSet, digest: &mut DigestBuilder) {
        if !digest.is_discarding() {
            fact.digest_into(header, digest);
        }
        for (name, value) in &fact.changes {
            match value {
                Some(value) => {
                    let kept = Kept { value: value.clone(), seq: header.seq, at: header.decided_at, by: header.actor };
                    let attributes = self.kinds.entry(fact.kind.clone()).or_default();
                    let before = attributes.entry(name.clone()).or_default().insert(fact.entity, kept);
                    self.count = self.count.saturating_add(usize::from(before.is_none()));
                }
                None => self.remove(&fact.kind, name, fact.entity),
            }
        }
    }

    fn remove(&mut self, kind: &Name, name: &Name, entity: Token) {
        let attributes = self.kinds.get_mut(kind);
        let attributes = attributes.expect("ENG-46: an attribute that is removed has a value");
        let values = attributes.get_mut(name).expect("ENG-46: an attribute that is removed has a value");
        let removed = values.remove(&entity);
        assert!(removed.is_some(), "ENG-46: an attribute that is removed has a value");
        self.count = self.count.saturating_sub(1);
        // Frees the memory, and the place for the name.
        if values.is_empty() {
            attributes.remove(name);
        }
        if attributes.is_empty() {
            self.kinds.remove(kind);
        }
    }
}

impl EntityAttributesSet {
    /// Adds the new state to a digest.
    fn digest_into(&self, header: &Header, builder: &mut DigestBuilder) {
        builder.bytes(b"entity_attributes_set").bytes(self.kind.as_str().as_bytes()).u128(self.entity.get());
        builder.u64(header.actor.get()).u64(self.changes.len() as u64);
        for (name, value) in &self.changes {
            builder.bytes(name.as_str().as_bytes());
            match value {
                None => builder.u64(0),
                Some(EntityValue::Text(text)) => builder.u64(1).bytes(text.as_bytes()),
                Some(EntityValue::Int(value)) => builder.u64(2).i128((*value).into()),
                Some(EntityValue::Double(value)) => builder.u64(3).u64(value.to_bits()),
                Some(EntityValue::Bool(value)) => builder.u64(4).u64(u64::from(*value)),
                Some(EntityValue::Time(at)) => builder.u64(5).u64(at.ns()),
            };
        }
    }
}

impl Decide for SetEntityAttributes {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let policy = engine.policy.as_deref().ok_or(Refusal::NoActivePolicy)?;
        if policy.digest() != self.policy {
            return Err(Refusal::PolicyChanged);
        }
        self.check(policy)?;
        let state = &engine.state.entity_attributes;
        let is_other =
            |(name, value): &&(Name, Option<EntityValue>)| state.get(&self.kind, name, self.entity) != value.as_ref();
        let changes: Box<[_]> = self.changes.iter().filter(is_other).cloned().collect();
        if changes.is_empty() {
            return Ok(Decided::Before((Made::Before, Box::new(state.reply(&self.kind, self.entity)))));
        }
        self.check_room(state, &changes)?;
        let fact = EntityAttributesSet { kind: self.kind.clone(), entity: self.entity, changes };
        Ok(Decided::Now(Recording::of(Fact::EntityAttributes(fact))))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, Box::new(engine.state.entity_attributes.reply(&self.kind, self.entity))))
    }
}

impl SetEntityAttributes {
    /// Refuses values that the policy does not declare. What is removed need not be declared.
    fn check(&self, policy: &Policy) -> Result<(), EntityRefusal> {
        let Self { kind, changes, .. } = self;
        if !(1..=ENTITY_CHANGES_MAX).contains(&changes.len()) {
            return Err(EntityRefusal::ChangesCount(changes.len()));
        }
        let entity = policy.entities().iter().find(|entity| entity.name == *kind);
        let entity = entity.ok_or_else(|| EntityRefusal::UnknownKind(kind.clone()))?;
        for (place, (name, value)) in changes.iter().enumerate() {
            if changes.iter().take(place).any(|(before, _)| before == name) {
                return Err(EntityRefusal::NamedTwice(name.clone()));
            }
            let Some(value) = value else { continue };
            let Some(declared) = entity.attribute(name.as_str()) else {
                return Err(EntityRefusal::UnknownAttribute { kind: kind.clone(), attribute: name.clone() });
            };
            let (found, expected) = (value.ty(), declared.ty);
            if found != expected {
                let (kind, attribute) = (kind.clone(), name.clone());
                return Err(EntityRefusal::OtherType { kind, attribute, found, expected });
            }
            if let EntityValue::Text(text) = value
                && !(1..=ENTITY_TEXT_BYTES_MAX).contains(&text.len())
            {
                return Err(EntityRefusal::TextLength { attribute: name.clone(), found: text.len() });
            }
        }
        Ok(())
    }

    /// Refuses changes that would exceed a limit on memory. What is removed in the same request makes no room for what is set.
    fn check_room(
        &self,
        state: &EntityAttributes,
        changes: &[(Name, Option<EntityValue>)],
    ) -> Result<(), EntityRefusal> {
        let names = state.kinds.get(&self.kind);
        let set = || changes.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name);
        let new_names = set().filter(|name| names.is_none_or(|names| !names.contains_key(*name))).count();
        if new_names > 0 && names.map_or(0, BTreeMap::len).saturating_add(new_names) > ENTITY_NAMES_MAX {
            return Err(EntityRefusal::TooManyNames(self.kind.clone()));
        }
        let new = set().filter(|name| state.kept(&self.kind, name, self.entity).is_none()).count();
        let (present, wanted) = (state.count, state.count.saturating_add(new));
        if new > 0 && wanted > ENTITY_VALUES_MAX {
            return Err(EntityRefusal::TooManyValues { present, wanted });
        }
        Ok(())
    }
}

impl Look for Asked {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(Box::new(engine.entity_attributes(&self.0, self.1)))
    }
}

impl Engine {
    /// The attributes of an entity.
    pub fn entity_attributes(&self, kind: &Name, entity: Token) -> EntityAttributesReply {
        self.state.entity_attributes.reply(kind, entity)
    }

    /// How many values of attributes all entities have together.
    pub fn entity_values(&self) -> usize {
        self.state.entity_attributes.count
    }
}
