//! Events about attributes of entities.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use crate::entities::shown_value;

/// Attributes of an entity were set or removed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct EntityAttributesSet {
    /// The kind of the entity, such as `customer`.
    entity: String,
    /// The token that stands for it.
    token: String,
    /// The attributes that changed, by name: a string, number or boolean, or null if the attribute was removed.
    attributes: BTreeMap<String, serde_json::Value>,
}

pub(super) fn entity_data(fact: &engine::EntityAttributesSet) -> (&'static str, EventData) {
    let attributes = fact.changes.iter().map(|(name, value)| {
        let value = value.as_ref().map_or(serde_json::Value::Null, shown_value);
        (name.to_string(), value)
    });
    let data = EntityAttributesSet {
        entity: fact.kind.to_string(),
        token: fact.entity.to_string(),
        attributes: attributes.collect(),
    };
    ("entity_attributes_set", EventData::EntityAttributesSet(data))
}
