//! Judges requests without changing anything. There is one file per kind of request; each runs checks in order of
//! precedence against a [`View`]: the ledger alone, or the ledger with the earlier steps of a [`Plan`] laid over it.

mod account;
mod batch;
mod book;
mod change;
mod overlay;
mod retry;
mod staged;
mod transfer;
mod view;

use std::collections::BTreeMap;

use types::{AccountId, Asset, LedgerId, Span, Timestamp, TransferId};

pub use batch::{BatchContext, BatchEvent, CHAIN_EVENTS_MAX, ChainFailure, Step};
pub use retry::Setting;
pub use staged::ImportRefusal;
pub(crate) use view::View;

use overlay::Overlay;

use crate::effect::{Effect, resolution};
use crate::metadata::change_metadata;
use crate::{Account, AccountStatus, Address, Book, BookStatus, ChangeStatus, Fact, IndexedFields, Ledger, Limits};
use crate::{
    MetadataOf, NewAccount, NewTransfer, Outcome, PastTransfer, PendingState, Scheduled, StatusRefusal, Transfer,
};
use crate::{TransferKey, TransferStatus};

/// The answer to a request, and the fact that it produces if it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<S> {
    pub outcome: Outcome<S>,
    /// The fact for the entry and for [`Ledger::apply`]. `None` if nothing changes.
    pub fact: Option<Fact>,
}

impl<S> Planned<S> {
    fn created(timestamp: Timestamp, fact: Fact) -> Self {
        Self { outcome: Outcome::Created { timestamp }, fact: Some(fact) }
    }

    fn exists(timestamp: Timestamp) -> Self {
        Self { outcome: Outcome::Exists { timestamp }, fact: None }
    }

    fn refused(refusal: StatusRefusal<S>) -> Self {
        Self { outcome: Outcome::Refused(refusal), fact: None }
    }
}

impl Ledger {
    /// Plans opening one account at `at`, on its own. A refusal produces no fact, so the same request may be accepted
    /// later.
    ///
    /// # Panics
    /// LED-3: if `at` is not later than every account and transfer.
    pub fn plan_account(&self, at: Timestamp, new: &NewAccount) -> Planned<AccountStatus> {
        self.check_time(at);
        account::plan_alone(self, at, new)
    }

    /// Plans creating one transfer at `at`, on its own: single-phase, pending, or the post or void of a pending one.
    ///
    /// A refusal of a client's transfer whose status [sticks](TransferStatus::sticks) produces a fact, because it
    /// spends the id. Refusals of legs never stick: the engine remembers what became of a payment.
    ///
    /// # Panics
    /// LED-3: if `at` is not later than every account and transfer.
    pub fn plan_transfer(&self, at: Timestamp, new: &NewTransfer) -> Planned<TransferStatus> {
        self.check_time(at);
        transfer::plan_alone(self, at, new)
    }

    /// Plans scheduling a client's transfer for a later time. A retry while the transfer waits gets
    /// [`Outcome::Exists`].
    pub fn plan_scheduled(&self, at: Timestamp, scheduled: &Scheduled) -> Planned<TransferStatus> {
        transfer::plan_later(self, at, scheduled)
    }

    /// Plans carrying out the scheduled transfer `id` at `at`, when it is due: it is created or fails for good.
    ///
    /// # Panics
    /// LED-3: if `at` is not later than every account and transfer. LED-4: if the transfer is not scheduled.
    pub fn plan_due_scheduled(&self, at: Timestamp, id: TransferId) -> Planned<TransferStatus> {
        self.check_time(at);
        transfer::plan_due(self, at, id)
    }

    /// Plans cancelling the scheduled transfer `id`. Its id stays spent.
    pub fn plan_cancel_scheduled(&self, at: Timestamp, id: TransferId) -> Planned<TransferStatus> {
        transfer::plan_cancel(self, at, id)
    }
}

/// A sequence of steps, each of which sees the effects of those before it. The [`Ledger`] itself does not change.
///
/// The k-th step that creates an account or transfer, counted from 0, gets the timestamp `at` + k ns, and each step is
/// judged as of the timestamp that it would get.
#[derive(Debug)]
pub struct Plan<'a> {
    ledger: &'a Ledger,
    at: Timestamp,
    is_approved: bool,
    facts: Vec<Fact>,
    times: Times,
    books: Overlay<LedgerId, Book>,
    accounts: Overlay<AccountId, Account>,
    transfers: Overlay<TransferKey, PastTransfer>,
    limits: Overlay<AccountId, Limits>,
    addresses: Overlay<AccountId, Address>,
    /// The accounts that got these addresses.
    addressed: Overlay<Address, AccountId>,
    metadata: Overlay<MetadataOf, BTreeMap<String, String>>,
    /// `None` once a transfer was cancelled.
    scheduled: Overlay<TransferId, Option<Scheduled>>,
    indexes: Overlay<LedgerId, IndexedFields>,
}

/// The timestamps that a plan has used, and the latest ones that it or the ledger knows.
#[derive(Debug, Clone, Copy)]
struct Times {
    used: u64,
    last_account: Timestamp,
    last_transfer: Timestamp,
}

