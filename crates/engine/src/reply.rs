//! Replies: what the engine answers. All of them wait until the entries they rest on are durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{
    Account, AccountPlace, AccountStatus, Address, Book, ChangeStatus, ImportRefusal, ImportStatus, PendingState,
    Scheduled, Transfer, TransferStatus, TrialBalance,
};
use types::{AccountId, Asset, Digest, LedgerId, Name, PaymentId, Seq, Timestamp, TransferId};

use crate::closed::WritesClosed;
use crate::details::{AccountReply, AnyTransfer, TransferReply};
use crate::entry::{PaymentDecided, PaymentStatus, PolicyActivated, Verb};
use crate::identity::IdentityRefusal;
use crate::payment::Payment;

/// Whether a command made something, or found that the same request had made it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By this request.
    Now,
    /// By the same request, earlier.
    Before,
}

/// The answer to any command; [`crate::Operation::answer`] makes it that to one operation.
pub type Answer = Result<Reply, Refusal>;

/// Declares the replies, each with the one type that it holds.
macro_rules! replies {
    ($(#[$doc:meta])* $all:ident { $($(#[$about:meta])* $name:ident($held:ty),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub enum $all { $($(#[$about])* $name($held),)* }

        $(impl From<$held> for $all {
            fn from(held: $held) -> Self {
                Self::$name(held)
            }
        }

        impl TryFrom<$all> for $held {
            type Error = $all;

            fn try_from(reply: $all) -> Result<Self, $all> {
                if let $all::$name(held) = reply { Ok(held) } else { Err(reply) }
            }
        })*
    };
}

replies! {
    /// What a command brought: the answer to any operation, in the form in which it waits until the entries it rests on
    /// are durable.
    Reply {
        Ledgers(Vec<Book>),
        Account(Box<AccountReply>),
        /// Accounts that were looked up.
        Accounts(Vec<Account>),
        AccountsPage(Page<AccountReply, AccountPlace>),
        Transfer(AnyTransfer),
        /// Transfers that were looked up, with what became of those that were pending.
        Transfers(Vec<(Transfer, Option<PendingState>)>),
        TransferIds(Page<TransferId, TransferId>),
        /// Transfers that still reserve their amount.
        Pending(Page<Transfer, Timestamp>),
        /// What became of pending transfers, in the order asked; nothing for what never was one.
        PendingStates(Vec<Option<PendingState>>),
        /// A ledger, and how many accounts it had.
        AccountsOpened((Book, usize)),
        Payment(Box<PaymentReply>),
        Payments(Page<Payment, Seq>),
        Import(Box<ImportStatus>),
        /// In the order they were started.
        Imports(Vec<ImportStatus>),
        /// The policy that decides.
        Policy(ActivePolicy),
        /// What accounts of a ledger add up to.
        Sums((Book, TrialBalance)),
        /// Transfers that wait for their time, by time. The place to go on from is a time and a number in order of
        /// scheduling.
        Scheduled(Page<Scheduled, (Timestamp, u64)>),
        /// Nothing but whether it was made by this request.
        Made(Made),
        LedgerMade((Made, Book)),
        AccountMade((Made, Box<AccountReply>)),
        /// What became of a transfer that was ordered.
        TransferMade((Made, AnyTransfer)),
        /// A reversal, or a transfer whose metadata changed.
        TransferChanged((Made, Box<TransferReply>)),
        /// A scheduled transfer was given up; what it was, unless that was before.
        Cancelled((Made, Option<Box<Scheduled>>)),
        PaymentMade((Made, Box<PaymentReply>)),
        Label((Made, LabelReply)),
        PolicyMade((Made, ActivePolicy)),
        ImportMade((Made, Box<ImportStatus>)),
        /// The answers to a batch of orders, in order.
        AccountOrders(Vec<Result<(Made, Box<AccountReply>), Refusal>>),
        /// The answers to a batch of orders, in order.
        TransferOrders(Vec<Result<(Made, AnyTransfer), Refusal>>),
        /// What became of each account of a batch, in order.
        AccountResults(Vec<EventResult<AccountStatus>>),
        TransferResults(TransferResults),
    }
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T, P> {
    pub items: Vec<T>,
    /// The place to go on from, when there may be more.
    pub next: Option<P>,
}

/// What became of a batch of transfers.
#[derive(Debug, Clone)]
pub struct TransferResults {
    /// One per event, in order.
    pub results: Vec<EventResult<TransferStatus>>,
    /// When balances were asked for, one per event: both accounts as they are after it, debit account first; nothing for
    /// a transfer that was refused. Otherwise none.
    pub balances: Vec<Option<[Account; 2]>>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventResult<S> {
    /// How it went.
    pub status: EventStatus<S>,
    /// When it was created, now or before; of a refusal when it was judged.
    pub timestamp: Timestamp,
}

/// How it went with one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus<S> {
    /// Created by this event.
    Created,
    /// The same was created before.
    Exists,
    /// Refused.
    Refused(ledger::Refusal<S>),
}

impl<S> EventResult<S> {
    pub(crate) fn new(outcome: ledger::Outcome<S>, at: Timestamp) -> Self {
        match outcome {
            ledger::Outcome::Created { timestamp } => Self { status: EventStatus::Created, timestamp },
            ledger::Outcome::Exists { timestamp } => Self { status: EventStatus::Exists, timestamp },
            ledger::Outcome::Refused(refusal) => Self { status: EventStatus::Refused(refusal), timestamp: at },
        }
    }
}

/// A payment and, when this very request decided it, the decision.
#[derive(Debug, Clone)]
pub struct PaymentReply {
    /// The payment as it stands.
    pub payment: Payment,
    /// The decision; the shell reads it from the journal, at [`Payment::seq`], when it is absent here.
    pub decided: Option<Arc<PaymentDecided>>,
    /// JSON texts by key.
    pub metadata: BTreeMap<String, String>,
}

/// A recorded label.
#[derive(Debug, Clone)]
pub struct LabelReply {
    /// The payment.
    pub payment: PaymentId,
    /// Label, whether it counts as a positive, and since when it is known.
    pub label: crate::payment::Label,
}

/// The policy that decides.
#[derive(Debug, Clone)]
pub struct ActivePolicy {
    /// The entry that activated it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// What it is.
    pub activated: Arc<PolicyActivated>,
}

/// Why a command was refused. The name is the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such ledger.
    #[error("ledger {0} not found")]
    LedgerNotFound(LedgerId),
    /// That ledger exists with another asset.
    #[error("ledger {0} exists with another asset")]
    LedgerExistsWithDifferentAsset(LedgerId),
    /// No such account.
    #[error("account {0} not found")]
    AccountNotFound(AccountId),
    /// The ledger refuses to open the account.
    #[error("{0}")]
    Account(ledger::Refusal<AccountStatus>),
    /// No such transfer.
    #[error("transfer {0} not found")]
    TransferNotFound(TransferId),
    /// The ledger refuses the transfer.
    #[error("{0}")]
    Transfer(ledger::Refusal<TransferStatus>),
    /// No account has that address.
    #[error("no account has the address {0}")]
    AddressNotFound(Address),
    /// The ledger refuses the change.
    #[error("{0}")]
    Change(ledger::Refusal<ChangeStatus>),
    /// It moved nothing that could be moved back.
    #[error("transfer {0} reserved or released an amount; what can be reversed is a transfer that posted one")]
    TransferNotReversible(TransferId),
    /// The amount is in another asset than its ledger.
    #[error("found {given}, ledger {ledger} is in {actual}")]
    AssetMismatch {
        /// What was given.
        given: Asset,
        /// The ledger.
        ledger: LedgerId,
        /// What it counts.
        actual: Asset,
    },
    /// No such payment.
    #[error("payment {0} not found")]
    PaymentNotFound(PaymentId),
    /// That id belongs to a payment with other content.
    #[error("payment {0} exists with different content")]
    PaymentExistsWithDifferentContent(PaymentId),
    /// The verb does not fit where the payment stands.
    #[error("cannot {} a payment that is {}", verb.name(), status.name())]
    PaymentStatusConflict {
        /// What was asked.
        verb: Verb,
        /// Where the payment stands.
        status: PaymentStatus,
    },
    /// That request id was used for another verb on this payment.
    #[error("this request id was used to {} the payment", .0.name())]
    RequestIdReused(Verb),
    /// The payment has had as many verbs as it can have.
    #[error("a payment takes at most {0} changes")]
    TooManyChanges(usize),
    /// The declared time is later than the type's bound on the future allows.
    #[error("occurred_at {occurred_at} lies after {latest}, the latest this payment type allows now")]
    OccurredTooFarAhead {
        /// What was declared.
        occurred_at: Timestamp,
        /// What would be allowed.
        latest: Timestamp,
    },
    /// The payment type does not let clients say when a payment happened.
    #[error("payments of type {0} do not declare occurred_at")]
    OccurredNotDeclared(Name),
    /// The import cannot do that.
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    /// A row of an import is refused.
    #[error("{kind} {row} of the import is refused: {sentence}")]
    ImportRow {
        /// What it is.
        kind: &'static str,
        /// Its number among these, from 0.
        row: u64,
        /// The name of the ledger's status.
        status: &'static str,
        /// What is wrong with it.
        sentence: String,
    },
    /// The principal or the credential cannot be added.
    #[error(transparent)]
    Identity(#[from] IdentityRefusal),
    /// No policy decides yet.
    #[error("no policy is active")]
    NoActivePolicy,
    /// The policy changed between parsing and deciding; parse again.
    #[error("the active policy changed while the request was on its way")]
    PolicyChanged,
    /// The artifact is not stored in full.
    #[error("artifact {0} is not stored in full")]
    ArtifactIncomplete(Digest),
    /// The policy needs a ledger that exists with another asset.
    #[error("the policy declares ledger {0} with another asset than it has")]
    PolicyLedgerConflict(LedgerId),
    /// Nothing is written at the moment.
    #[error(transparent)]
    WritesClosed(#[from] WritesClosed),
}
