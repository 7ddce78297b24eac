//! Encodes lists.

use std::sync::Arc;

use engine::{AddedValue, ListFact, ListOf, ListPurpose, ListValue};
use types::{Name, Seq, Timestamp, Token};

use super::fact::{
    LIST_DELETED, LIST_MADE, LIST_VALUES_ADDED, LIST_VALUES_REMOVED, decode_many, decode_name, decode_text, encode_name,
};
use super::payment::Table;
use crate::bytes::{DecodeError, Decoder, Encoder};

const PURPOSES: Table<ListPurpose> = Table { what: "purpose of a list", values: &ListPurpose::ALL };

/// The bits of an added value.
const EXPIRES: u8 = 1;
const HAS_REASON: u8 = 2;
const IS_ENTITY: u8 = 4;

pub(super) const fn kind(fact: &ListFact) -> (u16, &'static str) {
    match fact {
        ListFact::Made { .. } => (LIST_MADE, "list_made"),
        ListFact::ValuesAdded { .. } => (LIST_VALUES_ADDED, "list_values_added"),
        ListFact::ValuesRemoved { .. } => (LIST_VALUES_REMOVED, "list_values_removed"),
        ListFact::Deleted { .. } => (LIST_DELETED, "list_deleted"),
    }
}

pub(super) fn encode(fact: &ListFact, into: &mut Encoder) {
    encode_name(fact.list(), into);
    match fact {
        ListFact::Made { of, purpose, description, .. } => {
            match of {
                ListOf::Text => into.u8(0),
                ListOf::Entity(kind) => {
                    into.u8(1);
                    encode_name(kind, into);
                }
            }
            into.u8(PURPOSES.number(*purpose));
            into.counted(description.as_bytes());
        }
        ListFact::ValuesAdded { values, .. } => {
            into.count(values.len());
            let mut before = "";
            for AddedValue { value, expires_at, reason } in values {
                let has_reason = **reason != *before;
                let is_entity = matches!(value, ListValue::Entity(_));
                let bits = [(expires_at.is_some(), EXPIRES), (has_reason, HAS_REASON), (is_entity, IS_ENTITY)];
                into.u8(bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
                encode_value(value, into);
                if let Some(expires_at) = expires_at {
                    into.u64(expires_at.ns());
                }
                if has_reason {
                    into.counted(reason.as_bytes());
                    before = reason;
                }
            }
        }
        ListFact::ValuesRemoved { values, .. } => {
            into.count(values.len());
            for value in values {
                into.u8(u8::from(matches!(value, ListValue::Entity(_))));
                encode_value(value, into);
            }
        }
        ListFact::Deleted { .. } => {}
    }
}

pub(super) fn decode(number: u16, from: &mut Decoder<'_>) -> Result<ListFact, DecodeError> {
    let list = decode_name(from)?;
    Ok(match number {
        LIST_MADE => ListFact::Made {
            list,
            of: match from.u8()? {
                0 => ListOf::Text,
                1 => ListOf::Entity(decode_name(from)?),
                other => return Err(DecodeError::Unknown { what: "kind of list", value: u64::from(other) }),
            },
            purpose: PURPOSES.value(from.u8()?)?,
            description: decode_text(from)?.into(),
        },
        LIST_VALUES_ADDED => ListFact::ValuesAdded { list, values: decode_added(from)?.into() },
        LIST_VALUES_REMOVED => {
            let value = |from: &mut Decoder<'_>| match from.u8()? {
                0 => decode_value(false, from),
                1 => decode_value(true, from),
                other => Err(DecodeError::Unknown { what: "kind of value", value: u64::from(other) }),
            };
            ListFact::ValuesRemoved { list, values: decode_many(from, value)?.into() }
        }
        LIST_DELETED => ListFact::Deleted { list },
        other => return Err(DecodeError::Unknown { what: "kind of fact about a list", value: u64::from(other) }),
    })
}

fn decode_added(from: &mut Decoder<'_>) -> Result<Vec<AddedValue>, DecodeError> {
    let mut reason: Arc<str> = Arc::from("");
    decode_many(from, |from| {
        let bits = from.u8()?;
        if bits > EXPIRES + HAS_REASON + IS_ENTITY {
            return Err(DecodeError::Unknown { what: "marks of a value", value: u64::from(bits) });
        }
        let value = decode_value(bits & IS_ENTITY != 0, from)?;
        let expires_at = if bits & EXPIRES != 0 { Some(Timestamp::from_ns(from.u64()?)) } else { None };
        if bits & HAS_REASON != 0 {
            let next = decode_text(from)?;
            if *next == *reason {
                return Err(DecodeError::Unknown { what: "reason that is the one before", value: 0 });
            }
            reason = next.into();
        }
        Ok(AddedValue { value, expires_at, reason: Arc::clone(&reason) })
    })
}

fn encode_value(value: &ListValue, into: &mut Encoder) {
    match value {
        ListValue::Text(text) => into.counted(text.as_bytes()),
        ListValue::Entity(token) => into.u128(token.get()),
    }
}

fn decode_value(is_entity: bool, from: &mut Decoder<'_>) -> Result<ListValue, DecodeError> {
    Ok(match is_entity {
        true => ListValue::Entity(Token::new(from.u128()?)),
        false => ListValue::Text(decode_text(from)?.into()),
    })
}

/// The lists that a decision looked into, with their versions.
pub(super) fn encode_versions(lists: &[(u16, Seq)], into: &mut Encoder) {
    into.count(lists.len());
    for (number, version) in lists {
        into.varint(*number);
        into.varint(version.get());
    }
}

pub(super) fn decode_versions(from: &mut Decoder<'_>) -> Result<Vec<(u16, Seq)>, DecodeError> {
    let versions = decode_many(from, |from| Ok((from.varint()?, Seq::new(from.varint()?))))?;
    match versions.is_empty() {
        // A decision without lists has an earlier version.
        true => Err(DecodeError::Unknown { what: "number of lists", value: 0 }),
        false => Ok(versions),
    }
}

/// The names of the lists of a policy.
pub(super) fn encode_names(names: &[Name], into: &mut Encoder) {
    into.count(names.len());
    names.iter().for_each(|name| encode_name(name, into));
}