/// A place in a plan to which the plan can go back.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    facts: usize,
    times: Times,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(ledger: &'a Ledger, at: Timestamp) -> Self {
        Self {
            ledger,
            at,
            is_approved: false,
            facts: Vec::new(),
            times: Times { used: 0, last_account: ledger.last_account, last_transfer: ledger.last_transfer },
            books: Overlay::default(),
            accounts: Overlay::default(),
            transfers: Overlay::default(),
            limits: Overlay::default(),
            addresses: Overlay::default(),
            addressed: Overlay::default(),
            metadata: Overlay::default(),
            scheduled: Overlay::default(),
            indexes: Overlay::default(),
        }
    }

    /// The same plan for requests that a second principal approved: they may move money on accounts with the flag `policy_only`.
    #[must_use]
    pub fn approved(self) -> Self {
        Self { is_approved: true, ..self }
    }

    /// Opens a book of accounts in `asset`. It takes none of the plan's timestamps.
    pub fn open_book(&mut self, id: LedgerId, asset: Asset) -> Outcome<BookStatus> {
        let planned = book::plan(self, self.now(), id, asset);
        self.take(planned)
    }

    /// Opens an account. See [`Ledger::plan_account`].
    pub fn open_account(&mut self, new: &NewAccount) -> Outcome<AccountStatus> {
        let planned = account::plan_alone(self, self.now(), new);
        self.take(planned)
    }

    /// Creates a transfer. See [`Ledger::plan_transfer`].
    pub fn create_transfer(&mut self, new: &NewTransfer) -> Outcome<TransferStatus> {
        let planned = transfer::plan_alone(self, self.now(), new);
        self.take(planned)
    }

    /// Schedules a client's transfer for a later time. See [`Ledger::plan_scheduled`].
    pub fn schedule(&mut self, scheduled: &Scheduled) -> Outcome<TransferStatus> {
        let planned = transfer::plan_later(self, self.now(), scheduled);
        self.take(planned)
    }

    /// Cancels a scheduled transfer. See [`Ledger::plan_cancel_scheduled`].
    pub fn cancel_scheduled(&mut self, id: TransferId) -> Outcome<TransferStatus> {
        let planned = transfer::plan_cancel(self, self.now(), id);
        self.take(planned)
    }

    /// Sets the limits on an account's balance, replacing earlier limits.
    pub fn set_limits(&mut self, account: AccountId, limits: Limits) -> Outcome<ChangeStatus> {
        let planned = change::limits(self, self.now(), account, limits);
        self.take(planned)
    }

    /// Gives an account its address, which can never change.
    pub fn set_address(&mut self, account: AccountId, address: &Address) -> Outcome<ChangeStatus> {
        let planned = change::address(self, self.now(), account, address);
        self.take(planned)
    }

    /// Sets metadata as JSON texts by key. `None` removes the key.
    pub fn set_metadata(&mut self, of: MetadataOf, values: &[(String, Option<String>)]) -> Outcome<ChangeStatus> {
        let planned = change::metadata(self, self.now(), of, values);
        self.take(planned)
    }

    /// Chooses the fields by which a book's transfers can be found, replacing an earlier choice.
    pub fn choose_indexes(&mut self, ledger: LedgerId, fields: IndexedFields) -> Outcome<ChangeStatus> {
        let planned = change::indexes(self, self.now(), ledger, fields);
        self.take(planned)
    }

    /// The book with this id, which this plan may have opened.
    pub fn book(&self, id: LedgerId) -> Option<&Book> {
        View::book(self, id)
    }

    /// The account with this id after the steps so far.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        View::account(self, id)
    }

    /// The transfer with this key, which this plan may have created.
    pub fn transfer(&self, key: TransferKey) -> Option<Transfer> {
        match self.find(key)? {
            PastTransfer::Created { transfer, .. } => Some(transfer),
            PastTransfer::Failed(_) | PastTransfer::Staged { .. } => None,
        }
    }

    /// The transfer that is scheduled under this id.
    pub fn scheduled(&self, id: TransferId) -> Option<Scheduled> {
        View::scheduled(self, id)
    }

    pub fn account_by_address(&self, address: &Address) -> Option<&Account> {
        match self.addressed.get(address) {
            Some(id) => self.account(*id),
            None => self.account(self.ledger.account_by_address(address.as_str())?.id),
        }
    }

    pub fn address(&self, id: AccountId) -> Option<String> {
        View::address(self, id)
    }

    pub fn limits(&self, id: AccountId) -> Limits {
        View::limits(self, id)
    }

    /// The metadata as JSON texts by key.
    pub fn metadata(&self, of: MetadataOf) -> BTreeMap<String, String> {
        View::metadata(self, of)
    }

    /// The state of a pending transfer as the next step sees it.
    pub fn pending_state(&self, key: TransferKey) -> Option<PendingState> {
        match self.find(key)? {
            PastTransfer::Created { transfer, state } => state.map(|state| state.as_of(&transfer, self.now())),
            PastTransfer::Failed(_) | PastTransfer::Staged { .. } => None,
        }
    }

    /// Number of timestamps that the plan's accounts and transfers took so far, starting with `at`.
    pub fn timestamps_used(&self) -> u64 {
        self.times.used
    }

    /// Where the plan is now, for [`Plan::roll_back`].
    pub fn mark(&self) -> Mark {
        Mark { facts: self.facts.len(), times: self.times }
    }

    /// Goes back to where this plan was at `mark`. If the last step since then spent an id, that id stays spent.
    pub fn roll_back(&mut self, mark: Mark) {
        let since = self.facts.split_off(mark.facts);
        self.times = mark.times;
        let Self { books, accounts, transfers, limits, addresses, addressed, metadata, scheduled, indexes, .. } = self;
        books.undo_from(mark.facts);
        accounts.undo_from(mark.facts);
        transfers.undo_from(mark.facts);
        limits.undo_from(mark.facts);
        addresses.undo_from(mark.facts);
        addressed.undo_from(mark.facts);
        metadata.undo_from(mark.facts);
        scheduled.undo_from(mark.facts);
        indexes.undo_from(mark.facts);
        if let Some(spent @ Fact::TransferFailed { .. }) = since.last() {
            self.foresee(spent);
            self.facts.push(spent.clone());
        }
    }

    /// The facts added since `mark`.
    fn facts_since(&self, mark: Mark) -> &[Fact] {
        self.facts.get(mark.facts..).unwrap_or_default()
    }

    /// The facts in the order of the steps, for the entry and for [`Ledger::apply`].
    pub fn into_facts(self) -> Vec<Fact> {
        self.facts
    }

    /// The timestamp that the next created account or transfer gets.
    fn now(&self) -> Timestamp {
        self.at.saturating_add(Span::from_ns(self.times.used))
    }

    fn take<S>(&mut self, planned: Planned<S>) -> Outcome<S> {
        if let Some(fact) = planned.fact {
            self.foresee(&fact);
            self.facts.push(fact);
        }
        planned.outcome
    }

    /// Lays the effects of `fact`, which is about to be added, over the ledger.
    fn foresee(&mut self, fact: &Fact) {
        let number = self.facts.len();
        match fact {
            Fact::BookOpened(book) => self.books.lay(number, book.id, *book),
            Fact::AccountOpened(account) => {
                self.times.used = self.times.used.saturating_add(1);
                self.accounts.lay(number, account.id, *account);
                self.times.last_account = account.timestamp;
            }
            Fact::TransferCreated(transfer) => {
                self.times.used = self.times.used.saturating_add(1);
                self.foresee_transfer(transfer);
                self.times.last_transfer = transfer.timestamp;
            }
            Fact::TransferFailed { id, status } => {
                self.transfers.lay(number, TransferKey::Client(*id), PastTransfer::Failed(*status));
            }
            Fact::LimitsSet { account, limits } => self.limits.lay(number, *account, *limits),
            Fact::AddressSet { account, address } => {
                self.addresses.lay(number, *account, address.clone());
                self.addressed.lay(number, address.clone(), *account);
            }
            Fact::MetadataSet { of, values } => {
                let mut metadata = self.metadata(*of);
                change_metadata(&mut metadata, values);
                self.metadata.lay(number, *of, metadata);
            }
            Fact::TransferScheduled(scheduled) => {
                if let TransferKey::Client(id) = scheduled.new.key {
                    self.scheduled.lay(number, id, Some(*scheduled));
                }
            }
            Fact::IndexesChosen { ledger, fields } => self.indexes.lay(number, *ledger, *fields),
            Fact::ScheduledCancelled { id } => {
                self.scheduled.lay(number, *id, None);
                let spent = PastTransfer::Failed(TransferStatus::ScheduledTransferCancelled);
                self.transfers.lay(number, TransferKey::Client(*id), spent);
            }
            Fact::TransferExpired(_) => unreachable!("no request expires a transfer"),
            Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. }
            | Fact::ImportNoted { .. } => unreachable!("imports are planned row by row, outside of a `Plan`"),
        }
    }

    fn foresee_transfer(&mut self, transfer: &Transfer) {
        let number = self.facts.len();
        let resolved = resolution(transfer).and_then(|state| {
            let pending = self.transfer(transfer.pending?)?;
            let ended = PastTransfer::Created { transfer: pending, state: Some(state) };
            self.transfers.lay(number, pending.key, ended);
            Some(pending)
        });
        let [mut debit, mut credit] =
            [transfer.debit, transfer.credit].map(|id| *self.account(id).expect("LED-8: both accounts were found"));
        Effect::of(transfer, resolved.as_ref()).change(&mut debit, &mut credit);
        self.accounts.lay(number, debit.id, debit);
        self.accounts.lay(number, credit.id, credit);
        let state = transfer.is_pending().then_some(PendingState::Pending);
        self.transfers.lay(number, transfer.key, PastTransfer::Created { transfer: *transfer, state });
    }
}
