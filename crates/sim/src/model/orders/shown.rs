//! Checks that answers show accounts and transfers as they are.

use engine::{AccountReply, Answer, AnyTransfer, Made, Refusal, Reply, TransferReply};
use ledger::{MetadataOf, PendingState};
use types::{AccountId, Timestamp};

use crate::model::books::Books;
use crate::model::ensure;
use crate::model::rules::Books as _;
use crate::model::turn::{code, word};

/// The answer to one order of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ordered<'a> {
    Account(Made, &'a AccountReply),
    Transfer(Made, &'a AnyTransfer),
    Refused(&'a Refusal),
}

/// Splits the answer to a batch into the answers to its orders.
pub(super) fn ordered(answer: &Answer) -> Result<Vec<Ordered<'_>>, String> {
    match answer {
        Ok(Reply::AccountOrders(all)) => Ok(all
            .iter()
            .map(|answer| match answer {
                Ok((made, account)) => Ordered::Account(*made, account),
                Err(refusal) => Ordered::Refused(refusal),
            })
            .collect()),
        Ok(Reply::TransferOrders(all)) => Ok(all
            .iter()
            .map(|answer| match answer {
                Ok((made, transfer)) => Ordered::Transfer(*made, transfer),
                Err(refusal) => Ordered::Refused(refusal),
            })
            .collect()),
        _ => Err("SIM-3: no answers".to_owned()),
    }
}

impl Ordered<'_> {
    /// The outcome of the order as one word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Account(made, _) | Self::Transfer(made, _) => word(*made),
            Self::Refused(refusal) => code(refusal),
        }
    }
}

/// Checks that the answer to an order of a batch is the expected one, and that it shows the books as they are right
/// after the order.
pub(super) fn shows_order(answer: &Ordered<'_>, word: &str, books: &Books, at: Timestamp) -> Result<(), String> {
    let said = answer.word();
    ensure(said == word, "SIM-3", || format!("an order is {said}, and should be {word}"))?;
    match answer {
        // An account that only an earlier order of the same failing chain created does not exist in the books.
        Ordered::Account(Made::Before, reply) if books.account(reply.account.id).is_none() => Ok(()),
        Ordered::Account(_, reply) => shows_account(books, reply),
        Ordered::Transfer(Made::Before, AnyTransfer::Made(reply))
            if !books.transfers.contains_key(&reply.transfer.key) =>
        {
            shows_both_accounts(books, reply)
        }
        Ordered::Transfer(_, AnyTransfer::Made(reply)) => shows_transfer(books, at, reply),
        Ordered::Transfer(_, AnyTransfer::Scheduled(one)) => {
            ensure(books.scheduled.contains(one), "SIM-3", || format!("{one:?} does not wait"))
        }
        Ordered::Refused(_) => Ok(()),
    }
}

/// Checks that a reply shows the account as it is.
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

/// Checks that a reply shows the transfer as it is. A pending transfer reads as expired as soon as its timeout has
/// passed, even before the entry that expires it.
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
