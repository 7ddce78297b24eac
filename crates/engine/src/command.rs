//! Commands: what is asked of the engine, already parsed, with personal data already tokenised and sealed.

use std::sync::Arc;

use ledger::{AccountPlace, NewAccount, NewTransfer, TransferKey};
use policy::{AttributeValue, PaymentTypeIdx, Policy};
use types::{
    AccountId, ActorId, Amount, Asset, Digest, ImportId, LedgerId, Name, PaymentId, RequestId, Sealed, Seq, TenantId,
    Timestamp, TransferId,
};

use crate::ImportCommand;
use crate::accounts_page::AccountFilter;
use crate::change::Change;
use crate::details::AccountName;
use crate::entry::{ArtifactChunk, PaymentStatus, Verb};
use crate::identity::IdentityCommand;
use crate::order::{AccountOrder, Orders, TransferOrder};

/// A command and who sent it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose ledgers, ids and policy it is about.
    pub tenant: TenantId,
    /// Who asks.
    pub actor: ActorId,
    /// What makes a retry recognisable.
    pub id: RequestId,
    /// What is asked.
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Open a ledger: a book of accounts in one asset.
    OpenLedger {
        /// Its number.
        id: LedgerId,
        /// What it counts.
        asset: Asset,
    },
    /// Open an account.
    OpenAccount(Box<AccountOrder>),
    /// Move money without any policy.
    CreateTransfer(Box<TransferOrder>),
    /// Move back what a transfer moved, by a transfer whose id is [`crate::reversal_id`].
    ReverseTransfer(TransferId),
    /// Change what stands beside balances.
    Change(Change),
    /// Several orders, each answered as if it had come alone.
    Batch(Orders),
    /// Judge a command of orders or payments and leave no entry. The answer is what it would be, durable or not.
    DryRun(Box<Command>),
    /// Open accounts, each with a result of its own. At most [`EVENTS_MAX`].
    CreateAccounts(Vec<NewAccount>),
    /// Create transfers, each with a result and an entry of its own. At most [`EVENTS_MAX`].
    CreateTransfers {
        /// What to create, in order.
        events: Vec<NewTransfer>,
        /// Whether each result brings the balances of both accounts after it.
        balances: bool,
    },
    /// Decide a payment and post what was decided.
    CreatePayment(Box<NewPayment>),
    /// Move a payment on.
    ChangePayment {
        /// The payment.
        payment: PaymentId,
        /// How.
        verb: Verb,
    },
    /// Say what a payment turned out to be.
    RecordLabel {
        /// The payment.
        payment: PaymentId,
        /// What it was.
        label: Name,
    },
    /// Store a part of an artifact.
    StoreArtifact(ArtifactChunk),
    /// Let a policy decide from now on. Its artifact must be stored.
    ActivatePolicy {
        /// Digest of the stored bundle.
        artifact: Digest,
        /// That bundle, compiled.
        policy: Arc<Policy>,
    },
    /// Add a principal or a credential.
    Identity(IdentityCommand),
    /// Bring an existing book.
    Import(ImportCommand),
    /// Look something up.
    Query(Query),
}

impl Request {
    /// How many events it brings: the size of a batch, otherwise one.
    pub fn events_count(&self) -> usize {
        match self.command.judged() {
            Command::CreateAccounts(events) => events.len().max(1),
            Command::CreateTransfers { events, .. } => events.len().max(1),
            Command::Batch(orders) => orders.len().max(1),
            Command::Import(command) => command.events_count(),
            Command::Query(Query::LookupAccounts(ids)) => ids.len().max(1),
            Command::Query(Query::LookupTransfers(ids)) => ids.len().max(1),
            Command::OpenLedger { .. }
            | Command::OpenAccount(_)
            | Command::CreateTransfer(_)
            | Command::ReverseTransfer(_)
            | Command::Change(_)
            | Command::CreatePayment(_)
            | Command::ChangePayment { .. }
            | Command::RecordLabel { .. }
            | Command::StoreArtifact(_)
            | Command::ActivatePolicy { .. }
            | Command::Identity(_)
            | Command::DryRun(_)
            | Command::Query(_) => 1,
        }
    }
}

