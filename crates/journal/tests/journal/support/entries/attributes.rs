//! Random changes of attributes of entities.

use engine::EntityAttributesSet;
use policy::EntityValue;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use types::{Timestamp, Token};

use super::values::{name, number};

pub(super) fn entity_attributes() -> impl Strategy<Value = EntityAttributesSet> {
    let value = prop_oneof![
        ".{0,12}".prop_map(|text| EntityValue::Text(text.into())),
        any::<i64>().prop_map(EntityValue::Int),
        number().prop_map(EntityValue::Double),
        any::<bool>().prop_map(EntityValue::Bool),
        any::<u64>().prop_map(|ns| EntityValue::Time(Timestamp::from_ns(ns))),
    ];
    (name(), any::<u128>(), vec((name(), option::of(value)), 0..4)).prop_map(|(kind, entity, changes)| {
        EntityAttributesSet { kind, entity: Token::new(entity), changes: changes.into() }
    })
}
