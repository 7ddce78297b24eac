//! Whether answers show accounts and transfers as they are.

use engine::{AccountReply, Made, OrderReply, TransferReply};
use ledger::{MetadataOf, PendingState};
use types::{AccountId, Timestamp};

use crate::model::books::Books;
use crate::model::ensure;
use crate::model::rules::Books as _;
use crate::model::turn::{code, word};

/// What the answer to an order of a batch says in one word.
pub(super) fn ordered(answer: &engine::Ordered) -> &'static str {
    match answer {
        Ok(OrderReply::Account(made, _) | OrderReply::Transfer(made, _) | OrderReply::Scheduled(made, _)) => {
            word(*made)
        }
        Err(refusal) => code(refusal),
    }
}

/// Whether the answer to an order of a batch is the one expected, and shows the books as they are right after it.
pub(super) fn shows_order(answer: &engine::Ordered, word: &str, books: &Books, at: Timestamp) -> Result<(), String> {
    let said = ordered(answer);
    ensure(said == word, "SIM-3", || format!("an order is {said}, and should be {word}"))?;
    match answer {
        // What exists only by an earlier order of its own failing chain is nowhere.
        Ok(OrderReply::Account(Made::Before, reply)) if books.account(reply.account.id).is_none() => Ok(()),
        Ok(OrderReply::Account(_, reply)) => shows_account(books, reply),
        Ok(OrderReply::Transfer(Made::Before, reply)) if !books.transfers.contains_key(&reply.transfer.key) => {
            shows_both_accounts(books, reply)
        }
        Ok(OrderReply::Transfer(_, reply)) => shows_transfer(books, at, reply),
        Ok(OrderReply::Scheduled(_, one)) => {
            ensure(books.scheduled.contains(one), "SIM-3", || format!("{one:?} does not wait"))
        }
        Err(_) => Ok(()),
    }
}

/// Whether an account is shown as it is.
pub(in crate::model) fn shows_account(books: &Books, told: &AccountReply) -> Result<(), String> {
    let id: AccountId = told.account.id;
    let expected = books.account(id).map(|account| AccountReply {
        account,
        address: books.addresses.get(&id).cloned(),
        limits: books.bounds(id),
        metadata: books.metadata.get(&MetadataOf::Account(id)).cloned().unwrap_or_default(),
    });
    ensure(expected.as_ref() == Some(told), "SIM-3", || format!("account {id} is {expected:?}, shown is {told:?}"))
}

/// Whether a transfer is shown as it is; what is past its time reads as expired before the entry that says so.
pub(in crate::model) fn shows_transfer(books: &Books, at: Timestamp, told: &TransferReply) -> Result<(), String> {
    let key = told.transfer.key;
    let state = books.state(key, at);
    let shown = books.transfers.get(&key).is_some_and(|made| made.transfer == told.transfer)
        && (state == told.state || (state, told.state) == (Some(PendingState::Expired), Some(PendingState::Pending)))
        && books.metadata.get(&MetadataOf::Transfer(key)).cloned().unwrap_or_default() == told.metadata;
    ensure(shown, "SIM-3", || {
        format!("transfer {key} is {:?} {state:?}, shown is {told:?}", books.transfers.get(&key))
    })?;
    shows_both_accounts(books, told)
}

fn shows_both_accounts(books: &Books, told: &TransferReply) -> Result<(), String> {
    let TransferReply { transfer, debit, credit, .. } = told;
    let shown = books.account(transfer.debit) == Some(*debit) && books.account(transfer.credit) == Some(*credit);
    ensure(shown, "SIM-3", || format!("transfer {} shows its accounts as {debit:?} and {credit:?}", transfer.key))
}
