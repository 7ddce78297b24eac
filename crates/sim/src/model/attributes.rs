//! Attributes of entities, by their rules.

use std::collections::BTreeMap;

use engine::{Engine, EntityAttributeReply, EntityAttributesReply, EntityAttributesSet, Header, SetEntityAttributes};
use policy::{EntityValue, FeatureValue, MissingReason};
use types::{Name, Timestamp, Token};

use super::ensure;

/// The attributes of an entity, by name.
type Attributes = BTreeMap<Name, EntityAttributeReply>;

/// The attributes of all entities that have some.
#[derive(Debug, Default, Clone)]
pub(crate) struct EntityAttributes(BTreeMap<(Name, Token), Attributes>);

fn reply(kind: &Name, attributes: &Attributes) -> EntityAttributesReply {
    EntityAttributesReply { kind: kind.clone(), attributes: attributes.values().cloned().collect() }
}

impl EntityAttributes {
    fn of(&self, kind: &Name, entity: Token) -> EntityAttributesReply {
        reply(kind, self.0.get(&(kind.clone(), entity)).unwrap_or(&Attributes::new()))
    }

    fn value(&self, kind: &Name, entity: Token, attribute: &Name) -> Option<&EntityValue> {
        Some(&self.0.get(&(kind.clone(), entity))?.get(attribute)?.value)
    }

    /// What of a request changes something.
    pub(super) fn changes(&self, set: &SetEntityAttributes) -> Box<[(Name, Option<EntityValue>)]> {
        let is_new =
            |(name, value): &&(Name, Option<EntityValue>)| self.value(&set.kind, set.entity, name) != value.as_ref();
        set.changes.iter().filter(is_new).cloned().collect()
    }

    /// The feature of the document that is an attribute of a customer.
    pub(super) fn feature(&self, name: &str, customer: Token, at: Timestamp) -> FeatureValue {
        let kind: Name = "customer".parse().expect("a name");
        let attribute: Name = if name == "age" { "since" } else { "level" }.parse().expect("a name");
        match self.value(&kind, customer, &attribute) {
            Some(EntityValue::Int(level)) => FeatureValue::Int(*level),
            Some(EntityValue::Time(since)) => {
                let (at, since) = (i128::from(at.ns()), i128::from(since.ns()));
                let seconds = (at - since).div_euclid(1_000_000_000);
                FeatureValue::Int(i64::try_from(seconds).expect("times of the simulation are near each other"))
            }
            _ => FeatureValue::Missing(MissingReason::NotSet),
        }
    }

    /// Whether an answer shows the attributes of some entity as they are.
    pub(super) fn shows(&self, told: &EntityAttributesReply) -> bool {
        let is_of = |((kind, _), attributes): (&(Name, Token), &Attributes)| reply(kind, attributes) == *told;
        told.attributes.is_empty() || self.0.iter().any(is_of)
    }

    /// Whether an answer shows the attributes of this entity as they are.
    pub(super) fn shows_of(&self, kind: &Name, entity: Token, told: &EntityAttributesReply) -> bool {
        self.of(kind, entity) == *told
    }

    pub(super) fn apply(&mut self, header: &Header, fact: &EntityAttributesSet) -> Result<(), String> {
        let known = self.0.entry((fact.kind.clone(), fact.entity)).or_default();
        for (name, value) in &fact.changes {
            let before = known.remove(name);
            let Some(value) = value else {
                ensure(before.is_some(), "SIM-2", || format!("entry {} removes an attribute again", header.seq))?;
                continue;
            };
            let set = EntityAttributeReply {
                name: name.clone(),
                value: value.clone(),
                set: header.seq,
                set_at: header.decided_at,
                set_by: header.actor,
            };
            known.insert(name.clone(), set);
        }
        self.0.retain(|_, attributes| !attributes.is_empty());
        Ok(())
    }

    /// Checks that the engine has the same attributes.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        let count: usize = self.0.values().map(BTreeMap::len).sum();
        let is_same =
            self.0.iter().all(|((kind, entity), known)| engine.entity_attributes(kind, *entity) == reply(kind, known));
        let is_same = is_same && engine.entity_values() == count;
        ensure(is_same, "SIM-5", || "the engine has other attributes of entities".to_owned())
    }
}
