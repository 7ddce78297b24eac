//! Rows: what targets with tables or documents keep.

use std::sync::Arc;

use engine::{Deadline, Header, PaymentDecided, PaymentStatus, PaymentSums, PlainValue, PolicyActivated};
use ledger::{Account, Address, Book, Limits, MetadataOf, PendingState, Transfer, TransferKey};
use types::{AccountId, Amount, Name, PaymentId, Seq, Timestamp, Token};

use crate::filter::Without;

/// Everything that a batch of entries changed, as it is after the batch.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Ledgers that were opened.
    pub ledgers: Vec<(Seq, Book)>,
    /// Accounts that were opened or changed, each once.
    pub accounts: Vec<AccountRow>,
    /// Transfers that were created, in order.
    pub transfers: Vec<TransferRow>,
    /// Transfers of earlier batches whose state changed.
    pub resolved: Vec<Resolved>,
    /// Payments that were decided, in order.
    pub payments: Vec<PaymentRow>,
    /// Payments of earlier batches that changed, each once.
    pub payments_changed: Vec<(PaymentId, PaymentNow)>,
    /// All changes of payments, in order.
    pub changes: Vec<ChangeRow>,
    /// Labels, in order.
    pub labels: Vec<LabelRow>,
    /// Keys of metadata that were set or removed, in order.
    pub metadata: Vec<MetadataRow>,
}

impl Rows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ledgers.len()
            + self.accounts.len()
            + self.transfers.len()
            + self.resolved.len()
            + self.payments.len()
            + self.payments_changed.len()
            + self.changes.len()
            + self.labels.len()
            + self.metadata.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// With its four balances.
    pub account: Account,
    pub limits: Limits,
    pub address: Option<Address>,
    /// The last entry that changed it. A repeated entry up to this one changes nothing.
    pub sequence: Seq,
}

/// A transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferRow {
    pub transfer: Transfer,
    /// What became of a pending transfer; `None` for any other.
    pub state: Option<PendingState>,
    /// The entry that created it.
    pub sequence: Seq,
}

/// What became of a pending transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    pub key: TransferKey,
    /// The pending transfer.
    pub transfer: Transfer,
    pub state: PendingState,
    /// The entry that resolved it.
    pub sequence: Seq,
}

/// A payment, with its decision.
#[derive(Debug, Clone)]
pub struct PaymentRow {
    pub header: Header,
    pub decided: Arc<PaymentDecided>,
    /// The policy that decided. It names features and models.
    pub policy: Arc<PolicyActivated>,
    pub now: PaymentNow,
    /// What the target does not get of it.
    pub without: Without,
}

impl PaymentRow {
    /// The names and tokens of the payment's entities, unless the target does not get its attributes.
    pub fn entities(&self) -> impl Iterator<Item = (&Name, &Token)> {
        let attributes = if self.without.attributes { &[] } else { self.decided.attributes.as_slice() };
        attributes.iter().filter_map(
            |(name, value)| {
                if let PlainValue::Entity(token) = value { Some((name, token)) } else { None }
            },
        )
    }
}

/// What can change of a payment. `None` means that the batch left it as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentNow {
    pub status: Option<PaymentStatus>,
    /// In minor units. Increments raise it.
    pub amount: Option<Amount>,
    pub sums: Option<PaymentSums>,
    /// The inner value is `None` if there is no deadline.
    pub deadline: Option<Option<Deadline>>,
    /// The newest label, and whether the policy counts it as positive.
    pub label: Option<(Name, bool)>,
    /// The last entry about the payment.
    pub sequence: Seq,
}

impl PaymentNow {
    /// Takes over what a later batch changed.
    pub fn follow(&mut self, later: &Self) {
        let Self { status, amount, sums, deadline, label, sequence } = later;
        self.status = status.or(self.status);
        self.amount = amount.or(self.amount);
        self.sums = sums.or(self.sums);
        self.deadline = deadline.or(self.deadline);
        if label.is_some() {
            self.label.clone_from(label);
        }
        self.sequence = *sequence;
    }
}

/// A change of a payment.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    pub sequence: Seq,
    pub payment: PaymentId,
    /// The verb, or `deadline`.
    pub cause: &'static str,
    pub status: PaymentStatus,
    pub sums: PaymentSums,
    pub at: Timestamp,
    /// Who made the request; 0 for a deadline.
    pub actor: u64,
}

/// A label of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    pub sequence: Seq,
    pub payment: PaymentId,
    pub label: Name,
    /// Whether the policy that was active counts the label as positive.
    pub positive: bool,
    pub at: Timestamp,
    pub actor: u64,
}

/// A key of metadata that was set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRow {
    pub sequence: Seq,
    pub of: MetadataOf,
    pub key: String,
    /// JSON text; `None` if the key was removed.
    pub value: Option<String>,
}

/// A side of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Debit,
    Credit,
}

impl Side {
    pub(crate) const fn account(self, transfer: &Transfer) -> AccountId {
        match self {
            Self::Debit => transfer.debit,
            Self::Credit => transfer.credit,
        }
    }
}
