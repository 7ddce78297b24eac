//! Random changes of lists.

use engine::{AddedValue, ListFact, ListOf, ListPurpose, ListValue};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use types::{Timestamp, Token};

use super::values::name;

pub(super) fn list() -> impl Strategy<Value = ListFact> {
    let value = || {
        prop_oneof![
            ".{0,20}".prop_map(|text| ListValue::Text(text.into())),
            any::<u128>().prop_map(|token| ListValue::Entity(Token::new(token))),
        ]
    };
    let reason = select(vec!["", "a", "b"]);
    let added = (value(), option::of(any::<u64>()), reason).prop_map(|(value, expires_at, reason)| AddedValue {
        value,
        expires_at: expires_at.map(Timestamp::from_ns),
        reason: reason.into(),
    });
    let of = option::of(name()).prop_map(|kind| kind.map_or(ListOf::Text, ListOf::Entity));
    prop_oneof![
        (name(), of, select(ListPurpose::ALL.to_vec()), ".{0,20}").prop_map(|(list, of, purpose, description)| {
            ListFact::Made { list, of, purpose, description: description.into() }
        }),
        (name(), vec(added, 0..6)).prop_map(|(list, values)| ListFact::ValuesAdded { list, values: values.into() }),
        (name(), vec(value(), 0..4)).prop_map(|(list, values)| ListFact::ValuesRemoved { list, values: values.into() }),
        name().prop_map(|list| ListFact::Deleted { list }),
    ]
}
