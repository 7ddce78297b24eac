//! The engine: decides commands against its state, and applies what was decided.
//!
//! [`Engine::execute`] decides, then applies. Deciding reads the state and may be costly; the [`Entry`] that it makes
//! holds every fact of the decision, and applying the entry only folds it into the state. Recovery and replay call
//! [`Engine::apply`] alone, so no rule, feature or model is ever evaluated again to rebuild a state.
//!
//! The engine does no I/O and has no clock, randomness or threads; every call passes the time.
#![deny(clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod accounts_page;
mod activate_policy;
mod again;
mod api_keys;
mod approvals;
mod artifact;
mod batch;
mod change;
mod change_payment;
mod closed;
mod command;
mod create_payment;
mod decide;
mod details;
mod dry_run;
mod due;
mod entity_attributes;
mod entry;
mod guard;
mod identity;
mod import;
mod increment_payment;
mod lists;
mod order;
mod payment;
mod payments;
mod policy_tests;
mod proposals;
pub mod query;
mod record_label;
mod record_read;
mod reply;
mod reverse_transfer;
mod settings;
mod state;
mod take_orders;
mod transfers_page;

use std::sync::Arc;

use features::{RestoredRecord, StoredUpdate, StreamBounds, StreamId, Windows};
use ledger::{Account, AccountPlace, Ledger, Touched};
use policy::Policy;
use types::{
    ActorId, Digest, LedgerId, Origin, PaymentId, RequestId, Seq, ShardId, Span, TenantId, Timestamp, Token,
    TokenSubject,
};

pub use accounts_page::{ACCOUNTS_EXAMINED_MAX, AccountFilter};
pub use activate_policy::ActivatePolicy;
pub use again::{Again, NotDecided, Unreadable};
pub use api_keys::{AddApiKey, CredentialReply, KeyOwner, RevokeCredential, Sender};
pub use approvals::{
    ApprovalFact, ApprovalRefusal, ApprovalRules, Demand, PROPOSAL_LIFETIME_MAX, PROPOSALS_ENDED_MAX,
    PROPOSALS_OPEN_MAX, Proposal, ProposalEnd, ProposalEnded, ProposalMade, ProposalStatus, Proposed, REASON_BYTES_MAX,
    REVERSAL_BOUNDS_MAX,
};
pub use batch::{CreateAccounts, CreateTransfers};
pub use change::{
    CancelScheduled, ChooseIndexes, SetAccountMetadata, SetAddress, SetLimits, SetPaymentMetadata, SetTransferMetadata,
};
pub use change_payment::{ChangePayment, ChangePaymentBatch, VERBS_MAX};
pub use closed::WritesClosed;
pub use command::{
    Answered, Command, Dry, DryRun, EVENTS_MAX, Guardable, GuardedCommand, Operation, PAGE_MAX, Query, Request,
};
pub use create_payment::{CreatePayment, CreatePaymentBatch, NewPayment, PAYMENTS_MAX, account_id};
pub use decide::OpenLedger;
pub use details::{AccountName, AccountNameParseError, AccountReply, AnyTransfer, MetadataChanges, TransferReply};
pub use entity_attributes::{
    ENTITY_CHANGES_MAX, ENTITY_NAMES_MAX, ENTITY_VALUES_MAX, EntityAttributeReply, EntityAttributesReply,
    EntityAttributesSet, EntityRefusal, SetEntityAttributes,
};
pub use entry::{
    ArtifactChunk, AtDeadline, CaptureTerms, Cause, Deadline, DecisionForm, DepartedHistory, Entry, Fact, Header,
    Incremented, LabelRecorded, LegRefusal, PaymentChanged, PaymentDecided, PaymentStatus, PaymentSums, PlainValue,
    PolicyActivated, Portion, StateDigest, StreamOpened, Verb,
};
pub use guard::{Guard, Guarded, IfMatch, KEY_PARTS_MAX, KEYS_MAX, Key, KeyUsed};
pub use identity::{
    AdmitSubject, ApiKeyAdded, CREDENTIALS_MAX, Credential, CredentialAdded, CredentialKind, CredentialRevoked,
    CredentialStatus, IdentityFact, IdentityRefusal, KEYS_MANAGE, Principal, PrincipalAdded, PrincipalKind,
    SUBJECTS_MAX,
};
pub use import::ImportCommand;
pub use increment_payment::IncrementPayment;
pub use lists::{
    AddToList, AddedValue, DeleteList, LIST_CHANGE_BYTES_MAX, LIST_CHANGES_MAX, LIST_REASON_BYTES_MAX,
    LIST_TEXT_BYTES_MAX, LIST_VALUES_MAX, LISTS_MAX, ListChanged, ListFact, ListOf, ListPurpose, ListRefusal,
    ListReply, ListValue, ListedReply, MakeList, RemoveFromList,
};
pub use order::{
    AccountOrder, CreateTransfer, CreateTransferBatch, ORDERS_MAX, OpenAccount, OpenAccountBatch, TransferOrder,
};
pub use payment::{Asked, Increment, Label, Leg, Payment, Recorded};
pub use payments::{PastPayment, PastPayments};
pub use policy_tests::{TestOutcome, check_policy, run_policy_tests};
pub use proposals::{ApprovalRulesReply, EndProposal, Proposable, ProposalReply, Propose, SetApprovalRules};
pub use record_label::RecordLabel;
pub use record_read::PersonalDataRead;
pub use reply::{
    ActivePolicy, Answer, EventResult, EventStatus, LabelReply, Made, NotIncrementable, Page, PaymentReply, Refusal,
    Reply, TransferResults,
};
pub use reverse_transfer::{ReverseTransfer, reversal_id};
pub use settings::{
    ChangedSettings, Expected, PutSetting, RemoveSetting, SETTING_BYTES_MAX, SETTINGS_MAX, Setting, SettingFact,
    SettingKind, SettingRefusal,
};
pub use state::{DIGEST_INTERVAL_ENTRIES, DIGEST_SCHEME};

