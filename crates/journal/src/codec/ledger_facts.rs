//! Encodes facts of the ledger. A plain transfer takes about 60 bytes, one with all user data about 90. Accounts and
//! transfers have a second version for imported ones, which are older than their entry.

use engine::Header;
use ledger::{
    Account, AccountFlags, Book, Fact, ImportNumber, NewAccount, Transfer, TransferFlags, TransferKey, TransferStatus,
};
use types::{AccountId, Amount, Asset, Code, LedgerId, PaymentId, Span, Timestamp, TransferId};

use super::fact::{
    ACCOUNT_OPENED, ACCOUNT_STAGED, ADDRESS_SET, IMPORT_NOTED, IMPORT_STARTED, INDEXES_CHOSEN, LEDGER_OPENED,
    LIMITS_SET, METADATA_SET, SCHEDULED_CANCELLED, TRANSFER_CREATED, TRANSFER_EXPIRED, TRANSFER_FAILED,
    TRANSFER_SCHEDULED, TRANSFER_STAGED, decode_many, decode_text,
};
use super::{imports, ledger_settings};
use crate::bytes::{DecodeError, Decoder, Encoder};

const USER_DATA_128: u8 = 1;
const USER_DATA_64: u8 = 2;
const USER_DATA_32: u8 = 4;
const PENDING: u8 = 8;
const TIMEOUT: u8 = 16;

pub(super) fn kind(fact: &Fact) -> (u16, &'static str) {
    match fact {
        Fact::BookOpened(_) => (LEDGER_OPENED, "ledger_opened"),
        Fact::AccountOpened(_) => (ACCOUNT_OPENED, "account_opened"),
        Fact::TransferCreated(_) => (TRANSFER_CREATED, "transfer_created"),
        Fact::TransferFailed { .. } => (TRANSFER_FAILED, "transfer_failed"),
        Fact::TransferExpired(_) => (TRANSFER_EXPIRED, "transfer_expired"),
        Fact::LimitsSet { .. } => (LIMITS_SET, "limits_set"),
        Fact::AddressSet { .. } => (ADDRESS_SET, "address_set"),
        Fact::MetadataSet { .. } => (METADATA_SET, "metadata_set"),
        Fact::TransferScheduled(_) => (TRANSFER_SCHEDULED, "transfer_scheduled"),
        Fact::ScheduledCancelled { .. } => (SCHEDULED_CANCELLED, "scheduled_cancelled"),
        Fact::IndexesChosen { .. } => (INDEXES_CHOSEN, "indexes_chosen"),
        Fact::ImportStarted(_) => (IMPORT_STARTED, "import_started"),
        Fact::AccountStaged { .. } => (ACCOUNT_STAGED, "account_staged"),
        Fact::TransferStaged { .. } => (TRANSFER_STAGED, "transfer_staged"),
        Fact::ImportNoted { .. } => (IMPORT_NOTED, "import_noted"),
    }
}

/// The version for imported accounts and transfers, which are older than their entry. It encodes the time as a signed
/// distance from the entry's time; version 1 uses an unsigned distance.
pub(super) const IMPORTED_VERSION: u16 = 2;

/// The version that encodes this fact.
pub(super) fn version(header: &Header, fact: &Fact) -> u16 {
    let timestamp = match fact {
        Fact::AccountOpened(account) => account.timestamp,
        Fact::TransferCreated(transfer) => transfer.timestamp,
        Fact::BookOpened(_)
        | Fact::TransferFailed { .. }
        | Fact::TransferExpired(_)
        | Fact::LimitsSet { .. }
        | Fact::AddressSet { .. }
        | Fact::MetadataSet { .. }
        | Fact::TransferScheduled(_)
        | Fact::ScheduledCancelled { .. }
        | Fact::IndexesChosen { .. }
        | Fact::ImportStarted(_)
        | Fact::AccountStaged { .. }
        | Fact::TransferStaged { .. }
        | Fact::ImportNoted { .. } => header.decided_at,
    };
    if timestamp < header.decided_at { IMPORTED_VERSION } else { 1 }
}

