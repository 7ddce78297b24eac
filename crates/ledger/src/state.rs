use std::collections::{BTreeMap, BTreeSet, HashSet};

use foldhash::fast::RandomState;
use types::{AccountId, LedgerId, Timestamp, TransferId};

use crate::shelf::{Shelf, Timed};
use crate::totals::Totals;
use crate::{Account, Book, PendingState, Plan, Transfer, TransferKey, TrialBalance};

/// All books, accounts and transfers of a tenant: the fold of its facts.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(crate) books: BTreeMap<LedgerId, BookState>,
    pub(crate) accounts: Shelf<AccountId, Account>,
    pub(crate) transfers: Shelf<TransferKey, Recorded>,
    /// Ids that were refused for good.
    pub(crate) failed: HashSet<TransferId, RandomState>,
    /// When pending transfers run out; the place is also their order of creation.
    pub(crate) expiries: BTreeSet<(Timestamp, usize)>,
    /// Of the latest account or transfer.
    pub(crate) last_timestamp: Timestamp,
}

/// A book with what stands in it.
#[derive(Debug)]
pub(crate) struct BookState {
    pub(crate) book: Book,
    pub(crate) totals: Totals,
    /// Places of its accounts, in order.
    pub(crate) accounts: Vec<usize>,
    /// Places of its transfers, in order.
    pub(crate) transfers: Vec<usize>,
}

/// A transfer and, of a pending one, what became of it so far.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) transfer: Transfer,
    pub(crate) state: Option<PendingState>,
}

impl Timed for Account {
    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl Timed for Recorded {
    fn timestamp(&self) -> Timestamp {
        self.transfer.timestamp
    }
}

impl Ledger {
    /// Starts a plan whose first account or transfer gets the timestamp `at`. Dropping the plan leaves nothing behind.
    ///
    /// # Panics
    /// LED-3: when `at` is not later than every account and transfer.
    pub fn plan(&self, at: Timestamp) -> Plan<'_> {
        assert!(at > self.last_timestamp, "LED-3: a plan at {at} is not later than {}", self.last_timestamp);
        Plan::new(self, at)
    }

    /// The book with this id.
    pub fn book(&self, id: LedgerId) -> Option<&Book> {
        self.books.get(&id).map(|state| &state.book)
    }

    /// Every book, in order of id.
    pub fn books(&self) -> impl ExactSizeIterator<Item = &Book> {
        self.books.values().map(|state| &state.book)
    }

    /// The account with this id, with its present balances.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.find(id)
    }

    /// The transfer with this key; one that failed is never found.
    pub fn transfer(&self, key: TransferKey) -> Option<&Transfer> {
        self.transfers.find(key).map(|recorded| &recorded.transfer)
    }

    /// What became of a pending transfer, as seen at `at`: past its time it reads as expired, whether or not the fact of
    /// its expiry is applied yet. `None` when there is no such transfer or it never was pending.
    pub fn pending_state(&self, key: TransferKey, at: Timestamp) -> Option<PendingState> {
        let recorded = self.transfers.find(key)?;
        let state = recorded.state?;
        let passed = recorded.transfer.expires_at().is_some_and(|expiry| expiry <= at);
        Some(if state == PendingState::Pending && passed { PendingState::Expired } else { state })
    }

    /// True when the id was refused for good.
    pub fn has_failed(&self, id: TransferId) -> bool {
        self.failed.contains(&id)
    }

    /// Up to `limit` pending transfers whose time has passed at `at`, in the order in which they must expire: by that
    /// time, then by creation.
    pub fn due(&self, at: Timestamp, limit: usize) -> Vec<TransferKey> {
        let passed = self.expiries.iter().take_while(|(expiry, _)| *expiry <= at);
        passed.take(limit).map(|&(_, place)| self.transfers.at(place).transfer.key).collect()
    }

    /// When the next pending transfer runs out.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.expiries.first().map(|&(expiry, _)| expiry)
    }

    /// Up to `limit` accounts later than `after`, of one book or of all, in order of creation. The timestamp of the last
    /// one is the cursor to the next page.
    pub fn accounts_after(&self, ledger: Option<LedgerId>, after: Timestamp, limit: usize) -> Vec<&Account> {
        match ledger {
            None => self.accounts.page(after, limit),
            Some(id) => {
                self.books.get(&id).map_or_else(Vec::new, |state| self.accounts.page_of(&state.accounts, after, limit))
            }
        }
    }

    /// Up to `limit` transfers later than `after`, of one book or of all, in order of creation. The timestamp of the
    /// last one is the cursor to the next page.
    pub fn transfers_after(&self, ledger: Option<LedgerId>, after: Timestamp, limit: usize) -> Vec<&Transfer> {
        let page = match ledger {
            None => self.transfers.page(after, limit),
            Some(id) => self
                .books
                .get(&id)
                .map_or_else(Vec::new, |state| self.transfers.page_of(&state.transfers, after, limit)),
        };
        page.into_iter().map(|recorded| &recorded.transfer).collect()
    }

    /// The sums over all accounts of a book. They are kept up to date, so reading them costs nothing.
    pub fn trial_balance(&self, book: LedgerId) -> Option<TrialBalance> {
        self.books.get(&book).map(|state| state.totals.trial_balance(state.accounts.len()))
    }

    /// The timestamp of the latest account or transfer; a plan starts later.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }
}
