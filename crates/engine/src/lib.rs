//! The engine: decides commands against its state, and folds what was decided.
//!
//! [`Engine::execute`] is decide, then apply: `decide` reads the state and may be costly, the [`Entry`] it makes holds
//! every fact of its decision, and `apply` only folds that entry. Recovery and replay call [`Engine::apply`] alone, so
//! no rule, feature or model is ever evaluated again to rebuild a state.
//!
//! No I/O, no clock, no randomness, no threads: time comes in with each call.
#![deny(clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod accounts_page;
mod activate_policy;
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
mod entry;
mod identity;
mod import;
mod order;
mod payment;
pub mod query;
mod record_label;
mod reply;
mod reverse_transfer;
mod state;
mod take_orders;
mod transfers_page;

use std::sync::Arc;

use ledger::{Account, AccountPlace, Ledger, Touched};
use policy::Policy;
use types::{ActorId, Digest, LedgerId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp};

pub use accounts_page::AccountFilter;
pub use activate_policy::ActivatePolicy;
pub use batch::{CreateAccounts, CreateTransfers};
pub use change::{
    CancelScheduled, ChooseIndexes, SetAccountMetadata, SetAddress, SetLimits, SetPaymentMetadata, SetTransferMetadata,
};
pub use change_payment::ChangePayment;
pub use closed::WritesClosed;
pub use command::{Answered, Command, Dry, DryRun, EVENTS_MAX, Operation, PAGE_MAX, Query, Request};
pub use create_payment::{CreatePayment, NewPayment, account_id};
pub use decide::OpenLedger;
pub use details::{AccountName, AccountNameParseError, AccountReply, AnyTransfer, MetadataChanges, TransferReply};
pub use entry::{
    ArtifactChunk, AtDeadline, CaptureTerms, Cause, Checkpoint, Deadline, Entry, Fact, Header, LabelRecorded,
    LegRefusal, PaymentChanged, PaymentDecided, PaymentStatus, PlainValue, PolicyActivated, StateDigest, StreamOpened,
    Verb,
};
pub use identity::{
    ApiKeyAdded, CredentialAdded, CredentialKind, IdentityFact, IdentityRefusal, Principal, PrincipalAdded,
    PrincipalKind,
};
pub use import::ImportCommand;
pub use order::{
    AccountOrder, CreateTransfer, CreateTransferBatch, ORDERS_MAX, OpenAccount, OpenAccountBatch, TransferOrder,
};
pub use payment::{Label, Leg, Payment, Recorded};
pub use record_label::RecordLabel;
pub use reply::{
    ActivePolicy, Answer, EventResult, EventStatus, LabelReply, Made, Page, PaymentReply, Refusal, Reply,
    TransferResults,
};
pub use reverse_transfer::{ReverseTransfer, reversal_id};
pub use state::{DIGEST_INTERVAL_ENTRIES, DIGEST_SCHEME};

use crate::decide::Recording;
use crate::state::State;

/// One shard's decider and its state.
#[derive(Debug)]
pub struct Engine {
    shard: ShardId,
    tenant: TenantId,
    state: State,
    /// The active policy, compiled. Absent after a replay until [`Engine::stage_policy`] brings it.
    policy: Option<Arc<Policy>>,
}

/// An entry that was applied just now, and what that changed.
#[derive(Debug)]
pub struct Applied<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// What each of its ledger facts touched, in their order.
    pub touched: &'a [Touched],
    /// With an entry that carries a digest: every account that changed since the digest before, as it is now, in order
    /// of place.
    pub changes: Option<Vec<(AccountPlace, Account)>>,
    /// The ledger as it is now.
    pub ledger: &'a Ledger,
}

