//! Replies: what the engine answers. All of them wait until the entries they rest on are durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{
    Account, AccountPlace, AccountStatus, Address, Book, ChangeStatus, ImportRefusal, ImportStatus, IndexedFields,
    PendingState, Scheduled, Transfer, TransferStatus, TrialBalance,
};
use types::{AccountId, Asset, Digest, LedgerId, Name, PaymentId, Seq, Timestamp, TransferId};

use crate::closed::WritesClosed;
use crate::details::{AccountReply, TransferReply};
use crate::entry::{PaymentDecided, PaymentStatus, PolicyActivated, Verb};
use crate::identity::IdentityRefusal;
use crate::order::Ordered;
use crate::payment::Payment;

/// Whether a command made something, or found that the same request had made it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By this request.
    Now,
    /// By the same request, earlier.
    Before,
}

/// The answer to a command.
pub type Answer = Result<Reply, Refusal>;

/// What a command brought.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A ledger, opened or looked up.
    Ledger(Made, Book),
    /// All ledgers.
    Ledgers(Vec<Book>),
    /// An account, opened or looked up.
    Account(Made, Box<AccountReply>),
    /// Accounts that were looked up.
    Accounts(Vec<Account>),
    /// A page of accounts.
    AccountsPage {
        /// The accounts.
        accounts: Vec<AccountReply>,
        /// Where to go on, when there may be more.
        next: Option<AccountPlace>,
    },
    /// A transfer that waits for its time.
    Scheduled(Made, Box<Scheduled>),
    /// A page of transfers that wait for their time.
    ScheduledPage {
        /// The transfers, by time.
        scheduled: Vec<Scheduled>,
        /// Where to go on, when there may be more: time and number in order of scheduling.
        next: Option<(Timestamp, u64)>,
    },
    /// A scheduled transfer was given up; what it was, unless that was before.
    Cancelled(Made, TransferId, Option<Scheduled>),
    /// By which fields the transfers of a ledger can be found.
    Indexes(Made, LedgerId, IndexedFields),
    /// What the accounts of a ledger below an address add up to.
    AddressSums(Book, Box<str>, TrialBalance),
    /// The answers to a batch of orders, in order.
    Batch(Vec<Ordered>),
    /// A transfer, made or looked up, with both accounts as they are after it.
    Transfer(Made, Box<TransferReply>),
    /// Transfers that were looked up.
    Transfers(Vec<(Transfer, Option<PendingState>)>),
    /// Transfers that were found, and where to go on when there may be more.
    TransferIds(Vec<TransferId>, Option<TransferId>),
    /// Transfers that still reserve their amount, and behind which time to go on when there may be more.
    Pending(Vec<Transfer>, Option<Timestamp>),
    /// What became of pending transfers, in the order asked; nothing for what never was one.
    PendingStates(Vec<Option<PendingState>>),
    /// How many accounts a ledger had.
    AccountsOpened(Book, usize),
    /// What became of each account of a batch, in order.
    AccountResults(Vec<EventResult<AccountStatus>>),
    /// What became of each transfer of a batch, in order; then, where they were asked for, both accounts as they are
    /// after it: debit account first, nothing for a transfer that was refused.
    TransferResults {
        /// Per event.
        results: Vec<EventResult<TransferStatus>>,
        /// Per event when balances were asked for, otherwise none.
        balances: Vec<Option<[Account; 2]>>,
    },
    /// A payment, decided, moved on or looked up.
    Payment(Made, Box<PaymentReply>),
    /// A page of payments.
    Payments {
        /// The payments.
        payments: Vec<Payment>,
        /// Where to go on, when there may be more.
        next: Option<Seq>,
    },
    /// A label, recorded.
    Label(Made, LabelReply),
    /// A part of an artifact, stored.
    Artifact(Made),
    /// The policy that decides.
    Policy(Made, ActivePolicy),
    /// What the accounts of a ledger add up to.
    TrialBalance(Book, TrialBalance),
    /// An import, as it is now.
    Import(Made, Box<ImportStatus>),
    /// All imports, in the order they were started.
    Imports(Vec<ImportStatus>),
    /// A principal or a credential, added.
    Identity(Made),
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
