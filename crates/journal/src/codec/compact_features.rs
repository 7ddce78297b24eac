//! The features of a decision in its compact form.
//!
//! A list of: varint of 8 × *gap* + *type*, then the value. The gap is the number of the feature minus the next number after the
//! feature before it (minus 0 for the first), as a zigzag number.
//!
//! | type | value |
//! | ---: | --- |
//! | 0 | zigzag: a whole number |
//! | 1 | 8 bytes: a double |
//! | 2 | 4 bytes: the higher half of a double whose lower half is zero, but not 0.0 |
//! | 3 | nothing: the double 0.0 |
//! | 4 | nothing: false |
//! | 5 | nothing: true |
//! | 6 | varint length, UTF-8: a text |
//! | 7 | 1 byte: why the value is missing |

use policy::FeatureValue;

use super::fact::{decode_many, decode_text};
use super::payment::MISSING;
use crate::bytes::{DecodeError, Decoder, Encoder};

const HALF_BITS: u32 = 32;

pub(super) fn encode(features: &[(u16, FeatureValue)], into: &mut Encoder) {
    into.count(features.len());
    let mut next = 0;
    for (number, value) in features {
        let gap = i64::from(*number) - next;
        next = i64::from(*number) + 1;
        let mut begin = |kind: u8| {
            let gap = ((gap << 1) ^ (gap >> 63)).cast_unsigned();
            into.varint(gap << 3 | u64::from(kind));
        };
        match value {
            FeatureValue::Int(int) => {
                begin(0);
                into.zigzag(*int);
            }
            FeatureValue::Double(double) => match double.to_bits() {
                0 => begin(3),
                bits if bits.trailing_zeros() >= HALF_BITS => {
                    begin(2);
                    into.u32(u32::try_from(bits >> HALF_BITS).expect("JRN-5: half of 64 bits are 32 bits"));
                }
                bits => {
                    begin(1);
                    into.u64(bits);
                }
            },
            FeatureValue::Bool(yes) => begin(4 + u8::from(*yes)),
            FeatureValue::Text(text) => {
                begin(6);
                into.counted(text.as_bytes());
            }
            FeatureValue::Missing(reason) => {
                begin(7);
                into.u8(MISSING.number(*reason));
            }
        }
    }
}

pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Vec<(u16, FeatureValue)>, DecodeError> {
    let mut next = 0_i64;
    decode_many(from, |from| {
        let head: u64 = from.varint()?;
        let gap = head >> 3;
        let gap = (gap >> 1).cast_signed() ^ -((gap & 1).cast_signed());
        let unknown = DecodeError::Unknown { what: "number of a feature", value: head };
        let number = next.checked_add(gap).and_then(|number| u16::try_from(number).ok()).ok_or(unknown)?;
        next = i64::from(number) + 1;
        let value = match head & 7 {
            0 => FeatureValue::Int(from.zigzag()?),
            1 => FeatureValue::Double(f64::from_bits(from.u64()?)),
            2 => FeatureValue::Double(f64::from_bits(u64::from(from.u32()?) << HALF_BITS)),
            3 => FeatureValue::Double(0.0),
            4 => FeatureValue::Bool(false),
            5 => FeatureValue::Bool(true),
            6 => FeatureValue::Text(decode_text(from)?.into()),
            _ => FeatureValue::Missing(MISSING.value(from.u8()?)?),
        };
        Ok((number, value))
    })
}