/// Takes entries as they are applied, in order.
pub trait Sink {
    /// Takes one.
    fn take(&mut self, applied: Applied<'_>);

    /// The next `count` entries are a chain: all of them become durable, or none does. Beside what a transfer or account
    /// takes they hold `text_bytes` of addresses and metadata.
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
    /// An engine without any history.
    pub fn new(shard: ShardId, tenant: TenantId) -> Self {
        Self { shard, tenant, state: State::default(), policy: None }
    }

    /// Journals a digest every so many entries (at least one) instead of every [`DIGEST_INTERVAL_ENTRIES`]: for tests in
    /// which much is to happen soon. A replay takes whatever interval its journal has.
    #[must_use]
    pub fn with_digest_interval(mut self, entries: u64) -> Self {
        self.state.digest_interval = entries.max(1);
        self
    }

    /// The last entry folded in.
    pub fn applied(&self) -> Seq {
        self.state.applied
    }

    /// Which history this is, once its first entry was folded in.
    pub fn origin(&self) -> Option<Origin> {
        self.state.origin
    }

    /// The last instant that an entry was given; every later one is later.
    pub fn clock(&self) -> Timestamp {
        self.state.clock
    }

    /// Window records that declared bounds refused, since the start.
    pub fn records_dropped(&self) -> u64 {
        self.state.records_dropped
    }

    /// Entities and records held in feature windows.
    pub fn window_sizes(&self) -> (u64, u64) {
        (self.state.windows.entities(), self.state.windows.records())
    }

    /// Says where the ledger finds client transfers that it forgot.
    pub fn set_past(&mut self, past: Box<dyn ledger::Past>) {
        self.state.ledger.set_past(past);
    }

    /// Lets the ledger forget the first `recorded` records of client transfers; its past must know them.
    pub fn forget_through(&mut self, recorded: u64) {
        self.state.ledger.forget_through(recorded);
    }

    /// Takes over accounts with their balances, in order of place, before anything else.
    pub fn restore_accounts(&mut self, accounts: impl Iterator<Item = Account>) {
        self.state.ledger.restore_accounts(accounts);
    }

    /// Takes over a client's transfer that is pending at the restored point.
    pub fn restore_pending(&mut self, transfer: ledger::Transfer) {
        self.state.ledger.restore_pending(transfer);
    }

    /// Folds an entry up to the restored point that the tables of the index do not restore, in order; see
    /// [`Fact::restored_from`].
    pub fn restore_entry(&mut self, entry: &Entry) {
        self.state.restore(entry);
    }

    /// Ends restoring at an entry that carries a digest, given by its sequence, its time and that digest; what comes
    /// after it is applied as ever.
    ///
    /// # Panics
    /// When the restored books do not balance.
    pub fn finish_restore(&mut self, last: (Seq, Timestamp, Digest), recorded: u64, last_transfer: Timestamp) {
        self.state.ledger.finish_restore(recorded, last_transfer);
        self.state.finish_restore(last);
    }

    /// The fields of transfers that ledgers chose to have indexed.
    pub fn indexed_fields(&self) -> impl Iterator<Item = (LedgerId, ledger::IndexedFields)> {
        let books = self.state.ledger.books();
        books.map(|book| (book.id, self.state.ledger.indexed_fields(book.id)))
    }

    /// The ledgers that do not balance when all accounts are added up anew.
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

    /// All credentials, in order of number.
    pub fn credentials(&self) -> impl Iterator<Item = &CredentialAdded> {
        self.state.identities.credentials.values()
    }

    /// Folds an entry from the journal.
    ///
    /// # Panics
    /// When it does not follow the last one: see the invariants ENG-1 and ENG-2.
    pub fn apply<'a>(&'a mut self, entry: &'a Entry) -> Applied<'a> {
        let changes = self.state.apply(entry);
        self.state.applied_now(entry, changes)
    }

    /// Whether the state is the one that an entry about to be applied says it should be. True for all but digests.
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
            | Fact::Identity(_) => true,
        }
    }

    /// The digest of what changed since the journal last carried one.
    pub fn digest(&self) -> StateDigest {
        self.state.digest()
    }

    /// The artifact of the active policy, for compiling after a replay.
    pub fn active_artifact(&self) -> Option<(Digest, Vec<u8>)> {
        let artifact = self.state.policy.as_ref()?.activated.artifact;
        let bytes = self.state.artifacts.get(&artifact)?.bytes()?;
        Some((artifact, bytes))
    }

    /// Brings the compiled form of the active policy, after a replay.
    ///
    /// # Panics
    /// When it is not the active one.
    pub fn stage_policy(&mut self, policy: Arc<Policy>) {
        let active = self.state.policy.as_ref().map(|active| active.activated.artifact);
        assert_eq!(active, Some(policy.digest()), "ENG-7: the compiled policy is the active one");
        self.policy = Some(policy);
    }

    /// Starts a history; the first entry of a journal.
    ///
    /// # Panics
    /// When there is a history already.
    pub fn start(&mut self, now: Timestamp, origin: Origin, sink: &mut dyn Sink) {
        assert_eq!(self.state.applied, Seq::ZERO, "ENG-8: a history starts once");
        let started = Recording::of(Fact::JournalStarted { origin });
        self.commit(now, ActorId::SYSTEM, RequestId::default(), started, sink);
    }

    /// Goes on as another history; its first entry.
    ///
    /// # Panics
    /// When it goes on as itself, or names anything but what was applied.
    pub fn continue_as(&mut self, now: Timestamp, origin: Origin, departed: Checkpoint, sink: &mut dyn Sink) {
        let follows = self.state.applied > Seq::ZERO && departed.size == self.state.applied.get();
        assert!(follows && departed.origin != origin, "ENG-19: a history goes on as another one, from where it is");
        let continued = Recording::of(Fact::JournalContinued { origin, departed });
        self.commit(now, ActorId::SYSTEM, RequestId::default(), continued, sink);
    }

    /// Decides a command as of `now`. Every entry that it makes is folded and then goes to `sink`; there is none when
    /// nothing changes. The answer may be given once [`Engine::applied`] of this moment is durable.
    pub fn execute(&mut self, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answer {
        assert_eq!(request.tenant, self.tenant, "ENG-9: a request reaches the shard of its tenant");
        self.journal_digest(now, sink);
        request.execute(self, now, sink)
    }

    /// As [`Engine::execute`] while nothing may be written. Queries and dry runs are answered, and so is whatever would
    /// leave no entry, such as an order or a payment that was taken before; anything else is refused and leaves none
    /// either. Batches of records, imports and changes of what stands beside balances are refused as a whole.
    pub fn answer_closed(&self, now: Timestamp, request: &Request, closed: &WritesClosed) -> Answer {
        let answer = request.without_entry(self, self.next_instant(now));
        answer.unwrap_or_else(|| Err(Refusal::WritesClosed(closed.clone())))
    }

    /// Makes the entry that carries the digest of the state, when one is due. The entries of one command that belong
    /// together come first.
    fn journal_digest(&mut self, now: Timestamp, sink: &mut dyn Sink) {
        if self.state.digest_is_due() {
            // A start from an index does not see the rows that were staged before this digest.
            for fact in self.state.ledger.note_imports() {
                let noted = Recording::of(Fact::Ledger(fact));
                self.commit(now, ActorId::SYSTEM, RequestId::default(), noted, sink);
            }
            let fact = Fact::StateDigest(self.state.digest());
            self.commit(now, ActorId::SYSTEM, RequestId::default(), Recording::of(fact), sink);
        }
    }

    /// The instant of the next entry: now, and later than everything before.
    fn next_instant(&self, now: Timestamp) -> Timestamp {
        now.max(self.state.clock.saturating_add(Span::from_ns(1)))
    }

    /// Makes the entry and folds it.
    fn commit(
        &mut self,
        now: Timestamp,
        actor: ActorId,
        request: RequestId,
        recording: Recording,
        sink: &mut dyn Sink,
    ) -> Entry {
        let header = self.next_header(now, actor, request, recording.occurred_at);
        let entry = Entry { header, fact: recording.fact, sealed: recording.sealed };
        let changes = self.state.apply(&entry);
        sink.take(self.state.applied_now(&entry, changes));
        entry
    }

    /// What the next entry says about itself.
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