/// Appends the plain section of the entry that a row represents; returns kind and version.
pub(super) fn encode_row(
    header: &Header,
    import: Option<ImportNumber>,
    transfer: &Transfer,
    into: &mut Encoder,
) -> (u16, u16) {
    match import {
        Some(import) => {
            into.varint(import.get());
            encode_transfer(header, transfer, into);
            (TRANSFER_STAGED, 1)
        }
        None => {
            encode_transfer(header, transfer, into);
            (TRANSFER_CREATED, if transfer.timestamp < header.decided_at { IMPORTED_VERSION } else { 1 })
        }
    }
}

/// Appends facts inside another entry, each after its kind. None of them is imported.
pub(super) fn encode_all(header: &Header, facts: &[Fact], into: &mut Encoder) {
    into.count(facts.len());
    for fact in facts {
        assert_eq!(version(header, fact), 1, "JRN-5: a fact inside another entry is not older than the entry");
        into.varint(kind(fact).0);
        encode(header, fact, into);
    }
}

pub(super) fn decode_all(header: &Header, from: &mut Decoder<'_>) -> Result<Vec<Fact>, DecodeError> {
    decode_many(from, |from| {
        let kind = from.varint()?;
        let fact = decode(header, kind, 1, from)?;
        // A header from outside may have a time after the last one, before which every other time lies.
        match version(header, &fact) {
            1 => Ok(fact),
            other => Err(DecodeError::Unknown { what: "version of an inner fact", value: other.into() }),
        }
    })
}

pub(super) fn encode(header: &Header, fact: &Fact, into: &mut Encoder) {
    match fact {
        Fact::BookOpened(book) => {
            into.varint(book.id.get());
            into.counted(book.asset.code().as_bytes());
            into.u8(book.asset.scale());
            into.varint(book.opened_at.since(header.decided_at).ns());
        }
        Fact::AccountOpened(account) => encode_account(header, account, into),
        Fact::TransferCreated(transfer) => encode_transfer(header, transfer, into),
        Fact::TransferFailed { id, status } => {
            into.u128(id.get());
            into.varint(status.number());
        }
        Fact::TransferExpired(key) => encode_key(*key, into),
        Fact::LimitsSet { account, limits } => ledger_settings::encode_limits(*account, *limits, into),
        Fact::AddressSet { account, address } => ledger_settings::encode_address(*account, address, into),
        Fact::MetadataSet { of, values } => ledger_settings::encode_metadata(*of, values, into),
        Fact::TransferScheduled(scheduled) => ledger_settings::encode_scheduled(header, scheduled, into),
        Fact::ScheduledCancelled { id } => into.u128(id.get()),
        Fact::IndexesChosen { ledger, fields } => ledger_settings::encode_indexes(*ledger, *fields, into),
        Fact::ImportStarted(import) => imports::encode_started(import, into),
        // Both accounts are older than their entry.
        Fact::AccountStaged { import, account } => {
            into.varint(import.get());
            encode_account(header, account, into);
        }
        Fact::TransferStaged { import, transfer } => {
            into.varint(import.get());
            encode_transfer(header, transfer, into);
        }
        Fact::ImportNoted { import, state, progress } => imports::encode_noted(*import, *state, progress, into),
    }
}

pub(super) fn decode(header: &Header, kind: u16, version: u16, from: &mut Decoder<'_>) -> Result<Fact, DecodeError> {
    match kind {
        LEDGER_OPENED => {
            let id = LedgerId::new(from.varint()?);
            let code = decode_text(from)?;
            let asset = Asset::new(&code, from.u8()?);
            let asset = asset.map_err(|_unknown| DecodeError::Unknown { what: "asset", value: 0 })?;
            Ok(Fact::BookOpened(Book { id, asset, opened_at: decode_time(header, 1, from)? }))
        }
        ACCOUNT_OPENED => decode_account(header, version, from).map(Fact::AccountOpened),
        TRANSFER_CREATED => decode_transfer(header, version, from).map(Fact::TransferCreated),
        TRANSFER_FAILED => {
            let id = TransferId::new(from.u128()?);
            Ok(Fact::TransferFailed { id, status: decode_status(from)? })
        }
        TRANSFER_EXPIRED => decode_key(from).map(Fact::TransferExpired),
        IMPORT_STARTED..=IMPORT_NOTED => imports::decode(header, kind, from),
        _ => ledger_settings::decode(header, kind, from),
    }
}