use crate::decide::Recording;
use crate::state::State;

/// The engine of one shard, with its state.
#[derive(Debug)]
pub struct Engine {
    shard: ShardId,
    tenant: TenantId,
    state: State,
    /// The compiled active policy. Absent after a replay, until [`Engine::stage_policy`] provides it.
    policy: Option<Arc<Policy>>,
}

/// An entry that was just applied, and what it changed.
#[derive(Debug)]
pub struct Applied<'a> {
    pub entry: &'a Entry,
    /// What each of its ledger facts touched, in the order of the facts.
    pub touched: &'a [Touched],
    /// Its updates of feature windows that changed something, in order.
    pub windows: &'a [StoredUpdate],
    /// If the entry has a digest: every account that changed since the previous digest, as it is now, in order of
    /// place.
    pub changes: Option<Vec<(AccountPlace, Account)>>,
    /// The ledger as it is now.
    pub ledger: &'a Ledger,
    /// The feature windows as they are now.
    pub streams: &'a Windows,
    /// If the entry is about a payment: the entry that decided it.
    pub decided: Option<Seq>,
}

/// Receives entries as they are applied, in order.
pub trait Sink {
    fn take(&mut self, applied: Applied<'_>);

    /// Announces that the next `count` entries are a chain: all of them become durable, or none does. In addition to
    /// transfers and accounts they contain `text_bytes` of addresses and metadata.
    fn hold_together(&mut self, count: usize, text_bytes: usize) {
        let _ = (count, text_bytes);
    }
}

impl<F: FnMut(Applied<'_>)> Sink for F {
    fn take(&mut self, applied: Applied<'_>) {
        self(applied);
    }
}

impl Engine {
    /// Creates an engine without a history.
    pub fn new(shard: ShardId, tenant: TenantId) -> Self {
        Self { shard, tenant, state: State::default(), policy: None }
    }

    /// Journals a digest every `entries` entries (at least 1) instead of every [`DIGEST_INTERVAL_ENTRIES`], for tests
    /// in which digests must come early. A replay accepts any interval.
    #[must_use]
    pub fn with_digest_interval(mut self, entries: u64) -> Self {
        self.state.digest_interval = entries.max(1);
        self
    }

