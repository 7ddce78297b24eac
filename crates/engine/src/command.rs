//! The operations of the engine, with parsed input in which personal data is already tokenised and sealed. One table
//! says how each operation is answered.

use ledger::{
    Account, AccountPlace, AccountStatus, Book, ImportStatus, PendingState, Scheduled, Transfer, TrialBalance,
};
use policy::FeatureValue;
use types::{ActorId, CredentialId, Name, PaymentId, RequestId, Seq, SettingName, TenantId, Timestamp, TransferId};

use crate::api_keys::{AddApiKey, CredentialReply, RevokeCredential};
use crate::batch::{CreateAccounts, CreateTransfers};
use crate::change::{
    CancelScheduled, ChooseIndexes, SetAccountMetadata, SetAddress, SetLimits, SetPaymentMetadata, SetTransferMetadata,
};
use crate::details::{AccountReply, AnyTransfer, TransferReply};
use crate::entity_attributes::{EntityAttributesReply, SetEntityAttributes};
use crate::entry::ArtifactChunk;
use crate::guard::{self, Guard, Guarded};
use crate::identity::{AdmitSubject, CredentialAdded, Principal, PrincipalAdded};
use crate::lists::{AddToList, DeleteList, ListChanged, ListReply, ListedReply, MakeList, RemoveFromList};
use crate::order::{CreateTransfer, CreateTransferBatch, OpenAccount, OpenAccountBatch};
use crate::proposals::{ApprovalRulesReply, EndProposal, ProposalReply, Propose, SetApprovalRules};
use crate::record_read::PersonalDataRead;
use crate::reply::{EventResult, LabelReply, Made, Page, PaymentReply, TransferResults};
use crate::settings::{PutSetting, RemoveSetting, Setting};
use crate::{
    ActivatePolicy, ActivePolicy, Answer, ChangePayment, ChangePaymentBatch, CreatePayment, CreatePaymentBatch, Engine,
    ImportCommand, IncrementPayment, OpenLedger, RecordLabel, Refusal, Reply, ReverseTransfer, Sink, query,
};

/// A command and who sent it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tenant whose ledgers, ids and policy the command is about.
    pub tenant: TenantId,
    pub actor: ActorId,
    /// The id by which a retry is recognised.
    pub id: RequestId,
    pub command: Command,
}

/// Something that a caller can ask of the engine. The type of an operation determines the type of its answer, so a
/// caller never has to handle the answer to another operation.
pub trait Operation: Into<Command> {
    type Reply: Into<Reply> + TryFrom<Reply>;

    /// Converts an answer to the answer to this operation. While answers wait to become durable, all of them have the
    /// same type.
    ///
    /// # Panics
    /// If it is the answer to another operation.
    fn answer(answer: Answer) -> Answered<Self> {
        answer.map(|reply| {
            let own = Self::Reply::try_from(reply);
            own.unwrap_or_else(|_other| unreachable!("ENG-20: an operation is answered with its own kind of reply"))
        })
    }
}

/// The answer to an operation.
pub type Answered<O> = Result<<O as Operation>::Reply, Refusal>;