pub(super) fn decode_status(from: &mut Decoder<'_>) -> Result<TransferStatus, DecodeError> {
    let number: u16 = from.varint()?;
    TransferStatus::from_number(number)
        .ok_or(DecodeError::Unknown { what: "transfer status", value: u64::from(number) })
}

/// Reads a time at or after the entry's or, in the version for imports, a time before it.
fn encode_time(header: &Header, at: Timestamp, into: &mut Encoder) {
    if at < header.decided_at {
        into.zigzag(at.ns().wrapping_sub(header.decided_at.ns()).cast_signed());
    } else {
        into.varint(at.since(header.decided_at).ns());
    }
}

fn decode_time(header: &Header, version: u16, from: &mut Decoder<'_>) -> Result<Timestamp, DecodeError> {
    if version < IMPORTED_VERSION {
        return Ok(header.decided_at.saturating_add(Span::from_ns(from.varint()?)));
    }
    let at = Timestamp::from_ns(header.decided_at.ns().wrapping_add(from.zigzag()?.cast_unsigned()));
    // A time that is not earlier belongs to version 1, so that each fact has exactly one encoding.
    if at < header.decided_at { Ok(at) } else { Err(DecodeError::Unknown { what: "earlier time", value: at.ns() }) }
}

/// The id of the transfer or of its payment, then 0 or the leg's number plus one.
pub(super) fn encode_key(key: TransferKey, into: &mut Encoder) {
    match key {
        TransferKey::Client(id) => {
            into.id(id.get());
            into.varint(0_u8);
        }
        TransferKey::Leg { payment, number } => {
            into.id(payment.get());
            into.varint(u32::from(number) + 1);
        }
    }
}

pub(super) fn decode_key(from: &mut Decoder<'_>) -> Result<TransferKey, DecodeError> {
    let id = from.id()?;
    let leg: u32 = from.varint()?;
    match leg.checked_sub(1).map(u16::try_from) {
        None => Ok(TransferKey::Client(TransferId::new(id))),
        Some(Ok(number)) => Ok(TransferKey::Leg { payment: PaymentId::new(id), number }),
        Some(Err(_)) => Err(DecodeError::Unknown { what: "leg", value: u64::from(leg) }),
    }
}

fn encode_account(header: &Header, account: &Account, into: &mut Encoder) {
    into.id(account.id.get());
    into.varint(account.ledger.get());
    into.varint(account.code.get());
    into.varint(account.flags.bits());
    encode_time(header, account.timestamp, into);
    let given = user_data_marks(account.user_data_128, account.user_data_64, account.user_data_32);
    into.u8(given);
    encode_user_data(given, account.user_data_128, account.user_data_64, account.user_data_32, into);
}

pub(super) fn decode_account(header: &Header, version: u16, from: &mut Decoder<'_>) -> Result<Account, DecodeError> {
    let id = AccountId::new(from.id()?);
    let ledger = LedgerId::new(from.varint()?);
    let code = Code::new(from.varint()?);
    let flags = AccountFlags::from_bits(from.varint()?);
    let timestamp = decode_time(header, version, from)?;
    let given = decode_given(USER_DATA_128 | USER_DATA_64 | USER_DATA_32, from)?;
    let (user_data_128, user_data_64, user_data_32) = decode_user_data(given, from)?;
    let new =
        NewAccount { id, ledger, code, user_data_128, user_data_64, user_data_32, flags, ..NewAccount::default() };
    Ok(Account::open(&new, timestamp))
}

