//! The outcome of judging a request, and a refusal with the values it is about.

use std::fmt;

use types::{AccountId, Amount, LedgerId, Timestamp};

use crate::TransferKey;

/// What a step of a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<S> {
    /// It is new, and its fact is in the plan.
    Created {
        /// The timestamp it got.
        timestamp: Timestamp,
    },
    /// The same request was accepted before.
    Exists {
        /// The timestamp of the original.
        timestamp: Timestamp,
    },
    /// It is refused.
    Refused(Refusal<S>),
}

/// A business "no": the permanent code, and the values it is about. `Display` gives the sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{status}{detail}")]
pub struct Refusal<S> {
    /// The permanent code.
    pub status: S,
    /// The values it is about.
    pub detail: Detail,
}

/// The values that a [`Refusal`] is about, apart from those that its code alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing to add.
    None,
    /// An account.
    Account(AccountId),
    /// A transfer.
    Transfer(TransferKey),
    /// A ledger.
    Ledger(LedgerId),
    /// The bits of the flags that were given.
    Flags(u16),
    /// What is on record and what was given.
    Numbers {
        /// On record.
        recorded: u128,
        /// Given.
        given: u128,
    },
    /// The account on record and the one given.
    Accounts {
        /// On record.
        recorded: AccountId,
        /// Given.
        given: AccountId,
    },
    /// The ledgers of the two accounts.
    Ledgers {
        /// The debit account's.
        debit: LedgerId,
        /// The credit account's.
        credit: LedgerId,
    },
    /// What an account has left under its limit, and what was asked.
    Room {
        /// The account.
        account: AccountId,
        /// Left under the limit.
        available: Amount,
        /// Asked.
        requested: Amount,
    },
    /// When it happened.
    Since(Timestamp),
}

impl fmt::Display for Detail {
    /// In parentheses behind a space, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Account(id) => write!(f, " (account {id})"),
            Self::Transfer(key) => write!(f, " (transfer {key})"),
            Self::Ledger(id) => write!(f, " (ledger {id})"),
            Self::Flags(bits) => write!(f, " (flags {bits:#06x})"),
            Self::Numbers { recorded, given } => write!(f, " ({recorded} recorded, {given} given)"),
            Self::Accounts { recorded, given } => write!(f, " ({recorded} recorded, {given} given)"),
            Self::Ledgers { debit, credit } => write!(f, " (debit account in {debit}, credit account in {credit})"),
            Self::Room { account, available, requested } => {
                write!(f, " (account {account} has {available} left, {requested} requested)")
            }
            Self::Since(at) => write!(f, " (at {at})"),
        }
    }
}

/// Refuses with `status` unless `ok`; a request is checked by a run of these, in order of precedence.
pub(crate) fn ensure<S>(ok: bool, status: S, detail: Detail) -> Result<(), Refusal<S>> {
    if ok { Ok(()) } else { Err(Refusal { status, detail }) }
}

pub(crate) fn refuse<S, T>(status: S) -> Result<T, Refusal<S>> {
    Err(Refusal { status, detail: Detail::None })
}
