//! Judging requests without changing anything. One file per kind of request; each is a run of checks in order of
//! precedence.

mod account;
mod book;
mod retry;
mod transfer;

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use types::{AccountId, LedgerId, Span, Timestamp, TransferId};

use crate::effect::{Effect, resolution};
use crate::{Account, Book, Fact, Ledger, Outcome, PendingState, Transfer, TransferKey};

/// A run of steps that see one another's effects, laid over a [`Ledger`] that stays as it is.
///
/// The k-th step that creates an account or transfer, counted from 0, gets the timestamp `at` + k ns, and a step is
/// judged as of the timestamp that it would get.
#[derive(Debug)]
pub struct Plan<'a> {
    ledger: &'a Ledger,
    at: Timestamp,
    timestamps_used: u64,
    facts: Vec<Fact>,
    books: Vec<Book>,
    accounts: HashMap<AccountId, Account, RandomState>,
    transfers: HashMap<TransferKey, Transfer, RandomState>,
    states: HashMap<TransferKey, PendingState, RandomState>,
    failed: HashSet<TransferId, RandomState>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(ledger: &'a Ledger, at: Timestamp) -> Self {
        Self {
            ledger,
            at,
            timestamps_used: 0,
            facts: Vec::new(),
            books: Vec::new(),
            accounts: HashMap::default(),
            transfers: HashMap::default(),
            states: HashMap::default(),
            failed: HashSet::default(),
        }
    }

    /// The book with this id, those of this plan included.
    pub fn book(&self, id: LedgerId) -> Option<&Book> {
        self.books.iter().find(|book| book.id == id).or_else(|| self.ledger.book(id))
    }

    /// The account with this id, as it stands after the steps so far.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).or_else(|| self.ledger.account(id))
    }

    /// The transfer with this key, those of this plan included.
    pub fn transfer(&self, key: TransferKey) -> Option<&Transfer> {
        self.transfers.get(&key).or_else(|| self.ledger.transfer(key))
    }

    /// What became of a pending transfer, as the next step sees it.
    pub fn pending_state(&self, key: TransferKey) -> Option<PendingState> {
        // A pending transfer of this plan cannot run out within it: timeouts take seconds, steps take nanoseconds.
        self.states.get(&key).copied().or_else(|| self.ledger.pending_state(key, self.now()))
    }

    /// How many timestamps, from the plan's first on, its accounts and transfers took.
    pub fn timestamps_used(&self) -> u64 {
        self.timestamps_used
    }

    /// What the plan found, in the order of its steps, for an entry and for [`Ledger::apply`].
    pub fn into_facts(self) -> Vec<Fact> {
        self.facts
    }

    /// The timestamp that the next created account or transfer gets.
    fn now(&self) -> Timestamp {
        self.at.saturating_add(Span::from_ns(self.timestamps_used))
    }

    /// Notes that the timestamp of [`Plan::now`] is taken, and returns what says so.
    fn created<S>(&mut self) -> Outcome<S> {
        let timestamp = self.now();
        self.timestamps_used = self.timestamps_used.saturating_add(1);
        Outcome::Created { timestamp }
    }

    fn has_failed(&self, id: TransferId) -> bool {
        self.failed.contains(&id) || self.ledger.has_failed(id)
    }

    /// Lays what `transfer` does over the ledger.
    fn foresee(&mut self, transfer: Transfer) {
        let resolved = resolution(&transfer).zip(transfer.pending);
        let pending = resolved.and_then(|(_, key)| self.transfer(key)).copied();
        if let Some((state, key)) = resolved {
            self.states.insert(key, state);
        }
        if transfer.is_pending() {
            self.states.insert(transfer.key, PendingState::Pending);
        }
        let [mut debit, mut credit] =
            [transfer.debit, transfer.credit].map(|id| *self.account(id).expect("LED-8: both accounts were found"));
        Effect::of(&transfer, pending.as_ref()).change(&mut debit, &mut credit);
        self.accounts.insert(debit.id, debit);
        self.accounts.insert(credit.id, credit);
        self.transfers.insert(transfer.key, transfer);
        self.facts.push(Fact::TransferCreated(transfer));
    }
}