/// Declares an enum of operations and its conversions. `$each` becomes a macro that evaluates an expression with the
/// operation that a value holds.
macro_rules! one_of {
    (($d:tt) $each:ident $(#[$doc:meta])* $all:ident { $($name:ident($operation:ty),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub enum $all { $($name($operation),)* }

        $(impl From<$operation> for $all {
            fn from(operation: $operation) -> Self {
                Self::$name(operation)
            }
        })*

        macro_rules! $each {
            ($d all:expr, $d one:ident => $d then:expr) => {
                match $d all { $($all::$name($d one) => $d then,)* }
            };
        }
    };
}

/// The table of operations: the name in the enum, the type of the operation, and the type of its answer.
macro_rules! operations {
    ($d:tt $each:ident $(#[$doc:meta])* $all:ident { $($name:ident($operation:ty) -> $reply:ty,)* }) => {
        one_of! { $d $each $(#[$doc])* $all { $($name($operation),)* } }
        $(impl Operation for $operation {
            type Reply = $reply;
        })*
    };
    ($d:tt $each:ident $(#[$doc:meta])* Command::$all:ident { $($name:ident($operation:ty) -> $reply:ty,)* }) => {
        operations! { $d $each $(#[$doc])* $all { $($name($operation) -> $reply,)* } }
        $(impl From<$operation> for Command {
            fn from(operation: $operation) -> Self {
                Self::$all(operation.into())
            }
        })*
    };
}

operations! {
    ($) for_query
    /// The lookups. They never make an entry. Pages have at most [`PAGE_MAX`] items.
    Command::Query {
        Ledgers(query::Ledgers) -> Vec<Book>,
        Account(query::Account) -> Box<AccountReply>,
        LookupAccounts(query::LookupAccounts) -> Vec<Account>,
        LookupTransfers(query::LookupTransfers) -> Vec<(Transfer, Option<PendingState>)>,
        Accounts(query::Accounts) -> Page<AccountReply, AccountPlace>,
        Transfer(query::Transfer) -> AnyTransfer,
        TransfersByMetadata(query::TransfersByMetadata) -> Page<TransferId, TransferId>,
        Pending(query::Pending) -> Page<Transfer, Timestamp>,
        PendingStates(query::PendingStates) -> Vec<Option<PendingState>>,
        AccountsOpened(query::AccountsOpened) -> (Book, usize),
        Payment(query::Payment) -> Box<PaymentReply>,
        Features(query::Features) -> Vec<(Name, FeatureValue)>,
        Import(query::Import) -> Box<ImportStatus>,
        Imports(query::Imports) -> Vec<ImportStatus>,
        Policy(query::Policy) -> ActivePolicy,
        TrialBalance(query::TrialBalance) -> (Book, TrialBalance),
        AddressSums(query::AddressSums) -> (Book, TrialBalance),
        Scheduled(query::Scheduled) -> Page<Scheduled, (Timestamp, u64)>,
        ApiKey(query::ApiKey) -> Box<CredentialReply>,
        ApiKeys(query::ApiKeys) -> Page<CredentialReply, CredentialId>,
        NextCredential(query::NextCredential) -> CredentialId,
        Principals(query::Principals) -> Vec<(ActorId, Principal)>,
        ApprovalRules(query::ApprovalRules) -> Box<ApprovalRulesReply>,
        Proposal(query::Proposal) -> Box<ProposalReply>,
        Proposals(query::Proposals) -> Page<ProposalReply, Seq>,
        Setting(query::Setting) -> Box<Setting>,
        Settings(query::Settings) -> Page<Setting, SettingName>,
        Lists(query::Lists) -> Vec<ListReply>,
        List(query::List) -> Box<ListReply>,
        ListValues(query::ListValues) -> Page<ListedReply, u64>,
        ListedValue(query::ListedValue) -> Box<ListedReply>,
        EntityAttributes(query::EntityAttributes) -> Box<EntityAttributesReply>,
    }
}

one_of! {
    ($) for_dry_run
    /// The operations that can be judged without making an entry. [`Dry`] asks for that.
    DryRun {
        OpenAccount(OpenAccount),
        OpenAccountBatch(OpenAccountBatch),
        CreateTransfer(CreateTransfer),
        CreateTransferBatch(CreateTransferBatch),
        ReverseTransfer(ReverseTransfer),
        CreatePayment(CreatePayment),
        ChangePayment(ChangePayment),
        IncrementPayment(IncrementPayment),
    }
}

one_of! {
    ($) for_guarded
    /// The operations that can have a guard. [`Guarded`] gives them one.
    Guardable {
        OpenLedger(OpenLedger),
        OpenAccountBatch(OpenAccountBatch),
        CreateTransferBatch(CreateTransferBatch),
        CreatePaymentBatch(CreatePaymentBatch),
        ReverseTransfer(ReverseTransfer),
        CancelScheduled(CancelScheduled),
        SetAddress(SetAddress),
        SetLimits(SetLimits),
        SetAccountMetadata(SetAccountMetadata),
        SetTransferMetadata(SetTransferMetadata),
        SetPaymentMetadata(SetPaymentMetadata),
        ChooseIndexes(ChooseIndexes),
        RecordLabel(RecordLabel),
        ActivatePolicy(ActivatePolicy),
        SetApprovalRules(SetApprovalRules),
    }
}

impl From<Guardable> for Command {
    fn from(operation: Guardable) -> Self {
        for_guarded!(operation, operation => operation.into())
    }
}

/// An operation with its guard.
#[derive(Debug, Clone)]
pub struct GuardedCommand {
    pub guard: Guard,
    pub operation: Guardable,
}

operations! {
    ($) for_command
    /// Everything that a caller can ask of the engine.
    Command {
        Query(Query) -> Reply,
        DryRun(DryRun) -> Reply,
        Guarded(Box<GuardedCommand>) -> Reply,
        OpenLedger(OpenLedger) -> (Made, Book),
        OpenAccount(OpenAccount) -> (Made, Box<AccountReply>),
        OpenAccountBatch(OpenAccountBatch) -> Vec<Result<(Made, Box<AccountReply>), Refusal>>,
        CreateAccounts(CreateAccounts) -> Vec<EventResult<AccountStatus>>,
        CreateTransfer(CreateTransfer) -> (Made, AnyTransfer),
        CreateTransferBatch(CreateTransferBatch) -> Vec<Result<(Made, AnyTransfer), Refusal>>,
        CreateTransfers(CreateTransfers) -> TransferResults,
        ReverseTransfer(ReverseTransfer) -> (Made, Box<TransferReply>),
        CancelScheduled(CancelScheduled) -> (Made, Option<Box<Scheduled>>),
        SetAddress(SetAddress) -> (Made, Box<AccountReply>),
        SetLimits(SetLimits) -> (Made, Box<AccountReply>),
        SetAccountMetadata(SetAccountMetadata) -> (Made, Box<AccountReply>),
        SetTransferMetadata(SetTransferMetadata) -> (Made, Box<TransferReply>),
        SetPaymentMetadata(SetPaymentMetadata) -> (Made, Box<PaymentReply>),
        ChooseIndexes(ChooseIndexes) -> Made,
        CreatePayment(CreatePayment) -> (Made, Box<PaymentReply>),
        CreatePaymentBatch(CreatePaymentBatch) -> Vec<Result<(Made, Box<PaymentReply>), Refusal>>,
        ChangePayment(ChangePayment) -> (Made, Box<PaymentReply>),
        IncrementPayment(IncrementPayment) -> (Made, Box<PaymentReply>),
        ChangePaymentBatch(ChangePaymentBatch) -> Vec<Result<(Made, Box<PaymentReply>), Refusal>>,
        RecordLabel(RecordLabel) -> (Made, LabelReply),
        StoreArtifact(ArtifactChunk) -> Made,
        ActivatePolicy(ActivatePolicy) -> (Made, ActivePolicy),
        AddPrincipal(PrincipalAdded) -> Made,
        AddCredential(CredentialAdded) -> Made,
        AddApiKey(AddApiKey) -> (Made, Box<CredentialReply>),
        RevokeCredential(RevokeCredential) -> (Made, Box<CredentialReply>),
        AdmitSubject(AdmitSubject) -> (Made, ActorId),
        PutSetting(PutSetting) -> (Made, Box<Setting>),
        RemoveSetting(RemoveSetting) -> Made,
        MakeList(MakeList) -> (Made, Box<ListReply>),
        AddToList(AddToList) -> Box<ListChanged>,
        RemoveFromList(RemoveFromList) -> Box<ListChanged>,
        DeleteList(DeleteList) -> (Made, Box<ListReply>),
        SetEntityAttributes(SetEntityAttributes) -> (Made, Box<EntityAttributesReply>),
        RecordRead(PersonalDataRead) -> Made,
        Import(ImportCommand) -> (Made, Box<ImportStatus>),
        SetApprovalRules(SetApprovalRules) -> (Made, Box<ApprovalRulesReply>),
        Propose(Propose) -> (Made, Box<ProposalReply>),
        EndProposal(EndProposal) -> (Made, Box<ProposalReply>),
    }
}

/// Asks what the answer to an operation would be now, without making an entry.
#[derive(Debug, Clone)]
pub struct Dry<O>(pub O);

impl<O: Into<DryRun>> From<Dry<O>> for Command {
    fn from(Dry(operation): Dry<O>) -> Self {
        Self::DryRun(operation.into())
    }
}

impl<O: Operation + Into<DryRun>> Operation for Dry<O> {
    type Reply = O::Reply;
}

impl<O: Into<Guardable>> From<Guarded<O>> for Command {
    fn from(Guarded { guard, operation }: Guarded<O>) -> Self {
        Self::Guarded(Box::new(GuardedCommand { guard, operation: operation.into() }))
    }
}

impl<O: Operation + Into<Guardable>> Operation for Guarded<O> {
    type Reply = O::Reply;
}

/// An operation that only reads.
pub(crate) trait Look: Operation {
    fn events_count(&self) -> usize {
        1
    }

    /// The payment that it is about, which may have to be brought back into memory.
    fn payment(&self) -> Option<PaymentId> {
        None
    }

    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self>;
}

/// An operation that can be judged without making an entry.
pub(crate) trait Foresee: Operation {
    /// The payment that it is about, which may have to be brought back into memory.
    fn payment(&self) -> Option<PaymentId> {
        None
    }

    /// The answer that it would get at `at`, the time of the next entry.
    fn foresee(&self, engine: &Engine, at: Timestamp, request: &Request) -> Answered<Self>;
}

/// An operation that the engine executes.
pub(crate) trait Execute: Operation {
    /// The number of events that it contains: the size of a batch, otherwise 1.
    fn events_count(&self) -> usize {
        1
    }

    /// The payment that it is about, which may have to be brought back into memory.
    fn payment(&self) -> Option<PaymentId> {
        None
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self>;

    /// The answer while writes are refused; `None` for an operation that would make an entry.
    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answered<Self>>;
}

impl Execute for Query {
    fn events_count(&self) -> usize {
        for_query!(self, query => query.events_count())
    }

    fn payment(&self) -> Option<PaymentId> {
        for_query!(self, query => query.payment())
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, _: &Request, _: &mut dyn Sink) -> Answer {
        let at = engine.next_instant(now);
        for_query!(self, query => any(query.look(engine, at)))
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, _: &Request) -> Option<Answer> {
        Some(for_query!(self, query => any(query.look(engine, at))))
    }
}

impl Execute for DryRun {
    fn events_count(&self) -> usize {
        for_dry_run!(self, operation => operation.events_count())
    }

    fn payment(&self) -> Option<PaymentId> {
        for_dry_run!(self, operation => Foresee::payment(operation))
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, _: &mut dyn Sink) -> Answer {
        let at = engine.next_instant(now);
        for_dry_run!(self, operation => any(operation.foresee(engine, at, request)))
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answer> {
        Some(for_dry_run!(self, operation => any(operation.foresee(engine, at, request))))
    }
}

impl Execute for Box<GuardedCommand> {
    fn events_count(&self) -> usize {
        for_guarded!(&self.operation, operation => operation.events_count())
    }

    fn payment(&self) -> Option<PaymentId> {
        for_guarded!(&self.operation, operation => Execute::payment(operation))
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answer {
        for_guarded!(&self.operation, operation => {
            any(guard::execute(operation, &self.guard, engine, now, request, sink))
        })
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answer> {
        for_guarded!(&self.operation, operation => {
            guard::without_entry(operation, &self.guard, engine, at, request).map(any)
        })
    }
}

impl Request {
    /// The number of events that it contains: the size of a batch, otherwise 1.
    pub fn events_count(&self) -> usize {
        for_command!(&self.command, operation => operation.events_count().max(1))
    }

    /// The payment that it is about, if any.
    pub(crate) fn payment(&self) -> Option<PaymentId> {
        for_command!(&self.command, operation => Execute::payment(operation))
    }

    pub(crate) fn execute(&self, engine: &mut Engine, now: Timestamp, sink: &mut dyn Sink) -> Answer {
        for_command!(&self.command, operation => any(operation.execute(engine, now, self, sink)))
    }

    pub(crate) fn without_entry(&self, engine: &Engine, at: Timestamp) -> Option<Answer> {
        for_command!(&self.command, operation => operation.without_entry(engine, at, self).map(any))
    }
}

/// Converts the answer to one operation to the type that all answers have while they wait.
fn any<R: Into<Reply>>(answer: Result<R, Refusal>) -> Answer {
    answer.map(Into::into)
}

/// The most events of a batch, and the most ids of a lookup.
pub const EVENTS_MAX: usize = 8_190;
/// The most items of a page.
pub const PAGE_MAX: usize = 1_000;
