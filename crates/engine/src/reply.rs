//! Replies: what the engine answers. Every reply waits until the entries that it depends on are durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{
    Account, AccountPlace, AccountStatus, Address, Book, ChangeStatus, ImportRefusal, ImportStatus, PendingState,
    Scheduled, Setting as SetAtCreation, Transfer, TransferStatus, TrialBalance,
};
use policy::FeatureValue;
use types::{
    AccountId, ActorId, Amount, Asset, CredentialId, Digest, LedgerId, Name, PaymentId, Seq, SettingName, Timestamp,
    TransferId,
};

use crate::api_keys::CredentialReply;
use crate::approvals::ApprovalRefusal;
use crate::closed::WritesClosed;
use crate::details::{AccountReply, AnyTransfer, TransferReply, head, version_of};
use crate::entity_attributes::{EntityAttributesReply, EntityRefusal};
use crate::entry::{Incremented, PaymentDecided, PaymentStatus, PolicyActivated, Verb};
use crate::identity::{IdentityRefusal, Principal};
use crate::lists::{ListChanged, ListRefusal, ListReply, ListedReply};
use crate::payment::{Asked, Payment};
use crate::proposals::{ApprovalRulesReply, ProposalReply};
use crate::settings::{Setting, SettingRefusal};

/// Whether this request made something, or an earlier, equal request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// This request made it.
    Now,
    /// An earlier, equal request made it.
    Before,
}

/// The answer to any command; [`crate::Operation::answer`] converts it to the answer to one operation.
pub type Answer = Result<Reply, Refusal>;

/// Declares the replies, each with the type that it holds.
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
    /// The answer to any operation that was not refused. All answers have this type while they wait until the entries
    /// that they depend on are durable.
    Reply {
        Ledgers(Vec<Book>),
        Account(Box<AccountReply>),
        /// The accounts that were looked up.
        Accounts(Vec<Account>),
        AccountsPage(Page<AccountReply, AccountPlace>),
        Transfer(AnyTransfer),
        /// The transfers that were looked up. Each pending one comes with what became of it.
        Transfers(Vec<(Transfer, Option<PendingState>)>),
        TransferIds(Page<TransferId, TransferId>),
        /// Transfers that still reserve their amount.
        Pending(Page<Transfer, Timestamp>),
        /// What became of pending transfers, in the order of the request; `None` for a transfer that was never pending.
        PendingStates(Vec<Option<PendingState>>),
        /// A ledger, and how many accounts it had.
        AccountsOpened((Book, usize)),
        Payment(Box<PaymentReply>),
        /// The values of features, by name.
        Features(Vec<(Name, FeatureValue)>),
        Import(Box<ImportStatus>),
        /// In the order they were started.
        Imports(Vec<ImportStatus>),
        /// The active policy.
        Policy(ActivePolicy),
        /// The sums over accounts of a ledger.
        Sums((Book, TrialBalance)),
        /// Scheduled transfers, in order of their time. The place to continue from is a time, and a number in the order
        /// of scheduling.
        Scheduled(Page<Scheduled, (Timestamp, u64)>),
        Credential(Box<CredentialReply>),
        /// In order of number.
        Credentials(Page<CredentialReply, CredentialId>),
        /// A number that no credential has yet.
        NextCredential(CredentialId),
        CredentialMade((Made, Box<CredentialReply>)),
        /// Principals that were looked up.
        Principals(Vec<(ActorId, Principal)>),
        ApprovalRules(Box<ApprovalRulesReply>),
        Proposal(Box<ProposalReply>),
        /// In the order in which they were made. The place to continue from is the entry of a proposal.
        Proposals(Page<ProposalReply, Seq>),
        ApprovalRulesMade((Made, Box<ApprovalRulesReply>)),
        ProposalMade((Made, Box<ProposalReply>)),
        /// The principal of a subject.
        Admitted((Made, ActorId)),
        Setting(Box<Setting>),
        /// In order of name.
        Settings(Page<Setting, SettingName>),
        SettingMade((Made, Box<Setting>)),
        /// In order of name.
        Lists(Vec<ListReply>),
        List(Box<ListReply>),
        ListMade((Made, Box<ListReply>)),
        ListChanged(Box<ListChanged>),
        /// Values of a list. The place to continue from is the number of a place in the list.
        ListValues(Page<ListedReply, u64>),
        ListedValue(Box<ListedReply>),
        EntityAttributes(Box<EntityAttributesReply>),
        EntityAttributesMade((Made, Box<EntityAttributesReply>)),
        /// Only whether this request made something.
        Made(Made),
        LedgerMade((Made, Book)),
        AccountMade((Made, Box<AccountReply>)),
        /// The transfer of an order, which was made or scheduled.
        TransferMade((Made, AnyTransfer)),
        /// A reversal, or a transfer whose metadata changed.
        TransferChanged((Made, Box<TransferReply>)),
        /// A scheduled transfer was cancelled. `None` if an earlier request cancelled it.
        Cancelled((Made, Option<Box<Scheduled>>)),
        PaymentMade((Made, Box<PaymentReply>)),
        Label((Made, LabelReply)),
        PolicyMade((Made, ActivePolicy)),
        ImportMade((Made, Box<ImportStatus>)),
        /// The answers to a batch of orders, in order.
        AccountOrders(Vec<Result<(Made, Box<AccountReply>), Refusal>>),
        /// The answers to a batch of orders, in order.
        TransferOrders(Vec<Result<(Made, AnyTransfer), Refusal>>),
        /// The answers to a batch of payments or verbs, in order.
        PaymentsMade(Vec<Result<(Made, Box<PaymentReply>), Refusal>>),
        /// The result of each account of a batch, in order.
        AccountResults(Vec<EventResult<AccountStatus>>),
        TransferResults(TransferResults),
    }
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T, P> {
    pub items: Vec<T>,
    /// The place to continue from, if there may be more.
    pub next: Option<P>,
}

