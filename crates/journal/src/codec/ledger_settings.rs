//! Encodes the ledger's facts that change no balance, such as limits, addresses, metadata and schedules.

use engine::Header;
use ledger::{Address, Fact, IndexedFields, Limits, MetadataOf, NewTransfer, Scheduled, Transfer};
use types::{AccountId, LedgerId, PaymentId, Timestamp, TransferId};

use super::fact::{
    ADDRESS_SET, INDEXES_CHOSEN, LIMITS_SET, METADATA_SET, SCHEDULED_CANCELLED, TRANSFER_SCHEDULED, decode_bool,
    decode_many, decode_text,
};
use super::ledger_facts::{decode_key, decode_transfer, encode_key, encode_transfer};
use crate::bytes::{DecodeError, Decoder, Encoder};

const OF_ACCOUNT: u8 = 1;
const OF_TRANSFER: u8 = 2;
const OF_PAYMENT: u8 = 3;

pub(super) fn encode_limits(account: AccountId, limits: Limits, into: &mut Encoder) {
    into.u128(account.get());
    encode_limit(limits.min_balance, into);
    encode_limit(limits.max_balance, into);
}

pub(super) fn encode_limit(limit: Option<i128>, into: &mut Encoder) {
    into.u8(u8::from(limit.is_some()));
    if let Some(limit) = limit {
        into.raw(&limit.to_le_bytes());
    }
}

pub(super) fn encode_address(account: AccountId, address: &Address, into: &mut Encoder) {
    into.u128(account.get());
    into.counted(address.as_str().as_bytes());
}

/// The subject, then each key with 1 and its new value, or with 0 if the key is removed.
pub(super) fn encode_metadata(of: MetadataOf, values: &[(String, Option<String>)], into: &mut Encoder) {
    match of {
        MetadataOf::Account(id) => {
            into.u8(OF_ACCOUNT);
            into.u128(id.get());
        }
        MetadataOf::Transfer(key) => {
            into.u8(OF_TRANSFER);
            encode_key(key, into);
        }
        MetadataOf::Payment(id) => {
            into.u8(OF_PAYMENT);
            into.u128(id.get());
        }
    }
    into.count(values.len());
    for (key, value) in values {
        into.counted(key.as_bytes());
        into.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            into.counted(value.as_bytes());
        }
    }
}

/// Encoded like the transfer that it will become, at the time when it is due.
pub(super) fn encode_scheduled(header: &Header, scheduled: &Scheduled, into: &mut Encoder) {
    encode_transfer(header, &as_asked(&scheduled.new, scheduled.at), into);
}

/// The transfer that a request asks for, as if it were made at `timestamp`.
pub(super) const fn as_asked(new: &NewTransfer, timestamp: Timestamp) -> Transfer {
    Transfer {
        key: new.key,
        debit: new.debit,
        credit: new.credit,
        amount: new.amount,
        pending: new.pending,
        user_data_128: new.user_data_128,
        user_data_64: new.user_data_64,
        user_data_32: new.user_data_32,
        timeout_s: new.timeout_s,
        ledger: new.ledger,
        code: new.code,
        flags: new.flags,
        timestamp,
    }
}

pub(super) fn encode_indexes(ledger: LedgerId, fields: IndexedFields, into: &mut Encoder) {
    into.varint(ledger.get());
    into.varint(fields.bits());
}

pub(super) fn decode(header: &Header, kind: u16, from: &mut Decoder<'_>) -> Result<Fact, DecodeError> {
    match kind {
        LIMITS_SET => {
            let account = AccountId::new(from.u128()?);
            let limits = Limits { min_balance: decode_limit(from)?, max_balance: decode_limit(from)? };
            Ok(Fact::LimitsSet { account, limits })
        }
        ADDRESS_SET => {
            let account = AccountId::new(from.u128()?);
            let address = decode_text(from)?.parse();
            let address = address.map_err(|_malformed| DecodeError::Unknown { what: "address", value: 0 })?;
            Ok(Fact::AddressSet { account, address })
        }
        METADATA_SET => {
            let of = match from.u8()? {
                OF_ACCOUNT => MetadataOf::Account(AccountId::new(from.u128()?)),
                OF_TRANSFER => MetadataOf::Transfer(decode_key(from)?),
                OF_PAYMENT => MetadataOf::Payment(PaymentId::new(from.u128()?)),
                other => return Err(DecodeError::Unknown { what: "subject of metadata", value: u64::from(other) }),
            };
            let values = decode_many(from, |from| {
                let key = decode_text(from)?;
                let value = if decode_bool(from)? { Some(decode_text(from)?) } else { None };
                Ok((key, value))
            })?;
            Ok(Fact::MetadataSet { of, values })
        }
        TRANSFER_SCHEDULED => {
            let transfer = decode_transfer(header, 1, from)?;
            Ok(Fact::TransferScheduled(Scheduled { new: asked_for(&transfer), at: transfer.timestamp }))
        }
        SCHEDULED_CANCELLED => Ok(Fact::ScheduledCancelled { id: TransferId::new(from.u128()?) }),
        INDEXES_CHOSEN => {
            let ledger = LedgerId::new(from.varint()?);
            Ok(Fact::IndexesChosen { ledger, fields: IndexedFields::from_bits(from.varint()?) })
        }
        other => Err(DecodeError::Unknown { what: "kind of ledger fact", value: u64::from(other) }),
    }
}

pub(super) fn decode_limit(from: &mut Decoder<'_>) -> Result<Option<i128>, DecodeError> {
    Ok(if decode_bool(from)? { Some(i128::from_le_bytes(from.array()?)) } else { None })
}

/// The request that asks for a transfer.
pub(super) const fn asked_for(transfer: &Transfer) -> NewTransfer {
    NewTransfer {
        debit: transfer.debit,
        credit: transfer.credit,
        amount: transfer.amount,
        pending: transfer.pending,
        user_data_128: transfer.user_data_128,
        user_data_64: transfer.user_data_64,
        user_data_32: transfer.user_data_32,
        timeout_s: transfer.timeout_s,
        ledger: transfer.ledger,
        code: transfer.code,
        flags: transfer.flags,
        ..NewTransfer::named(transfer.key)
    }
}
