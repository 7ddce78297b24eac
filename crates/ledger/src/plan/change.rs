//! Judges changes of the state beside the balances: limits, addresses, metadata and indexes.

use types::{AccountId, LedgerId, Timestamp};

use super::{Planned, View};
use crate::metadata::{METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX, METADATA_VALUE_BYTES_MAX, change_metadata};
use crate::refusal::{ensure, refuse};
use crate::{Address, ChangeStatus as S, Detail, Fact, IndexedFields, Limits, MetadataOf, PastTransfer, StatusRefusal};

pub(super) fn limits(view: &impl View, now: Timestamp, account: AccountId, limits: Limits) -> Planned<S> {
    let checked = check_account(view, account).and_then(|()| {
        let crossed = limits.min_balance.zip(limits.max_balance).is_some_and(|(floor, ceiling)| floor > ceiling);
        ensure(!crossed, S::MinBalanceExceedsMaxBalance, Detail::Account(account))
    });
    decide(now, checked, view.limits(account) == limits, || Fact::LimitsSet { account, limits })
}

pub(super) fn address(view: &impl View, now: Timestamp, account: AccountId, address: &Address) -> Planned<S> {
    let present = view.address(account);
    let is_set = present.as_deref() == Some(address.as_str());
    let checked = check_account(view, account).and_then(|()| {
        let about = Detail::Account(account);
        ensure(present.is_none() || is_set, S::AddressMustNotChange, about)?;
        ensure(is_set || !view.is_address_taken(address), S::AddressAlreadyTaken, about)
    });
    decide(now, checked, is_set, || Fact::AddressSet { account, address: address.clone() })
}

pub(super) fn metadata(
    view: &impl View,
    now: Timestamp,
    of: MetadataOf,
    values: &[(String, Option<String>)],
) -> Planned<S> {
    let present = view.metadata(of);
    let mut after = present.clone();
    change_metadata(&mut after, values);
    let checked = check_subject(view, of).and_then(|()| {
        let key_fits = |key: &str| (1..=METADATA_KEY_BYTES_MAX).contains(&key.len());
        let value_fits = |value: &Option<String>| value.as_ref().is_none_or(|v| v.len() <= METADATA_VALUE_BYTES_MAX);
        ensure(values.iter().all(|(key, _)| key_fits(key)), S::MetadataKeyTooLong, Detail::None)?;
        ensure(values.iter().all(|(_, value)| value_fits(value)), S::MetadataValueTooLong, Detail::None)?;
        ensure(after.len() <= METADATA_KEYS_MAX, S::MetadataHasTooManyKeys, Detail::None)
    });
    decide(now, checked, after == present, || Fact::MetadataSet { of, values: values.to_vec() })
}

pub(super) fn indexes(view: &impl View, now: Timestamp, ledger: LedgerId, fields: IndexedFields) -> Planned<S> {
    let known = IndexedFields::ALL.iter().fold(IndexedFields::NONE, |known, (_, field)| known.with(*field));
    let unknown = fields.without(known);
    let checked = ensure(unknown == IndexedFields::NONE, S::ReservedFlag, Detail::Flags(unknown.bits()))
        .and_then(|()| ensure(view.book(ledger).is_some(), S::LedgerNotFound, Detail::Ledger(ledger)));
    decide(now, checked, view.indexed_fields(ledger) == fields, || Fact::IndexesChosen { ledger, fields })
}

fn check_account(view: &impl View, account: AccountId) -> Result<(), StatusRefusal<S>> {
    ensure(view.account(account).is_some(), S::AccountNotFound, Detail::Account(account))
}

fn check_subject(view: &impl View, of: MetadataOf) -> Result<(), StatusRefusal<S>> {
    match of {
        MetadataOf::Account(account) => check_account(view, account),
        MetadataOf::Transfer(key) => match view.find(key) {
            Some(PastTransfer::Created { .. }) => Ok(()),
            Some(PastTransfer::Failed(_) | PastTransfer::Staged { .. }) | None => refuse(S::TransferNotFound),
        },
        MetadataOf::Payment(_) => Ok(()),
    }
}

/// A request that would change nothing gets [`Outcome::Exists`](crate::Outcome::Exists) and produces no fact.
fn decide(
    now: Timestamp,
    checked: Result<(), StatusRefusal<S>>,
    is_so: bool,
    fact: impl FnOnce() -> Fact,
) -> Planned<S> {
    match checked {
        Err(refusal) => Planned::refused(refusal),
        Ok(()) if is_so => Planned::exists(now),
        Ok(()) => Planned::created(now, fact()),
    }
}