impl Command {
    /// What is judged: of a dry run the command inside.
    fn judged(&self) -> &Self {
        if let Self::DryRun(command) = self { command } else { self }
    }
}

/// A payment to decide. Its `Debug` form shows no attributes: some are personal.
#[derive(Clone)]
pub struct NewPayment {
    /// Its id.
    pub payment: PaymentId,
    /// Keyed hash of the request's own fields in canonical form.
    pub content: Digest,
    /// The policy that the attributes were parsed with; if another one decides by now, the answer is
    /// [`crate::Refusal::PolicyChanged`] and the edge parses again.
    pub policy: Digest,
    /// Its type in that policy.
    pub payment_type: PaymentTypeIdx,
    /// How much, in minor units of the type's ledger; at most [`policy::AMOUNT_MAX`].
    pub amount: Amount,
    /// The client's time, where the type lets it declare one.
    pub occurred_at: Option<Timestamp>,
    /// Values in the type's order, entity keys as tokens. Personal ones are seen by rules and then forgotten.
    pub attributes: Vec<Option<AttributeValue>>,
    /// Personal values and entity keys, sealed.
    pub sealed: Option<Sealed>,
}

impl std::fmt::Debug for NewPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPayment").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// What can be looked up. Pages hold at most [`PAGE_MAX`] items.
#[derive(Debug, Clone)]
pub enum Query {
    /// All ledgers (they are few).
    Ledgers,
    /// One account.
    Account(AccountName),
    /// These accounts in this order, without those that do not exist. At most [`EVENTS_MAX`].
    LookupAccounts(Vec<AccountId>),
    /// These transfers in this order, without those that do not exist. At most [`EVENTS_MAX`].
    LookupTransfers(Vec<TransferId>),
    /// Accounts in the order they were opened.
    Accounts {
        /// Which of them.
        filter: Box<AccountFilter>,
        /// After this one.
        after: Option<AccountPlace>,
        /// At most so many.
        limit: usize,
    },
    /// One transfer that a client named.
    Transfer(TransferId),
    /// Client transfers by these values of metadata, JSON texts by key, in order of id.
    TransfersByMetadata {
        /// At least one.
        metadata: Vec<(String, String)>,
        /// Behind this one.
        after: Option<TransferId>,
        /// At most so many.
        limit: usize,
    },
    /// Transfers that still reserve their amount, in the order they were made.
    Pending {
        /// Only those of this account.
        account: Option<AccountId>,
        /// Only those in this ledger.
        ledger: Option<LedgerId>,
        /// After this one's timestamp.
        after: Timestamp,
        /// At most so many.
        limit: usize,
    },
    /// What became of these pending transfers.
    PendingStates(Vec<TransferKey>),
    /// How many accounts a ledger had at an instant.
    AccountsOpened(LedgerId, Timestamp),
    /// One payment.
    Payment(PaymentId),
    /// Payments in the order they were decided.
    Payments {
        /// Only those in this state.
        status: Option<PaymentStatus>,
        /// After the payment that this entry decided.
        after: Seq,
        /// At most so many.
        limit: usize,
    },
    /// One import.
    Import(ImportId),
    /// All imports.
    Imports,
    /// The policy that decides.
    Policy,
    /// What the accounts of a ledger add up to.
    TrialBalance(LedgerId),
    /// What the accounts of a ledger add up to whose address is this, or goes on behind it with a colon.
    AddressSums(LedgerId, Box<str>),
    /// Transfers that wait for their time, by time.
    Scheduled {
        /// Behind this place: time and number in order of scheduling.
        after: (Timestamp, u64),
        /// At most so many.
        limit: usize,
    },
}

/// The most events of a batch, and the most ids of a lookup.
pub const EVENTS_MAX: usize = 8_190;
/// The largest page.
pub const PAGE_MAX: usize = 1_000;
