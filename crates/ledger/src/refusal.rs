//! The outcome of judging a request, and a refusal with the values it is about.

use std::fmt;

use types::{AccountId, Amount, LedgerId, Timestamp};

use crate::TransferKey;

/// The result of one step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<S> {
    /// The request is new, and its fact is in the plan.
    Created {
        timestamp: Timestamp,
    },
    /// The same request was accepted before.
    Exists {
        /// The timestamp of the original.
        timestamp: Timestamp,
    },
    Refused(StatusRefusal<S>),
}

/// A business refusal: a permanent code and the values it is about. `Display` writes a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{status}{detail}")]
pub struct StatusRefusal<S> {
    pub status: S,
    pub detail: Detail,
}

/// The values that a [`StatusRefusal`] is about, beyond what its code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    None,
    Account(AccountId),
    Transfer(TransferKey),
    Ledger(LedgerId),
    /// The bits of the flags in the request.
    Flags(u16),
    /// The number on record and the one in the request.
    Numbers {
        recorded: u128,
        given: u128,
    },
    /// The account on record and the one in the request.
    Accounts {
        recorded: AccountId,
        given: AccountId,
    },
    /// The ledgers of the two accounts.
    Ledgers {
        debit: LedgerId,
        credit: LedgerId,
    },
    /// What an account has left under a limit, and what was requested.
    Room {
        account: AccountId,
        available: Amount,
        requested: Amount,
    },
    /// When the cause of the refusal happened.
    Since(Timestamp),
}

impl fmt::Display for Detail {
    /// Writes the values in parentheses after a space, or nothing.
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

/// Refuses with `status` unless `ok`. A request is checked by a sequence of these calls, in order of precedence.
pub(crate) fn ensure<S>(ok: bool, status: S, detail: Detail) -> Result<(), StatusRefusal<S>> {
    if ok { Ok(()) } else { Err(StatusRefusal { status, detail }) }
}

pub(crate) fn refuse<S, T>(status: S) -> Result<T, StatusRefusal<S>> {
    Err(StatusRefusal { status, detail: Detail::None })
}