pub(super) fn encode_transfer(header: &Header, transfer: &Transfer, into: &mut Encoder) {
    if let TransferKey::Client(id) = transfer.key
        && !into.uses_references()
    {
        // The same as the code below, in one write.
        let mut bytes = [0; 49];
        bytes[..16].copy_from_slice(&id.get().to_le_bytes());
        bytes[17..33].copy_from_slice(&transfer.debit.get().to_le_bytes());
        bytes[33..].copy_from_slice(&transfer.credit.get().to_le_bytes());
        into.raw(&bytes);
    } else {
        encode_key(transfer.key, into);
        into.id(transfer.debit.get());
        into.id(transfer.credit.get());
    }
    into.varint(transfer.amount.get());
    into.varint(transfer.ledger.get());
    into.varint(transfer.code.get());
    into.varint(transfer.flags.bits());
    encode_time(header, transfer.timestamp, into);
    let mut given = user_data_marks(transfer.user_data_128, transfer.user_data_64, transfer.user_data_32);
    given |= if transfer.pending.is_some() { PENDING } else { 0 };
    given |= if transfer.timeout_s > 0 { TIMEOUT } else { 0 };
    into.u8(given);
    encode_user_data(given, transfer.user_data_128, transfer.user_data_64, transfer.user_data_32, into);
    if let Some(pending) = transfer.pending {
        encode_key(pending, into);
    }
    if transfer.timeout_s > 0 {
        into.varint(transfer.timeout_s);
    }
}

pub(super) fn decode_transfer(header: &Header, version: u16, from: &mut Decoder<'_>) -> Result<Transfer, DecodeError> {
    let key = decode_key(from)?;
    let debit = AccountId::new(from.id()?);
    let credit = AccountId::new(from.id()?);
    let amount = Amount::new(from.varint()?);
    let ledger = LedgerId::new(from.varint()?);
    let code = Code::new(from.varint()?);
    let flags = TransferFlags::from_bits(from.varint()?);
    let timestamp = decode_time(header, version, from)?;
    let given = decode_given(USER_DATA_128 | USER_DATA_64 | USER_DATA_32 | PENDING | TIMEOUT, from)?;
    let (user_data_128, user_data_64, user_data_32) = decode_user_data(given, from)?;
    let pending = if given & PENDING != 0 { Some(decode_key(from)?) } else { None };
    let timeout_s = if given & TIMEOUT != 0 { from.varint()? } else { 0 };
    Ok(Transfer {
        key,
        debit,
        credit,
        amount,
        pending,
        user_data_128,
        user_data_64,
        user_data_32,
        timeout_s,
        ledger,
        code,
        flags,
        timestamp,
    })
}

/// A bit for each optional field that is given.
fn decode_given(known: u8, from: &mut Decoder<'_>) -> Result<u8, DecodeError> {
    match from.u8()? {
        given if given & !known == 0 => Ok(given),
        other => Err(DecodeError::Unknown { what: "set of given fields", value: u64::from(other) }),
    }
}

fn user_data_marks(wide: u128, medium: u64, narrow: u32) -> u8 {
    let marks = [(USER_DATA_128, wide != 0), (USER_DATA_64, medium != 0), (USER_DATA_32, narrow != 0)];
    marks.iter().filter(|(_, set)| *set).fold(0, |marks, (mark, _)| marks | mark)
}

fn encode_user_data(given: u8, wide: u128, medium: u64, narrow: u32, into: &mut Encoder) {
    if given & USER_DATA_128 != 0 {
        into.u128(wide);
    }
    if given & USER_DATA_64 != 0 {
        into.u64(medium);
    }
    if given & USER_DATA_32 != 0 {
        into.u32(narrow);
    }
}

fn decode_user_data(given: u8, from: &mut Decoder<'_>) -> Result<(u128, u64, u32), DecodeError> {
    let wide = if given & USER_DATA_128 != 0 { from.u128()? } else { 0 };
    let medium = if given & USER_DATA_64 != 0 { from.u64()? } else { 0 };
    let narrow = if given & USER_DATA_32 != 0 { from.u32()? } else { 0 };
    Ok((wide, medium, narrow))
}