    /// The last entry that was applied.
    pub fn applied(&self) -> Seq {
        self.state.applied
    }

    /// The origin of the history, once its first entry was applied.
    pub fn origin(&self) -> Option<Origin> {
        self.state.origin
    }

    /// The time of the last entry. Every later entry has a later time.
    pub fn clock(&self) -> Timestamp {
        self.state.clock
    }

    /// How many window records were dropped since the start, because a declared bound was reached.
    pub fn records_dropped(&self) -> u64 {
        self.state.records_dropped
    }

    /// The feature windows.
    pub fn windows(&self) -> &Windows {
        &self.state.windows
    }

    /// Sets where the ledger looks up client transfers that it no longer has in memory.
    pub fn set_past(&mut self, past: Box<dyn ledger::Past>) {
        self.state.ledger.set_past(past);
    }

    /// Sets where payments are looked up that are no longer in memory.
    pub fn set_past_payments(&mut self, past: Box<dyn PastPayments>) {
        self.state.payments.set_past(past);
    }

    /// The entries that decided the payments that are open, in no order.
    pub fn open_payments(&self) -> impl Iterator<Item = Seq> {
        self.state.payments.open()
    }

    /// The number of payments in memory.
    pub fn payments_in_memory(&self) -> usize {
        self.state.payments.len()
    }

    /// Takes out of memory the first `recorded` records of client transfers, and the payments that are not open and have not
    /// changed since the entry `covered`. The pasts must be able to look them up.
    pub fn forget_through(&mut self, recorded: u64, covered: Seq) {
        self.state.forget_through(recorded, covered);
    }

    /// From now on, makes no entries with digests of the state, and computes none. For an engine whose entries are not journaled.
    pub fn leave_out_digests(&mut self) {
        self.state.leave_out_digests();
    }

    /// Restores accounts with their balances, in order of place. This comes before anything else.
    pub fn restore_accounts(&mut self, accounts: impl Iterator<Item = Account>) {
        self.state.ledger.restore_accounts(accounts);
    }

    /// Restores a client's transfer that is pending at the restored point.
    pub fn restore_pending(&mut self, transfer: ledger::Transfer) {
        self.state.ledger.restore_pending(transfer);
    }

    /// Applies, in order, an entry up to the restored point whose effect the tables of the index do not restore (see
    /// [`Fact::restored_from`]), or that is about a payment that is open there.
    pub fn restore_entry(&mut self, entry: &Entry) {
        self.state.restore(entry);
    }

    /// Restores what a stream of feature windows covered. This comes after the entries and before the entities.
    pub fn restore_stream(&mut self, bounds: &StreamBounds) {
        self.state.windows.restore_bounds(bounds);
    }

    /// Notes that payments were decided before the restored point.
    pub fn restore_has_payments(&mut self) {
        self.state.has_payments = true;
    }

    /// Restores an entity of a stream, with its records in order. Every record of it from `reach` on is among them.
    pub fn restore_window(&mut self, stream: StreamId, entity: Token, reach: Timestamp, records: &[RestoredRecord]) {
        self.state.windows.restore(stream, entity, reach, records);
    }

    /// Ends the restore at an entry with a digest, given by its sequence, its time and that digest. Later entries are
    /// applied as usual.
    ///
    /// # Panics
    /// If the restored books do not balance.
    pub fn finish_restore(&mut self, last: (Seq, Timestamp, Digest), recorded: u64, last_transfer: Timestamp) {
        self.state.ledger.finish_restore(recorded, last_transfer);
        self.state.finish_restore(last);
    }

    /// The fields of transfers that ledgers chose to index.
    pub fn indexed_fields(&self) -> impl Iterator<Item = (LedgerId, ledger::IndexedFields)> {
        let books = self.state.ledger.books();
        books.map(|book| (book.id, self.state.ledger.indexed_fields(book.id)))
    }

    /// The ledgers that do not balance, after all their accounts were added up again.
    pub fn unbalanced_books(&self) -> Vec<LedgerId> {
        self.state.ledger.unbalanced()
    }

