//! The model checks changes of limits, addresses, metadata and other data beside the balances.

use engine::{
    AccountName, CancelScheduled, ChooseIndexes, Command, SetAccountMetadata, SetAddress, SetLimits,
    SetPaymentMetadata, SetTransferMetadata,
};
use ledger::{Fact as Moved, MetadataOf, TransferKey};

use super::crossed;
use crate::model::books::{self, Books};
use crate::model::rules::Books as _;

/// The expected outcome of a change as one word, and the fact that it leaves.
pub(crate) fn judge_change(
    books: &Books,
    change: &Command,
    is_payment: &dyn Fn(types::PaymentId) -> bool,
) -> (&'static str, Option<Moved>) {
    let named = |name: &AccountName| match name {
        AccountName::Id(id) => books.account(*id).map(|account| account.id).ok_or("account_not_found"),
        AccountName::Address(address) => books.at_address(address.as_str()).ok_or("address_not_found"),
    };
    let unless = |is_so: bool, fact| if is_so { ("before", None) } else { ("now", Some(fact)) };
    let metadata = |of, values: &[(String, Option<String>)]| {
        let present = books.metadata.get(&of).cloned().unwrap_or_default();
        let mut after = present.clone();
        books::set(&mut after, values);
        unless(after == present, Moved::MetadataSet { of, values: values.to_vec() })
    };
    match change {
        Command::SetAddress(SetAddress { account, address }) => match named(account) {
            Err(code) => (code, None),
            Ok(id) => match books.addresses.get(&id) {
                Some(present) if present == address.as_str() => ("before", None),
                Some(_) => ("address_must_not_change", None),
                None if books.at_address(address.as_str()).is_some() => ("address_already_taken", None),
                None => ("now", Some(Moved::AddressSet { account: id, address: address.clone() })),
            },
        },
        Command::SetLimits(SetLimits { account, limits }) => match named(account) {
            Err(code) => (code, None),
            Ok(_) if crossed(*limits) => ("min_balance_exceeds_max_balance", None),
            Ok(account) => unless(books.bounds(account) == *limits, Moved::LimitsSet { account, limits: *limits }),
        },
        Command::SetAccountMetadata(SetAccountMetadata { account, values }) => match named(account) {
            Err(code) => (code, None),
            Ok(account) => metadata(MetadataOf::Account(account), values),
        },
        Command::SetTransferMetadata(SetTransferMetadata { transfer, values }) => {
            let key = TransferKey::Client(*transfer);
            if !books.transfers.contains_key(&key) {
                return ("transfer_not_found", None);
            }
            metadata(MetadataOf::Transfer(key), values)
        }
        Command::SetPaymentMetadata(SetPaymentMetadata { payment, values }) => {
            if !is_payment(*payment) {
                return ("payment_not_found", None);
            }
            metadata(MetadataOf::Payment(*payment), values)
        }
        Command::CancelScheduled(CancelScheduled(id)) => {
            if books.is_scheduled(TransferKey::Client(*id)) {
                return ("now", Some(Moved::ScheduledCancelled { id: *id }));
            }
            let cancelled = books.failed.get(id) == Some(&"scheduled_transfer_cancelled");
            (if cancelled { "before" } else { "scheduled_transfer_not_found" }, None)
        }
        Command::ChooseIndexes(ChooseIndexes { ledger, fields }) => {
            if !books.books.contains_key(ledger) {
                return ("ledger_not_found", None);
            }
            let present = books.indexes.get(ledger).copied().unwrap_or_default();
            unless(present == *fields, Moved::IndexesChosen { ledger: *ledger, fields: *fields })
        }
        _ => ("no change", None),
    }
}
