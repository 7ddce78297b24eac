//! Encodes attributes of entities.

use engine::EntityAttributesSet;
use policy::EntityValue;
use types::{Timestamp, Token};

use super::fact::{decode_bool, decode_many, decode_name, decode_text, encode_name};
use crate::bytes::{DecodeError, Decoder, Encoder};

pub(super) fn encode(fact: &EntityAttributesSet, into: &mut Encoder) {
    encode_name(&fact.kind, into);
    into.u128(fact.entity.get());
    into.count(fact.changes.len());
    for (name, value) in &fact.changes {
        encode_name(name, into);
        match value {
            None => into.u8(0),
            Some(EntityValue::Text(text)) => {
                into.u8(1);
                into.counted(text.as_bytes());
            }
            Some(EntityValue::Int(int)) => {
                into.u8(2);
                into.zigzag(*int);
            }
            Some(EntityValue::Double(double)) => {
                into.u8(3);
                into.u64(double.to_bits());
            }
            Some(EntityValue::Bool(yes)) => {
                into.u8(4);
                into.u8(u8::from(*yes));
            }
            Some(EntityValue::Time(at)) => {
                into.u8(5);
                into.u64(at.ns());
            }
        }
    }
}

pub(super) fn decode(from: &mut Decoder<'_>) -> Result<EntityAttributesSet, DecodeError> {
    Ok(EntityAttributesSet {
        kind: decode_name(from)?,
        entity: Token::new(from.u128()?),
        changes: decode_many(from, |from| Ok((decode_name(from)?, decode_value(from)?)))?.into(),
    })
}

fn decode_value(from: &mut Decoder<'_>) -> Result<Option<EntityValue>, DecodeError> {
    Ok(Some(match from.u8()? {
        0 => return Ok(None),
        1 => EntityValue::Text(decode_text(from)?.into()),
        2 => EntityValue::Int(from.zigzag()?),
        3 => EntityValue::Double(f64::from_bits(from.u64()?)),
        4 => EntityValue::Bool(decode_bool(from)?),
        5 => EntityValue::Time(Timestamp::from_ns(from.u64()?)),
        other => return Err(DecodeError::Unknown { what: "type of an attribute", value: u64::from(other) }),
    }))
}
