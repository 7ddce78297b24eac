//! Encodes facts of imports. Most staged transfers are stored as rows instead, see `rows`.

use engine::Header;
use ledger::{AccountPlace, Fact, Import, ImportNumber, ImportProgress, ImportState, Places};
use types::{Digest, ImportId, LedgerId, Timestamp};

use super::fact::{ACCOUNT_STAGED, IMPORT_NOTED, IMPORT_STARTED, TRANSFER_STAGED, decode_many};
use super::ledger_facts::{IMPORTED_VERSION, decode_account, decode_transfer};
use crate::bytes::{DecodeError, Decoder, Encoder};

pub(super) fn encode_started(import: &Import, into: &mut Encoder) {
    into.u128(import.id.get());
    into.varint(import.number.get());
    into.varint(import.ledger.get());
    into.raw(import.content.as_bytes());
    into.u64(import.started_at.ns());
}

pub(super) fn encode_noted(import: ImportNumber, state: ImportState, progress: &ImportProgress, into: &mut Encoder) {
    into.varint(import.get());
    into.u8(state as u8);
    into.varint(progress.accounts);
    into.varint(progress.transfers);
    into.u64(progress.last_account.ns());
    into.u64(progress.last_transfer.ns());
    into.count(progress.places.len());
    for places in &progress.places {
        into.varint(places.first.0);
        into.varint(places.count);
    }
}

pub(super) fn decode(header: &Header, kind: u16, from: &mut Decoder<'_>) -> Result<Fact, DecodeError> {
    match kind {
        IMPORT_STARTED => Ok(Fact::ImportStarted(Import {
            id: ImportId::new(from.u128()?),
            number: decode_number(from)?,
            ledger: LedgerId::new(from.varint()?),
            content: Digest::new(from.array()?),
            started_at: Timestamp::from_ns(from.u64()?),
        })),
        ACCOUNT_STAGED => Ok(Fact::AccountStaged {
            import: decode_number(from)?,
            account: decode_account(header, IMPORTED_VERSION, from)?,
        }),
        TRANSFER_STAGED => Ok(Fact::TransferStaged {
            import: decode_number(from)?,
            transfer: decode_transfer(header, IMPORTED_VERSION, from)?,
        }),
        IMPORT_NOTED => {
            let (import, state) = (decode_number(from)?, decode_state(from)?);
            let progress = ImportProgress {
                accounts: from.varint()?,
                transfers: from.varint()?,
                last_account: Timestamp::from_ns(from.u64()?),
                last_transfer: Timestamp::from_ns(from.u64()?),
                places: decode_many(from, |from| {
                    Ok(Places { first: AccountPlace(from.varint()?), count: from.varint()? })
                })?,
            };
            Ok(Fact::ImportNoted { import, state, progress: Box::new(progress) })
        }
        other => Err(DecodeError::Unknown { what: "kind of ledger fact", value: u64::from(other) }),
    }
}

pub(super) fn decode_number(from: &mut Decoder<'_>) -> Result<ImportNumber, DecodeError> {
    let number: u16 = from.varint()?;
    ImportNumber::new(number).ok_or(DecodeError::Unknown { what: "number of an import", value: number.into() })
}

fn decode_state(from: &mut Decoder<'_>) -> Result<ImportState, DecodeError> {
    let number = from.u8()?;
    let state = ImportState::ALL.get(usize::from(number)).copied();
    state.ok_or(DecodeError::Unknown { what: "state of an import", value: number.into() })
}