    /// All ledgers, in order of their numbers.
    pub fn ledgers(&self) -> impl ExactSizeIterator<Item = &ledger::Book> {
        self.state.ledger.books()
    }

    /// All principals, in order of number; the system itself comes first.
    pub fn principals(&self) -> impl Iterator<Item = (ActorId, &Principal)> {
        self.state.identities.principals.iter().map(|(actor, principal)| (*actor, principal))
    }

    /// The rules that say which operations need an approval.
    pub fn approval_rules(&self) -> &ApprovalRules {
        &self.state.approvals.rules
    }

    /// The proposals that the state keeps, in the order in which they were made.
    pub fn proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.state.approvals.proposals.values()
    }

    /// All credentials, in order of number.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.state.identities.credentials.values()
    }

    /// How often a credential was added or revoked.
    pub fn credential_changes(&self) -> usize {
        self.state.identities.changed.len()
    }

    /// The credentials that were added or revoked after the first `known` changes, as they are now.
    pub fn credentials_changed_since(&self, known: usize) -> impl Iterator<Item = &Credential> {
        let identities = &self.state.identities;
        let changed = identities.changed.get(known..).unwrap_or_default();
        changed.iter().filter_map(|credential| identities.credentials.get(credential))
    }

    /// The principal whose access tokens are about this subject.
    pub fn principal_of(&self, subject: &TokenSubject) -> Option<ActorId> {
        self.state.identities.subjects.get(subject).copied()
    }

    /// How often a principal with a subject was added.
    pub fn subject_changes(&self) -> usize {
        self.state.identities.admitted.len()
    }

    /// The principals with a subject that were added after the first `known` ones, in order.
    pub fn subjects_added_since(&self, known: usize) -> impl Iterator<Item = (&TokenSubject, ActorId)> {
        let admitted = self.state.identities.admitted.get(known..).unwrap_or_default();
        admitted.iter().map(|(subject, actor)| (subject, *actor))
    }

    /// Applies an entry of the journal.
    ///
    /// # Panics
    /// If it does not follow the last one (invariants ENG-1 and ENG-2).
    pub fn apply<'a>(&'a mut self, entry: &'a Entry) -> Applied<'a> {
        let changes = self.state.apply(entry);
        self.state.applied_now(entry, changes)
    }

    /// Whether the digest of an entry that is about to be applied is the digest of this state. True for entries without
    /// a digest.
    pub fn agrees_with(&self, entry: &Entry) -> bool {
        match &entry.fact {
            Fact::StateDigest(carried) => self.state.matches(carried),
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::PaymentDecided(_)
            | Fact::PaymentChanged(_)
            | Fact::LabelRecorded(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_) => true,
        }
    }

    /// The digest of what changed since the last digest in the journal.
    pub fn digest(&self) -> StateDigest {
        self.state.digest()
    }

    /// The bundle of the active policy, which must be compiled after a replay.
    pub fn active_artifact(&self) -> Option<(Digest, Vec<u8>)> {
        let artifact = self.state.policy.as_ref()?.activated.artifact;
        let bytes = self.state.artifacts.get(&artifact)?.bytes()?;
        Some((artifact, bytes))
    }

    /// Provides the compiled active policy after a replay.
    ///
    /// # Panics
    /// If it is not the active policy.
    pub fn stage_policy(&mut self, policy: Arc<Policy>) {
        let active = self.state.policy.as_ref().map(|active| active.activated.artifact);
        assert_eq!(active, Some(policy.digest()), "ENG-7: the compiled policy is the active one");
        self.use_policy(policy);
    }

    /// Starts a history by making the first entry of a journal.
    ///
    /// # Panics
    /// If there is a history already.
    pub fn start(&mut self, now: Timestamp, origin: Origin, sink: &mut dyn Sink) {
        assert_eq!(self.state.applied, Seq::ZERO, "ENG-8: a history starts once");
        let started = Recording::of(Fact::JournalStarted { origin });
        self.commit(now, ActorId::SYSTEM, RequestId::default(), started, sink);
    }

    /// Continues as another history by making its first entry.
    ///
    /// # Panics
    /// If the origin is not a new one, or if `departed` is not what was applied so far.
    pub fn continue_as(&mut self, now: Timestamp, origin: Origin, departed: DepartedHistory, sink: &mut dyn Sink) {
        let follows = self.state.applied > Seq::ZERO && departed.size == self.state.applied.get();
        assert!(
            follows && departed.origin != origin,
            "ENG-19: a history continues as another one, from its last entry"
        );
        let continued = Recording::of(Fact::JournalContinued { origin, departed });
        self.commit(now, ActorId::SYSTEM, RequestId::default(), continued, sink);
    }

    /// Decides a command at the time `now`. Every entry that it makes is applied and then passed to `sink`; if nothing
    /// changes, there is none. The answer may be sent once everything up to [`Engine::applied`] at this moment is
    /// durable.
    pub fn execute(&mut self, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answer {
        let is_of_installation = self.tenant == TenantId::default();
        assert!(
            request.tenant == self.tenant || is_of_installation,
            "ENG-9: a request reaches the shard of its tenant, or that of the installation"
        );
        self.journal_digest(now, sink);
        self.with_payment(request.payment(), |engine| request.execute(engine, now, sink))
    }

    /// Does something while a payment is in memory.
    fn with_payment<T>(&mut self, payment: Option<PaymentId>, work: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(id) = payment {
            self.state.recall(id);
        }
        let done = work(self);
        if let Some(id) = payment {
            self.state.release(id);
        }
        done
    }

    /// Answers a request while writes are refused. Queries and dry runs are answered, and so is everything else
    /// that would make no entry, such as an order or a payment that was accepted before. Anything else is refused
    /// without an entry. Packed batches, batches of payments
    /// or verbs, and imports are refused as a whole.
    pub fn answer_closed(&mut self, now: Timestamp, request: &Request, closed: &WritesClosed) -> Answer {
        let at = self.next_instant(now);
        let answer = self.with_payment(request.payment(), |engine| request.without_entry(engine, at));
        answer.unwrap_or_else(|| Err(Refusal::WritesClosed(closed.clone())))
    }

    /// Makes the entry with the digest of the state, if one is due. It comes after the entries of one command that
    /// belong together.
    fn journal_digest(&mut self, now: Timestamp, sink: &mut dyn Sink) {
        if self.state.digest_is_due() {
            // A start from the index does not read the rows that were staged before this digest.
            for fact in self.state.ledger.note_imports() {
                let noted = Recording::of(Fact::Ledger(fact));
                self.commit(now, ActorId::SYSTEM, RequestId::default(), noted, sink);
            }
            let fact = Fact::StateDigest(self.state.digest());
            self.commit(now, ActorId::SYSTEM, RequestId::default(), Recording::of(fact), sink);
        }
    }

    /// The time of the next entry: `now`, but later than everything before.
    fn next_instant(&self, now: Timestamp) -> Timestamp {
        now.max(self.state.clock.saturating_add(Span::from_ns(1)))
    }

    /// Makes an entry and applies it.
    fn commit(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        request: RequestId,
        recording: Recording,
        sink: &mut dyn Sink,
    ) -> Entry {
        let header = Header {
            tenant: recording.tenant.unwrap_or(self.tenant),
            ..self.next_header(now, actor, request, recording.occurred_at)
        };
        let entry = Entry { header, fact: recording.fact, sealed: recording.sealed };
        let changes = self.state.apply(&entry);
        sink.take(self.state.applied_now(&entry, changes));
        entry
    }

    /// The header of the next entry.
    fn next_header(
        &self,
        now: Timestamp,
        actor: ActorId,
        request: RequestId,
        occurred_at: Option<Timestamp>,
    ) -> Header {
        let decided_at = self.next_instant(now);
        Header {
            shard: self.shard,
            seq: self.state.applied.next(),
            tenant: self.tenant,
            actor,
            request,
            decided_at,
            occurred_at: occurred_at.unwrap_or(decided_at),
        }
    }
}
