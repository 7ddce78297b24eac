//! Encodes settings of the installation.

use engine::{SettingFact, SettingKind};
use types::SettingName;

use super::fact::{SETTING_PUT, SETTING_REMOVED, decode_text};
use super::payment::Table;
use crate::bytes::{DecodeError, Decoder, Encoder};

const KINDS: Table<SettingKind> = Table { what: "kind of setting", values: &SettingKind::ALL };

pub(super) const fn kind(fact: &SettingFact) -> (u16, &'static str) {
    match fact {
        SettingFact::Put { .. } => (SETTING_PUT, "setting_put"),
        SettingFact::Removed { .. } => (SETTING_REMOVED, "setting_removed"),
    }
}

pub(super) fn encode(fact: &SettingFact, into: &mut Encoder) {
    let (SettingFact::Put { kind, name, .. } | SettingFact::Removed { kind, name }) = fact;
    into.u8(KINDS.number(*kind));
    into.counted(name.as_str().as_bytes());
    if let SettingFact::Put { document, .. } = fact {
        into.counted(document.as_bytes());
    }
}

pub(super) fn decode(number: u16, from: &mut Decoder<'_>) -> Result<SettingFact, DecodeError> {
    let (kind, name) = (KINDS.value(from.u8()?)?, decode_setting_name(from)?);
    match number {
        SETTING_PUT => Ok(SettingFact::Put { kind, name, document: decode_text(from)?.into() }),
        SETTING_REMOVED => Ok(SettingFact::Removed { kind, name }),
        other => Err(DecodeError::Unknown { what: "kind of fact about a setting", value: u64::from(other) }),
    }
}

fn decode_setting_name(from: &mut Decoder<'_>) -> Result<SettingName, DecodeError> {
    decode_text(from)?.parse().map_err(|_unparsed| DecodeError::Unknown { what: "name of a setting", value: 0 })
}