/// The results of a batch of transfers.
#[derive(Debug, Clone)]
pub struct TransferResults {
    /// One for each event, in order.
    pub results: Vec<EventResult<TransferStatus>>,
    /// If balances were requested, one for each event: the debit and the credit account after it, or `None` if the
    /// transfer was refused. Otherwise empty.
    pub balances: Vec<Option<[Account; 2]>>,
}

/// The result of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventResult<S> {
    pub status: EventStatus<S>,
    /// When the account or transfer was created, by this event or earlier; for a refusal, when the event was judged.
    pub timestamp: Timestamp,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus<S> {
    /// This event created the account or transfer.
    Created,
    /// An equal account or transfer was created earlier.
    Exists,
    Refused(ledger::StatusRefusal<S>),
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

/// A payment, and its decision if this request made it.
#[derive(Debug, Clone)]
pub struct PaymentReply {
    pub payment: Arc<Payment>,
    /// The decision. If it is absent, the shell reads it from the journal at [`Payment::seq`].
    pub decided: Option<Arc<PaymentDecided>>,
    /// The decisions about the last increments: all of them, or that of this request alone. The shell reads the others from the journal.
    pub increments: Vec<Arc<Incremented>>,
    /// JSON texts by key.
    pub metadata: BTreeMap<String, String>,
}

impl PaymentReply {
    /// The version of what can be set: it changes with the label and the metadata, but not with verbs.
    pub fn version(&self) -> u64 {
        let mut builder = version_of(&self.metadata);
        if let Some(label) = &self.payment.label {
            builder.bytes(label.name.as_str().as_bytes());
        }
        head(&builder)
    }
}

/// A label that was recorded.
#[derive(Debug, Clone)]
pub struct LabelReply {
    pub payment: PaymentId,
    /// The version of the payment's label and metadata.
    pub version: u64,
    /// The label, whether it counts as positive, and when it was recorded.
    pub label: crate::payment::Label,
}

/// The active policy.
#[derive(Debug, Clone)]
pub struct ActivePolicy {
    /// The entry that activated it.
    pub seq: Seq,
    /// When it was activated.
    pub at: Timestamp,
    /// The fact that activated it.
    pub activated: Arc<PolicyActivated>,
    /// The time of the last entry when the reply was made.
    pub as_of: Timestamp,
    /// For each of its streams, the first instant from which on all records are held, as of then.
    pub covered_since: Vec<Timestamp>,
}

/// Why a command was refused. The name is the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("ledger {0} not found")]
    LedgerNotFound(LedgerId),
    #[error("ledger {ledger} exists with the asset {actual}, found {given}; give another ledger an id that is free")]
    LedgerExistsWithDifferentAsset {
        given: Asset,
        ledger: LedgerId,
        /// The asset of the ledger.
        actual: Asset,
    },
    #[error("account {0} not found")]
    AccountNotFound(AccountId),
    /// The ledger refused to open the account.
    #[error("{0}")]
    Account(ledger::StatusRefusal<AccountStatus>),
    /// The account or the transfer exists.
    #[error("it was created with {}", match .0 { SetAtCreation::Address => "another address", SetAtCreation::Limits => "other limits", SetAtCreation::Metadata => "other metadata" })]
    ExistsWithDifferent(SetAtCreation),
    #[error("transfer {0} not found")]
    TransferNotFound(TransferId),
    /// The ledger refused the transfer.
    #[error("{0}")]
    Transfer(ledger::StatusRefusal<TransferStatus>),
    #[error("no account has the address {0}")]
    AddressNotFound(Address),
    /// The ledger refused the change.
    #[error("{0}")]
    Change(ledger::StatusRefusal<ChangeStatus>),
    #[error("transfer {0} reserved or released an amount; only a transfer that posted one can be reversed")]
    TransferNotReversible(TransferId),
    #[error("found {given}, but ledger {ledger} has the asset {actual}")]
    AssetMismatch {
        given: Asset,
        ledger: LedgerId,
        /// The asset of the ledger.
        actual: Asset,
    },
    #[error("payment {0} not found")]
    PaymentNotFound(PaymentId),
    #[error(
        "payment {0} exists with different content; a retry must send the same content, and another payment needs another id"
    )]
    PaymentExistsWithDifferentContent(PaymentId),
    #[error("cannot {} a payment that is {}, only one that is {}", verb.name(), status.name(), verb.needs())]
    PaymentStatusConflict { verb: Verb, status: PaymentStatus },
    #[error("the first request with this Idempotency-Key had {first} items, this one has {now}")]
    KeyUsedWithOtherItems { first: u32, now: u32 },
    #[error("this Idempotency-Key was used for a request that differs in {0}")]
    KeyUsedWithOtherContent(String),
    #[error("the present version is \"{0:016x}\"")]
    PreconditionFailed(u64),
    #[error("cannot {} {requested} of the payment, only the {left} that is left", verb.name())]
    AmountExceedsLeft {
        verb: Verb,
        requested: Amount,
        /// What is held of the payment or, for a refund, captured and not refunded.
        left: Amount,
    },
    #[error("the payment cannot be incremented: {0}")]
    NotIncrementable(NotIncrementable),
    #[error("this Idempotency-Key was already used to {0}; give every verb its own")]
    RequestIdReused(Asked),
    #[error("a payment accepts at most {0} verbs")]
    TooManyChanges(usize),
    /// The declared time is further in the future than the payment type allows.
    #[error("occurred_at {occurred_at} is after {latest}, the latest time that this payment type allows now")]
    OccurredTooFarAhead {
        occurred_at: Timestamp,
        /// The latest time that is allowed.
        latest: Timestamp,
    },
    #[error("payments of type {0} do not accept occurred_at")]
    OccurredNotDeclared(Name),
    /// The import does not allow the operation.
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    #[error("{kind} {row} of the import was refused: {sentence}")]
    ImportRow {
        /// `account` or `transfer`.
        kind: &'static str,
        /// The number of the row among the rows of its kind, from 0.
        row: u64,
        /// The name of the ledger's status.
        status: &'static str,
        /// Why the ledger refused the row.
        sentence: String,
    },
    /// The principal or the credential cannot be added.
    #[error(transparent)]
    Identity(#[from] IdentityRefusal),
    /// The operation needs an approval, or the proposal cannot be made or ended.
    #[error(transparent)]
    Approval(#[from] ApprovalRefusal),
    /// The setting cannot be changed or shown.
    #[error(transparent)]
    Setting(#[from] SettingRefusal),
    /// The list cannot be changed or shown, or the policy not be activated.
    #[error(transparent)]
    List(#[from] ListRefusal),
    /// The attributes of an entity cannot be set.
    #[error(transparent)]
    Entity(#[from] EntityRefusal),
    #[error("no policy is active; activate one with POST /v1/policies")]
    NoActivePolicy,
    /// The policy changed after the payment was parsed; it must be parsed again.
    #[error("the active policy changed while the payment was being processed")]
    PolicyChanged,
    #[error("the stored artifact {0} is incomplete or does not match its digest")]
    ArtifactIncomplete(Digest),
    #[error(
        "the policy declares ledger {ledger} with the asset {given}, but it exists with {actual}; declare another id"
    )]
    PolicyLedgerConflict {
        given: Asset,
        ledger: LedgerId,
        /// The asset of the ledger.
        actual: Asset,
    },
    /// Writes are refused at the moment.
    #[error(transparent)]
    WritesClosed(#[from] WritesClosed),
}

/// Why a payment cannot be incremented, whatever the policy would decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotIncrementable {
    /// What the policy needs to decide it again is not there.
    #[error("it cannot be decided again")]
    NotReadable,
    #[error("its amount would exceed the largest one, {} minor units", Amount::MAX)]
    TooLarge,
    #[error("the payment type has another ledger by now")]
    OtherLedger,
    #[error("it would move money between other accounts, or with other codes, than what is held")]
    OtherLegs,
    #[error("one of its legs would be smaller than what was captured of it")]
    BelowCaptured,
}
